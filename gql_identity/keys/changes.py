"""Subscriptions: one change stream for a worker process, fanned out in memory."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from contextvars import Context

import structlog

from ..errors import (
    InsufficientScope,
    InvalidToken,
    PermissionDenied,
    ResourceExhausted,
    ServiceError,
    Unauthenticated,
    Unavailable,
)
from ..execution.turns import turns_of_this_loop
from ..messages.keys import APIKeyChange, APIKeyChangeType, APIKeyInfo
from ..messages.requests import USUAL_CHANGES, APIKeyChangedRequest
from ..messages.values import APIKeyState
from ..metrics import CHANGE_STREAM_FAILURES, LIMITS, SUBSCRIPTIONS_ENDED
from ..storage.change_stream import KeyEvent, watch_keys
from ..storage.database import Database
from ..storage.point_reads import PointReads
from .access import Caller, access_to, domain_of
from .checks import check_text
from .credentials import EXPIRED_TOKEN
from .records import STORED, read_key
from .revocations import Revocations
from .scopes import READ
from .validity import VALIDITY_FIELDS, has_ended, is_valid_document

MAX_SUBSCRIPTIONS = 500  # of one user of a domain at one time, in one worker
MAX_UNREAD = 100  # a subscriber with so many unread changes is disconnected
CHECK_SECONDS = 0.4  # how often the subscribers' own keys are read again, all in one read
CHECK_VALID_SECONDS = 0.9  # how long a check holds, counted from before its read; then no change is sent until the next
# Without a check for so long, and after so many that failed one after the other, all subscriptions end. A process that
# stood still for a while has failed once.
UNCHECKED_SECONDS = 3.0
UNCHECKED_TIMES = 3
STOP_SECONDS = 1.0  # for the driver to close the stream when the service stops

log = structlog.get_logger()


class _SubscriptionEnd:
    """The last item of a subscriber's queue: an error, or None when the service stops."""

    def __init__(self, error: ServiceError | None = None) -> None:
        self.error = error


class _Subscriber:
    def __init__(self, request: APIKeyChangedRequest, caller: Caller) -> None:
        self.caller = caller
        check_text("domain_id", domain_id := domain_of(request, caller))
        if request.user_id is not None:
            check_text("user_id", request.user_id)
        self.access = access_to(caller, domain_id)
        self.user_id = request.user_id
        self.types = frozenset(USUAL_CHANGES if request.types is None else request.types)
        self.waiting: asyncio.Queue[APIKeyChange | _SubscriptionEnd] = asyncio.Queue()

    def may_see(self, key: APIKeyInfo) -> bool:
        if key.domain_id != self.access.domain_id or self.user_id not in (None, key.user_id):
            return False
        return self.access.includes(key.user_id, key.role)

    def end(self, error: ServiceError | None) -> None:
        while not self.waiting.empty():
            self.waiting.get_nowait()
        self.waiting.put_nowait(_SubscriptionEnd(error))


class Changes:
    """The changes of all keys, for subscribers."""

    def __init__(self, database: Database, revocations: Revocations) -> None:
        self._database = database
        self._revocations = revocations
        self._point_reads = PointReads(database)
        self._subscribers: set[_Subscriber] = set()
        self._per_user: Counter[tuple[str, str]] = Counter()
        self._tasks: list[asyncio.Task[None]] = []  # the watcher of the stream, and the check of callers
        self._ending: set[asyncio.Task[None]] = set()
        self._checked = 0.0  # when the last check of callers began, on the monotonic clock
        self._was_checked = asyncio.Condition()
        self._stopped = False

    async def subscribe(self, request: APIKeyChangedRequest, caller: Caller) -> AsyncGenerator[APIKeyChange, None]:
        """The changes from now on of keys that the caller may see, until the service stops.

        Raises InvalidArgument; PermissionDenied; Unavailable where the database has no change streams or is away;
        InvalidToken once the caller's own key is disabled, expired or deleted; ResourceExhausted where changes are
        not read quickly enough.
        """
        subscriber = _Subscriber(request, caller)
        if self._stopped:
            raise Unavailable("The service is stopping. Subscribe again.")
        self._add(subscriber)
        reason = "client"
        try:
            while not isinstance(change := await subscriber.waiting.get(), _SubscriptionEnd):
                yield change
            reason = _reason(change.error)
            if change.error is not None:
                raise change.error
        finally:
            SUBSCRIPTIONS_ENDED.add(reason)
            self._remove(subscriber)

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscribers)

    async def stop(self) -> None:
        """End every subscription, and refuse new ones."""
        self.end_soon()
        if self._ending:
            await asyncio.wait(self._ending, timeout=STOP_SECONDS)

    def end_soon(self) -> None:
        """As `stop`, for callers that cannot await: the driver may still be closing its stream."""
        self._stopped = True
        self._end_all()

    def _add(self, subscriber: _Subscriber) -> None:
        user = subscriber.caller.domain_id, subscriber.caller.user_id
        if self._per_user[user] >= MAX_SUBSCRIPTIONS:
            LIMITS.add("subscriptions_of_a_user")
            raise ResourceExhausted(f"A user has at most {MAX_SUBSCRIPTIONS} subscriptions at the same time. End some.")
        self._per_user[user] += 1
        self._subscribers.add(subscriber)
        # Both end only together with all subscribers, unless something that nobody expects ends one alone.
        if not self._tasks or any(task.done() for task in self._tasks):
            self._stop_watching()
            self._checked = time.monotonic()
            # In a context of their own: they belong to no request, in the log and in traces neither.
            self._tasks = [
                asyncio.create_task(work, context=Context()) for work in (self._watch(), self._check_callers())
            ]

    def _remove(self, subscriber: _Subscriber) -> None:
        if subscriber not in self._subscribers:
            return
        self._subscribers.remove(subscriber)
        user = subscriber.caller.domain_id, subscriber.caller.user_id
        self._per_user[user] -= 1
        if not self._per_user[user]:
            del self._per_user[user]
        if not self._subscribers:
            self._stop_watching()

    def _stop_watching(self) -> None:
        # Nobody waits for it: the driver's thread cannot be interrupted, and may take seconds to give up.
        for task in self._tasks:
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        self._tasks = []

    def _end(self, subscriber: _Subscriber, error: ServiceError | None) -> None:
        # It leaves at once, though its client may be slow to take the end: what is left belongs to those that live.
        subscriber.end(error)
        self._remove(subscriber)

    def _end_all(self, error: ServiceError | None = None) -> None:
        for subscriber in list(self._subscribers):
            self._end(subscriber, error)

    def _tell(self, key: APIKeyInfo, kinds: list[APIKeyChangeType]) -> None:
        """Tell each subscriber of a change of a key, as the first of its kinds that the subscriber follows."""
        for subscriber in list(self._subscribers):
            kind = next((kind for kind in kinds if kind in subscriber.types), None)
            if kind is None or not subscriber.may_see(key):
                continue
            if subscriber.waiting.qsize() < MAX_UNREAD:
                subscriber.waiting.put_nowait(APIKeyChange(type=kind, api_key_info=key))
            else:
                slow = "The client reads changes too slowly. Subscribe again, and list the keys."
                self._end(subscriber, ResourceExhausted(slow))

    async def _watch(self) -> None:
        """Tell subscribers of each event; when the stream ends, so do they, and the next one starts another."""
        try:
            async with aclosing(watch_keys(self._database, (*STORED, "noticed_at"), _WATCHED)) as events:
                async for event in events:
                    # Without a role, the key's owner and role are not known any more.
                    if event is not None and "role" in event.document:
                        async with self._was_checked:
                            await self._was_checked.wait_for(self._is_checked)
                        key = read_key(event.document)
                        self._tell(key, _kinds(event, key))
        except Exception as error:
            # One that was stopped before speaks for nobody, and the driver raises anything when its stream is closed
            # while it waits for the database.
            if asyncio.current_task() not in self._tasks:
                return
            CHANGE_STREAM_FAILURES.add()
            if not isinstance(error, Unavailable):
                log.error("the change stream ended", exc_info=error)
                error = Unavailable("Changes cannot be followed now. Subscribe again.")
            self._end_all(error)

    def _is_checked(self) -> bool:
        return time.monotonic() - self._checked < CHECK_VALID_SECONDS

    async def _check_callers(self) -> None:
        """End the subscriptions of keys and tokens that may no longer read keys, within one second, as for requests.

        While the database is slow to tell, changes wait; it has UNCHECKED_SECONDS.
        """
        failed = 0
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            asked = time.monotonic()
            subscribers = set(self._subscribers)
            try:
                async with asyncio.timeout(CHECK_VALID_SECONDS):
                    ends = await self._ends({one.caller for one in subscribers})
            except Exception as error:  # a check that ends would leave revoked subscribers
                if not isinstance(error, ServiceError | TimeoutError):
                    log.error("unexpected error", exc_info=error)
                failed += 1
                if failed >= UNCHECKED_TIMES and time.monotonic() - self._checked >= UNCHECKED_SECONDS:
                    reason = error.reason if isinstance(error, ServiceError) else None
                    log.warning("subscribers ended: their keys cannot be read", reason=reason or type(error).__name__)
                    self._end_all(Unavailable("The database cannot be reached now. Subscribe again."))
                continue
            failed = 0
            for subscriber in subscribers & self._subscribers:  # neither those that came after the read, nor left
                if (ended := ends.get(subscriber.caller)) is not None:
                    self._end(subscriber, ended)
            async with self._was_checked:
                self._checked = asked
                self._was_checked.notify_all()

    async def _ends(self, callers: set[Caller]) -> dict[Caller, ServiceError]:
        """Those of these callers whose subscriptions end now, and why. Raises what `Database.run` does."""
        keys = {(caller.domain_id, caller.key_id) for caller in callers if not caller.is_person}
        documents = await self._point_reads.find(keys, VALIDITY_FIELDS) if keys else {}
        tokens = {caller.token_id for caller in callers if caller.token_id is not None}
        revoked = await self._revocations.revoked(tokens) if tokens else set[str]()
        turns, ends = turns_of_this_loop(), dict[Caller, ServiceError]()
        for caller in callers:
            # Its key may have many networks. The check has to end in time, or all changes wait.
            if turns.is_over():
                await turns.wait_first()
            if caller.is_person:
                if has_ended(caller.secret.expires_at):
                    ends[caller] = InvalidToken(EXPIRED_TOKEN)
                continue
            document = documents.get((caller.domain_id, caller.key_id))
            is_over = has_ended(caller.secret.expires_at) or caller.token_id in revoked
            if document is None or is_over or not is_valid_document(document, caller.secret, caller.address):
                ends[caller] = InvalidToken(_ENDED)
            elif document.get("scopes") is not None and READ not in document["scopes"]:
                ends[caller] = InsufficientScope(f"This key has lost the scope {READ}.", READ)
        return ends


_ENDED = "Invalid API key: it was disabled, deleted or replaced, or has expired."
# The fields whose changes are told.
_WATCHED = ("state", "name", "expires_at", "scopes", "rotated_at", "tags", "allowed_addresses", "noticed_at")


def _reason(error: ServiceError | None) -> str:
    if error is None:
        return "service_stops"
    if isinstance(error, Unauthenticated | PermissionDenied):
        return "key_ended"
    return "slow_reader" if isinstance(error, ResourceExhausted) else "database"


def _kinds(event: KeyEvent, key: APIKeyInfo) -> list[APIKeyChangeType]:
    """The kinds of change that an event is, the one that says most first."""
    if event.operation == "insert":
        return [APIKeyChangeType.CREATED]
    if event.operation == "delete":
        return [APIKeyChangeType.DELETED]
    if event.changed == {"noticed_at"}:
        return [APIKeyChangeType.EXPIRING]
    kinds: list[APIKeyChangeType] = []
    if "state" in event.changed:
        is_enabled = key.state is APIKeyState.ENABLED
        kinds.append(APIKeyChangeType.ENABLED if is_enabled else APIKeyChangeType.DISABLED)
    if "rotated_at" in event.changed:
        kinds.append(APIKeyChangeType.ROTATED)
    if event.changed - {"state", "rotated_at", "noticed_at"}:
        kinds.append(APIKeyChangeType.UPDATED)
    return kinds
