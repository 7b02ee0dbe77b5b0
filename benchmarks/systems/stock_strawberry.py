"""Strawberry as its documentation shows it: types, resolvers, the ASGI view, references through a DataLoader.

strawberry.rocks/docs: integrations/asgi, guides/dataloaders, guides/federation.
"""

from datetime import datetime
from enum import Enum
from typing import Any, NewType

import reads
import strawberry
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig

DateTime = NewType("DateTime", datetime)
APIKeyState = strawberry.enum(Enum("APIKeyState", ["ENABLED", "DISABLED"]))
APIKeyRole = strawberry.enum(Enum("APIKeyRole", ["USER", "VERIFIER", "DOMAIN_OWNER", "SYSTEM"]))


@strawberry.federation.type(name="APIKeyInfo", keys=["domainId apiKeyId"])
class APIKeyInfo:  # noqa: D101
    api_key_id: strawberry.ID
    state: APIKeyState  # type: ignore[valid-type]
    user_id: strawberry.ID
    domain_id: strawberry.ID
    created_at: DateTime
    role: APIKeyRole  # type: ignore[valid-type]
    hint: str
    api_key: str | None = None

    @classmethod
    async def resolve_reference(cls, info: strawberry.Info, **reference: str) -> "APIKeyInfo":
        """The key that a gateway names."""
        return await info.context["keys"].load((reference["domainId"], reference["apiKeyId"]))


@strawberry.type(name="APIKeysInfo")
class APIKeysInfo:  # noqa: D101
    asked: strawberry.Private[Any]

    @strawberry.field
    async def results(self) -> list[APIKeyInfo]:
        """The keys of the page."""
        return [_key(document) for document in await reads.page(self.asked.domain_id, self.asked.query.page.limit)]

    @strawberry.field
    async def total_count(self) -> int | None:
        """How many there are."""
        return await reads.count(self.asked.domain_id)


@strawberry.input(name="GetAPIKeyRequest")
class GetAPIKeyRequest:  # noqa: D101
    api_key_id: strawberry.ID
    domain_id: strawberry.ID


@strawberry.input(name="APIKeyPage")
class APIKeyPage:  # noqa: D101
    limit: int


@strawberry.input(name="APIKeyListQuery")
class APIKeyListQuery:  # noqa: D101
    page: APIKeyPage


@strawberry.input(name="APIKeyQuery")
class APIKeyQuery:  # noqa: D101
    domain_id: strawberry.ID
    query: APIKeyListQuery


@strawberry.input(name="APIKeyStatQuery")
class APIKeyStatQuery:  # noqa: D101
    domain_id: strawberry.ID
    query: JSON | None = None


@strawberry.input(name="CreateAPIKeyRequest")
class CreateAPIKeyRequest:  # noqa: D101
    user_id: strawberry.ID
    domain_id: strawberry.ID


@strawberry.type
class Query:  # noqa: D101
    @strawberry.field
    async def api_key(self, input: GetAPIKeyRequest) -> APIKeyInfo | None:
        """One key."""
        document = await reads.find(input.domain_id, input.api_key_id)
        return document and _key(document)

    @strawberry.field
    async def api_keys(self, input: APIKeyQuery) -> APIKeysInfo | None:
        """A page of keys."""
        return APIKeysInfo(asked=input)

    @strawberry.field
    async def api_key_stats(self, input: APIKeyStatQuery) -> JSON | None:
        """Keys per state."""
        return JSON({"results": await reads.states(input.domain_id)})


@strawberry.type
class Mutation:  # noqa: D101
    @strawberry.mutation
    async def create_api_key(self, input: CreateAPIKeyRequest) -> APIKeyInfo | None:
        """Make a key."""
        document, secret = await reads.create(input.user_id, input.domain_id)
        key = _key(document)
        key.api_key = secret
        return key


def _key(document: dict[str, Any]) -> APIKeyInfo:
    return APIKeyInfo(
        api_key_id=document["_id"],
        state=APIKeyState[document["state"]],
        user_id=document["user_id"],
        domain_id=document["domain_id"],
        created_at=document["created_at"],
        role=APIKeyRole[document["role"]],
        hint=document["hint"],
    )


async def _load(references: list[tuple[str, str]]) -> list[APIKeyInfo | None]:
    return [document and _key(document) for document in await reads.find_many(references)]


class _GraphQL(GraphQL):
    async def get_context(self, request: Any, response: Any) -> Any:
        return {"keys": DataLoader(load_fn=_load)}


schema = strawberry.federation.Schema(
    query=Query,
    mutation=Mutation,
    types=[APIKeyInfo],
    config=StrawberryConfig(
        scalar_map={DateTime: strawberry.scalar(name="DateTime", serialize=reads.instant_text, parse_value=str)}
    ),
)
app = _GraphQL(schema)
