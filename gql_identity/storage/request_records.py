"""Records of requests that name themselves, so that one that is sent again is not done again.

A record is written in the transaction of its change, so it is there if and only if the change was made.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from ..deadlines import note_write
from .database import Database, Document


class RequestExistsError(Exception):
    """Another request of the same name was done before; nothing of this one was."""


async def find_record(database: Database, ids: Sequence[bytes], at: datetime) -> Document | None:
    """The record of a request, by one of these ids, unless it has ended. Raises what `Database.run` does."""
    return next(iter(await find_records(database, ids, at)), None)


async def find_records(database: Database, ids: Sequence[bytes], at: datetime) -> list[Document]:
    """As `find_record`, all those that there are."""
    # By the ids alone: with a condition on the end, too, the embedded engine would read all records.
    found = await database.find({"_id": {"$in": list(ids)}}, len(ids), collection="requests")
    return [record for record in found if not _has_ended(record, at)]


async def store_record(database: Database, record: Document) -> None:
    """Store a record outside a transaction, unless it is there. Raises what `Database.run` does."""
    note_write()
    with suppress(DuplicateKeyError):
        await database.run(lambda: database.requests.insert_one(record))


def insert_record(database: Database, record: Document, session: ClientSession) -> None:
    """Insert a record in a transaction, in place of one that has ended. Raises RequestExistsError."""
    requests = database.requests.delegate
    where = {"_id": record["_id"]}
    stored = requests.find_one(where, {"expires_at": 1}, session=session)
    if stored is not None and _has_ended(stored, record["made_at"]):
        requests.delete_one(where, session=session)
    try:
        requests.insert_one(record, session=session)
    except DuplicateKeyError:
        raise RequestExistsError from None


def _has_ended(record: Document, at: datetime) -> bool:
    end = record.get("expires_at")
    return not (isinstance(end, datetime) and end > at)
