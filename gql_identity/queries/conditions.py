"""The conditions of a query, and the one table of fields that they may name. Pure: nothing here reads the database.

No text of a client becomes an operator, a field's path or a compiled pattern: a path comes from `FIELDS` or from the
stages of a statistic. Every refusal starts with the path of the offending part, as in `query.filter[2].value`.
"""

import json
import math
import re
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from strawberry import UNSET

from ..errors import InvalidArgument
from ..messages.keys import APIKeyInfo, APIKeyRole, APIKeyState
from ..messages.query import APIKeyCondition, APIKeyListQuery, APIKeyStatisticsQuery
from ..settings import Settings

Document = dict[str, Any]

LARGEST_NUMBER = 2**31 - 1  # GraphQL's Int, so that both protocols allow the same
PATTERN_BYTES = 1_000  # the embedded engine reads no longer pattern


class Kind(NamedTuple):
    """What a column holds."""

    name: str  # text, enum, instant, number, list or object
    names: tuple[str, ...] = ()  # an enum's
    element: Any = None  # a list's: the Kind of each element
    fields: Any = None  # an object's: its names and their Kinds, or None where the data alone knows them

    @property
    def is_single(self) -> bool:
        """Whether it is one value, neither a list nor an object."""
        return self.name not in ("list", "object")

    def __str__(self) -> str:
        if self.names:
            return f"one of {', '.join(self.names)}"
        return {"text": "text", "instant": "an instant", "object": "an object"}.get(self.name, f"a {self.name}")


class Column(NamedTuple):
    """One field of a row: where the row keeps it, and what it holds."""

    path: str
    kind: Kind

    @property
    def value(self) -> Document:
        """Its value in an expression; what is missing reads as null."""
        return {"$ifNull": [f"${self.path}", None]}


TEXT, INSTANT, NUMBER, OBJECT = Kind("text"), Kind("instant"), Kind("number"), Kind("object")

FIELDS: Mapping[str, Column] = {
    "api_key_id": Column("_id", TEXT),
    "state": Column("state", Kind("enum", tuple(state.name for state in APIKeyState))),
    "user_id": Column("user_id", TEXT),
    "domain_id": Column("domain_id", TEXT),
    "last_accessed_at": Column("last_accessed_at", INSTANT),
    "created_at": Column("created_at", INSTANT),
    "name": Column("name", TEXT),
    "role": Column("role", Kind("enum", tuple(role.name for role in APIKeyRole))),
    "created_by": Column("created_by", TEXT),
}
READABLE = tuple(APIKeyInfo.__dataclass_fields__)
SNAKE_CASE = {re.sub("_(.)", lambda part: part[1].upper(), name): name for name in (*FIELDS, *READABLE)}
COMPARISONS = {"eq": "$eq", "not": "$ne", "lt": "$lt", "lte": "$lte", "gt": "$gt", "gte": "$gte"}


def read_filter(
    query: APIKeyListQuery | APIKeyStatisticsQuery, settings: Settings, now: datetime, extra: int = 0
) -> list[Document]:
    """What `filter`, `filter_or` and `keyword` ask for, all of which must hold.

    The bound on conditions counts `extra` ones that stand elsewhere.
    """
    every, some = query.filter or [], query.filter_or or []
    words = read_text(query.keyword or "", "query.keyword").split()
    number = len(every) + len(some) + len(words) + extra
    check_count("query", number, settings.max_conditions, "conditions in one query, a keyword's words included")
    must = [_condition(part, f"query.filter[{at}]", settings, now) for at, part in enumerate(every)]
    may = [_condition(part, f"query.filter_or[{at}]", settings, now) for at, part in enumerate(some)]
    patterns = _alternatives([_escaped(word, "query.keyword", settings) for word in words])
    may += [_matching(FIELDS[name].path, pattern) for name in ("api_key_id", "user_id") for pattern in patterns]
    return [*must, {"$or": may}] if may else must


def read_expression(part: APIKeyCondition, columns: Mapping[str, Column], path: str) -> Document:
    """A condition on the rows of a statistic, as an expression that compares as a filter does."""
    key, key_path = either(part, "key", path)
    name, column = find(columns, key, key_path)
    operator, operator_path = either(part, "operator", path)
    if operator.value not in COMPARISONS:
        raise refusal(operator_path, f"a condition of a group compares by {', '.join(COMPARISONS)}")
    if not column.kind.is_single:
        raise refusal(key_path, f"{echo(name)} is {column.kind}, which is not compared")
    value, at = either(part, "value", path)
    is_order = operator.value not in ("eq", "not")
    value = _single(column.kind, value, at, null=not is_order)
    compared = {COMPARISONS[operator.value]: [column.value, {"$literal": value}]}
    # In an expression null is less than everything; in a filter it has no order.
    return {"$and": [{"$ne": [column.value, None]}, compared]} if is_order else compared


# What every part of a query needs.


def refusal(path: str, message: str) -> InvalidArgument:
    """The error for a part of a query, which its path names."""
    return InvalidArgument(f"{path}: {message}.")


def echo(text: str) -> str:
    """What a client sent, safe to send back: at most 40 characters, quoted."""
    shown = text[:40].encode("utf-8", "replace").decode()
    return json.dumps(shown + ("..." if len(text) > 40 else ""), ensure_ascii=False)


def check_count(path: str, number: int, bound: int, what: str) -> None:
    """Refuse more than the bound."""
    if number > bound:
        raise refusal(path, f"at most {bound} {what}; there are {number}")


def either(part: Any, name: str, path: str, *, required: bool = True) -> tuple[Any, str]:
    """The value of `key` or of its alias `k`, and the path of the one that was given; never of both."""
    null_is_given = name == "value"
    found: tuple[Any, str] | None = None
    for spelling in (name, name[0]):
        value = getattr(part, spelling)
        if value is UNSET or (value is None and not null_is_given):
            continue
        if found is not None:
            raise refusal(path, f"give {name} or {name[0]}, not both")
        found = (value, f"{path}.{spelling}")
    if found is None and required:
        raise refusal(path, f"{name} is missing")
    return found or (None, f"{path}.{name}")


def find(columns: Mapping[str, Column], name: str, path: str) -> tuple[str, Column]:
    """A column by its name, in either spelling where it is a field's, and the name it stands under."""
    found = name if name in columns else SNAKE_CASE.get(name, name)
    if found not in columns:
        raise refusal(path, f"{echo(name)} is not a field here; use one of {', '.join(list(columns)[:40])}")
    return found, columns[found]


def read_number(value: Any, path: str) -> int | float:
    """A number that the database can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal(path, f"a number is needed here, not {_what(value)}")
    if not (math.isfinite(value) if isinstance(value, float) else -(2**63) <= value < 2**63):
        raise refusal(path, "a number is finite here, and an integer fits 64 bits")
    return value


def read_text(value: Any, path: str) -> str:
    """Text that the database can hold."""
    if not isinstance(value, str):
        raise refusal(path, f"text is needed here, not {_what(value)}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise refusal(path, "text here has no NUL character and no half of one (a lone surrogate); leave it out")
    return value


def _what(value: Any) -> str:
    """The kind of a JSON value; never its content, which may be as deep as its sender likes."""
    kinds = {bool: "a boolean", str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")


# One condition.


def _condition(part: APIKeyCondition, path: str, settings: Settings, now: datetime) -> Document:
    key, key_path = either(part, "key", path)
    name, column = find(FIELDS, key, key_path)
    operator = either(part, "operator", path)[0].value
    value, at = either(part, "value", path)
    if operator in COMPARISONS:
        null = operator in ("eq", "not")
        return {column.path: {COMPARISONS[operator]: _single(column.kind, value, at, null=null)}}
    if operator in ("in", "not_in"):
        values = [_single(column.kind, item, item_at, null=True) for item, item_at in _items(value, at, settings)]
        return {column.path: {"$in" if operator == "in" else "$nin": values}}
    if operator == "exists":
        if not isinstance(value, bool):
            raise refusal(at, f"exists takes true or false, not {_what(value)}")
        return {column.path: {"$ne" if value else "$eq": None}}  # what is missing equals null
    if operator == "match":
        raise refusal(path, f"match is for arrays of objects, and {name} is {column.kind}; use another operator")
    family, _, comparison = operator.partition("_")
    if family in ("datetime", "timediff"):
        if column.kind is not INSTANT:
            raise refusal(path, f"{operator} compares instants, and {name} is {column.kind}")
        instant = _instant(value, at) if family == "datetime" else _from_now(value, at, now)
        return {column.path: {COMPARISONS[comparison]: instant}}
    if column.kind is INSTANT:
        raise refusal(path, f"{operator} looks into text, and {name} is an instant")
    return search(column.path, operator, value, at, settings)


def search(path: str, operator: str, value: Any, at: str, settings: Settings) -> Document:
    """The condition of `contain`, `regex` and their kin."""
    texts = _items(value, at, settings) if operator.endswith("_in") else [(value, at)]
    if operator.startswith("regex"):
        patterns = [_pattern(text, text_at, settings) for text, text_at in texts]
    else:
        patterns = _alternatives([_escaped(text, text_at, settings) for text, text_at in texts])
    found = [_matching(path, pattern) for pattern in dict.fromkeys(patterns)]
    found = found or [{path: {"$in": []}}]  # of no texts none is found
    if operator.startswith("not_"):
        return {"$nor": found}
    return found[0] if len(found) == 1 else {"$or": found}


def _items(value: Any, path: str, settings: Settings) -> list[tuple[Any, str]]:
    """The items of a list, each with its own path."""
    if not isinstance(value, list):
        raise refusal(path, f"this operator takes a list, not {_what(value)}")
    check_count(path, len(value), settings.max_list_values, "values in one list")
    return [(item, f"{path}[{position}]") for position, item in enumerate(value)]


def _single(kind: Kind, value: Any, path: str, *, null: bool) -> Any:
    """One value to compare a column with, as the database keeps it."""
    if value is None and null:
        return None
    if kind is NUMBER:
        return read_number(value, path)
    if not isinstance(value, str):
        raise refusal(path, f"{kind} is compared here, not {_what(value)}")
    if kind is INSTANT:
        return _instant(value, path)
    if kind.names and value not in kind.names:
        raise refusal(path, f"{echo(value)} is not {kind}")
    return read_text(value, path)


def _instant(value: Any, path: str) -> datetime:
    """An instant to the millisecond, as it is kept; without an offset it is UTC."""
    text = read_text(value, path)
    try:
        instant = datetime.fromisoformat(text)
        instant = instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise refusal(path, f"{echo(text)} is not ISO 8601, as 2026-11-23T04:36:42Z is") from None
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


_FROM_NOW = re.compile(r"(now|now/d|now/w|now/m)(?: *([+-]) *([0-9]{1,18}) *([smhdw]))?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _from_now(value: Any, path: str, now: datetime) -> datetime:
    text = read_text(value, path)
    found = _FROM_NOW.fullmatch(text)
    if found is None:
        raise refusal(path, f"{echo(text)} is not now, now/d, now/w or now/m, as it is or with ±N s, m, h, d or w")
    base, sign, number, unit = found.groups()
    now = now.astimezone(UTC).replace(microsecond=now.microsecond // 1000 * 1000)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = {"now": now, "now/d": day, "now/w": day - timedelta(days=day.weekday()), "now/m": day.replace(day=1)}[base]
    try:
        return start + timedelta(**{_UNITS[unit]: int(sign + number)}) if unit else start
    except OverflowError:
        raise refusal(path, f"{echo(text)} is outside the years 1 to 9999") from None


# Patterns.

_META = re.compile(r"[\\^$.|?*+()\[\]{}]")
# What every database we run on reads alike; then, refused, what else Python reads, and what needs backtracking.
_TOKEN = re.compile(
    r"\[\^?\]?(?:\\[dwsnrtf]|\\x[0-9a-fA-F]{2}|\\[^a-zA-Z0-9]|[^\]\\\[])*\]"
    r"|\\[dDwWsSbBAnrtf]|\\x[0-9a-fA-F]{2}|\\[^a-zA-Z0-9]"
    r"|\(\?:|\(\?P<|\(\?(?:[ims]+|[ims]*-[ims]+:|[ims]+:)"
    r"|(?P<refused>\\.|\(\?.|\[|[*+?}]\+|\{,)",
    re.DOTALL,
)
_ALLOWED = r"classes (of no \D, \W or \S), groups, alternatives, repetition, anchors, \d \w \s \b and escaped signs"
# MongoDB means ASCII by these; the embedded engine means Unicode, and takes a millisecond a document for each.
_CLASSES = {r"\d": "0-9", r"\w": "0-9A-Za-z_", r"\s": r"\t\n\x0b\f\r "}


def _matching(path: str, pattern: str) -> Document:
    # Never a compiled pattern: the embedded engine finds nothing by one on an indexed field.
    return {path: {"$regex": pattern, "$options": "i"}}


def _bounded(value: Any, path: str, settings: Settings) -> str:
    text = read_text(value, path)
    check_count(path, len(text), settings.max_pattern_length, "characters in a pattern or a text to look for")
    return text


def _escaped(value: Any, path: str, settings: Settings) -> str:
    """A pattern that finds a text as it stands."""
    pattern = _META.sub(r"\\\g<0>", _bounded(value, path, settings))
    check_count(path, len(pattern.encode()), PATTERN_BYTES, "bytes in a text to look for")
    return pattern


def _alternatives(patterns: list[str]) -> list[str]:
    """Escaped texts joined to few patterns: each costs a walk through the text, however many texts it holds."""
    joined: list[str] = []
    for pattern in dict.fromkeys(patterns):
        if joined and len(joined[-1].encode()) + len(pattern.encode()) < PATTERN_BYTES:
            joined[-1] += "|" + pattern
        else:
            joined.append(pattern)
    return joined


def _pattern(value: Any, path: str, settings: Settings) -> str:
    """A client's pattern, in the syntax that all databases read alike and the embedded one without backtracking."""
    pattern = _bounded(value, path, settings)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Python warns of what other engines read differently.
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise refusal(path, f"{echo(pattern)} is not a pattern: {echo(str(error))}") from None
    refused = [token[0] for token in _TOKEN.finditer(pattern) if token["refused"]]
    if refused:
        raise refusal(path, f"{echo(refused[0])} is not read in a pattern; use {_ALLOWED}")
    pattern = _TOKEN.sub(_written_out, pattern)
    check_count(path, len(pattern.encode()), PATTERN_BYTES, r"bytes in a pattern, its \d, \w and \s written out")
    return pattern


def _written_out(token: re.Match[str]) -> str:
    """A token with its `\\d`, `\\w` and `\\s` as ranges."""
    text = token[0]
    if text.startswith("["):
        return re.sub(r"\\.", lambda escape: _CLASSES.get(escape[0], escape[0]), text, flags=re.DOTALL)
    ranges = _CLASSES.get(text.lower())
    return text if ranges is None else f"[{ranges}]" if text.islower() else f"[^{ranges}]"
