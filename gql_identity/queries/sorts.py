"""Translates a sort to the paths and directions that the database sorts by."""

from collections.abc import Mapping

from ..messages.query import APIKeySort
from .fields import Column, get_column
from .inputs import check_count, invalid, quoted

MAX_SORT_KEYS = 32  # MongoDB's limit


def read_sort(sort: APIKeySort, columns: Mapping[str, Column], path: str) -> dict[str, int]:
    """The paths and directions that a sort names; none where all its keys are absent or empty, as in Cloudforet.

    Raises InvalidArgument that names the part to change.
    """
    named = [(sort.key, sort.desc, f"{path}.key")] if sort.key else []
    if named and sort.keys:
        raise invalid(path, "give either `key` or `keys`")
    for position, part in enumerate(sort.keys or []):
        if part.key:
            named.append((part.key, part.desc, f"{path}.keys[{position}].key"))
    check_count(path, len(named), MAX_SORT_KEYS, "keys to sort by")
    keys: dict[str, int] = {}
    for key, desc, at in named:
        name, column = get_column(columns, key, at)
        if not column.kind.is_single:
            raise invalid(at, f"{quoted(name)} is {column.kind}, which has no order; sort by another")
        if column.path in keys:
            raise invalid(at, f"{quoted(name)} is sorted by twice; name it once")
        keys[column.path] = -1 if desc else 1
    return keys
