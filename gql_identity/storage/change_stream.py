"""The change stream of the keys, as the driver gives it."""

from collections.abc import AsyncGenerator, Iterable
from typing import Any, NamedTuple

import structlog
from pymongo.errors import OperationFailure, PyMongoError

from ..errors import Unavailable
from .database import Database, Document
from .failures import reason_of

POLL_MS = 1000  # how long the database waits for a change before it returns none
_NO_CHANGE_STREAMS = 40573  # MongoDB's code on a standalone server
_IMAGES = ("fullDocument", "fullDocumentBeforeChange")

log = structlog.get_logger()


class KeyEvent(NamedTuple):
    """An insert, a delete or an update, with the key's document after it (before it for a delete)."""

    operation: str
    document: Document
    changed: frozenset[str]  # the fields that an update set or removed


async def watch_keys(
    database: Database, fields: Iterable[str], watched: Iterable[str]
) -> AsyncGenerator[KeyEvent | None, None]:
    """Yield the events of all keys from now on, with these stored fields, and None while there are none.

    Of updates only those that set or remove a `watched` field.

    The first item means that the stream is open: no later change is missed. Raises Unavailable when the stream ends.
    """
    try:
        async with database.api_keys.watch(
            _pipeline(fields, sorted(watched)),
            full_document="whenAvailable",
            full_document_before_change="whenAvailable",
            max_await_time_ms=POLL_MS,
        ) as stream:
            while True:
                event = await stream.try_next()
                yield None if event is None else _key_event(event)
    except OperationFailure as error:
        if error.code == _NO_CHANGE_STREAMS:
            raise Unavailable("This database has no change streams: they need a replica set.") from None
        log.warning("the change stream ended", code=error.code, reason=reason_of(error))
    except PyMongoError as error:
        log.warning("the change stream ended", reason=reason_of(error))
    raise Unavailable("Changes cannot be followed now. Subscribe again.")


def _pipeline(fields: Iterable[str], watched: list[str]) -> list[Document]:
    # Events have the document before the change, so the owner of a deleted key is known. The projection leaves out
    # digests.
    return [
        {
            "$match": {
                "$or": [
                    {"operationType": {"$in": ["insert", "delete"]}},
                    *({f"updateDescription.updatedFields.{field}": {"$exists": True}} for field in watched),
                    {"updateDescription.removedFields": {"$in": watched}},
                ]
            }
        },
        {
            "$project": {
                "operationType": 1,
                "documentKey": 1,
                **{f"updateDescription.updatedFields.{field}": 1 for field in watched},
                "updateDescription.removedFields": 1,
                **{f"{image}.{field}": 1 for image in _IMAGES for field in fields},
            }
        },
    ]


def _key_event(event: Any) -> KeyEvent | None:
    """Convert an event of the driver; None if the database no longer has the key's document."""
    document = event.get("fullDocument") or event.get("fullDocumentBeforeChange")
    if document is None:
        return None
    operation = event["operationType"]
    if operation != "update":
        return KeyEvent(operation, document, frozenset())
    update = event["updateDescription"]
    removed = update.get("removedFields") or []
    # Without an image the document is read later than the event; what the event itself says is newer or the same.
    document = {name: value for name, value in document.items() if name not in removed} | update["updatedFields"]
    return KeyEvent(operation, document, frozenset([*update["updatedFields"], *removed]))
