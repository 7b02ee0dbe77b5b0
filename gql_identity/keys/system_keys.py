"""The last valid SYSTEM key that may change keys stays: without one, no caller could manage all keys any more."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

from ..background import repeat
from ..deadlines import DEADLINE
from ..errors import DeadlineExceeded, PermissionDenied, Unavailable
from ..messages.requests import APIKeyReference
from ..messages.values import APIKeyRole
from ..storage.database import Database, Document
from .access import COMMAND_LINE, Caller
from .records import now
from .scopes import WRITE
from .validity import VALIDITY_FIELDS, is_valid_document, valid_filter
from .writes import Writes

_MARKS = {"_id": "ending-system-keys"}  # a document of the collection `meta`
_MARKS_LAST = timedelta(minutes=11)  # longer than a request can: 300 s to begin its write and 300 s for the write
_MARKS_KEPT = timedelta(hours=1)  # those that count no more, so that clocks may differ
# After its deadline, that a write whose outcome is unknown may still take place. The driver sends no commit later than
# a second after it; the rest is for a server that hangs.
UNKNOWN_SECONDS = 10.0
REMOVE_SECONDS = 1.0  # between two attempts to remove marks
MAX_ENDED = 1_000  # marks to remove that are remembered; others count until _MARKS_LAST


class SystemKeys:
    """Lets SYSTEM keys be disabled, deleted and narrowed as long as one is left, also by several requests at once.

    Whoever ends one first marks it, then looks for another that may change keys and is not marked. So of two requests
    that would leave none at least one sees the mark of the other. A mark is removed after the write, in the background
    if the request has no time left for it, and counts no more after a while.
    """

    def __init__(self, database: Database, writes: Writes) -> None:
        self._database = database
        self._writes = writes
        self._ended: dict[str, float] = {}  # marks to remove: from when on they may be, by time.monotonic()

    @asynccontextmanager
    async def ending(self, request: APIKeyReference, caller: Caller) -> AsyncIterator[None]:
        """A block in which the key is disabled, deleted or narrowed.

        Raises PermissionDenied for the last valid SYSTEM key that may change keys, NotFound as the write does.
        """
        # Others see no SYSTEM key. The command line can make one without having any.
        if caller.role is not APIKeyRole.SYSTEM or caller is COMMAND_LINE:
            yield
            return
        document = await self._writes.read(request, caller, None)
        if document.get("role") != APIKeyRole.SYSTEM.name or not _may_change_keys(document):
            yield
            return
        mark = {"key": document["_id"], "by": uuid.uuid4().hex, "at": now()}
        meta, end = self._database.meta, 0.0
        try:
            await self._database.run(lambda: meta.update_one(_MARKS, {"$push": {"marks": mark}}, upsert=True))
            if not await self._is_another_left(document["_id"], caller):
                raise PermissionDenied(
                    "This is the last valid key of role SYSTEM that may change keys. Create another one first."
                )
            yield
        except (Unavailable, DeadlineExceeded, asyncio.CancelledError):
            # The write may still take place, and the mark must outlast it.
            end = max(time.monotonic(), DEADLINE.get() or 0.0) + UNKNOWN_SECONDS
            raise
        finally:
            if len(self._ended) < MAX_ENDED:
                self._ended[mark["by"]] = end
            if not end:
                # Whatever comes of it, the outcome is that of the block. `keep_removing_marks` tries again.
                with suppress(Exception):
                    await self.remove_marks()

    async def remove_marks(self) -> None:
        """Remove the marks of requests whose writes have ended. Raises what `Database.run` does; they stay then."""
        at = time.monotonic()
        ended = [by for by, end in self._ended.items() if end <= at]
        if not ended:
            return
        is_left = {"$and": [{"$not": [{"$in": ["$$mark.by", ended]}]}, {"$gt": ["$$mark.at", now() - _MARKS_KEPT]}]}
        left = {"$filter": {"input": "$marks", "as": "mark", "cond": is_left}}
        await self._database.run(lambda: self._database.meta.update_one(_MARKS, [{"$set": {"marks": left}}]))
        for by in ended:
            self._ended.pop(by, None)

    async def keep_removing_marks(self) -> None:
        """Remove marks that requests could not remove, until cancelled."""
        failure = "the marks of SYSTEM keys that were ended were not removed; the next attempt is in a second"
        await repeat(self.remove_marks, REMOVE_SECONDS, failure)

    async def _is_another_left(self, key_id: str, caller: Caller) -> bool:
        # The marks are read first: a key that is valid after that, and was not marked before, ends after this mark.
        marks = await self._database.run(lambda: self._database.meta.find_one(_MARKS)) or {"marks": []}
        at = now()
        ending = {mark["key"] for mark in marks["marks"] if at - mark["at"] < _MARKS_LAST} | {key_id}
        if caller.key_id not in ending and await self._may_go_on(caller):
            return True
        return await is_system_key_left(self._database, at, ending)

    async def _may_go_on(self, caller: Caller) -> bool:
        where = {"domain_id": caller.domain_id, "_id": caller.key_id}
        document = await self._database.find_one(where, VALIDITY_FIELDS)
        return document is not None and _may_change_keys(document)


async def is_system_key_left(database: Database, at: datetime, ending: Collection[str] = ()) -> bool:
    """Whether there is a valid SYSTEM key that may change keys, beside these. Reads all keys where there is none."""
    where: Document = {
        "role": APIKeyRole.SYSTEM.name,
        "_id": {"$nin": sorted(ending)},
        "scopes": {"$in": [None, WRITE]},
        **valid_filter(at),
    }
    return await database.run(lambda: database.api_keys.find_one(where, {"_id": 1, "domain_id": 1})) is not None


def _may_change_keys(document: Document) -> bool:
    """Whether a stored SYSTEM key is valid and has `identity:write`; it may be restricted to some addresses."""
    scopes = document.get("scopes")
    return is_valid_document(document) and (scopes is None or WRITE in scopes)
