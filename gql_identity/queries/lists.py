"""The query language: a request becomes a plan of filters, sorts and stages. Pure: nothing here reads the database.

`conditions` reads the conditions, `stages` the stages of a statistic; what a list and a statistic share is here.
Every refusal starts with the path of the offending part, as in `query.filter[2].value`.
"""

import math
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..messages.keys import APIKeyQuery, APIKeyStatQuery, instant_text
from ..messages.query import APIKeyListQuery, APIKeyPage, APIKeySort
from ..settings import Settings
from .conditions import (
    FIELDS,
    LARGEST_NUMBER,
    READABLE,
    SNAKE_CASE,
    Document,
    check_count,
    echo,
    find,
    read_filter,
    read_text,
    refusal,
)
from .stages import Rows, sort_keys

MINIMAL = frozenset({"api_key_id", "state", "user_id"})


class ListPlan(NamedTuple):
    """What to read for a list. The filter is the client's own, without its domain and the caller's reach."""

    filter: Document
    sort: dict[str, int]
    skip: int
    limit: int
    wanted: frozenset[str] | None  # snake_case names of `APIKeyInfo`; None for all
    count_only: bool


class StatPlan(NamedTuple):
    """What to compute for a statistic: the client's own filter, and the stages after it."""

    filter: Document
    pipeline: list[Document]
    names: dict[str, str] | None  # each name in the answer, and where a row keeps it; None for distinct values
    paged: bool


def list_plan(request: APIKeyQuery, settings: Settings, now: datetime) -> ListPlan:
    """Read an `APIKeyQuery`. Raises InvalidArgument that names the part to change."""
    query = request.query or APIKeyListQuery()
    if query.unwind is not None:
        raise refusal("query.unwind", "a key has no field that is an array; leave it out")
    if query.minimal and query.only:
        raise refusal("query.minimal", "it is short for an only; give one of the two")
    own: dict[str, Any] = {}
    if request.api_key_id is not None:
        own["_id"] = read_text(str(request.api_key_id), "api_key_id")
    if request.state is not None:
        own["state"] = request.state.name
    if request.user_id is not None:
        own["user_id"] = read_text(str(request.user_id), "user_id")
    skip, limit = _page(query.page, settings)
    return ListPlan(
        filter=_all([*([own] if own else []), *read_filter(query, settings, now)]),
        sort=_list_sort(query.sort),
        skip=skip,
        limit=limit or settings.max_page_size,
        wanted=MINIMAL if query.minimal else wanted_fields(query.only, "query.only"),
        count_only=query.count_only,
    )


def wanted_fields(only: list[str] | None, path: str) -> frozenset[str] | None:
    """The fields of `APIKeyInfo` that `only` names, in snake_case; None, for all, where it names none.

    Raises InvalidArgument for a name that is no field of it.
    """
    if not only:
        return None
    names = [SNAKE_CASE.get(name, name) for name in only]
    for position, name in enumerate(names):
        if name not in READABLE:
            raise refusal(f"{path}[{position}]", f"{echo(name)} is not a field; use one of {', '.join(READABLE)}")
    return frozenset(names)


def stat_plan(request: APIKeyStatQuery, settings: Settings, now: datetime) -> StatPlan:
    """Read an `APIKeyStatQuery`. Raises InvalidArgument that names the part to change."""
    query = request.query
    stages = query.aggregate or []
    if (query.distinct is None) == (not stages):
        raise refusal("query", "give either distinct, a field's name, or aggregate, a list of at least one stage")
    check_count("query.aggregate", len(stages), settings.max_stages, "stages in one statistic")
    fields = [field for stage in stages if stage.group for field in stage.group.fields or []]
    conditions = read_filter(query, settings, now, extra=sum(len(field.conditions or []) for field in fields))
    names: dict[str, str] | None = None
    if query.distinct is not None:
        pipeline = _distinct(query.distinct)
    else:
        rows = Rows(settings)
        for position, stage in enumerate(stages):
            rows.add(stage, f"query.aggregate[{position}]")
        pipeline, names = rows.finish()
    skip, limit = _page(query.page, settings)
    part: list[Document] = [{"$skip": skip}] if skip else []
    part.append({"$limit": limit or settings.max_page_size})
    if limit:
        part = [{"$facet": {"rows": part, "total": [{"$count": "total"}]}}]
    return StatPlan(filter=_all(conditions), pipeline=[*pipeline, *part], names=names, paged=bool(limit))


def stat_answer(plan: StatPlan, rows: list[Document]) -> Document:
    """The answer to a statistic: `{"results": [...]}`, with `total_count` when paged; instants are text."""
    answer: Document = {}
    if plan.paged:
        total = rows[0]["total"]
        rows = rows[0]["rows"]
        answer["total_count"] = total[0]["total"] if total else 0
    if plan.names is None:
        return {"results": [_plain(row["_id"]) for row in rows], **answer}
    names = plan.names.items()
    return {"results": [{name: _plain(row.get(path)) for name, path in names} for row in rows], **answer}


def _distinct(name: str) -> list[Document]:
    _, column = find(FIELDS, name, "query.distinct")
    # Null is no value, whether it is stored or the field is missing: it is left out.
    return [{"$match": {column.path: {"$ne": None}}}, {"$group": {"_id": f"${column.path}"}}, {"$sort": {"_id": 1}}]


def _page(page: APIKeyPage | None, settings: Settings) -> tuple[int, int]:
    """How many to leave out, and how many to answer: 0 for all."""
    start, limit = (page.start or 1, page.limit or 0) if page else (1, 0)
    if start > LARGEST_NUMBER:
        raise refusal("query.page.start", f"it is at most {LARGEST_NUMBER}")
    if not 0 <= limit <= settings.max_page_size:
        raise refusal("query.page.limit", f"it is at most {settings.max_page_size}; 0 asks for all, up to that many")
    return max(start, 1) - 1, limit


def _list_sort(sort: APIKeySort | None) -> dict[str, int]:
    keys = sort_keys(sort, FIELDS, "query.sort") if sort else {"_id": 1}
    # Ids break ties, so that pages neither overlap nor skip.
    return {**keys, "_id": keys.get("_id", list(keys.values())[-1])}


def _all(conditions: list[Document]) -> Document:
    """All of the conditions as one."""
    if len(conditions) > 1:
        return {"$and": conditions}
    return conditions[0] if conditions else {}


def _plain(value: Any) -> Any:
    """A value of the database as JSON has it; a number that is not finite is null."""
    if isinstance(value, datetime):
        return instant_text(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # the driver has a class of its own for 64 bits
    return value
