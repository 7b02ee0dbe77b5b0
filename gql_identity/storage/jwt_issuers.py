"""Domains of Cloudforet whose JWTs are accepted, with their public keys: the collection `jwt_issuers`."""

from collections.abc import Sequence
from datetime import datetime

from pymongo import ReplaceOne

from .conditional_writes import equals, set_if
from .database import Database, Document


async def save_issuers(database: Database, issuers: Sequence[Document]) -> None:
    """Store these domains, in place of what is stored of them. Raises what `Database.run` does."""
    writes = [ReplaceOne({"_id": issuer["_id"]}, issuer, upsert=True) for issuer in issuers]
    if writes:
        await database.run(lambda: database.jwt_issuers.bulk_write(writes, ordered=False))


async def find_issuer(database: Database, domain_id: str) -> Document | None:
    """What is stored of a domain. Raises what `Database.run` does."""
    return await database.run(lambda: database.jwt_issuers.find_one({"_id": domain_id}))


async def store_jwt(database: Database, read: Document, changes: Document) -> bool:
    """Set these fields of a key unless it has changed since it was read, or its digests; return whether it was done.

    No change of the key, as when a digest moves to another pepper: it has no audit entry. Raises what `Database.run`
    does.
    """
    values = {field: {"$literal": value} for field, value in changes.items()}
    # A move to another pepper, and another first use, set the digest without counting.
    unchanged = {"$and": [equals(field, read.get(field)) for field in ("audit_number", "digest")]}
    update = set_if(unchanged, values)
    where = {"domain_id": read["domain_id"], "_id": read["_id"]}
    written = await database.run(lambda: database.api_keys.update_one(where, update))
    return bool(written.modified_count)


async def accepted_until(database: Database, now: datetime) -> dict[str, datetime]:
    """The domains whose date is still ahead, each with its date. Raises what `Database.run` does."""
    where = {"until": {"$gt": now}}
    found = await database.run(lambda: database.jwt_issuers.find(where, {"until": 1}).to_list(None))
    return {issuer["_id"]: issuer["until"] for issuer in found}
