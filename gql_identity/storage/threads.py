"""Calls in threads, whose results come back to the event loop in one step."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


def run_in_thread(
    threads: ThreadPoolExecutor, call: Callable[[], T], when_done: Callable[[], None] | None = None
) -> "asyncio.Future[T]":
    """The result of a call in one of these threads, as `run_in_executor`, whose result takes a turn of the loop more.

    `when_done` is called on the event loop when the call has returned, also if nobody waits for its result any more.
    A call that has begun goes on when the future is cancelled. Raises RuntimeError after the pool's shutdown.
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
