"""Writes of an import, which may be repeated and may run beside a service."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from ..errors import Unavailable
from .conditional_writes import equals
from .database import Database, Document
from .failures import DUPLICATE_KEY


class Uses(NamedTuple):
    """Later uses of a stored key, each by the path of its field."""

    key: Document
    later: dict[str, datetime]


async def insert_missing(database: Database, documents: list[Document], collection: str = "api_keys") -> list[str]:
    """Insert the documents whose ids are not there, and return the ids of the others.

    Raises what `Database.run` does.
    """
    into = database.audit if collection == "audit" else database.api_keys
    try:
        await database.run(lambda: into.insert_many(documents, ordered=False))
    except BulkWriteError as error:
        failed = error.details["writeErrors"]
        _check_errors(error, {DUPLICATE_KEY})
        return [documents[one["index"]]["_id"] for one in failed]
    return []


async def replace_if_unchanged(database: Database, read: Document, document: Document) -> bool:
    """Replace a key unless it has changed since it was read, or its digests or uses; return whether it was done.

    Raises what `Database.run` does.
    """
    where = {"domain_id": document["domain_id"], "_id": document["_id"]}
    # A use sets these without counting, and so does a move of a digest to another pepper.
    guarded = ("audit_number", "digest", "last_accessed_at", "secret_uses")
    unchanged = {"$and": [equals(field, read.get(field)) for field in guarded]}
    replaced = {"$cond": [unchanged, {"$literal": document}, "$$ROOT"]}
    written = await database.run(lambda: database.api_keys.update_one(where, [{"$replaceWith": replaced}]))
    return bool(written.modified_count)


async def write_uses(database: Database, uses: Sequence[Uses]) -> None:
    """Write these uses of keys, where none is stored that is later. Raises what `Database.run` does."""
    writes = [
        UpdateOne({"domain_id": use.key["domain_id"], "_id": use.key["_id"]}, {"$max": use.later}) for use in uses
    ]
    if not writes:
        return
    try:
        await database.run(lambda: database.api_keys.bulk_write(writes, ordered=False))
    except BulkWriteError as error:
        _check_errors(error, set())


def _check_errors(error: BulkWriteError, expected: set[int]) -> None:
    """Raise Unavailable unless the database refused writes with these codes alone."""
    codes = sorted({one["code"] for one in error.details["writeErrors"]} - expected)
    if codes or error.details["writeConcernErrors"]:
        raise Unavailable(f"The database refused to write, with the error codes {codes}. Import again.") from None
