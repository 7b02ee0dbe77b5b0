"""`import-cloudforet`: the keys of Cloudforet's database become keys here."""

import asyncio
import io
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit, urlunsplit

import bson
import pymongo
import pytest

from gql_identity.cli import main
from gql_identity.settings import Settings
from gql_identity.storage.database import CODEC
from tests import cloudforet
from tests.conftest import PEPPER, Api, mongo_client
from tests.processes import COMMAND, run, surroundings

SOUND = 1_000 - len(cloudforet.AWKWARD) - len(cloudforet.ODD)
REFUSED = len(cloudforet.AWKWARD)
IMPORTED = 1_000 - REFUSED


class Source:
    """A database of Cloudforet, and the command that imports it into the test's own."""

    database: Any
    keys: Any

    def __init__(self, uri: str, target: str) -> None:
        self.uri = uri
        self.environment = {"GQL_IDENTITY_MONGO_URI": target, "GQL_IDENTITY_PEPPER": PEPPER}

    def arguments(self, *more: str) -> list[str]:
        return ["import-cloudforet", "--from", self.uri, *more]

    def run(self, *more: str) -> tuple[int, str, str]:
        """The exit code, output and errors of the command, run in this process: starting another takes a second."""
        out, err = io.StringIO(), io.StringIO()
        quiet = redirect_stdout(out), redirect_stderr(err)
        with mock.patch.dict(os.environ, self.environment), quiet[0], quiet[1], pytest.raises(SystemExit) as ended:
            main(self.arguments(*more))
        return int(ended.value.code or 0), out.getvalue(), err.getvalue()

    def imported(self, *more: str) -> dict[str, Any]:
        """The counts and refusals that the command prints."""
        code, out, err = self.run("--json", *more)
        assert code == 0, err
        return dict(json.loads(out))


@pytest.fixture
def source(mongo_uri: str, logs_as_before: None) -> Iterator[Source]:
    parts = urlsplit(mongo_uri)
    uri = urlunsplit(parts._replace(path=f"{parts.path}_cloudforet"))
    source = Source(uri, mongo_uri)
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri)
    source.database = client.get_default_database()
    source.keys = source.database.get_collection("a_p_i_key", CODEC)
    yield source
    client.drop_database(source.database.name)
    client.close()


@pytest.fixture
def thousand(source: Source) -> Source:
    made = [cloudforet.key(number) for number in range(SOUND)]
    source.keys.insert_many([*made, *cloudforet.ODD, *(document for document, _ in cloudforet.AWKWARD)])
    return source


def here(settings: Settings) -> list[dict[str, Any]]:
    with mongo_client(settings) as client:
        return list(client.get_default_database().api_keys.find().sort("_id"))


def counts(answer: dict[str, Any]) -> tuple[int, ...]:
    return tuple(answer[name] for name in ("read", "imported", "already_here", "refused", "open_nothing"))


def test_a_thousand_keys_are_imported_once_and_the_awkward_ones_are_named(thousand: Source, settings: Settings) -> None:
    before = list(thousand.keys.find().sort("_id"))
    tried = thousand.imported("--dry-run")
    assert (counts(tried), here(settings)) == ((1_000, IMPORTED, 0, REFUSED, IMPORTED), [])
    first = thousand.imported()
    assert counts(first) == (1_000, IMPORTED, 0, REFUSED, IMPORTED)
    stored = here(settings)
    assert len(stored) == IMPORTED
    named = [(one["id"], one["field"]) for one in first["refusals"]]
    expected = [(str(one.get("api_key_id") or one["_id"])[:255], at) for one, at in cloudforet.AWKWARD]
    assert sorted(named) == sorted(expected)
    assert all(one["why"] for one in first["refusals"])
    second = thousand.imported()
    assert counts(second) == (1_000, 0, IMPORTED, REFUSED, IMPORTED)
    assert here(settings) == stored
    assert list(thousand.keys.find().sort("_id")) == before
    by_id = {key["_id"]: key for key in stored}
    for one in [*(cloudforet.key(number) for number in range(SOUND)), *cloudforet.ODD]:
        key = by_id[one["api_key_id"]]
        same = ("user_id", "domain_id", "state")
        assert [key[name] for name in same] == [one[name] for name in same]
        assert key["role"] == "USER"
        assert key.get("disabled_rank") == (2 if one["state"] == "DISABLED" else None)


async def test_imported_keys_are_read_as_others_and_open_nothing_until_they_are_rotated(
    thousand: Source, api: Api
) -> None:
    await asyncio.to_thread(thousand.imported)
    system = await api.make(domain_id="d9")
    query = """query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount results {
        apiKeyId state role hint createdAt createdBy secrets { hint } } } }"""
    page = (await api.data(query, {"i": {"domainId": "domain-1"}}, system))["apiKeys"]
    assert page["totalCount"] == sum(1 for n in range(SOUND) if n % 3 == 1) + sum(
        1 for one in cloudforet.ODD if one["domain_id"] == "domain-1"
    )
    assert {(key["hint"], key["createdBy"], len(key["secrets"])) for key in page["results"]} == {("", None, 0)}
    rotate = "mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { apiKey secrets { hint } } }"
    input_ = {"domainId": "domain-1", "apiKeyId": cloudforet.key(1)["api_key_id"]}
    rotated = (await api.data(rotate, {"i": input_}, system))["rotateApiKey"]
    assert len(rotated["secrets"]) == 1
    assert (await api.data("{ viewer { userId domainId } }", by=rotated["apiKey"]))["viewer"] == {
        "userId": "user-1",
        "domainId": "domain-1",
    }
    # The response was lost. Nobody has an older secret.
    once_more = (await api.data(rotate, {"i": input_}, system))["rotateApiKey"]
    assert len(once_more["secrets"]) == 2
    assert await api.code(rotate, {"i": input_}, system) == "FAILED_PRECONDITION"
    again = await asyncio.to_thread(thousand.imported)
    assert counts(again) == (1_000, 0, IMPORTED, REFUSED, IMPORTED - 1)
    # A key that was disabled there needs the rank of a DOMAIN_OWNER.
    owner = await api.make("DOMAIN_OWNER", "domain-0", "boss")
    user = await api.make("USER", "domain-0", "user-9")
    disabled = cloudforet.key(9)
    enable = "mutation($i: APIKeyRequest!) { enableApiKey(input: $i) { state } }"
    input_ = {"domainId": disabled["domain_id"], "apiKeyId": disabled["api_key_id"]}
    assert await api.code(enable, {"i": input_}, user) == "PERMISSION_DENIED"
    assert await api.data(enable, {"i": input_}, owner) == {"enableApiKey": {"state": "ENABLED"}}


def killed_in_the_middle(source: Source, settings: Settings) -> int:  # how many keys are here then
    killed = subprocess.Popen(
        [*COMMAND, *source.arguments()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=surroundings(**source.environment),
    )
    with mongo_client(settings) as client:
        keys = client.get_default_database().api_keys
        deadline = time.monotonic() + 60
        while keys.estimated_document_count() < 500 and killed.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        killed.kill()
        killed.wait()
        return keys.count_documents({})


def test_an_import_that_is_killed_is_complete_after_the_next(thousand: Source, settings: Settings) -> None:
    more = [cloudforet.key(number) for number in range(10_000, 16_000)]
    thousand.keys.insert_many(more)
    whole = IMPORTED + len(more)
    for _ in range(5):
        part = killed_in_the_middle(thousand, settings)
        if part < whole:  # otherwise it was done before this process noticed
            break
        with mongo_client(settings) as client:
            client.get_default_database().api_keys.delete_many({})
    assert 0 < part < whole
    again = thousand.imported()
    assert counts(again) == (7_000, whole - again["already_here"], again["already_here"], REFUSED, whole)
    assert again["already_here"] >= part
    assert len(here(settings)) == whole


def bind(source: Source, user_id: str, domain_id: str, to: dict[str, Any], **other: Any) -> None:
    binding = {
        "resource_type": "identity.User",
        "resource_id": user_id,
        "role": to["_id"],
        "role_id": to["role_id"],
        "domain_id": domain_id,
    }
    source.database["role_binding"].insert_one(binding | other)


def test_roles_are_user_unless_bindings_or_a_file_say_otherwise(
    source: Source, settings: Settings, tmp_path: Path
) -> None:
    users = ["nobody", "worker", "owner", "root", "both", "elsewhere", "by-id", "odd"]
    source.keys.insert_many([cloudforet.key(n, user_id=user, domain_id="d1") for n, user in enumerate(users)])
    roles = {
        type_: {"_id": bson.ObjectId(), "role_id": f"role-{type_}", "role_type": type_}
        for type_ in ("SYSTEM", "DOMAIN", "PROJECT")
    }
    source.database["role"].insert_many(list(roles.values()))
    bind(source, "worker", "d1", roles["PROJECT"])
    bind(source, "owner", "d1", roles["DOMAIN"])
    bind(source, "root", "d1", roles["SYSTEM"])
    bind(source, "both", "d1", roles["DOMAIN"])
    bind(source, "both", "d1", roles["SYSTEM"])
    bind(source, "elsewhere", "d2", roles["SYSTEM"])
    bind(source, "by-id", "d1", roles["DOMAIN"], role=None)
    bind(source, "odd", "d1", roles["SYSTEM"], role=["x"], role_id={"y": 1})
    bind(source, "nobody", "d1", roles["SYSTEM"], resource_type="identity.Project")

    def imported(*more: str) -> list[str]:
        source.imported(*more)
        found = {key["user_id"]: key["role"] for key in here(settings)}
        with mongo_client(settings) as client:
            client.get_default_database().api_keys.delete_many({})
        return [found[user] for user in users]

    assert imported() == ["USER"] * 8
    by_bindings = ["USER", "USER", "DOMAIN_OWNER", "SYSTEM", "SYSTEM", "USER", "DOMAIN_OWNER", "USER"]
    assert imported("--roles", "from-bindings") == by_bindings
    file = tmp_path / "roles.json"
    file.write_text(json.dumps({"d1": {"worker": "VERIFIER"}, "d2": {"owner": "SYSTEM"}}))
    assert imported("--roles", str(file)) == ["USER", "VERIFIER", *["USER"] * 6]
    for wrong in ("[]", '{"d1": {"worker": "KING"}}', '{"d1": 7}', "{"):
        file.write_text(wrong)
        refused = source.run("--roles", str(file))
        assert refused[0] == 1
        assert "--roles" in refused[2]
    assert "give user, from-bindings or a file" in source.run("--roles", "from-binding")[2]


def test_a_key_that_was_deleted_here_stays_deleted_when_later_keys_are_imported(
    source: Source, settings: Settings
) -> None:
    source.keys.insert_many([cloudforet.key(number, domain_id="d1") for number in range(3)])
    source.imported()
    gone, *left = (key["_id"] for key in here(settings))
    with mock.patch.dict(os.environ, source.environment), pytest.raises(SystemExit) as ended:
        main(["keys", "delete", gone, "--yes"])
    assert not ended.value.code
    source.keys.insert_one(cloudforet.key(3, domain_id="d1"))
    tried = source.imported("--dry-run")
    again = source.imported()
    assert counts(tried) == counts(again) == (4, 1, 2, 1, 3)
    assert [(one["id"], one["why"]) for one in again["refusals"]] == [
        (gone, "the key was deleted here, and stays deleted.")
    ]
    assert {key["_id"] for key in here(settings)} == {*left, cloudforet.key(3)["api_key_id"]}
    with mock.patch.dict(os.environ, source.environment), pytest.raises(SystemExit) as ended:
        main(["audit-verify", "--domain-id", "d1"])
    assert not ended.value.code


def test_only_the_domains_that_are_named_are_imported(thousand: Source, settings: Settings) -> None:
    answer = thousand.imported("--domain-id", "domain-1", "--domain-id", "d" * 40)
    assert {key["domain_id"] for key in here(settings)} == {"domain-1", "d" * 40}
    assert answer["imported"] == len(here(settings))


def test_a_key_that_is_here_stays_as_it_is(source: Source, settings: Settings) -> None:
    source.keys.insert_many([cloudforet.key(n) for n in range(3)])
    source.imported()
    with mongo_client(settings) as client:
        keys = client.get_default_database().api_keys
        keys.update_one({"_id": cloudforet.key(1)["api_key_id"]}, {"$set": {"state": "DISABLED", "name": "changed"}})
    source.keys.update_many({}, {"$set": {"user_id": "other"}})
    before = here(settings)
    assert counts(source.imported()) == (3, 0, 3, 0, 3)
    assert here(settings) == before


def test_what_it_says_to_people(source: Source) -> None:
    code, out, err = source.run()
    assert (code, out) == (1, "")
    assert "a_p_i_key is empty or not there" in err
    source.keys.insert_many([cloudforet.key(1), cloudforet.AWKWARD[8][0]])
    ran = run(*source.arguments(), **source.environment)
    assert " ".join(ran.stdout.split()) == (
        "Read 2 Imported 1 Already here 0 Refused 1 No secret 1 "
        "Keys without a secret cannot be used: rotate them, and give the new secrets to their users."
    )
    assert "user_id: control characters" in ran.stderr
    assert "\x1b" not in ran.stderr
    for uri in ("mongodb://someone:password@127.0.0.1:1/x", "nonsense://", "mongodb://a:b"):
        code, out, err = Source(uri, str(source.environment["GQL_IDENTITY_MONGO_URI"])).run()
        assert code == 1
        assert "--from" in err
        assert "password@" not in err.replace("[password]@", "")
