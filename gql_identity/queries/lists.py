"""Translates a list, Cloudforet's `Query`, to a filter, a sort and a page. No I/O."""

from datetime import datetime
from typing import NamedTuple

from ..messages.query import APIKeyListQuery, APIKeySort
from ..messages.requests import APIKeyQuery
from ..settings import Settings
from .conditions import conjunction, read_filter
from .fields import FIELDS, READABLE, SNAKE_CASE, Document, listed
from .inputs import invalid, quoted, read_page
from .sorts import read_sort

MINIMAL = frozenset({"api_key_id", "state", "user_id"})


class ListPlan(NamedTuple):
    """What to read for a list. The filter is the client's; the domain and the caller's scope are added later."""

    filter: Document
    sort: dict[str, int]
    skip: int
    limit: int
    paged: bool  # whether the client gave the limit
    wanted: frozenset[str] | None  # snake_case names of `APIKeyInfo`; None for all
    count_only: bool


def list_plan(request: APIKeyQuery, settings: Settings, now: datetime) -> ListPlan:
    """Read an `APIKeyQuery`. Raises InvalidArgument that names the part to change."""
    query = request.query or APIKeyListQuery()
    if query.unwind is not None:
        raise invalid("query.unwind", "a list returns each key once; leave it out. Statistics have `unwind`")
    if query.minimal and query.only:
        raise invalid("query.minimal", "it is short for an `only`; give one of the two")
    own: Document = {}
    if request.api_key_id is not None:
        own["_id"] = str(request.api_key_id)
    if request.state is not None:
        own["state"] = request.state.name
    if request.user_id is not None:
        own["user_id"] = str(request.user_id)
    skip, limit = read_page(query.page, settings)
    return ListPlan(
        filter=conjunction([*([own] if own else []), *read_filter(query, settings, now)]),
        sort=_list_sort(query.sort),
        skip=skip,
        limit=limit or settings.max_page_size,
        paged=bool(limit),
        wanted=MINIMAL if query.minimal else wanted_fields(query.only, "query.only"),
        count_only=query.count_only,
    )


def wanted_fields(only: list[str] | None, path: str) -> frozenset[str] | None:
    """The fields of `APIKeyInfo` that `only` names, in snake_case; None, which means all, if it names none.

    Raises InvalidArgument for an unknown field.
    """
    if not only:
        return None
    names = [SNAKE_CASE.get(name, name) for name in only]
    for position, name in enumerate(names):
        if name not in READABLE:
            raise invalid(f"{path}[{position}]", f"{quoted(name)} is not a field; use one of {listed(READABLE)}")
    return frozenset(names)


def _list_sort(sort: APIKeySort | None) -> dict[str, int]:
    keys = (read_sort(sort, FIELDS, "query.sort") if sort else {}) or {"_id": 1}
    # Ids break ties, so that pages neither overlap nor skip.
    return {**keys, "_id": keys.get("_id", list(keys.values())[-1])}
