"""Batched inserts: the keys that requests insert at about the same time are one transaction.

A write returns when it is on disk, or on a majority of disks. That takes as long for many keys as for one.
"""

import asyncio
from typing import NamedTuple

import structlog
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError

from ..deadlines import note_write
from ..errors import Unavailable
from .batches import Batches
from .database import Database, Document
from .failures import DUPLICATE_KEY
from .request_records import insert_record

MAX_BATCH = 100  # keys in one write
WAIT_SECONDS = 0.02  # for the transaction before to end: that of 16 keys takes 2 ms and the time of the disk

log = structlog.get_logger()


class NewKey(NamedTuple):
    """A key to insert, with its audit entry."""

    key: Document
    entry: Document


class BatchedInserts:
    """Inserts keys, batching those that come while others are inserted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batches: Batches[NewKey, None] = Batches(
            self._insert_batch, "inserts", MAX_BATCH, wait_seconds=WAIT_SECONDS
        )

    async def insert(self, new: NewKey) -> None:
        """Insert a key with a new id; returns when a majority has it.

        Raises what `Database.run` does; after Unavailable or DeadlineExceeded the key may or may not exist.
        """
        note_write()
        await self._batches.load(new)

    async def _insert_batch(self, batch: list[NewKey]) -> list[BaseException | None]:
        try:
            await _insert(self._database, batch)
        except BulkWriteError:
            # Nothing was inserted. One by one the others go on without the one that failed.
            return await asyncio.gather(*map(self._insert_alone, batch))
        return [None] * len(batch)

    async def _insert_alone(self, new: NewKey) -> BaseException | None:
        try:
            await insert_once(self._database, new)
        except Exception as error:
            return error
        return None


async def insert_once(database: Database, new: NewKey, record: Document | None = None) -> None:
    """Insert a key with a new id, with the record of its request if it has one.

    Raises what `Database.run` does, and RequestExistsError where the request has a record already.
    """
    try:
        await _insert(database, [new], record)
    except BulkWriteError as error:
        failed = error.details["writeErrors"][0]
        if failed["code"] != DUPLICATE_KEY:
            raise
        # The id is new, so the existing key is this one: the connection was lost after the commit, the driver repeated
        # the transaction, and a database that has just restarted does not recognise it.
        log.info("a create was sent twice and made once", api_key_id=new.key["_id"])


async def insert_new(database: Database, keys: list[NewKey]) -> list[str]:
    """Insert those of these keys whose ids are not there, and return the ids that were.

    Raises what `Database.run` does.
    """
    try:
        await _insert(database, keys)
    except BulkWriteError as error:
        code = error.details["writeErrors"][0]["code"]
        if code != DUPLICATE_KEY:
            raise Unavailable(f"The database refused to write keys, with the error code {code}.") from None
        if len(keys) == 1:
            # As in `insert_once`, a transaction that was repeated may find its own key, which has this entry.
            wanted = {"_id": keys[0].entry["_id"]}
            is_new = await database.run(lambda: database.audit.find_one(wanted, {"_id": 1})) is not None
            return [] if is_new else [keys[0].key["_id"]]
        return [key_id for one in keys for key_id in await insert_new(database, [one])]
    return []


async def _insert(database: Database, new: list[NewKey], record: Document | None = None) -> None:
    keys, audit = database.api_keys.delegate, database.audit.delegate

    def write(session: ClientSession) -> tuple[None, Document]:
        keys.insert_many([one.key for one in new], session=session)
        audit.insert_many([one.entry for one in new], session=session)
        if record is not None:
            insert_record(database, record, session)
        return None, new[0].entry

    await database.transaction(write)
