"""Writes of an import, which may be repeated and may run beside a service."""

from pymongo.errors import BulkWriteError

from ..errors import Unavailable
from .conditional_writes import equals
from .database import Database, Document
from .failures import DUPLICATE_KEY


async def insert_missing(database: Database, documents: list[Document], collection: str = "api_keys") -> list[str]:
    """Insert the documents whose ids are not there, and return the ids of the others.

    Raises what `Database.run` does.
    """
    into = database.audit if collection == "audit" else database.api_keys
    try:
        await database.run(lambda: into.insert_many(documents, ordered=False))
    except BulkWriteError as error:
        failed = error.details["writeErrors"]
        codes = sorted({one["code"] for one in failed} - {DUPLICATE_KEY})
        if codes or error.details["writeConcernErrors"]:
            raise Unavailable(f"The database refused to write, with the error codes {codes}. Import again.") from None
        return [documents[one["index"]]["_id"] for one in failed]
    return []


async def replace_if_unchanged(database: Database, read: Document, document: Document) -> bool:
    """Replace a key unless it has changed since it was read, or its digests; return whether it was done.

    Raises what `Database.run` does.
    """
    where = {"domain_id": document["domain_id"], "_id": document["_id"]}
    unchanged = {"$and": [equals(field, read.get(field)) for field in ("audit_number", "digest")]}
    replaced = {"$cond": [unchanged, {"$literal": document}, "$$ROOT"]}
    written = await database.run(lambda: database.api_keys.update_one(where, [{"$replaceWith": replaced}]))
    return bool(written.modified_count)
