"""Results of threads, for those who wait and those who do not any more."""

import asyncio
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from gql_identity.storage.threads import DaemonThreads, run_in_thread

WAITS_FOR_EVER = """
import threading
from gql_identity.storage.threads import DaemonThreads
begun = threading.Event()
threads = DaemonThreads(1, "waits")
threads.submit(lambda: (begun.set(), threading.Event().wait()))
begun.wait()
threads.end()
"""


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


async def test_daemon_threads_call_side_by_side_up_to_their_number_and_then_by_turns() -> None:
    threads, go_on, begun = DaemonThreads(2, "two"), threading.Event(), threading.Semaphore(0)

    def wait(number: int) -> int:
        begun.release()
        go_on.wait()
        return number

    def fail() -> None:
        raise ValueError("no")

    calls = [run_in_thread(threads, partial(wait, n)) for n in range(3)]
    assert begun.acquire(timeout=5)
    assert begun.acquire(timeout=5)
    assert not begun.acquire(timeout=0.05)
    go_on.set()
    assert await asyncio.gather(*calls) == [0, 1, 2]
    with pytest.raises(ValueError, match="no"):
        await run_in_thread(threads, fail)
    assert await run_in_thread(threads, lambda: threading.current_thread().daemon)
    threads.end()
    with pytest.raises(RuntimeError):
        threads.submit(fail)


async def test_daemon_threads_end_and_cancel_what_waits() -> None:
    threads, go_on, begun = DaemonThreads(1, "ending"), threading.Event(), threading.Event()

    def wait() -> bool:
        begun.set()
        return go_on.wait()

    running = run_in_thread(threads, wait)
    assert begun.wait(5)
    waiting = run_in_thread(threads, go_on.wait)
    (thread,) = (one for one in threading.enumerate() if one.name.startswith("ending"))
    threads.end()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    assert await running
    thread.join(5)
    assert not thread.is_alive()


async def test_a_daemon_thread_keeps_nothing_of_its_last_call() -> None:
    class Kept:
        pass

    threads, kept = DaemonThreads(1, "keeps"), Kept()
    gone = weakref.ref(kept)
    assert await run_in_thread(threads, partial(id, kept)) == id(kept)
    del kept
    await asyncio.sleep(0.05)
    assert gone() is None
    threads.end()


def test_the_end_of_a_process_does_not_wait_for_daemon_threads() -> None:
    subprocess.run([sys.executable, "-c", WAITS_FOR_EVER], check=True, timeout=20)
