"""Reads of many keys: lists, counts and statistics. Few run at once, and each user and domain has a share of them.

The embedded database does not stop a read that was given up: neither `killOp`, the end of its session nor the end of
its connection stops it (measured). So a read keeps its slot until the database has replied, even after its request has
failed; otherwise a caller could start more and more of them.
"""

import asyncio
import math
import time
from collections import Counter, deque
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, NetworkTimeout

from .. import traces
from ..errors import InvalidArgument, ResourceExhausted
from ..metrics import LIMITS
from ..timeouts import Timeout
from .threads import DaemonThreads, run_in_thread

Document = dict[str, Any]

# Of the embedded database on two cores: beside 2 scans a point read's p99 is 10 ms, beside 4 it is 15, and 4 take as
# long as two times 2.
SCANS_AT_ONCE = 8
SCANS_OF_A_DOMAIN = 4
SCANS_OF_A_USER = 2
SCANS_OF_A_SERVICE = 6  # a user with the role SYSTEM: a backend that asks for many people
# While reads of named keys are slow, a domain has fewer slots: each slow one halves them, and each second adds one.
# With a quarter of a slot it has one for a quarter of the time, and rests after each scan.
SLOW_SECONDS = 0.005  # a read is slow that takes so much longer than SLOW_TIMES the time of the quickest ones
SLOW_TIMES = 3
FEWER_SECONDS = 0.05  # from one halving to the next
MORE_SECONDS = 1.0
LEAST_SLOTS = 0.25
LONGEST_REST = 0.2  # seconds
WAITING_OF_A_USER = 200  # a request of 20 lists with their totals has 40
LONGEST_SCAN_SECONDS = 60.0  # after this the connection is closed, and the slot is free whatever the database does
FIRST_BATCH = 100  # rows; later ones are bounded by the database itself, to 16 MB

# One number, the bytes of statistics that the request has read so far; None outside a request.
ANSWER_BYTES: ContextVar[list[int] | None] = ContextVar("answer_bytes", default=None)


class Share(NamedTuple):
    """Whose share of the slots a read takes: that of a user of a domain."""

    domain_id: str
    user_id: str
    is_service: bool = False

    @property
    def holders(self) -> tuple["Share | str", ...]:
        """Whose slots one of this share is: those of a service do not count for the people of its domain."""
        return (self,) if self.is_service else (self, self.domain_id)


class Slots:
    """The slots of scans: first come, first served among those whose share is free, one user after another."""

    def __init__(self) -> None:
        self._running: Counter[Share | str] = Counter()  # by user and by domain
        self._total = 0
        self._waiting: dict[Share, deque[asyncio.Future[None]]] = {}
        self._most: float = SCANS_OF_A_SERVICE  # slots that a domain or a service may have now, whatever its share is
        self._changed_at = 0.0  # when that changed last, by `time.monotonic()`
        self._rests: dict[Share | str, asyncio.TimerHandle] = {}  # the ends of times when a domain or service has none
        self._quickest = math.inf  # seconds of a read of named keys; it grows slowly, as the database may become slower
        self._timer: asyncio.TimerHandle | None = None  # to look again whether more may begin

    @property
    def waiting(self) -> int:
        """How many reads wait for a slot."""
        return sum(map(len, self._waiting.values()))

    async def take(self, share: Share) -> None:
        """Wait for a slot; raises ResourceExhausted where too many reads of this user wait already."""
        if not self._waiting and self._is_free(share):
            self._start(share)
            return
        queue = self._waiting.setdefault(share, deque())
        if len(queue) >= WAITING_OF_A_USER:
            LIMITS.add("scans_waiting_of_a_user")
            raise ResourceExhausted("Too many lists and statistics of this user are waiting. Try again.", 1)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.free(share)  # it was this one's turn at the moment that it was cancelled
            else:
                with suppress(ValueError):
                    queue.remove(turn)
                if not queue and self._waiting.get(share) is queue:
                    del self._waiting[share]
            raise

    def free(self, share: Share, seconds: float = 0.0) -> None:
        """Give a slot back, after so many seconds, and hand it to the next."""
        self._total -= 1
        if self._most < 1:
            self._rest(share.holders[-1], min(LONGEST_REST, seconds * (1 / self._most - 1)))
        for holder in share.holders:
            self._running[holder] -= 1
            if not self._running[holder]:
                del self._running[holder]
        self._hand_out()

    def _rest(self, holder: Share | str, seconds: float) -> None:
        if (before := self._rests.get(holder)) is not None:
            before.cancel()
        self._rests[holder] = asyncio.get_running_loop().call_later(seconds, self._end_rest, holder)

    def _end_rest(self, holder: Share | str) -> None:
        del self._rests[holder]
        self._hand_out()

    def note_point_read(self, seconds: float) -> None:
        """Note how long a read of named keys took: scans must not starve those."""
        self._quickest = min(seconds, self._quickest * 1.01)
        is_slow = seconds > SLOW_TIMES * self._quickest + SLOW_SECONDS
        now = time.monotonic()
        if is_slow and self._total and now - self._changed_at > FEWER_SECONDS:
            self._most = max(LEAST_SLOTS, self._most / 2)
            self._changed_at = now

    def _is_free(self, share: Share) -> bool:
        most = max(1, int(self._most))
        return (
            self._total < SCANS_AT_ONCE
            and self._running[share] < min(SCANS_OF_A_SERVICE if share.is_service else SCANS_OF_A_USER, most)
            # A service has its share beside those of its domain: else it would leave the people there none.
            and (share.is_service or self._running[share.domain_id] < min(SCANS_OF_A_DOMAIN, most))
            and share.holders[-1] not in self._rests
        )

    def _start(self, share: Share) -> None:
        self._total += 1
        for holder in share.holders:
            self._running[holder] += 1

    def _hand_out(self) -> None:
        now = time.monotonic()
        while self._most < SCANS_OF_A_SERVICE and now - self._changed_at > MORE_SECONDS:
            self._most += min(1, self._most)
            self._changed_at += MORE_SECONDS
        self._give()
        if self._waiting and self._timer is None and self._most < SCANS_OF_A_SERVICE:
            self._timer = asyncio.get_running_loop().call_later(MORE_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self._hand_out()

    def _give(self) -> None:
        for share in list(self._waiting):
            if self._total >= SCANS_AT_ONCE:
                return
            if not self._is_free(share):
                continue
            queue = self._waiting.pop(share)
            while queue:
                turn = queue.popleft()
                if not turn.done():  # not cancelled meanwhile
                    self._start(share)
                    turn.set_result(None)
                    break
            if queue:
                self._waiting[share] = queue  # behind all others


class Scans:
    """The reads of many keys, with threads and connections of their own."""

    def __init__(self, collections: dict[str, Collection[Document]], max_answer_bytes: int) -> None:
        self._collections = collections
        self._raw = {name: _raw(one) for name, one in collections.items()}  # making one takes 12 µs
        self._max_answer_bytes = max_answer_bytes
        self._slots = Slots()
        self._threads = DaemonThreads(SCANS_AT_ONCE, "scanner")

    @property
    def waiting(self) -> int:
        """How many reads wait for a slot."""
        return self._slots.waiting

    def close(self) -> None:
        """Start nothing more."""
        self._threads.end()

    def note_point_read(self, seconds: float) -> None:
        """Note how long a read of named keys took: while those are slow, a domain has fewer slots."""
        self._slots.note_point_read(seconds)

    async def aggregate(
        self,
        collection: str,
        pipeline: list[Document],
        share: Share,
        seconds: float,
        batch: int,
        *,
        bounded: bool = False,
    ) -> list[Document]:
        """All rows of a pipeline over a collection, read to the end in one thread.

        `bounded` counts their bytes among those that the request may return. Raises TimeoutError after so many seconds,
        ResourceExhausted where they passed in waiting for earlier reads of the same user or domain.
        """
        deadline = time.monotonic() + seconds
        try:
            with Timeout(seconds):
                await self._slots.take(share)
        except TimeoutError:
            LIMITS.add("scans_of_a_user_or_domain")
            raise ResourceExhausted(
                "Earlier lists and statistics of this user or domain are still running. Send fewer at the same time.",
                5,
            ) from None
        began = time.monotonic()
        counted = None if not bounded else [0] if (so_far := ANSWER_BYTES.get()) is None else so_far

        def read() -> list[Document]:
            return self._read(collection, pipeline, deadline, batch, counted)

        try:
            reading = run_in_thread(
                self._threads, traces.carried(read), lambda: self._slots.free(share, time.monotonic() - began)
            )
        except BaseException:
            self._slots.free(share)
            raise
        with Timeout(max(0.001, deadline - time.monotonic()) + 0.05):
            return await reading

    def _read(
        self,
        collection: str,
        pipeline: list[Document],
        deadline: float,
        batch: int,
        counted: list[int] | None,
    ) -> list[Document]:
        for is_last in (False, True):
            # MongoDB itself stops at `maxTimeMS`; the embedded database does not know it.
            options: dict[str, Any] = {"maxTimeMS": max(1, math.ceil((deadline - time.monotonic()) * 1000))}
            try:
                if counted is None:
                    return self._collections[collection].aggregate(pipeline, batchSize=batch, **options).to_list()
                if (rows := self._read_bounded(collection, pipeline, options, counted)) is None:
                    raise too_large()
                return rows
            except NetworkTimeout:
                raise
            except AutoReconnect:
                # As `retryReads` does, which would repeat a read whose time is over too.
                if is_last or time.monotonic() >= deadline:
                    raise
        raise AssertionError

    def _read_bounded(
        self,
        collection: str,
        pipeline: list[Document],
        options: dict[str, Any],
        counted: list[int],
    ) -> list[Document] | None:
        """The rows, decoded one by one while their bytes are counted: the database may hold any number of them.

        None for too many bytes. An error that is raised here would keep what was read until the next full collection
        of garbage: megabytes each time.
        """
        codec = self._collections[collection].codec_options
        rows: list[Document] = []
        with self._raw[collection].aggregate(pipeline, batchSize=FIRST_BATCH, **options) as cursor:
            for row in cursor:
                counted[0] += len(row.raw)
                if counted[0] > self._max_answer_bytes:
                    return None
                rows.append(bson.decode(row.raw, codec))
        return rows


def _raw(collection: Collection[Document]) -> Collection[Any]:
    """The collection, with rows that are not decoded."""
    codec: Any = collection.codec_options
    return collection.with_options(codec_options=codec.with_options(document_class=RawBSONDocument))


def too_large() -> InvalidArgument:
    """The error for a statistic that returns too much."""
    LIMITS.add("max_answer_bytes")
    return InvalidArgument(
        "The statistics of this request return too many bytes. Narrow them: a filter, a limit, fewer columns, or a "
        "count instead of push and add_to_set."
    )
