"""The embedded database: a MongoDB-protocol server that runs as a child of this process and ends with it.

What it holds of the data directory:

    data/             the engine's files
    embedded.json     address, user and password, for commands that run beside the service
    embedded.log      what the engine says, from its last start on
    lock              locked while a service runs here; has that service's process id
    secantusd.toml    the engine's configuration, empty, so that it takes no other from the machine
"""

import ctypes
import importlib.metadata
import json
import logging
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from ..errors import StartError

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

_DISTRIBUTION = "secantusdb"
_BINARY = "secantusdb.scripts/secantusd-rs"
_HOST = "127.0.0.1"
_USER = "identity"
_READY_SECONDS = 30.0
_CLEAR_SECONDS = 5.0
_STOP_SECONDS = 1.5  # of the 10 that a stop may take; nothing acknowledged is lost by the kill that follows
_ANSWER_MS = 10_000
_STEADY_SECONDS = 1.0  # a child that ran so long did start, so the next restart is quick again
_LOOK_SECONDS = 0.5  # between two looks at what the child says
_MUST_RESTART = "WT_PANIC"  # the engine's word for it
_RESTART_SECONDS = (0.1, 5.0)  # the first wait before a restart, and the longest
# Failures that pass: another process took the port, or the child of a service that was killed has not gone yet.
_PASSING = ("failed to bind", "already being managed by another process")
# Below the ports that systems give to outgoing connections: after a crash none of those can sit on ours.
_PORTS = range(10_240, 30_000)
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_STOPPED = "The embedded database was stopped before it had started."
_MEDDLED = (
    "Another process wrote to the embedded database in {} in the moment before it had a password, or it did not end in "
    "order. Nothing of it is used: start again, and it is made anew."
)

# Runs as the child until it becomes the engine. `preexec_fn` would do the same, but is unsafe where threads run.
_LAUNCHER = f"""
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {_SIGKILL})
if os.getppid() != int(sys.argv[1]):
    sys.exit("the service ended before its database began")
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedDatabase:
    """The database's child process; a context manager.

    Entering returns once the database answers, and raises StartError where it cannot be started. A child that dies is
    started again on the same port; leaving stops it. However this process ends, on Linux the child ends with it.
    """

    uri: str
    """Where the database answers, with its password; set once it has started."""

    def __init__(self, data_dir: Path) -> None:
        self._directory = data_dir.absolute()
        self._lock: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._said_before = 0  # how long the log was when the child began
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._stopping = threading.Event()
        self._spawning = threading.Lock()  # so that no child begins after `stop` has looked for one
        # Linux ends the child when the thread that made it ends, so one thread makes every child and lasts.
        self._thread = threading.Thread(target=self._run, name="embedded-database", daemon=True)

    def __enter__(self) -> Self:
        if sys.platform == "win32":
            raise StartError("The embedded database runs on Linux and macOS: name a MongoDB with --mongo-uri.")
        self._command = _find_binary()
        try:
            _prepare_directory(self._directory)
            self._lock = _take_lock(self._directory)
            _open_private(self._directory / "secantusd.toml", os.O_TRUNC).close()
            _open_private(self._directory / "embedded.log", os.O_TRUNC).close()
            self._thread.start()
            self._started.wait()
            if self._failure is not None:
                raise self._failure
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError):
                raise StartError(_unusable(self._directory, error.strerror or str(error))) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The child's process id, another one after a restart; None before the first."""
        return None if self._child is None else self._child.pid

    def stop(self) -> None:
        """End the child, within seconds whatever it is doing; once it has ended, do nothing."""
        with self._spawning:
            self._stopping.set()
        _end(self._child)
        if self._thread.ident is not None:
            self._thread.join()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _run(self) -> None:
        try:
            port = self._start()
        except BaseException as error:
            _end(self._child)
            self._failure = error
            return
        finally:
            self._started.set()
        self._keep_running(port)

    def _start(self) -> int:
        """Start the child and return its port once it answers."""
        data = self._directory / "data"
        has_data = data.is_dir() and any(data.iterdir())
        record = _read_record(self._directory)
        if has_data and record is None:
            raise StartError(_unusable(self._directory, "embedded.json, with the password of its database, is missing"))
        # A record that is not complete is of a first start that was cut short: nothing was ever kept in its data.
        if record is None or not record["complete"] or not has_data:
            record = {"complete": False, "host": _HOST, "username": _USER, "password": secrets.token_urlsafe(32)}
        # The port of an earlier start leads nowhere, so until this one has its own there is none.
        record |= {"port": None, "pid": os.getpid()}
        _write_record(self._directory, record)
        if not record["complete"]:
            shutil.rmtree(data, ignore_errors=True)
            self._make_user(record["password"])
        port = record["port"] = self._launch("--auth")
        uri = _uri(record)
        try:
            with MongoClient[dict[str, Any]](uri, timeoutMS=_ANSWER_MS) as client:
                made_by_others = set(client.list_database_names()) - {"admin", "config", "local"}
        except PyMongoError as error:
            raise StartError(f"The embedded database in {self._directory} does not let us in: {error}") from error
        if made_by_others and not record["complete"]:
            raise StartError(_MEDDLED.format(self._directory))
        _write_record(self._directory, record | {"complete": True})
        self.uri = uri
        return port

    def _make_user(self, password: str) -> None:
        """Make the one user that may log in, on an engine that asks nobody for a password meanwhile."""
        port = self._launch()
        try:
            with MongoClient[dict[str, Any]](_HOST, port, directConnection=True, timeoutMS=_ANSWER_MS) as client:
                client.admin.command("createUser", _USER, pwd=password, roles=["root"], mechanisms=["SCRAM-SHA-256"])
        except PyMongoError as error:
            raise StartError(f"The embedded database could not be given a password: {error}") from error
        _end(self._child, _READY_SECONDS)
        # The engine lists users by the name of their database alone, so it cannot say who else was made in this
        # moment; its file of users, complete after an orderly end, can.
        users = (self._directory / "data" / "secantus_users.wt").read_bytes().count(b"\x03credentials\x00")
        if self._child is None or self._child.returncode != 0 or users != 1:
            raise StartError(_MEDDLED.format(self._directory))

    def _launch(self, *flags: str) -> int:
        """Start the child on a free port and return that port once it listens there."""
        begun = time.monotonic()
        while True:
            port = _free_port()
            child = self._spawn(port, *flags)
            while child.poll() is None and time.monotonic() < begun + _READY_SECONDS:
                # Its own word that it has the port: whoever else listened there would be sent a password.
                if f"listening on {_HOST}:{port}\n" in self._said():
                    return port
                if self._stopping.wait(0.02):
                    raise StartError(_STOPPED)
            passing = child.returncode == 1 and any(reason in self._said() for reason in _PASSING)
            if not passing or time.monotonic() > begun + _CLEAR_SECONDS:
                raise StartError(self._failed())
            self._stopping.wait(0.1)

    def _spawn(self, port: int, *flags: str) -> subprocess.Popen[bytes]:
        """Make the child; raises StartError once this database was told to stop, and OSError."""
        with self._spawning:
            if self._stopping.is_set():
                raise StartError(_STOPPED)
            command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(self._command)]
            command += ["--config", "secantusd.toml", "--host", _HOST, "--port", str(port), "--storage-path", "data"]
            # Without --sync-on-commit a crash loses writes that were acknowledged.
            command += ["--sync-on-commit", "--log-file-max", "32MB", "--cache-size", "256M", *flags]
            # Nor does it need our settings, with the pepper among them.
            not_passed_on = ("SECANTUS_", "GQL_IDENTITY_")
            environment = {name: value for name, value in os.environ.items() if not name.startswith(not_passed_on)}
            with _open_private(self._directory / "embedded.log", os.O_APPEND) as log:
                self._said_before = os.fstat(log.fileno()).st_size
                self._child = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._directory,
                    env=environment | {"HOME": str(self._directory)},
                    start_new_session=True,
                    umask=0o077,
                )
            return self._child

    def _keep_running(self, port: int) -> None:
        """Start the child again whenever it ends, until told to stop."""
        shortest, longest = _RESTART_SECONDS
        delay = shortest
        while self._child is not None:
            begun = time.monotonic()
            code = self._wait(self._child)
            if time.monotonic() - begun > _STEADY_SECONDS:
                delay = shortest
            if self._stopping.is_set():
                return
            logger.warning("The embedded database ended with code %d and is started again (see embedded.log).", code)
            if self._stopping.wait(delay):
                return
            delay = min(2 * delay, longest)
            try:
                self._spawn(port, "--auth")
            except StartError:
                return
            except OSError as error:
                logger.warning("The embedded database could not be started again: %s", error)

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        """Wait until the child ends, and answer its exit code."""
        while True:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(_LOOK_SECONDS)
            # After such a failure, as on a full disk, it refuses everything but does not end by itself.
            if _MUST_RESTART in self._said():
                child.kill()

    def _said(self) -> str:
        with (self._directory / "embedded.log").open("rb") as log:
            log.seek(self._said_before)
            return log.read().decode(errors="replace")

    def _failed(self) -> str:
        code = None if self._child is None else self._child.poll()
        outcome = f"did not answer within {_READY_SECONDS:.0f} s" if code is None else f"ended with code {code}"
        said = "\n".join(f"  {line}" for line in self._said().splitlines()[-20:])
        return f"The embedded database in {self._directory} {outcome}. It said:\n{said or '  nothing'}"


def running_uri(data_dir: Path) -> str | None:
    """The URI, with its password, of the database that a running service holds on this directory.

    None where no service runs, or one is still starting. Raises StartError where its files are not ours to read.
    """
    directory = data_dir.absolute()
    if sys.platform == "win32" or not (directory / "lock").exists():
        return None
    try:
        with (directory / "lock").open("rb") as lock:
            # A shared lock, let go at once: it says that nobody holds the other kind.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        record = _read_record(directory)
    except OSError as error:
        raise StartError(_unusable(directory, error.strerror or str(error))) from error
    return _uri(record) if record and record["complete"] and record["port"] else None


def end_with_parent(parent: int) -> None:
    """Have this process killed when its parent, whose process id is given, ends however it ends (Linux).

    For worker processes, before they do anything else. Where the parent has gone already, this process ends here.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _find_binary() -> Path:
    """The engine's path, found without importing its package, whose licence is not ours."""
    try:
        binary = Path(str(importlib.metadata.distribution(_DISTRIBUTION).locate_file(_BINARY)))
    except importlib.metadata.PackageNotFoundError:
        binary = None
    if binary is None or not os.access(binary, os.X_OK):
        raise StartError(
            "The embedded database is not installed: run pip install 'gql-identity[embedded]'. Where that finds no "
            "wheel for this platform or version of Python, name a MongoDB with --mongo-uri."
        )
    return binary.resolve()


def _prepare_directory(directory: Path) -> None:
    """Make the directory, for its owner alone.

    One that exists and holds something may serve others too, so its mode stays; what is put in it is private anyway.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid == os.geteuid() and not any(directory.iterdir()):
        directory.chmod(0o700)
    elif status.st_mode & stat.S_IWOTH:
        raise StartError(_unusable(directory, "every user of this machine may write to it"))


def _take_lock(directory: Path) -> int:
    """A descriptor that holds the directory until it is closed."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for attempt in range(8):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Perhaps it is only `running_uri` looking, or a service that was killed and is not quite gone.
            time.sleep(0.01 * attempt)
        else:
            os.truncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock
    holder = os.pread(lock, 20, 0).decode() or "unknown"
    os.close(lock)
    raise StartError(f"The data directory {directory} is in use by a running service, process {holder}.")


def _end(child: subprocess.Popen[bytes] | None, patience_seconds: float = _STOP_SECONDS) -> None:
    if child is None:
        return
    child.terminate()
    try:
        child.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _free_port() -> int:
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port


def _open_private(path: Path, flags: int) -> Any:
    return open(path, "wb", buffering=0, opener=lambda name, _: os.open(name, os.O_WRONLY | os.O_CREAT | flags, 0o600))


def _read_record(directory: Path) -> dict[str, Any] | None:
    path = directory / "embedded.json"
    try:
        record = json.loads(path.read_bytes())
        return {name: record[name] for name in ("complete", "host", "port", "username", "password", "pid")}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(_unusable(directory, f"embedded.json: {error.strerror}")) from error
    except (ValueError, KeyError, TypeError):
        raise StartError(_unusable(directory, "embedded.json is damaged")) from None


def _write_record(directory: Path, record: dict[str, Any]) -> None:
    """Replace the record as a whole, and return once it would survive a power cut: without it the data is lost."""
    new = directory / "embedded.json.new"
    with _open_private(new, os.O_TRUNC) as file:
        file.write(json.dumps(record).encode())
        os.fsync(file.fileno())
    new.replace(directory / "embedded.json")
    held = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def _uri(record: dict[str, Any]) -> str:
    # The password is of characters that need no escaping.
    return (
        f"mongodb://{record['username']}:{record['password']}@{record['host']}:{record['port']}/identity"
        "?authSource=admin&authMechanism=SCRAM-SHA-256&directConnection=true"
    )


def _unusable(directory: Path, why: str) -> str:
    return f"The data directory {directory} cannot be used: {why}. Choose another with --data-dir."
