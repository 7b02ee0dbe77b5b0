"""Batched inserts: the keys that requests insert in the same turn of the event loop are one write.

A write returns when it is on disk, or on a majority of disks. That takes as long for many keys as for one.
"""

import structlog
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure
from strawberry.dataloader import DataLoader

from ..errors import Unavailable
from .batches import batch_loader
from .database import Database, Document

MAX_BATCH = 100  # keys in one write
_DUPLICATE_KEY = 11000

log = structlog.get_logger()


class BatchedInserts:
    """Inserts keys, batching those of the same turn of the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database.api_keys
        self._loader: DataLoader[Document, None] = batch_loader(self._insert_batch, MAX_BATCH)

    async def insert(self, document: Document) -> None:
        """Insert a key with a new id; returns when a majority has it.

        Raises what `Database.run` does; after Unavailable or DeadlineExceeded the key may or may not exist.
        """
        await self._loader.load(document)

    async def _insert_batch(self, documents: list[Document]) -> list[BaseException | None]:
        outcomes: list[BaseException | None] = [None] * len(documents)
        try:
            if len(documents) == 1:
                await self._database.run(lambda: self._collection.insert_one(documents[0]))
            else:
                await self._database.run(lambda: self._collection.insert_many(documents, ordered=False))
        except DuplicateKeyError:
            _log_sent_twice(documents[0])
        except BulkWriteError as error:
            if error.details["writeConcernErrors"]:
                raise Unavailable("The database did not confirm the write. Check whether the key exists.") from None
            for failed in error.details["writeErrors"]:
                if failed["code"] == _DUPLICATE_KEY:
                    _log_sent_twice(documents[failed["index"]])
                else:
                    # Not `error` itself: its text contains every document of the batch.
                    outcomes[failed["index"]] = OperationFailure(failed["errmsg"], failed["code"])
        return outcomes


async def insert_new(database: Database, documents: list[Document]) -> list[str]:
    """Insert those of these keys whose ids are not there, and return the ids that were.

    Raises what `Database.run` does.
    """
    try:
        await database.run(lambda: database.api_keys.insert_many(documents, ordered=False))
    except BulkWriteError as error:
        failed = error.details["writeErrors"]
        if error.details["writeConcernErrors"] or any(one["code"] != _DUPLICATE_KEY for one in failed):
            # Not `error` itself: its text contains every document of the batch.
            codes = sorted({one["code"] for one in failed})
            raise Unavailable(f"The database refused to write keys, with the error codes {codes}.") from None
        return [documents[one["index"]]["_id"] for one in failed]
    return []


def _log_sent_twice(document: Document) -> None:
    # The id is new, so the existing key is this one: the connection was lost after the insert, the driver sent it
    # again, and a database that has just restarted does not recognise the retry.
    log.info("a create was sent twice and made once", api_key_id=document["_id"])
