"""The reads and writes of the Python peers and the baseline, through Motor: the same as the service's."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

os.environ.setdefault("MOTOR_MAX_WORKERS", "64")

import uuid_utils
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import WriteConcern

from gql_identity import secret

Document = dict[str, Any]

FIELDS = dict.fromkeys(("_id", "created_at", "domain_id", "hint", "role", "state", "user_id"), 1)

# Instants are naive and in UTC, the driver's default: aware ones take it twice as long.
_client: Any = AsyncIOMotorClient(os.environ["BENCH_MONGO_URI"])
_keys = _client.get_default_database().get_collection("api_keys", write_concern=WriteConcern("majority"))
_pepper = os.environ["BENCH_PEPPER"]


async def find(domain_id: str, key_id: str) -> Document | None:
    """One key; None where there is none."""
    return await _keys.find_one({"domain_id": domain_id, "_id": key_id}, FIELDS)


async def find_many(references: Sequence[tuple[str, str]]) -> list[Document | None]:
    """The keys of these domain and key ids, in their order; one read."""
    domains = sorted({domain_id for domain_id, _ in references})
    where = {
        "domain_id": domains[0] if len(domains) == 1 else {"$in": domains},
        "_id": {"$in": [key_id for _, key_id in references]},
    }
    documents = await _keys.find(where, FIELDS).to_list(None)
    found = {(document["domain_id"], document["_id"]): document for document in documents}
    return [found.get(reference) for reference in references]


async def page(domain_id: str, limit: int) -> list[Document]:
    """The first keys of a domain, by their id."""
    stages = [{"$match": {"domain_id": domain_id}}, {"$sort": {"_id": 1}}, {"$limit": limit}, {"$project": FIELDS}]
    return await _keys.aggregate(stages).to_list(None)


async def count(domain_id: str) -> int:
    """How many keys a domain has."""
    # As `$count` does, in fewer steps of the embedded engine.
    group = {"$group": {"_id": None, "total": {"$sum": 1}}}
    rows = await _keys.aggregate([{"$match": {"domain_id": domain_id}}, group]).to_list(None)
    return rows[0]["total"] if rows else 0


async def states(domain_id: str) -> list[Document]:
    """How many keys a domain has in each state."""
    group = {"$group": {"_id": "$state", "count": {"$sum": 1}}}
    rows = await _keys.aggregate([{"$match": {"domain_id": domain_id}}, group]).to_list(None)
    return [{"state": row["_id"], "count": row["count"]} for row in rows]


async def create(user_id: str, domain_id: str) -> tuple[Document, str]:
    """Make a key; it and its secret."""
    text = secret.make_secret()
    now = datetime.now(UTC)
    document = {
        "_id": f"api-key-{uuid_utils.uuid7().hex}",
        "domain_id": domain_id,
        "user_id": user_id,
        "state": "ENABLED",
        "role": "USER",
        "name": None,
        "digest": secret.digest(text, _pepper),
        "hint": secret.hint(text),
        "created_at": now.replace(microsecond=now.microsecond // 1000 * 1000, tzinfo=None),
        "created_by": None,
        "last_accessed_at": None,
    }
    await _keys.insert_one(document)
    return document, text


def instant_text(instant: datetime) -> str:
    """RFC 3339 with milliseconds, as the service answers."""
    return f"{instant.isoformat('T', 'milliseconds')}Z"
