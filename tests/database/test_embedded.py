import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from gql_identity.errors import StartError
from gql_identity.storage import engine
from gql_identity.storage.embedded import EmbeddedDatabase, running_uri

from ..processes import wait_until

PARENT = """
import sys, time
from pathlib import Path
from gql_identity.storage.embedded import EmbeddedDatabase
print("starting", flush=True)
with EmbeddedDatabase(Path(sys.argv[1])) as database:
    print(database.pid, flush=True)
    time.sleep(60)
"""

WORKER = """
import os, subprocess, sys, time
if len(sys.argv) == 1:
    subprocess.Popen([sys.executable, "-c", os.environ["WORKER"], str(os.getpid())])
else:
    from gql_identity.server.process import end_with_parent
    end_with_parent(int(sys.argv[1]))
    print(os.getpid(), flush=True)
time.sleep(60)
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    before = left_running()
    yield
    assert left_running() == before


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, EmbeddedDatabase]]:
    """A data directory and its database, for tests that leave it as it was."""
    directory = tmp_path_factory.mktemp("embedded") / "new" / "data-dir"
    with EmbeddedDatabase(directory) as database:
        yield directory, database


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that was empty and open to others before it was used."""
    directory = tmp_path_factory.mktemp("embedded")
    directory.chmod(0o755)
    with EmbeddedDatabase(directory) as database:
        write(database.uri, "kept")
    return directory


@pytest.fixture
def made(pristine: Path, tmp_path: Path) -> Path:
    """A data directory whose database was stopped in order, and holds what is called kept."""
    return Path(shutil.copytree(pristine, tmp_path / "made"))


def test_what_was_written_is_there_after_a_restart(made: Path) -> None:
    with EmbeddedDatabase(made) as database:
        assert read(database.uri) == {"kept"}


def test_stopping_ends_the_process_and_may_be_repeated(made: Path) -> None:
    database = EmbeddedDatabase(made)
    with database:
        child = database.pid
        assert child is not None
        assert is_running(child)
    assert not is_running(child)
    database.stop()


def test_every_file_is_for_its_owner_alone(running: tuple[Path, EmbeddedDatabase]) -> None:
    directory, _ = running
    modes = {str(path.relative_to(directory)): path.stat().st_mode & 0o777 for path in directory.rglob("*")}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert set(modes) > {"data", "embedded.json", "embedded.log", "lock", "secantusd.toml"}
    assert {path: mode for path, mode in modes.items() if mode & 0o077} == {}


def test_an_empty_directory_that_others_may_read_is_closed_to_them(pristine: Path) -> None:
    assert pristine.stat().st_mode & 0o777 == 0o700


def test_a_directory_with_other_things_keeps_its_mode(made: Path) -> None:
    (made / "theirs").touch()
    made.chmod(0o755)
    with EmbeddedDatabase(made):
        assert made.stat().st_mode & 0o777 == 0o755


def test_a_directory_that_everyone_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    tmp_path.chmod(0o777)
    with pytest.raises(StartError, match="every user of this machine may write to it"), EmbeddedDatabase(tmp_path):
        pass


def test_a_second_one_on_the_same_directory_is_refused_at_once(running: tuple[Path, EmbeddedDatabase]) -> None:
    directory, database = running
    begun = time.monotonic()
    with pytest.raises(StartError) as refusal, EmbeddedDatabase(directory):
        pass
    assert time.monotonic() - begun < 4  # for a port that is taken it waits five
    assert str(directory) in str(refusal.value)
    assert f"process {os.getpid()}" in str(refusal.value)
    assert read(database.uri) == set()


def test_without_the_password_another_process_can_read_and_write_nothing(made: Path) -> None:
    attempts: list[Callable[[MongoClient[dict[str, Any]]], object]] = [
        lambda client: client.identity.things.find_one(),
        lambda client: client.identity.things.insert_one({}),
        lambda client: client.identity.things.drop(),
        lambda client: client.identity.things.watch(),
        lambda client: client.list_database_names(),
        lambda client: client.admin.command("createUser", "mallory", pwd="x", roles=["root"]),
        lambda client: client.admin.command("updateUser", "identity", pwd="x"),
        lambda client: client.admin.command("usersInfo", 1),
    ]
    with EmbeddedDatabase(made) as database:
        password = password_of(made)
        address = database.uri.split("@")[1].split("/")[0]
        wrong = database.uri.replace(password, "x" * len(password))
        for uri in (f"mongodb://{address}/?directConnection=true", wrong):
            for attempt in attempts:
                # A client each: one that was refused looks away for a while.
                with connect(uri) as client, pytest.raises(OperationFailure):
                    attempt(client)
        assert read(database.uri) == {"kept"}


def test_the_password_is_in_no_repr_and_on_no_command_line(running: tuple[Path, EmbeddedDatabase]) -> None:
    directory, database = running
    password = password_of(directory)
    assert password in database.uri
    assert len(password) >= 43
    assert password not in repr(database)
    assert password not in (directory / "embedded.log").read_text()
    if sys.platform == "linux":
        assert "secantusd-rs" in command_of(database.pid)
        assert password not in command_of(database.pid)


def test_a_killed_child_is_back_on_the_same_port_with_its_data_within_two_seconds(
    made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedDatabase(made) as database:
        uri = database.uri
        took = []
        for _ in range(2):
            killed = kill_child(database)
            begun = time.monotonic()
            until_it_answers(uri)
            took.append(time.monotonic() - begun)
            assert database.pid != killed
            assert database.uri == uri == running_uri(made)
        assert read(uri) == {"kept"}
    # The better of the two, since a machine busy with other tests may be slow once.
    assert min(took) < 2
    assert [record.levelname for record in caplog.records if "being restarted" in record.message] == ["WARNING"] * 2


def test_a_write_that_was_acknowledged_survives_a_kill(made: Path) -> None:
    acknowledged: set[str] = set()

    def write_until(killed: threading.Event, uri: str, kill: int) -> None:
        with connect(uri + "&retryWrites=false") as client, suppress(PyMongoError):
            for number in count():
                name = f"{kill} {number}"
                client.identity.things.insert_one({"_id": name})
                acknowledged.add(name)
                # The client may find out between two writes and wait for the restart, without an error.
                if killed.is_set():
                    return

    with EmbeddedDatabase(made) as database:
        for kill in range(2):
            killed = threading.Event()
            writer = threading.Thread(target=write_until, args=[killed, database.uri, kill])
            writer.start()
            wait_until(lambda kill=kill: len(acknowledged) > 10 * (kill + 1), 30)
            kill_child(database)
            killed.set()
            writer.join()
            until_it_answers(database.uri)
        assert len(acknowledged) > 20
        assert acknowledged - read(database.uri) == set()


@on_linux
def test_a_killed_service_takes_its_database_along_and_a_new_one_starts_at_once(made: Path) -> None:
    with parent(made) as service:
        child = int(line_of(service))
        uri = running_uri(made)
        assert uri is not None
        write(uri, "written")
        service.kill()
        service.wait()
        begun = time.monotonic()
        with EmbeddedDatabase(made) as database:
            assert time.monotonic() - begun < 5
            assert not is_running(child)
            assert read(database.uri) == {"kept", "written"}


@pytest.mark.slow
@on_linux
def test_a_first_start_cut_short_anywhere_is_begun_again(tmp_path: Path) -> None:
    for seconds in (0.05, 0.15, 0.3, 0.45, 0.6):
        with parent(tmp_path) as service:
            time.sleep(seconds)
            service.kill()
    with EmbeddedDatabase(tmp_path) as database:
        write(database.uri, "works")


@on_linux
def test_a_worker_ends_with_its_parent() -> None:
    environment = os.environ | {"WORKER": WORKER}
    with subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, env=environment) as service:
        worker = int(line_of(service))
        assert is_running(worker)
        service.kill()
    assert ends_within_a_second(worker)


@on_linux
def test_a_worker_whose_parent_has_gone_already_ends() -> None:
    script = "from gql_identity.server.process import end_with_parent; end_with_parent(1 << 30); print('lives')"
    ended = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stdout) == (1, b"")


@pytest.mark.parametrize("trace", ["a user", "a document"])
def test_whoever_slips_in_before_the_password_gains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trace: str
) -> None:
    launch = EmbeddedDatabase._launch

    def launch_and_slip_in(database: EmbeddedDatabase, *flags: str) -> int:
        port = launch(database, *flags)
        if not flags:
            with connect(f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
                if trace == "a user":
                    client.elsewhere.command("createUser", "mallory", pwd="x", roles=["root"])
                else:
                    client.identity.things.insert_one({"_id": "planted"})
        return port

    monkeypatch.setattr(EmbeddedDatabase, "_launch", launch_and_slip_in)
    with pytest.raises(StartError, match="start again"), EmbeddedDatabase(tmp_path):
        pass
    monkeypatch.undo()
    with EmbeddedDatabase(tmp_path) as database:
        assert read(database.uri) == set()
        with connect(database.uri) as client:
            assert client.elsewhere.command("usersInfo", 1)["users"] == []


def test_data_whose_password_is_missing_is_refused_and_kept(made: Path) -> None:
    (made / "embedded.json").rename(made / "away")
    with pytest.raises(StartError, match=r"embedded\.json"), EmbeddedDatabase(made):
        pass
    (made / "embedded.json").write_text("{")
    with pytest.raises(StartError, match="damaged"), EmbeddedDatabase(made):
        pass
    (made / "away").rename(made / "embedded.json")
    with EmbeddedDatabase(made) as database:
        assert read(database.uri) == {"kept"}


def test_a_password_that_is_not_the_database_s_is_refused(made: Path) -> None:
    record = json.loads((made / "embedded.json").read_bytes())
    (made / "embedded.json").write_text(json.dumps(record | {"password": "another"}))
    with pytest.raises(StartError, match="refuses the password"), EmbeddedDatabase(made):
        pass


def test_what_the_engine_said_is_passed_on_when_it_cannot_open_its_data(made: Path) -> None:
    (made / "data" / "WiredTiger.turtle").write_text("nonsense")
    with pytest.raises(StartError, match=r"(?s)ended with code .*turtle"), EmbeddedDatabase(made):
        pass


def test_a_data_directory_that_is_a_file_is_refused_in_clear_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StartError, match=r"cannot be used: .*--data-dir"), EmbeddedDatabase(directory):
            pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_directory_that_cannot_be_written_to_is_refused_in_clear_words(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StartError, match=r"cannot be used: .*--data-dir"), EmbeddedDatabase(tmp_path / "below"):
        pass


def test_a_missing_wheel_is_named_with_both_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_DISTRIBUTION", "not-installed"), ("_BINARY", "not/there")):
        with monkeypatch.context() as patch:
            patch.setattr(engine, name, value)
            with pytest.raises(StartError) as refusal, EmbeddedDatabase(tmp_path / "new"):
                pass
        assert "install gql-identity with its extra `embedded`" in str(refusal.value)
        assert "--mongo-uri" in str(refusal.value)
        assert not (tmp_path / "new").exists()


def test_the_machine_s_own_configuration_of_the_engine_is_not_read(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (made / ".secantus").mkdir()
    (made / ".secantus" / "secantusd.toml").write_text("nonsense")
    monkeypatch.setenv("SECANTUS_OPLOG_ASYNC", "1")
    with EmbeddedDatabase(made) as database:
        assert read(database.uri) == {"kept"}
        if sys.platform == "linux":
            assert b"SECANTUS" not in Path(f"/proc/{database.pid}/environ").read_bytes()


def test_a_running_service_s_uri_is_known_only_while_it_runs(made: Path) -> None:
    assert running_uri(made / "nowhere") is None
    assert running_uri(made) is None
    with EmbeddedDatabase(made) as database:
        assert running_uri(made) == database.uri
    assert running_uri(made) is None


def test_asking_for_the_uri_never_stands_in_the_way_of_a_start(made: Path) -> None:
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            running_uri(made)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        with EmbeddedDatabase(made) as database:
            assert read(database.uri) == {"kept"}
    finally:
        stop.set()
        asking.join()


def connect(uri: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(uri, serverSelectionTimeoutMS=1_000, timeoutMS=5_000)


def write(uri: str, name: str) -> None:
    with connect(uri) as client:
        client.identity.things.insert_one({"_id": name})


def read(uri: str) -> set[str]:
    with connect(uri) as client:
        return {thing["_id"] for thing in client.identity.things.find()}


def kill_child(database: EmbeddedDatabase) -> int:
    child = database.pid
    assert child is not None
    os.kill(child, 9)
    return child


def until_it_answers(uri: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=100) as client:
                client.list_database_names()
                return
        except PyMongoError:
            assert time.monotonic() < deadline


def parent(directory: Path) -> subprocess.Popen[bytes]:
    """A service of its own on the directory, which has begun to start."""
    service = subprocess.Popen([sys.executable, "-c", PARENT, str(directory)], stdout=subprocess.PIPE)
    assert line_of(service) == "starting"
    return service


def line_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def ends_within_a_second(pid: int) -> bool:
    deadline = time.monotonic() + 1
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return sys.platform != "linux" or stat_of(pid)[:1] not in ([], ["Z"])


def left_running() -> set[str | int]:
    """Threads that keep a database running, and databases that are children of this process."""
    threads = [thread.name for thread in threading.enumerate() if thread.name == "embedded-database"]
    paths = Path("/proc").iterdir() if sys.platform == "linux" else ()
    processes = [int(path.name) for path in paths if path.name.isdigit()]
    mine = [pid for pid in processes if stat_of(pid)[1:2] == [str(os.getpid())] and "secantusd" in command_of(pid)]
    return {*threads, *mine}


def password_of(directory: Path) -> str:
    return str(json.loads((directory / "embedded.json").read_bytes())["password"])


def command_of(pid: int | None) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def stat_of(pid: int) -> list[str]:
    """What Linux says of a process, from its state on; nothing where it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
