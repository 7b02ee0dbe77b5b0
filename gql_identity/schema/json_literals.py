"""JSON that is written as a literal in a document, with variables in it."""

from datetime import datetime
from enum import Enum
from typing import Any

from graphql import GraphQLSchema, ListValueNode, ObjectValueNode, Undefined, ValueNode, VariableNode
from graphql.utilities import value_from_ast_untyped

from ..messages.values import instant_text

_SCALARS = ("JSON", "_Any")


def read_json_literals(schema: GraphQLSchema) -> None:
    """Have the scalars that hold any JSON read literals with `read_json_literal`."""
    for name in _SCALARS:
        schema.type_map[name].parse_literal = read_json_literal  # type: ignore[attr-defined]


def read_json_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    """The JSON value of a literal.

    A variable without a value is null in a list, and its field is absent in an object (GraphQL, section 3.12,
    "Input Coercion" of lists and of input objects).
    """
    if isinstance(node, VariableNode):
        return _as_json((variables or {}).get(node.name.value, Undefined))
    if isinstance(node, ListValueNode):
        items = [read_json_literal(item, variables) for item in node.values]
        return [None if item is Undefined else item for item in items]
    if isinstance(node, ObjectValueNode):
        fields = {field.name.value: read_json_literal(field.value, variables) for field in node.fields}
        return {name: value for name, value in fields.items() if value is not Undefined}
    return value_from_ast_untyped(node)


def _as_json(value: Any) -> Any:
    """The value of a variable of any input type."""
    if isinstance(value, Enum):
        return value.name
    return instant_text(value) if isinstance(value, datetime) else value
