"""`Batches`: which calls share a round trip, and when it begins."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gql_identity.deadlines import DEADLINE
from gql_identity.errors import DeadlineExceeded
from gql_identity.storage.batches import Batches

MakeBatches = Callable[..., Batches[int, int]]
SOON = 5.0  # seconds, for what comes in milliseconds


class RoundTrips:
    """The batches that began; each ends when the test says so."""

    def __init__(self) -> None:
        self.begun: list[list[int]] = []
        self._ends: list[asyncio.Future[None]] = []
        self._has_begun = asyncio.Event()

    async def run(self, calls: list[int]) -> list[Any]:
        """Returns the tens of the calls; of a negative one an error, of zero nothing."""
        self.begun.append(calls)
        self._ends.append(asyncio.get_running_loop().create_future())
        self._has_begun.set()
        await self._ends[-1]
        return [ValueError(call) if call < 0 else call * 10 for call in calls if call]

    async def have_begun(self, number: int) -> None:
        """Wait until so many batches have begun."""
        async with asyncio.timeout(SOON):
            while len(self.begun) < number:
                self._has_begun.clear()
                await self._has_begun.wait()

    def end(self, number: int, error: Exception | None = None) -> None:
        """End the batch of this number, the first is 0."""
        if error is None:
            self._ends[number].set_result(None)
        else:
            self._ends[number].set_exception(error)


@pytest.fixture
def trips() -> RoundTrips:
    return RoundTrips()


@pytest.fixture
async def batches_of(trips: RoundTrips) -> AsyncIterator[MakeBatches]:
    made: list[Batches[int, int]] = []

    def make(max_size: int = 10, **options: Any) -> Batches[int, int]:
        made.append(Batches(trips.run, "keys", max_size, **options))
        return made[-1]

    yield make
    for batches in made:
        for task in batches._running:
            task.cancel()


async def test_calls_of_one_turn_share_a_batch(trips: RoundTrips, batches_of: MakeBatches) -> None:
    batches = batches_of()
    outcomes = [batches.load(1), batches.load(2)]
    await trips.have_begun(1)
    trips.end(0)
    assert await asyncio.gather(*outcomes) == [10, 20]
    assert trips.begun == [[1, 2]]


async def test_calls_during_a_batch_share_the_next(trips: RoundTrips, batches_of: MakeBatches) -> None:
    batches = batches_of(wait_seconds=SOON)
    first = batches.load(1)
    await trips.have_begun(1)
    others = []
    for call in (2, 3, 4):
        others.append(batches.load(call))
        await asyncio.sleep(0.01)
    assert trips.begun == [[1]]
    trips.end(0)
    assert await first == 10
    await trips.have_begun(2)
    trips.end(1)
    assert await asyncio.gather(*others) == [20, 30, 40]
    assert trips.begun == [[1], [2, 3, 4]]


async def test_a_full_batch_does_not_wait(trips: RoundTrips, batches_of: MakeBatches) -> None:
    batches = batches_of(3, wait_seconds=SOON)
    calls = [batches.load(call) for call in range(1, 9)]
    await trips.have_begun(2)
    assert trips.begun == [[1, 2, 3], [4, 5, 6]]  # the last two wait for others
    calls.append(batches.load(9))
    await trips.have_begun(3)
    assert trips.begun[2:] == [[7, 8, 9]]
    for number in range(3):
        trips.end(number)
    assert await asyncio.gather(*calls) == [call * 10 for call in range(1, 10)]


async def test_nobody_waits_long_for_a_slow_batch(trips: RoundTrips, batches_of: MakeBatches) -> None:
    batches = batches_of(wait_seconds=0.02)
    slow = batches.load(1)
    await trips.have_begun(1)
    quick = batches.load(2)
    await trips.have_begun(2)
    trips.end(1)
    assert await quick == 20
    assert not slow.done()
    trips.end(0)
    assert await slow == 10


async def test_a_batch_has_the_size_of_its_calls(trips: RoundTrips, batches_of: MakeBatches) -> None:
    batches = batches_of(10, size_of=lambda call: call)
    calls = [batches.load(call) for call in (4, 6, 25, 1)]
    await trips.have_begun(2)
    assert trips.begun == [[4, 6], [25]]
    trips.end(0)
    trips.end(1)
    await trips.have_begun(3)
    trips.end(2)
    assert await asyncio.gather(*calls) == [40, 60, 250, 10]


async def test_who_does_not_wait_any_more_is_left_out(trips: RoundTrips, batches_of: MakeBatches) -> None:
    batches = batches_of(wait_seconds=SOON)
    gone, stays = batches.load(1), batches.load(2)
    gone.cancel()
    await trips.have_begun(1)
    assert trips.begun == [[2]]
    all_gone = batches.load(3)
    all_gone.cancel()
    stays.cancel()
    trips.end(0)
    next_one = batches.load(4)
    await trips.have_begun(2)
    trips.end(1)
    assert await next_one == 40
    assert trips.begun == [[2], [4]]


async def test_an_error_is_that_of_its_call(trips: RoundTrips, batches_of: MakeBatches) -> None:
    batches = batches_of()
    outcomes = [batches.load(-1), batches.load(2)]
    await trips.have_begun(1)
    trips.end(0)
    with pytest.raises(ValueError, match="-1"):
        await outcomes[0]
    assert await outcomes[1] == 20


async def test_a_batch_that_fails_fails_all_of_its_calls_and_no_others(
    trips: RoundTrips, batches_of: MakeBatches
) -> None:
    batches = batches_of()
    outcomes = [batches.load(1), batches.load(2)]
    await trips.have_begun(1)
    later = batches.load(3)
    trips.end(0, ConnectionError("lost"))
    for outcome in outcomes:
        with pytest.raises(ConnectionError, match="lost"):
            await outcome
    await trips.have_begun(2)
    trips.end(1)
    assert await later == 30


async def test_the_calls_of_a_batch_that_is_cancelled_are_too(trips: RoundTrips, batches_of: MakeBatches) -> None:
    batches = batches_of()
    outcome = batches.load(1)
    await trips.have_begun(1)
    (task,) = batches._running
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outcome


async def test_a_call_without_an_outcome_fails_instead_of_waiting_forever(
    trips: RoundTrips, batches_of: MakeBatches
) -> None:
    batches = batches_of()
    outcomes = [batches.load(1), batches.load(0)]
    await trips.have_begun(1)
    trips.end(0)
    assert await outcomes[0] == 10
    with pytest.raises(ValueError, match="shorter"):
        await outcomes[1]


async def test_a_call_ends_at_the_deadline_of_its_request_and_the_others_go_on(
    trips: RoundTrips, batches_of: MakeBatches
) -> None:
    batches, began = batches_of(), time.monotonic()

    def load(call: int, seconds: float | None) -> asyncio.Future[int]:
        DEADLINE.set(None if seconds is None else began + seconds)
        return batches.load(call)

    late, without, later, soon = load(1, 0.2), load(2, None), load(3, 0.4), load(4, 0.1)
    await trips.have_begun(1)
    for outcome, seconds in ((soon, 0.1), (late, 0.2), (later, 0.4)):
        with pytest.raises(DeadlineExceeded, match="Try again"):
            await asyncio.wait_for(outcome, SOON)
        assert seconds <= time.monotonic() - began
    assert not without.done()
    in_time = load(5, SOON)
    await trips.have_begun(2)
    trips.end(0)
    trips.end(1)
    assert (await without, await in_time) == (20, 50)
    assert trips.begun == [[1, 2, 3, 4], [5]]
