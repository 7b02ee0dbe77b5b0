"""Translates the stage `group` of a statistic to pipeline stages."""

import re
from datetime import UTC, datetime

from ..messages.query import APIKeyGroup, APIKeyGroupField, APIKeyGroupKey
from .conditions import read_expression
from .fields import INSTANT, NUMBER, TEXT, Column, Document, Kind
from .inputs import check_count, invalid, quoted, read_aliased, read_text
from .pipeline import Computed, Gathered, NewRow, Pipeline


def add_group(pipeline: Pipeline, group: APIKeyGroup, path: str) -> None:
    """Group the rows. Raises InvalidArgument that names the part to change."""
    keys, fields = group.keys or [], group.fields or []
    if not keys and not fields:
        raise invalid(path, "give `keys`, `fields` or both")
    check_count(
        path,
        len(keys) + len(fields),
        pipeline.settings.max_conditions,
        "keys and fields in one stage",
        "max_conditions",
    )
    row = NewRow()
    for position, key in enumerate(keys):
        _add_key(pipeline, row, key, f"{path}.keys[{position}]")
    key_names = list(row.columns)
    for position, field in enumerate(fields):
        _add_field(pipeline, row, field, f"{path}.fields[{position}]")
    stored = row.stored_names()
    gathering = [field for field in fields if read_aliased(field, "operator", path)[0].value in _GATHERS]
    if gathering:
        values = sum(len(field.fields or [None]) for field in gathering)
        pipeline.gathered.append(Gathered(list(pipeline.stages), values))
    by = {stored[name]: row.columns[name].expression for name in key_names}
    accumulators = {stored[name]: made.expression for name, made in row.columns.items() if name not in key_names}
    flat = {at: f"$_id.{at}" for at in by} | {at: f"${at}" for at in accumulators}
    if len(by) == 1:
        (at,) = by
        by, flat[at] = by[at], "$_id"  # databases group faster by a plain value than by an object
    pipeline.stages.append({"$group": {"_id": by or None, **accumulators}})
    pipeline.stages.append({"$replaceWith": flat})
    pipeline.set_columns({name: Column(stored[name], made.kind) for name, made in row.columns.items()}, key_names)


_DATE_PARTS = {"year": "$year", "month": "$month", "day": "$dayOfMonth"}
_FIRST_INSTANT = datetime(1, 1, 1, tzinfo=UTC)
_LAST_INSTANT = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
_DATE_FORMAT = re.compile(r"(?:[^%$]|%[YmdHMSjUuVGL%])+")


def _add_key(pipeline: Pipeline, row: NewRow, key: APIKeyGroupKey, path: str) -> None:
    """Add a key of a group: the value itself, or a part or a format of an instant.

    Of two keys with one name the last one counts, as in Cloudforet.
    """
    key_name, column = pipeline.get(key, path)
    name = row.new_name(key, path, otherwise=key_name, replaces=True)
    if key.date_format is None:
        row.copy(name, column, path)
        return
    at = f"{path}.date_format"
    if column.kind is not INSTANT:
        raise invalid(at, f"it is for instants, and {quoted(key_name)} is {column.kind}; leave it out")
    date_format = read_text(key.date_format, at)
    if date_format in _DATE_PARTS:
        value: Document = {_DATE_PARTS[date_format]: f"${column.path}"}
    else:
        check_count(
            at, len(date_format), pipeline.settings.max_pattern_length, "characters in a format", "max_pattern_length"
        )
        if not _DATE_FORMAT.fullmatch(date_format):
            allowed = "year, month, day or text with %Y %m %d %H %M %S %j %U %u %V %G %L %%, without $"
            raise invalid(at, f"{quoted(date_format)} is not {allowed}")
        value = {"$dateToString": {"date": f"${column.path}", "format": date_format}}
    kind = NUMBER if date_format in _DATE_PARTS else TEXT
    # Null, text and the like sort below every instant: the database could not format them, nor a year of five digits.
    in_range = [{"$gte": [column.value, _FIRST_INSTANT]}, {"$lte": [column.value, _LAST_INSTANT]}]
    row.add(name, {"$cond": [{"$and": in_range}, value, None]}, kind)


_ACCUMULATORS = {
    "sum": "$sum",
    "average": "$avg",
    "max": "$max",
    "min": "$min",
    "first": "$first",
    "last": "$last",
    "push": "$push",
    "add_to_set": "$addToSet",
    "merge_objects": "$mergeObjects",
}
_GATHERS = {"push", "add_to_set"}
_NEEDS_ORDER = {"first", "last", "push", "merge_objects"}


def _add_field(pipeline: Pipeline, row: NewRow, field: APIKeyGroupField, path: str) -> None:
    """Add a computed field of a group: its accumulator and the kind of its result."""
    operator = read_aliased(field, "operator", path)[0].value
    name = row.new_name(field, path)
    if field.fields and operator != "push":
        raise invalid(f"{path}.fields", "only push takes fields; leave them out")
    if field.conditions and operator not in ("count", "sum", "average"):
        raise invalid(f"{path}.conditions", "only count, sum and average take conditions; leave them out")
    tests = [
        read_expression(condition, pipeline.columns, f"{path}.conditions[{position}]")
        for position, condition in enumerate(field.conditions or [])
    ]
    if operator in _NEEDS_ORDER:
        pipeline.sort_if_unsorted()
    if operator == "count":
        if read_aliased(field, "key", path, required=False)[0] is not None:
            pipeline.get(field, path)
        row.add(name, {"$sum": {"$cond": [{"$and": tests}, 1, 0]} if tests else 1}, NUMBER)
        return
    if field.fields:
        value, kind = _pushed_object(pipeline, row, field, path)
    else:
        value, kind = _accumulated(pipeline, row, field, operator, path)
    if tests:
        value = {"$cond": [{"$and": tests}, value, None]}  # sums and averages ignore null
    if operator in ("sum", "average"):
        kind = NUMBER
    elif operator in ("push", "add_to_set"):
        kind = Kind("list", element=kind)
    row.add(name, {_ACCUMULATORS[operator]: value}, kind)


def _accumulated(pipeline: Pipeline, row: NewRow, field: APIKeyGroupField, operator: str, path: str) -> Computed:
    name, column = pipeline.get(field, path)
    if operator == "merge_objects" and column.kind.name != "object":
        raise invalid(path, f"merge_objects merges objects, and {quoted(name)} is {column.kind}; use another column")
    if operator not in ("sum", "average"):
        row.check_copy(column, path)
    return Computed(column.value, column.kind)


def _pushed_object(pipeline: Pipeline, row: NewRow, field: APIKeyGroupField, path: str) -> Computed:
    """The object that `push` collects from each row."""
    if read_aliased(field, "key", path, required=False)[0] is not None:
        raise invalid(path, "give push a key or fields, not both")
    check_count(
        f"{path}.fields",
        len(field.fields or []),
        pipeline.settings.max_conditions,
        "fields in one object",
        "max_conditions",
    )
    pushed = NewRow(outer=row)
    for position, part in enumerate(field.fields or []):
        at = f"{path}.fields[{position}]"
        key_name, column = pipeline.get(part, at)
        pushed.check_copy(column, at)
        pushed.add(pushed.new_name(part, at, otherwise=key_name), column.value, column.kind)
    kinds = {name: made.kind for name, made in pushed.columns.items()}
    expressions = {name: made.expression for name, made in pushed.columns.items()}
    return Computed(expressions, Kind("object", fields=kinds))
