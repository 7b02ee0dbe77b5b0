"""Valid documents by their text, bounded by the memory that they take."""

from collections import OrderedDict

from graphql import DocumentNode

from .operation import ValidDocument
from .outline import nodes_of

CACHED_BYTES = 24_000_000
MOST_BYTES = CACHED_BYTES // 4  # of one document: more would push out too many others
# Measured: 240 to 350 bytes for a node without its tokens, with its share of the operations.
NODE_BYTES = 400


class DocumentCache:
    """Documents that were parsed and validated; the least used are dropped first."""

    def __init__(self) -> None:
        self._documents: OrderedDict[str, tuple[ValidDocument, int]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._documents)

    def find(self, text: str) -> ValidDocument | None:
        """The document of a text, if it is cached."""
        if (found := self._documents.get(text)) is None:
            return None
        self._documents.move_to_end(text)
        return found[0]

    def add(self, text: str, document: ValidDocument, nodes: int) -> None:
        """Cache a document of so many nodes, in the place of an earlier one with the same text."""
        size = nodes * NODE_BYTES + 4 * len(text)
        if size <= MOST_BYTES:
            self._put(text, document, size)

    def grow(self, text: str, size: int) -> bool:
        """Count so many bytes more for a document; False if it would have too many, so that nothing may be added to it.

        What is added to a document that is not cached goes with the request that runs it.
        """
        if (found := self._documents.get(text)) is None:
            return True
        document, before = found
        if before + size > MOST_BYTES:
            return False
        self._put(text, document, before + size)
        return True

    def _put(self, text: str, document: ValidDocument, size: int) -> None:
        if (replaced := self._documents.pop(text, None)) is not None:
            self._bytes -= replaced[1]
        self._documents[text] = document, size
        self._bytes += size
        while self._documents and self._bytes > CACHED_BYTES:
            _, (_, dropped) = self._documents.popitem(last=False)
            self._bytes -= dropped


def drop_tokens(document: DocumentNode) -> int:
    """Free the tokens of a document, which are half of its memory, and return the number of its nodes.

    Its nodes keep where they begin and end, for the locations of errors.
    """
    number = 0
    for node in nodes_of([document]):
        number += 1
        if node.loc is not None:
            node.loc.start_token = node.loc.end_token = None  # type: ignore[assignment]
    return number
