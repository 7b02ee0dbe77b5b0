"""Calls in threads, whose results come back to the event loop in one step."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Task = tuple[Future[Any], Callable[[], Any]]


class DaemonThreads:
    """Up to `most` threads for calls, as ThreadPoolExecutor, but the end of the process does not wait for them.

    They are for calls that may wait for a database that does not answer longer than a stop may take.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._begun = 0
        self._calls = 0  # that wait or are being made
        self._counting = threading.Lock()
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._has_ended = False

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._tasks.qsize()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Have a thread call it. Raises RuntimeError after the end, or where no first thread can be started."""
        future: Future[T] = Future()
        with self._counting:
            if self._has_ended:
                raise RuntimeError("the threads have ended")
            if self._begun <= self._calls and self._begun < self._most:
                self._start_another()
            self._calls += 1
            self._tasks.put((future, call))
        return future

    def _start_another(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}_{self._begun}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more of them
            if not self._begun:
                raise
        else:
            self._begun += 1

    def end(self) -> None:
        """Cancel the calls that wait, and end each thread after the call that it has begun; returns at once."""
        with self._counting:
            self._has_ended = True
        with suppress(Empty):
            while (task := self._tasks.get_nowait()) is not None:
                task[0].cancel()
        for _ in range(self._begun):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            tell = _outcome(*task)
            del task  # nothing stays in memory until the next call
            with self._counting:  # before the result is told: whoever waits for it brings the next call
                self._calls -= 1
            tell()
            del tell


def _outcome(future: Future[Any], call: Callable[[], Any]) -> Callable[[], None]:
    """Make the call, unless it was cancelled; returns what tells its result or exception."""
    if not future.set_running_or_notify_cancel():
        return lambda: None
    try:
        return partial(future.set_result, call())
    except BaseException as error:
        return partial(future.set_exception, error)
    finally:
        del future, call  # the exception keeps this frame, which would keep the exception


def run_in_thread(
    threads: DaemonThreads, call: Callable[[], T], when_done: Callable[[], None] | None = None
) -> "asyncio.Future[T]":
    """The result of a call in one of these threads, as `run_in_executor`, whose result takes a turn of the loop more.

    `when_done` is called on the event loop when the call has returned, also if nobody waits for its result any more.
    A call that has begun goes on when the future is cancelled. Raises RuntimeError after the end of the threads.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[T] = loop.create_future()

    def work() -> T | None:
        return None if waiting.cancelled() else call()

    def end(done: Future[Any]) -> None:
        if when_done is not None:
            when_done()
        if waiting.done():  # its request has failed
            return
        if done.cancelled():
            waiting.cancel()
        elif (error := done.exception()) is not None:
            waiting.set_exception(error)
            waiting.exception()  # a request that is cancelled now does not get it
        else:
            waiting.set_result(done.result())

    def tell(done: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(end, done)

    threads.submit(work).add_done_callback(tell)
    return waiting
