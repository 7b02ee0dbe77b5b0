"""Subscriptions: one change stream for a worker process, fanned out in memory."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

from ..errors import ResourceExhausted, ServiceError, Unauthenticated, Unavailable
from ..messages.keys import APIKeyChange, APIKeyChangeType
from ..messages.requests import APIKeyChangedRequest
from ..messages.values import APIKeyState
from ..storage.change_stream import KeyEvent, watch_keys
from ..storage.database import Database
from ..storage.point_reads import PointReads
from .access import Access, Caller, access_to
from .records import STORED, read_key
from .validity import VALIDITY_FIELDS, is_valid_document

MAX_UNREAD = 100  # a subscriber with so many unread changes is disconnected
CHECK_SECONDS = 0.4  # how often the subscribers' own keys are read again, all in one read
CHECK_VALID_SECONDS = 0.9  # how long a check holds, counted from before its read, while later ones fail


class _SubscriptionEnd:
    """The last item of a subscriber's queue: an error, or None when the service stops."""

    def __init__(self, error: ServiceError | None = None) -> None:
        self.error = error


class _Subscriber:
    def __init__(self, caller: Caller, access: Access, user_id: str | None) -> None:
        self.caller = caller
        self.access = access
        self.user_id = user_id
        self.waiting: asyncio.Queue[APIKeyChange | _SubscriptionEnd] = asyncio.Queue()

    def tell(self, change: APIKeyChange) -> None:
        key = change.api_key_info
        if key.domain_id != self.access.domain_id or self.user_id not in (None, key.user_id):
            return
        if not self.access.includes(key.user_id, key.role):
            return
        if self.waiting.qsize() >= MAX_UNREAD:
            self.end(
                ResourceExhausted("Changes were not read quickly enough. Subscribe again, and list what there is.")
            )
        else:
            self.waiting.put_nowait(change)

    def end(self, error: ServiceError | None = None) -> None:
        while not self.waiting.empty():
            self.waiting.get_nowait()
        self.waiting.put_nowait(_SubscriptionEnd(error))


class Changes:
    """The changes of all keys, for subscribers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._point_reads = PointReads(database)
        self._subscribers: set[_Subscriber] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._watching = asyncio.Event()
        self._stopped = False

    async def subscribe(self, request: APIKeyChangedRequest, caller: Caller) -> AsyncIterator[APIKeyChange]:
        """The changes from now on of keys that the caller may see, until the service stops.

        Raises PermissionDenied; Unavailable where the database has no change streams or is away; Unauthenticated once
        the caller's own key is disabled or deleted; ResourceExhausted where changes are not read quickly enough.
        """
        subscriber = _Subscriber(caller, access_to(caller, request.domain_id), request.user_id)
        if self._stopped:
            raise Unavailable("The service is stopping.")
        self._subscribers.add(subscriber)
        try:
            self._start()
            await self._until_watching(subscriber)
            while not isinstance(change := await subscriber.waiting.get(), _SubscriptionEnd):
                yield change
            if change.error is not None:
                raise change.error
        finally:
            self._subscribers.discard(subscriber)
            if not self._subscribers:
                await self._stop_watching()

    async def stop(self) -> None:
        """End every subscription, and refuse new ones."""
        self._stopped = True
        self._end_all()
        await self._stop_watching()

    def end_soon(self) -> None:
        """As `stop`, for callers that cannot await: it ends the subscriptions and leaves the stream open."""
        self._stopped = True
        self._end_all()

    def _start(self) -> None:
        if not self._tasks:
            self._watching.clear()
            self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._check_callers())]

    async def _until_watching(self, subscriber: _Subscriber) -> None:
        # The subscriber must get every change after it was accepted, so wait until the stream is open.
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
            async with aclosing(watch_keys(self._database, STORED)) as events:
                async for event in events:
                    self._watching.set()
                    if event is not None and (change := _change(event)) is not None:
                        for subscriber in list(self._subscribers):
                            subscriber.tell(change)
        except Unavailable as error:
            self._end_all(error)

    async def _check_callers(self) -> None:
        """End the subscriptions of keys that are no longer valid, within one second, as for requests."""
        checked = time.monotonic()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            asked = time.monotonic()
            keys = {(one.caller.domain_id, one.caller.key_id) for one in self._subscribers}
            try:
                async with asyncio.timeout(max(0.05, checked + CHECK_VALID_SECONDS - asked)):
                    documents = await self._point_reads.find(keys, VALIDITY_FIELDS)
            except (ServiceError, TimeoutError):
                if time.monotonic() - checked >= CHECK_VALID_SECONDS:
                    self._end_all(Unavailable("The database cannot be reached now. Subscribe again."))
                continue
            checked = asked
            lost = keys - {key for key, document in documents.items() if is_valid_document(document)}
            for subscriber in list(self._subscribers):
                caller = subscriber.caller
                if (caller.domain_id, caller.key_id) in lost:
                    subscriber.end(Unauthenticated("This key opens nothing any more."))


def _change(event: KeyEvent) -> APIKeyChange | None:
    """The change that an event means; None where the key's owner and role are not known any more."""
    if "role" not in event.document:
        return None
    key = read_key(event.document)
    if event.operation == "insert":
        kind = APIKeyChangeType.CREATED
    elif event.operation == "delete":
        kind = APIKeyChangeType.DELETED
    else:
        kind = APIKeyChangeType.ENABLED if key.state is APIKeyState.ENABLED else APIKeyChangeType.DISABLED
    return APIKeyChange(type=kind, api_key_info=key)
