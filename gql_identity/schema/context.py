"""What a resolver is given."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from graphql import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionNode, SelectionSetNode
from graphql.language import BooleanValueNode, VariableNode
from strawberry.dataloader import DataLoader
from strawberry.scalars import JSON
from strawberry.types import Info as StrawberryInfo
from strawberry.utils.str_converters import to_snake_case

from ..errors import ServiceError, Unauthenticated
from ..keys.access import Caller
from ..keys.api_keys import ApiKeys, Owner
from ..keys.changes import Changes
from ..messages.query import APIKeyStatisticsQuery
from ..queries.connections import APIKeyConnection, Arguments, Parts
from ..web.authentication import SEND_ONE


@dataclass(slots=True)
class Context:
    """One request: who asks, and what answers."""

    api_keys: ApiKeys
    changes: Changes
    caller_if_any: Caller | None
    _loader: "DataLoader[_Asked, Any] | None" = field(default=None, init=False)

    @property
    def caller(self) -> Caller:
        """Who asks; raises Unauthenticated where no credential was sent."""
        if self.caller_if_any is None:
            raise Unauthenticated(SEND_ONE)
        return self.caller_if_any

    async def connection(self, info: "Info", owner: Owner, arguments: Arguments) -> APIKeyConnection | None:
        """A page of an owner's keys, None where the caller may not see it.

        Owners that one place in the document asks about are read at once.
        """
        found: APIKeyConnection | None = await self._load(info, owner, self._connections, arguments)
        return found

    async def stats(self, info: "Info", domain_id: str, query: APIKeyStatisticsQuery) -> JSON | None:
        """A statistic of a domain's keys, read as `connection` reads a page."""
        found: JSON | None = await self._load(info, domain_id, self._stats, query)
        return found

    def _load(self, *asked: Any) -> Awaitable[Any]:
        if self._loader is None:
            # So many keep a union of as many pipelines below MongoDB's 1,000 stages.
            self._loader = DataLoader(_read_all, max_batch_size=500, cache=False)
        return self._loader.load(_Asked(*asked))

    async def _connections(
        self, info: "Info", owners: list[Owner], arguments: Arguments
    ) -> list[APIKeyConnection | None]:
        return await self.api_keys.connections(owners, arguments, selected_parts(info), self.caller)

    async def _stats(self, _: "Info", domains: list[str], query: APIKeyStatisticsQuery) -> list[dict[str, Any] | None]:
        return await self.api_keys.stats_of_domains(domains, query, self.caller)


if TYPE_CHECKING:
    Info = StrawberryInfo[Context, None]
else:
    Info = StrawberryInfo


class _Asked(NamedTuple):
    """One of many that are asked for at once: where, of what, how they are read, and with which arguments."""

    info: Info
    owner: Any
    read: Callable[[Info, list[Any], Any], Awaitable[list[Any]]]
    arguments: Any


async def _read_all(asked: list[_Asked]) -> list[Any]:
    # At one place in the document all is alike but the owner: selection, variables and arguments.
    places: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, one in enumerate(asked):
        places[tuple(map(id, one.info._raw_info.field_nodes))].append(index)
    answers: list[Any] = [None] * len(asked)

    async def read_place(indexes: list[int]) -> None:
        info, _, read, arguments = asked[indexes[0]]
        try:
            found = await read(info, [asked[index].owner for index in indexes], arguments)
        except ServiceError as error:
            found = [error] * len(indexes)
        for index, answer in zip(indexes, found, strict=True):
            answers[index] = answer

    await asyncio.gather(*map(read_place, places.values()))
    return answers


def selected_parts(info: Info) -> Parts:
    """What is selected of a connection."""
    nodes = selected(info, "edges", "node") | selected(info, "nodes")
    return Parts(selected(info), selected(info, "edges"), selected(info, "pageInfo"), nodes)


def selected(info: Info, *path: str) -> frozenset[str]:
    """The names, in snake_case, of the fields selected below a field, or below `path` in it.

    Merges all of its nodes, follows each fragment once, and leaves out what `@skip` and `@include` leave out.
    """
    # A compiled plan keeps what was found in its earlier runs.
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
