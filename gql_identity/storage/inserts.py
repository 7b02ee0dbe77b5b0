"""Batched inserts: the keys that all requests insert at one moment are one write.

A write returns when it is on disk, or on a majority of disks, and that takes as long for many keys as for one.
"""

import structlog
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure
from strawberry.dataloader import DataLoader

from ..errors import Unavailable
from .batches import batch_loader
from .database import Database, Document

MAX_BATCH = 100  # keys of one write
_DUPLICATE_KEY = 11000

log = structlog.get_logger()


class BatchedInserts:
    """Inserts of keys; those of one moment are one write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database.api_keys
        self._loader: DataLoader[Document, None] = batch_loader(self._insert_batch, MAX_BATCH)

    async def insert(self, document: Document) -> None:
        """Insert a key, whose id is new; done when a majority has it.

        Raises what `Database.run` does; after Unavailable and DeadlineExceeded the key may exist or not.
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
                raise Unavailable("The database did not confirm the write. Look whether the key is there.") from None
            for failed in error.details["writeErrors"]:
                if failed["code"] == _DUPLICATE_KEY:
                    _log_sent_twice(documents[failed["index"]])
                else:
                    # Not `error` itself: its text holds every document of the batch.
                    outcomes[failed["index"]] = OperationFailure(failed["errmsg"], failed["code"])
        return outcomes


def _log_sent_twice(document: Document) -> None:
    # The id is new, so this very key exists already: the connection was lost after the insert, the driver sent it
    # again, and a database that has just been restarted no longer recognises the retry.
    log.info("a create was sent twice and made once", api_key_id=document["_id"])
