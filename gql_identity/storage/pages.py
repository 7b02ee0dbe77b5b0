"""All documents that match, in pages: for commands, which have no bound on how many keys they read."""

from collections.abc import AsyncIterator, Sequence

from ..messages.audit import APIKeyAuditAction
from ..messages.values import whole_number
from .database import Database, Document

PAGE_DOCUMENTS = 2_000  # held in memory at once; on the embedded engine a page costs with all that match


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
    where = {"_id": {"$in": list(key_ids)}}
    return await database.to_list(lambda keys: keys.find(where, batch_size=len(key_ids) + 1))


async def deleted_key_ids(database: Database, keys: Sequence[Document]) -> set[str]:
    """The ids of those of these keys that were deleted here, as the audit log tells: an import revives none.

    Raises what `Database.run` does.
    """
    where = {
        "domain_id": {"$in": sorted({key["domain_id"] for key in keys})},
        "api_key_id": {"$in": [key["_id"] for key in keys]},
        "action": APIKeyAuditAction.DELETED.name,
    }
    entries = await database.to_list(lambda audit: audit.find(where, {"api_key_id": 1}), "audit")
    return {entry["api_key_id"] for entry in entries}


async def entries_like(database: Database, entries: Sequence[Document]) -> list[Document]:
    """The stored entries of the audit log with a key and a number of these, and those of deletions of their keys.

    Each with its id, key, number and action. Raises what `Database.run` does.
    """
    where = {
        "domain_id": {"$in": sorted({entry["domain_id"] for entry in entries})},
        "api_key_id": {"$in": sorted({entry["api_key_id"] for entry in entries})},
        "$or": [
            {"number": {"$in": sorted({entry["number"] for entry in entries})}},
            {"action": APIKeyAuditAction.DELETED.name},
        ],
    }
    fields = {"api_key_id": 1, "number": 1, "action": 1}
    found = await database.to_list(lambda audit: audit.find(where, fields), "audit")
    # What something else stored may have a number of another type.
    return [entry for entry in found if whole_number(entry.get("number")) is not None]
