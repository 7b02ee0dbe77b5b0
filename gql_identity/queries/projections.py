"""Translates the stage `project` of a statistic to a pipeline stage."""

from ..messages.query import APIKeyProject, APIKeyProjectField
from .fields import NUMBER, OBJECT, TEXT, Column, Document, Kind
from .inputs import check_count, invalid, quoted, read_aliased, read_number
from .pipeline import Computed, NewRow, Pipeline


def add_projection(pipeline: Pipeline, project: APIKeyProject, path: str) -> None:
    """Keep or compute columns. Raises InvalidArgument that names the part to change."""
    fields = project.fields or []
    if not fields and not project.exclude_keys:
        raise invalid(path, "give `fields`, `exclude_keys` or both")
    check_count(path, len(fields), pipeline.settings.max_conditions, "fields in one stage", "max_conditions")
    pipeline.sort_if_unsorted()
    row = NewRow()
    for position, field in enumerate(fields):
        _add_field(pipeline, row, field, f"{path}.fields[{position}]")
    keys = [] if project.exclude_keys else [key for key in pipeline.group_keys if key not in row.columns]
    # With `exclude_keys` and no fields, keep every column that is not a group key.
    names = keys if fields else [name for name in pipeline.columns if name not in pipeline.group_keys]
    fields_made, row.columns = row.columns, {}
    for name in names:
        row.copy(name, pipeline.columns[name], path)
    row.columns |= fields_made
    if not row.columns:
        raise invalid(path, "nothing is left in a row; keep a field")
    pipeline.replace_rows(row)
    pipeline.group_keys = keys


_ARITHMETIC = {"add": "$add", "subtract": "$subtract", "multiply": "$multiply", "divide": "$divide"}


def _add_field(pipeline: Pipeline, row: NewRow, field: APIKeyProjectField, path: str) -> None:
    """Add a field of a projection, unchanged or computed."""
    key_name, column = pipeline.get(field, path)
    name = row.new_name(field, path, otherwise=key_name)
    operator, _ = read_aliased(field, "operator", path, required=False)
    is_arithmetic = operator is not None and operator.value in _ARITHMETIC
    if not is_arithmetic and read_aliased(field, "value", path, required=False)[0] is not None:
        raise invalid(path, f"only {', '.join(_ARITHMETIC)} take a value; leave it out")
    if operator is None:
        row.copy(name, column, path)
    elif is_arithmetic:
        row.add(name, _calculation(pipeline, field, operator.value, key_name, path), NUMBER)
    else:
        row.add(name, *_conversion(row, column, operator.value, key_name, path))


def _calculation(pipeline: Pipeline, field: APIKeyProjectField, operator: str, key_name: str, path: str) -> Document:
    """Arithmetic on the key and the value; null if either is null, and for a division by 0."""
    value, at = read_aliased(field, "value", path)
    number = pipeline.get_number(value, at) if isinstance(value, str) else {"$literal": read_number(value, at)}
    calculation = {_ARITHMETIC[operator]: [pipeline.get_number(key_name, path), number]}
    return {"$cond": [{"$eq": [number, 0]}, None, calculation]} if operator == "divide" else calculation


def _conversion(row: NewRow, column: Column, operator: str, name: str, path: str) -> Computed:
    """The result of an operator on a list or an object."""
    kind, at = column.kind, f"${column.path}"
    needed = "object" if operator == "object_to_array" else "list"
    if kind.name != needed:
        raise invalid(
            path, f"{operator} is for a column that is {Kind(needed)}, and {quoted(name)} is {kind}; use another"
        )
    if operator in ("size", "sum"):
        return Computed({f"${operator}": at}, NUMBER)
    row.check_copy(column, path)
    if operator == "object_to_array":
        return Computed({"$objectToArray": at}, Kind("list", element=Kind("object", fields={"k": TEXT, "v": OBJECT})))
    fields = kind.element.fields or {}
    if set(fields) != {"k", "v"} or fields["k"].name not in ("text", "enum"):
        raise invalid(
            path, f"array_to_object is for objects with k, a text, and v; push {quoted(name)} with such fields"
        )
    # A name that is no text is skipped: MongoDB would fail the whole statistic.
    is_text = {"$eq": [{"$type": "$$this.k"}, "string"]}
    return Computed({"$arrayToObject": {"$filter": {"input": at, "cond": is_text}}}, OBJECT)
