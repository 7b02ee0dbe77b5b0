"""Calls that come at about the same time share one round trip to the database."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from functools import partial
from itertools import chain
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar

from opentelemetry.trace import SpanContext

from .. import traces
from ..deadlines import DEADLINE, LATE_SECONDS
from ..errors import DeadlineExceeded
from ..metrics import CALLS_PER_ROUND_TRIP
from .failures import NO_ANSWER

TURNS = 3  # of the event loop, before a batch begins: clients that have their responses send their next requests
NEVER = inf  # the deadline of a call of no request
WAIT_SECONDS = 0.005  # the longest that a read waits for others, or for the read before its own to end

Call = TypeVar("Call")
Outcome = TypeVar("Outcome")


class Batches(Generic[Call, Outcome]):
    """Batches the calls of one kind. It caches nothing.

    While a batch is under way, calls gather, and are the next batch when it ends; a full batch begins at once. So under
    load the database gets few commands, each for many calls. No call waits longer than `wait_seconds` to be in a batch.

    A caller waits until the deadline of its own request at most, and gets DeadlineExceeded then; the batch itself goes
    on, and has the database's timeout. Its spans are in the trace of the first call's request, and have links to those
    of the others.
    """

    def __init__(
        self,
        run_batch: Callable[[list[Call]], Awaitable[list[Any]]],
        kind: str,
        max_size: int,
        size_of: Callable[[Call], int] = lambda _: 1,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """`run_batch` returns an outcome for each call, in order; an exception among them is raised to its caller.

        `kind` is the name of the batches in the metrics. A call that is larger than `max_size` is a batch by itself.
        """
        self._run_batch = run_batch
        self._kind = kind
        self._max_size = max_size
        self._size_of = size_of
        self._wait_seconds = wait_seconds
        self._waiting: deque[_Waiting[Call, Outcome]] = deque()
        self._size = 0  # of all calls that wait
        self._running: dict[asyncio.Task[None], list[_Waiting[Call, Outcome]]] = {}
        self._turn: asyncio.Handle | None = None  # of those before the next batch begins
        self._timer: asyncio.TimerHandle | None = None  # begins it where the one before takes long
        self._late: asyncio.TimerHandle | None = None  # ends the calls whose deadlines have passed
        self._late_at = NEVER  # the first of these deadlines, or an earlier one

    def load(self, call: Call) -> "asyncio.Future[Outcome]":
        """The outcome of a call."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        span = traces.current() if traces.is_on else None
        if (deadline := DEADLINE.get() or NEVER) < self._late_at:
            self._watch(deadline)
        size = self._size_of(call)
        self._waiting.append(_Waiting(call, size, outcome, copy_context(), span, deadline))
        self._size += size
        self._begin_later()
        return outcome

    def _watch(self, deadline: float) -> None:
        """Look for calls whose deadlines have passed, soon after this one.

        One timer does it for all calls: it is set about once in the time of a request, not for each.
        """
        if self._late is not None:
            self._late.cancel()
        self._late, self._late_at = None, deadline
        if deadline < NEVER:
            self._late = asyncio.get_running_loop().call_at(deadline + LATE_SECONDS, self._end_late)

    def _end_late(self) -> None:
        now, first = time.monotonic() - LATE_SECONDS, NEVER
        for one in chain(self._waiting, *self._running.values()):
            if one.outcome.done():
                continue
            if one.deadline <= now:
                one.outcome.set_exception(DeadlineExceeded(NO_ANSWER))
            else:
                first = min(first, one.deadline)
        self._watch(first)

    def _begin_later(self) -> None:
        if self._turn is not None:
            return
        loop = asyncio.get_running_loop()
        if not self._running or self._size >= self._max_size:
            self._turn = loop.call_soon(self._wait, TURNS, loop.time() + self._wait_seconds)
        elif self._timer is None:
            self._timer = loop.call_later(self._wait_seconds, self._begin)

    def _wait(self, turns: int, until: float) -> None:
        loop = asyncio.get_running_loop()
        if turns > 1 and self._size < self._max_size and loop.time() < until:
            self._turn = loop.call_soon(self._wait, turns - 1, until)
        else:
            self._begin()

    def _begin(self) -> None:
        """Begin a batch of calls that wait, and all more that are full."""
        for handle in (self._turn, self._timer):
            if handle is not None:
                handle.cancel()
        self._turn = self._timer = None
        while batch := self._take():
            task = asyncio.get_running_loop().create_task(self._run(batch), context=batch[0].context)
            self._running[task] = batch
            task.add_done_callback(partial(self._end, batch))
            if self._size < self._max_size:
                break
        if self._waiting:
            self._begin_later()

    def _take(self) -> "list[_Waiting[Call, Outcome]]":
        """The next calls that fit into a batch, without those whose callers do not wait any more."""
        batch: list[_Waiting[Call, Outcome]] = []
        room = self._max_size
        while self._waiting:
            one = self._waiting[0]
            if not one.outcome.done():
                if one.size > room and batch:
                    break
                batch.append(one)
                room -= one.size
            self._waiting.popleft()
            self._size -= one.size
        return batch

    def _end(self, batch: "list[_Waiting[Call, Outcome]]", task: "asyncio.Task[None]") -> None:
        del self._running[task]
        error = None if task.cancelled() else task.exception()
        for one in batch:  # also where the batch ended before it had an outcome for each
            if one.outcome.done():
                continue
            if error is None:
                one.outcome.cancel()
            else:
                one.outcome.set_exception(error)
        if self._waiting:
            self._begin_later()

    async def _run(self, batch: "list[_Waiting[Call, Outcome]]") -> None:
        DEADLINE.set(None)
        if CALLS_PER_ROUND_TRIP.is_on:
            CALLS_PER_ROUND_TRIP.observe(len(batch), self._kind)
        if traces.is_on:
            traces.share(one.span for one in batch)
        outcomes = await self._run_batch([one.call for one in batch])
        for one, outcome in zip(batch, outcomes, strict=True):
            if one.outcome.done():  # its caller does not wait any more
                continue
            if isinstance(outcome, BaseException):
                one.outcome.set_exception(outcome)
            else:
                one.outcome.set_result(outcome)


class _Waiting(NamedTuple, Generic[Call, Outcome]):
    """A call whose batch has not ended."""

    call: Call
    size: int
    outcome: "asyncio.Future[Outcome]"
    context: Context
    span: SpanContext | None
    deadline: float  # of its request
