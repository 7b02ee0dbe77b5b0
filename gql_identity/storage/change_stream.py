"""The change stream of the keys, as the driver gives it."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import pymongo
import structlog
from pymongo.errors import OperationFailure, PyMongoError

from ..errors import Unavailable
from .database import CLOSE_SECONDS, Database, Document
from .failures import reason_of

POLL_MS = 1000  # how long the database waits for a change before it returns none
_NO_CHANGE_STREAMS = 40573  # MongoDB's code on a standalone server
_IMAGES = ("fullDocument", "fullDocumentBeforeChange")
_CHANGED_AT = "updated_at"  # every change of a key sets it, and a use does not

log = structlog.get_logger()


class KeyEvent(NamedTuple):
    """An insert, a delete or an update, with the key's document after it (before it for a delete)."""

    operation: str
    document: Document
    changed: frozenset[str]  # the watched fields that an update set or removed


@asynccontextmanager
async def changes_of_keys(database: Database, pipeline: list[Document], **options: Any) -> AsyncIterator[Any]:
    """The driver's change stream of the keys; its end does not wait for a database that does not answer."""
    stream = database.api_keys.watch(pipeline, **options)
    try:
        yield stream
    finally:
        with suppress(PyMongoError), pymongo.timeout(CLOSE_SECONDS):
            await stream.close()


async def watch_keys(
    database: Database, fields: Iterable[str], watched: Iterable[str]
) -> AsyncGenerator[KeyEvent | None, None]:
    """Yield the events of all keys from now on, with these stored fields, and None while there are none.

    Of updates only those that set or remove a `watched` field, which is one of the stored fields.

    The first item means that the stream is open: no later change is missed. Raises Unavailable when the stream ends.
    """
    watched = frozenset(watched)
    try:
        async with changes_of_keys(
            database,
            _pipeline(fields, sorted(watched | {_CHANGED_AT})),
            full_document="whenAvailable",
            full_document_before_change="whenAvailable",
            max_await_time_ms=POLL_MS,
        ) as stream:
            while True:
                event = await stream.try_next()
                if event is None and not stream.alive:
                    # `try_next` would return None at once, for ever.
                    log.warning("the change stream ended", reason="the collection was dropped or renamed")
                    break
                yield None if event is None else _key_event(event, watched)
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
                    {"operationType": {"$in": ["insert", "replace", "delete"]}},
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


def _key_event(event: Any, watched: frozenset[str]) -> KeyEvent | None:
    """Convert an event of the driver; None if no watched field changed, or if there is no image of the key."""
    before = event.get("fullDocumentBeforeChange")
    document = event.get("fullDocument") or before
    if document is None:
        return None
    operation = event["operationType"]
    if operation not in ("update", "replace"):
        return KeyEvent(operation, document, frozenset())
    # MongoDB writes what is shorter: the difference, or the whole document, whose event has no description.
    update = event.get("updateDescription") or {}
    updated, removed = update.get("updatedFields") or {}, update.get("removedFields") or []
    # Without an image the document is read later than the event; what the event itself says is newer or the same.
    document = {name: value for name, value in document.items() if name not in removed} | updated
    changed = {*updated, *removed}
    if before is not None:
        # A list that a pipeline update changes is described by its elements, as `scopes.1`, and not by its name.
        changed |= {field for field in watched if before.get(field) != document.get(field)}
    changed &= watched
    return KeyEvent("update", document, frozenset(changed)) if changed else None
