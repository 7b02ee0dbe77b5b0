"""Which fields a document selects below a field."""

from typing import Any

from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionNode, SelectionSetNode
from graphql.language import BooleanValueNode, VariableNode
from strawberry.types import Info
from strawberry.utils.str_converters import to_snake_case

from ..queries.connections import Parts


def selected_parts(info: Info[Any, Any]) -> Parts:
    """The fields that a document selects of a connection."""
    nodes = selected(info, "edges", "node") | selected(info, "nodes")
    return Parts(selected(info), selected(info, "edges"), selected(info, "pageInfo"), nodes)


def selected(info: Info[Any, Any], *path: str) -> frozenset[str]:
    """The names, in snake_case, of the fields selected below a field, or below `path` in it.

    `__typename` is left out, so an empty set does not mean that the object is not selected.
    Merges all nodes of the field, visits each fragment once, and applies `@skip` and `@include`.
    """
    # A compiled plan caches the results of its earlier runs.
    known: dict[tuple[str, ...], frozenset[str]] = getattr(info, "selections", {})
    if path not in known:
        known[path] = _selected(info._raw_info, path)
    return known[path]


def _selected(raw: Any, path: tuple[str, ...]) -> frozenset[str]:
    sets = [node.selection_set for node in raw.field_nodes]
    for name in path:
        below = [node for node in _fields(sets, raw) if node.name.value == name]
        sets = [node.selection_set for node in below]
    return frozenset(to_snake_case(node.name.value) for node in _fields(sets, raw) if node.name.value != "__typename")


def _fields(sets: list[SelectionSetNode | None], raw: Any) -> list[FieldNode]:
    fields: list[FieldNode] = []
    seen: set[str] = set()
    waiting: list[SelectionNode] = [node for selections in sets if selections for node in selections.selections]
    while waiting:
        node = waiting.pop()
        if not _is_included(node, raw.variable_values):
            continue
        if isinstance(node, FieldNode):
            fields.append(node)
        elif isinstance(node, InlineFragmentNode):
            waiting.extend(node.selection_set.selections)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            fragment = raw.fragments[node.name.value]
            waiting.extend(getattr(fragment, "definition", fragment).selection_set.selections)
    return fields


def _is_included(node: SelectionNode, variables: dict[str, Any]) -> bool:
    for directive in node.directives or ():
        if directive.name.value in ("skip", "include"):
            (argument,) = directive.arguments or ()
            value = argument.value
            if isinstance(value, VariableNode):
                holds = bool(variables.get(value.name.value))
            else:
                holds = isinstance(value, BooleanValueNode) and value.value
            if holds == (directive.name.value == "skip"):
                return False
    return True
