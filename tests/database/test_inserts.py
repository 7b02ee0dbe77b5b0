"""Keys that are made at one moment are one write, and each has an outcome of its own."""

import asyncio
import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo.errors import BulkWriteError, OperationFailure

from gql_identity.errors import DeadlineExceeded
from gql_identity.logs import configure_logs
from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from gql_identity.storage.embedded import EmbeddedDatabase
from gql_identity.storage.inserts import BatchedInserts, NewKey, insert_once
from gql_identity.storage.request_records import RequestExistsError
from tests.conftest import PEPPER, Api, mongo_client

CREATE = 'mutation($u: ID!) { createApiKey(input: {domainId: "d1", userId: $u}) { apiKeyId apiKey userId } }'


def documents(count: int) -> list[dict[str, Any]]:
    return [{"_id": f"api-key-{n}", "domain_id": "d1"} for n in range(count)]


async def insert(settings: Settings, made: list[dict[str, Any]]) -> list[Any]:
    async with Database(settings) as database:
        await database.prepare()
        inserts = BatchedInserts(database)
        return await asyncio.gather(
            *(inserts.insert(NewKey(one, {"_id": f"entry of {one['_id']}"})) for one in made), return_exceptions=True
        )


def stored(settings: Settings) -> set[str]:
    with mongo_client(settings) as client:
        return {one["_id"] for one in client.get_default_database()["api_keys"].find()}


async def test_each_of_many_creates_at_once_has_its_own_key(api: Api) -> None:
    system = await api.make()
    answers = await asyncio.gather(*(api.data(CREATE, {"u": f"u{n}"}, system) for n in range(40)))
    made = [answer["createApiKey"] for answer in answers]
    assert [one["userId"] for one in made] == [f"u{n}" for n in range(40)]
    assert len({one["apiKeyId"] for one in made} & stored(api.settings)) == 40
    for one in made[:3]:
        assert await api.data("{ __typename }", by=one["apiKey"]) == {"__typename": "Query"}


async def test_many_inserts_are_stored(settings: Settings) -> None:
    made = documents(250)
    assert await insert(settings, made) == [None] * 250
    assert stored(settings) == {one["_id"] for one in made}


@pytest.mark.parametrize("count", [1, 5])
async def test_a_key_that_is_there_already_was_made(settings: Settings, count: int) -> None:
    made = documents(count)
    await insert(settings, made[:1])
    assert await insert(settings, made) == [None] * count
    assert len(stored(settings)) == count


async def test_one_that_cannot_be_stored_fails_alone(settings: Settings) -> None:
    made = documents(5)
    made[2]["name"] = "refused"
    with mongo_client(settings) as client:
        rule = {"name": {"$ne": "refused"}}  # as a person may set on a database of their own
        client.get_default_database().create_collection("api_keys", validator=rule)
    outcomes = await insert(settings, made)
    assert isinstance(outcomes[2], OperationFailure)
    assert "api-key-1" not in str(outcomes[2])  # of its neighbours nothing is told
    assert [*outcomes[:2], *outcomes[3:]] == [None] * 4
    assert stored(settings) == {"api-key-0", "api-key-1", "api-key-3", "api-key-4"}


RULE = {"user_id": {"$ne": "refused"}}  # as a person may set on a database of their own
INPUT = {"domainId": "d1", "userId": "refused", "requestId": "a-request-of-mine-0"}


@pytest.mark.parametrize(
    ("collection", "input_", "rule"),
    [
        ("api_keys", INPUT, RULE),
        ("api_keys", INPUT | {"requestId": None}, RULE),
        ("audit", INPUT, RULE),
        ("audit", INPUT | {"requestId": None}, RULE),
        ("requests", INPUT, {"salt": {"$exists": False}}),
        ("audit", {"domainId": "d1"}, {"action": {"$ne": "ROTATED"}}),
    ],
)
async def test_a_write_that_the_database_refuses_is_logged_without_the_document(
    api: Api,
    capsys: pytest.CaptureFixture[str],
    logs_as_before: None,
    collection: str,
    input_: dict[str, Any],
    rule: dict[str, Any],
) -> None:
    configure_logs("info", "json")
    system = await api.make()
    with mongo_client(api.settings) as client:
        client.get_default_database().command("collMod", collection, validator=rule)
    capsys.readouterr()
    if "userId" in input_:
        answer = await api.run(
            "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { id } }", {"i": input_}, system
        )
    else:
        rotation = {"i": input_ | {"apiKeyId": system.key_id}}
        answer = await api.run(
            "mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { id } }", rotation, system
        )
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (told,) = [line for line in lines if line["event"] == "unexpected error"]
    assert "Document failed validation" in told["exception"]
    for part in ("b'", "full error", "'op'", "consideredValue"):
        assert part not in told["exception"]
    assert stored(api.settings) == {system.key_id}


@pytest.mark.parametrize("sign", ["WtError", "No space left on device"])
async def test_why_a_write_failed_is_told_without_the_document(settings: Settings, sign: str) -> None:
    """Also where what the document has looks like the reason."""
    made = documents(1)
    await insert(settings, made)
    async with Database(settings) as database:
        await database.prepare()
        with pytest.raises(BulkWriteError) as told:
            await database.run(lambda: database.api_keys.insert_many([made[0] | {"name": sign, "digest": b"xyz"}]))
    assert str(told.value).startswith("E11000 duplicate key error collection")
    assert "xyz" not in str(told.value)
    assert "api-key-0" not in str(told.value)


async def test_a_create_with_a_request_id_that_is_there_already_was_made(settings: Settings) -> None:
    """As where the driver repeats a transaction whose acknowledgement was lost, and the database forgot it."""
    at = datetime.now(UTC)
    record = {"_id": b"record", "made_at": at, "expires_at": at + timedelta(minutes=1)}
    async with Database(settings) as database:
        await database.prepare()
        for _ in range(2):
            await insert_once(database, NewKey(documents(1)[0], {"_id": "entry"}), record)
        with pytest.raises(RequestExistsError):
            await insert_once(database, NewKey(documents(2)[1], {"_id": "another entry"}), record)
    assert stored(settings) == {"api-key-0"}


@pytest.mark.slow
async def test_a_write_to_a_frozen_database_ends_in_its_time_and_is_not_made_later(tmp_path: Path) -> None:
    with EmbeddedDatabase(tmp_path / "data") as embedded:
        settings = Settings(
            mongo_uri=SecretStr(embedded.uri), pepper=SecretStr(PEPPER), database_timeout_seconds=1, log_level="error"
        )
        async with Database(settings) as database:
            await database.prepare(own_indexes=True)
            inserts = BatchedInserts(database)
            new = NewKey(documents(1)[0], {"_id": "entry"})
            assert embedded.pid is not None
            os.kill(embedded.pid, signal.SIGSTOP)
            began = time.monotonic()
            try:
                with pytest.raises(DeadlineExceeded):
                    await inserts.insert(new)
                assert time.monotonic() - began < 5
            finally:
                os.kill(embedded.pid, signal.SIGCONT)
            await asyncio.sleep(2)
            assert stored(settings) == set()
            await inserts.insert(new)
            assert stored(settings) == {"api-key-0"}
