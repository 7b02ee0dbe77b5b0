"""The embedded database: a server of the MongoDB protocol that runs as a child process and ends with this process."""

import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymongo
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from ..errors import StartError
from ..metrics import EMBEDDED_RESTARTS
from . import data_directory
from .data_directory import HOST, open_private, unusable
from .engine import command_line, end, find_binary, free_port

logger = logging.getLogger(__name__)

_USER = "identity"
_READY_SECONDS = 30.0
_CLEAR_SECONDS = 5.0
_STOP_SECONDS = 1.5  # before a kill, which loses no acknowledged write; a stop may take 10 in all
_ANSWER_SECONDS = 10.0
_STEADY_SECONDS = 1.0  # a child that ran this long counts as started: the next restart does not wait longer
_MESSAGE_BYTES = 1_000_000  # read at once from the child's log
_CHECK_SECONDS = 0.5  # between two checks of the child's log
_MUST_RESTART = b"WT_PANIC"  # in the engine's log: a failure that only a restart clears
_RESTART_SECONDS = (0.1, 2.0)  # the first wait before a restart, and the longest
# Temporary failures: another process took the port, or the child of a killed service is still running.
_TEMPORARY = ("failed to bind", "already being managed by another process")
_STOPPED = "The embedded database was stopped before it had started."
_NOT_AUTHENTICATED = 18  # MongoDB's code for a wrong user or password
_LEAST_BYTES = 1_000_000  # with less the engine cannot start
_FULL = "The disk of {} is full: make room, then start again."
_TAMPERED = (
    "Another process may have written to the embedded database in {} before its password was set, or the database did "
    "not end cleanly. It is discarded: start again to make a new one."
)


class EmbeddedDatabase:
    """The database's child process; a context manager.

    Entering returns when the database responds, and raises StartError if it cannot start. A child that ends is
    restarted on the same port; leaving stops it. On Linux the child ends even if this process is killed.
    """

    uri: str
    """The connection string, with its password; set once the database has started."""

    def __init__(self, data_dir: Path, *, own_pepper: bool = False) -> None:
        """With `own_pepper`, the first start also makes the pepper, and later starts require it."""
        self._directory = data_dir.absolute()
        self._own_pepper = own_pepper
        self._lock: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        # Keep the file open, as log rotation may move or delete it.
        self._log: Any = None
        self._log_start = 0  # the length of the log when the child started
        self._checked_to = 0  # the log up to this offset was searched for a failure
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._stopping = threading.Event()
        self._spawning = threading.Lock()  # prevents the start of a child after `stop` looked for one
        # Linux ends a child when the thread that started it ends, so one long-lived thread starts every child.
        self._thread = threading.Thread(target=self._run, name="embedded-database", daemon=True)

    def __enter__(self) -> Self:
        if sys.platform == "win32":
            raise StartError("The embedded database runs only on Linux and macOS: give a MongoDB with --mongo-uri.")
        self._binary = find_binary()
        try:
            data_directory.prepare(self._directory)
            self._lock = data_directory.take_lock(self._directory)
            data_directory.write_engine_configuration(self._directory)
            self._thread.start()
            self._started.wait()
            if self._failure is not None:
                raise self._failure
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError):
                raise StartError(unusable(self._directory, error.strerror or str(error))) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The child's process id, a new one after a restart; None before the first start."""
        return None if self._child is None else self._child.pid

    def stop(self) -> None:
        """Stop the child within seconds, by a kill if needed. Does nothing if it has ended."""
        with self._spawning:
            self._stopping.set()
        end(self._child, _STOP_SECONDS)
        if self._thread.ident is not None:
            self._thread.join()
        if self._log is not None:
            self._log.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _run(self) -> None:
        try:
            port = self._start()
        except BaseException as error:
            end(self._child, _STOP_SECONDS)
            self._failure = error
            return
        finally:
            self._started.set()
        self._keep_running(port)

    def _start(self) -> int:
        """Start the child and return its port when it responds."""
        record = data_directory.find_record(self._directory)
        is_first = data_directory.is_first_start(self._directory, record)
        if self._own_pepper and not is_first:
            data_directory.get_pepper(self._directory)
        open_private(self._directory / "embedded.log", os.O_TRUNC).close()
        if record is None or is_first:
            record = {"complete": False, "host": HOST, "username": _USER, "password": secrets.token_urlsafe(32)}
        # The port of an earlier start is stale, and this start has none yet.
        record |= {"port": None, "pid": os.getpid()}
        data_directory.write_record(self._directory, record)
        if is_first:
            data_directory.begin_first_start(self._directory)
            self._make_user(record["password"])
        port = record["port"] = self._launch("--auth")
        uri = data_directory.database_uri(record)
        try:
            with pymongo.timeout(_ANSWER_SECONDS), MongoClient[dict[str, Any]](uri) as client:
                made_by_others = set(client.list_database_names()) - {"admin", "config", "local"}
        except OperationFailure as error:
            if error.code != _NOT_AUTHENTICATED:
                reason = error.details and error.details.get("errmsg")
                raise StartError(
                    unusable(self._directory, f"its files are damaged: restore all of data/ from a backup ({reason})")
                ) from error
            raise StartError(
                f"The embedded database in {self._directory} refuses the password: embedded.json does not belong to "
                f"data/. Restore the one that does. ({error.details and error.details.get('errmsg')})"
            ) from error
        except PyMongoError as error:
            raise StartError(f"The embedded database in {self._directory} does not respond: {error}") from error
        if made_by_others and is_first:
            raise StartError(self._tampered())
        if is_first and self._own_pepper:
            data_directory.make_pepper(self._directory)
        data_directory.write_record(self._directory, record | {"complete": True})
        data_directory.end_first_start(self._directory)
        self.uri = uri
        return port

    def _make_user(self, password: str) -> None:
        """Create the only user. Until then the engine accepts connections without a password."""
        port = self._launch()
        try:
            with (
                pymongo.timeout(_ANSWER_SECONDS),
                MongoClient[dict[str, Any]](HOST, port, directConnection=True) as client,
            ):
                client.admin.command("createUser", _USER, pwd=password, roles=["root"], mechanisms=["SCRAM-SHA-256"])
        except PyMongoError as error:
            raise StartError(f"The embedded database could not be given a password: {error}") from error
        end(self._child, _READY_SECONDS)
        # The engine lists the users of one database only, so it cannot show whether others were created meanwhile. Its
        # file of users, complete after a clean stop, can.
        users = (self._directory / "data" / "secantus_users.wt").read_bytes().count(b"\x03credentials\x00")
        if self._child is None or self._child.returncode != 0 or users != 1:
            raise StartError(self._tampered())

    def _launch(self, *flags: str) -> int:
        """Start the child on a free port and return that port once it listens there."""
        begun = time.monotonic()
        while True:
            port = free_port()
            child = self._spawn(port, *flags)
            while child.poll() is None and time.monotonic() < begun + _READY_SECONDS:
                # The engine itself must log that it has the port: another process on it would get the password.
                if f"listening on {HOST}:{port}\n" in self._messages():
                    return port
                if self._stopping.wait(0.02):
                    raise StartError(_STOPPED)
            is_temporary = child.returncode == 1 and any(reason in self._messages() for reason in _TEMPORARY)
            if not is_temporary or time.monotonic() > begun + _CLEAR_SECONDS:
                raise StartError(self._failed())
            self._stopping.wait(0.1)

    def _spawn(self, port: int, *flags: str) -> subprocess.Popen[bytes]:
        """Start the child process. Raises StartError after `stop`, and OSError."""
        with self._spawning:
            if self._stopping.is_set():
                raise StartError(_STOPPED)
            # The engine must not inherit the settings, which include the pepper.
            hidden = ("SECANTUS_", "GQL_IDENTITY_")
            environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
            if self._log is not None:
                self._log.close()
            self._log = open_private(self._directory / "embedded.log", os.O_APPEND)
            self._log_start = self._checked_to = os.fstat(self._log.fileno()).st_size
            self._child = subprocess.Popen(  # noqa: S603
                command_line(self._binary, port, *flags),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                cwd=self._directory,
                env=environment | {"HOME": str(self._directory)},
                start_new_session=True,
                umask=0o077,
            )
            return self._child

    def _keep_running(self, port: int) -> None:
        """Restart the child whenever it ends, until `stop`. Every failure is retried after a pause.

        This thread must not end early: Linux would end the child with it, and nothing would restart it.
        """
        shortest, longest = _RESTART_SECONDS
        pause = shortest
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                code = self._wait()
                if time.monotonic() - begun > _STEADY_SECONDS:
                    pause = shortest
                if self._stopping.is_set():
                    return
                logger.warning(
                    "The embedded database ended with code %d and is being restarted (see embedded.log).", code
                )
                if self._stopping.wait(pause):
                    return
                self._spawn(port, "--auth")
                EMBEDDED_RESTARTS.add()
            except StartError:  # stopped
                return
            except Exception as error:
                with suppress(Exception):
                    logger.warning("The embedded database could not be restarted: %s. Trying again.", error)
                self._stopping.wait(pause)
            pause = min(2 * pause, longest)

    def _wait(self) -> int:
        """Wait until the child ends, and return its exit code."""
        child = self._child
        assert child is not None  # noqa: S101 - made by `_start`
        while True:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(_CHECK_SECONDS)
            # After such a failure, for example a full disk, the engine refuses everything but does not exit.
            if self._has_failed():
                child.kill()

    def _has_failed(self) -> bool:
        if os.fstat(self._log.fileno()).st_size < self._checked_to:  # log rotation emptied the file
            self._checked_to = 0
        begin = max(0, self._checked_to - len(_MUST_RESTART))
        added = os.pread(self._log.fileno(), _MESSAGE_BYTES, begin)
        self._checked_to = begin + len(added)
        return _MUST_RESTART in added

    def _messages(self) -> str:
        return os.pread(self._log.fileno(), _MESSAGE_BYTES, self._log_start).decode(errors="replace")

    def _is_full(self) -> bool:
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize < _LEAST_BYTES or "No space left on device" in self._messages()

    def _tampered(self) -> str:
        return (_FULL if self._is_full() else _TAMPERED).format(self._directory)

    def _failed(self) -> str:
        if self._is_full():
            return _FULL.format(self._directory)
        code = None if self._child is None else self._child.poll()
        outcome = f"did not respond within {_READY_SECONDS:.0f} s" if code is None else f"ended with code {code}"
        messages = "\n".join(f"  {line}" for line in self._messages().splitlines()[-20:])
        return f"The embedded database in {self._directory} {outcome}. Its log:\n{messages or '  empty'}"


def running_uri(data_dir: Path) -> str | None:
    """The URI, with password, of the embedded database of a service that runs on this directory.

    None if no service runs or it is still starting. Raises StartError if its files may not be read.
    """
    directory = data_dir.absolute()
    try:
        if not data_directory.is_locked(directory):
            return None
    except OSError as error:
        raise StartError(unusable(directory, error.strerror or str(error))) from error
    record = data_directory.find_record(directory)
    return data_directory.database_uri(record) if record and record["complete"] and record["port"] else None
