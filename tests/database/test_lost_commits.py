"""A change whose commit was stored and not acknowledged is made once, and its caller is told of it.

The connection is lost after the commit, the driver sends the commit again, and an embedded engine that has just
restarted does not know the transaction: then the driver runs all of it again.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from pymongo.client_session import ClientSession
from pymongo.errors import AutoReconnect, OperationFailure

from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from gql_identity.storage.inserts import NewKey, insert_new
from tests.conftest import Api, Person, mongo_client, running

from .conftest import Before, lose_commits

ROTATE = "mutation($i: RotateAPIKeyRequest!) { r: rotateApiKey(input: $i) { apiKey secrets { expiresAt } } }"
DISABLE_ALL = "mutation($i: DisableAPIKeysRequest!) { r: disableApiKeys(input: $i) { count more } }"
UNKNOWN = {"code": 251, "codeName": "NoSuchTransaction", "errorLabels": ["TransientTransactionError"]}


class Commits:
    """The driver's commits, of which the next ones can be lost, or fail: then the driver runs all again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._to_lose = 0
        self._meanwhile: Callable[[], object] | None = None
        self.lost = 0
        commit = ClientSession.commit_transaction

        def commit_and_lose(session: ClientSession) -> None:
            if self._meanwhile is not None:
                session.abort_transaction()
                self._meanwhile()
                self._meanwhile = None
                raise OperationFailure("WriteConflict", 112, UNKNOWN)
            commit(session)
            if self._to_lose:
                self._to_lose -= 1
                self.lost += 1
                raise OperationFailure("Given transaction number does not match", 251, UNKNOWN)

        monkeypatch.setattr(ClientSession, "commit_transaction", commit_and_lose)

    def lose(self, number: int = 1) -> None:
        """Store the next commits, and have the driver believe that they are not."""
        self._to_lose, self.lost = number, 0

    def fail(self, meanwhile: Callable[[], object]) -> None:
        """Have the next commit fail, and something else happen before all is run again."""
        self._meanwhile = meanwhile


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    return Commits(monkeypatch)


def stored(api: Api, key: Person) -> tuple[dict[str, Any] | None, list[str]]:
    """A key, and the actions of its audit entries."""
    with mongo_client(api.settings) as client:
        database = client.get_default_database()
        entries = database.audit.find({"api_key_id": key.key_id}).sort("number")
        return database.api_keys.find_one({"_id": key.key_id}), [entry["action"] for entry in entries]


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("choice", ["REFUSE", "END_OLDER"])
async def test_a_rotation_is_made_once_and_its_secret_is_returned(
    api: Api, commits: Commits, choice: str, lost: int
) -> None:
    system, user = await api.make(), await api.make("USER")
    commits.lose(lost)
    rotation = {"domainId": "d1", "apiKeyId": user.key_id, "ifOverlapping": choice}
    rotated = (await api.data(ROTATE, {"i": rotation}, system))["r"]
    assert commits.lost == lost
    for secret in (rotated["apiKey"], user.secret):
        assert await api.data("{ __typename }", by=secret) == {"__typename": "Query"}
    document, actions = stored(api, user)
    assert document is not None
    assert len(document["digest"]) == 2
    assert actions == ["CREATED", "ROTATED"]


@pytest.mark.parametrize(
    ("name", "action"), [("deleteApiKey", "DELETED"), ("disableApiKey", "DISABLED"), ("endApiKeyOverlap", None)]
)
async def test_a_key_ends_once(api: Api, commits: Commits, name: str, action: str | None) -> None:
    system, user = await api.make(), await api.make("USER")
    await api.data(ROTATE, {"i": {"domainId": "d1", "apiKeyId": user.key_id}}, system)
    commits.lose()
    mutation = f'mutation {{ r: {name}(input: {{domainId: "d1", apiKeyId: "{user.key_id}"}}) {{ apiKeyId }} }}'
    assert (await api.data(mutation, by=system))["r"]["apiKeyId"] == user.key_id
    assert commits.lost == 1
    assert stored(api, user)[1] == ["CREATED", "ROTATED", action or "OVERLAP_ENDED"]
    # What was read of the key is forgotten.
    assert (await api.send("{ __typename }", by=user)).status_code == 401


@pytest.mark.parametrize("lost", [1, 2])
async def test_all_keys_that_were_disabled_are_counted(api: Api, commits: Commits, lost: int) -> None:
    system, users = await api.make(), [await api.make("USER", user_id="leaver") for _ in range(3)]
    commits.lose(lost)
    answer = await api.data(DISABLE_ALL, {"i": {"domainId": "d1", "userId": "leaver"}}, system)
    assert answer["r"] == {"count": 3, "more": False}
    assert commits.lost == lost
    for user in users:
        assert stored(api, user)[1] == ["CREATED", "DISABLED"]


@pytest.mark.parametrize("meanwhile", ["mended", "deleted"])
async def test_a_key_that_could_not_be_disabled_at_the_first_run_alone_is_not_named(
    api: Api, commits: Commits, meanwhile: str
) -> None:
    system, user, broken = await api.make(), await api.make("USER"), await api.make("USER")
    with mongo_client(api.settings) as client:
        keys, where = client.get_default_database().api_keys, {"domain_id": "d1", "_id": broken.key_id}
        keys.update_one(where, {"$set": {"audit_number": "many"}})

        def change() -> None:
            if meanwhile == "deleted":
                keys.delete_one(where)
            else:
                keys.update_one(where, {"$set": {"audit_number": 1}})

        commits.fail(change)
        answer = await api.data(DISABLE_ALL, {"i": {"domainId": "d1", "userId": "u1"}}, system)
    assert answer["r"] == {"count": 1 if meanwhile == "deleted" else 2, "more": False}
    assert stored(api, user)[1] == ["CREATED", "DISABLED"]


async def test_keys_that_an_import_inserts_are_new(api: Api, commits: Commits) -> None:
    keys = [NewKey({"_id": f"api-key-{n}", "domain_id": "d1"}, {"_id": f"entry {n}"}) for n in range(2)]
    again = [NewKey(one.key, {"_id": f"later {one.entry['_id']}"}) for one in keys]
    async with Database(api.settings) as database:
        await database.prepare()
        commits.lose()
        assert await insert_new(database, keys) == []
        assert commits.lost == 1
        assert await insert_new(database, again) == ["api-key-0", "api-key-1"]


@pytest.mark.parametrize(
    ("mutation", "told"),
    [
        ('updateApiKey(input: {domainId: "d1", apiKeyId: "KEY", name: "n"}) { name }', "the key was changed"),
        ('disableApiKey(input: {domainId: "d1", apiKeyId: "KEY"}) { state }', "the key was changed"),
        ('deleteApiKey(input: {domainId: "d1", apiKeyId: "KEY"}) { apiKeyId }', "the key was deleted"),
        ('disableApiKeys(input: {domainId: "d1", userId: "u1"}) { count }', "all of the keys were disabled"),
    ],
)
async def test_a_write_whose_outcome_is_unknown_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch, mutation: str, told: str
) -> None:
    system, key = await api.make(), await api.make("USER", user_id="u1")
    lose_commits(monkeypatch)
    (error,) = (await api.run(f"mutation {{ {mutation} }}".replace("KEY", key.key_id), by=system))["errors"]
    assert error["extensions"]["code"] == "UNAVAILABLE"
    assert f"Whether {told} is unknown" in error["message"]
    assert "Try again" not in error["message"]
    assert error["extensions"].get("apiKeyId") == (None if "Keys(" in mutation else key.key_id)


async def test_a_commit_is_not_repeated_long_after_its_caller_was_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[float] = []

    def lose(_: ClientSession) -> None:
        commits.append(time.monotonic())
        time.sleep(0.02)
        raise AutoReconnect("connection closed", {"errorLabels": ["UnknownTransactionCommitResult"]})

    async with running(settings.model_copy(update={"database_timeout_seconds": 1.0})) as api:
        system, key = await api.make(), await api.make("USER")
        monkeypatch.setattr(ClientSession, "commit_transaction", lose)
        mutation = f'mutation {{ deleteApiKey(input: {{domainId: "d1", apiKeyId: "{key.key_id}"}}) {{ apiKeyId }} }}'
        (error,) = (await api.run(mutation, by=system))["errors"]
        told = time.monotonic()
        assert "is unknown" in error["message"]
        await asyncio.sleep(1)
    assert len(commits) > 1
    assert commits[-1] - told < 0.5


async def test_what_takes_too_long_before_its_commit_is_not_committed(settings: Settings, before: Before) -> None:
    async with running(settings.model_copy(update={"database_timeout_seconds": 1.0})) as api:
        system, key = await api.make(), await api.make("USER")

        async def takes_long() -> None:
            await asyncio.sleep(2.5)

        before(lambda name, command: name == "insert" and command["insert"] == "audit", takes_long)
        mutation = f'mutation {{ deleteApiKey(input: {{domainId: "d1", apiKeyId: "{key.key_id}"}}) {{ apiKeyId }} }}'
        (error,) = (await api.run(mutation, by=system))["errors"]
        assert "is unknown" in error["message"]
        await asyncio.sleep(1.5)
        assert stored(api, key)[1] == ["CREATED"]
        # Nothing of it is left open, which would keep the key locked.
        assert (await api.data(mutation, by=system))["deleteApiKey"]["apiKeyId"] == key.key_id
