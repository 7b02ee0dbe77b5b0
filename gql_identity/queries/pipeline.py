"""The pipeline of a statistic under construction: its stages, and what each column of its rows holds.

A row starts as a key's document. Later stages store their results under generated names (`c0`, `c1`, ...), so that a
client's name never becomes a path. The kind of each column is known, so a stage that would fail in the database is
refused before it runs.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..settings import Settings
from .fields import FIELDS, NUMBER, Column, Document, Kind, get_column
from .inputs import invalid, quoted, read_aliased, read_text
from .sorts import MAX_SORT_KEYS

MAX_TEXT_COLUMNS = 20


class Computed(NamedTuple):
    """One column of a new row: an expression, and the kind of its values."""

    expression: Any
    kind: Kind


class NewRow:
    """The columns of a row that a stage makes, or of an object within it."""

    def __init__(self, outer: "NewRow | None" = None) -> None:
        self.columns: dict[str, Computed] = {}
        self._copied: set[str] = outer._copied if outer else set()

    def add(self, name: str, expression: Any, kind: Kind) -> None:
        """Add a column under a name that `new_name` has checked. Raises InvalidArgument for too many of text."""
        held = sum(made.kind is not NUMBER for made in self.columns.values())
        if kind is not NUMBER and held >= MAX_TEXT_COLUMNS:
            # A text has up to 255 characters, and the database may hold all rows at once.
            raise invalid(
                "query.aggregate", f"a row has at most {MAX_TEXT_COLUMNS} columns that are not numbers; leave some out"
            )
        self.columns[name] = Computed(expression, kind)

    def check_copy(self, column: Column, path: str) -> None:
        """Refuse a second copy of a list or an object: doubling it in every stage would exhaust the memory."""
        if column.path in self._copied and not column.kind.is_single:
            raise invalid(path, f"a stage may copy {column.kind} only once; name it once")
        self._copied.add(column.path)

    def copy(self, name: str, column: Column, path: str) -> None:
        """Add an unchanged copy of a column."""
        self.check_copy(column, path)
        self.add(name, column.value, column.kind)

    def new_name(self, part: Any, path: str, otherwise: str | None = None, *, replaces: bool = False) -> str:
        """The name that a part gives its column, or `otherwise`. Raises InvalidArgument if it is malformed or taken.

        With `replaces`, the column that has the name is removed.
        """
        name, at = read_aliased(part, "name", path, required=otherwise is None)
        name = check_name(otherwise if name is None else name, at)
        if replaces:
            self.columns.pop(name, None)
        elif name in self.columns:
            raise invalid(at, f"{quoted(name)} is taken; choose another name")
        return name

    def stored_names(self) -> dict[str, str]:
        """Where the new row stores each name."""
        return {name: f"c{position}" for position, name in enumerate(self.columns)}


class Gathered(NamedTuple):
    """A stage that gathers values into lists: the stages before it, and how many values it takes of each row."""

    stages: list[Document]
    values: int


class Pipeline:
    """The stages so far, and the columns of their resulting rows."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stages: list[Document] = []
        self.columns: Mapping[str, Column] = FIELDS
        self.gathered: list[Gathered] = []
        self.group_keys: list[str] = []  # the names of the last group's keys
        self._is_sorted = False

    def get(self, part: Any, path: str) -> tuple[str, Column]:
        """The column that a part's `key` names, and its name. Raises InvalidArgument if there is none."""
        key, at = read_aliased(part, "key", path)
        return get_column(self.columns, key, at)

    def get_number(self, name: str, path: str) -> Document:
        """The value of a column of numbers. Raises InvalidArgument if no such column has this name."""
        name, column = get_column(self.columns, name, path)
        if column.kind is not NUMBER:
            raise invalid(path, f"{quoted(name)} is {column.kind}; use a column of numbers")
        return column.value

    def replace_rows(self, row: NewRow) -> None:
        """Replace each row by the new one."""
        stored = row.stored_names()
        self.stages.append({"$replaceWith": {stored[name]: made.expression for name, made in row.columns.items()}})
        self.set_columns({name: Column(stored[name], made.kind) for name, made in row.columns.items()})

    def set_columns(
        self, columns: Mapping[str, Column], group_keys: list[str] | None = None, *, is_sorted: bool = False
    ) -> None:
        """Set the columns. With `group_keys` the rows are new, and `is_sorted` says whether they have an order."""
        self.columns = columns
        if group_keys is not None:
            self.group_keys, self._is_sorted = group_keys, is_sorted

    def sort(self, keys: dict[str, int]) -> None:
        """Sort by these paths. Ties are broken in the direction of the last one."""
        self.stages.append({"$sort": self._with_ties(keys, list(keys.values())[-1])})
        self._is_sorted = True

    def sort_if_unsorted(self) -> None:
        """Sort the rows if they have no order: keys by id, groups by their keys."""
        keys = {} if self._is_sorted else self._with_ties({}, 1)
        if keys:
            self.stages.append({"$sort": keys})
        self._is_sorted = True

    def _with_ties(self, keys: dict[str, int], direction: int) -> dict[str, int]:
        """The sort keys with tie-breakers added, so that pages neither overlap nor skip rows."""
        names = ["api_key_id"] if self.columns is FIELDS else [*self.group_keys, *self.columns]
        columns = [self.columns[name] for name in names]
        ties = {column.path: direction for column in columns if column.kind.is_single}
        return dict(list({**keys, **{path: ties[path] for path in ties if path not in keys}}.items())[:MAX_SORT_KEYS])


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def check_name(name: Any, path: str) -> str:
    """A client's name for a column. Raises InvalidArgument for a malformed one."""
    text = read_text(name, path)
    if not _NAME.fullmatch(text):
        raise invalid(
            path, f"{quoted(text)} is not 1 to 64 letters, digits and underscores that do not start with a digit"
        )
    return text
