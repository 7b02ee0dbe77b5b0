"""Keys that are made at one moment are one write, and each has an outcome of its own."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo.errors import OperationFailure

from gql_identity.errors import DeadlineExceeded
from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from gql_identity.storage.embedded import EmbeddedDatabase
from gql_identity.storage.inserts import BatchedInserts, NewKey
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
