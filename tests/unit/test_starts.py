"""When requests start: client after client, where more come than fit into one turn of the event loop."""

import asyncio
import time

from gql_identity.web.starts import START_SECONDS, STARTS, WOKEN, Starts


async def test_a_client_waits_for_one_turn_of_another_that_floods() -> None:
    starts = Starts()
    begun: list[str] = []

    async def start(name: str) -> None:
        if not starts.begin():
            await starts.wait(name)
        begun.append(name)

    requests = [asyncio.ensure_future(start(name)) for name in ["flood"] * 200 + ["victim"] + ["flood"] * 200]
    await asyncio.gather(*requests)
    assert len(begun) == 401
    # The first turn has no order, as nobody waits; the victim is among the first that are woken.
    assert begun.index("victim") < STARTS + WOKEN


async def test_few_start_in_one_turn() -> None:
    starts = Starts()
    for _ in range(STARTS):
        assert starts.begin()
    assert not starts.begin()
    waiting = [asyncio.ensure_future(starts.wait("one")) for _ in range(3 * WOKEN)]
    woken = []
    while not all(turn.done() for turn in waiting):
        await asyncio.sleep(0)
        woken.append(sum(turn.done() for turn in waiting))
    assert max(after - before for before, after in zip([0, *woken], woken, strict=False)) <= WOKEN
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert starts.begin()


async def test_fewer_start_in_one_turn_where_they_take_long() -> None:
    starts = Starts()
    assert starts.begin()
    time.sleep(2 * START_SECONDS)  # noqa: ASYNC251 - as a request that takes so long until it waits for something
    assert not starts.begin()
    await starts.wait("one")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert starts.begin()


async def test_a_request_that_is_given_up_while_it_waits_takes_nobodys_turn() -> None:
    starts = Starts()
    while starts.begin():
        pass
    given_up = [asyncio.ensure_future(starts.wait("one")) for _ in range(50)]
    last = asyncio.ensure_future(starts.wait("one"))
    await asyncio.sleep(0)
    for turn in given_up:
        turn.cancel()
    await asyncio.wait_for(last, 5)
