"""Keys that are asked for at one moment are one read, and each caller gets its own and nothing else."""

import asyncio
import gc
from typing import Any

import pytest

from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from gql_identity.storage.point_reads import MAX_BATCH_KEYS, PointReads, condition
from tests.conftest import Api, Person, mongo_client
from tests.database.conftest import READS

KEY = "query($i: GetAPIKeyRequest!) { apiKey(input: $i) { apiKeyId userId domainId } }"


async def known(api: Api, *people: Person) -> None:
    """Have the service know these people's keys, so that nothing but what they ask for is read now."""
    for person in people:
        await api.data("{ __typename }", by=person)


async def test_many_keys_of_one_document_are_one_read(api: Api, reads: list[str]) -> None:
    system = await api.make()
    people = [await api.make("USER", f"d{n % 3}", f"u{n}") for n in range(20)]
    asked = " ".join(
        f'k{n}: apiKey(input: {{domainId: "{one.domain_id}", apiKeyId: "{one.key_id}"}}) {{ userId }}'
        for n, one in enumerate(people)
    )
    commands = []
    for _ in range(3):  # on a busy machine the turn may be over before all of them were asked for
        await known(api, system)
        reads.clear()
        data = await api.data(f"{{ {asked} }}", by=system)
        assert data == {f"k{n}": {"userId": one.user_id} for n, one in enumerate(people)}
        commands.append(list(reads))
    assert min(commands, key=len) == ["find"]


async def test_who_shares_a_read_gets_only_keys_it_may_see(api: Api) -> None:
    callers = [
        await api.make(role, domain, user)
        for role, domain, user in (
            ("SYSTEM", "d1", "u1"),
            ("DOMAIN_OWNER", "d1", "u1"),
            ("USER", "d1", "u1"),
            ("USER", "d1", "u2"),
            ("USER", "d2", "u1"),
        )
    ]

    def of(caller: Person, asked: Person) -> Any:
        return api.run(KEY, {"i": {"domainId": asked.domain_id, "apiKeyId": asked.key_id}}, caller)

    pairs = [(caller, asked) for caller in callers for asked in callers]
    alone = [await of(*pair) for pair in pairs]
    assert sum(answer["data"]["apiKey"] is not None for answer in alone) == 5 + 3 + 1 + 1 + 1
    for _ in range(5):
        assert await asyncio.gather(*(of(*pair) for pair in pairs)) == alone


async def test_a_key_asked_for_under_another_domain_is_not_there(api: Api) -> None:
    system, other = await api.make(), await api.make("USER", "d2", "u2")
    wrong = {"domainId": "d1", "apiKeyId": other.key_id}
    right = {"domainId": "d2", "apiKeyId": other.key_id}
    answers = await asyncio.gather(*(api.data(KEY, {"i": one}, system) for one in [wrong, right] * 5))
    assert [answer["apiKey"] is not None for answer in answers] == [False, True] * 5


@pytest.mark.usefixtures("reads")
@pytest.mark.parametrize(
    ("number", "fields", "is_on_loop"),
    [
        (1, None, True),
        (1, {"scopes"}, True),
        (17, {"name", "hint"}, True),
        (17, {"name", "tags"}, False),
        (17, None, False),
    ],
)
async def test_many_long_documents_are_decoded_in_a_thread_and_others_on_the_event_loop(
    settings: Settings, number: int, fields: set[str] | None, is_on_loop: bool
) -> None:
    async with Database(settings) as database:
        await database.prepare()
        READS.on_loop.clear()
        named = {"_id": {"$in": [f"api-key-{n}" for n in range(number)]}}
        assert await database.find(named, number, None if fields is None else frozenset(fields)) == []
        assert READS.on_loop == [is_on_loop]


@pytest.mark.usefixtures("reads")
async def test_a_read_that_is_given_up_goes_on_to_its_end(settings: Settings) -> None:
    async with Database(settings) as database:
        await database.prepare()
        for number in range(50):
            reading = asyncio.create_task(database.find_one({"_id": f"api-key-{number}"}))
            await asyncio.sleep(0.0001 * (number % 10))
            reading.cancel()
        assert await database.find_one({"_id": "api-key-51"}) is None
        for _ in range(500):
            if READS.under_way:
                await asyncio.sleep(0.01)
        assert not READS.under_way  # the driver closes the connection of a read that is cancelled, and tells of no end
        assert len(READS.sent) > 1


async def test_nothing_is_said_of_reads_that_are_given_up_before_the_end(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with Database(settings) as database:
        await database.prepare()
        reads = [asyncio.create_task(database.find_one({"_id": f"api-key-{number}"})) for number in range(20)]
        for _ in range(5):  # until each has begun
            await asyncio.sleep(0)
        for reading in reads:
            reading.cancel()
    gc.collect()
    await asyncio.sleep(0)
    assert not caplog.records  # "Task exception was never retrieved"


async def test_who_gives_up_takes_no_answer_from_who_shares_its_read(api: Api, settings: Settings) -> None:
    person = await api.make()
    wanted = {("d1", person.key_id)}
    async with Database(settings) as database:
        await database.prepare()
        reads = PointReads(database)
        tasks = [asyncio.create_task(reads.find(wanted, frozenset({"user_id"}))) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert [answer.keys() for answer in answers[1:] if not isinstance(answer, BaseException)] == [wanted, wanted]


async def test_many_keys_are_read_in_parts(api: Api, settings: Settings, reads: list[str]) -> None:
    with mongo_client(settings) as client:
        keys = [{"_id": f"api-key-{n}", "domain_id": f"d{n % 2}"} for n in range(3 * MAX_BATCH_KEYS)]
        client.get_default_database()["api_keys"].insert_many(keys)
    references = [(key["domain_id"], key["_id"]) for key in keys]
    async with Database(settings) as database:
        await database.prepare()
        reads.clear()
        point_reads = PointReads(database)
        # One that asks for more than a part holds, and others that fill parts of their own.
        asked = [references[: MAX_BATCH_KEYS + 50], *([reference] for reference in references[MAX_BATCH_KEYS + 50 :])]
        answers = await asyncio.gather(*(point_reads.find(one, frozenset()) for one in asked))
    assert all(set(one) <= answer.keys() for one, answer in zip(asked, answers, strict=True))
    assert reads == ["find"] * 3


async def test_a_cluster_is_told_the_domains_whose_shards_to_ask() -> None:
    ids = ["api-key-1", "api-key-2"]
    assert condition(["d1", "d2"], ids, is_sharded=True) == {"_id": {"$in": ids}, "domain_id": {"$in": ["d1", "d2"]}}
    assert condition(["d1", "d2"], ids, is_sharded=False) == {"_id": {"$in": ids}}
    assert condition(["d1"], ids, is_sharded=False) == {"domain_id": "d1", "_id": {"$in": ids}}


async def test_the_keys_of_tokens_of_several_domains_are_found_by_their_ids_alone(api: Api, reads: list[str]) -> None:
    one, other = await api.make("USER", "d1"), await api.make("USER", "d2")
    credentials = api.app.state.api_keys.credentials
    reads.clear()
    READS.sent.clear()
    places = [("d1", one.key_id, 0), ("d2", other.key_id, 0), ("d1", other.key_id, 0), ("d1", one.key_id, 7)]
    found = await asyncio.gather(*(credentials.find_parent(*place) for place in places))
    assert [key and key.api_key_id for key in found] == [one.key_id, other.key_id, None, None]
    (sent,) = READS.sent
    assert sent["filter"] == {"_id": {"$in": sorted([one.key_id, other.key_id])}}


async def test_a_key_that_is_named_under_another_domain_is_not_found(api: Api) -> None:
    system = await api.make()
    one, other = await api.make("USER", "d1", "u1"), await api.make("USER", "d2", "u2")
    asked = " ".join(
        f'k{n}: apiKey(input: {{domainId: "{domain}", apiKeyId: "{key.key_id}"}}) {{ userId }}'
        for n, (domain, key) in enumerate([("d2", one), ("d1", other), ("d1", one)])
    )
    assert await api.data(f"{{ {asked} }}", by=system) == {"k0": None, "k1": None, "k2": {"userId": "u1"}}
