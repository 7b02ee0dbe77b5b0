"""The table of fields that a query may name, and what each holds.

A client's text never becomes a field's path: every path comes from `FIELDS` or from the stages of a statistic.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..messages.keys import APIKeyInfo
from ..messages.values import APIKeyRole, APIKeyState
from .inputs import invalid, quoted

MAX_LISTED = 40  # names in an error
Document = dict[str, Any]  # a filter, a stage of a pipeline, an expression or a row, as the database takes it


class Kind(NamedTuple):
    """What kind of values a column holds."""

    name: str  # text, enum, instant, number, list or object
    names: tuple[str, ...] = ()  # the names of an enum
    element: Any = None  # the Kind of each element of a list
    fields: Any = None  # the names of an object's fields and their Kinds; None if known only from the data

    @property
    def is_single(self) -> bool:
        """Whether a value is neither a list nor an object."""
        return self.name not in ("list", "object")

    def __str__(self) -> str:
        if self.names:
            return f"one of {', '.join(self.names)}"
        return {"text": "text", "instant": "an instant", "object": "an object"}.get(self.name, f"a {self.name}")


class Column(NamedTuple):
    """One column of the rows: the path where a row stores it, and its kind."""

    path: str
    kind: Kind

    @property
    def value(self) -> Document:
        """The column's value in an expression; a missing field reads as null."""
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
    "expires_at": Column("expires_at", INSTANT),
    "updated_at": Column("updated_at", INSTANT),
    "rotated_at": Column("rotated_at", INSTANT),
}
# Lists of a key: a statistic unwinds them to rows, whose further columns are these.
LISTS: Mapping[str, Mapping[str, Column]] = {
    "scopes": {"scope": Column("scopes", TEXT)},
    "tags": {"tag_name": Column("tags.name", TEXT), "tag_value": Column("tags.value", TEXT)},
}
READABLE = tuple(APIKeyInfo.__dataclass_fields__)
SNAKE_CASE = {re.sub("_(.)", lambda part: part[1].upper(), name): name for name in (*FIELDS, *READABLE, *LISTS["tags"])}


def listed(names: Iterable[str]) -> str:
    """Names for an error; those of fields of the API stand between backticks."""
    return ", ".join(f"`{name}`" if name in READABLE else name for name in names)


def get_column(columns: Mapping[str, Column], name: str, path: str) -> tuple[str, Column]:
    """Find the column of a name; returns the name as in `columns`, and the column.

    A field's name is snake_case or camelCase. Raises InvalidArgument where there is no such column.
    """
    found = name if name in columns else SNAKE_CASE.get(name, name)
    if found not in columns:
        more = ", ..." if len(columns) > MAX_LISTED else ""
        names = listed(list(columns)[:MAX_LISTED])
        raise invalid(path, f"{quoted(name)} is not a field here; use one of {names}{more}")
    return found, columns[found]
