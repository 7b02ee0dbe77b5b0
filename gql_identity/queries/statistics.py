"""Translates a `StatisticsQuery` to a filter and a pipeline, and the rows to the result. No I/O."""

import math
from datetime import datetime
from typing import Any, NamedTuple

from ..messages.requests import APIKeyStatQuery
from ..messages.values import instant_text
from ..settings import Settings
from .conditions import conjunction, read_filter
from .fields import FIELDS, LISTS, Document, get_column
from .inputs import check_count, invalid, read_page, too_many_rows
from .pipeline import Gathered
from .stages import build_pipeline

MAX_TEXT = 255  # characters of a value that JSON does not know


class StatPlan(NamedTuple):
    """What to compute for a statistic: the client's filter, and the stages after it."""

    filter: Document
    pipeline: list[Document]
    names: dict[str, str] | None  # from each name in the result to its path in a row; None for distinct values
    paged: bool
    gathered: list[Gathered]


def stat_plan(request: APIKeyStatQuery, settings: Settings, now: datetime) -> StatPlan:
    """Read an `APIKeyStatQuery`. Raises InvalidArgument that names the part to change."""
    query = request.query
    stages = query.aggregate or []
    if bool(query.distinct) == bool(stages):  # an empty `distinct` is absent, as in Cloudforet
        raise invalid(
            "query", "give either `distinct`, the name of a field, or `aggregate`, a list of at least one stage"
        )
    check_count("query.aggregate", len(stages), settings.max_stages, "stages in one statistic", "max_stages")
    fields = [field for stage in stages if stage.group for field in stage.group.fields or []]
    conditions = read_filter(query, settings, now, extra=sum(len(field.conditions or []) for field in fields))
    names: dict[str, str] | None = None
    gathered: list[Gathered] = []
    if query.distinct:
        pipeline = _distinct(query.distinct)
    else:
        pipeline, names, gathered = build_pipeline(stages, "query.aggregate", settings)
    skip, limit = read_page(query.page, settings)
    part: list[Document] = [{"$skip": skip}] if skip else []
    part.append({"$limit": limit or settings.max_page_size + 1})  # one more tells whether any would be left out
    if limit:
        part = [{"$facet": {"rows": part, "total": [{"$count": "total"}]}}]
    return StatPlan(
        filter=conjunction(conditions), pipeline=[*pipeline, *part], names=names, paged=bool(limit), gathered=gathered
    )


def stat_answer(plan: StatPlan, rows: list[Document], settings: Settings) -> Document:
    """The result of a statistic: `{"results": [...]}`, with `total_count` when paged; instants are text.

    Raises InvalidArgument for one that is not paged and has more rows than the largest page.
    """
    if not plan.paged and len(rows) > settings.max_page_size:
        raise too_many_rows("rows", settings)
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
    # An element of a list is named as in the rows that `unwind` makes.
    elements = {element: path for path, columns in LISTS.items() for element in columns}
    every = {**FIELDS} | {element: LISTS[path][element] for element, path in elements.items()}
    found, column = get_column(every, name, "query.distinct")
    unwind: list[Document] = [{"$unwind": f"${elements[found]}"}] if found in elements else []
    # Leave out null, stored or missing.
    group = {"$group": {"_id": f"${column.path}"}}
    return [*unwind, {"$match": {column.path: {"$ne": None}}}, group, {"$sort": {"_id": 1}}]


def _plain(value: Any) -> Any:
    """A value of the database as JSON; a number that is not finite becomes null, what JSON does not know text."""
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # the driver uses its own class for 64-bit integers
    return value if value is None or type(value) in (str, bool) else str(value)[:MAX_TEXT]
