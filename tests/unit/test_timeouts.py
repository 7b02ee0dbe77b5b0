"""Timeouts that share a timer end as those of asyncio do."""

import asyncio
import gc
import time
import weakref
from contextlib import suppress

import pytest

from gql_identity.deadlines import DEADLINE, until_deadline
from gql_identity.errors import DeadlineExceeded
from gql_identity.execution.turns import turns_of_this_loop
from gql_identity.timeouts import Timeout

LONG = 60.0


async def wait(seconds: float) -> None:
    with Timeout(seconds):
        await asyncio.Event().wait()


async def test_work_within_its_time_goes_on() -> None:
    with Timeout(LONG):
        assert await asyncio.sleep(0, "done") == "done"


async def test_work_past_its_time_is_cancelled() -> None:
    with pytest.raises(TimeoutError):
        await wait(0.01)


async def test_a_shorter_timeout_that_began_later_ends_first() -> None:
    longer = asyncio.create_task(wait(LONG))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await wait(0.01)
    assert not longer.done()
    longer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await longer


async def test_after_one_has_ended_the_others_still_end() -> None:
    ended = await asyncio.gather(*map(wait, (0.01, 0.03, 0.02)), return_exceptions=True)
    assert [type(error) for error in ended] == [TimeoutError] * 3


async def test_an_outer_timeout_that_ends_is_not_the_inner_one() -> None:
    inner = list[str]()

    async def wait_within() -> None:
        with Timeout(0.01):
            try:
                await wait(LONG)
            except TimeoutError:
                inner.append("ended")

    with pytest.raises(TimeoutError):
        await wait_within()
    assert not inner


async def test_whoever_cancels_the_task_gets_it_cancelled() -> None:
    timeouts: list[Timeout] = []

    async def wait_and_tell() -> None:
        with Timeout(LONG) as timeout:
            timeouts.append(timeout)
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_and_tell())
    await asyncio.sleep(0)
    timeouts[0].expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_may_be_ended_early() -> None:
    async def wait_until_it_is_ended() -> None:
        with Timeout(LONG) as timeout:
            asyncio.get_running_loop().call_soon(timeout.expire)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await wait_until_it_is_ended()


@pytest.mark.parametrize("seconds", [LONG, 0.01])
async def test_a_request_that_has_ended_leaves_nothing_to_the_garbage_collector(seconds: float) -> None:
    async def request() -> None:
        DEADLINE.set(time.monotonic() + seconds)
        with suppress(DeadlineExceeded):
            await until_deadline(asyncio.sleep(0.02))

    task = asyncio.create_task(request())
    left = weakref.ref(task)
    gc.disable()
    try:
        await task
        del task
        await asyncio.sleep(0)
        assert left() is None
    finally:
        gc.enable()


def test_no_event_loop_but_the_last_of_a_thread_is_kept() -> None:
    async def use() -> "weakref.ref[asyncio.AbstractEventLoop]":
        turns_of_this_loop()
        with Timeout(LONG):
            await asyncio.sleep(0)
        return weakref.ref(asyncio.get_running_loop())

    first = asyncio.run(use())
    asyncio.run(use())
    gc.collect()
    assert first() is None
