"""The commands `export` and `import`, which move all keys to another database."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import StartError
from ..keys.exports import Exported, export_keys
from ..keys.restores import Imported, import_keys
from ..settings import Settings
from .arguments import Commands, add_database_flags, settings_of
from .databases import prepared_database, resolved_database

CALL_SECONDS = 60.0  # for a page of keys; a request would not wait so long


def add_commands(commands: Commands) -> None:
    """Add the commands."""
    exported = commands.add_parser(
        "export", help="write all keys and the audit log to a file, also while the service runs"
    )
    exported.add_argument("file", metavar="FILE", help="a new file, for its owner alone; or - for standard output")
    exported.set_defaults(run=_export)
    imported = commands.add_parser(
        "import", help="read all keys and the audit log of a file that `export` wrote; may be repeated"
    )
    imported.add_argument("file", metavar="FILE", help="the file; or - for standard input")
    imported.set_defaults(run=_import)
    for command in (exported, imported):
        add_database_flags(command)


def _export(options: argparse.Namespace) -> int:
    async def export(settings: Settings, spool: BinaryIO, out: BinaryIO) -> Exported:
        async with prepared_database(settings) as database:
            return await export_keys(database, settings, spool, out)

    settings = settings_of(options)
    with resolved_database(settings, join=True) as resolved, _new_file(options.file) as out:
        folder = None if options.file == "-" else Path(options.file).parent
        if folder is None:
            _check_temporary_directory()
        with tempfile.TemporaryFile(dir=folder) as spool:
            done = asyncio.run(export(_patient(resolved), spool, out))
    print(f"Exported {done.keys} keys and {done.entries} entries of the audit log.", file=sys.stderr)
    if done.left_out:
        print(f"Left out {done.left_out} that cannot be read.", file=sys.stderr)
    return 0


def _check_temporary_directory() -> None:
    """Raise StartError where the system has no directory for temporary files, as in a container without one."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise StartError(
            "No directory for temporary files can be written. Name one as TMPDIR, such as TMPDIR=/dev/shm."
        ) from None


@contextmanager
def _new_file(name: str) -> Iterator[BinaryIO]:
    """A file that did not exist, and does not if the block fails. Raises OSError."""
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _import(options: argparse.Namespace) -> int:
    async def import_(settings: Settings, file: BinaryIO) -> Imported:
        async with prepared_database(settings) as database:
            return await import_keys(database, settings, file)

    settings = settings_of(options)
    with resolved_database(settings, join=True) as resolved, _read_twice(options.file) as file:
        done = asyncio.run(import_(_patient(resolved), file))
    print(f"Created {done.created} keys, updated {done.updated}; {done.unchanged} were there already.")
    print(f"Added {done.entries} entries to the audit log.")
    for key_id in done.kept:
        print(f"{key_id}: not older than in the file, or disabled or deleted here. It stays as it is.", file=sys.stderr)
    if done.others:
        print(f"Keys of the database that are not in the file: {done.others}.", file=sys.stderr)
    return 1 if done.kept else 0


@contextmanager
def _read_twice(name: str) -> Iterator[BinaryIO]:
    """A file, or a copy of what a pipe has, that can be read from its start again. Raises OSError."""
    with nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as file:
        if file.seekable():
            yield file
            return
        _check_temporary_directory()
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            yield copy


def _patient(settings: Settings) -> Settings:
    return settings.model_copy(update={"database_timeout_seconds": CALL_SECONDS})
