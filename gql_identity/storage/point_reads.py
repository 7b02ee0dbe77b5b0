"""Reads of keys by their ids: concurrent lookups are batched into one query.

A round trip costs more than all else that a request needs, and the database does little more for many keys than for
one.
"""

import time
from collections.abc import Collection
from typing import NamedTuple

from .batches import Batches
from .database import Database, Document, keys_for

MAX_BATCH_KEYS = 400  # of one read that several share: with more, the keys cost more than the round trip that is saved

Reference = tuple[str, str]  # a domain, and the id of a key of it


class PointReads:
    """The point reads of a database's keys."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batches: Batches[_Lookup, dict[Reference, Document]] = Batches(
            self._read_all, "keys", MAX_BATCH_KEYS, lambda lookup: len(lookup.references)
        )

    async def find(self, references: Collection[Reference], fields: frozenset[str]) -> dict[Reference, Document]:
        """The documents of those of these keys that exist, read after the call, with at least these stored fields.

        Instants are naive, in UTC, if the documents lack those that are compared with others (`keys_for`).
        The result may hold documents of other lookups too. Raises what `Database.run` does.
        """
        return await self._batches.load(_Lookup(references, fields))

    async def _read_all(self, lookups: "list[_Lookup]") -> list[dict[Reference, Document]]:
        began = time.monotonic()
        found = await self._read(lookups)
        self._database.note_point_read(time.monotonic() - began)
        return [found] * len(lookups)

    async def _read(self, lookups: "list[_Lookup]") -> dict[Reference, Document]:
        references = {reference for one in lookups for reference in one.references}
        fields = frozenset({"_id", "domain_id"}).union(*(one.fields for one in lookups))
        domains, ids = sorted({domain for domain, _ in references}), sorted(key_id for _, key_id in references)
        if len(references) == 1:
            where: Document = {"domain_id": domains[0], "_id": ids[0]}
        else:
            where = condition(domains, ids, is_sharded=self._database.is_sharded)
        documents = await self._database.find(where, len(ids), fields, keys_for(fields))
        # It may also hold a key that was named under another domain: no lookup takes that one.
        # A domain that is a list, which something else stored, matches too: it is the domain of no key.
        return {
            (document["domain_id"], document["_id"]): document
            for document in documents
            if isinstance(document.get("domain_id"), str)
        }


def condition(domains: list[str], ids: list[str], *, is_sharded: bool) -> Document:
    """What finds the keys of these ids, in these domains.

    For several domains a cluster asks only their shards. Elsewhere the index of the ids finds the keys without the
    domains, each by itself, and the embedded engine would read all keys to check them: the reader does that.
    """
    if len(domains) == 1:
        return {"domain_id": domains[0], "_id": {"$in": ids}}
    return {"_id": {"$in": ids}} | ({"domain_id": {"$in": domains}} if is_sharded else {})


class _Lookup(NamedTuple):
    references: Collection[Reference]
    fields: frozenset[str]
