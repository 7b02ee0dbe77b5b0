"""A change and its audit entry in one transaction, with PyMongo's calls in one thread."""

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

import pymongo
import pymongo.errors as driver
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

COMMIT_SECONDS = 1.0  # after the end of a transaction's time, for its commit; its caller waits for so long

Document = dict[str, Any]
T = TypeVar("T")

# Makes the calls of a transaction, and returns its result with an audit entry that it inserted, None where it wrote
# nothing.
Write = Callable[[ClientSession], tuple[T, Document | None]]


def run_transaction(
    client: MongoClient[Document], audit: Collection[Document], write: Write[T], end: float, *, is_embedded: bool
) -> T:
    """The result of a transaction: all of its writes happen, or none.

    It runs again where another write was in the way, and begins none after `end`, by `time.monotonic()`. It commits
    until COMMIT_SECONDS later at most. Raises PyMongoError.
    """
    committing = ExitStack()

    def write_in_time(session: ClientSession) -> tuple[T, Document | None]:
        committing.close()
        if time.monotonic() > end:  # the driver repeats for two minutes
            # A first command ends what an attempt before left open, which would keep its keys locked.
            with suppress(driver.PyMongoError):  # after such an error the driver would repeat the attempt
                audit.find_one({"_id": ""}, {"_id": 1}, session=session)
            raise driver.ExecutionTimeout("no time is left for another attempt")
        written = write(session)
        # Each command has the driver's timeout, and the driver repeats a commit for two minutes.
        if (left := end + COMMIT_SECONDS - time.monotonic()) <= 0:
            raise driver.ExecutionTimeout("no time is left for the commit")
        committing.enter_context(pymongo.timeout(left))
        return written

    with client.start_session() as session, committing:
        result, entry = session.with_transaction(
            write_in_time, write_concern=WriteConcern("majority"), read_preference=ReadPreference.PRIMARY
        )
    if entry is not None and is_embedded:
        _check_stored(audit, entry)
    return result


def _check_stored(audit: Collection[Document], entry: Document) -> None:
    """Check that the embedded engine stored a transaction, of which this is an audit entry.

    After a failure, as of a full disk, the engine acknowledges the end of a transaction that it did not store. From the
    same moment it fails all reads, until it is started again.
    """
    if audit.find_one({"_id": entry["_id"]}, {"_id": 1}) is None:
        raise driver.AutoReconnect("the engine acknowledged a transaction that it did not store")
