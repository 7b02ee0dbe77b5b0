"""The stages of a statistic become a pipeline. Pure: nothing here reads the database.

A row starts as a key's document. What a stage makes is kept under names of our own (`c0`, `c1`, ...) until the answer,
so that no name of a client is a path; and what each column holds is known, so that a stage that could only fail in the
database is refused before.
"""

import re
from collections.abc import Mapping
from typing import Any

from strawberry import UNSET

from ..messages.query import (
    APIKeyGroup,
    APIKeyGroupField,
    APIKeyGroupKey,
    APIKeyProject,
    APIKeyProjectField,
    APIKeySort,
    APIKeyStage,
)
from ..settings import Settings
from .conditions import read_expression
from .fields import FIELDS, INSTANT, NUMBER, OBJECT, SORT_KEYS, TEXT, Column, Document, Kind, get_column, sort_keys
from .inputs import LARGEST_NUMBER, check_count, echo, either, read_number, read_text, refusal

Made = tuple[Any, Kind]  # an expression, and what it gives

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
_IN_ORDER = {"first", "last", "push", "merge_objects"}
_ARITHMETIC = {"add": "$add", "subtract": "$subtract", "multiply": "$multiply", "divide": "$divide"}
_DATE_PARTS = {"year": "$year", "month": "$month", "day": "$dayOfMonth"}
_DATE_FORMAT = re.compile(r"(?:[^%$]|%[YmdHMSjUuVGL%])+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class Rows:
    """The rows of a statistic: the pipeline that makes them, and what each holds after its last stage."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pipeline: list[Document] = []
        self._columns: Mapping[str, Column] = FIELDS
        self._keys: list[str] = []  # the names of the last group's keys
        self._ordered = False

    def add(self, stage: APIKeyStage, path: str) -> None:
        """One more stage. Raises InvalidArgument that names the part to change."""
        given = [name for name in stage.__dataclass_fields__ if getattr(stage, name) not in (UNSET, None)]
        if len(given) != 1:
            raise refusal(path, f"give exactly one of {', '.join(stage.__dataclass_fields__)}")
        getattr(self, f"_{given[0]}")(getattr(stage, given[0]), f"{path}.{given[0]}")

    def finish(self) -> tuple[list[Document], dict[str, str]]:
        """The pipeline, whose rows have an order, and where they keep what the answer names."""
        self._order()
        if self._columns is FIELDS:
            self._hold({name: (column.value, column.kind) for name, column in FIELDS.items()})
        return self._pipeline, {name: column.path for name, column in self._columns.items()}

    def _group(self, group: APIKeyGroup, path: str) -> None:
        keys, fields = group.keys or [], group.fields or []
        if not keys and not fields:
            raise refusal(path, "give keys, fields or both")
        check_count(path, len(keys) + len(fields), self._settings.max_conditions, "keys and fields in one stage")
        made: dict[str, Made] = {}
        kept: set[str] = set()
        for position, key in enumerate(keys):
            self._group_key(key, f"{path}.keys[{position}]", made, kept)
        names = list(made)
        for position, field in enumerate(fields):
            self._group_field(field, f"{path}.fields[{position}]", made, kept)
        stored = {name: f"c{position}" for position, name in enumerate(made)}
        by = {stored[name]: made[name][0] for name in names}
        computed = {stored[name]: value for name, (value, _) in made.items() if name not in names}
        row = {at: f"$_id.{at}" for at in by} | {at: f"${at}" for at in computed}
        if len(by) == 1:
            (at,) = by
            by, row[at] = by[at], "$_id"  # the value alone: a database groups by it in less time than by an object
        self._pipeline.append({"$group": {"_id": by or None, **computed}})
        self._pipeline.append({"$replaceWith": row})
        self._columns = {name: Column(stored[name], kind) for name, (_, kind) in made.items()}
        self._keys, self._ordered = names, False

    def _group_key(self, key: APIKeyGroupKey, path: str, made: dict[str, Made], kept: set[str]) -> None:
        """A key of a group: the value itself, or a part or a format of an instant."""
        key_name, column = self._find(key, path)
        name = self._name(key, path, made, otherwise=key_name)
        if key.date_format is None:
            self._keep(column, path, kept)
            made[name] = (column.value, column.kind)
            return
        at = f"{path}.date_format"
        if column.kind is not INSTANT:
            raise refusal(at, f"it is for instants, and {echo(key_name)} is {column.kind}")
        date_format = read_text(key.date_format, at)
        value: Document = {_DATE_PARTS.get(date_format, "$dateToString"): f"${column.path}"}
        if date_format not in _DATE_PARTS:
            check_count(at, len(date_format), self._settings.max_pattern_length, "characters in a format")
            if not _DATE_FORMAT.fullmatch(date_format):
                allowed = "year, month, day or text with %Y %m %d %H %M %S %j %U %u %V %G %L %%, without $"
                raise refusal(at, f"{echo(date_format)} is not {allowed}")
            value = {"$dateToString": {"date": f"${column.path}", "format": date_format}}
        kind = NUMBER if date_format in _DATE_PARTS else TEXT
        made[name] = ({"$cond": [{"$eq": [column.value, None]}, None, value]}, kind)

    def _group_field(self, field: APIKeyGroupField, path: str, made: dict[str, Made], kept: set[str]) -> None:
        """A computed field of a group: an accumulator and what it gives."""
        operator = either(field, "operator", path)[0].value
        name = self._name(field, path, made)
        if field.fields and operator != "push":
            raise refusal(f"{path}.fields", "only push takes fields")
        if field.conditions and operator not in ("count", "sum", "average"):
            raise refusal(f"{path}.conditions", "only count, sum and average take conditions")
        tests = [
            read_expression(condition, self._columns, f"{path}.conditions[{position}]")
            for position, condition in enumerate(field.conditions or [])
        ]
        if operator in _IN_ORDER:
            self._order()
        if operator == "count":
            if either(field, "key", path, required=False)[0] is not None:
                self._find(field, path)
            made[name] = ({"$sum": {"$cond": [{"$and": tests}, 1, 0]} if tests else 1}, NUMBER)
            return
        value, kind = (
            self._pushed(field, path, kept) if field.fields else self._accumulated(field, operator, path, kept)
        )
        if tests:
            value = {"$cond": [{"$and": tests}, value, None]}  # neither a sum nor an average counts null
        result = NUMBER if operator in ("sum", "average") else kind
        result = Kind("list", element=kind) if operator in ("push", "add_to_set") else result
        made[name] = ({_ACCUMULATORS[operator]: value}, result)

    def _accumulated(self, field: APIKeyGroupField, operator: str, path: str, kept: set[str]) -> Made:
        name, column = self._find(field, path)
        if operator == "merge_objects" and column.kind.name != "object":
            raise refusal(path, f"merge_objects merges objects, and {echo(name)} is {column.kind}")
        if operator not in ("sum", "average"):
            self._keep(column, path, kept)
        return column.value, column.kind

    def _pushed(self, field: APIKeyGroupField, path: str, kept: set[str]) -> Made:
        """The object that a push makes of each row."""
        if either(field, "key", path, required=False)[0] is not None:
            raise refusal(path, "push takes a key or fields, not both")
        check_count(f"{path}.fields", len(field.fields or []), self._settings.max_conditions, "fields in one object")
        made: dict[str, Made] = {}
        for position, part in enumerate(field.fields or []):
            at = f"{path}.fields[{position}]"
            key_name, column = self._find(part, at)
            self._keep(column, at, kept)
            made[self._name(part, at, made, otherwise=key_name)] = (column.value, column.kind)
        kinds = {name: kind for name, (_, kind) in made.items()}
        return {name: value for name, (value, _) in made.items()}, Kind("object", fields=kinds)

    def _sort(self, sort: APIKeySort, path: str) -> None:
        keys = sort_keys(sort, self._columns, path)
        self._pipeline.append({"$sort": self._with_ties(keys, list(keys.values())[-1])})
        self._ordered = True

    def _project(self, project: APIKeyProject, path: str) -> None:
        fields = project.fields or []
        if not fields and not project.exclude_keys:
            raise refusal(path, "give fields, exclude_keys or both")
        check_count(path, len(fields), self._settings.max_conditions, "fields in one stage")
        self._order()
        made: dict[str, Made] = {}
        kept: set[str] = set()
        for position, field in enumerate(fields):
            self._projected(field, f"{path}.fields[{position}]", made, kept)
        keys = [] if project.exclude_keys else [key for key in self._keys if key not in made]
        # Without fields, exclude_keys alone keeps all that is not a key.
        names = keys if fields else [name for name in self._columns if name not in self._keys]
        for name in names:
            self._keep(self._columns[name], path, kept)
        made = {**{name: (self._columns[name].value, self._columns[name].kind) for name in names}, **made}
        if not made:
            raise refusal(path, "nothing is left in a row; keep a field")
        self._hold(made)
        self._keys = keys

    def _projected(self, field: APIKeyProjectField, path: str, made: dict[str, Made], kept: set[str]) -> None:
        """A field of a projection: kept as it is, or computed."""
        key_name, column = self._find(field, path)
        name = self._name(field, path, made, otherwise=key_name)
        operator, _ = either(field, "operator", path, required=False)
        is_calculated = operator is not None and operator.value in _ARITHMETIC
        if not is_calculated and either(field, "value", path, required=False)[0] is not None:
            raise refusal(path, f"only {', '.join(_ARITHMETIC)} take a value")
        if operator is None:
            self._keep(column, path, kept)
            made[name] = (column.value, column.kind)
        elif is_calculated:
            made[name] = (self._calculated(field, operator.value, key_name, path), NUMBER)
        else:
            made[name] = self._converted(column, operator.value, key_name, path, kept)

    def _calculated(self, field: APIKeyProjectField, operator: str, key_name: str, path: str) -> Document:
        """The key and the value, added or so; null where one of them is, or where it is divided by 0."""
        value, at = either(field, "value", path)
        number = self._number(value, at) if isinstance(value, str) else {"$literal": read_number(value, at)}
        calculation = {_ARITHMETIC[operator]: [self._number(key_name, path), number]}
        return {"$cond": [{"$eq": [number, 0]}, None, calculation]} if operator == "divide" else calculation

    def _number(self, name: str, path: str) -> Document:
        name, column = get_column(self._columns, name, path)
        if column.kind is not NUMBER:
            raise refusal(path, f"a number is needed, and {echo(name)} is {column.kind}")
        return column.value

    def _converted(self, column: Column, operator: str, name: str, path: str, kept: set[str]) -> Made:
        """What an operator makes of a list or an object."""
        kind, at = column.kind, f"${column.path}"
        needed = "object" if operator == "object_to_array" else "list"
        if kind.name != needed:
            raise refusal(path, f"{operator} is for a column that is {Kind(needed)}, and {echo(name)} is {kind}")
        if operator in ("size", "sum"):
            return {f"${operator}": at}, NUMBER
        self._keep(column, path, kept)
        if operator == "object_to_array":
            return {"$objectToArray": at}, Kind("list", element=Kind("object", fields={"k": TEXT, "v": OBJECT}))
        fields = kind.element.fields or {}
        if set(fields) != {"k", "v"} or fields["k"].name not in ("text", "enum"):
            raise refusal(
                path, f"array_to_object is for objects of k, a text, and v; push {echo(name)} with such fields"
            )
        # A null is no name: MongoDB would refuse the whole statistic for one.
        return {"$arrayToObject": {"$filter": {"input": at, "cond": {"$ne": ["$$this.k", None]}}}}, OBJECT

    def _unwind(self, unwind: Any, path: str) -> None:
        name, column = get_column(self._columns, unwind.path, f"{path}.path")
        if column.kind.name != "list":
            raise refusal(f"{path}.path", f"a list is needed, and {echo(name)} is {column.kind}")
        for other, held in self._columns.items():
            # One list in a row, repeated for each element of another, grows as their product does.
            if other != name and not held.kind.is_single:
                raise refusal(path, f"a row also has {echo(other)}, {held.kind}; leave it out by a project before")
        self._order()
        self._pipeline.append({"$unwind": f"${column.path}"})
        self._columns = {**self._columns, name: Column(column.path, column.kind.element)}

    def _count(self, count: Any, path: str) -> None:
        name = _checked_name(count.name, f"{path}.name", {})
        # One row, of 0 where there are none: a plain $count would give no row then.
        self._pipeline += [
            {"$facet": {"counted": [{"$count": "rows"}]}},
            {"$unwind": {"path": "$counted", "preserveNullAndEmptyArrays": True}},
            {"$replaceWith": {"c0": {"$ifNull": ["$counted.rows", 0]}}},
        ]
        self._columns, self._keys, self._ordered = {name: Column("c0", NUMBER)}, [], True

    def _limit(self, number: int, path: str) -> None:
        if not 1 <= number <= LARGEST_NUMBER:
            raise refusal(path, f"it is from 1 to {LARGEST_NUMBER}")
        self._order()
        self._pipeline.append({"$limit": number})

    def _skip(self, number: int, path: str) -> None:
        if not 0 <= number <= LARGEST_NUMBER:
            raise refusal(path, f"it is from 0 to {LARGEST_NUMBER}")
        self._order()
        self._pipeline.append({"$skip": number})

    def _find(self, part: Any, path: str) -> tuple[str, Column]:
        key, at = either(part, "key", path)
        return get_column(self._columns, key, at)

    def _name(self, part: Any, path: str, made: Mapping[str, Made], otherwise: str | None = None) -> str:
        """The name of what a stage makes: well-formed, and not taken."""
        name, at = either(part, "name", path, required=otherwise is None)
        return _checked_name(otherwise if name is None else name, at, made)

    def _keep(self, column: Column, path: str, kept: set[str]) -> None:
        """Refuse a second copy of a list or an object: a row that doubles with each stage would outgrow any memory."""
        if column.path in kept and not column.kind.is_single:
            raise refusal(path, f"a stage keeps {column.kind} once; name it once")
        kept.add(column.path)

    def _hold(self, made: Mapping[str, Made]) -> None:
        """Let each row hold these and nothing else."""
        stored = {name: f"c{position}" for position, name in enumerate(made)}
        self._pipeline.append({"$replaceWith": {stored[name]: value for name, (value, _) in made.items()}})
        self._columns = {name: Column(stored[name], kind) for name, (_, kind) in made.items()}

    def _order(self) -> None:
        """Give the rows an order where they have none: keys by id, groups by their keys."""
        keys = {} if self._ordered else self._with_ties({}, 1)
        if keys:
            self._pipeline.append({"$sort": keys})
        self._ordered = True

    def _with_ties(self, keys: dict[str, int], direction: int) -> dict[str, int]:
        """What is sorted by, then what breaks ties, so that pages neither overlap nor skip."""
        names = ["api_key_id"] if self._columns is FIELDS else [*self._keys, *self._columns]
        columns = [self._columns[name] for name in names]
        ties = {column.path: direction for column in columns if column.kind.is_single}
        return dict(list({**keys, **{path: ties[path] for path in ties if path not in keys}}.items())[:SORT_KEYS])


def _checked_name(name: Any, path: str, taken: Mapping[str, Made]) -> str:
    text = read_text(name, path)
    if not _NAME.fullmatch(text):
        raise refusal(path, f"{echo(text)} is not 1 to 64 letters, digits and underscores, the first of them no digit")
    if text in taken:
        raise refusal(path, f"{echo(text)} is taken; choose another name")
    return text
