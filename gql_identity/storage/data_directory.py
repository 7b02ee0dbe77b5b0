"""The data directory of the embedded database: its files and who may use them.

    data/             the engine's files
    embedded.json     address, user and password, for commands that run beside the service
    embedded.log      the engine's messages since its last start
    lock              locked while a service runs here; holds that service's process id
    secantusd.toml    the engine's configuration, empty, so that it reads no other of this machine
    pepper            the pepper of its keys' digests
    admin-key         the first key

Every file has mode 0600.
"""

import json
import os
import secrets
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import StartError

if sys.platform != "win32":
    import fcntl

_RECORD_FIELDS = ("complete", "host", "port", "username", "password", "pid")


def prepare(directory: Path) -> None:
    """Make the directory, for its owner alone.

    A directory that holds something may serve others too, so its mode stays; our files in it are private anyway.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid == os.geteuid() and not any(directory.iterdir()):
        directory.chmod(0o700)
    elif status.st_mode & stat.S_IWOTH:
        raise StartError(unusable(directory, "every user of this machine may write to it"))


def take_lock(directory: Path) -> int:
    """A descriptor that locks the directory until it is closed; raises StartError while a service runs here."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for attempt in range(8):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # `is_locked` may hold it for a moment, or a killed service may not be quite gone.
            time.sleep(0.01 * attempt)
        else:
            os.truncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock
    holder = os.pread(lock, 20, 0).decode() or "unknown"
    os.close(lock)
    raise StartError(f"The data directory {directory} is in use by a running service, process {holder}.")


def is_locked(directory: Path) -> bool:
    """Whether a service runs here; raises OSError where the lock cannot be read."""
    if sys.platform == "win32" or not (directory / "lock").exists():
        return False
    with (directory / "lock").open("rb") as lock:
        try:
            # A shared lock, released at once: it succeeds where nobody holds the other kind.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def open_private(path: Path, flags: int) -> Any:
    """A file open for writing, for its owner alone where it is made now."""
    return open(path, "wb", buffering=0, opener=lambda name, _: os.open(name, os.O_WRONLY | os.O_CREAT | flags, 0o600))


def find_record(directory: Path) -> dict[str, Any] | None:
    """The content of embedded.json; None where there is none. Raises StartError where it cannot be used."""
    path = directory / "embedded.json"
    try:
        record = json.loads(path.read_bytes())
        return {name: record[name] for name in _RECORD_FIELDS}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(unusable(directory, f"embedded.json: {error.strerror}")) from error
    except (ValueError, KeyError, TypeError):
        raise StartError(unusable(directory, "embedded.json is damaged")) from None


def write_record(directory: Path, record: dict[str, Any]) -> None:
    """Replace embedded.json atomically; returns once it would survive a power cut: without it the data is lost."""
    new = directory / "embedded.json.new"
    with open_private(new, os.O_TRUNC) as file:
        file.write(json.dumps(record).encode())
        os.fsync(file.fileno())
    new.replace(directory / "embedded.json")
    held = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def database_uri(record: dict[str, Any]) -> str:
    """The connection string, with its password, of the database that embedded.json describes."""
    # The password's characters need no escaping.
    return (
        f"mongodb://{record['username']}:{record['password']}@{record['host']}:{record['port']}/identity"
        "?authSource=admin&authMechanism=SCRAM-SHA-256&directConnection=true"
    )


def get_pepper(directory: Path) -> str:
    """The pepper of an embedded database, made at its first start."""
    file = directory / "pepper"
    with suppress(FileExistsError):
        write_secret(file, secrets.token_hex(32))
    return file.read_text().strip()


def replace_admin_key(directory: Path, secret: str) -> None:
    """Write the first key to admin-key."""
    file = directory / "admin-key"
    file.unlink(missing_ok=True)
    write_secret(file, secret)


def write_secret(file: Path, text: str) -> None:
    """Write a secret to a new file, for its owner alone; raises FileExistsError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(text + "\n")
        opened.flush()
        os.fsync(descriptor)


def unusable(directory: Path, why: str) -> str:
    """The message of a StartError for this directory."""
    return f"The data directory {directory} cannot be used: {why}. Choose another with --data-dir."
