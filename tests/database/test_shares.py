"""One caller's lists and statistics neither hold up others nor fill the memory."""

import asyncio
import time
from typing import Any

import pytest
from pydantic import SecretStr

from gql_identity.settings import Settings
from gql_identity.storage import scans
from gql_identity.storage.database import Database

from ..conftest import PEPPER, Api, Person, mongo_client

LIST = "query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }"
STATS = "query($i: APIKeyStatQuery!) { a: apiKeyStats(input: $i) b: apiKeyStats(input: $i) }"
GET = "query($i: GetAPIKeyRequest!) { apiKey(input: $i) { apiKeyId } }"


def store(settings: Settings, domain_id: str, user_id: str, number: int, name: str) -> None:
    """Store keys that nobody has the secrets of."""
    with mongo_client(settings) as client:
        client.get_default_database()["api_keys"].insert_many(
            {
                "_id": f"api-key-{domain_id}-{user_id}-{at:06}",
                "domain_id": domain_id,
                "user_id": user_id,
                "state": "ENABLED",
                "role": "USER",
                "name": name,
                "digest": b"0",
                "hint": "",
                "created_by": None,
            }
            for at in range(number)
        )


async def test_slots_are_shared_between_users_and_domains_and_given_on() -> None:
    slots = scans.Slots()
    one, other, neighbour = scans.Share("d", "one"), scans.Share("d", "other"), scans.Share("e", "one")
    started: list[scans.Share] = []

    async def take(share: scans.Share) -> None:
        await slots.take(share)
        started.append(share)

    tasks = [asyncio.create_task(take(share)) for share in [one] * 5 + [other] * 5 + [neighbour] * 3]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert started == [one, one, other, other, neighbour, neighbour]
    tasks[2].cancel()
    slots.free(one)
    await asyncio.sleep(0.01)
    assert started[6:] == [one]
    for share in list(started):
        slots.free(share)
    await asyncio.sleep(0.01)
    slots.free(one)
    slots.free(other)
    await asyncio.sleep(0.01)
    assert sum(task.done() for task in tasks) >= 12
    for task in tasks:
        task.cancel()


async def test_a_service_has_more_slots_than_a_person_and_leaves_some() -> None:
    slots = scans.Slots()
    service, person = scans.Share("d", "backend", is_service=True), scans.Share("d", "person")
    neighbour = scans.Share("e", "person")
    tasks = [asyncio.create_task(slots.take(share)) for share in [service] * 20 + [person] + [neighbour] * 3]
    await asyncio.sleep(0.01)
    started = [sum(task.done() for task in some) for some in (tasks[:20], tasks[20:21], tasks[21:])]
    assert started == [6, 1, 1]
    for _ in range(2):  # by turns
        slots.free(service)
        await asyncio.sleep(0.01)
    assert [task.done() for task in tasks[20:]] == [True, True, True, False]
    slots.free(person)
    again = asyncio.create_task(slots.take(person))
    for _ in range(3):  # the service goes on asking, and the person gets its turn all the same
        slots.free(service)
        await asyncio.sleep(0.01)
    assert again.done()
    for task in [*tasks, again]:
        task.cancel()


async def test_a_domain_has_fewer_slots_while_reads_of_named_keys_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "FEWER_SECONDS", 0.0)
    monkeypatch.setattr(scans, "MORE_SECONDS", 0.1)
    slots = scans.Slots()
    one, other, neighbour = scans.Share("d", "one"), scans.Share("d", "other"), scans.Share("e", "one")
    slots.note_point_read(0.2)  # the first, which tells nothing
    slots.note_point_read(0.001)
    await slots.take(one)
    for _ in range(5):
        slots.note_point_read(0.05)
    waiting = [asyncio.create_task(slots.take(share)) for share in (one, other)]
    await asyncio.wait_for(slots.take(neighbour), 1)  # another domain has its own
    assert not any(task.done() for task in waiting)
    async with asyncio.timeout(5):  # no read is slow any more, and nothing else happens
        await asyncio.gather(*waiting)


async def test_a_domain_rests_after_each_list_while_reads_of_named_keys_stay_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scans, "FEWER_SECONDS", 0.0)
    slots = scans.Slots()
    share = scans.Share("d", "one")
    slots.note_point_read(0.001)
    await slots.take(share)
    for _ in range(5):
        slots.note_point_read(0.05)
    slots.free(share, 0.05)
    began = time.monotonic()
    async with asyncio.timeout(5):
        await slots.take(share)
        assert time.monotonic() - began > 0.13  # three times as long as the list took
        slots.free(share, 60.0)
        await slots.take(share)  # it rests for a fifth of a second at most


async def test_reads_that_are_always_slow_leave_the_slots_as_they_are() -> None:
    slots = scans.Slots()
    share = scans.Share("d", "backend", is_service=True)
    for _ in range(100):
        slots.note_point_read(0.05)  # as to a database far away
    async with asyncio.timeout(5):
        for _ in range(6):
            await slots.take(share)


async def test_a_list_that_was_given_up_keeps_its_slot_until_the_database_has_ended_it(settings: Settings) -> None:
    store(settings, "d", "u", 1_000, "ab" * 100)
    slow = settings.model_copy(update={"database_timeout_seconds": 0.3})
    heavy: list[dict[str, Any]] = [
        {"$match": {"domain_id": "d"}},
        {"$match": {"name": {"$regex": ".{240}z", "$options": "i"}}},
    ]
    async with Database(slow) as database:
        await database.prepare(own_indexes=True)
        share = scans.Share("d", "u")
        given_up = await asyncio.gather(*(database.aggregate(heavy, share) for _ in range(3)), return_exceptions=True)
        codes = [getattr(error, "code", "") for error in given_up]
        if "DEADLINE_EXCEEDED" not in codes:
            pytest.skip("the database is too fast to be given up, or ends what was given up itself")
        assert codes.count("RESOURCE_EXHAUSTED") == 1
        # Another domain's read is not held up, and this one's own come again once the database has ended the past.
        assert await database.aggregate([{"$match": {"domain_id": "e"}}], scans.Share("e", "u")) == []
        until = time.monotonic() + 60  # for a busy machine
        while time.monotonic() < until:
            try:
                assert await database.aggregate([{"$match": {"domain_id": "e"}}], share) == []
                break
            except Exception:
                await asyncio.sleep(0.1)
        else:
            pytest.fail("the slots were not given back")


async def test_seventy_lists_of_one_user_leave_a_neighbours_point_reads_fast(api: Api, settings: Settings) -> None:
    attacker, victim = await api.make("USER", "d1", "u1"), await api.make("USER", "d2", "u2")
    store(settings, "d1", "u1", 3_000, "ab" * 100)
    query = {"filter": [{"k": "name", "v": ".{41}z", "o": "REGEX"}]}
    asked = {"i": {"domainId": "d1", "query": query}}
    lists = [asyncio.create_task(api.run(LIST, asked, attacker)) for _ in range(70)]
    taken = []
    for _ in range(60):
        begun = time.perf_counter()
        found = await api.data(GET, {"i": {"domainId": "d2", "apiKeyId": victim.key_id}}, victim)
        taken.append(time.perf_counter() - begun)
        assert found["apiKey"] == {"apiKeyId": victim.key_id}
        await asyncio.sleep(0.02)
    for task in lists:
        task.cancel()
    await asyncio.gather(*lists, return_exceptions=True)
    assert sorted(taken)[57] < 0.2  # the promise is 100 ms; this machine may be busy with other tests


def pushing(number: int) -> dict[str, Any]:
    pushed = [{"k": "name", "n": f"n{at}", "o": "PUSH"} for at in range(number)]
    return {"aggregate": [{"group": {"keys": [{"k": "state", "n": "state"}], "fields": pushed}}]}


async def refusal(api: Api, query: dict[str, Any], by: Person) -> str:
    answer = await api.run(STATS, {"i": {"domainId": by.domain_id, "query": query}}, by)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"INVALID_ARGUMENT"}, answer
    return str(answer["errors"][0]["message"])


async def test_the_values_that_lists_gather_are_bounded(api: Api, settings: Settings) -> None:
    system = await api.make("SYSTEM", "d1")
    store(settings, "d1", "u1", 2_001, "n")
    assert "gather at most 5000 values: 500 rows of 10" in await refusal(api, pushing(10), system)
    assert "at most 20 columns that are not numbers" in await refusal(api, pushing(40), system)
    limited = pushing(10)
    limited["aggregate"].insert(0, {"limit": 500})
    await api.data(STATS, {"i": {"domainId": "d1", "query": limited}}, system)


async def test_the_statistics_of_a_request_have_a_bound_on_bytes_together(api: Api, settings: Settings) -> None:
    system = await api.make("SYSTEM", "d1")
    store(settings, "d1", "u1", 2_500, "😀" * 255)  # 2.5 MB
    query = pushing(1)
    one = "query($i: APIKeyStatQuery!) { apiKeyStats(input: $i) }"
    assert await api.data(one, {"i": {"domainId": "d1", "query": query}}, system)
    assert "return too many bytes" in await refusal(api, query, system)


async def test_a_row_larger_than_the_database_can_hold_is_a_clear_error(mongo_uri: str) -> None:
    settings = Settings(
        mongo_uri=SecretStr(mongo_uri),
        pepper=SecretStr(PEPPER),
        max_gathered_values=100_000,
        max_answer_bytes=90_000_000,
    )
    store(settings, "d1", "u1", 2_500, "😀" * 255)
    async with Database(settings) as database:
        await database.prepare(own_indexes=True)
        fields: dict[str, Any] = {f"c{at}": {"$push": "$name"} for at in range(20)}
        with pytest.raises(Exception) as caught:  # noqa: PT011 - its code is looked at
            await database.aggregate([{"$group": {"_id": None, **fields}}], scans.Share("d1", "u1"), bounded=True)
        assert getattr(caught.value, "code", None) == "INVALID_ARGUMENT", caught.value
