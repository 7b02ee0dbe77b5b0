"""What a resolver is given."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from strawberry.dataloader import DataLoader
from strawberry.scalars import JSON
from strawberry.types import Info as StrawberryInfo

from ..errors import ServiceError, Unauthenticated
from ..keys.access import Caller
from ..keys.api_keys import ApiKeys
from ..keys.changes import Changes
from ..keys.matching import Owner
from ..messages.connections import ConnectionArguments
from ..messages.keys import APIKeyConnection
from ..messages.query import APIKeyStatisticsQuery
from .selection import selected_parts


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
            raise Unauthenticated
        return self.caller_if_any

    async def connection(self, info: "Info", owner: Owner, arguments: ConnectionArguments) -> APIKeyConnection | None:
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
        self, info: "Info", owners: list[Owner], arguments: ConnectionArguments
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
