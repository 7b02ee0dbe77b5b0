"""Translates the stages of a statistic to a pipeline. No I/O."""

from collections.abc import Callable
from typing import Any, NamedTuple

from strawberry import UNSET

from ..messages.query import APIKeyCount, APIKeySort, APIKeyStage, APIKeyUnwind
from ..settings import Settings
from .fields import FIELDS, LISTS, NUMBER, Column, Document, get_column
from .groups import add_group
from .inputs import LARGEST_NUMBER, invalid, quoted
from .pipeline import Gathered, NewRow, Pipeline, check_name
from .projections import add_projection
from .sorts import read_sort


class Built(NamedTuple):
    """A pipeline, the path in a row of each name in the result, and the stages that gather lists."""

    stages: list[Document]
    names: dict[str, str]
    gathered: list[Gathered]


def build_pipeline(stages: list[APIKeyStage], path: str, settings: Settings) -> Built:
    """The pipeline of these stages, whose rows are sorted.

    Raises InvalidArgument that names the part to change.
    """
    pipeline = Pipeline(settings)
    for position, stage in enumerate(stages):
        _add_stage(pipeline, stage, f"{path}[{position}]")
    pipeline.sort_if_unsorted()
    if pipeline.columns is FIELDS:
        row = NewRow()
        for name, column in FIELDS.items():
            row.add(name, column.value, column.kind)
        pipeline.replace_rows(row)
    names = {name: column.path for name, column in pipeline.columns.items()}
    return Built(pipeline.stages, names, pipeline.gathered)


def _add_stage(pipeline: Pipeline, stage: APIKeyStage, path: str) -> None:
    given = [name for name in stage.__dataclass_fields__ if getattr(stage, name) not in (UNSET, None)]
    if len(given) != 1:
        raise invalid(path, f"give exactly one of {', '.join(stage.__dataclass_fields__)}")
    (name,) = given
    _STAGES[name](pipeline, getattr(stage, name), f"{path}.{name}")


def _add_sort(pipeline: Pipeline, sort: APIKeySort, path: str) -> None:
    if keys := read_sort(sort, pipeline.columns, path):
        pipeline.sort(keys)


def _add_unwind(pipeline: Pipeline, unwind: APIKeyUnwind, path: str) -> None:
    if pipeline.columns is FIELDS and unwind.path in LISTS:
        _add_unwind_of_keys(pipeline, unwind.path)
        return
    name, column = get_column(pipeline.columns, unwind.path, f"{path}.path")
    if column.kind.name != "list":
        raise invalid(f"{path}.path", f"{quoted(name)} is {column.kind}; use a list")
    for other, held in pipeline.columns.items():
        # A list that is repeated for each element of another grows to the product of their sizes.
        if other != name and not held.kind.is_single:
            raise invalid(path, f"a row also has {quoted(other)}, {held.kind}; remove it with a project stage before")
    pipeline.sort_if_unsorted()
    pipeline.stages.append({"$unwind": f"${column.path}"})
    pipeline.set_columns({**pipeline.columns, name: Column(column.path, column.kind.element)})


def _add_unwind_of_keys(pipeline: Pipeline, name: str) -> None:
    """One row for each element of a key's list, with the key's fields; none for a key without."""
    pipeline.stages.append({"$unwind": f"${name}"})
    row = NewRow()
    for column_name, column in (*FIELDS.items(), *LISTS[name].items()):
        row.add(column_name, column.value, column.kind)
    pipeline.replace_rows(row)


def _add_count(pipeline: Pipeline, count: APIKeyCount, path: str) -> None:
    name = check_name(count.name, f"{path}.name")
    # Without rows, a plain $count would return no row instead of one with 0.
    pipeline.stages += [
        {"$facet": {"counted": [{"$count": "rows"}]}},
        {"$unwind": {"path": "$counted", "preserveNullAndEmptyArrays": True}},
        {"$replaceWith": {"c0": {"$ifNull": ["$counted.rows", 0]}}},
    ]
    pipeline.set_columns({name: Column("c0", NUMBER)}, group_keys=[], is_sorted=True)


def _add_limit(pipeline: Pipeline, number: int, path: str) -> None:
    if not 1 <= number <= LARGEST_NUMBER:
        raise invalid(path, f"give 1 to {LARGEST_NUMBER}, not {number}")
    pipeline.sort_if_unsorted()
    pipeline.stages.append({"$limit": number})


def _add_skip(pipeline: Pipeline, number: int, path: str) -> None:
    if not 0 <= number <= LARGEST_NUMBER:
        raise invalid(path, f"give 0 to {LARGEST_NUMBER}, not {number}")
    pipeline.sort_if_unsorted()
    pipeline.stages.append({"$skip": number})


_STAGES: dict[str, Callable[[Pipeline, Any, str], None]] = {
    "group": add_group,
    "sort": _add_sort,
    "project": add_projection,
    "unwind": _add_unwind,
    "count": _add_count,
    "limit": _add_limit,
    "skip": _add_skip,
}
