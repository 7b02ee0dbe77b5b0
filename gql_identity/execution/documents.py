"""Persisted and trusted documents: clients send the id of an operation instead of its text."""

import hashlib
import json
from collections import OrderedDict
from pathlib import Path
from sys import getsizeof
from typing import Any

from graphql import GraphQLError

from ..errors import StartError

STORED_DOCUMENTS = 1_000
STORED_CHARACTERS = 20_000  # longer documents are not stored
STORED_BYTES = 4_000_000  # of all stored documents


class Documents:
    """The documents that clients may name by id.

    Without a manifest: the documents that clients registered (automatic persisted queries). They are kept in memory
    and evicted least recently used first; a client then sends the text again. With a manifest: its operations. No
    other operation runs, except for those who may send any text; nothing is registered.
    """

    def __init__(self, manifest: Path | None) -> None:
        self._trusted = None if manifest is None else _read_manifest(manifest)
        self._texts = frozenset((self._trusted or {}).values())
        self._stored: OrderedDict[str, str] = OrderedDict()
        self._stored_bytes = 0

    @property
    def are_trusted(self) -> bool:
        """Whether only the operations of a manifest run."""
        return self._trusted is not None

    def trusts(self, text: str) -> bool:
        """Whether the manifest has this document."""
        return text in self._texts

    def get(self, document_id: str | None, text: str | None, *, any_text: bool = False) -> str:
        """The text of the document that a request sends or names.

        `any_text` is whether the request may send a text that the manifest lacks. Raises GraphQLError if the document
        is unknown, not allowed, or does not match its id.
        """
        if self._trusted is not None:
            return self._get_trusted(self._trusted, document_id, text, any_text)
        if text is not None:
            if document_id is not None and hashlib.sha256(text.encode()).hexdigest() != document_id:
                raise _refused("BAD_REQUEST", "The document's SHA-256 is not the `sha256Hash` that was sent with it.")
            return text
        if (stored := self._stored.get(document_id or "")) is None:
            # Clients look for exactly this message, and then send the text.
            raise _refused("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
        self._stored.move_to_end(document_id or "")
        return stored

    def store(self, document_id: str, text: str) -> None:
        """Store a document; only for valid documents of authenticated callers, so that nobody else fills the store."""
        if self._trusted is None and len(text) <= STORED_CHARACTERS:
            if document_id not in self._stored:
                self._stored_bytes += getsizeof(text)
            self._stored[document_id] = text
            while len(self._stored) > STORED_DOCUMENTS or self._stored_bytes > STORED_BYTES:
                self._stored_bytes -= getsizeof(self._stored.popitem(last=False)[1])

    def _get_trusted(self, trusted: dict[str, str], document_id: str | None, text: str | None, any_text: bool) -> str:
        if text is None:
            if (found := trusted.get(document_id or "")) is None:
                if any_text:  # a client that may send texts then does so, without hashes
                    raise _refused("PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
                raise _refused("PERSISTED_QUERY_NOT_FOUND", "The manifest has no operation with this id.")
            return found
        if not any_text and text not in self._texts:
            raise _refused("PERSISTED_QUERY_NOT_SUPPORTED", "Only the operations of the manifest are allowed.")
        return text


def _refused(code: str, message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": code})


def _read_manifest(file: Path) -> dict[str, str]:
    """The operations of a manifest by id: Apollo's format, or one object of ids and texts, as Relay writes.

    Raises StartError.
    """
    try:
        manifest: Any = json.loads(file.read_text())
        if "operations" in manifest and isinstance(manifest["operations"], list):
            manifest = {operation["id"]: operation["body"] for operation in manifest["operations"]}
        if not all(isinstance(text, str) for pair in manifest.items() for text in pair):
            raise TypeError
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise StartError(
            f"The manifest {file} cannot be read: give Apollo's persisted query manifest, or one JSON object of ids "
            "and texts."
        ) from None
    return dict(manifest)
