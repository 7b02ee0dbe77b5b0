"""Ariadne as its documentation shows it: SDL, bindables, the ASGI application, federation, a DataLoader for references.

ariadnegraphql.org/docs: asgi, apollo-federation, dataloaders.
"""

from pathlib import Path
from typing import Any

import reads
from ariadne import MutationType, ObjectType, QueryType, ScalarType
from ariadne.asgi import GraphQL
from ariadne.contrib.federation import FederatedObjectType, make_federated_schema
from strawberry.dataloader import DataLoader  # Ariadne brings none of its own

query = QueryType()
mutation = MutationType()
keys_info = ObjectType("APIKeysInfo")
key_info = FederatedObjectType("APIKeyInfo")
date_time = ScalarType("DateTime", serializer=reads.instant_text)


@query.field("apiKey")
async def get_key(_: Any, info: Any, input: Any) -> Any:
    """One key."""
    document = await reads.find(input["domainId"], input["apiKeyId"])
    return document and _key(document)


@query.field("apiKeys")
def list_keys(_: Any, info: Any, input: Any) -> Any:
    """A page of keys: what was asked, for its fields to answer."""
    return input


@keys_info.field("results")
async def results(asked: Any, info: Any) -> Any:
    """The keys of the page."""
    return [_key(document) for document in await reads.page(asked["domainId"], asked["query"]["page"]["limit"])]


@keys_info.field("totalCount")
async def total_count(asked: Any, info: Any) -> int:
    """How many there are."""
    return await reads.count(asked["domainId"])


@query.field("apiKeyStats")
async def key_states(_: Any, info: Any, input: Any) -> Any:
    """Keys per state."""
    return {"results": await reads.states(input["domainId"])}


@mutation.field("createApiKey")
async def create_key(_: Any, info: Any, input: Any) -> Any:
    """Make a key."""
    document, secret = await reads.create(input["userId"], input["domainId"])
    return {"apiKey": secret, **_key(document)}


@key_info.reference_resolver
async def resolve_reference(_: Any, info: Any, reference: Any) -> Any:
    """The key that a gateway names."""
    return await info.context["keys"].load((reference["domainId"], reference["apiKeyId"]))


def _key(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiKeyId": document["_id"],
        "userId": document["user_id"],
        "domainId": document["domain_id"],
        "state": document["state"],
        "role": document["role"],
        "hint": document["hint"],
        "createdAt": document["created_at"],
    }


async def _load(references: list[tuple[str, str]]) -> list[Any]:
    return [document and _key(document) for document in await reads.find_many(references)]


schema = make_federated_schema(
    (Path(__file__).parent / "schema.graphql").read_text(), query, mutation, keys_info, key_info, date_time
)
app = GraphQL(schema, context_value=lambda request, data: {"request": request, "keys": DataLoader(load_fn=_load)})
