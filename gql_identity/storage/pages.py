"""All documents that match, in pages: for commands, which have no bound on how many keys they read."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence

from ..messages.audit import APIKeyAuditAction
from ..messages.values import whole_number
from .database import Database, Document

PAGE_DOCUMENTS = 2_000  # held in memory at once; on the embedded engine a page costs with all that match
READS_AT_ONCE = 8  # of the audit log, each of one domain


async def pages(database: Database, where: Document, collection: str = "api_keys") -> AsyncIterator[list[Document]]:
    """The documents that match, in the order of their ids, also those that are made meanwhile with later ids.

    Each is read once. One whose id is no text, which this service never writes, is left out. Raises what `Database.run`
    does.
    """
    beyond: Document = {"_id": {"$gte": ""}}
    while True:
        page = {**where, **beyond}
        documents = await database.to_list(
            lambda found: found.find(page).sort("_id").limit(PAGE_DOCUMENTS),  # noqa: B023
            collection,
        )
        if documents:
            yield documents
        if len(documents) < PAGE_DOCUMENTS:
            return
        beyond = {"_id": {"$gt": documents[-1]["_id"]}}


async def keys_by_ids(database: Database, key_ids: Sequence[str]) -> list[Document]:
    """The keys of these ids, of any domain, those that exist. Raises what `Database.run` does."""
    return await database.find({"_id": {"$in": list(key_ids)}}, len(key_ids))


async def deleted_key_ids(database: Database, keys: Sequence[Document]) -> set[str]:
    """The ids of those of these keys that were deleted here, as the audit log tells: an import revives none.

    Raises what `Database.run` does.
    """
    deleted = {"action": APIKeyAuditAction.DELETED.name}
    entries = await _entries(database, ((key["domain_id"], key["_id"]) for key in keys), deleted, ["api_key_id"])
    return {entry["api_key_id"] for entry in entries}


async def entries_like(database: Database, entries: Sequence[Document]) -> list[Document]:
    """The stored entries of the audit log with a key and a number of these, and those of deletions of their keys.

    Each with its id, key, number and action. Raises what `Database.run` does.
    """
    where = {
        "$or": [
            {"number": {"$in": sorted({entry["number"] for entry in entries})}},
            {"action": APIKeyAuditAction.DELETED.name},
        ],
    }
    keys = ((entry["domain_id"], entry["api_key_id"]) for entry in entries)
    found = await _entries(database, keys, where, ["api_key_id", "number", "action"])
    # What something else stored may have a number of another type.
    return [entry for entry in found if whole_number(entry.get("number")) is not None]


async def _entries(
    database: Database, keys: Iterable[tuple[str, str]], where: Document, fields: Sequence[str]
) -> list[Document]:
    """The entries of these keys, each a domain and an id, that match, with these fields.

    One read for each domain, and the other conditions in a stage of their own: otherwise the embedded engine uses no
    index, and reads the whole audit log. MongoDB merges the stages.
    """
    ids_of: dict[str, set[str]] = defaultdict(set)
    for domain_id, key_id in keys:
        ids_of[domain_id].add(key_id)

    async def read(domain_id: str) -> list[Document]:
        of_keys = {"domain_id": domain_id, "api_key_id": {"$in": sorted(ids_of[domain_id])}}
        pipeline = [{"$match": of_keys}, {"$match": where}, {"$project": dict.fromkeys(fields, 1)}]
        return await database.to_list(lambda audit: audit.aggregate(pipeline), "audit")

    domains, found = sorted(ids_of), list[Document]()
    for start in range(0, len(domains), READS_AT_ONCE):
        for entries in await asyncio.gather(*map(read, domains[start : start + READS_AT_ONCE])):
            found += entries
    return found
