"""The one table of fields that a query may name, what each holds, and how to sort by them.

No text of a client becomes a field's path: a path comes from `FIELDS`, or from the stages of a statistic.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..messages.keys import APIKeyInfo
from ..messages.query import APIKeySort
from ..messages.values import APIKeyRole, APIKeyState
from .inputs import check_count, echo, refusal

Document = dict[str, Any]


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


def get_column(columns: Mapping[str, Column], name: str, path: str) -> tuple[str, Column]:
    """A column by its name, in either spelling where it is a field's, and the name it stands under."""
    found = name if name in columns else SNAKE_CASE.get(name, name)
    if found not in columns:
        raise refusal(path, f"{echo(name)} is not a field here; use one of {', '.join(list(columns)[:40])}")
    return found, columns[found]


SORT_KEYS = 32  # MongoDB sorts by no more


def sort_keys(sort: APIKeySort, columns: Mapping[str, Column], path: str) -> dict[str, int]:
    """The paths and directions that a sort names. Raises InvalidArgument that names the part to change."""
    if (sort.key is None) == (not sort.keys):
        raise refusal(path, "give either key, or keys with at least one")
    named = [(sort.key, sort.desc, f"{path}.key")] if sort.key is not None else []
    named += [(part.key, part.desc, f"{path}.keys[{position}].key") for position, part in enumerate(sort.keys or [])]
    check_count(path, len(named), SORT_KEYS, "keys to sort by")
    keys: dict[str, int] = {}
    for key, desc, at in named:
        name, column = get_column(columns, key, at)
        if not column.kind.is_single:
            raise refusal(at, f"{echo(name)} is {column.kind}, which has no order")
        if column.path in keys:
            raise refusal(at, f"{echo(name)} is sorted by twice")
        keys[column.path] = -1 if desc else 1
    return keys
