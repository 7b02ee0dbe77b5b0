"""Inserts of keys: what all requests insert at one moment is one write.

A write is answered when it is on disk, or on a majority of disks, and that takes as long for many keys as for one.
"""

import structlog
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure
from strawberry.dataloader import DataLoader

from ..errors import Unavailable
from .database import DEADLINE, Database, Document

MOST_KEYS = 100  # of one write
_DUPLICATE_KEY = 11000

log = structlog.get_logger()


class Inserts:
    """Inserts into a database's keys."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database.api_keys
        self._loader: DataLoader[Document, None] = DataLoader(self._insert_all, max_batch_size=MOST_KEYS, cache=False)

    async def insert(self, document: Document) -> None:
        """Insert a key, whose id is new; done when a majority has it.

        Raises what `Database.run` does; after Unavailable and DeadlineExceeded it may be there or not.
        """
        await self._loader.load(document)

    async def _insert_all(self, documents: list[Document]) -> list[BaseException | None]:
        # Whoever asked waits no longer than its own deadline; the write itself has the database's.
        DEADLINE.set(None)
        outcomes: list[BaseException | None] = [None] * len(documents)
        try:
            if len(documents) == 1:
                await self._database.run(lambda: self._collection.insert_one(documents[0]))
            else:
                await self._database.run(lambda: self._collection.insert_many(documents, ordered=False))
        except DuplicateKeyError:
            _made_twice(documents[0])
        except BulkWriteError as error:
            if error.details["writeConcernErrors"]:
                raise Unavailable("The database did not confirm the write. Look whether the key is there.") from None
            for failed in error.details["writeErrors"]:
                if failed["code"] == _DUPLICATE_KEY:
                    _made_twice(documents[failed["index"]])
                else:
                    # Not `error` itself, whose text has the documents of all.
                    outcomes[failed["index"]] = OperationFailure(failed["errmsg"], failed["code"])
        return outcomes


def _made_twice(document: Document) -> None:
    # The id is new, so this key itself is there: the connection was lost after the insert, the driver sent it again,
    # and a database that has just been restarted no longer knows the first for the same.
    log.info("a create was sent twice and made once", api_key_id=document["_id"])
