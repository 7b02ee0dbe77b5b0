"""Relay's node and connections: their types, and how the arguments of a connection become a read. Pure.

A page starts at a position in the order, which its cursor tells: the database goes there by an index, and no page costs
more for being deep.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple

import strawberry
from strawberry import ID

from ..errors import InvalidArgument
from ..execution.bounds import USUAL_PAGE
from ..messages.keys import APIKeyInfo, APIKeyRole, APIKeyState, DateTime
from ..settings import Settings
from .conditions import FIELDS, INSTANT, Document, check_count, read_text, refusal, search

CURSOR_VERSION = 1
NULLABLE = frozenset({"last_accessed_at", "name"})
MAX_CURSOR = 4_000  # characters; the longest name makes a shorter one

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@strawberry.federation.type(name="PageInfo", shareable=True, description="Where a page lies among all (Relay).")
class PageInfo:
    """Relay's `PageInfo`: every subgraph's is the same."""

    has_next_page: bool = strawberry.field(description="Whether there are more after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there are more before this page.")
    start_cursor: str | None = strawberry.field(description="The first edge's cursor, for `before`.")
    end_cursor: str | None = strawberry.field(description="The last edge's cursor, for `after`.")


@strawberry.type(name="APIKeyEdge", description="A key and its place in a connection.")
class APIKeyEdge:
    """Relay's edge."""

    cursor: str = strawberry.field(description="The key's place, for `after` and `before`; opaque, bound to the order.")
    node: APIKeyInfo = strawberry.field(description="The key.")


@strawberry.type(name="APIKeyConnection", description="A page of API keys, as Relay's connections are.")
class APIKeyConnection:
    """Relay's connection."""

    edges: list[APIKeyEdge] = strawberry.field(description="The keys of this page and their places.")
    nodes: list[APIKeyInfo] = strawberry.field(description="The keys of this page, where their places don't matter.")
    page_info: PageInfo = strawberry.field(description="Where this page lies among all.")
    total_count: int | None = strawberry.field(description="How many keys match, whatever the page.")


@strawberry.enum(description="What to order keys by; ids break ties. Keys without a value come first in `ASC`.")
class APIKeyOrderField(Enum):
    """What a connection may be ordered by: each a name of `FIELDS`."""

    API_KEY_ID = strawberry.enum_value("api_key_id", description="The key's id, which sorts by age: the usual order.")
    CREATED_AT = strawberry.enum_value("created_at", description="When the key was made.")
    LAST_ACCESSED_AT = strawberry.enum_value(
        "last_accessed_at",
        description="When the key was last used. It changes as you page: a key in use may come twice, or never.",
    )
    NAME = strawberry.enum_value("name", description="What its maker called it: capitals before small letters.")


@strawberry.enum(description="Whether the least or the greatest comes first.")
class APIKeyOrderDirection(Enum):
    """The two directions."""

    ASC = strawberry.enum_value("asc", description="The least, or oldest, comes first.")
    DESC = strawberry.enum_value("desc", description="The greatest, or latest, comes first.")


@strawberry.input(
    name="APIKeyOrder", description="The order of a connection, as in `{field: CREATED_AT, direction: DESC}`."
)
class APIKeyOrder:
    """A field and a direction."""

    field: APIKeyOrderField = strawberry.field(description="What to order by.")
    direction: APIKeyOrderDirection = strawberry.field(
        default=APIKeyOrderDirection.ASC, description="Whether the least or the greatest comes first."
    )


@strawberry.input(
    name="APIKeyFilter",
    description="Which keys are wanted: all that is given must hold. Never used, or not since May: "
    '`{or: [{accessed: false}, {lastAccessedBefore: "2026-05-01T00:00:00Z"}]}`.',
)
class APIKeyFilter:
    """A typed alternative to the seed's conditions."""

    name_contains: str | None = strawberry.field(
        default=None, description="A text that the name contains, in any case."
    )
    role: APIKeyRole | None = strawberry.field(default=None, description="What the key may do.")
    created_by: ID | None = strawberry.field(default=None, description="The id of the key that made it.")
    created_after: DateTime | None = strawberry.field(default=None, description="It was made after this instant.")
    created_before: DateTime | None = strawberry.field(default=None, description="It was made before this instant.")
    accessed: bool | None = strawberry.field(default=None, description="Whether it was ever used.")
    last_accessed_after: DateTime | None = strawberry.field(
        default=None, description="It was last used after this instant."
    )
    last_accessed_before: DateTime | None = strawberry.field(
        default=None, description="It was last used before this instant; a key that never was is not among these."
    )
    and_: list["APIKeyFilter"] | None = strawberry.field(
        name="and", default=None, description="Filters that must all hold; an empty list is as none."
    )
    or_: list["APIKeyFilter"] | None = strawberry.field(
        name="or", default=None, description="Filters of which at least one must hold; an empty list is as none."
    )


def _argument(description: str, name: str | None = None) -> Any:
    return strawberry.argument(description=description, name=name)


State = Annotated[APIKeyState | None, _argument("Only keys in this state.")]
Where = Annotated[APIKeyFilter | None, _argument("Only keys for which this holds.", "filter")]
OrderBy = Annotated[APIKeyOrder | None, _argument("The order; without it by id, oldest first.")]
First = Annotated[int | None, _argument("How many from the start; 20 where neither `first` nor `last` is given.")]
After = Annotated[str | None, _argument("Start behind the place of this cursor, of the same domain and order.")]
Last = Annotated[int | None, _argument("How many from the end.")]
Before = Annotated[str | None, _argument("End before the place of this cursor, of the same domain and order.")]


class Arguments(NamedTuple):
    """What every connection takes."""

    state: APIKeyState | None
    filter: APIKeyFilter | None
    order_by: APIKeyOrder | None
    first: int | None
    after: str | None
    last: int | None
    before: str | None


class Parts(NamedTuple):
    """What of a connection is selected, in snake_case."""

    connection: frozenset[str]
    edge: frozenset[str]
    page_info: frozenset[str]
    key: frozenset[str]


class Order(NamedTuple):
    """An order of keys: a field, and whether the least comes first."""

    field: str
    ascending: bool

    @property
    def path(self) -> str:
        """Where a document keeps the field."""
        return FIELDS[self.field].path

    def sort(self, *, backward: bool) -> dict[str, int]:
        """The database's sort; ids break ties."""
        direction = 1 if self.ascending != backward else -1
        return {self.path: direction, "_id": direction}

    def beyond(self, place: "Place", *, before: bool, inclusive: bool = False) -> Document:
        """The condition of what comes after a place, or before it."""
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
            # Null sorts below everything, and no comparison with a value finds it.
            return {"$or": [further, {self.path: None}, tied]}
        # The first part bounds the walk through the index, whatever a planner makes of the second.
        return {self.path: {"$gte" if upward else "$lte": value}, "$or": [further, ids]}


class Place(NamedTuple):
    """Where a key stands in an order: the field's value, and its id."""

    value: Any
    key_id: str


class Plan(NamedTuple):
    """What to read for a connection. The conditions are the client's own, without its domain and the caller's reach."""

    order: Order
    filter: Document  # what matches, whatever the page
    page: list[Document]  # what a page's place adds
    sort: dict[str, int]
    limit: int
    backward: bool
    outside: Document | None  # what lies on the side that the page was reached from; None where nothing does


def plan_connection(arguments: Arguments, domains: set[str], settings: Settings) -> Plan:
    """Read the arguments of a connection. Raises InvalidArgument that names the one to change."""
    state, filter_, order_by, first, after, last, before = arguments
    if first is not None and last is not None:
        raise refusal("first", "give first or last, not both")
    for name, number in (("first", first), ("last", last)):
        if number is not None and not 0 <= number <= settings.max_page_size:
            raise refusal(name, f"it is from 0 to {settings.max_page_size}, not {number}")
    # Who gives only `before` goes back by a page.
    backward = last is not None or (first is None and after is None and before is not None)
    number = last if first is None else first
    by = str(order_by.field.value) if order_by else "api_key_id"
    order = Order(by, order_by is None or order_by.direction is APIKeyOrderDirection.ASC)
    bounds = {
        name: read_cursor(cursor, name, order, domains)
        for name, cursor in (("after", after), ("before", before))
        if cursor is not None
    }
    entered = "before" if backward else "after"
    conditions = [*_conditions(filter_, "filter", settings, [0])] if filter_ else []
    if state is not None:
        conditions.append({"state": state.name})
    return Plan(
        order=order,
        filter={"$and": conditions} if conditions else {},
        page=[order.beyond(place, before=name == "before") for name, place in bounds.items()],
        sort=order.sort(backward=backward),
        limit=min(USUAL_PAGE, settings.max_page_size) if number is None else number,
        backward=backward,
        outside=order.beyond(bounds[entered], before=not backward, inclusive=True) if entered in bounds else None,
    )


def make_connection(
    plan: Plan, parts: Parts, documents: list[Document], keys: list[APIKeyInfo], *, outside: bool, total: int | None
) -> APIKeyConnection:
    """The connection of what was read: up to one more than the page holds, in the order of the read."""
    more = len(documents) > plan.limit
    documents, keys = documents[: plan.limit], keys[: plan.limit]
    if plan.backward:
        documents, keys = documents[::-1], keys[::-1]
    cursors: list[Any] = [None] * len(keys)
    if "cursor" in parts.edge:
        cursors = [make_cursor(plan.order, document) for document in documents]
    return APIKeyConnection(
        edges=[APIKeyEdge(cursor=cursor, node=key) for cursor, key in zip(cursors, keys, strict=True)],
        nodes=keys,
        page_info=PageInfo(
            has_next_page=outside if plan.backward else more,
            has_previous_page=more if plan.backward else outside,
            start_cursor=make_cursor(plan.order, documents[0]) if documents else None,
            end_cursor=make_cursor(plan.order, documents[-1]) if documents else None,
        ),
        total_count=total,
    )


# Cursors: base64 of six bytes of a digest, and JSON of the place. The digest binds the place to its order and domain.


def make_cursor(order: Order, document: Document) -> str:
    """The cursor of a document's place."""
    value = None if order.path == "_id" else document.get(order.path)
    if isinstance(value, datetime):
        value = (value - _EPOCH) // _MILLISECOND
    place = json.dumps([value, document["_id"]], separators=(",", ":")).encode()
    return _encode(_digest(order, document["domain_id"], place) + place)


def read_cursor(cursor: str, path: str, order: Order, domains: set[str]) -> Place:
    """The place of a cursor. Raises InvalidArgument for one that was not made for this order of a domain's keys."""
    wrong = refusal(path, "this is no cursor of this connection: give one that it answered, in the same order")
    if len(domains) != 1:
        raise refusal(path, "a cursor is of one domain's keys, and several domains are asked for")
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
    # Anyone can make a digest: what it covers is checked too.
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


# The filter.

_COMPARED = {
    "created_after": {"created_at": "$gt"},
    "created_before": {"created_at": "$lt"},
    "last_accessed_after": {"last_accessed_at": "$gt"},
    "last_accessed_before": {"last_accessed_at": "$lt"},
}


def _conditions(part: APIKeyFilter, path: str, settings: Settings, counted: list[int]) -> Iterator[Document]:
    """What a filter asks for, all of which must hold; `counted` is how many filters there were before."""
    counted[0] += 1
    check_count("filter", counted[0], settings.max_conditions, "filters within one")
    if part.name_contains is not None:
        yield search(FIELDS["name"].path, "contain", part.name_contains, f"{path}.nameContains", settings)
    if part.role is not None:
        yield {FIELDS["role"].path: part.role.name}
    if part.created_by is not None:
        yield {FIELDS["created_by"].path: str(part.created_by)}
    if part.accessed is not None:
        yield {FIELDS["last_accessed_at"].path: {"$ne" if part.accessed else "$eq": None}}
    for name, ((field, operator),) in ((name, compared.items()) for name, compared in _COMPARED.items()):
        if (instant := getattr(part, name)) is not None:
            yield {FIELDS[field].path: {operator: instant}}
    for name, below in (("and", part.and_ or []), ("or", part.or_ or [])):
        parts = [[*_conditions(one, f"{path}.{name}[{at}]", settings, counted)] for at, one in enumerate(below)]
        if parts:
            yield {f"${name}": [{"$and": conditions} if conditions else {} for conditions in parts]}
