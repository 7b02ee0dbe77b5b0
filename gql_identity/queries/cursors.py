"""Cursors: the position of a key in an order, as opaque text. No I/O.

The database finds a cursor's position by an index, so a later page costs no more than the first. A cursor is the
base64 of six bytes of a digest and the position as JSON. The digest binds the position to its order and domain.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

from ..errors import FailedPrecondition, InvalidArgument
from .fields import FIELDS, INSTANT, Document
from .inputs import invalid, read_text

CURSOR_VERSION = 1
NULLABLE = frozenset({"expires_at", "last_accessed_at", "name"})
# Characters. A name of 255 four-byte characters makes a cursor of 1,500. Earlier versions made one of 4,200, as they
# wrote such a character as an escape sequence of 12.
MAX_CURSOR = 9_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Order(NamedTuple):
    """An order of keys: a field, and whether it is ascending."""

    field: str
    ascending: bool

    @property
    def path(self) -> str:
        """The path of the field in a document."""
        return FIELDS[self.field].path

    def sort(self, *, backward: bool) -> dict[str, int]:
        """The database's sort; ids break ties."""
        direction = 1 if self.ascending != backward else -1
        return {self.path: direction, "_id": direction}

    def beyond(self, place: "Place", *, before: bool, inclusive: bool = False) -> Document:
        """The condition that selects the keys after a position, or before it."""
        value, key_id = place
        upward = self.ascending != before
        ids = {"_id": {("$gt" if upward else "$lt") + ("e" if inclusive else ""): key_id}}
        if self.path == "_id":
            return ids
        tied = {self.path: value, **ids}
        if value is None:
            return {"$or": [{self.path: {"$ne": None}}, tied]} if upward else tied
        further = {self.path: {"$gt" if upward else "$lt": value}}
        if self.field in NULLABLE and not upward:
            # Null sorts below every value, but order comparisons with a value never match it.
            return {"$or": [further, {self.path: None}, tied]}
        # The first part limits the index scan even if the planner cannot use the second.
        return {self.path: {"$gte" if upward else "$lte": value}, "$or": [further, ids]}


class Place(NamedTuple):
    """The position of a key in an order: the field's value and the key's id."""

    value: Any
    key_id: str


def make_cursor(order: Order, document: Document) -> str:
    """The cursor of a document's position.

    Raises FailedPrecondition where something else stored a value that has no place in the order.
    """
    value = None if order.path == "_id" else document.get(order.path)
    is_instant = FIELDS[order.field].kind is INSTANT
    if not isinstance(value, (datetime if is_instant else str) | None) or not isinstance(document["_id"], str):
        raise FailedPrecondition(
            f"The key {document['_id']} has no place in the order: its stored {order.field} cannot "
            "be read. Order by another field, or delete the key."
        )
    if isinstance(value, datetime):
        value = (value - _EPOCH) // _MILLISECOND
    return cursor_at(order, document["domain_id"], [value, document["_id"]])


def cursor_at(order: Order, domain_id: str, content: Any) -> str:
    """The cursor with this content, which is not checked."""
    place = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return _encode(_digest(order, domain_id, place) + place)


def read_cursor(cursor: str, path: str, order: Order, domains: set[str]) -> Place:
    """The position of a cursor. Raises InvalidArgument for a cursor of another order or domain."""
    wrong = invalid(path, "invalid cursor: give one that this connection returned for the same order")
    if len(domains) != 1:
        raise invalid(path, "a cursor belongs to one domain, but several domains are requested; ask for one domain")
    if len(cursor) > MAX_CURSOR:
        raise wrong
    try:
        content = urlsafe_b64decode(cursor.encode("ascii"))
        value, key_id = json.loads(content[6:])
    except (ValueError, TypeError, RecursionError):
        raise wrong from None
    (domain_id,) = domains
    if _encode(content) != cursor or content[:6] != _digest(order, domain_id, content[6:]):
        raise wrong
    # The digest has no secret, so anyone can forge a cursor: its content is checked too.
    is_instant = FIELDS[order.field].kind is INSTANT
    try:
        if is_instant and type(value) is int:
            value = _EPOCH + timedelta(milliseconds=value)
        elif value is not None:
            value = read_text(None if is_instant else value, path)
        return Place(value, read_text(key_id, path))
    except (OverflowError, InvalidArgument):
        raise wrong from None


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).decode()


def _digest(order: Order, domain_id: str, place: bytes) -> bytes:
    bound = f"{CURSOR_VERSION} {order.field} {order.ascending} {domain_id} ".encode()
    return blake2b(bound + place, digest_size=6).digest()
