"""The keys that sign tokens: the collection `signing_keys`, a document for each, numbered in their order."""

from collections.abc import Sequence

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from .database import Database, Document


async def read_signing_keys(database: Database) -> list[Document]:
    """All keys, the oldest first. Raises what `Database.run` does."""
    return await database.run(lambda: database.signing_keys.find({}).sort("_id", ASCENDING).to_list(None))


async def insert_signing_key(database: Database, key: Document) -> bool:
    """Insert a key, unless another worker made one of its number. Raises what `Database.run` does."""
    try:
        await database.run(lambda: database.signing_keys.insert_one(key))
    except DuplicateKeyError:
        return False
    return True


async def reseal_signing_key(database: Database, before: Document, after: Document) -> None:
    """Replace what is sealed of a key, unless that has changed. Raises what `Database.run` does."""
    where = {"_id": before["_id"], "sealed": before["sealed"]}
    await database.run(lambda: database.signing_keys.update_one(where, {"$set": {"sealed": after["sealed"]}}))


async def delete_signing_keys(database: Database, numbers: Sequence[int]) -> None:
    """Remove keys by their numbers. Raises what `Database.run` does."""
    await database.run(lambda: database.signing_keys.delete_many({"_id": {"$in": list(numbers)}}))
