"""Translates the conditions of a query to filters and expressions. No I/O."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from ..messages.query import APIKeyCondition, APIKeyListQuery, APIKeyStatisticsQuery
from ..messages.values import read_rfc_3339, utc_milliseconds
from ..settings import Settings
from .fields import FIELDS, INSTANT, NUMBER, OBJECT, TEXT, Column, Document, Kind, get_column
from .inputs import check_count, invalid, json_type, quoted, read_aliased, read_items, read_number, read_text
from .patterns import Work, escape_text, join_alternatives, regex_condition, text_condition

# Only to be filtered by; a statistic of all fields has no further column for it.
CREATED_BY_USER = Column("created_by_user_id", TEXT)
# Lists: only to be filtered by, each with these operators.
MAKERS = Column("makers", Kind("list", element=TEXT))
SCOPES = Column("scopes", Kind("list", element=TEXT))
TAGS = Column("tags", Kind("list", element=OBJECT))
_OPERATORS_OF_LISTS = {
    "makers": ("eq", "not", "in", "not_in"),
    "scopes": ("eq", "not", "in", "not_in", "exists"),
    "tags": ("match", "exists"),
}
_FILTERED = {**FIELDS, "created_by_user_id": CREATED_BY_USER, "makers": MAKERS, "scopes": SCOPES, "tags": TAGS}
COMPARISONS = {"eq": "$eq", "not": "$ne", "lt": "$lt", "lte": "$lte", "gt": "$gt", "gte": "$gte"}


def read_filter(
    query: APIKeyListQuery | APIKeyStatisticsQuery, settings: Settings, now: datetime, extra: int = 0
) -> list[Document]:
    """Read `filter`, `filter_or` and `keyword` into conditions that must all hold.

    `extra` is the number of conditions in other parts of the query; they count towards the limit. Raises
    InvalidArgument that names the part to change.
    """
    every, some = query.filter or [], query.filter_or or []
    words = read_text(query.keyword or "", "query.keyword").split()
    number = len(every) + len(some) + len(words) + extra
    check_count(
        "query",
        number,
        settings.max_conditions,
        "conditions in one query, a keyword's words included",
        "max_conditions",
    )
    work = Work()
    must = [_condition(part, f"query.filter[{at}]", settings, now, work) for at, part in enumerate(every)]
    may = [_condition(part, f"query.filter_or[{at}]", settings, now, work) for at, part in enumerate(some)]
    patterns = join_alternatives([escape_text(word, "query.keyword", settings, work) for word in words])
    may += [regex_condition(FIELDS[name].path, pattern) for name in ("api_key_id", "user_id") for pattern in patterns]
    return [*must, {"$or": may}] if may else must


def read_expression(part: APIKeyCondition, columns: Mapping[str, Column], path: str) -> Document:
    """Read a condition on the rows of a statistic into an expression that compares like a filter.

    Raises InvalidArgument that names the part to change.
    """
    key, key_path = read_aliased(part, "key", path)
    name, column = get_column(columns, key, key_path)
    operator, operator_path = read_aliased(part, "operator", path)
    if operator.value not in COMPARISONS:
        raise invalid(operator_path, f"use an operator that a condition of a group takes: {', '.join(COMPARISONS)}")
    if not column.kind.is_single:
        raise invalid(key_path, f"{quoted(name)} is {column.kind}, which cannot be compared; use another column")
    value, at = read_aliased(part, "value", path)
    is_order = operator.value not in ("eq", "not")
    value = _single(column.kind, value, at, null=not is_order)
    compared = {COMPARISONS[operator.value]: [column.value, {"$literal": value}]}
    # In an expression null is less than every value; a filter's order comparisons never match null.
    return {"$and": [{"$ne": [column.value, None]}, compared]} if is_order else compared


def made_by(makers: list[str], *, negated: bool = False) -> Document:
    """The condition that one of these keys made a key, directly or through others."""
    ids = makers[0] if len(makers) == 1 else {"$in": makers}
    # Older keys have no `makers`: only their direct maker is known.
    return {"$nor" if negated else "$or": [{MAKERS.path: ids}, {FIELDS["created_by"].path: ids}]}


def has_tag(parts: dict[str, str]) -> Document:
    """The condition that a key has a tag with this name, value or both."""
    return {TAGS.path: {"$elemMatch": parts}}


def conjunction(conditions: list[Document]) -> Document:
    """Combine conditions into one filter that requires all of them; an empty filter without conditions."""
    if len(conditions) > 1:
        return {"$and": conditions}
    return conditions[0] if conditions else {}


def _condition(part: APIKeyCondition, path: str, settings: Settings, now: datetime, work: Work) -> Document:
    key, key_path = read_aliased(part, "key", path)
    name, column = get_column(_FILTERED, key, key_path)
    operator = read_aliased(part, "operator", path)[0].value
    value, at = read_aliased(part, "value", path)
    if name in _OPERATORS_OF_LISTS:
        if operator not in (operators := _OPERATORS_OF_LISTS[name]):
            usable = f"{', '.join(operators[:-1])} or {operators[-1]}"
            raise invalid(path, f"`{name}` does not support this operator; use {usable}")
        return _list_condition(column, operator, value, at, settings)
    if operator in COMPARISONS:
        null = operator in ("eq", "not")
        return {column.path: {COMPARISONS[operator]: _single(column.kind, value, at, null=null)}}
    if operator in ("in", "not_in"):
        values = [_single(column.kind, item, item_at, null=True) for item, item_at in read_items(value, at, settings)]
        return {column.path: {"$in" if operator == "in" else "$nin": values}}
    if operator == "exists":
        return {column.path: {"$ne" if _boolean(value, at) else "$eq": None}}  # a missing field equals null
    if operator == "match":
        raise invalid(path, f"match is for arrays of objects, and `{name}` is {column.kind}; use another operator")
    family, _, comparison = operator.partition("_")
    if family in ("datetime", "timediff"):
        if column.kind is not INSTANT:
            raise invalid(path, f"{operator} compares instants, and `{name}` is {column.kind}; use another operator")
        instant = _instant(value, at) if family == "datetime" else _from_now(value, at, now)
        return {column.path: {COMPARISONS[comparison]: instant}}
    if column.kind is INSTANT:
        raise invalid(path, f"{operator} searches text, and `{name}` is an instant; use another operator")
    return text_condition(column.path, operator, value, at, settings, work)


def _list_condition(column: Column, operator: str, value: Any, at: str, settings: Settings) -> Document:
    """A condition on a list of a key, with one of the operators that it has."""
    if column is TAGS:
        if operator == "match":
            return has_tag(_tag_parts(value, at))
        # One without tags may have an empty list, or none.
        any_tag = {TAGS.path: {"$elemMatch": {"name": {"$ne": None}}}}
        return any_tag if _boolean(value, at) else {"$nor": [any_tag]}
    if operator == "exists":
        return {column.path: {"$ne" if _boolean(value, at) else "$eq": None}}
    many = read_items(value, at, settings) if operator.endswith("in") else [(value, at)]
    texts = [read_text(item, item_at) for item, item_at in many]
    if column is MAKERS:
        return made_by(texts, negated=operator.startswith("not"))
    return {column.path: {"$nin" if operator.startswith("not") else "$in": texts}}


def _tag_parts(value: Any, at: str) -> dict[str, str]:
    if not isinstance(value, dict) or not value or not value.keys() <= {"name", "value"}:
        raise invalid(at, "give an object of `name`, `value` or both, as in {name: team, value: payments}")
    return {name: read_text(part, f"{at}.{name}") for name, part in value.items()}


def _boolean(value: Any, at: str) -> bool:
    if not isinstance(value, bool):
        raise invalid(at, f"give true or false, which exists takes, not {json_type(value)}")
    return value


def _single(kind: Kind, value: Any, path: str, *, null: bool) -> Any:
    """A value to compare a column with, converted to what the database stores."""
    if value is None and null:
        return None
    if kind is NUMBER:
        return read_number(value, path)
    if not isinstance(value, str):
        raise invalid(path, f"give {kind}, not {json_type(value)}")
    if kind is INSTANT:
        return _instant(value, path)
    if kind.names and value not in kind.names:
        raise invalid(path, f"{quoted(value)} is not {kind}")
    return read_text(value, path)


# Dates and times of ISO 8601, in its extended or basic format. Python would also accept week dates and any separator.
_ISO_8601 = re.compile(
    r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}([Tt ]([01][0-9]|2[0-3])[0-9:.,]*([Zz]|[+-][0-9]{2}(:?[0-5][0-9])?)?)?"
)


def _instant(value: Any, path: str) -> datetime:
    """An instant in whole milliseconds, as the database stores it; without an offset it is UTC.

    Conditions read ISO 8601, as Cloudforet does: dates and the basic format too, not only RFC 3339.
    """
    text = read_text(value, path)
    with suppress(ValueError, OverflowError):  # it has leap seconds
        return read_rfc_3339(text)
    try:
        if not _ISO_8601.fullmatch(text):
            raise ValueError
        instant = datetime.fromisoformat(text.upper())
        return utc_milliseconds(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise invalid(path, f"{quoted(text)} is not ISO 8601; give for example 2026-11-23T04:36:42Z") from None


_FROM_NOW = re.compile(r"(now|now/d|now/w|now/m)(?: *([+-]) *([0-9]{1,18}) *([smhdw]))?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _from_now(value: Any, path: str, now: datetime) -> datetime:
    text = read_text(value, path)
    found = _FROM_NOW.fullmatch(text)
    if found is None:
        raise invalid(path, f"{quoted(text)} is not now, now/d, now/w or now/m, alone or with ±N s, m, h, d or w")
    base, sign, number, unit = found.groups()
    now = now.astimezone(UTC).replace(microsecond=now.microsecond // 1000 * 1000)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = {"now": now, "now/d": day, "now/w": day - timedelta(days=day.weekday()), "now/m": day.replace(day=1)}[base]
    try:
        return start + timedelta(**{_UNITS[unit]: int(sign + number)}) if unit else start
    except OverflowError:
        raise invalid(path, f"{quoted(text)} is outside the years 1 to 9999") from None
