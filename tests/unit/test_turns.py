"""Long work gives way: how the slices of the event loop's turns are shared."""

import asyncio
import time
from contextlib import suppress

import pytest

from gql_identity.execution.answer import RequestError
from gql_identity.execution.request import Request
from gql_identity.execution.turns import LONG_SECONDS, SLICE_SECONDS, WOKEN, turns_of_this_loop
from gql_identity.schema.executor import make_executor
from gql_identity.settings import Settings


def work(seconds: float) -> None:
    """Keep the event loop busy."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def long_work(name: str, pieces: int, log: list[str]) -> None:
    turns = turns_of_this_loop()
    for _ in range(pieces):
        if turns.is_over():
            await turns.wait(name)
        work(SLICE_SECONDS / 2)
        log.append(name)


async def test_others_have_every_turn_while_long_work_lasts() -> None:
    log: list[str] = []
    task = asyncio.create_task(long_work("long", 20, log))
    turns_between = 0
    while not task.done():
        await asyncio.sleep(0)
        turns_between += 1
    assert log == ["long"] * 20
    assert turns_between >= 20 / 3  # at most three pieces in a turn: two, and one that began just in time


async def test_a_piece_that_takes_long_is_followed_by_as_long_a_rest() -> None:
    turns = turns_of_this_loop()
    assert not turns.is_over()
    began = time.perf_counter()
    work(2 * LONG_SECONDS)
    worked = time.perf_counter()
    await turns.wait("same")
    assert time.perf_counter() - worked >= 0.9 * (worked - began)


async def test_one_who_has_much_to_do_does_not_keep_another_waiting_for_all_of_it() -> None:
    log: list[str] = []
    many = [asyncio.create_task(long_work("many", 1, log)) for _ in range(200)]
    await asyncio.sleep(0)
    one = asyncio.create_task(long_work("one", 1, log))
    await asyncio.gather(*many, one)
    assert log.index("one") < 40  # of 201


async def test_what_must_end_in_time_comes_before_all_owners_and_leaves_turns_to_others() -> None:
    log: list[str] = []
    others = [asyncio.create_task(long_work(f"owner {number}", 3, log)) for number in range(100)]
    await asyncio.sleep(0)

    async def urgent() -> None:
        turns = turns_of_this_loop()
        for _ in range(10):
            if turns.is_over():
                await turns.wait_first()
            work(SLICE_SECONDS / 2)
            log.append("urgent")

    turns_between, task = 0, asyncio.create_task(urgent())
    while not task.done():
        await asyncio.sleep(0)
        turns_between += 1
    assert len(log) - 10 < 60  # of 300 of others; of them each turn may have begun one
    assert turns_between >= 10 / 3
    await asyncio.gather(*others)
    assert len(log) == 310


async def test_a_client_that_sends_many_new_documents_keeps_no_other_client_waiting() -> None:
    executor, parsed = make_executor(Settings()), list[str]()

    async def send(client: str, number: int) -> None:
        document = f"{{ a{number}: __typename {' '.join(['__typename'] * 700)} }}"
        with suppress(RequestError):  # it selects one field too often, which is found when it has been parsed
            await executor.operation(Request(document, None, None, {}), owner=client)
        parsed.append(client)

    many = [asyncio.create_task(send("many", number)) for number in range(100)]
    await asyncio.sleep(0)
    one = asyncio.create_task(send("one", 100))
    await asyncio.gather(*many, one)
    assert parsed.index("one") < 50  # of 101


async def test_all_who_wait_have_their_turn_and_those_cancelled_cost_none() -> None:
    turns = turns_of_this_loop()
    log: list[str] = []
    given_up = [asyncio.create_task(long_work("given up", 1, log)) for _ in range(2 * WOKEN)]
    others = [asyncio.create_task(long_work("other", 1, log)) for _ in range(2 * WOKEN)]
    assert not turns.is_over()
    work(SLICE_SECONDS)
    await asyncio.sleep(0)  # all of them find the slice used up
    for task in given_up:
        task.cancel()
    async with asyncio.timeout(20):
        await asyncio.gather(*others)
        for task in given_up:
            with pytest.raises(asyncio.CancelledError):
                await task
    assert log == ["other"] * 2 * WOKEN


async def test_after_a_pause_there_is_a_slice_at_once() -> None:
    turns = turns_of_this_loop()
    assert not turns.is_over()
    await asyncio.sleep(SLICE_SECONDS * 2)
    assert not turns.is_over()
