"""Results of threads, for those who wait and those who do not any more."""

import asyncio
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
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


@pytest.fixture
def threads() -> Iterator[DaemonThreads]:
    made = DaemonThreads(1, "one")
    yield made
    made.end()


class Held:
    """A call that has begun, and goes on until it is told to end."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self) -> bool:
        self.begun.set()
        return self.go_on.wait(10)


async def test_results_and_errors_come_back(threads: DaemonThreads) -> None:
    def fail() -> None:
        raise ValueError("no")

    assert await run_in_thread(threads, lambda: 7) == 7
    with pytest.raises(ValueError, match="no"):
        await run_in_thread(threads, fail)
    assert await run_in_thread(threads, lambda: threading.current_thread().name) == "one_0"


async def test_a_call_that_was_given_up_is_told_of_when_it_ends_and_one_that_has_not_begun_is_not_made(
    threads: DaemonThreads,
) -> None:
    held, told, made = Held(), asyncio.Semaphore(0), list[str]()
    running = run_in_thread(threads, held, told.release)
    waiting = run_in_thread(threads, lambda: made.append("waiting"), told.release)
    assert held.begun.wait(5)
    assert running.cancel()
    assert waiting.cancel()
    await asyncio.sleep(0.01)
    assert told.locked()
    assert threads.waiting == 1
    held.go_on.set()
    await told.acquire()
    await told.acquire()
    assert made == []


async def test_a_cancelled_call_of_an_event_loop_is_not_made_and_harms_no_thread(threads: DaemonThreads) -> None:
    held, made = Held(), list[str]()
    loop = asyncio.get_running_loop()
    running = asyncio.wrap_future(threads.submit(held), loop=loop)
    waiting = asyncio.wrap_future(threads.submit(lambda: made.append("waiting")), loop=loop)
    assert held.begun.wait(5)
    assert running.cancel()
    assert waiting.cancel()
    await asyncio.sleep(0)
    held.go_on.set()
    assert await run_in_thread(threads, lambda: 7) == 7
    assert made == []


async def test_what_waits_for_a_thread_at_the_end_is_cancelled_and_the_threads_end() -> None:
    threads, held = DaemonThreads(1, "ending"), Held()
    running = run_in_thread(threads, held)
    assert held.begun.wait(5)
    waiting = run_in_thread(threads, held)
    (thread,) = (one for one in threading.enumerate() if one.name == "ending_0")
    threads.end()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(RuntimeError):
        threads.submit(held)
    held.go_on.set()
    assert await running
    thread.join(5)
    assert not thread.is_alive()


def test_a_call_that_ends_after_its_loop_is_closed_is_forgotten(
    threads: DaemonThreads, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held()

    async def begin() -> None:
        run_in_thread(threads, held)
        assert held.begun.wait(5)

    asyncio.run(begin())
    held.go_on.set()
    assert threads.submit(lambda: 7).result(5) == 7
    assert not caplog.records


@pytest.mark.parametrize("pause", [0.0, 0.005])
async def test_calls_run_side_by_side_up_to_the_number_of_threads_and_then_by_turns(pause: float) -> None:
    threads, held = DaemonThreads(3, "three"), [Held() for _ in range(4)]
    calls = []
    for one in held:
        calls.append(run_in_thread(threads, one))
        await asyncio.sleep(pause)  # a thread that has just begun is not free
    assert all(one.begun.wait(5) for one in held[:3])
    assert not held[3].begun.wait(0.05)
    for one in held:
        one.go_on.set()
    assert all(await asyncio.gather(*calls))
    threads.end()


@pytest.mark.parametrize("callers", [1, 2])
async def test_no_more_threads_are_started_than_there_are_calls_at_once(callers: int) -> None:
    threads, names = DaemonThreads(8, "few"), set[str]()

    async def call_by_turns() -> None:
        for _ in range(300):
            names.add(await run_in_thread(threads, lambda: threading.current_thread().name))

    await asyncio.gather(*(call_by_turns() for _ in range(callers)))
    assert names <= {f"few_{number}" for number in range(callers)}
    threads.end()


async def test_where_no_other_thread_can_be_started_a_call_waits_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads, held = DaemonThreads(2, "scarce"), Held()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            threads.submit(held)
    running = run_in_thread(threads, held)
    assert held.begun.wait(5)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        waiting = run_in_thread(threads, lambda: 7)
    held.go_on.set()
    assert await running
    assert await waiting == 7
    threads.end()


async def test_a_thread_keeps_nothing_of_its_last_call(threads: DaemonThreads) -> None:
    class Kept:
        pass

    kept = Kept()
    gone = weakref.ref(kept)
    assert await run_in_thread(threads, partial(id, kept)) == id(kept)
    del kept
    await asyncio.sleep(0.05)
    assert gone() is None


def test_the_end_of_a_process_does_not_wait_for_its_threads() -> None:
    subprocess.run([sys.executable, "-c", WAITS_FOR_EVER], check=True, timeout=20)
