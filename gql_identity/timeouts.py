"""Timeouts of requests: as `asyncio.timeout`, but those of one event loop share one timer of it.

A timer of its own is started and cancelled for nearly every request, and two of them took 6% of a verification.
"""

import asyncio
import threading
from math import inf
from types import TracebackType
from typing import Any


class Timeout:
    """A context manager: what is awaited in it is cancelled after so many seconds, and TimeoutError raised instead."""

    __slots__ = ("_cancelling", "_is_expired", "_loop", "_task", "_timeouts", "deadline")

    def __init__(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._loop, self._timeouts = loop, _timeouts_of(loop)
        self._is_expired = False
        self.deadline = loop.time() + seconds

    def __enter__(self) -> "Timeout":
        # A coroutine runs, so there is one. Without the loop this would look it up, a call of the system each time.
        task: Any = asyncio.current_task(self._loop)
        self._task, self._cancelling = task, task.cancelling()
        self._timeouts.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timeouts.remove(self)
        # The task may hold this by its context, and a cycle of both would be left to the garbage collector.
        task, self._task = self._task, None
        # As in `asyncio.Timeout`: somebody else may have cancelled the task too, and that counts.
        if self._is_expired and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """End what is awaited now."""
        if not self._is_expired:
            self._is_expired = True
            self._task.cancel()

    def move(self, deadline: float) -> None:
        """End it at another time, by the clock of the event loop."""
        self.deadline = deadline
        if deadline < self._timeouts.next_at:
            self._timeouts.bring_forward(self)

    def end_for_stop(self, at: float) -> None:
        """End it so early that its request has its response by this time; this one goes on as it is."""

    def stop(self) -> None:
        """End nothing any more."""
        self._timeouts.remove(self)

    def catches(self) -> bool:
        """Whether a CancelledError is of this timeout alone: then it goes on, and may end something else later."""
        task: Any = asyncio.current_task(self._loop)
        # As in `__exit__`. A task that this one waits for is cancelled too, and the error is not its own.
        if not self._is_expired or task is not self._task or task.cancelling() - 1 > self._cancelling:
            return False
        task.uncancel()
        self._is_expired = False
        return True


def end_all_by(at: float) -> None:
    """Have all requests of this event loop answered by this time, also those that begin later; `inf` ends that.

    For the stop of the service. By the clock of the event loop.
    """
    _timeouts_of(asyncio.get_running_loop()).end_all_by(at)


def all_end_by() -> float:
    """When all requests of this event loop have to be answered; `inf` unless the service stops."""
    timeouts = _THREAD.timeouts
    return inf if timeouts is None else timeouts.all_end_by


class _Timeouts:
    """The timeouts of one event loop that are running, and the timer for those that end first."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._running: dict[Timeout, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.next_at = inf  # when the timer ends
        self.all_end_by = inf  # when all requests have to be answered

    def end_all_by(self, at: float) -> None:
        self.all_end_by = at
        for timeout in list(self._running):
            timeout.end_for_stop(at)

    def add(self, timeout: Timeout) -> None:
        if self.all_end_by < inf:
            timeout.end_for_stop(self.all_end_by)
        self._running[timeout] = None
        if timeout.deadline < self.next_at:
            self._start(timeout.deadline)

    def bring_forward(self, timeout: Timeout) -> None:
        if timeout in self._running:
            self._start(timeout.deadline)

    def remove(self, timeout: Timeout) -> None:
        self._running.pop(timeout, None)

    def _start(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.next_at = at
        self._timer = self.loop.call_at(at, self._expire)

    def _expire(self) -> None:
        """End those whose time is over; the timer goes on until the first of the others."""
        self._timer, self.next_at = None, inf
        now = self.loop.time()
        left = []
        for timeout in self._running:
            if timeout.deadline <= now:
                timeout.expire()
            else:
                left.append(timeout.deadline)
        if left:
            self._start(min(left))


class _Thread(threading.local):
    """What a thread keeps of the event loop that it runs, or ran last."""

    timeouts: _Timeouts | None = None


_THREAD = _Thread()


def _timeouts_of(loop: asyncio.AbstractEventLoop) -> _Timeouts:
    timeouts = _THREAD.timeouts
    if timeouts is None or timeouts.loop is not loop:
        timeouts = _THREAD.timeouts = _Timeouts(loop)
    return timeouts
