"""The keys and the audit log of a file of `export` are written into a database, which may be in use."""

from collections import defaultdict
from datetime import datetime
from typing import BinaryIO, NamedTuple

from ..errors import Unavailable
from ..messages.audit import APIKeyAuditAction
from ..messages.values import APIKeyState
from ..settings import Settings
from ..storage.database import Database, Document
from ..storage.jwt_issuers import store_jwt
from ..storage.pages import deleted_key_ids, entries_like, keys_by_ids
from ..storage.restores import Uses, insert_missing, replace_if_unchanged, write_uses
from .digests import digests_of, peppers_of
from .documents import DECISIVE, unreadable
from .export_file import batches, check_file
from .rotation import secrets_of, uses_of, with_jwt

ATTEMPTS = 5  # where others change a key between its read and its write

# A use, and a move to another pepper, is no change of a key.
_NO_CHANGE = frozenset({"last_accessed_at", "secret_uses", "digest", "pepper"})


class Imported(NamedTuple):
    """What an import did."""

    created: int
    updated: int
    unchanged: int
    kept: list[str]  # the ids of keys that differ from the file or were deleted here, and were left as they are
    entries: int  # of the audit log
    others: int  # keys of the database that are not in the file


async def import_keys(database: Database, settings: Settings, file: BinaryIO) -> Imported:
    """Import a file that can be read again: the whole file is checked before anything is written.

    Where a key exists, the one with more changes stays. None that is disabled or was deleted here is revived. So a
    repeated import changes nothing, and one that was stopped can be repeated. A JWT of an imported key that was first
    used on either side is accepted afterwards. Raises what `check_file` does, and Unavailable.
    """
    header, keys = check_file(file, settings)
    # Before any key: from now on no service starts without these peppers.
    await database.meta_document.add_peppers(header.peppers)
    created = updated = unchanged = entries = 0
    kept: list[str] = []
    for batch in batches(file, "key"):
        gone = await deleted_key_ids(database, batch)
        kept += sorted(gone)
        batch = [key for key in batch if key["_id"] not in gone]
        if not batch:
            continue
        existing = await insert_missing(database, batch)
        created += len(batch) - len(existing)
        stored = {key["_id"]: key for key in await keys_by_ids(database, existing)} if existing else {}
        uses: list[Uses] = []
        for key in batch:
            before = stored.get(key["_id"])
            if before is None:
                continue
            if _is_same(before, key):
                unchanged += 1
                uses.append(Uses(before, _later_uses(before, key)))
            elif await bring_key(database, before, key):
                updated += 1
            else:
                kept.append(key["_id"])
        await write_uses(database, [use for use in uses if use.later])
    later: set[str] = set()  # keys that were made after the export had read all
    for batch in batches(file, "entry"):
        wanted = await _belonging(database, batch, header.exported_at, later)
        if wanted:
            entries += len(wanted) - len(await insert_missing(database, wanted, "audit"))
    others = max(0, await database.run(lambda: database.api_keys.count_documents({})) - keys)
    return Imported(created, updated, unchanged, kept, entries, others)


async def bring_key(database: Database, stored: Document, key: Document) -> bool:
    """Write what a key of a file tells of later, and return whether it is stored now.

    False where the stored one stays, as it is not older. A key that changed since it was read is read again. Raises
    what `Database.run` does, and Unavailable for a key that changes each time.
    """
    for _ in range(ATTEMPTS):
        if _is_same(stored, key):
            return True
        # A first use does not count as a change, so whatever else differs is not known to be older.
        if _but_for_first_use(stored) == _but_for_first_use(key) and (first_use := _first_use(stored, key)):
            is_written = await store_jwt(database, stored, first_use)
        elif _may_replace(stored, key):
            replacement = key | _first_use(key, stored) | _latest_uses(stored, key)
            is_written = await replace_if_unchanged(database, stored, replacement)
        else:
            return False
        if is_written:
            return True
        found = await keys_by_ids(database, [key["_id"]])
        if not found:
            return False  # it was deleted meanwhile
        stored = found[0]
    raise Unavailable(f"The key {key['_id']} changed {ATTEMPTS} times while it was imported. Import again.")


async def _belonging(
    database: Database, entries: list[Document], exported_at: datetime, later: set[str]
) -> list[Document]:
    """Those of these entries that tell of keys as they are here, and of keys that are gone.

    Where another entry here has the same number, it tells of a change that was made here, and stays alone.
    """
    key_ids = sorted({entry["api_key_id"] for entry in entries})
    numbers = {key["_id"]: _number(key) for key in await keys_by_ids(database, key_ids)}
    later |= {
        entry["api_key_id"]
        for entry in entries
        if entry["action"] == APIKeyAuditAction.CREATED.name
        and entry["at"] >= exported_at
        and entry["api_key_id"] not in numbers
    }
    stored: dict[tuple[str, int], set[str]] = defaultdict(set)  # the ids of entries here
    for entry in await entries_like(database, entries):
        stored[entry["api_key_id"], entry["number"]].add(entry["_id"])
        if entry["action"] == APIKeyAuditAction.DELETED.name:
            numbers.setdefault(entry["api_key_id"], entry["number"])
    return [
        entry
        for entry in entries
        if entry["api_key_id"] not in later
        and entry["number"] <= numbers.get(entry["api_key_id"], entry["number"])
        and entry["_id"] in stored.get((entry["api_key_id"], entry["number"]), {entry["_id"]})
    ]


def _is_same(stored: Document, key: Document) -> bool:
    """Whether a key of a file tells nothing that is not stored."""
    if _changeable(stored) == _changeable(key):
        return True
    return _but_for_first_use(stored) == _but_for_first_use(key) and bool(_first_use(key, stored))


def _changeable(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in _NO_CHANGE}


def _but_for_first_use(document: Document) -> Document:
    """What changes of a key set, without the hint of each secret."""
    kept = {name: value for name, value in _changeable(document).items() if name != "hint"}
    if isinstance(secrets := kept.get("secrets"), list):
        kept["secrets"] = [one | {"hint": None} if isinstance(one, dict) else one for one in secrets]
    return kept


def _may_replace(stored: Document, key: Document) -> bool:
    """Whether a key of a file is a later state of the stored one. A key that was disabled here is never revived."""
    is_same_key = all(stored.get(name) == key.get(name) for name in ("domain_id", "user_id", "role"))
    revives = stored.get("state") != key["state"] == APIKeyState.ENABLED.name
    return is_same_key and not revives and _number(stored) < _number(key)


def _latest_uses(stored: Document, key: Document) -> Document:
    """The fields of a key's uses, as of the file, with the later instant of both sides for each."""
    times = [one["last_accessed_at"] for one in (stored, key) if isinstance(one.get("last_accessed_at"), datetime)]
    latest: Document = {"last_accessed_at": max(times)} if times else {}
    if key.get("secrets") is None or any(unreadable(one, ("secrets", "secret_uses")) for one in (stored, key)):
        return latest
    uses, uses_here = dict(uses_of(key)), uses_of(stored)
    # Two secrets may have one number, where both sides rotated the key.
    made = {int(one["number"]): one.get("created_at") for one in secrets_of(key)}
    for one in secrets_of(stored):
        number, name = int(one["number"]), str(int(one["number"]))
        if name in uses_here and number in made and made[number] == one.get("created_at"):
            uses[name] = max(uses_here[name], uses.get(name, uses_here[name]))
    return latest | {"secret_uses": uses}


def _later_uses(stored: Document, key: Document) -> Document:
    """The uses of the same key in a file that are later than the stored ones, each by its path."""
    latest = _latest_uses(stored, key)
    at, uses, uses_here = latest.get("last_accessed_at"), latest.get("secret_uses", {}), stored.get("secret_uses") or {}
    later = {f"secret_uses.{name}": used for name, used in uses.items() if uses_here.get(name) != used}
    return later if at is None or at == stored.get("last_accessed_at") else {"last_accessed_at": at, **later}


def _first_use(document: Document, other: Document) -> Document:
    """The fields to set so that an imported key has the digest of its JWT, where another state of it alone has it."""
    if unreadable(document, DECISIVE) or unreadable(other, DECISIVE):
        return {}
    used = {
        one["number"]: ({"digest": digest, "pepper": pepper}, one.get("hint") or "")
        for one, digest, pepper in zip(secrets_of(other), digests_of(other), peppers_of(other), strict=True)
        if digest is not None
    }
    for place, (one, digest) in enumerate(zip(secrets_of(document), digests_of(document), strict=True)):
        if digest is None and one["number"] in used:
            return with_jwt(document, place, *used[one["number"]])
    return {}


def _number(key: Document) -> int:
    """How often a key was changed."""
    return key.get("audit_number") or 0
