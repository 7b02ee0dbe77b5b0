"""What the fields of this schema cost: the lengths of lists, the weights of resolvers, the values of statistics.

The unit is a value that graphql-core completes, which takes 4 µs. Measured in the process, without the database: a
connection of a user or a domain in a list takes 75 to 135 µs, a statistic of a domain 230; a list, a connection or a
statistic at the top 600; a key by its id, which shares its read with others, 35.
"""

import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from ..execution.cost import CostRules
from ..keys.usage import MAX_INTERVALS
from ..messages.connections import DEFAULT_PAGE_SIZE
from ..messages.usage import APIKeyUsageInterval
from ..messages.values import read_rfc_3339
from ..queries.fields import FIELDS, LISTS, SNAKE_CASE
from ..settings import Settings

LENGTH_ARGUMENTS = {
    "Query.apiKeys": ("input.query.page.limit",),
    "Query._entities": ("representations",),
    "Mutation.verifyApiKeys": ("input",),
}

WEIGHTS = {
    "Query.apiKeys": 150,
    "Query.apiKeysConnection": 150,
    "Query.apiKeyStats": 150,
    "Query.apiKeyAudit": 150,
    "Query.apiKey": 10,
    "Query.node": 10,
    "Query._entities": 10,
    "Mutation.disableApiKeys": 500,  # a read and up to five writes of 200 keys
    "User.apiKeys": 30,
    "Domain.apiKeys": 30,
    # The database runs a pipeline for each domain, which takes it up to 8 ms.
    "Domain.apiKeyStats": 500,
    "APIKeyInfo.usage": 100,  # beside the counts themselves, which `values_of_usage` tells
}

# The longest ones, from what keys, cursors and the schema may have. A list of texts counts as three, whatever it holds.
KILOBYTES = {
    # The tags of a key have 17 together, and count as one tag.
    "APIKeyTag.name": 9,
    "APIKeyTag.value": 9,
    "APIKeyInfo.scopes": 2,
    "APIKeyInfo.allowedAddresses": 2,
    "APIKeyVerification.missingScopes": 2,
    # One change of several in an entry may be of the tags.
    "APIKeyAuditChange.before": 6,
    "APIKeyAuditChange.after": 6,
    "APIKeyEdge.cursor": 4,
    "_Service.sdl": 50,
}

BYTES_OF_A_VALUE = 250  # of a statistic; a longer value counts once more for each of these
_TEXT = 5  # an id or a name: 255 characters have up to 1,020 bytes
_GATHERS = ("PUSH", "ADD_TO_SET")
OUTCOMES_OF_A_KEY = 6  # all but NOT_FOUND and MALFORMED, which are of no key


def cost_rules(settings: Settings) -> CostRules:
    """The rules, with the limits of pages and statistics that the settings give."""
    values = partial(
        values_of_statistic,
        max_rows=settings.max_page_size,
        gathered=settings.max_gathered_values * _TEXT,
        most=settings.max_answer_bytes // BYTES_OF_A_VALUE,
    )
    return CostRules(
        max_page=settings.max_page_size,
        arguments=LENGTH_ARGUMENTS,
        connection_arguments=("first", "last"),
        connection_default=DEFAULT_PAGE_SIZE,
        # Average lengths; those of introspection are this schema's.
        typical={
            "APIKeyInfo.tags": 1,
            "__Schema.types": 60,
            "__Type.fields": 2,
            "__Field.args": 1,
            "__Type.inputFields": 3,
        },
        weights=WEIGHTS,
        values={
            "Query.apiKeyStats": lambda arguments: values(_part(arguments.get("input"), "query")),
            "Domain.apiKeyStats": lambda arguments: values(arguments.get("query")),
            "APIKeyInfo.usage": partial(values_of_usage, kept_days=settings.usage_days),
        },
        timed=frozenset({"APIKeyInfo.usage"}),  # its period ends now at the latest
        kilobytes=KILOBYTES,
        advice="Ask for smaller pages (`page.limit`, `first`), fewer fields, or fewer connections and statistics.",
    )


def values_of_usage(arguments: dict[str, Any], kept_days: int) -> int:
    """How many counts the usage of a key has at most: one for each interval of its period and each outcome.

    A period that cannot be read counts as the longest. It is refused when it is read.
    """
    is_hourly = arguments.get("interval") == APIKeyUsageInterval.HOUR.name
    hours = (kept_days + 2) * 24.0
    try:
        since, until = arguments.get("since"), arguments.get("until")
        if since is None:
            period = timedelta(days=1 if is_hourly else 30)
        else:
            at = datetime.now(UTC)
            period = (at if until is None else min(read_rfc_3339(until), at)) - read_rfc_3339(since)
        hours = min(hours, period / timedelta(hours=1))
    except (OverflowError, TypeError, ValueError):
        pass
    # The first and the last interval count in full.
    intervals = math.ceil(hours if is_hourly else hours / 24) + 1
    return max(1, min(intervals, MAX_INTERVALS)) * OUTCOMES_OF_A_KEY


def values_of_statistic(query: Any, max_rows: int, gathered: int, most: int) -> int:
    """How many values a statistic returns at most: its rows times the width of a row, and what it gathers in lists.

    `most` is what it may return at all, and what an invalid query counts: it is refused when it is read.
    """
    try:
        limit = (query.get("page") or {}).get("limit")
        max_rows = min(limit, max_rows) if limit else max_rows
        if query.get("distinct"):
            return max(1, min(max_rows * _width(FIELDS_WIDTH, query["distinct"]), most))
        rows, columns, gathers = max_rows, FIELDS_WIDTH, False
        for stage in _list(query.get("aggregate")):
            rows, columns, more = _after(stage, rows, columns, max_rows)
            gathers = gathers or more
        return max(1, min(rows * max(1, sum(columns.values())) + gathers * gathered, most))
    except (AttributeError, KeyError, TypeError):
        return most


def _after(stage: Any, rows: int, columns: dict[str, int], max_rows: int) -> tuple[int, dict[str, int], bool]:
    """After a stage: how many rows there are, how wide each column is, and whether the stage gathers lists."""
    if stage.get("limit"):
        return min(rows, stage["limit"]), columns, False
    if stage.get("count"):
        return 1, {stage["count"]["name"]: 1}, False
    if stage.get("unwind"):
        path = stage["unwind"]["path"]
        return max_rows, {**columns, **dict.fromkeys(LISTS.get(path, (path,)), _TEXT)}, False
    if (project := stage.get("project")) is not None:
        kept = {_name(field): 1 if _operator(field) else _width(columns, _key(field)) for field in _fields(project)}
        return rows, ({} if project.get("excludeKeys") else columns) | kept, False
    if (group := stage.get("group")) is not None:
        keys, fields = _list(group.get("keys")), _fields(group)
        wide = {_name(key): 1 if key.get("dateFormat") else _width(columns, _key(key)) for key in keys}
        for field in fields:
            wide[_name(field)] = _width(columns, _key(field)) if _operator(field) in _SAME_KIND else 1
        return (rows if keys else 1), wide, any(_operator(field) in _GATHERS for field in fields)
    return rows, columns, False


_SAME_KIND = ("MAX", "MIN", "FIRST", "LAST", "MERGE_OBJECTS")
FIELDS_WIDTH = {name: _TEXT if column.kind.name == "text" else 1 for name, column in FIELDS.items()}


def _width(columns: dict[str, int], name: Any) -> int:
    return columns.get(SNAKE_CASE.get(name, name), columns.get(name, _TEXT))


def _part(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]  # one value is a list of one


def _fields(stage: Any) -> list[Any]:
    return _list(stage.get("fields"))


def _key(part: Any) -> Any:
    return part.get("key") or part.get("k")


def _name(part: Any) -> Any:
    return part.get("name") or part.get("n") or _key(part)


def _operator(part: Any) -> Any:
    return part.get("operator") or part.get("o")
