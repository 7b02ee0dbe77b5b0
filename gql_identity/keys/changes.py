"""The change stream behind subscriptions: one a worker process, fanned out in memory."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import structlog
from pymongo.errors import OperationFailure, PyMongoError

from ..errors import ResourceExhausted, ServiceError, Unauthenticated, Unavailable
from ..messages.keys import APIKeyChange, APIKeyChangeType
from ..messages.requests import APIKeyChangedRequest
from ..messages.values import APIKeyState
from ..storage.database import Database, Document
from ..storage.point_reads import PointReads
from .access import Caller, Reach, reach
from .records import STORED, read_key
from .validity import VALIDITY_FIELDS, is_valid_document

WAITING_CHANGES = 100  # a subscriber that has so many unread is dropped
CHECK_SECONDS = 0.4  # how often the subscribers' own keys are read again, all in one read
BELIEVED_SECONDS = 0.9  # how long they are believed when that read fails
NO_CHANGE_STREAMS = 40573  # MongoDB's code on a standalone server

log = structlog.get_logger()

# Deletes and updates are told by what the document was, so the owner of a deleted key is known; digests stay behind.
_PIPELINE: list[Document] = [
    {
        "$match": {
            "$or": [
                {"operationType": {"$in": ["insert", "delete"]}},
                {"operationType": "update", "updateDescription.updatedFields.state": {"$exists": True}},
            ]
        }
    },
    {
        "$project": {
            "operationType": 1,
            "documentKey": 1,
            "updateDescription.updatedFields.state": 1,
            **{f"{image}.{field}": 1 for image in ("fullDocument", "fullDocumentBeforeChange") for field in STORED},
        }
    },
]


class _End:
    """What ends a subscription: with an error, or because the service stops."""

    def __init__(self, error: ServiceError | None = None) -> None:
        self.error = error


class _Subscriber:
    def __init__(self, caller: Caller, within: Reach, user_id: str | None) -> None:
        self.caller = caller
        self.within = within
        self.user_id = user_id
        self.waiting: asyncio.Queue[APIKeyChange | _End] = asyncio.Queue()

    def tell(self, change: APIKeyChange) -> None:
        key = change.api_key_info
        if key.domain_id != self.within.domain_id or self.user_id not in (None, key.user_id):
            return
        if not self.within.covers(key.user_id, key.role):
            return
        if self.waiting.qsize() >= WAITING_CHANGES:
            self.end(
                ResourceExhausted("Changes were not read quickly enough. Subscribe again, and list what there is.")
            )
        else:
            self.waiting.put_nowait(change)

    def end(self, error: ServiceError | None = None) -> None:
        while not self.waiting.empty():
            self.waiting.get_nowait()
        self.waiting.put_nowait(_End(error))


class Changes:
    """The changes of all keys, for those who subscribe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._point_reads = PointReads(database)
        self._subscribers: set[_Subscriber] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._watching = asyncio.Event()
        self._stopped = False

    async def subscribe(self, request: APIKeyChangedRequest, caller: Caller) -> AsyncIterator[APIKeyChange]:
        """The changes from now on of keys within the caller's reach, until the service stops.

        Raises PermissionDenied; Unavailable where the database has no change streams or is away; Unauthenticated once
        the caller's own key is disabled or deleted; ResourceExhausted where changes are not read quickly enough.
        """
        subscriber = _Subscriber(caller, reach(caller, request.domain_id), request.user_id)
        if self._stopped:
            raise Unavailable("The service is stopping.")
        self._subscribers.add(subscriber)
        try:
            self._start()
            await self._until_watching(subscriber)
            while not isinstance(change := await subscriber.waiting.get(), _End):
                yield change
            if change.error is not None:
                raise change.error
        finally:
            self._subscribers.discard(subscriber)
            if not self._subscribers:
                await self._stop_watching()

    async def stop(self) -> None:
        """End every subscription; none begins afterwards."""
        self._stopped = True
        self._end_all()
        await self._stop_watching()

    def end_soon(self) -> None:
        """As `stop`, from where nothing can be awaited: subscribers learn of it at once."""
        self._stopped = True
        self._end_all()

    def _start(self) -> None:
        if not self._tasks:
            self._watching.clear()
            self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._check_callers())]

    async def _until_watching(self, subscriber: _Subscriber) -> None:
        # What changes after a subscription was accepted is told: so wait until the stream is open.
        opened = asyncio.create_task(self._watching.wait())
        try:
            while not opened.done() and subscriber.waiting.empty():
                await asyncio.wait([opened], timeout=0.05)
        finally:
            opened.cancel()

    async def _stop_watching(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
            if task is not asyncio.current_task():
                with suppress(asyncio.CancelledError):
                    await task

    def _end_all(self, error: ServiceError | None = None) -> None:
        for subscriber in self._subscribers:
            subscriber.end(error)

    async def _watch(self) -> None:
        try:
            async with self._database.api_keys.watch(
                _PIPELINE,
                full_document="whenAvailable",
                full_document_before_change="whenAvailable",
                max_await_time_ms=1000,
            ) as stream:
                # The first look, which finds nothing, opens the stream.
                event = await stream.try_next()
                self._watching.set()
                while True:
                    if event is not None and (change := _change(event)) is not None:
                        for subscriber in list(self._subscribers):
                            subscriber.tell(change)
                    event = await stream.try_next()
        except OperationFailure as error:
            if error.code == NO_CHANGE_STREAMS:
                self._end_all(Unavailable("This database has no change streams: they need a replica set."))
            else:
                log.warning("the change stream ended", code=error.code)
                self._end_all(Unavailable("Changes cannot be followed now. Subscribe again."))
        except PyMongoError as error:
            log.warning("the change stream ended", reason=type(error).__name__)
            self._end_all(Unavailable("Changes cannot be followed now. Subscribe again."))

    async def _check_callers(self) -> None:
        """Cut off subscribers whose own key is disabled or deleted, within the bound that holds for requests."""
        believed = time.monotonic()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            asked = time.monotonic()
            keys = {(one.caller.domain_id, one.caller.key_id) for one in self._subscribers}
            try:
                async with asyncio.timeout(max(0.05, believed + BELIEVED_SECONDS - asked)):
                    documents = await self._point_reads.find(keys, VALIDITY_FIELDS)
            except (ServiceError, TimeoutError):
                if time.monotonic() - believed >= BELIEVED_SECONDS:
                    self._end_all(Unavailable("The database cannot be reached now. Subscribe again."))
                continue
            believed = asked
            lost = keys - {key for key, document in documents.items() if is_valid_document(document)}
            for subscriber in list(self._subscribers):
                caller = subscriber.caller
                if (caller.domain_id, caller.key_id) in lost:
                    subscriber.end(Unauthenticated("This key opens nothing any more."))


def _change(event: Any) -> APIKeyChange | None:
    """The change that an event of the stream tells of; its owner is empty where it is not known any more."""
    document = event.get("fullDocument") or event.get("fullDocumentBeforeChange")
    match event["operationType"]:
        case "insert":
            kind = APIKeyChangeType.CREATED
        case "delete":
            kind = APIKeyChangeType.DELETED
        case _:
            state = event["updateDescription"]["updatedFields"]["state"]
            kind = APIKeyChangeType.ENABLED if state == APIKeyState.ENABLED.name else APIKeyChangeType.DISABLED
            document = document and {**document, "state": state}
    if document is None or "role" not in document:
        return None
    return APIKeyChange(type=kind, api_key_info=read_key(document))
