"""Translates the arguments of a connection to a query, and the query's documents to the connection. No I/O."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from ..messages.connections import DEFAULT_PAGE_SIZE, APIKeyFilter, APIKeyOrderDirection, ConnectionArguments, PageInfo
from ..messages.keys import APIKeyConnection, APIKeyEdge, APIKeyInfo
from ..metrics import LIMITS
from ..settings import Settings
from .conditions import CREATED_BY_USER, SCOPES, has_tag, made_by
from .cursors import Order, make_cursor, read_cursor
from .fields import FIELDS, Document
from .inputs import check_count, invalid, read_text
from .patterns import Work, text_condition

# Each level becomes four of BSON, of which MongoDB documents 100.
MAX_FILTER_DEPTH = 20


class Parts(NamedTuple):
    """The selected fields of a connection, of its edges, of its `pageInfo` and of its keys, in snake_case."""

    connection: frozenset[str]
    edge: frozenset[str]
    page_info: frozenset[str]
    key: frozenset[str]


class ConnectionPlan(NamedTuple):
    """What to read for a connection. The filter is the client's; the domain and the caller's scope are added later."""

    order: Order
    filter: Document  # the keys that match, on any page
    page: list[Document]  # the conditions of the cursors
    sort: dict[str, int]
    limit: int
    backward: bool
    outside: Document | None  # selects the keys before the page, in its direction; None without a cursor there


def plan_connection(
    arguments: ConnectionArguments, domains: set[str], settings: Settings, now: datetime
) -> ConnectionPlan:
    """Read the arguments of a connection. Raises InvalidArgument that names the one to change."""
    state, filter_, order_by, first, after, last, before = arguments
    limit, backward = read_page(first, after, last, before, settings)
    by = str(order_by.field.value) if order_by else "api_key_id"
    order = Order(by, order_by is None or order_by.direction is APIKeyOrderDirection.ASC)
    bounds = {
        name: read_cursor(cursor, name, order, domains)
        for name, cursor in (("after", after), ("before", before))
        if cursor is not None
    }
    entered = "before" if backward else "after"
    conditions = filter_conditions(filter_, settings, now)
    if state is not None:
        conditions.append({"state": state.name})
    return ConnectionPlan(
        order=order,
        filter={"$and": conditions} if conditions else {},
        page=[order.beyond(place, before=name == "before") for name, place in bounds.items()],
        sort=order.sort(backward=backward),
        limit=limit,
        backward=backward,
        outside=order.beyond(bounds[entered], before=not backward, inclusive=True) if entered in bounds else None,
    )


def read_page(
    first: int | None, after: str | None, last: int | None, before: str | None, settings: Settings
) -> tuple[int, bool]:
    """How many a page of a connection holds, and whether it ends at a place. Raises InvalidArgument."""
    if first is not None and last is not None:
        raise invalid("first", "give `first` or `last`, not both")
    for name, number in (("first", first), ("last", last)):
        if number is not None and not 0 <= number <= settings.max_page_size:
            if number > 0:
                LIMITS.add("max_page_size")
            raise invalid(name, f"give 0 to {settings.max_page_size}, not {number}: the limit `max_page_size`")
    # `before` alone selects the page that ends just before it.
    backward = last is not None or (first is None and after is None and before is not None)
    number = last if first is None else first
    return min(DEFAULT_PAGE_SIZE, settings.max_page_size) if number is None else number, backward


def filter_conditions(filter_: APIKeyFilter | None, settings: Settings, now: datetime) -> list[Document]:
    """Read a filter into conditions that must all hold; none if it matches every key, as `{and: [{}]}` does.

    Raises InvalidArgument that names the part to change.
    """
    return [*_conditions(filter_, "filter", settings, [0], Work(), now, depth=1)] if filter_ else []


def make_connection(
    plan: ConnectionPlan,
    parts: Parts,
    documents: list[Document],
    keys: list[APIKeyInfo],
    *,
    outside: bool,
    total: int | None,
) -> APIKeyConnection:
    """Make the connection from the documents in query order, which may have one more than the page holds.

    `outside` says whether there are keys on the other side of the cursor.
    """
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
            start_cursor=make_cursor(plan.order, documents[0])
            if documents and "start_cursor" in parts.page_info
            else None,
            end_cursor=make_cursor(plan.order, documents[-1])
            if documents and "end_cursor" in parts.page_info
            else None,
        ),
        total_count=total,
    )


_COMPARED = {
    "created_after": {"created_at": "$gt"},
    "created_before": {"created_at": "$lt"},
    "last_accessed_after": {"last_accessed_at": "$gt"},
    "last_accessed_before": {"last_accessed_at": "$lt"},
    "expires_after": {"expires_at": "$gt"},
    "expires_before": {"expires_at": "$lt"},
}


def _conditions(
    part: APIKeyFilter, path: str, settings: Settings, counted: list[int], work: Work, now: datetime, *, depth: int
) -> Iterator[Document]:
    """Read a filter into conditions that must all hold; `counted` is the number of filters read before it."""
    counted[0] += 1
    if depth > MAX_FILTER_DEPTH:
        raise invalid(path, f"filters are nested more than {MAX_FILTER_DEPTH} deep; nest fewer")
    check_count("filter", counted[0], settings.max_conditions, "filters within one", "max_conditions")
    if part.name_contains is not None:
        at = f"{path}.nameContains"
        yield text_condition(FIELDS["name"].path, "contain", part.name_contains, at, settings, work)
    if part.role is not None:
        yield {FIELDS["role"].path: part.role.name}
    if part.created_by is not None:
        yield {FIELDS["created_by"].path: str(part.created_by)}
    if part.created_by_user_id is not None:
        yield {CREATED_BY_USER.path: str(part.created_by_user_id)}
    if part.made_by is not None:
        yield made_by([read_text(str(part.made_by), f"{path}.madeBy")])
    if part.has_scope is not None:
        yield {SCOPES.path: read_text(part.has_scope, f"{path}.hasScope")}
    if part.has_tag is not None:
        at = f"{path}.hasTag"
        name, value = read_text(part.has_tag.name, f"{at}.name"), read_text(part.has_tag.value, f"{at}.value")
        yield has_tag({"name": name, "value": value})
    if part.accessed is not None:
        yield {FIELDS["last_accessed_at"].path: {"$ne" if part.accessed else "$eq": None}}
    if part.expired is not None:
        ended = {FIELDS["expires_at"].path: {"$lte": now}}
        yield ended if part.expired else {"$nor": [ended]}
    for name, ((field, operator),) in ((name, compared.items()) for name, compared in _COMPARED.items()):
        if (instant := getattr(part, name)) is not None:
            yield {FIELDS[field].path: {operator: instant}}
    for name, below in (("and", part.and_ or []), ("or", part.or_ or [])):
        parts = [
            [*_conditions(one, f"{path}.{name}[{at}]", settings, counted, work, now, depth=depth + 1)]
            for at, one in enumerate(below)
        ]
        # A filter without conditions matches every key: it adds nothing to `and`, and `or` matches every key with it.
        meaning = [conditions for conditions in parts if conditions]
        if meaning and (name == "and" or len(meaning) == len(parts)):
            yield {f"${name}": [{"$and": conditions} for conditions in meaning]}
