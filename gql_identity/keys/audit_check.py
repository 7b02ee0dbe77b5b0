"""Checks that the audit log of a domain is as the service wrote it, without gaps."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from ..messages.audit import APIKeyAuditAction
from ..storage.database import Database, Document
from ..storage.pages import pages
from .audit_entries import AuditEntries
from .documents import unreadable


class AuditReport(NamedTuple):
    """How many entries a domain has, of how many keys, and a sentence for each fault."""

    entries: int
    keys: int
    unknown: int  # entries whose pepper the service no longer has
    faults: list[str]


class _Seen(NamedTuple):
    """The number of an entry, and what tells how long those around it were kept."""

    number: int
    at: datetime
    kept_for: timedelta


class _Entries:
    """The entries of one key."""

    def __init__(self) -> None:
        self.seen: list[_Seen] = []
        self.is_deleted = False

    def gaps(self, at: datetime) -> list[str]:
        """What is wrong with their numbers, apart from missing ones that were kept long enough at an instant."""
        told = []
        for before, after in pairwise(sorted(self.seen)):
            if after.number == before.number:
                told.append(f"two entries have the number {before.number}.")
            # Where the setting was lowered, later entries end before earlier ones.
            elif after.number > before.number + 1 and at < before.at + min(before.kept_for, after.kept_for):
                told.append(f"entries are missing between the numbers {before.number} and {after.number}.")
        return told


async def check_audit(database: Database, entries: AuditEntries, domain_id: str, at: datetime) -> AuditReport:
    """Check each entry's MAC, and that the numbers of each key's entries have no gap up to its last change.

    Keys may be changed meanwhile. A missing entry is a fault only if it should still be there at this instant: the
    database removes those that were kept long enough. Raises what `Database.run` does.
    """
    # Before the entries, so that each has the entry of its last change.
    where = {"domain_id": domain_id}
    keys = {key["_id"]: _of_last_entry(key) async for page in pages(database, where) for key in page}
    of_keys: dict[str, _Entries] = {key_id: _Entries() for key_id, key in keys.items() if key["audit_number"] != 0}
    faults: list[str] = []
    count = unknown = 0
    shortest = entries.kept_for  # that an entry is kept, as far as is known
    async for page in pages(database, where, "audit"):
        count += len(page)
        for entry in page:
            told = entries.read_any(entry)
            unknown += told.intact is None
            if told.intact is False:
                faults.append(f"{told.api_key_id}: entry {told.number} is not as the service wrote it.")
            kept_for = _kept_for(entry, entries.kept_for)
            if told.intact:
                shortest = min(shortest, kept_for)
            of_key = of_keys.setdefault(told.api_key_id, _Entries())
            if told.number:  # else it cannot be read, and its number is missed as that of a removed one
                of_key.seen.append(_Seen(told.number, told.at, kept_for))
            of_key.is_deleted |= told.action is APIKeyAuditAction.DELETED
    for key_id, of_key in of_keys.items():
        faults += [f"{key_id}: {fault}" for fault in of_key.gaps(at)]
        last = max(of_key.seen, default=None)
        if key_id in keys:
            number, highest = keys[key_id]["audit_number"], 0 if last is None else last.number
            if type(number) is not int:
                faults.append(f"{key_id}: the key's audit_number, of its last entry, cannot be read.")
            elif highest < number and not _has_ended(keys[key_id], shortest, at):
                faults.append(f"{key_id}: the entries after number {highest} are missing; there were {number}.")
        elif (
            not of_key.is_deleted
            and (last is None or at < last.at + shortest)
            and not await _exists(database, domain_id, key_id)
        ):
            faults.append(f"{key_id}: the key is gone, and no entry says so.")
    return AuditReport(count, sum(bool(of_key.seen) for of_key in of_keys.values()), unknown, faults)


# When a key was changed, by the kinds of changes: for keys that an older version changed last.
_TIMES = ("created_at", "updated_at", "noticed_at", "stale_used_at")


def _of_last_entry(key: Document) -> Document:
    """What a stored key tells of its last entry."""
    told = {name: key[name] for name in ("audit_ends_at", *_TIMES) if isinstance(key.get(name), datetime)}
    number = key.get("audit_number") or 0
    return told | {"audit_number": number if unreadable(key, ["audit_number"]) else int(number)}


def _has_ended(key: Document, kept_for: timedelta, at: datetime) -> bool:
    """Whether the entry of a key's last change was kept long enough."""
    if (end := key.get("audit_ends_at")) is not None:
        return bool(end <= at)
    return all(key[name] <= at - kept_for for name in _TIMES if name in key)


def _kept_for(entry: Document, otherwise: timedelta) -> timedelta:
    """How long an entry is kept; otherwise as the settings say, of one whose times cannot be read."""
    at, end = entry.get("at"), entry.get("expires_at")
    return max(end - at, timedelta(0)) if isinstance(at, datetime) and isinstance(end, datetime) else otherwise


async def _exists(database: Database, domain_id: str, key_id: str) -> bool:
    where = {"domain_id": domain_id, "_id": key_id}
    return await database.run(lambda: database.api_keys.find_one(where, {"_id": 1})) is not None
