"""The upgrade from schema 1: its keys work as before, and no worker of an older version goes on beside a newer one."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from bson import json_util
from pydantic import SecretStr

from gql_identity.errors import StartError
from gql_identity.settings import Settings
from gql_identity.storage import database as storage
from gql_identity.storage import meta
from gql_identity.storage.database import Database
from gql_identity.storage.meta import SCHEMA
from tests.conftest import Api, mongo_client, running

# Made by the last commit of schema 1: a key of each role, one that a key made, one that is disabled.
SCHEMA_1 = json_util.loads((Path(__file__).parent / "data" / "schema_1.json").read_text())
PEPPER = "the pepper of the keys of schema 1"
INDEXES = [["domain_id", "_id"], ["domain_id", "user_id", "_id"], ["domain_id", "state", "_id"]]
INDEXES += [["domain_id", "created_at", "_id"], ["digest"]]


@pytest.fixture
def old(settings: Settings) -> Settings:
    """The settings of a database as schema 1 left it."""
    with mongo_client(settings) as client:
        database = client.get_default_database()
        for fields in INDEXES:
            database.api_keys.create_index([(field, 1) for field in fields], unique=fields == ["domain_id", "_id"])
        database.api_keys.insert_many(SCHEMA_1["api_keys"])
        database.meta.insert_many(SCHEMA_1["meta"])
    return settings.model_copy(update={"pepper": SecretStr(PEPPER)})


async def test_the_index_that_is_missing_is_named_and_nothing_is_upgraded_before_it_exists(old: Settings) -> None:
    async with Database(old) as database:
        with pytest.raises(StartError, match=r"lacks the indexes api_keys\.domain_id_1_expires_at_1__id_1"):
            await database.prepare()
        with mongo_client(old) as client:
            assert client.get_default_database().meta.find_one({"_id": "meta"})["schema"] == 1  # type: ignore[index]
        await database.create_indexes()
        await database.prepare()
    with mongo_client(old) as client:
        assert client.get_default_database().meta.find_one({"_id": "meta"})["schema"] == SCHEMA  # type: ignore[index]


async def test_keys_of_schema_1_work_as_before(old: Settings) -> None:
    async with Database(old) as database:
        await database.create_indexes()
    stored = {key["_id"]: key for key in SCHEMA_1["api_keys"]}
    async with running(old) as api:
        system = next(key_id for key_id, key in stored.items() if key["role"] == "SYSTEM")
        for key_id, secret in SCHEMA_1["secrets"].items():
            key = stored[key_id]
            answer = await api.send("{ viewer { apiKeyInfo { apiKeyId name } } }", by=secret)
            if key["state"] == "DISABLED":
                assert answer.status_code == 401
            else:
                shown = answer.json()["data"]["viewer"]["apiKeyInfo"]
                assert shown == {"apiKeyId": key_id, "name": key["name"]}
        fields = "apiKeyId state hint createdBy lastAccessedAt expiresAt expired updatedAt"
        listed = await api.data(
            f'{{ apiKeys(input: {{domainId: "d1"}}) {{ results {{ {fields} }} }} }}', by=SCHEMA_1["secrets"][system]
        )
        for shown in listed["apiKeys"]["results"]:
            key = stored[shown["apiKeyId"]]
            assert (shown["state"], shown["hint"], shown["createdBy"]) == (key["state"], key["hint"], key["created_by"])
            assert (shown["expiresAt"], shown["expired"], shown["updatedAt"]) == (None, False, None)
        await _lives_on(api, SCHEMA_1["secrets"][system], stored)


@pytest.mark.parametrize("compiled", [True, False])
async def test_a_client_that_asks_for_nothing_new_gets_the_bytes_of_schema_1(old: Settings, compiled: bool) -> None:
    """Invariant 18. The answers were made by the last commit of schema 1, on the same keys."""
    async with Database(old) as database:
        await database.create_indexes()
    answers = json.loads((Path(__file__).parent / "data" / "schema_1_answers.json").read_text())
    assert len(answers) > 10
    secret_of = {key["name"]: SCHEMA_1["secrets"][key["_id"]] for key in SCHEMA_1["api_keys"]}
    async with running(old.model_copy(update={"compiled_execution": compiled})) as api:
        for name, (document, expected) in answers.items():
            document = document.replace("ANN", secret_of["ci"])
            # The second and the third run of a document that only reads take other ways than the first.
            for _ in range(1 if document.startswith("mutation") else 3):
                assert (await api.send(document, by=secret_of["first key"])).text == expected, name


async def test_a_worker_of_schema_1_does_not_start_on_schema_2(
    api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 19."""
    monkeypatch.setattr(meta, "SCHEMA", 1)
    async with Database(settings) as database:
        with pytest.raises(StartError, match=f"has schema {SCHEMA}, and this version of gql-identity knows 1"):
            await database.prepare()
        assert not database.prepared


async def _lives_on(api: Api, by: str, stored: dict[str, Any]) -> None:
    disabled = next(key_id for key_id, key in stored.items() if key["state"] == "DISABLED")
    one = {"i": {"domainId": "d1", "apiKeyId": disabled}}
    owner = next(key_id for key_id, key in stored.items() if key["role"] == "DOMAIN_OWNER")
    enable = "mutation($i: APIKeyRequest!) { enableApiKey(input: $i) { state } }"
    user = next(key_id for key_id, key in stored.items() if key["name"] == "ci")
    # It was disabled by its domain's owner, and that still holds.
    assert await api.code(enable, one, SCHEMA_1["secrets"][user]) == "PERMISSION_DENIED"
    assert await api.data(enable, one, SCHEMA_1["secrets"][owner]) == {"enableApiKey": {"state": "ENABLED"}}
    update = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { name } }"
    assert await api.data(update, {"i": {**one["i"], "name": "new"}}, by) == {"updateApiKey": {"name": "new"}}


async def test_a_worker_of_an_older_version_stops_being_ready(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    system = await api.make()
    assert (await api.client.get("/readyz")).status_code == 200
    monkeypatch.setattr(storage, "CHECK_SCHEMA_SECONDS", 0.1)
    async with running(api.settings) as worker:
        with mongo_client(api.settings) as client:
            client.get_default_database().meta.update_one({"_id": "meta"}, {"$set": {"schema": SCHEMA + 1}})
        for _ in range(50):
            ready = await worker.client.get("/readyz")
            if ready.status_code == 503:
                break
            await asyncio.sleep(0.1)
        assert "Start a newer version" in ready.json()["reason"]
        refused = await worker.send("{ viewer { userId } }", by=system)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (503, "UNAVAILABLE")
        assert (await worker.client.get("/livez")).status_code == 200


async def test_a_database_that_does_not_respond_does_not_end_the_check(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "CHECK_SCHEMA_SECONDS", 0.01)
    async with Database(api.settings) as database:
        await database.prepare()
        calls: list[int] = []

        async def fails() -> None:
            calls.append(1)
            raise StartError("newer") if len(calls) == 3 else OSError("away")

        monkeypatch.setattr(database.meta_document, "check_schema", fails)
        await asyncio.wait_for(database.keep_checking_schema(), 10)
        assert (len(calls), database.prepared) == (3, False)
