"""The fingerprint of a pepper beside each digest: which keys are left under it, and when it can be forgotten."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo.collection import Collection

from gql_identity.keys.keys_left import KeysLeft, keys_left
from gql_identity.secret import digest, pepper_fingerprint
from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from tests.conftest import PEPPER, Api, Person, mongo_client, running
from tests.database.conftest import Run

NEW = "another pepper that is as long as one has to be"
OLD_PRINT, NEW_PRINT = pepper_fingerprint(PEPPER), pepper_fingerprint(NEW)
WHO = "{ viewer { userId } }"
ROTATE = "mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { apiKey } }"

Keys = Collection[dict[str, Any]]


@pytest.fixture
def keys(settings: Settings) -> Iterator[Keys]:
    with mongo_client(settings) as client:
        yield client.get_default_database().api_keys


@pytest.fixture
def moved(settings: Settings) -> Settings:
    """The settings of the second roll-out: the new pepper is used."""
    return settings.model_copy(update={"pepper": SecretStr(NEW), "peppers_retired": (SecretStr(PEPPER),)})


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The same for commands."""
    assert settings.mongo_uri is not None
    uri = settings.mongo_uri.get_secret_value()
    return {
        "GQL_IDENTITY_MONGO_URI": uri,
        "GQL_IDENTITY_PEPPER": NEW,
        "GQL_IDENTITY_PEPPERS_RETIRED": PEPPER,
    }


async def left(settings: Settings, pepper: str | None = OLD_PRINT, **bounds: int) -> KeysLeft:
    async with Database(settings) as database:
        return await keys_left(database, pepper, **bounds)


async def rotate(api: Api, by: Person, key: Person, overlap: int = 3600) -> str:
    one = {"domainId": key.domain_id, "apiKeyId": key.key_id, "overlapSeconds": overlap}
    return str((await api.data(ROTATE, {"i": one}, by))["rotateApiKey"]["apiKey"])


async def use(api: Api, *secrets: str) -> None:
    """Use secrets one after the other, each move written."""
    for secret in secrets:
        assert (await api.send(WHO, by=secret)).status_code == 200
        await api.uses_written()


async def test_each_secret_of_a_rotated_key_has_its_own_fingerprint(api: Api, moved: Settings, keys: Keys) -> None:
    system, user = await api.make(), await api.make("USER")
    async with running(moved) as other:
        second = await rotate(other, system, user)
        stored = keys.find_one({"_id": user.key_id}) or {}
        assert stored["pepper"] == [NEW_PRINT, OLD_PRINT]
        assert stored["digest"] == [digest(second, NEW), digest(user.secret, PEPPER)]
        await use(other, user.secret)
        stored = keys.find_one({"_id": user.key_id}) or {}
        assert stored["pepper"] == [NEW_PRINT, NEW_PRINT]
        assert stored["digest"] == [digest(second, NEW), digest(user.secret, NEW)]


async def test_a_key_is_left_until_it_is_used_and_those_that_are_not_valid_are_told(
    api: Api, moved: Settings, keys: Keys
) -> None:
    system, *users = [await api.make(), *[await api.make("USER") for _ in range(4)]]
    keys.update_one({"_id": users[0].key_id}, {"$set": {"state": "DISABLED", "disabled_rank": 1}})
    keys.update_one({"_id": users[1].key_id}, {"$set": {"expires_at": datetime.now(UTC) - timedelta(days=1)}})
    assert await left(moved) == KeysLeft(5, 2)
    async with running(moved) as other:
        await use(other, system.secret, users[2].secret)
    assert await left(moved) == KeysLeft(3, 2)
    assert await left(moved, NEW_PRINT) == KeysLeft(2)
    assert str(await left(moved)) == "3 keys (2 disabled or expired)"
    keys.delete_many({"_id": {"$in": [user.key_id for user in users]}})
    assert await left(moved) == KeysLeft(0)


async def test_a_secret_that_has_ended_is_not_left(api: Api, moved: Settings) -> None:
    system, user = await api.make(), await api.make("USER")
    async with running(moved) as other:
        await use(other, system.secret)
        await rotate(other, system, user)
        assert await left(moved) == KeysLeft(1)
        await rotate(other, system, user, overlap=0)
        assert await left(moved) == KeysLeft(0)


async def test_what_an_older_version_stored_works_is_told_as_unknown_and_noted_when_used(
    api: Api, moved: Settings, keys: Keys
) -> None:
    system, *users = [await api.make(), *[await api.make("USER") for _ in range(3)]]
    second = await rotate(api, system, users[1])
    keys.update_many({}, {"$unset": {"pepper": 1}})
    imported = {**(keys.find_one({"_id": users[0].key_id}) or {}), "_id": "imported", "digest": None, "hint": ""}
    keys.insert_one(imported)
    # It has no secret yet, so it is under no pepper.
    assert await left(api.settings, None) == KeysLeft(4)
    await use(api, users[0].secret, second)
    assert (keys.find_one({"_id": users[0].key_id}) or {})["pepper"] == OLD_PRINT
    assert (keys.find_one({"_id": users[1].key_id}) or {})["pepper"] == [OLD_PRINT, None]
    # Of the rotated one another secret is unknown.
    assert (await left(api.settings, None), await left(api.settings)) == (KeysLeft(3), KeysLeft(2))
    async with running(moved) as other:
        await use(other, system.secret, users[0].secret, users[1].secret, second, users[2].secret)
    assert (keys.find_one({"_id": users[1].key_id}) or {})["pepper"] == [NEW_PRINT, NEW_PRINT]
    assert [(await left(moved, pepper)).number for pepper in (None, OLD_PRINT, NEW_PRINT)] == [0, 0, 4]


async def test_fingerprints_that_an_older_version_left_behind_are_put_right_when_used(
    api: Api, moved: Settings, keys: Keys
) -> None:
    """A worker of an older version beside this one rotates and moves digests, and leaves `pepper` as it is."""
    system, rotated, moving = await api.make(), await api.make("USER"), await api.make("USER")
    second = await rotate(api, system, rotated)
    keys.update_one({"_id": rotated.key_id}, {"$set": {"pepper": OLD_PRINT}})
    keys.update_one({"_id": moving.key_id}, {"$set": {"digest": digest(moving.secret, NEW)}})
    assert await left(moved) == KeysLeft(3)  # rather one too many
    async with running(moved) as other:
        await use(other, moving.secret, second, rotated.secret)
    assert (keys.find_one({"_id": rotated.key_id}) or {})["pepper"] == [NEW_PRINT, NEW_PRINT]
    assert (keys.find_one({"_id": moving.key_id}) or {})["pepper"] == NEW_PRINT
    assert await left(moved) == KeysLeft(1)


@pytest.mark.parametrize("odd", [7, [7], [], ["x", "y"], {"a": "b"}, True])
async def test_a_fingerprint_that_cannot_be_read_is_as_none(api: Api, keys: Keys, odd: Any) -> None:
    system, user = await api.make(), await api.make("USER")
    keys.update_one({"_id": user.key_id}, {"$set": {"pepper": odd}})
    second = await rotate(api, system, user)
    assert (keys.find_one({"_id": user.key_id}) or {})["pepper"] == [OLD_PRINT, None]
    keys.update_one({"_id": user.key_id}, {"$set": {"pepper": odd}})
    await use(api, user.secret, second)
    assert (keys.find_one({"_id": user.key_id}) or {})["pepper"] == [OLD_PRINT, OLD_PRINT]


async def test_two_workers_that_move_both_secrets_of_a_key_at_once_lose_neither(
    api: Api, moved: Settings, keys: Keys
) -> None:
    system, user = await api.make(), await api.make("USER")
    second = await rotate(api, system, user)
    async with running(moved) as one, running(moved) as other:
        for _ in range(2):  # the second time repeats what a write in between refused
            answers = await asyncio.gather(one.send(WHO, by=user), other.send(WHO, by=second))
            assert [answer.status_code for answer in answers] == [200, 200]
            await asyncio.gather(one.uses_written(), other.uses_written())
            await asyncio.sleep(0.6)  # until both read it again
    stored = keys.find_one({"_id": user.key_id}) or {}
    assert stored["digest"] == [digest(second, NEW), digest(user.secret, NEW)]
    assert stored["pepper"] == [NEW_PRINT, NEW_PRINT]


async def test_many_keys_are_counted_in_the_index_and_only_so_many(api: Api, keys: Keys) -> None:
    await api.make()
    one = keys.find_one() or {}
    keys.insert_many([{**one, "_id": f"api-key-{number}", "digest": bytes([number]) * 32} for number in range(9)])
    for bounds, told in (
        ({}, "10 keys"),
        ({"exact": 10}, "10 keys"),
        ({"exact": 4}, "about 10 keys"),
        ({"exact": 4, "most": 7}, "over 7 keys"),
        ({"exact": 4, "most": 4}, "over 4 keys"),
    ):
        assert str(await left(api.settings, OLD_PRINT, **bounds)) == told
    keys.update_many({}, {"$unset": {"pepper": 1}})
    assert str(await left(api.settings, None, exact=4)) == "about 10 keys"


class TestCommands:
    @pytest.fixture
    def before(self, environment: dict[str, str]) -> dict[str, str]:
        """The environment before the roll-outs."""
        return {**environment, "GQL_IDENTITY_PEPPER": PEPPER, "GQL_IDENTITY_PEPPERS_RETIRED": ""}

    def test_a_pepper_with_keys_is_forgotten_by_force_alone_and_listed_as_forgotten(
        self, run: Run, before: dict[str, str], environment: dict[str, str], keys: Keys
    ) -> None:
        for place in (before, before, environment):
            run("create-key", "--domain-id", "d", "--user-id", "u", **place)
        ids = [key["_id"] for key in keys.find({"pepper": OLD_PRINT}).sort("_id")]
        keys.update_one({"_id": ids[1]}, {"$unset": {"pepper": 1}})
        assert run("peppers", **environment).stdout.splitlines() == [
            f"{OLD_PRINT}  retired: its keys move to the current one when used; 1 key",
            f"{NEW_PRINT}  current: keys are made with it; 1 key",
            "unknown           not used since an older version stored them, which noted no fingerprint; 1 key",
        ]
        for pepper, key_id in ((OLD_PRINT, ids[0]), ("unknown", ids[1])):
            listed = run("keys", "list", "--pepper", pepper, **environment).stdout.splitlines()
            assert [line.split()[0] for line in listed[1:]] == [key_id]
        refused = run("forget-pepper", "--yes", OLD_PRINT, **environment)
        assert refused.returncode == 1
        assert f"Left under the pepper {OLD_PRINT}: 1 key. List them: `" in refused.stderr
        assert "noted no fingerprint: 1 key. List them: `" in refused.stderr
        assert "lose them with --force." in refused.stderr
        asked = run("forget-pepper", "--force", OLD_PRINT, **environment)
        assert asked.returncode == 1
        assert f"Left under the pepper {OLD_PRINT}: 1 key." in asked.stderr
        assert "become invalid for good" in asked.stderr
        assert "add --yes" in asked.stderr
        assert run("forget-pepper", "--yes", "--force", OLD_PRINT, **environment).returncode == 0
        # While the settings have it, its keys still work, and move.
        assert f"{OLD_PRINT}  accepted; 1 key" in run("peppers", **environment).stdout
        alone = {**environment, "GQL_IDENTITY_PEPPERS_RETIRED": ""}
        assert f"{OLD_PRINT}  forgotten: its keys are not accepted; 1 key" in run("peppers", **alone).stdout
        # What a command then tells of its keys. The unknown one may be under any pepper.
        states = {line.split()[0]: line.split()[1] for line in run("keys", "list", **alone).stdout.splitlines()}
        assert [states.pop(key_id) for key_id in ("ID", *ids)] == ["STATE", "LOST", "ENABLED"]
        assert set(states.values()) == {"ENABLED"}
        assert "LOST" not in run("keys", "list", **environment).stdout
        assert "pepper:            lost: the settings lack it" in run("keys", "show", ids[0], **alone).stdout
        assert "pepper:" not in run("keys", "show", ids[1], **alone).stdout
        again = run("forget-pepper", "--yes", "--force", OLD_PRINT, **alone)
        assert (again.returncode, again.stderr.splitlines()[-1]) == (
            1,
            "gql-identity: The database requires no pepper with this fingerprint.",
        )
        # One that comes back into use is forgotten no more.
        back = {**environment, "GQL_IDENTITY_PEPPER": PEPPER, "GQL_IDENTITY_PEPPERS_RETIRED": NEW}
        run("create-key", "--domain-id", "d", "--user-id", "u", **back)
        assert f"{OLD_PRINT}  missing in the settings" in run("peppers", **alone).stdout

    def test_a_pepper_without_keys_is_forgotten_after_a_question(
        self, run: Run, before: dict[str, str], environment: dict[str, str], keys: Keys
    ) -> None:
        for place in (before, environment):
            run("create-key", "--domain-id", "d", "--user-id", "u", **place)
        keys.delete_one({"pepper": OLD_PRINT})
        asked = run("forget-pepper", OLD_PRINT, **environment)
        assert asked.returncode == 1
        assert f"No key is left under the pepper {OLD_PRINT}." in asked.stderr
        assert "add --yes" in asked.stderr
        forgotten = run("forget-pepper", "--yes", OLD_PRINT, **environment)
        assert (forgotten.returncode, forgotten.stdout) == (0, f"The pepper {OLD_PRINT} is no longer required.\n")

    def test_without_the_index_nothing_is_counted_and_nothing_forgotten(
        self, run: Run, before: dict[str, str], environment: dict[str, str], keys: Keys
    ) -> None:
        assert (
            run("peppers", **before).stdout == f"{OLD_PRINT}  current, not used yet; 0 keys\n"
        )  # of an empty database
        for place in (before, environment):
            run("create-key", "--domain-id", "d", "--user-id", "u", **place)
        keys.drop_index("pepper_1")
        listed = run("peppers", **environment)
        assert listed.stdout.splitlines() == [
            f"{OLD_PRINT}  retired: its keys move to the current one when used",
            f"{NEW_PRINT}  current: keys are made with it",
        ]
        assert "Keys were not counted. The database lacks the indexes api_keys.pepper_1." in listed.stderr
        refused = run("forget-pepper", "--yes", "--force", OLD_PRINT, **environment)
        assert refused.returncode == 1
        assert "lacks the indexes api_keys.pepper_1" in refused.stderr

    def test_no_pepper_and_no_digest_is_printed(
        self, run: Run, before: dict[str, str], environment: dict[str, str], keys: Keys
    ) -> None:
        for place in (before, environment):
            run("create-key", "--domain-id", "d", "--user-id", "u", **place)
        outputs = [
            run(*command, **environment)
            for command in (
                ["peppers"],
                ["keys", "list", "--pepper", OLD_PRINT],
                ["forget-pepper", "--yes", OLD_PRINT],
                ["forget-pepper", "--yes", "--force", OLD_PRINT],
            )
        ]
        said = "".join(one.stdout + one.stderr for one in outputs)
        for text in (PEPPER, NEW, *(key["digest"].hex() for key in keys.find())):
            assert text not in said

    def test_fingerprints_move_with_an_export(
        self, run: Run, before: dict[str, str], environment: dict[str, str], keys: Keys, tmp_path: Any
    ) -> None:
        for place in (before, environment):
            run("create-key", "--domain-id", "d", "--user-id", "u", **place)
        file = str(tmp_path / "keys.jsonl")
        assert run("export", file, **environment).returncode == 0
        stored = list(keys.find().sort("_id"))
        keys.delete_many({})
        keys.database.audit.delete_many({})
        assert run("import", file, **environment).returncode == 0
        assert list(keys.find().sort("_id")) == stored
        assert [key["pepper"] for key in stored] == [OLD_PRINT, NEW_PRINT]
        # A move in between is no change of a key.
        keys.update_one({"_id": stored[0]["_id"]}, {"$set": {"digest": b"0" * 32, "pepper": NEW_PRINT}})
        assert "2 were there already" in run("import", file, **environment).stdout
        assert (keys.find_one({"_id": stored[0]["_id"]}) or {})["pepper"] == NEW_PRINT
