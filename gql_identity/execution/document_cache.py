"""Valid documents by their text, bounded by the memory that they take."""

from collections import OrderedDict

from graphql import DocumentNode
from graphql.language import Node

from .operation import ValidDocument

CACHED_BYTES = 24_000_000
# Measured: 240 to 260 bytes for a node without its tokens (500 with them), and as much again for its cost and its plan.
NODE_BYTES = 600


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
        if size > CACHED_BYTES // 4:
            return  # it would push out too many others
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
    nodes = 0
    waiting: list[Node] = [document]
    while waiting:
        node = waiting.pop()
        nodes += 1
        if node.loc is not None:
            node.loc.start_token = node.loc.end_token = None  # type: ignore[assignment]
        for key in node.keys:
            value = getattr(node, key)
            if isinstance(value, Node):
                waiting.append(value)
            elif isinstance(value, tuple | list):
                waiting.extend(item for item in value if isinstance(item, Node))
    return nodes
