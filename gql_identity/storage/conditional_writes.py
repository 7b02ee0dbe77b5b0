"""Writes to keys, each with its audit entry in one transaction: both happen or neither.

The condition of a change stands in a pipeline update of `(domain_id, _id)`: in the filter, any field more would make
the embedded engine scan the domain (docs/decisions.md, "A change reads the key").

The driver may run a transaction again that was stored: its commit was not acknowledged, and a database that has just
restarted does not know it. The earlier run is found by its audit entry, and its result is returned.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from .database import Database, Document
from .request_records import insert_record

# An audit entry, given the stored key before the change.
MakeEntry = Callable[[Document], Document]


class Disabled(NamedTuple):
    """What became of some keys that were to be disabled."""

    entries: list[Document]  # the audit entries of those that are disabled
    left: list[str]  # the ids of those that stay enabled, as what is stored of them cannot be read


async def set_if_unchanged(
    database: Database,
    read: Document,
    guarded: tuple[str, ...],
    changes: Document,
    entry: Document,
    record: Document | None = None,
) -> bool:
    """Set these fields of a key, a value of None removing its field, and return whether it was done.

    Nothing is done if the key is gone, or if one of the `guarded` fields is not as in `read`. Raises what
    `Database.transaction` does, and RequestExistsError where the request has a record already.
    """
    unchanged = {"$and": [equals(field, read.get(field)) for field in guarded]}
    values = {field: "$$REMOVE" if value is None else {"$literal": value} for field, value in changes.items()}
    update = set_if(unchanged, values)
    keys, audit = _collections(database)

    def write(session: ClientSession) -> tuple[bool, Document | None]:
        if not keys.update_one(_place(read), update, session=session).modified_count:
            return (True, entry) if _is_stored(audit, entry, session) else (False, None)
        audit.insert_one(entry, session=session)
        if record is not None:
            insert_record(database, record, session)
        return True, entry

    return await database.transaction(write)


async def delete_key(database: Database, read: Document, make_entry: MakeEntry) -> Document | None:
    """Delete a key, and return its audit entry; None where it is gone. Raises what `Database.transaction` does."""
    keys, audit = _collections(database)
    entry: Document | None = None  # of the last run that found the key

    def write(session: ClientSession) -> tuple[Document | None, Document | None]:
        nonlocal entry
        document: Document | None = keys.find_one_and_delete(_place(read), session=session)
        if document is None:
            is_done = entry is not None and _is_stored(audit, entry, session)
            return (entry, entry) if is_done else (None, None)
        entry = make_entry(document)
        audit.insert_one(entry, session=session)
        return entry, entry

    return await database.transaction(write)


async def disable_keys(
    database: Database,
    domain_id: str,
    key_ids: Sequence[str],
    rank: int,
    at: datetime,
    disabled: Callable[[Sequence[Document]], Disabled],
) -> Disabled:
    """Disable those of these keys of a domain, at a rank, for which there is an audit entry.

    `disabled` tells, of the keys as they are stored, which ones these are. It is asked again if the transaction is run
    again. A key that is gone stays gone. Raises what `Database.transaction` does.
    """
    own_rank = {"$ifNull": ["$disabled_rank", 0]}
    values: Document = {
        "state": "DISABLED",
        "disabled_rank": {"$max": [own_rank, rank]},
        "audit_number": {"$add": [{"$ifNull": ["$audit_number", 0]}, 1]},
        "updated_at": at,
    }
    keys, audit = _collections(database)

    result = Disabled([], [])  # of the last run that disabled a key

    def write(session: ClientSession) -> tuple[Disabled, Document | None]:
        nonlocal result
        if result.entries and _is_stored(audit, result.entries[0], session):
            return result, result.entries[0]
        found = keys.find({"domain_id": domain_id, "_id": {"$in": list(key_ids)}}, session=session)
        result = disabled(found.to_list())
        if entries := result.entries:
            where = {"domain_id": domain_id, "_id": {"$in": [entry["api_key_id"] for entry in entries]}}
            ends = {"audit_ends_at": entries[0]["expires_at"]}  # of all, as they are of one instant
            keys.update_many(where, [{"$set": values | ends}], session=session)
            audit.insert_many(entries, session=session)
        return result, entries[0] if entries else None

    return await database.transaction(write)


def equals(field: str, value: Any) -> Document:
    """The condition that a field has a value; a missing field has None."""
    return {"$eq": [{"$ifNull": [f"${field}", None]}, {"$literal": value}]}


def set_if(condition: Document, values: Document) -> list[Document]:
    """The pipeline update that sets fields to the values of expressions where the condition holds."""
    return [{"$set": {field: {"$cond": [condition, value, f"${field}"]} for field, value in values.items()}}]


def _is_stored(audit: Collection[Document], entry: Document, session: ClientSession) -> bool:
    """Whether an earlier run of this transaction was stored, of which this is an audit entry."""
    return audit.find_one({"_id": entry["_id"]}, {"_id": 1}, session=session) is not None


def _collections(database: Database) -> tuple[Collection[Document], Collection[Document]]:
    """PyMongo's collections of the keys and of the audit log."""
    return database.api_keys.delegate, database.audit.delegate


def _place(read: Document) -> Document:
    return {"domain_id": read["domain_id"], "_id": read["_id"]}
