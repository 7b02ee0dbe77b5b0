"""A data directory whose files do not belong together, or that others may use: refused, and nothing in it changes."""

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymongo
import pytest

from gql_identity.errors import StartError
from gql_identity.storage import data_directory
from gql_identity.storage.embedded import EmbeddedDatabase

from ..processes import COMMAND, refused, serving, surroundings
from .conftest import Run

Refusal = Callable[..., str]

FIRST_START = "first-start"
CREATE = ["create-key", "--domain-id", "d", "--user-id", "u", "--data-dir"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a service that made its first key and was stopped."""
    directory = tmp_path_factory.mktemp("original") / "data"
    with serving(directory) as service:
        assert service.stop() == 0
    return directory


@pytest.fixture
def directory(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "dir"))


def content(directory: Path) -> dict[str, Any]:
    """Every file of a directory with its content, and every folder and link."""
    left_out = {"lock", "WiredTiger.lock"}  # which any start locks
    return {
        str(path.relative_to(directory)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in sorted(directory.rglob("*"))
        if path.name not in left_out
    }


@pytest.fixture
def refusal(run: Run) -> Refusal:
    """What a command says about a directory that it refuses and leaves as it was; with `by_serve`, `serve` too."""

    def refusal(directory: Path, *, by_serve: bool = False) -> str:
        before = content(directory)
        # Without a service, `create-key` would start the database too.
        command = run(*CREATE, str(directory))
        database, _, said = command.stderr.partition("\n")
        assert (command.returncode, database) == (1, f"Database  embedded, its data in {directory.resolve()}")
        assert said.startswith(f"gql-identity: The data directory {directory} cannot be used: ")
        assert "Choose another with --data-dir." in said
        if by_serve:
            assert refused("--port", "0", "--data-dir", str(directory), workers=["1"]) == said
        assert content(directory) == before
        return said

    return refusal


def emptied(directory: Path) -> None:
    shutil.rmtree(directory / "data")
    (directory / "data").mkdir()


def test_a_whole_directory_is_accepted(directory: Path, run: Run) -> None:
    assert run(*CREATE, str(directory)).returncode == 0


def test_without_its_data_no_new_database_is_made_and_the_old_one_works_when_put_back(
    directory: Path, refusal: Refusal
) -> None:
    before = (directory / "embedded.json").read_bytes()
    shutil.copytree(directory / "data", directory.parent / "saved")
    emptied(directory)
    assert "data/ is missing or empty: restore it." in refusal(directory, by_serve=True)
    (directory / "data").rmdir()
    assert "data/ is missing or empty: restore it." in refusal(directory)
    assert (directory / "embedded.json").read_bytes() == before
    (directory.parent / "saved").rename(directory / "data")
    with serving(directory) as service:
        assert service.create()


def test_data_that_lacks_any_of_its_files_is_refused(directory: Path, refusal: Refusal) -> None:
    needed = {path.name for path in (directory / "data").iterdir()}
    needed -= {"WiredTiger.basecfg", "WiredTiger.lock"}  # which the engine makes anew, with what they had
    assert len(needed) > 15
    record = data_directory.find_record(directory)
    for lost in sorted(needed):
        (directory / "data" / lost).rename(directory.parent / "lost")
        named = "WiredTigerLog.*" if lost.startswith("WiredTigerLog.") else lost
        with pytest.raises(StartError, match=f"data/ lacks {re.escape(named)}: restore all of data/"):
            data_directory.is_first_start(directory, record)
        (directory.parent / "lost").rename(directory / "data" / lost)
    assert not data_directory.is_first_start(directory, record)
    (directory / "data" / "secantus_index_entries.wt").unlink()
    assert "data/ lacks secantus_index_entries.wt: restore all of data/." in refusal(directory)


DAMAGED = [
    "collections",
    "documents_sh",
    "index_entries",
    "natural_seq",
    "oplog_sh0",
    "unique_keys",
    "users",
    "indexes",
]


@pytest.mark.slow
@pytest.mark.parametrize("table", DAMAGED)
@pytest.mark.parametrize("damage", ["empty", "cut"])
def test_a_damaged_file_ends_the_start_with_a_sentence(directory: Path, table: str, damage: str, run: Run) -> None:
    for file in (directory / "data").glob(f"secantus_{table}*.wt"):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2 if damage == "cut" else 0])
    said = run(*CREATE, str(directory))
    assert "Traceback" not in said.stderr
    if said.returncode == 0 and table == "oplog_sh0":
        return  # the engine can make it anew
    assert said.returncode == 1
    assert "\ngql-identity: The " in said.stderr  # after the line that names the database
    assert re.search("[Rr]estore|Its log:", said.stderr), said.stderr


def test_data_without_its_journal_is_refused(directory: Path, refusal: Refusal) -> None:
    for journal in (directory / "data").glob("WiredTigerLog.*"):
        journal.unlink()
    assert "data/ lacks WiredTigerLog.*: restore all of data/." in refusal(directory)


def test_a_pepper_or_a_first_key_alone_is_refused(directory: Path, refusal: Refusal) -> None:
    (directory / "embedded.json").unlink()
    emptied(directory)
    assert "admin-key exists, but data/ and embedded.json are missing: restore both." in refusal(directory)
    (directory / "admin-key").unlink()
    assert "pepper exists, but data/ and embedded.json are missing: restore both." in refusal(directory)


def test_a_record_of_an_interrupted_start_beside_a_database_is_refused(directory: Path, refusal: Refusal) -> None:
    record = json.loads((directory / "embedded.json").read_bytes())
    (directory / "embedded.json").write_text(json.dumps(record | {"complete": False}))
    assert "embedded.json does not belong to the database in data/: restore the one that does." in refusal(directory)
    emptied(directory)
    assert "admin-key exists, but data/ and its embedded.json are missing" in refusal(directory)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pepper", b"", "pepper is empty: restore it from a backup"),
        ("pepper", b" \n", "pepper is empty: restore it from a backup"),
        ("pepper", b"short\n", "pepper is wrong: restore it from a backup (a pepper has at least 32 characters"),
        ("pepper", b"x" * 40 + b",", "pepper is wrong: restore it from a backup (a pepper has no comma"),
        ("pepper", b"\xff" * 40, "pepper is not text: restore it from a backup"),
        ("pepper", None, "pepper is missing: restore it, or set GQL_IDENTITY_PEPPER to the pepper that was used"),
        ("embedded.json", b"", "embedded.json is damaged: restore it from a backup"),
        ("embedded.json", b'{"complete": true, "host": "127.0', "embedded.json is damaged: restore it from a backup"),
        ("embedded.json", b"null", "embedded.json is damaged: restore it from a backup"),
        ("embedded.json", b"[" * 100_000, "embedded.json is damaged: restore it from a backup"),
        ("embedded.json", None, "embedded.json, with the password of its database, is missing: restore it"),
        ("secantusd.toml", b"auth = false\n", "secantusd.toml must be empty"),
    ],
)
def test_a_damaged_file_is_named(directory: Path, name: str, text: bytes | None, said: str, refusal: Refusal) -> None:
    if text is None:
        (directory / name).unlink()
    else:
        (directory / name).write_bytes(text)
    assert said in refusal(directory)


@pytest.mark.slow
def test_a_field_of_embedded_json_with_a_wrong_type_is_damage(directory: Path, refusal: Refusal) -> None:
    record = json.loads((directory / "embedded.json").read_bytes())
    for wrong in ({"complete": "yes"}, {"password": 7}, {"port": "x"}, {"host": None}, {"password": "p@evil.example/"}):
        (directory / "embedded.json").write_text(json.dumps(record | wrong))
        assert "embedded.json is damaged" in refusal(directory)


@pytest.mark.parametrize(
    "wrong",
    [{"host": "db.example"}, {"host": "127.0.0.1@x"}, {"port": 0}, {"port": 65_536}, {"port": -1}, {"port": True}],
)
def test_a_record_of_another_address_is_refused(directory: Path, wrong: dict[str, Any]) -> None:
    record = json.loads((directory / "embedded.json").read_bytes())
    (directory / "embedded.json").write_text(json.dumps(record | wrong))
    with pytest.raises(
        StartError, match=r"embedded\.json names another address than 127\.0\.0\.1 and a port: restore it"
    ):
        data_directory.find_record(directory)


@pytest.mark.parametrize("name", ["pepper", "admin-key", "embedded.json", "embedded.log", "data/secantus_users.wt"])
def test_a_hard_link_is_refused(directory: Path, name: str, refusal: Refusal) -> None:
    os.link(directory / name, directory.parent / "elsewhere")
    assert f"{name} is a hard link" in refusal(directory)


@pytest.mark.parametrize("through", ["its path", "a link"])
def test_a_directory_that_everybody_may_replace_is_refused(
    directory: Path, tmp_path: Path, through: str, refusal: Refusal, run: Run
) -> None:
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    if through == "its path":
        directory = directory.rename(above / "dir")
    else:
        (above / "link").symlink_to(directory)
        directory = above / "link"
    assert f"every user of this machine may replace it, as they may write to {above}" in refusal(directory)
    above.chmod(0o1777)
    assert run(*CREATE, str(directory)).returncode == 0


def test_a_directory_behind_a_link_that_is_safe_is_accepted(
    directory: Path, tmp_path: Path, refusal: Refusal, run: Run
) -> None:
    (tmp_path / "link").symlink_to(directory)
    assert run(*CREATE, str(tmp_path / "link")).returncode == 0
    directory = directory.rename(tmp_path / "elsewhere")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(directory)
    tmp_path.chmod(0o777)
    assert "may replace it" in refusal(tmp_path / "link")


@pytest.mark.parametrize("name", ["embedded.json", "embedded.json.new", "pepper", "admin-key", "embedded.log", "lock"])
@pytest.mark.parametrize("link", ["to a file", "to nothing"])
def test_a_symbolic_link_is_refused_and_nothing_is_written_through_it(
    directory: Path, name: str, link: str, refusal: Refusal
) -> None:
    target = directory.parent / "elsewhere"
    (directory / name).unlink(missing_ok=True)
    if link == "to a file":
        target.write_text("theirs")
    (directory / name).symlink_to(target)
    assert f"{name} is a symbolic link." in refusal(directory, by_serve=name == "pepper")
    assert not target.exists() or target.read_text() == "theirs"


def test_data_behind_a_link_is_refused(directory: Path, refusal: Refusal) -> None:
    (directory / "data").rename(directory.parent / "elsewhere")
    (directory / "data").symlink_to(directory.parent / "elsewhere")
    assert "data is a symbolic link." in refusal(directory)
    (directory / "data").unlink()
    (directory.parent / "elsewhere").rename(directory / "data")
    (directory / "data" / "secantus_users.wt").rename(directory.parent / "users")
    (directory / "data" / "secantus_users.wt").symlink_to(directory.parent / "users")
    assert "data/secantus_users.wt is a symbolic link." in refusal(directory)


def test_what_is_no_file_is_refused_and_not_waited_for(directory: Path) -> None:
    (directory / "pepper").unlink()
    os.mkfifo(directory / "pepper", 0o600)
    before = sorted(path.name for path in directory.iterdir())
    assert "pepper is not a file." in refused("--port", "0", "--data-dir", str(directory), workers=["1"])
    assert sorted(path.name for path in directory.iterdir()) == before


@pytest.mark.parametrize("name", ["", "data", "pepper", "data/secantus_users.wt"])
def test_a_directory_or_file_that_the_group_may_write_to_is_refused(
    directory: Path, name: str, refusal: Refusal
) -> None:
    (directory / name).chmod((directory / name).stat().st_mode | stat.S_IWGRP)
    said = refusal(directory)
    assert "write to" in said
    assert "run `chmod go-w` on it" in said


@pytest.mark.parametrize("name", ["pepper", "embedded.json", "admin-key"])
def test_a_secret_that_others_may_read_is_refused(directory: Path, name: str, refusal: Refusal, run: Run) -> None:
    (directory / name).chmod(0o640)
    assert run(*CREATE, str(directory)).returncode == 0
    (directory / name).chmod(0o640)  # the start has made embedded.json anew
    directory.chmod(0o750)
    assert f"other users may read {name} (run `chmod 600` on it)." in refusal(directory)


@pytest.mark.parametrize(("name", "mode"), [("admin-key.1", 0o600), ("pepper.new", 0o600), ("data", 0o700)])
def test_earlier_keys_and_the_data_are_secrets_too(directory: Path, name: str, mode: int, refusal: Refusal) -> None:
    directory.chmod(0o755)
    if name != "data":
        (directory / name).write_text("a secret")
    (directory / name).chmod(0o755 if name == "data" else 0o644)
    assert f"other users may read {name} (run `chmod {mode:o}` on it)." in refusal(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("name", ["", "pepper", "data/secantus_users.wt"])
def test_a_directory_or_file_of_another_user_is_refused(directory: Path, name: str, refusal: Refusal) -> None:
    os.chown(directory / name, 12345, -1)
    assert "belongs to user 12345, and the service runs as user 0." in refusal(directory, by_serve=True)


@pytest.mark.slow
@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_whatever_the_umask_is_all_is_for_its_owner_alone(tmp_path: Path, mask: int) -> None:
    directory = tmp_path / "new" / "data"
    options: dict[str, Any] = {"env": surroundings(), "umask": mask}
    serve = [*COMMAND, "serve", "--port", "0", "--data-dir", str(directory)]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options) as service:
        assert service.stdout is not None
        assert service.stdout.readline().startswith(b"API")
        service.terminate()
        assert service.wait(30) == 0
    assert (
        subprocess.run([*COMMAND, *CREATE, str(directory)], capture_output=True, check=False, **options).returncode == 0
    )
    for path in (directory.parent, directory, *directory.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
        assert path.stat().st_mode & 0o600 == 0o600, path


@pytest.mark.parametrize("then", ["nothing", "a pepper"])
def test_an_interrupted_first_start_is_begun_again_and_keeps_its_pepper(tmp_path: Path, then: str) -> None:
    record = {"complete": False, "host": "127.0.0.1", "port": None, "username": "identity", "password": "p", "pid": 1}
    data_directory.prepare(tmp_path)
    data_directory.write_record(tmp_path, record)
    data_directory.begin_first_start(tmp_path)
    (tmp_path / "data" / "WiredTiger").write_text("half of it")
    if then == "a pepper":
        data_directory.make_pepper(tmp_path)
        pepper = data_directory.get_pepper(tmp_path)
    with EmbeddedDatabase(tmp_path, own_pepper=True) as database:
        assert database.uri
        assert not (tmp_path / "data" / FIRST_START).exists()
        if then == "a pepper":
            assert data_directory.get_pepper(tmp_path) == pepper


def test_another_directory_s_record_is_refused(directory: Path, tmp_path: Path) -> None:
    with EmbeddedDatabase(tmp_path / "other"):
        pass
    shutil.copy(tmp_path / "other" / "embedded.json", directory / "embedded.json")
    with (
        pytest.raises(StartError, match=r"refuses the password: embedded\.json does not belong to data/\. Restore"),
        EmbeddedDatabase(directory),
    ):
        pass


def test_a_new_first_key_overwrites_no_earlier_one(directory: Path) -> None:
    first = (directory / "admin-key").read_text()
    with EmbeddedDatabase(directory) as database, pymongo.MongoClient[dict[str, Any]](database.uri) as client:
        client.identity.api_keys.delete_many({})
    with serving(directory) as service:
        assert service.admin_key != first.strip()
        assert service.create()
    assert (directory / "admin-key.1").read_text() == first


def test_a_pepper_of_the_environment_needs_no_file(tmp_path: Path, run: Run) -> None:
    pepper: Any = {"GQL_IDENTITY_PEPPER": "a pepper of the environment that is long enough"}
    with serving(tmp_path / "data", **pepper) as service:
        assert service.stop() == 0
    assert run(*CREATE, str(tmp_path / "data"), **pepper).returncode == 0
    assert not (tmp_path / "data" / "pepper").exists()
    said = run(*CREATE, str(tmp_path / "data"))
    assert said.returncode == 1
    assert "pepper is missing: restore it, or set GQL_IDENTITY_PEPPER" in said.stderr
