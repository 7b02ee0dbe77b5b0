"""Export all keys into a file, and import them into another database.

The file has JSON lines, with digests and fingerprints of peppers; no secret and no pepper is in it:

    {"format": "gql-identity-export", "version": 1, "schema": 2, "peppers": ["1f..."], "exported_at": "2026-..."}
    {"key": {"_id": "api-key-...", "domain_id": "default", ...}}    a stored document, in MongoDB's Extended JSON
    {"end": {"keys": 1}}                                            without this line the file is cut off
"""

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

from ..errors import InvalidArgument, StartError, Unavailable
from ..messages.values import APIKeyState, instant_text
from ..secret import pepper_fingerprint
from ..settings import Settings
from ..storage.database import Database, Document
from ..storage.extended_json import from_json, to_json
from ..storage.following import following
from ..storage.inserts import insert_new, replace_if_number
from ..storage.meta import SCHEMA
from ..storage.pages import keys_by_ids, pages
from .checks import is_text
from .documents import DECISIVE, tell_unreadable, unreadable
from .records import now

FORMAT, VERSION = "gql-identity-export", 1
BATCH_KEYS = 200  # of one write, and of one read by ids
MAX_LINE_BYTES = 1 << 20  # a key has some kilobytes
MAX_DEPTH = 20  # of values in values
_PLAIN = (str, int, float, bytes, datetime)
# A use, and a move to another pepper, is no change of a key.
_NO_CHANGE = frozenset({"last_accessed_at", "secret_uses", "digest"})


class Exported(NamedTuple):
    """How many keys an export wrote, and how many it left out because they cannot be read."""

    keys: int
    left_out: int


async def export_keys(database: Database, spool: BinaryIO, out: BinaryIO) -> Exported:
    """Write all keys. `spool` is an empty file, for what is read while keys change.

    Every change that was acknowledged before all keys were read is in the file; a later one may be. A key that cannot
    be read, which is accepted nowhere, is left out, and the log names it. Raises Unavailable.
    """
    peppers = await database.meta_document.peppers()
    left_out = 0
    async with following(database) as changes:
        async for documents in pages(database, {}):
            for document in documents:
                if names := _unusable(document):
                    tell_unreadable(document, names)
                    left_out += 1
                    continue
                # The id has a line of its own, so that the key of a changed one is skipped without reading it.
                spool.write(f"{json.dumps(document['_id'])}\n{_line('key', document)}".encode())
        await changes.catch_up()
        changed = sorted(changes.ids)
    keys = 0
    header = {"format": FORMAT, "version": VERSION, "schema": SCHEMA, "peppers": peppers}
    out.write(f"{json.dumps({**header, 'exported_at': instant_text(now())})}\n".encode())
    spool.seek(0)
    skipped = frozenset(changed)
    while id_line := spool.readline():
        line = spool.readline()
        if json.loads(id_line) not in skipped:
            out.write(line)
            keys += 1
    for start in range(0, len(changed), BATCH_KEYS):
        # Keys that were deleted meanwhile are not found.
        for document in await keys_by_ids(database, changed[start : start + BATCH_KEYS]):
            if not _unusable(document):
                out.write(_line("key", document).encode())
                keys += 1
    out.write(f"{json.dumps({'end': {'keys': keys}})}\n".encode())
    if await database.meta_document.peppers() != peppers:
        raise Unavailable("Another pepper came into use during the export. Start it again.")
    return Exported(keys, left_out)


def _line(name: str, document: Document) -> str:
    return f'{{"{name}": {to_json(document)}}}\n'


class Imported(NamedTuple):
    """What an import did."""

    created: int
    updated: int
    unchanged: int
    kept: list[str]  # the ids of keys that differ from the file, and were left as they are
    others: int  # keys of the database that are not in the file


async def import_keys(database: Database, settings: Settings, file: BinaryIO) -> Imported:
    """Import the keys of a file that can be read twice: the whole file is checked before anything is written.

    Where a key exists, the one with more changes stays, but none that is disabled is revived. So a repeated import
    changes nothing, and one that was stopped can be repeated. Raises InvalidArgument that names the line; StartError
    for peppers that the settings lack, or a newer schema; Unavailable.
    """
    keys = check_file(file, settings)
    file.seek(0)
    header = json.loads(file.readline())
    # Before any key: from now on no service starts without these peppers.
    await database.meta_document.add_peppers(header["peppers"])
    created = updated = unchanged = 0
    kept: list[str] = []
    for batch in _batches(_documents(file)):
        existing = await insert_new(database, batch)
        created += len(batch) - len(existing)
        if not existing:
            continue
        stored = {one["_id"]: one for one in await keys_by_ids(database, existing)}
        given = {one["_id"]: one for one in batch}
        for document in (given[key_id] for key_id in existing):
            before = stored.get(document["_id"])
            if before is not None and _is_same(before, document):
                unchanged += 1
            elif before is not None and _may_replace(before, document):
                await replace_if_number(database, document, before.get("audit_number"))
                updated += 1
            else:
                kept.append(document["_id"])
    others = max(0, await database.run(lambda: database.api_keys.count_documents({})) - keys)
    return Imported(created, updated, unchanged, kept, others)


def check_file(file: BinaryIO, settings: Settings) -> int:
    """Read a whole file, and return how many keys it has. Raises what `import_keys` does."""
    number, keys, end = 0, 0, None
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        at = f"line {number}"
        if len(line) > MAX_LINE_BYTES:
            raise InvalidArgument(f"it is longer than {MAX_LINE_BYTES} bytes. This is not a file of `export`.", at=at)
        if end is not None:
            raise InvalidArgument("the file goes on after its end. Export again.", at=at)
        if not line.endswith(b"\n"):
            raise InvalidArgument(_CUT, at=at)
        content = _parse(line, at)
        if number == 1:
            _check_header(content, settings)
        elif content.keys() == {"key"}:
            _check_key(content["key"], at)
            keys += 1
        elif content.keys() == {"end"}:
            end = content["end"]
        else:
            raise InvalidArgument("it is neither a key nor the end. This version does not know it.", at=at)
    if end != {"keys": keys}:
        raise InvalidArgument(_CUT, at=f"line {number + (end is None)}")
    return keys


_CUT = "the file is cut off, or lines are missing. Export again."


def _parse(line: bytes, at: str) -> dict[str, Any]:
    try:
        content = from_json(line.decode())
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InvalidArgument("it is no JSON object. This is not a file of `export`.", at=at)
    return content


def _check_header(header: dict[str, Any], settings: Settings) -> None:
    if header.get("format") != FORMAT:
        raise InvalidArgument("this is not a file of `export`.", at="line 1")
    if header.get("version") != VERSION or not isinstance(header.get("schema"), int) or header["schema"] > SCHEMA:
        raise StartError("The file was exported by a newer version of gql-identity. Import it with that one.")
    known = [pepper_fingerprint(pepper) for pepper in settings.peppers]
    peppers = header.get("peppers")
    if not isinstance(peppers, list) or not all(isinstance(one, str) for one in peppers):
        raise InvalidArgument("this is not a file of `export`.", at="line 1")
    if missing := [one for one in peppers if one not in known]:
        raise StartError(
            f"The file has keys that were made with the pepper of fingerprint {', '.join(missing)}, which is not among "
            f"those given ({', '.join(known)}). Set GQL_IDENTITY_PEPPER to it, or add it to "
            "GQL_IDENTITY_PEPPERS_RETIRED."
        )


def _check_key(document: Any, at: str) -> None:
    if not isinstance(document, dict):
        raise InvalidArgument("it is no key.", at=at)
    if names := _unusable(document):
        raise InvalidArgument(f"the key's {', '.join(names)} cannot be read.", at=at)


def _unusable(document: Document) -> list[str]:
    """The fields for which a key is neither exported nor imported."""
    odd = [name for name in document if not _is_plain(document[name]) or name.startswith("$")]
    return (
        odd
        or unreadable(document, DECISIVE)
        or [name for name in ("_id", "domain_id", "user_id") if not is_text(document[name])]
    )


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is what keys are made of, and not nested deeper than the database can read."""
    if isinstance(value, dict):
        parts = list(value.values())
        if any("\0" in name or name.startswith("$") for name in value):
            return False
    elif isinstance(value, list):
        parts = value
    else:
        return value is None or isinstance(value, _PLAIN)
    return depth < MAX_DEPTH and all(_is_plain(part, depth + 1) for part in parts)


def _documents(file: BinaryIO) -> Iterator[Document]:
    """The keys of a checked file that is read up to its first key."""
    for line in file:
        content = from_json(line.decode())
        if "key" in content:
            yield content["key"]


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    while batch := list(islice(documents, BATCH_KEYS)):
        yield batch


def _is_same(one: Document, other: Document) -> bool:
    return _changeable(one) == _changeable(other)


def _changeable(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in _NO_CHANGE}


def _number(document: Document) -> int:
    """How often a key was changed."""
    return document.get("audit_number") or 0


def _may_replace(stored: Document, document: Document) -> bool:
    """Whether a key of a file is a later state of the stored one. A key that was disabled here is never revived."""
    is_same_key = all(stored.get(name) == document.get(name) for name in ("domain_id", "user_id", "role"))
    revives = stored.get("state") != document["state"] == APIKeyState.ENABLED.name
    return is_same_key and not revives and _number(stored) < _number(document)
