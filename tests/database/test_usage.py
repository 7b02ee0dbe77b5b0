"""`usage`: how often a key was used, gathered in memory and added in batches."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import BulkWriteError, ConnectionFailure

from gql_identity.settings import Settings
from gql_identity.storage import usage_counts
from gql_identity.storage.database import Database
from gql_identity.storage.usage_counts import UsageCounts
from tests.conftest import Api, Person, mongo_client, running
from tests.database.test_audit import do
from tests.processes import serving

USAGE = """query($key: ID!, $domain: ID, $since: DateTime, $until: DateTime, $interval: APIKeyUsageInterval! = DAY) {
  apiKey(input: {apiKeyId: $key, domainId: $domain}) {
    usage(since: $since, until: $until, interval: $interval) { start code count } } }"""
VERIFY = (
    """mutation($i: [VerifyAPIKeyRequest!]!) { verifyApiKeys(input: $i) { code apiKeyInfo { usage { count } } } }"""
)


async def written(api: Api) -> None:
    await api.app.state.api_keys.uses.counts.write()


async def usage(api: Api, key: Person, by: Person, **period: Any) -> list[tuple[str, str, int]]:
    variables = {"key": key.key_id, "domain": key.domain_id, **period}
    found = (await api.data(USAGE, variables, by))["apiKey"]["usage"]
    return [(one["start"], one["code"], one["count"]) for one in found]


async def counts(api: Api, key: Person, by: Person) -> dict[str, int]:
    return {code: count for _, code, count in await usage(api, key, by)}


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Have the uses from now on counted as of an instant."""

    def set_time(instant: datetime) -> None:
        class Time:
            time = staticmethod(lambda: instant.timestamp())

        monkeypatch.setattr(usage_counts, "time", Time)

    return set_time


async def test_verifications_and_uses_are_counted_by_outcome(api: Api) -> None:
    system, key, bound = [await api.make() for _ in range(3)]
    await do(api, system, "updateApiKey", bound.key_id, ', allowedAddresses: ["203.0.113.0/24"]')
    good = {"apiKey": key.secret}
    lacking, elsewhere = {**good, "requiredScopes": [["x"]]}, {"apiKey": bound.secret}
    unknown = {"apiKey": "gqlid_x"}
    await api.data(VERIFY, {"i": [good, good, lacking, elsewhere, unknown]}, system)
    await api.send("{ viewer { userId } }", by=key)
    await api.send("{ viewer { userId } }", by=bound)
    await do(api, system, "disableApiKey", key.key_id)
    await api.data(VERIFY, {"i": [good]}, system)
    await api.send("{ viewer { userId } }", by=key)
    assert await counts(api, key, system) == {}, "nothing is written by a request"
    await written(api)
    assert await counts(api, key, system) == {"VALID": 3, "INSUFFICIENT_SCOPE": 1, "DISABLED": 2}
    assert await counts(api, bound, system) == {"ADDRESS_NOT_ALLOWED": 2}


async def test_an_hour_and_a_day_begin_at_their_edges(api: Api, at: Callable[[datetime], None]) -> None:
    system, key = [await api.make() for _ in range(2)]
    midnight = (datetime.now(UTC) - timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)
    for before_or_after in (-1, 0, 0, 3599, 3600):
        at(midnight + timedelta(seconds=before_or_after))
        await api.send("{ viewer { userId } }", by=key)
    await written(api)

    def text(**later: int) -> str:
        return (midnight + timedelta(**later)).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    assert await usage(api, key, system) == [(text(days=-1), "VALID", 1), (text(), "VALID", 4)]
    hours = [(text(hours=-1), "VALID", 1), (text(), "VALID", 3), (text(hours=1), "VALID", 1)]
    three_days = {"since": text(days=-1), "interval": "HOUR"}
    assert await usage(api, key, system, **three_days) == hours
    # An interval that has begun counts as a whole, and `until` itself is no part.
    assert await usage(api, key, system, since=text(seconds=1), until=text(hours=1), interval="HOUR") == hours[1:2]
    assert await usage(api, key, system, until=text()) == [(text(days=-1), "VALID", 1)]
    assert await usage(api, key, system, since=text(days=1)) == []


async def test_workers_add_up_and_write_when_they_stop(api: Api) -> None:
    system, key = [await api.make() for _ in range(2)]
    async with running(api.settings) as second, running(api.settings) as third:
        for worker in (api, second, third, second):
            await worker.send("{ viewer { userId } }", by=key)
        await asyncio.gather(*[written(worker) for worker in (api, second, third)])
        await second.send("{ viewer { userId } }", by=key)
    assert await counts(api, key, system) == {"VALID": 5}


async def test_who_may_not_see_a_key_gets_no_usage_of_it(api: Api) -> None:
    system, owner = await api.make(), await api.make("DOMAIN_OWNER")
    user, other = await api.make("USER", user_id="ann"), await api.make("USER", user_id="bob")
    verifier = await api.make("VERIFIER", user_id="gateway")
    await api.send("{ viewer { userId } }", by=user)
    await written(api)
    assert await counts(api, user, owner) == await counts(api, user, user) == {"VALID": 1}
    assert (await api.data(USAGE, {"key": user.key_id}, other))["apiKey"] is None
    # A verifier is told of a key that it may not see, but not how others use it.
    (told,) = (await api.data(VERIFY, {"i": [{"apiKey": user.secret}]}, verifier))["verifyApiKeys"]
    assert told["apiKeyInfo"] == {"usage": None}
    elsewhere = await api.make("VERIFIER", "d2")
    (told,) = (await api.data(VERIFY, {"i": [{"apiKey": user.secret}]}, elsewhere))["verifyApiKeys"]
    assert told["apiKeyInfo"] == {"usage": None}
    (told,) = (await api.data(VERIFY, {"i": [{"apiKey": user.secret}]}, system))["verifyApiKeys"]
    assert told["apiKeyInfo"]["usage"] == [{"count": 1}]
    scoped = await api.data(
        'mutation { createApiKey(input: {userId: "u1", role: SYSTEM, scopes: ["identity:verify"]}) { apiKey } }',
        by=system,
    )
    answer = await api.run(VERIFY, {"i": [{"apiKey": user.secret}]}, scoped["createApiKey"]["apiKey"])
    assert answer["errors"][0]["extensions"]["code"] == "PERMISSION_DENIED"


async def test_the_usage_of_many_keys_is_one_read_and_none_is_read_unless_it_is_selected(api: Api) -> None:
    system = await api.make()
    keys = [await api.make("USER") for _ in range(5)]
    for key in keys:
        await api.send("{ viewer { userId } }", by=key)
    await written(api)
    read: list[Any] = []
    database: Database = api.app.state.api_keys._database
    before = database.to_list

    async def to_list(find: Any, collection: str = "api_keys") -> Any:
        read.append(collection)
        return await before(find, collection)

    database.to_list = to_list  # type: ignore[method-assign]
    user_keys = '{userId: "u1", query: {filter: [{key: "role", value: "USER", operator: EQ}], page: {limit: 20}}}'
    query = f"{{ apiKeys(input: {user_keys}) {{ results {{ %s }} }} }}"
    await api.data(query % "apiKeyId", by=system)
    assert "usage" not in read
    answer = await api.data(query % "apiKeyId usage { count }", by=system)
    assert [one["usage"] for one in answer["apiKeys"]["results"]] == [[{"count": 1}]] * 5
    assert read.count("usage") == 1


@pytest.mark.parametrize("days", [401, 100_000])
async def test_too_long_a_period_is_refused(api: Api, days: int) -> None:
    system = await api.make()
    since = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    answer = await api.run(USAGE, {"key": system.key_id, "since": since}, system)
    (error,) = answer["errors"]
    assert (error["extensions"]["code"], answer["data"]["apiKey"]) == ("INVALID_ARGUMENT", {"usage": None})
    assert "at most 400 intervals" in error["message"]
    early = {"key": system.key_id, "until": "0001-01-02T00:00:00Z"}
    assert (await api.run(USAGE, early, system))["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("interval", ["HOUR", "DAY"])
@pytest.mark.parametrize("given", [True, False])
async def test_the_longest_period_that_may_be_asked_for_is_answered(api: Api, interval: str, given: bool) -> None:
    system = await api.make()
    length = timedelta(days=1) if interval == "DAY" else timedelta(hours=1)
    until = datetime.now(UTC).replace(minute=0)
    period = {"since": (until - 400 * length).isoformat(), "interval": interval}
    if given:
        period["until"] = until.isoformat()
    assert await usage(api, system, system, **period) == []


async def test_a_period_that_ends_before_it_begins_is_refused(api: Api) -> None:
    system = await api.make()
    period = {"since": "2026-01-02T00:00:00.001Z", "until": "2026-01-02T00:00:00Z"}
    (error,) = (await api.run(USAGE, {"key": system.key_id, **period}, system))["errors"]
    told = "since: it is after `until`. Give an earlier instant, or a later `until`."
    assert (error["message"], error["extensions"]) == (told, {"code": "INVALID_ARGUMENT", "path": ["since"]})
    message, headers = {"api_key_id": system.key_id, **period}, {"Authorization": f"Bearer {system.secret}"}
    answer = await api.client.post("/identity/v1/api-key/usage", json=message, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"] == {"code": "INVALID_ARGUMENT", "message": told, "path": ["since"]}
    assert await usage(api, system, system, since=period["until"], until=period["until"]) == []


async def test_a_period_that_begins_in_the_future_is_refused(api: Api) -> None:
    system = await api.make()
    later, until = ((datetime.now(UTC) + timedelta(minutes=ahead)).isoformat() for ahead in (5, 10))
    for period in ({"since": later}, {"since": later, "until": until}):
        (error,) = (await api.run(USAGE, {"key": system.key_id, **period}, system))["errors"]
        assert error["message"] == "since: it is in the future. Give an earlier instant."
        assert error["extensions"] == {"code": "INVALID_ARGUMENT", "path": ["since"]}
    begun = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    assert await usage(api, system, system, since=begun, until=until) == []


@pytest.mark.parametrize(("interval", "usual"), [("HOUR", timedelta(hours=24)), ("DAY", timedelta(days=30))])
async def test_an_end_in_the_future_is_as_now(
    api: Api, at: Callable[[datetime], None], interval: str, usual: timedelta
) -> None:
    system, key = await api.make(), await api.make("USER")
    present = datetime.now(UTC)
    for begun in (present, present - usual + timedelta(minutes=30), present - usual - timedelta(days=1)):
        at(begun)
        await api.send("{ viewer { userId } }", by=key)
    await written(api)
    expected = await usage(api, key, system, interval=interval)
    assert sum(count for *_, count in expected) == 2
    since = (present - usual).isoformat()
    headers = {"Authorization": f"Bearer {system.secret}"}
    for until in ((present + usual + timedelta(hours=1)).isoformat(), "9999-12-31T23:59:59.999Z"):
        assert await usage(api, key, system, until=until, interval=interval) == expected
        assert await usage(api, key, system, until=until, since=since, interval=interval) == expected
        message = {"api_key_id": key.key_id, "until": until, "interval": interval}
        answer = await api.client.post("/identity/v1/api-key/usage", json=message, headers=headers)
        assert [(one["start"], one["code"], one["count"]) for one in answer.json()["results"]] == expected


async def test_rest_says_the_same(api: Api) -> None:
    system, key = await api.make(), await api.make("USER")
    await api.send("{ viewer { userId } }", by=key)
    await do(api, system, "disableApiKey", key.key_id)
    await api.send("{ viewer { userId } }", by=key)
    await written(api)
    for interval in ("DAY", "HOUR"):
        message = {"api_key_id": key.key_id, "interval": interval}
        answer = await api.client.post(
            "/identity/v1/api-key/usage", json=message, headers={"Authorization": f"Bearer {system.secret}"}
        )
        expected = await usage(api, key, system, interval=interval)
        assert [(one["start"], one["code"], one["count"]) for one in answer.json()["results"]] == expected
        assert [code for _, code, _ in expected] == ["VALID", "DISABLED"]
    headers = {"Authorization": f"Bearer {system.secret}"}
    for message, status in (({"api_key_id": "api-key-1"}, 404), ({"api_key_id": key.key_id, "interval": "WEEK"}, 400)):
        answer = await api.client.post("/identity/v1/api-key/usage", json=message, headers=headers)
        assert answer.status_code == status
    got = await api.client.post("/identity/v1/api-key/get", json={"api_key_id": key.key_id}, headers=headers)
    assert "usage" not in got.json()


async def test_memory_and_rows_are_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    system = await api.make()
    monkeypatch.setattr(usage_counts, "MAX_COUNTS", 3)
    async with Database(api.settings) as database:
        await database.prepare()
        kept = UsageCounts(database, 90)
        for number in range(10):
            kept.count(f"key{number}", "d1", "VALID")
        kept.count("key0", "d1", "VALID")
        assert (len(kept._counts), kept._lost) == (3, 7)
        await kept.write()
        await kept.write()
        none = UsageCounts(database, 0)
        none.count("key0", "d1", "VALID")
        assert none._counts == {}
    with mongo_client(api.settings) as client:
        stored = list(client.get_default_database()["usage"].find({"domain_id": "d1", "_id": {"$regex": "^key"}}))
        (ttl,) = [
            index
            for index in client.get_default_database()["usage"].index_information().values()
            if "expireAfterSeconds" in index
        ]
    assert sorted(one["day"]["VALID"] for one in stored) == [1, 1, 2]
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert stored[0]["expires_at"].replace(tzinfo=UTC) == midnight + timedelta(days=91)
    assert ttl["key"] == [("expires_at", 1)]
    off = api.settings.model_copy(update={"usage_days": 0})
    async with running(off) as without:
        answer = await without.data(USAGE, {"key": system.key_id}, system)
    assert answer["apiKey"]["usage"] is None


async def test_counts_that_could_not_be_written_are_written_later(api: Api, settings: Settings) -> None:
    system = await api.make()
    async with Database(settings) as database:
        kept = UsageCounts(database, 90)  # not prepared yet, as while the database is away
        for _ in range(3):
            kept.count(system.key_id, "d1", "VALID")
        with pytest.raises(Exception, match="not ready"):
            await kept.write()
        kept.count(system.key_id, "d1", "VALID")
        await database.prepare()
        await kept.write()
    assert (await counts(api, system, system))["VALID"] == 4


async def test_counts_that_the_database_refuses_are_left_out_and_others_are_added(api: Api) -> None:
    system, key = [await api.make() for _ in range(2)]
    await api.send("{ viewer { userId } }", by=key)
    await written(api)
    with mongo_client(api.settings) as client:
        client.get_default_database()["usage"].update_many({}, {"$set": {"day.VALID": "many"}})
    for person in (key, system):
        await api.send("{ viewer { userId } }", by=person)
    await written(api)
    assert await counts(api, system, system) == {"VALID": 1}
    assert api.app.state.api_keys.uses.counts._counts.keys() == {
        one for one in api.app.state.api_keys.uses.counts._counts if system.key_id in one
    }


async def test_what_something_else_stored_hides_no_other_count(api: Api) -> None:
    system, key = [await api.make() for _ in range(2)]
    await api.send("{ viewer { userId } }", by=key)
    await written(api)
    with mongo_client(api.settings) as client:
        other = (datetime.now(UTC).hour + 12) % 24  # not the hour of the count
        odd = {"day.DISABLED": "many", "hours.x": {"VALID": 1}, "hours.25": {"VALID": 1}, f"hours.{other}": 7}
        odd |= {"day.EXPIRED": True, "day.ROTATED": 1.5, "day.ADDRESS_NOT_ALLOWED": 3.0}
        client.get_default_database()["usage"].update_many({}, {"$set": odd})
    # The Mongo shell writes a whole number as a double.
    assert await counts(api, key, system) == {"VALID": 1, "ADDRESS_NOT_ALLOWED": 3}
    assert [count for *_, count in await usage(api, key, system, interval="HOUR")] == [1]


@pytest.mark.slow
def test_a_real_service_of_two_workers_that_is_stopped_has_counted_every_use(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "2") as service:
        made = service.create("ann", "default")
        for _ in range(25):
            answer = service.data(f'mutation {{ verifyApiKey(input: {{apiKey: "{made["apiKey"]}"}}) {{ code }} }}')
            assert answer["verifyApiKey"]["code"] == "VALID"
        service.process.terminate()
        assert service.process.wait(15) == 0
    with serving(tmp_path / "data") as service:
        answer = service.data(f'{{ apiKey(input: {{apiKeyId: "{made["apiKeyId"]}"}}) {{ usage {{ code count }} }} }}')
    assert sum(one["count"] for one in answer["apiKey"]["usage"]) == 25
    assert {one["code"] for one in answer["apiKey"]["usage"]} == {"VALID"}


async def test_a_stop_repeats_a_last_write_that_met_another_and_a_failed_one_stops_no_other(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, key = [await api.make() for _ in range(2)]
    bulk_write, met = AsyncIOMotorCollection.bulk_write, []

    async def fails(collection: Any, writes: list[Any], **options: Any) -> Any:
        """As a database that cannot write last uses, and where another worker inserts the counts at this moment."""
        if collection.name != "usage":
            raise ConnectionFailure("away")
        met.append(1)
        if len(met) == 1:
            raise BulkWriteError({"writeErrors": [{"index": 0, "code": 11000, "errmsg": "duplicate"}]})
        return await bulk_write(collection, writes, **options)

    with monkeypatch.context() as patched:
        async with running(api.settings) as worker:
            await worker.send("{ viewer { userId } }", by=key)
            patched.setattr(AsyncIOMotorCollection, "bulk_write", fails)
    assert await counts(api, key, system) == {"VALID": 1}
