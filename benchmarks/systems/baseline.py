"""The baseline: a handler written by hand on Starlette and Motor, without GraphQL, access rules, limits or logs.

Its responses equal those of the service over GraphQL, byte for byte, except for the order of rows.
"""

import asyncio
from typing import Any

import orjson
import reads
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def get_key(request: Request) -> Response:
    """G: one key."""
    asked = orjson.loads(await request.body())
    document = await reads.find(asked["domainId"], asked["apiKeyId"])
    return _answer({"apiKey": document and _key(document)})


async def list_keys(request: Request) -> Response:
    """L: a page with the total."""
    asked = orjson.loads(await request.body())
    documents, total = await asyncio.gather(
        reads.page(asked["domainId"], asked["query"]["page"]["limit"]), reads.count(asked["domainId"])
    )
    return _answer({"apiKeys": {"totalCount": total, "results": [_key(document) for document in documents]}})


async def list_keys_alone(request: Request) -> Response:
    """L100: a page."""
    asked = orjson.loads(await request.body())
    documents = await reads.page(asked["domainId"], asked["query"]["page"]["limit"])
    return _answer({"apiKeys": {"results": [_key(document) for document in documents]}})


async def entities(request: Request) -> Response:
    """E: many keys by their ids."""
    asked = orjson.loads(await request.body())
    documents = await reads.find_many([(one["domainId"], one["apiKeyId"]) for one in asked])
    return _answer({"_entities": [document and _key(document) for document in documents]})


async def create_key(request: Request) -> Response:
    """W: a new key."""
    asked = orjson.loads(await request.body())
    document, secret = await reads.create(asked["userId"], asked["domainId"])
    return _answer({"createApiKey": {"apiKey": secret, **_key(document)}})


async def key_states(request: Request) -> Response:
    """S: keys per state."""
    asked = orjson.loads(await request.body())
    return _answer({"apiKeyStats": {"results": await reads.states(asked["domainId"])}})


def _key(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiKeyId": document["_id"],
        "userId": document["user_id"],
        "state": document["state"],
        "role": document["role"],
        "hint": document["hint"],
        "createdAt": reads.instant_text(document["created_at"]),
    }


def _answer(data: dict[str, Any]) -> Response:
    return Response(orjson.dumps({"data": data}), media_type="application/json")


app = Starlette(
    routes=[
        Route("/key", get_key, methods=["POST"]),
        Route("/keys", list_keys, methods=["POST"]),
        Route("/keys-alone", list_keys_alone, methods=["POST"]),
        Route("/entities", entities, methods=["POST"]),
        Route("/create", create_key, methods=["POST"]),
        Route("/states", key_states, methods=["POST"]),
    ]
)
