"""Results of threads, for those who wait and those who do not any more."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gql_identity.storage.threads import run_in_thread


async def test_results_and_errors_come_back() -> None:
    def fail() -> None:
        raise ValueError("no")

    with ThreadPoolExecutor(1) as threads:
        assert await run_in_thread(threads, lambda: 7) == 7
        with pytest.raises(ValueError, match="no"):
            await run_in_thread(threads, fail)


async def test_a_call_that_was_given_up_is_told_of_when_it_ends_and_one_that_has_not_begun_is_not_made() -> None:
    go_on, told, made = threading.Event(), asyncio.Semaphore(0), list[str]()
    with ThreadPoolExecutor(1) as threads:
        running = run_in_thread(threads, go_on.wait, told.release)
        waiting = run_in_thread(threads, lambda: made.append("waiting"), told.release)
        await asyncio.sleep(0)
        assert running.cancel()
        assert waiting.cancel()
        await asyncio.sleep(0.01)
        assert told.locked()
        go_on.set()
        await told.acquire()
        await told.acquire()
    assert made == []


async def test_what_waits_for_a_thread_when_the_pool_ends_is_cancelled() -> None:
    go_on = threading.Event()
    threads = ThreadPoolExecutor(1)
    running, waiting = run_in_thread(threads, go_on.wait), run_in_thread(threads, go_on.wait)
    threads.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    assert await running


def test_a_call_that_ends_after_its_loop_is_closed_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    go_on = threading.Event()

    async def begin() -> None:
        run_in_thread(threads, go_on.wait)

    with ThreadPoolExecutor(1) as threads:
        asyncio.run(begin())
        go_on.set()
    assert not caplog.records
