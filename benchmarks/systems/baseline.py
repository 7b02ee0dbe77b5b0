"""The baseline: lean handlers on Starlette and Motor, written by hand, without GraphQL, access rules, limits or logs.

Their responses have the same data as those of the service over GraphQL; orjson writes instants, with microseconds. Two
use no database: they read JSON and answer JSON, which is the least that V and T can cost.
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
    """L and L100: a page with the total."""
    asked = orjson.loads(await request.body())
    documents, total = await asyncio.gather(
        reads.page(asked["domainId"], asked["query"]["page"]["limit"]), reads.count(asked["domainId"])
    )
    return _answer({"apiKeys": {"totalCount": total, "results": [_key(document) for document in documents]}})


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


async def verify(request: Request) -> Response:
    """V, without a look-up: JSON in, JSON out."""
    asked = orjson.loads(await request.body())
    return _answer({"verifyApiKey": {"valid": bool(asked["apiKey"]), "code": "VALID"}})


async def typename(request: Request) -> Response:
    """T: JSON in, JSON out."""
    orjson.loads(await request.body())
    return _answer({"__typename": "Query"})


def _key(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiKeyId": document["_id"],
        "userId": document["user_id"],
        "state": document["state"],
        "role": document["role"],
        "hint": document["hint"],
        "createdAt": document["created_at"],
    }


def _answer(data: dict[str, Any]) -> Response:
    return Response(orjson.dumps({"data": data}, option=_INSTANTS), media_type="application/json")


_INSTANTS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


app = Starlette(
    routes=[
        Route("/key", get_key, methods=["POST"]),
        Route("/keys", list_keys, methods=["POST"]),
        Route("/entities", entities, methods=["POST"]),
        Route("/create", create_key, methods=["POST"]),
        Route("/states", key_states, methods=["POST"]),
        Route("/verify", verify, methods=["POST"]),
        Route("/typename", typename, methods=["POST"]),
    ]
)
