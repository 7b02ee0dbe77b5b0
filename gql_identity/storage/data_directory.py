"""The data directory of the embedded database: its files, their permissions, and checks that they belong together.

    data/             the engine's files
    embedded.json     address, user and password, for commands that run beside the service
    embedded.log      the engine's messages since its last start
    lock              locked while a service runs here; contains its process id
    secantusd.toml    the engine's configuration: empty, so that the engine reads no other one on this machine
    pepper            the pepper of the keys' digests
    admin-key         the first key

Every file has mode 0600. The directory and its files belong to the user that runs the service. Nobody else may write to
them or read a secret, and none is a link. Nobody else may replace the directory. It may be a symbolic link itself, but
every directory above it, on either path, is either not writable to everybody or sticky, as /tmp is.
"""

import json
import os
import re
import secrets
import shutil
import stat
import sys
import time
from pathlib import Path
from typing import Any

from ..errors import StartError
from ..settings import check_pepper

if sys.platform != "win32":
    import fcntl

HOST = "127.0.0.1"  # where the embedded database listens

_SECRET_FILES = ("embedded.json", "pepper", "admin-key")  # and those whose names go on, such as admin-key.1
_FILES = (*_SECRET_FILES, "embedded.log", "lock", "secantusd.toml")
_RECORD_TYPES: dict[str, Any] = {
    "complete": bool,
    "host": str,
    "port": int | None,
    "username": str,
    "password": str,
    "pid": int,
}
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")  # needs no escaping in a URI
# Marks data/ during the first start. Marked data is still empty of keys; only marked data may be removed.
_FIRST_START = "first-start"
# If one of these were missing, the engine would create a new database beside the other files. WiredTiger.wt names the
# other files.
_ENGINE_FILES = ("WiredTiger", "WiredTiger.turtle", "WiredTiger.wt")
_TABLE_FILE = re.compile(rb"file:([A-Za-z0-9_]+\.wt)\b")
_NEW_DATABASE = "To begin with a new database, move embedded.json, pepper and admin-key away"


def has_database(directory: Path) -> bool:
    """Whether a service was started here: one of the files is there that belong to a database."""
    return any((directory / name).exists() for name in ("data", *_SECRET_FILES))


def prepare(directory: Path) -> None:
    """Make the directory with mode 0700 and check its permissions. Raises StartError and OSError.

    An existing directory may have other uses too, so its mode is not changed; others must not be able to write to it.
    """
    for missing in reversed([path for path in (directory, *directory.parents) if not path.exists()]):
        missing.mkdir(exist_ok=True)
        missing.chmod(0o700)  # independent of the umask
    _check_parents(directory)
    _check_owner(directory, directory)
    status = directory.stat()
    paths = sorted(directory.iterdir())
    if not paths:
        directory.chmod(0o700)
    elif status.st_mode & stat.S_IWOTH:
        raise StartError(unusable(directory, "every user of this machine may write to it"))
    elif status.st_mode & stat.S_IWGRP:
        raise StartError(unusable(directory, "its group may write to it (run `chmod go-w` on it)"))
    is_open = bool(directory.stat().st_mode & 0o011)
    data = directory / "data"
    for path in paths:
        is_secret = path.name.startswith(_SECRET_FILES)
        if path == data:
            _check_file(directory, path, stat.S_ISDIR)
        elif is_secret or path.name in _FILES:
            _check_file(directory, path, stat.S_ISREG)
        if is_open and (is_secret or path == data) and path.stat().st_mode & 0o077:
            mode = "700" if path == data else "600"
            raise StartError(unusable(directory, f"other users may read {path.name} (run `chmod {mode}` on it)"))
    for path in data.rglob("*") if data.is_dir() else ():
        _check_file(directory, path, stat.S_ISDIR if path.is_dir() else stat.S_ISREG)


def _check_parents(directory: Path) -> None:
    """Raise StartError where another user could put another directory in the place of this one.

    As sshd's StrictModes, but groups may write: many systems give each user a group.
    """
    for parent in {*directory.parents, *directory.resolve().parents}:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            why = f"every user of this machine may replace it, as they may write to {parent} (run `chmod o-w` on that)"
            raise StartError(unusable(directory, why))
    link = directory.lstat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
        raise StartError(unusable(directory, f"it is a symbolic link of user {link.st_uid}"))


def _check_file(directory: Path, path: Path, is_kind: Any) -> None:
    name = path.relative_to(directory)
    status = path.lstat()
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        raise StartError(unusable(directory, f"{name} is a symbolic link"))
    if not is_kind(mode):
        raise StartError(unusable(directory, f"{name} is not a {'directory' if is_kind is stat.S_ISDIR else 'file'}"))
    if stat.S_ISREG(mode) and status.st_nlink > 1:
        why = f"{name} is a hard link: it has another name too (copy it, and put the copy in its place)"
        raise StartError(unusable(directory, why))
    _check_owner(directory, path)
    if mode & 0o022:
        raise StartError(unusable(directory, f"other users may write to {name} (run `chmod go-w` on it)"))


def _check_owner(directory: Path, path: Path) -> None:
    owner, own = path.stat().st_uid, os.geteuid()
    if owner != own:
        name = "it" if path == directory else path.relative_to(directory)
        raise StartError(unusable(directory, f"{name} belongs to user {owner}, and the service runs as user {own}"))


def take_lock(directory: Path) -> int:
    """Lock the directory until the returned descriptor is closed. Raises StartError while a service runs here."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.fchmod(lock, 0o600)
    for attempt in range(8):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # `is_locked` may hold the lock for a moment, or a killed service may still be ending.
            time.sleep(0.01 * attempt)
        else:
            os.truncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock
    holder = os.pread(lock, 20, 0).decode() or "unknown"
    os.close(lock)
    raise StartError(f"The data directory {directory} is in use by a running service, process {holder}.")


def is_locked(directory: Path) -> bool:
    """Whether a service runs here. Raises OSError if the lock cannot be read."""
    if sys.platform == "win32" or not (directory / "lock").exists():
        return False
    with (directory / "lock").open("rb") as lock:
        try:
            # A shared lock, released at once: it succeeds only if no service holds the exclusive lock.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def open_private(path: Path, flags: int) -> Any:
    """Open a file for reading and writing, with mode 0600 whatever the umask; does not follow symbolic links."""
    flags |= os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)
    os.fchmod(file.fileno(), 0o600)
    return file


def write_engine_configuration(directory: Path) -> None:
    """Make the engine's configuration file. Raises StartError if an existing one is not empty."""
    with open_private(directory / "secantusd.toml", 0) as file:
        if file.read(1):
            raise StartError(unusable(directory, "secantusd.toml must be empty: the service sets all options itself"))


def find_record(directory: Path) -> dict[str, Any] | None:
    """The content of embedded.json; None if it does not exist. Raises StartError if it cannot be used."""
    try:
        record = json.loads(_read(directory / "embedded.json"))
        record = {name: record[name] for name in _RECORD_TYPES}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartError(unusable(directory, f"embedded.json: {error.strerror}")) from error
    except (ValueError, KeyError, TypeError, RecursionError):
        record = {}
    if not record or not all(isinstance(record[name], kind) for name, kind in _RECORD_TYPES.items()):
        raise StartError(unusable(directory, "embedded.json is damaged: restore it from a backup"))
    port = record["port"]
    # The password must not be sent to another host, or to another part of the URI.
    if record["host"] != HOST or (port is not None and (isinstance(port, bool) or not 0 < port < 65_536)):
        raise StartError(
            unusable(directory, f"embedded.json names another address than {HOST} and a port: restore it from a backup")
        )
    if not _PLAIN.fullmatch(record["username"]) or not _PLAIN.fullmatch(record["password"]):
        raise StartError(unusable(directory, "embedded.json is damaged: restore it from a backup"))
    return record


def write_record(directory: Path, record: dict[str, Any]) -> None:
    """Replace embedded.json atomically; returns when it is on disk, since the data is lost without it."""
    _replace(directory / "embedded.json", json.dumps(record))


def database_uri(record: dict[str, Any]) -> str:
    """The connection string, with its password, of the database that embedded.json describes."""
    return (
        f"mongodb://{record['username']}:{record['password']}@{record['host']}:{record['port']}/identity"
        "?authSource=admin&authMechanism=SCRAM-SHA-256&directConnection=true"
    )


def is_first_start(directory: Path, record: dict[str, Any] | None) -> bool:
    """Whether no first start was completed here. Raises StartError if the files do not belong together.

    An interrupted first start leaves an incomplete record, and marked data without keys.
    """
    data = directory / "data"
    names = {path.name for path in data.iterdir()} if data.is_dir() else set()
    if record is None and names:
        raise StartError(
            unusable(directory, "embedded.json, with the password of its database, is missing: restore it")
        )
    if record is not None and record["complete"]:
        if not names:
            raise StartError(unusable(directory, f"data/ is missing or empty: restore it. {_NEW_DATABASE}"))
        tables = _TABLE_FILE.findall((data / "WiredTiger.wt").read_bytes()) if "WiredTiger.wt" in names else ()
        needed = [*_ENGINE_FILES, *sorted({name.decode() for name in tables})]
        missing = [name for name in needed if name not in names]
        if not any(name.startswith("WiredTigerLog.") for name in names):
            missing.append("WiredTigerLog.*")
        if missing:
            raise StartError(unusable(directory, f"data/ lacks {', '.join(missing)}: restore all of data/"))
        return False
    if names and _FIRST_START not in names:
        raise StartError(
            unusable(directory, "embedded.json does not belong to the database in data/: restore the one that does")
        )
    for name in ("admin-key", "pepper"):
        # The first start writes the pepper before it completes the record.
        if (directory / name).exists() and not (name == "pepper" and record is not None):
            lost = (
                "data/ and embedded.json are missing" if record is None else "data/ and its embedded.json are missing"
            )
            raise StartError(unusable(directory, f"{name} exists, but {lost}: restore both. {_NEW_DATABASE}"))
    return True


def begin_first_start(directory: Path) -> None:
    """Empty data/ and mark it as data of an unfinished first start."""
    data = directory / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    data.chmod(0o700)
    for path in data.iterdir():
        # Keep the mark, so that the next start continues an interrupted removal.
        if path.name != _FIRST_START:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with open_private(data / _FIRST_START, 0) as mark:
        os.fsync(mark.fileno())
    _sync(data)


def end_first_start(directory: Path) -> None:
    """Remove the mark: from now on data/ is never emptied."""
    (directory / "data" / _FIRST_START).unlink(missing_ok=True)


def get_pepper(directory: Path) -> str:
    """The pepper of the embedded database. Raises StartError if it is missing or invalid."""
    try:
        pepper = _read(directory / "pepper").strip()
        check_pepper(pepper)
    except FileNotFoundError:
        wrong = "is missing: restore it, or set GQL_IDENTITY_PEPPER to the pepper that was used"
    except OSError as error:
        wrong = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        wrong = "is not text: restore it from a backup"
    except ValueError as error:
        wrong = f"is {'empty' if not pepper else 'wrong'}: restore it from a backup ({error})"
    else:
        return pepper
    raise StartError(unusable(directory, f"pepper {wrong}"))


def make_pepper(directory: Path) -> None:
    """Make the pepper of a new database, unless an interrupted first start made it already."""
    if not (directory / "pepper").exists():
        _replace(directory / "pepper", secrets.token_hex(32))


def write_admin_key(directory: Path, secret: str) -> None:
    """Write the first key to admin-key; an earlier admin-key is kept as admin-key.1, admin-key.2 and so on."""
    file = directory / "admin-key"
    if file.exists():
        number = 1
        while (kept := directory / f"admin-key.{number}").exists():
            number += 1
        file.rename(kept)
    _replace(file, secret)


def unusable(directory: Path, why: str) -> str:
    """The message of a StartError for this directory."""
    return f"The data directory {directory} cannot be used: {why}. Choose another with --data-dir."


def _read(file: Path) -> str:
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), encoding="utf-8") as opened:
        return opened.read()


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f"{file.name}.new")
    with open_private(new, os.O_TRUNC) as opened:
        left = f"{text}\n".encode()
        while left:
            left = left[opened.write(left) :]
        os.fsync(opened.fileno())
    new.replace(file)
    _sync(file.parent)


def _sync(directory: Path) -> None:
    held = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
