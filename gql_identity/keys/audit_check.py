"""Checks that the audit log of a domain is as the service wrote it, without gaps."""

from itertools import pairwise
from typing import NamedTuple

from ..messages.audit import APIKeyAuditAction
from ..storage.database import Database
from ..storage.pages import pages
from .audit_entries import AuditEntries


class AuditReport(NamedTuple):
    """How many entries a domain has, of how many keys, and a sentence for each fault."""

    entries: int
    keys: int
    unknown: int  # entries whose pepper the service no longer has
    faults: list[str]


class _Numbers:
    """The numbers of one key's entries."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.is_deleted = False

    def faults(self, last: int | None) -> list[str]:
        """What is wrong with them, of a key whose last change has this number."""
        numbers = sorted(self.seen)
        told = [
            f"entries are missing between the numbers {before} and {after}."
            if after > before
            else f"two entries have the number {before}."
            for before, after in pairwise(numbers)
            if after != before + 1
        ]
        if last is not None and (not numbers or numbers[-1] < last):
            told.append(f"the entries after number {numbers[-1] if numbers else 0} are missing; there were {last}.")
        return told


async def check_audit(database: Database, entries: AuditEntries, domain_id: str) -> AuditReport:
    """Check each entry's MAC, and that the numbers of each key's entries have no gap up to its last change.

    Keys may be changed meanwhile. That a key's first entries are missing is no fault: they may have been kept long
    enough. Raises what `Database.run` does.
    """
    # Before the entries, so that each has the entry of its last change.
    where = {"domain_id": domain_id}
    last = {key["_id"]: key.get("audit_number") or 0 async for page in pages(database, where) for key in page}
    numbers: dict[str, _Numbers] = {key_id: _Numbers() for key_id, number in last.items() if number}
    faults: list[str] = []
    count = unknown = 0
    async for page in pages(database, where, "audit"):
        count += len(page)
        for entry in page:
            told = entries.read_any(entry)
            unknown += told.intact is None
            if told.intact is False:
                faults.append(f"{told.api_key_id}: entry {told.number} is not as the service wrote it.")
            of_key = numbers.setdefault(told.api_key_id, _Numbers())
            if told.number:  # else it cannot be read, and its number is missed as that of a removed one
                of_key.seen.append(told.number)
            of_key.is_deleted |= told.action is APIKeyAuditAction.DELETED
    for key_id, of_key in numbers.items():
        faults += [f"{key_id}: {fault}" for fault in of_key.faults(last.get(key_id))]
        if key_id not in last and not of_key.is_deleted and not await _exists(database, domain_id, key_id):
            faults.append(f"{key_id}: the key is gone, and no entry says so.")
    return AuditReport(count, sum(bool(of_key.seen) for of_key in numbers.values()), unknown, faults)


async def _exists(database: Database, domain_id: str, key_id: str) -> bool:
    where = {"domain_id": domain_id, "_id": key_id}
    return await database.run(lambda: database.api_keys.find_one(where, {"_id": 1})) is not None
