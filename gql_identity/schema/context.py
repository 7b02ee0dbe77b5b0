"""The context of a request, which every resolver receives."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from strawberry.scalars import JSON
from strawberry.types import Info as StrawberryInfo

from ..errors import FailedPrecondition, Unauthenticated
from ..keys.access import Caller
from ..keys.api_keys import ApiKeys
from ..keys.changes import Changes
from ..keys.matching import Owner
from ..messages.connections import ConnectionArguments
from ..messages.keys import APIKeyConnection, APIKeyInfo
from ..messages.query import APIKeyStatisticsQuery
from ..messages.usage import APIKeyUsage
from .loaders import Load, Loader
from .selection import selected_parts

if TYPE_CHECKING:
    from ..tokens.exchange import Tokens  # imported only where an issuer is set


@dataclass(slots=True)
class Context:
    """One request: its caller, and access to keys and their changes."""

    api_keys: ApiKeys
    changes: Changes
    caller_if_any: Caller | None
    tokens_if_any: "Tokens | None" = None
    _loader: Loader | None = field(default=None, init=False)

    @property
    def caller(self) -> Caller:
        """The caller. Raises Unauthenticated if no credential was sent."""
        if self.caller_if_any is None:
            raise Unauthenticated
        return self.caller_if_any

    @property
    def tokens(self) -> "Tokens":
        """The tokens of the service. Raises FailedPrecondition where it has no issuer."""
        if self.tokens_if_any is None:
            raise FailedPrecondition("This service makes no tokens: its setting `issuer` is not set.")
        return self.tokens_if_any

    async def connection(self, info: "Info", owner: Owner, arguments: ConnectionArguments) -> APIKeyConnection | None:
        """A page of an owner's keys; None if the caller may not see the owner.

        The pages of all owners at the same place in the document are one read.
        """
        found: APIKeyConnection | None = await self._loads.load(Load(info, owner, self._connections, arguments))
        return found

    async def stats(self, info: "Info", domain_id: str, query: APIKeyStatisticsQuery) -> JSON | None:
        """A statistic of a domain's keys, batched in the same way as `connection`."""
        found: JSON | None = await self._loads.load(Load(info, domain_id, self._stats, query))
        return found

    async def usage(self, info: "Info", key: APIKeyInfo, *period: Any) -> list[APIKeyUsage] | None:
        """How often a key was used, batched in the same way as `connection`."""
        found: list[APIKeyUsage] | None = await self._loads.load(Load(info, key, self._usage, period))
        return found

    @property
    def _loads(self) -> Loader:
        if self._loader is None:
            self._loader = Loader()
        return self._loader

    async def _connections(
        self, info: "Info", owners: list[Owner], arguments: ConnectionArguments
    ) -> list[APIKeyConnection | FailedPrecondition | None]:
        return await self.api_keys.lists.connections(owners, arguments, selected_parts(info), self.caller)

    async def _stats(self, _: "Info", domains: list[str], query: APIKeyStatisticsQuery) -> list[dict[str, Any] | None]:
        return await self.api_keys.statistics.stats_of_domains(domains, query, self.caller)

    async def _usage(
        self, _: "Info", keys: list[APIKeyInfo], period: tuple[Any, ...]
    ) -> list[list[APIKeyUsage] | None]:
        return await self.api_keys.usage.of_keys(keys, self.caller, *period)


if TYPE_CHECKING:
    Info = StrawberryInfo[Context, None]
else:
    Info = StrawberryInfo
