"""What a supergraph shares with us: users and domains, which gain their keys here."""

from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import ID
from strawberry.scalars import JSON

from ..queries.connections import After, APIKeyConnection, Arguments, Before, First, Last, OrderBy, State, Where
from .query import APIKeyStatisticsQuery

if TYPE_CHECKING:
    from ..schema.context import Info
else:
    from strawberry.types import Info


@strawberry.federation.type(
    keys=["domainId userId"],
    description="A user, known here by its ids alone: another service of the supergraph may tell the rest.",
)
class User:
    """The owner of keys."""

    domain_id: ID = strawberry.field(description="The domain that the user belongs to.")
    user_id: ID = strawberry.field(description="The user's id within its domain.")

    @strawberry.field(description="The user's keys, those that you may see.")
    async def api_keys(
        self,
        info: Info,
        state: State = None,
        where: Where = None,
        order_by: OrderBy = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> APIKeyConnection | None:
        """The keys of all users that are asked for at once are one read."""
        arguments = Arguments(state, where, order_by, first, after, last, before)
        return await info.context.connection(info, (self.domain_id, self.user_id), arguments)


@strawberry.federation.type(
    keys=["domainId"],
    description="A domain, known here by its id alone: another service of the supergraph may tell the rest.",
)
class Domain:
    """What users belong to."""

    domain_id: ID = strawberry.field(description="The domain's id.")

    @strawberry.field(description="The domain's keys, those that you may see.")
    async def api_keys(
        self,
        info: Info,
        state: State = None,
        where: Where = None,
        order_by: OrderBy = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> APIKeyConnection | None:
        """The keys of all domains that are asked for at once are one read."""
        arguments = Arguments(state, where, order_by, first, after, last, before)
        return await info.context.connection(info, (self.domain_id, None), arguments)

    @strawberry.field(
        description="A statistic of the domain's keys, those that you may see; as `apiKeyStats` of Query."
    )
    async def api_key_stats(
        self,
        info: Info,
        query: Annotated[APIKeyStatisticsQuery, strawberry.argument(description="What to count, and how.")],
    ) -> JSON | None:
        """The statistics of all domains that are asked for at once are one read."""
        return await info.context.stats(info, self.domain_id, query)
