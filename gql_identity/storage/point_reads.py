"""Reads of keys by their ids: what all requests ask for at one moment is one read.

A round trip costs more than all else that a request needs, and the database does little more for many keys than for
one. Nobody waits for company: only those who come in the same turn of the event loop share a read.
"""

import asyncio
from collections.abc import Collection
from itertools import repeat
from typing import NamedTuple

from strawberry.dataloader import DataLoader

from .database import DEADLINE, Database, Document

MOST_KEYS = 200  # of one read that several share: with more, the keys cost more than the round trip that is saved

Reference = tuple[str, str]  # a domain, and the id of a key of it


class PointReads:
    """The point reads of a database's keys."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collection = database.api_keys
        self._loader: DataLoader[_Asked, _Reading] = DataLoader(self._begin_reads, cache=False)

    async def find(self, references: Collection[Reference], fields: frozenset[str]) -> dict[Reference, Document]:
        """The documents of those of these keys that there are, read after the call; perhaps others' too.

        They have these stored fields, perhaps more. Raises what `Database.run` does.
        """
        reading = await self._loader.load(_Asked(references, fields))
        return await asyncio.shield(reading)  # others may wait for it too

    async def _begin_reads(self, asked: "list[_Asked]") -> "list[_Reading]":
        """The reads that answer these, each answered when it is done itself."""
        # Whoever asked waits no longer than its own deadline; the read itself has the database's.
        DEADLINE.set(None)
        reads: list[list[_Asked]] = []
        keys = MOST_KEYS
        for one in asked:
            keys += len(one.references)
            if keys > MOST_KEYS:
                reads.append([])
                keys = len(one.references)
            reads[-1].append(one)
        return [reading for read in reads for reading in repeat(self._begin(read), len(read))]

    def _begin(self, asked: "list[_Asked]") -> "_Reading":
        reading = asyncio.ensure_future(self._read(asked))
        reading.add_done_callback(lambda read: read.cancelled() or read.exception())  # told to those who wait, if any
        return reading

    async def _read(self, asked: "list[_Asked]") -> dict[Reference, Document]:
        references = {reference for one in asked for reference in one.references}
        fields = frozenset({"_id", "domain_id"}).union(*(one.fields for one in asked))
        wanted = dict.fromkeys(sorted(fields), 1)
        domains, ids = sorted({domain for domain, _ in references}), sorted(key_id for _, key_id in references)
        in_one_batch = len(ids) + 1
        if len(references) == 1:
            where: Document = {"domain_id": domains[0], "_id": ids[0]}
            document = await self._database.run(lambda: self._collection.find_one(where, wanted))
            documents = [] if document is None else [document]
        elif len(domains) == 1:
            where = {"domain_id": domains[0], "_id": {"$in": ids}}
            documents = await self._database.read_all(lambda keys: keys.find(where, wanted, batch_size=in_one_batch))
        else:
            stages = [*matches_across(domains, ids), {"$project": wanted}]
            documents = await self._database.read_all(lambda keys: keys.aggregate(stages, batchSize=in_one_batch))
        # Whatever is found of one of these domains under another's id, nobody here asked for it.
        return {(document["domain_id"], document["_id"]): document for document in documents}


def matches_across(domains: list[str], ids: list[str]) -> list[Document]:
    """The stages that find the keys of these ids, in these domains alone.

    MongoDB merges them, and asks the shards of these domains. An engine that does not merge them walks the index that
    answers the first: so that is of the ids, since that of the domains would have it read them whole.
    """
    return [{"$match": {"_id": {"$in": ids}}}, {"$match": {"domain_id": {"$in": domains}}}]


_Reading = asyncio.Task[dict[Reference, Document]]


class _Asked(NamedTuple):
    references: Collection[Reference]
    fields: frozenset[str]
