"""`export` and `import`: all keys move to another database, while services run on both."""

import asyncio
import io
import json
import os
import re
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from pydantic import SecretStr
from pymongo.collection import Collection

from gql_identity.keys.export_file import BATCH, MAX_LINE_BYTES
from gql_identity.keys.exports import export_keys
from gql_identity.keys.restores import bring_key
from gql_identity.secret import pepper_fingerprint
from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from gql_identity.storage.extended_json import to_json
from gql_identity.storage.pages import PAGE_DOCUMENTS

from ..conftest import Api
from ..processes import COMMAND, serving, surroundings, wait_until
from .conftest import Run

PEPPER = "a pepper of the person who runs it that is long enough"
OTHER = "the pepper of the other database which is long enough"

Keys = Collection[dict[str, Any]]


class Side:
    """A database of the user's own, and commands on it."""

    def __init__(self, uri: str, run: Run, keys: Keys, pepper: str, **environment: str) -> None:
        self.keys = keys
        self.environment: dict[str, Any] = {"GQL_IDENTITY_MONGO_URI": uri, "GQL_IDENTITY_PEPPER": pepper, **environment}
        self._run = run

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(*arguments, **self.environment)

    def create(self, **flags: str) -> Any:
        given = {"domain_id": "d", "user_id": "u", **flags}
        named = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", value)]
        return json.loads(self.run("create-key", "--json", *named).stdout)

    def documents(self) -> dict[str, Any]:
        return {document["_id"]: document for document in self.keys.find()}

    def entries(self) -> dict[str, Any]:
        return {entry["_id"]: entry for entry in self.keys.database.audit.find()}


@pytest.fixture
def source(mongo_uri: str, run: Run) -> Iterator[Side]:
    with pymongo.MongoClient[dict[str, Any]](mongo_uri, tz_aware=True) as client:
        yield Side(mongo_uri, run, client.get_default_database().api_keys, PEPPER)


@pytest.fixture
def target(mongo_uri: str, run: Run) -> Iterator[Side]:
    parts = pymongo.uri_parser.parse_uri(mongo_uri)
    name = f"{parts['database']}_target"
    uri = mongo_uri.replace(f"/{parts['database']}", f"/{name}")
    with pymongo.MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        yield Side(uri, run, client[name].api_keys, OTHER, GQL_IDENTITY_PEPPERS_RETIRED=PEPPER)
        client.drop_database(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


def moved(source: Side, target: Side, file: Path) -> str:
    """What the import prints, after an export to this file."""
    file.unlink(missing_ok=True)
    exported = source.run("export", str(file))
    assert exported.returncode == 0, exported.stderr
    imported = target.run("import", str(file))
    assert imported.returncode == 0, imported.stderr
    return imported.stdout.splitlines()[0]


def test_every_field_of_every_key_arrives(source: Side, target: Side, file: Path) -> None:
    plain = source.create()
    full = source.create(role="DOMAIN_OWNER", name="an ü", expires_in="30d", scope="identity:read")
    source.run("rotate-key", full["api_key_id"])
    source.run("keys", "disable", plain["api_key_id"])
    source.keys.update_one(
        {"_id": full["api_key_id"]}, {"$set": {"a_later_field": {"list": [1, 2.5, b"\x00", datetime.now(UTC), None]}}}
    )
    assert moved(source, target, file) == "Created 2 keys, updated 0; 0 were there already."
    assert target.documents() == source.documents()


def test_the_audit_log_arrives_and_is_intact(source: Side, target: Side, file: Path) -> None:
    key_id, gone = source.create()["api_key_id"], source.create()["api_key_id"]
    source.run("rotate-key", key_id)
    source.run("keys", "delete", "--yes", gone)
    moved(source, target, file)
    assert target.entries() == source.entries()
    assert len(target.entries()) == 4
    verified = target.run("audit-verify", "--domain-id", "d")
    assert verified.returncode == 0, verified.stdout
    # It goes on where the key is now.
    target.run("keys", "disable", key_id)
    assert target.run("audit-verify", "--domain-id", "d").returncode == 0
    assert len(target.entries()) == 5


def test_entries_of_changes_that_are_not_in_the_file_are_left_out(source: Side, target: Side, file: Path) -> None:
    key_id, later = source.create()["api_key_id"], source.create()["api_key_id"]
    source.run("rotate-key", key_id)
    source.run("export", str(file))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    # As if one key had been changed, and the other made, between the reading of all keys and that of the audit log.
    lines[0]["exported_at"] = "2026-01-01T00:00:00.000Z"
    lines[1]["key"]["audit_number"] = 1
    assert lines.pop(2)["key"]["_id"] == later
    lines[-1]["end"]["keys"] = 1
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert target.run("import", str(file)).stdout.endswith("Added 1 entries to the audit log.\n")
    assert target.run("audit-verify", "--domain-id", "d").returncode == 0


def test_a_jwt_that_was_first_used_between_two_moves_is_brought(source: Side, target: Side, file: Path) -> None:
    key_id = source.create()["api_key_id"]
    where = {"_id": key_id}
    known = source.documents()[key_id]
    # As `import-cloudforet` stores a key, and as the first use of its JWT completes it.
    source.keys.update_one(where, {"$set": {"digest": None, "hint": ""}, "$unset": {"pepper": ""}})
    moved(source, target, file)
    source.keys.update_one(where, {"$set": {name: known[name] for name in ("digest", "pepper", "hint")}})
    assert moved(source, target, file) == "Created 0 keys, updated 1; 0 were there already."
    assert target.documents() == source.documents()
    # One that differs otherwise is not later.
    source.keys.update_one(where, {"$set": {"digest": b"another", "hint": "another"}})
    file.unlink()
    source.run("export", str(file))
    assert target.run("import", str(file)).returncode == 1


def unused(source: Side, target: Side, file: Path, *, is_rotated: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """A key whose JWT was not used yet, in both databases; which one it is, and what its first use sets."""
    key_id = source.create()["api_key_id"]
    if is_rotated:
        source.run("rotate-key", key_id)
    known = source.documents()[key_id]
    used: dict[str, Any] = {name: known[name] for name in ("digest", "pepper")}
    if is_rotated:
        used["secrets"] = known["secrets"]
        newest, jwt = known["secrets"]
        lacks: dict[str, Any] = {"digest": [known["digest"][0], None], "pepper": [known["pepper"][0], None]}
        lacks["secrets"] = [newest, jwt | {"hint": ""}]
    else:
        used["hint"] = known["hint"]
        lacks = {"digest": None, "pepper": None, "hint": ""}
    source.keys.update_one({"_id": key_id}, {"$set": lacks})
    moved(source, target, file)
    return {"_id": key_id}, used


@pytest.mark.parametrize("is_rotated", [False, True])
def test_a_first_use_brings_nothing_else(source: Side, target: Side, file: Path, is_rotated: bool) -> None:
    where, used = unused(source, target, file, is_rotated=is_rotated)
    accessed = datetime(2026, 1, 1, tzinfo=UTC)
    target.keys.update_one(where, {"$set": {"last_accessed_at": accessed}})
    source.keys.update_one(where, {"$set": used})
    assert moved(source, target, file) == "Created 0 keys, updated 1; 0 were there already."
    assert target.documents() == {where["_id"]: source.documents()[where["_id"]] | {"last_accessed_at": accessed}}
    assert moved(source, target, file) == "Created 0 keys, updated 0; 1 were there already."


@pytest.mark.parametrize("narrowed", ["scopes", "secrets"])
def test_a_first_use_does_not_undo_what_was_changed_here(source: Side, target: Side, file: Path, narrowed: str) -> None:
    where, used = unused(source, target, file, is_rotated=True)
    (before,) = target.documents().values()
    newest, jwt = before["secrets"]
    change: Any = {
        "scopes": ["identity:read"],
        "secrets": [newest, jwt | {"expires_at": datetime(2026, 1, 1, tzinfo=UTC)}],
    }
    target.keys.update_one(where, {"$set": {narrowed: change[narrowed], "audit_number": 3}})
    here = target.documents()
    source.keys.update_one(where, {"$set": used | {"name": "renamed", "audit_number": 3}})
    file.unlink()
    source.run("export", str(file))
    imported = target.run("import", str(file))
    assert imported.returncode == 1
    assert where["_id"] in imported.stdout + imported.stderr
    assert target.documents() == here


@pytest.mark.parametrize("is_rotated", [False, True])
def test_a_jwt_that_was_first_used_here_stays(source: Side, target: Side, file: Path, is_rotated: bool) -> None:
    where, used = unused(source, target, file, is_rotated=is_rotated)
    target.keys.update_one(where, {"$set": used})
    assert moved(source, target, file) == "Created 0 keys, updated 0; 1 were there already."
    source.keys.update_one(where, {"$set": {"name": "renamed"}, "$inc": {"audit_number": 1}})
    assert moved(source, target, file) == "Created 0 keys, updated 1; 0 were there already."
    (key,) = target.documents().values()
    assert key["name"] == "renamed"
    assert {name: key[name] for name in used} == used


def test_the_file_is_for_its_owner_and_has_no_secret(source: Side, file: Path) -> None:
    made = source.create()
    exported = source.run("export", str(file))
    assert (exported.stdout, exported.stderr.splitlines()[-1]) == (
        "",
        "Exported 1 keys and 1 entries of the audit log.",
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert made["api_key"] not in text
    assert PEPPER not in text
    header, key, entry, end = map(json.loads, text.splitlines())
    assert (header["format"], header["peppers"]) == ("gql-identity-export", [pepper_fingerprint(PEPPER)])
    assert key["key"]["_id"] == entry["entry"]["api_key_id"] == made["api_key_id"]
    assert end == {"end": {"keys": 1, "entries": 1}}


def test_a_file_that_exists_is_not_overwritten_and_a_failed_export_leaves_none(
    source: Side, file: Path, tmp_path: Path
) -> None:
    source.create()
    file.write_text("mine")
    refused = source.run("export", str(file))
    assert refused.returncode == 1
    assert refused.stderr.endswith(f"gql-identity: {file}: File exists.\n")
    assert file.read_text() == "mine"
    source.environment["GQL_IDENTITY_PEPPER"] = OTHER
    refused = source.run("export", str(tmp_path / "other.jsonl"))
    assert refused.returncode == 1
    assert list(tmp_path.iterdir()) == [file]


class TestUnderChanges:
    async def test_what_changes_while_keys_are_read_is_in_the_file_as_it_is_at_the_end(
        self, api: Api, settings: Settings, mongo_uri: str
    ) -> None:
        made = [await api.make("USER") for _ in range(4)]
        with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
            keys = client.get_default_database().api_keys
            one = keys.find_one({"_id": made[0].key_id}) or {}
            keys.insert_many([{**one, "_id": f"{one['_id']}{n:05}"} for n in range(PAGE_DOCUMENTS)])
            digests = [bytes([number]) * 32 for number in range(3)]
            secrets = [{"number": n, "hint": "h", "created_at": one["created_at"]} for n in (2, 1)]
            rotated = {**one, "_id": "api-key-00", "digest": digests[:2], "secrets": secrets}
            keys.insert_one(rotated)
            last = max(key["_id"] for key in keys.find({}, {"_id": 1, "domain_id": 1}))

            def change() -> None:
                at = datetime.now(UTC)
                keys.update_one({"_id": made[1].key_id}, {"$set": {"state": "DISABLED", "updated_at": at}})
                keys.delete_one({"_id": made[2].key_id})
                keys.insert_many([{**one, "_id": "api-key-0"}, {**one, "_id": "api-key-z"}])
                keys.update_one({"_id": made[3].key_id}, {"$set": {"last_accessed_at": at}})
                # A move to another pepper, of a key that was rotated, is told as a change of `digest.0` alone.
                moved = {"$set": {"digest": [digests[2], digests[1]]}}
                keys.update_one({"_id": rotated["_id"]}, [moved])

            spool, out = Spool(last, change), io.BytesIO()
            async with Database(settings) as database:
                await database.prepare()
                exported = await export_keys(database, settings, spool, out)
            assert spool.changed
            assert (exported.keys, exported.left_out) == (keys.count_documents({}), 0)
            stored = {key["_id"]: key["state"] for key in keys.find()}
        assert to_json({"digest": [digests[2], digests[1]]})[1:-1] in out.getvalue().decode()
        lines = [line for line in map(json.loads, out.getvalue().splitlines()) if "key" in line]
        assert {line["key"]["_id"]: line["key"]["state"] for line in lines} == stored
        assert len(lines) == len(stored)

    @pytest.mark.slow
    def test_an_export_of_the_embedded_engine_under_writers_moves_every_key(
        self, target: Side, tmp_path: Path, file: Path, run: Run
    ) -> None:
        made: list[dict[str, str]] = []
        stop = threading.Event()
        with serving(tmp_path / "data") as service:
            target.environment["GQL_IDENTITY_PEPPERS_RETIRED"] = (tmp_path / "data" / "pepper").read_text().strip()
            by = service.admin_key

            def write() -> None:
                while not stop.is_set():
                    with suppress(httpx.TransportError):
                        made.append(service.create(by=by))

            writers = [threading.Thread(target=write) for _ in range(3)]
            for writer in writers:
                writer.start()
            try:
                wait_until(lambda: len(made) > 50, 60)
                before = list(made)
                assert run("export", str(file), "--data-dir", str(tmp_path / "data")).returncode == 0
                number = len(made)
                wait_until(lambda: len(made) > number, 60)
            finally:
                stop.set()
                for writer in writers:
                    writer.join()
        assert target.run("import", str(file)).returncode == 0
        with serving(tmp_path / "2", **target.environment) as service:
            for key in before:
                answer = service.send("{ viewer { apiKeyInfo { apiKeyId } } }", by=key["apiKey"]).json()
                assert answer["data"]["viewer"]["apiKeyInfo"]["apiKeyId"] == key["apiKeyId"]


class Spool(io.BytesIO):
    """Calls a function before a key is written into it."""

    def __init__(self, key_id: str, call: Callable[[], None]) -> None:
        super().__init__()
        self.changed = False
        self._key_id = key_id
        self._call = call

    def write(self, data: Any) -> int:
        if bytes(data).startswith(f'"{self._key_id}"'.encode()):
            self._call()
            self.changed = True
        return super().write(data)


def is_brought(settings: Settings, read: dict[str, Any], key: dict[str, Any]) -> bool:
    """Whether a key of a file is brought, though the stored one changed since it was read."""

    async def bring() -> bool:
        async with Database(settings.model_copy(update={"pepper": SecretStr(PEPPER)})) as database:
            await database.prepare()
            return await bring_key(database, read, key)

    return asyncio.run(bring())


class TestRepeated:
    def test_a_repeated_import_changes_nothing_and_brings_later_changes(
        self, source: Side, target: Side, file: Path
    ) -> None:
        ids = [source.create()["api_key_id"] for _ in range(3)]
        moved(source, target, file)
        assert moved(source, target, file) == "Created 0 keys, updated 0; 3 were there already."
        target.keys.update_one({"_id": ids[1]}, {"$set": {"last_accessed_at": datetime.now(UTC)}})
        source.run("keys", "disable", ids[0])
        source.create()
        assert moved(source, target, file) == "Created 1 keys, updated 1; 2 were there already."
        assert target.documents()[ids[0]] == source.documents()[ids[0]]

    def test_a_key_with_more_changes_or_disabled_here_stays(self, source: Side, target: Side, file: Path) -> None:
        newer, revived = source.create()["api_key_id"], source.create()["api_key_id"]
        moved(source, target, file)
        target.run("keys", "disable", newer)
        target.run("keys", "disable", revived)
        for action in ("disable", "enable", "disable", "enable"):
            source.run("keys", action, revived)
        source.run("export", str(file.with_suffix(".2")))
        imported = target.run("import", str(file.with_suffix(".2")))
        assert (imported.returncode, imported.stdout.splitlines()[0]) == (
            1,
            "Created 0 keys, updated 0; 0 were there already.",
        )
        for key_id in (newer, revived):
            assert f"{key_id}: not older than in the file, or disabled or deleted here." in imported.stderr
            assert target.documents()[key_id]["state"] == "DISABLED"

    def test_a_key_that_was_deleted_here_stays_deleted(self, source: Side, target: Side, file: Path) -> None:
        key_id = source.create()["api_key_id"]
        moved(source, target, file)
        target.run("keys", "delete", key_id, "--yes")
        imported = target.run("import", str(file))
        assert imported.returncode == 1
        assert f"{key_id}: not older than in the file, or disabled or deleted here." in imported.stderr
        assert key_id not in target.documents()

    def test_a_key_that_both_sides_changed_has_one_entry_of_each_number(
        self, source: Side, target: Side, file: Path
    ) -> None:
        kept, replaced = source.create()["api_key_id"], source.create()["api_key_id"]
        moved(source, target, file)
        for key_id in (kept, replaced):
            target.run("rotate-key", key_id)
        source.run("rotate-key", kept)
        for action in ("disable", "enable"):
            source.run("keys", action, replaced)
        file.unlink()
        source.run("export", str(file))
        imported = target.run("import", str(file))
        assert imported.stdout.splitlines() == [
            "Created 0 keys, updated 1; 0 were there already.",
            "Added 1 entries to the audit log.",
        ]
        verified = target.run("audit-verify", "--domain-id", "d")
        assert verified.returncode == 0, verified.stdout

    def test_entries_behind_the_deletion_of_a_key_here_are_left_out(
        self, source: Side, target: Side, file: Path
    ) -> None:
        key_id = source.create()["api_key_id"]
        moved(source, target, file)
        target.run("keys", "delete", key_id, "--yes")
        here = target.entries()
        for action in ("disable", "enable"):
            source.run("keys", action, key_id)
        file.unlink()
        source.run("export", str(file))
        assert target.run("import", str(file)).stdout.endswith("Added 0 entries to the audit log.\n")
        assert target.entries() == here

    def test_entries_that_a_stopped_import_left_out_arrive_also_of_a_key_that_was_changed_since(
        self, source: Side, target: Side, file: Path
    ) -> None:
        key_id = source.create()["api_key_id"]
        moved(source, target, file)
        target.keys.database.audit.delete_many({})  # as if the import had stopped behind the keys
        target.run("rotate-key", key_id)
        imported = target.run("import", str(file))
        assert (imported.returncode, imported.stdout.splitlines()[-1]) == (1, "Added 1 entries to the audit log.")
        assert target.run("audit-verify", "--domain-id", "d").returncode == 0

    def test_uses_here_stay_where_a_key_is_replaced(self, source: Side, target: Side, file: Path) -> None:
        key_id = source.create()["api_key_id"]
        source.run("rotate-key", key_id)
        early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
        there = {"last_accessed_at": early, "secret_uses": {"1": early}}
        source.keys.update_one({"_id": key_id}, {"$set": there})
        moved(source, target, file)
        here = {"last_accessed_at": late, "secret_uses.2": late}
        target.keys.update_one({"_id": key_id}, {"$set": here})
        source.keys.update_one({"_id": key_id}, {"$set": {"name": "renamed"}, "$inc": {"audit_number": 1}})
        assert moved(source, target, file) == "Created 0 keys, updated 1; 0 were there already."
        key = target.documents()[key_id]
        # The newer secret was used here: the older one is still superseded.
        assert (key["name"], key["last_accessed_at"], key["secret_uses"]) == ("renamed", late, {"1": early, "2": late})

    def test_uses_here_of_another_secret_with_the_same_number_do_not_count(
        self, source: Side, target: Side, file: Path
    ) -> None:
        key_id = source.create()["api_key_id"]
        moved(source, target, file)
        used = datetime(2026, 1, 1, tzinfo=UTC)
        target.keys.update_one({"_id": key_id}, {"$set": {"last_accessed_at": used}})
        target.run("rotate-key", key_id)
        target.keys.update_one({"_id": key_id}, {"$set": {"secret_uses.2": used}})
        source.run("rotate-key", key_id)
        source.keys.update_one({"_id": key_id}, {"$inc": {"audit_number": 1}})
        assert moved(source, target, file) == "Created 0 keys, updated 1; 0 were there already."
        assert target.documents()[key_id]["secret_uses"] == {"1": used}

    def test_uses_in_the_file_arrive_also_for_a_key_that_was_not_changed(
        self, source: Side, target: Side, file: Path
    ) -> None:
        key_id = source.create()["api_key_id"]
        source.run("rotate-key", key_id)
        moved(source, target, file)
        early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
        target.keys.update_one({"_id": key_id}, {"$set": {"last_accessed_at": late, "secret_uses.1": late}})
        there = {"last_accessed_at": early, "secret_uses": {"1": early, "2": early}}
        source.keys.update_one({"_id": key_id}, {"$set": there})
        assert moved(source, target, file) == "Created 0 keys, updated 0; 1 were there already."
        key = target.documents()[key_id]
        assert (key["last_accessed_at"], key["secret_uses"]) == (late, {"1": late, "2": early})

    @pytest.mark.parametrize(
        "meanwhile",
        [
            {"digest": b"under the new pepper", "pepper": "the new one"},
            {"last_accessed_at": datetime(2026, 1, 1, tzinfo=UTC)},
        ],
    )
    def test_a_digest_that_moves_or_a_use_between_read_and_write_keeps_no_later_state_out(
        self, source: Side, settings: Settings, meanwhile: dict[str, Any]
    ) -> None:
        source.create()
        (read,) = source.documents().values()
        source.keys.update_one({"_id": read["_id"]}, {"$set": meanwhile})
        later = read | {"name": "renamed", "audit_number": 2}
        assert is_brought(settings, read, later)
        (key,) = source.documents().values()
        assert (key["name"], key["digest"]) == ("renamed", read["digest"])
        assert key["last_accessed_at"] == meanwhile.get("last_accessed_at")

    def test_a_key_that_is_disabled_or_deleted_between_read_and_write_stays_so(
        self, source: Side, settings: Settings
    ) -> None:
        source.create()
        (read,) = source.documents().values()
        later = read | {"name": "renamed", "audit_number": 3}
        source.run("keys", "disable", read["_id"])
        here = source.documents()
        assert not is_brought(settings, read, later)
        assert source.documents() == here
        source.run("keys", "delete", read["_id"], "--yes")
        assert not is_brought(settings, read, later)
        assert source.documents() == {}

    def test_keys_that_are_not_in_the_file_are_told(self, source: Side, target: Side, file: Path) -> None:
        source.create()
        target.create()
        source.run("export", str(file))
        assert target.run("import", str(file)).stderr.endswith("Keys of the database that are not in the file: 1.\n")

    def test_an_import_that_was_killed_is_repeated(self, source: Side, target: Side, file: Path) -> None:
        source.create()
        one = source.keys.find_one() or {}
        number = 20 * BATCH
        source.keys.insert_many([{**one, "_id": f"{one['_id']}{n:05}"} for n in range(number - 1)])
        source.run("export", str(file))
        target.create()
        environment = surroundings(**target.environment)
        with subprocess.Popen([*COMMAND, "import", str(file)], env=environment, stderr=subprocess.DEVNULL) as importing:
            wait_until(lambda: target.keys.count_documents({}) > 1 or importing.poll() is not None, 60)
            importing.kill()
        repeated = target.run("import", str(file))
        assert repeated.returncode == 0
        # The database may still have done what the killed process had sent.
        created, updated, there = map(int, re.findall(r"\d+", repeated.stdout.splitlines()[0]))
        assert (created + there, updated) == (number, 0)
        assert there > 0
        imported = target.documents()
        assert len(imported) == number + 1
        assert source.documents().items() <= imported.items()

    def test_through_a_pipe(self, source: Side, target: Side) -> None:
        source.create()
        exported = subprocess.run(
            [*COMMAND, "export", "-"], capture_output=True, env=surroundings(**source.environment), check=True
        )
        imported = subprocess.run(
            [*COMMAND, "import", "-"],
            input=exported.stdout,
            capture_output=True,
            env=surroundings(**target.environment),
            check=True,
        )
        assert imported.stdout.splitlines() == [
            b"Created 1 keys, updated 0; 0 were there already.",
            b"Added 1 entries to the audit log.",
        ]

    def test_through_a_pipe_that_has_a_name(self, source: Side, target: Side, file: Path, tmp_path: Path) -> None:
        source.create()
        source.run("export", str(file))
        os.mkfifo(tmp_path / "pipe")
        writing = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(file.read_bytes()))
        writing.start()
        imported = target.run("import", str(tmp_path / "pipe"))
        writing.join()
        assert imported.stdout.startswith("Created 1 keys")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_is_told(source: Side) -> None:
    source.create()
    with Path("/dev/full").open("wb") as full:
        environment = surroundings(**source.environment)
        exporting = subprocess.run([*COMMAND, "export", "-"], stdout=full, stderr=subprocess.PIPE, env=environment)
    assert exporting.returncode != 0
    assert b"Traceback" not in exporting.stderr
    assert b"gql-identity: No space left on device.\n" in exporting.stderr


class TestRefusals:
    @pytest.fixture
    def lines(self, source: Side, file: Path) -> list[Any]:
        source.create()
        source.create()
        source.run("export", str(file))
        return [json.loads(line) for line in file.read_text().splitlines()]

    def refused(self, target: Side, file: Path, text: str) -> str:
        file.write_text(text)
        refusal = target.run("import", str(file))
        assert (refusal.returncode, refusal.stdout) == (1, "")
        assert target.documents() == {}
        return refusal.stderr.splitlines()[-1]

    def test_the_wrong_pepper(self, source: Side, target: Side, file: Path, lines: list[Any]) -> None:
        target.environment["GQL_IDENTITY_PEPPERS_RETIRED"] = ""
        said = self.refused(target, file, file.read_text())
        assert f"the pepper of fingerprint {pepper_fingerprint(PEPPER)}, which is not among" in said
        target.environment["GQL_IDENTITY_PEPPERS_RETIRED"] = PEPPER
        assert target.run("import", str(file)).returncode == 0
        # From now on the database requires it.
        target.environment["GQL_IDENTITY_PEPPERS_RETIRED"] = ""
        assert pepper_fingerprint(PEPPER) in target.run("keys", "list").stderr

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda lines: lines[0].update(version=2), "exported by a newer version"),
            (lambda lines: lines[0].update(schema=99), "exported by a newer version"),
            (lambda lines: lines[0].update(format="x"), "line 1: this is not a file of `export`."),
            (lambda lines: lines[0].update(peppers=None), "line 1: the header is damaged."),
            (lambda lines: lines.pop(), "line 6: the file is cut off, or lines are missing."),
            (lambda lines: lines.pop(1), "line 5: the file is cut off, or lines are missing."),
            (lambda lines: lines.append(lines[1]), "line 7: the file goes on after its end."),
            (lambda lines: lines.insert(1, {"k": 1}), "line 2: it is neither a key, an entry nor the end"),
            (lambda lines: lines.insert(1, [1]), "line 2: it is not a JSON object."),
            (lambda lines: lines.insert(1, {"key": 1}), "line 2: the key is not a JSON object."),
            (lambda lines: lines[3]["entry"].update(action="X"), "line 4: the entry cannot be read."),
            (lambda lines: lines[3]["entry"].pop("number"), "line 4: the entry cannot be read."),
            (lambda lines: lines[0].update(exported_at="x"), "line 1: the header is damaged."),
            (lambda lines: lines[2]["key"].update(role="KING"), "line 3: the key's role cannot be read."),
            (lambda lines: lines[2]["key"].update(user_id=" u"), "line 3: the key's user_id cannot be read."),
            (lambda lines: lines[2]["key"].update(x={"$regex": "x"}), "line 3: the key's x cannot be read."),
            (lambda lines: lines[2]["key"].update(created_by={"$oid": "x"}), "line 3: it is not a JSON object."),
            (lambda lines: lines[2]["key"].update(x="\ud800"), "line 3: it is not a JSON object."),
            (lambda lines: lines[2]["key"].update(x=2**64), "line 3: it is not a JSON object."),
            (lambda lines: lines[2]["key"].update(x=nested(500)), "line 3: the key's x cannot be read."),
            (lambda lines: lines[2]["key"].update(x="x" * MAX_LINE_BYTES), "line 3: it is longer than"),
        ],
    )
    def test_a_file_that_is_not_whole(
        self, target: Side, file: Path, lines: list[Any], change: Callable[[list[Any]], Any], said: str
    ) -> None:
        change(lines)
        assert said in self.refused(target, file, "".join(f"{json.dumps(line)}\n" for line in lines))

    def test_a_file_cut_off_within_a_line_or_empty_or_missing(self, target: Side, file: Path, lines: list[Any]) -> None:
        text = file.read_text()
        for size in (0, 10, len(text) // 2, len(text) - 1):
            assert "the file is cut off" in self.refused(target, file, text[:size])
        file.unlink()
        refusal = target.run("import", str(file))
        assert refusal.stderr.endswith(f"gql-identity: {file}: No such file or directory.\n")

    def test_a_key_that_cannot_be_read_is_left_out(self, source: Side, target: Side, file: Path) -> None:
        bad, good = source.create()["api_key_id"], source.create()["api_key_id"]
        source.keys.update_one({"_id": bad}, {"$set": {"state": 1}})
        exported = source.run("export", str(file))
        assert exported.returncode == 0
        assert bad in exported.stderr
        assert "Left out 1 that cannot be read." in exported.stderr
        assert target.run("import", str(file)).returncode == 0
        assert list(target.documents()) == [good]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value
