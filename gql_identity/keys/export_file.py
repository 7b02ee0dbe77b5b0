"""The file of `export`: JSON lines, with digests and fingerprints of peppers; no secret and no pepper is in it.

{"format": "gql-identity-export", "version": 1, "schema": 2, "peppers": ["1f..."], "exported_at": "2026-..."}
{"key": {"_id": "api-key-...", "domain_id": "default", ...}}    a stored key, in MongoDB's Extended JSON
{"entry": {"_id": "...", "api_key_id": "api-key-...", ...}}     an entry of the audit log, behind all keys
{"end": {"keys": 1, "entries": 1}}                              without this line the file is cut off
"""

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO, NamedTuple

from ..errors import InvalidArgument, StartError
from ..messages.values import instant_text, read_rfc_3339
from ..secret import pepper_fingerprint
from ..settings import Settings
from ..storage.database import Document
from ..storage.extended_json import from_json, to_json
from ..storage.meta import SCHEMA
from .audit_entries import AuditEntries
from .checks import is_text
from .documents import DECISIVE, unreadable

FORMAT, VERSION = "gql-identity-export", 1
BATCH = 200  # keys or entries that are held at once
MAX_LINE_BYTES = 1 << 20  # a key has some kilobytes
MAX_DEPTH = 20  # of values in values
_PLAIN = (str, int, float, bytes, datetime)
_CUT = "the file is cut off, or lines are missing. Export again."


class Header(NamedTuple):
    """The first line: the peppers that the keys were made with, and when all keys had been read."""

    peppers: list[str]
    exported_at: datetime


def header_line(header: Header) -> bytes:
    """The first line."""
    content = {"format": FORMAT, "version": VERSION, "schema": SCHEMA, "peppers": header.peppers}
    return f"{json.dumps(content | {'exported_at': instant_text(header.exported_at)})}\n".encode()


def document_line(kind: str, document: Document) -> bytes:
    """A line of a stored document; its kind is `key` or `entry`."""
    return f'{{"{kind}": {to_json(document)}}}\n'.encode()


def end_line(keys: int, entries: int) -> bytes:
    """The last line."""
    return f"{json.dumps({'end': {'keys': keys, 'entries': entries}})}\n".encode()


def check_file(file: BinaryIO, settings: Settings) -> tuple[Header, int]:
    """Read a whole file, and return its header and its number of keys.

    Raises InvalidArgument that names the line; StartError for peppers that the settings lack, and a newer schema.
    """
    audit = AuditEntries(settings)
    counts = {"key": 0, "entry": 0}
    header, end, number = None, None, 0
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
        if header is None:
            header = _read_header(content, settings)
            continue
        ((kind, value),) = content.items() if len(content) == 1 else [("", None)]
        if kind == "end":
            end = value
        elif kind in counts:
            _check(kind, value, audit, at)
            counts[kind] += 1
        else:
            raise InvalidArgument("it is neither a key, an entry nor the end: this version does not know it.", at=at)
    if header is None or end != {"keys": counts["key"], "entries": counts["entry"]}:
        raise InvalidArgument(_CUT, at=f"line {number + (end is None)}")
    return header, counts["key"]


def batches(file: BinaryIO, kind: str) -> Iterator[list[Document]]:
    """The documents of this kind in a checked file, from its start."""
    file.seek(0)
    start = f'{{"{kind}": '.encode()
    documents = (from_json(line.decode())[kind] for line in file if line.startswith(start))
    while batch := list(islice(documents, BATCH)):
        yield batch


def unusable(key: Document) -> list[str]:
    """The fields for which a key is neither exported nor imported."""
    odd = [name for name in key if not _is_plain(key[name]) or name.startswith("$")]
    return (
        odd or unreadable(key, DECISIVE) or [name for name in ("_id", "domain_id", "user_id") if not is_text(key[name])]
    )


def _parse(line: bytes, at: str) -> dict[str, Any]:
    try:
        content = from_json(line.decode())
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InvalidArgument("it is not a JSON object. This is not a file of `export`.", at=at)
    return content


def _read_header(header: dict[str, Any], settings: Settings) -> Header:
    if header.get("format") != FORMAT:
        raise InvalidArgument("this is not a file of `export`.", at="line 1")
    if header.get("version") != VERSION or not isinstance(header.get("schema"), int) or header["schema"] > SCHEMA:
        raise StartError("The file was exported by a newer version of gql-identity. Import it with that one.")
    peppers = header.get("peppers")
    try:
        exported_at = read_rfc_3339(header.get("exported_at", ""))
    except (TypeError, ValueError, OverflowError):
        exported_at = None
    if exported_at is None or not isinstance(peppers, list) or not all(isinstance(one, str) for one in peppers):
        raise InvalidArgument("the header is damaged. Export again.", at="line 1")
    known = [pepper_fingerprint(pepper) for pepper in settings.peppers]
    if missing := [one for one in peppers if one not in known]:
        raise StartError(
            f"The file has keys that were made with the pepper of fingerprint {', '.join(missing)}, which is not among "
            f"those given ({', '.join(known)}). Set GQL_IDENTITY_PEPPER to it, or add it to "
            "GQL_IDENTITY_PEPPERS_RETIRED."
        )
    return Header(peppers, exported_at)


def _check(kind: str, document: Any, audit: AuditEntries, at: str) -> None:
    if not isinstance(document, dict):
        raise InvalidArgument(f"the {kind} is not a JSON object.", at=at)
    if kind == "entry":
        if not is_readable_entry(document, audit):
            raise InvalidArgument("the entry cannot be read.", at=at)
    elif names := unusable(document):
        raise InvalidArgument(f"the key's {', '.join(names)} cannot be read.", at=at)


def is_readable_entry(entry: Document, audit: AuditEntries) -> bool:
    """Whether an entry of the audit log can be told; one that was changed by somebody else may be."""
    try:
        told = audit.read(entry)
        ids = [told.id, told.api_key_id, told.domain_id, told.user_id]
        return (
            _is_plain(entry)
            and all(isinstance(one, str) and is_text(one) for one in ids)
            and isinstance(told.at, datetime)
            and isinstance(told.number, int)
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a value is what documents are made of, and not nested deeper than the database can read."""
    if isinstance(value, dict):
        parts = list(value.values())
        if any("\0" in name or name.startswith("$") for name in value):
            return False
    elif isinstance(value, list):
        parts = value
    else:
        return value is None or isinstance(value, _PLAIN)
    return depth < MAX_DEPTH and all(_is_plain(part, depth + 1) for part in parts)
