"""Flattens a document's definitions to lists, so that each fragment is visited once however often it is spread."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from graphql import (
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionNode,
)
from graphql.language import Node

SATURATED = 1_000_000_000  # fragments that spread others twice double a count at each level: counts stop here

Definition = OperationDefinitionNode | FragmentDefinitionNode


class Outline(NamedTuple):
    """A definition's selections as one list, each with the index of its parent, which comes before it."""

    definition: Definition
    selections: list[tuple[SelectionNode, int | None]]

    @property
    def name(self) -> str:
        """A fragment's name; empty for an operation."""
        return self.definition.name.value if isinstance(self.definition, FragmentDefinitionNode) else ""

    @property
    def introspects(self) -> bool:
        """Whether it is a fragment on an introspection type."""
        node = self.definition
        return isinstance(node, FragmentDefinitionNode) and node.type_condition.name.value.startswith("__")


def outline_of(definition: Definition) -> Outline:
    """The outline of an operation or a fragment, without the fragments that it spreads."""
    selections: list[tuple[SelectionNode, int | None]] = []
    waiting: list[tuple[Any, int | None]] = [(definition, None)]
    while waiting:
        node, place = waiting.pop()
        for selection in node.selection_set.selections:
            if getattr(selection, "selection_set", None) is not None:
                waiting.append((selection, len(selections)))
            selections.append((selection, place))
    return Outline(definition, selections)


def innermost_first(wanted: Iterable[Outline], among: Iterable[Outline]) -> list[Outline]:
    """The wanted outlines and all fragments that they spread, dependencies first. Cycles are cut."""
    fragments = {outline.name: outline for outline in among if outline.name}
    ordered: list[Outline] = []
    seen: set[int] = set()
    waiting = [(outline, False) for outline in wanted]
    while waiting:
        outline, entered = waiting.pop()
        if entered:
            ordered.append(outline)
        elif id(outline) not in seen:
            seen.add(id(outline))
            waiting.append((outline, True))
            spreads = (node.name.value for node, _ in outline.selections if isinstance(node, FragmentSpreadNode))
            waiting.extend((fragments[name], False) for name in spreads if name in fragments)
    return ordered


def nodes_of(nodes: Iterable[Node]) -> Iterator[Node]:
    """These nodes and all below them."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        for key in node.keys:
            value = getattr(node, key)
            if isinstance(value, Node):
                waiting.append(value)
            elif isinstance(value, tuple | list):
                waiting.extend(item for item in value if isinstance(item, Node))
