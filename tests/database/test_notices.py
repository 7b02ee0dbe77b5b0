"""What is told of keys without a change: that their end is near, and that a replaced secret is still used."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Int64
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from structlog.testing import capture_logs

from gql_identity.errors import ServiceError
from gql_identity.keys.audit_check import check_audit
from gql_identity.keys.audit_entries import AuditEntries
from gql_identity.keys.expiry import next_notice
from gql_identity.keys.expiry_notices import MAX_KEYS
from gql_identity.keys.records import read_key
from gql_identity.keys.stale_secrets import MAX_KEYS as MAX_NOTED
from gql_identity.keys.stale_secrets import StaleSecrets
from gql_identity.storage.database import Database
from tests.conftest import Api, Person, listening, mongo_client, running
from tests.database.test_audit import audit, do, make, told
from tests.database.test_careless_documents import sound
from tests.database.test_subscriptions import connected, subscribe
from tests.database.test_subscriptions import told as told_to

LARGEST = Int64(2**63 - 1)  # of the numbers that the database stores, so that a change cannot count up
NOW = datetime(2030, 1, 1, tzinfo=UTC)
VERIFY = "mutation($i: VerifyAPIKeyRequest!) { verifyApiKey(input: $i) { code } }"


def after(**time: float) -> str:
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


def stored(api: Api, key: str) -> Any:
    with mongo_client(api.settings) as client:
        return client.get_default_database()["api_keys"].find_one({"_id": key})


def change(api: Api, key: str, **fields: Any) -> None:
    """As if time had passed."""
    with mongo_client(api.settings) as client:
        client.get_default_database()["api_keys"].update_one({"_id": key}, {"$set": fields})


async def give(api: Api) -> int:
    given: int = await api.app.state.api_keys.expiry_notices.give()
    return given


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (timedelta(days=30, milliseconds=1), timedelta(milliseconds=1)),
        (timedelta(days=30), timedelta(days=23)),
        (timedelta(days=7), timedelta(days=6)),
        (timedelta(days=1, milliseconds=1), timedelta(milliseconds=1)),
        (timedelta(days=1), None),
    ],
)
def test_the_next_notice_is_30_or_7_days_or_1_day_before_the_end(end: timedelta, expected: timedelta | None) -> None:
    assert next_notice(NOW + end, NOW) == (None if expected is None else NOW + expected)


async def test_a_key_has_a_notice_at_each_threshold_once(api: Api) -> None:
    system = await api.make()
    key = await make(api, system, expiresAt=after(days=40))
    assert await give(api) == 0
    for days in (30, 7, 1):
        due = stored(api, key)["notice_at"]
        assert stored(api, key)["expires_at"] - due == timedelta(days=days)
        end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
        change(api, key, expires_at=end, notice_at=end - timedelta(days=days))
        assert await give(api) == 1
        assert await give(api) == 0
    assert "notice_at" not in stored(api, key)
    entries = (await audit(api, system, apiKeyId=key))["nodes"]
    assert [(entry["number"], entry["action"]) for entry in entries] == [
        (1, "CREATED"),
        (2, "EXPIRING"),
        (3, "EXPIRING"),
        (4, "EXPIRING"),
    ]
    assert entries[1]["actor"] == {"kind": "SERVICE", "apiKeyId": None, "userId": None, "domainId": None, "role": None}
    assert (entries[1]["changes"], entries[1]["intact"], entries[1]["clientAddress"]) == ([], True, None)
    answer = await api.data(f'{{ apiKey(input: {{apiKeyId: "{key}"}}) {{ updatedAt }} }}', by=system)
    assert answer["apiKey"]["updatedAt"] is None


async def test_a_key_whose_notices_were_all_missed_has_one(api: Api) -> None:
    system = await api.make()
    key = await make(api, system, expiresAt=after(days=40))
    change(api, key, expires_at=datetime.now(UTC) + timedelta(hours=2), notice_at=datetime.now(UTC))
    assert await give(api) == 1
    assert await give(api) == 0
    assert await told(api, system, apiKeyId=key) == ["CREATED", "EXPIRING"]


async def test_another_end_has_other_notices_and_no_end_has_none(api: Api) -> None:
    system = await api.make()
    key = await make(api, system)
    assert "notice_at" not in stored(api, key)
    await do(api, system, "updateApiKey", key, f', expiresAt: "{after(days=20)}"')
    assert stored(api, key)["expires_at"] - stored(api, key)["notice_at"] == timedelta(days=7)
    await do(api, system, "rotateApiKey", key, f', expiresAt: "{after(days=90)}"')
    assert stored(api, key)["expires_at"] - stored(api, key)["notice_at"] == timedelta(days=30)
    await do(api, system, "updateApiKey", key, ", expiresAt: null")
    assert "notice_at" not in stored(api, key)


async def test_an_expired_key_and_one_that_cannot_be_read_have_no_notice_and_hold_up_no_other(api: Api) -> None:
    system = await api.make()
    past = datetime.now(UTC) - timedelta(minutes=1)
    expired, bad, good = [await make(api, system, expiresAt=after(days=40)) for _ in range(3)]
    change(api, expired, expires_at=past, notice_at=past)
    change(api, bad, notice_at=past, audit_number="x")
    change(api, good, notice_at=past)
    assert await give(api) == 1
    assert [stored(api, key).get("notice_at") for key in (expired, bad)] == [None, None]
    assert await told(api, system, apiKeyId=good) == ["CREATED", "EXPIRING"]
    assert await told(api, system, actions=["EXPIRING"]) == ["EXPIRING"]


async def test_workers_that_look_at_once_give_each_notice_once(api: Api) -> None:
    system = await api.make()
    keys = [await make(api, system, expiresAt=after(days=40)) for _ in range(20)]
    for key in keys:
        change(api, key, notice_at=datetime.now(UTC))
    async with running(api.settings) as second, running(api.settings) as third:
        await asyncio.gather(*[give(worker) for worker in (api, second, third)])
        await give(api)  # one whose key another worker was writing gave way
    for key in keys:
        assert await told(api, system, apiKeyId=key) == ["CREATED", "EXPIRING"]
    async with Database(api.settings) as database:
        await database.prepare()
        assert (await check_audit(database, AuditEntries(api.settings), "d1", datetime.now(UTC))).faults == []
    with mongo_client(api.settings) as client:
        stored = client.get_default_database()
        (last,) = stored["audit"].find({"api_key_id": keys[0], "number": 2})
        assert stored["api_keys"].find_one({"_id": keys[0]}, {"audit_ends_at": 1, "_id": 0}) == {
            "audit_ends_at": last["expires_at"]
        }


async def test_notices_that_are_due_are_found_by_an_index_and_are_bounded(api: Api) -> None:
    with mongo_client(api.settings) as client:
        due = {"find": "api_keys", "filter": {"notice_at": {"$lte": datetime.now(UTC)}}, "limit": MAX_KEYS}
        plan = str(client.get_default_database().command({"explain": due}))
    assert "notice_at_1" in plan
    assert "COLLSCAN" not in plan


async def test_only_subscribers_that_name_it_are_told_that_a_key_ends_soon(api: Api) -> None:
    system = await api.make()
    key = await make(api, system, expiresAt=after(days=40))
    async with listening(api.app) as address, connected(address, system) as usual, connected(address, system) as asking:
        await subscribe(usual)
        await subscribe(asking, types=["EXPIRING", "UPDATED", "DISABLED"])
        change(api, key, notice_at=datetime.now(UTC))
        await give(api)
        await do(api, system, "updateApiKey", key, f', expiresAt: "{after(days=50)}"')
        await do(api, system, "disableApiKey", key)
        assert [(await told_to(asking))[0] for _ in range(3)] == ["EXPIRING", "UPDATED", "DISABLED"]
        assert (await told_to(usual))[0] == "DISABLED"


async def test_a_notice_that_cannot_be_given_stops_no_other(api: Api) -> None:
    system = await api.make()
    odd, *others = [await make(api, system, expiresAt=after(days=20)) for _ in range(4)]
    for key in (odd, *others):
        change(api, key, notice_at=datetime.now(UTC))
    change(api, odd, audit_number=LARGEST)
    with capture_logs() as lines:
        assert await give(api) == 3
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert (line["api_key_id"], line["error"]) == (odd, "OverflowError")
    for key in others:
        assert await told(api, system, apiKeyId=key) == ["CREATED", "EXPIRING"]


async def rotated(api: Api, system: Person) -> tuple[Person, str]:
    """A key whose first secret was ended, and its new secret."""
    person = await api.make("USER")
    answer = await api.data(
        f'mutation {{ rotateApiKey(input: {{apiKeyId: "{person.key_id}", overlapSeconds: 0}}) {{ apiKey }} }}',
        by=system,
    )
    return person, answer["rotateApiKey"]["apiKey"]


async def test_the_use_of_an_ended_secret_is_recorded_once_an_hour_by_all_workers_and_revokes_nothing(api: Api) -> None:
    system = await api.make()
    person, new = await rotated(api, system)
    async with running(api.settings) as other:
        for worker in (api, other, api):
            answer = await worker.send("{ viewer { userId } }", None, person, **{"X-Request-ID": "stale-use-1"})
            assert answer.status_code == 401
            secret = {"apiKey": person.secret, "clientAddress": "203.0.113.9"}
            assert (await worker.data(VERIFY, {"i": secret}, system))["verifyApiKey"]["code"] == "ROTATED"
            await worker.app.state.api_keys.uses.stale_secrets.write()
        entries = (await audit(api, system, apiKeyId=person.key_id))["nodes"]
        assert [entry["action"] for entry in entries] == ["CREATED", "ROTATED", "STALE_SECRET_USED"]
        assert entries[2]["actor"]["kind"] == "HOLDER"
        assert (entries[2]["clientAddress"], entries[2]["requestId"]) == ("127.0.0.1", "stale-use-1")
        assert entries[2]["intact"]
        assert (await api.data("{ viewer { userId } }", by=new))["viewer"]["userId"] == "u1"

        told_at = stored(api, person.key_id)["stale_used_at"]
        late = timedelta(days=-3)  # by a clock that ran ahead
        for ago, expected in ((timedelta(minutes=59), 1), (timedelta(hours=1), 2), (late, 3)):
            change(api, person.key_id, stale_used_at=told_at - ago)
            async with running(api.settings) as started_later:
                await started_later.send("{ viewer { userId } }", by=person)
                await started_later.app.state.api_keys.uses.stale_secrets.write()
            assert len(await told(api, system, apiKeyId=person.key_id, actions=["STALE_SECRET_USED"])) == expected


async def test_a_use_that_cannot_be_recorded_stops_none_behind_it(api: Api) -> None:
    system = await api.make()
    (odd, _), (person, _) = await rotated(api, system), await rotated(api, system)
    change(api, odd.key_id, audit_number=LARGEST)
    async with Database(api.settings) as database:
        await database.prepare()
        stale_secrets = StaleSecrets(database, AuditEntries(api.settings))
        for one in (odd, person):
            key = await database.run(lambda: database.api_keys.find_one({"_id": one.key_id}))  # noqa: B023
            assert key is not None
            stale_secrets.note(read_key(key), None)
        with capture_logs() as lines:
            await stale_secrets.write()
            await stale_secrets.write()
    assert await told(api, system, apiKeyId=person.key_id, actions=["STALE_SECRET_USED"]) == ["STALE_SECRET_USED"]
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert (line["api_key_id"], line["error"]) == (odd.key_id, "OverflowError")


async def test_uses_of_more_keys_than_are_remembered_cost_little_and_the_oldest_make_room(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database(api.settings) as database:
        stale_secrets = StaleSecrets(database, AuditEntries(api.settings))
        keys = [read_key({**sound(number), "state": "ENABLED"}) for number in range(MAX_NOTED + 1_000)]
        for key in keys[:MAX_NOTED]:
            stale_secrets.note(key, None)
        began = time.thread_time()
        for key in keys[MAX_NOTED:]:
            stale_secrets.note(key, None)
        assert time.thread_time() - began < 0.1
        assert len(stale_secrets._waiting) == MAX_NOTED
        monkeypatch.setattr("gql_identity.keys.stale_secrets.INTERVAL", timedelta(0))
        stale_secrets.note(keys[-1], None)
        assert len(stale_secrets._waiting) == MAX_NOTED + 1


async def test_the_use_of_a_secret_that_overlaps_is_not_recorded(api: Api) -> None:
    system = await api.make()
    person = await api.make("USER")
    await do(api, system, "rotateApiKey", person.key_id)
    await api.data("{ viewer { userId } }", by=person)
    await api.app.state.api_keys.uses.stale_secrets.write()
    assert await told(api, system, apiKeyId=person.key_id) == ["CREATED", "ROTATED"]


async def test_a_service_that_stops_records_the_uses_of_ended_secrets(api: Api) -> None:
    system = await api.make()
    async with running(api.settings) as worker:
        person, _ = await rotated(worker, system)
        await worker.send("{ viewer { userId } }", by=person)
    assert await told(api, system, apiKeyId=person.key_id, actions=["STALE_SECRET_USED"]) == ["STALE_SECRET_USED"]


@pytest.mark.parametrize("failure", [ConnectionFailure("away"), OperationFailure("too large", 17419)])
async def test_a_key_that_always_fails_holds_up_no_other_use_of_an_ended_secret(
    api: Api, monkeypatch: pytest.MonkeyPatch, failure: PyMongoError
) -> None:
    system = await api.make()
    (odd, _), (person, _) = await rotated(api, system), await rotated(api, system)
    find_one = AsyncIOMotorCollection.find_one

    async def fails(collection: Any, where: Any, *rest: Any, **options: Any) -> Any:
        """As a database that fails for one key."""
        if where == {"domain_id": "d1", "_id": odd.key_id}:
            raise failure
        return await find_one(collection, where, *rest, **options)

    for one in (odd, person):
        await api.send("{ viewer { userId } }", by=one)
    with monkeypatch.context() as patched:
        patched.setattr(AsyncIOMotorCollection, "find_one", fails)
        for _ in range(2):
            with suppress(ServiceError):
                await api.app.state.api_keys.uses.stale_secrets.write()
    assert await told(api, system, apiKeyId=person.key_id, actions=["STALE_SECRET_USED"]) == ["STALE_SECRET_USED"]
