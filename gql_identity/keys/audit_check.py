"""Checks that the audit log of a domain is as the service wrote it, without gaps."""

from collections import defaultdict
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
    """The number of an entry, when it was made, how long it is kept, and when the entry before it ends if it tells."""

    number: int
    at: datetime
    kept_for: timedelta
    previous_ends_at: datetime | None


class _OfKey:
    """The entries of one key."""

    def __init__(self) -> None:
        self.seen: list[_Seen] = []
        self.is_deleted = False

    @property
    def last(self) -> _Seen | None:
        return max(self.seen, key=_number, default=None)


class _Log:
    """What was read of a domain's entries. `shortest` is the least time that one is kept, as far as is known."""

    def __init__(self, kept_for: timedelta) -> None:
        self.of_keys: dict[str, _OfKey] = defaultdict(_OfKey)
        self.entries = self.unknown = 0
        self.shortest = kept_for
        self.faults: list[str] = []


async def check_audit(database: Database, entries: AuditEntries, domain_id: str, at: datetime) -> AuditReport:
    """Check each entry's MAC, and that the numbers of each key's entries have no gap up to its last change.

    Keys may be changed meanwhile. A missing entry is a fault only if it should still be there at this instant: the
    database removes those that were kept long enough. Raises what `Database.run` does.
    """
    # Before the entries, so that each has the entry of its last change.
    where = {"domain_id": domain_id}
    keys = {key["_id"]: _of_last_entry(key) async for page in pages(database, where) for key in page}
    log = await _read_log(database, entries, domain_id)
    key_ids = [key_id for key_id, key in keys.items() if key["audit_number"] != 0]
    faults = log.faults
    for key_id in dict.fromkeys([*key_ids, *log.of_keys]):
        of_key = log.of_keys[key_id]
        found = _gaps(of_key, log.shortest, at)
        if (key := keys.get(key_id)) is not None:
            found += _faults_of_end(key, of_key, log.shortest, at)
        elif await _is_untold(database, domain_id, key_id, of_key, log.shortest, at):
            found.append("the key is gone, and no entry says so.")
        faults += [f"{key_id}: {fault}" for fault in found]
    return AuditReport(log.entries, sum(bool(one.seen) for one in log.of_keys.values()), log.unknown, faults)


async def _read_log(database: Database, entries: AuditEntries, domain_id: str) -> _Log:
    """The entries of a domain, each checked by its MAC."""
    log = _Log(entries.kept_for)
    async for page in pages(database, {"domain_id": domain_id}, "audit"):
        log.entries += len(page)
        for entry in page:
            told = entries.read_any(entry)
            log.unknown += told.intact is None
            if told.intact is False:
                log.faults.append(f"{told.api_key_id}: entry {told.number} is not as the service wrote it.")
            kept_for = _kept_for(entry, entries.kept_for)
            if told.intact:
                log.shortest = min(log.shortest, kept_for)
            of_key = log.of_keys[told.api_key_id]
            if told.number:  # else it cannot be read, and its number is missed as that of a removed one
                previous = entry.get("previous_ends_at")
                is_told = isinstance(previous, datetime)
                of_key.seen.append(_Seen(told.number, told.at, kept_for, previous if is_told else None))
            of_key.is_deleted |= told.action is APIKeyAuditAction.DELETED
    return log


def _gaps(of_key: _OfKey, shortest: timedelta, at: datetime) -> list[str]:
    """What is wrong with the numbers of a key's entries, apart from missing ones that may have ended."""
    told = []
    for before, after in pairwise(sorted(of_key.seen, key=_number)):
        if after.number == before.number:
            told.append(f"two entries have the number {before.number}.")
        elif after.number > before.number + 1:
            kept_for = min(before.kept_for, after.kept_for, shortest)
            if not _may_have_ended(after.previous_ends_at, [before.at], kept_for, at):
                told.append(f"entries are missing between the numbers {before.number} and {after.number}.")
    return told


def _faults_of_end(key: Document, of_key: _OfKey, shortest: timedelta, at: datetime) -> list[str]:
    """What is missing after the last entry of a key that exists."""
    number, highest = key["audit_number"], 0 if of_key.last is None else of_key.last.number
    if type(number) is not int:
        return ["the key's audit_number, of its last entry, cannot be read."]
    changed_at = [key[name] for name in _TIMES if name in key]
    if highest < number and not _may_have_ended(key.get("audit_ends_at"), changed_at, shortest, at):
        return [f"the entries after number {highest} are missing; there were {number}."]
    return []


async def _is_untold(
    database: Database, domain_id: str, key_id: str, of_key: _OfKey, shortest: timedelta, at: datetime
) -> bool:
    """Whether a key that was not there is gone, though the entry of its deletion is missed."""
    if of_key.is_deleted or (of_key.last is not None and _may_have_ended(None, [of_key.last.at], shortest, at)):
        return False
    where = {"domain_id": domain_id, "_id": key_id}  # it may have been made after the keys were read
    return await database.find_one(where, frozenset({"_id"})) is None


def _may_have_ended(ends_at: datetime | None, not_before: list[datetime], kept_for: timedelta, at: datetime) -> bool:
    """Whether a missing entry may have been removed by the database: at its end, if that is known.

    Otherwise it was made at or after these instants, and kept for so long at least as far as is known.
    """
    if ends_at is not None:
        return ends_at <= at
    # Differences, as somebody who changed an entry may have given it any instant: a sum could be past the year 9999.
    return all(at - instant >= kept_for for instant in not_before)


# When a key was changed, by the kinds of changes: for keys that an older version changed last.
_TIMES = ("created_at", "updated_at", "noticed_at", "stale_used_at")


def _of_last_entry(key: Document) -> Document:
    """What a stored key tells of its last entry."""
    told = {name: key[name] for name in ("audit_ends_at", *_TIMES) if isinstance(key.get(name), datetime)}
    number = key.get("audit_number") or 0
    return told | {"audit_number": number if unreadable(key, ["audit_number"]) else int(number)}


def _kept_for(entry: Document, otherwise: timedelta) -> timedelta:
    """How long an entry is kept; otherwise as the settings say, of one whose times cannot be read."""
    at, end = entry.get("at"), entry.get("expires_at")
    return max(end - at, timedelta(0)) if isinstance(at, datetime) and isinstance(end, datetime) else otherwise


def _number(seen: _Seen) -> int:
    return seen.number
