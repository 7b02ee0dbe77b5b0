"""The last valid SYSTEM key that may change keys stays: without one, no caller could manage all keys any more."""

import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from ..errors import PermissionDenied
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


class SystemKeys:
    """Lets SYSTEM keys be disabled, deleted and narrowed as long as one is left, also by several requests at once.

    Whoever ends one first marks it, then looks for another that may change keys and is not marked. So of two requests
    that would leave none at least one sees the mark of the other. A mark goes after the write, or counts no more after
    a while.
    """

    def __init__(self, database: Database, writes: Writes) -> None:
        self._database = database
        self._writes = writes

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
        meta = self._database.meta
        await self._database.run(lambda: meta.update_one(_MARKS, {"$push": {"marks": mark}}, upsert=True))
        try:
            if not await self._is_another_left(document["_id"], caller):
                raise PermissionDenied(
                    "This is the last valid key of role SYSTEM that may change keys. Create another one first."
                )
            yield
        finally:
            await self._database.run(lambda: meta.update_one(_MARKS, {"$pull": {"marks": {"by": mark["by"]}}}))

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
        wanted = dict.fromkeys(sorted(VALIDITY_FIELDS), 1)
        document = await self._database.run(lambda: self._database.api_keys.find_one(where, wanted))
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
