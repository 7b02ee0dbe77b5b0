"""Uses of secrets that a rotation has ended: an audit entry, at most one an hour for each key."""

import time
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from ..background import repeat
from ..messages.keys import APIKeyInfo
from ..storage.conditional_writes import set_if_unchanged
from ..storage.database import Database, Document
from ..storage.failures import may_pass
from .audit_entries import AuditEntries, counted, log_entry
from .documents import CHANGEABLE, REQUIRED, readable, unreadable
from .records import now

INTERVAL = timedelta(hours=1)  # between two entries of one key
WRITE_SECONDS = 2.0  # between two writes
MAX_KEYS = 10_000  # that are remembered, so that a flood of uses reads and writes nothing
ATTEMPTS = 5  # where others change the key at the same time


log = structlog.get_logger()


class _Use(NamedTuple):
    domain_id: str
    address: str | None
    request_id: str | None


class StaleSecrets:
    """Uses of ended secrets, gathered in memory and written in the background, so that no request waits for it."""

    def __init__(self, database: Database, entries: AuditEntries) -> None:
        self._database = database
        self._entries = entries
        self._waiting: dict[str, _Use] = {}  # by key id
        # Key id: when its last use was noted, by time.monotonic(); the oldest first.
        self._noted: OrderedDict[str, float] = OrderedDict()

    def note(self, key: APIKeyInfo, address: str | None) -> None:
        """Note that an ended secret of a key was used now, from an address if it is known."""
        at, interval = time.monotonic(), INTERVAL.total_seconds()
        while self._noted and at - next(iter(self._noted.values())) >= interval:
            self._noted.popitem(last=False)
        if key.api_key_id in self._noted or len(self._noted) >= MAX_KEYS:  # the log has each refused credential
            return
        self._noted[key.api_key_id] = at
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        self._waiting[key.api_key_id] = _Use(key.domain_id, address, request_id)

    async def write(self) -> None:
        """Write the entries of the uses so far. Raises a ServiceError of the database; the rest is kept then.

        A use that cannot be recorded, as of a key that something else changed, is left out, and the log tells of it.
        """
        while self._waiting:
            key_id, use = next(iter(self._waiting.items()))
            try:
                await self._write(key_id, use)
            except Exception as error:
                if may_pass(error):
                    # The next write begins with the others, which this key may not hold up.
                    self._waiting[key_id] = self._waiting.pop(key_id)
                    raise
                # Not its text, which may have values of the document.
                told = "the use of an ended secret cannot be recorded"
                log.error(told, api_key_id=key_id, error=type(error).__name__)
            self._waiting.pop(key_id, None)

    async def _write(self, key_id: str, use: _Use) -> None:
        where = {"domain_id": use.domain_id, "_id": key_id}
        for _ in range(ATTEMPTS):
            document = await self._database.find_one(where)
            at = now()
            if document is None or unreadable(document, CHANGEABLE) or _was_told(document, at):
                return
            with structlog.contextvars.bound_contextvars(request_id=use.request_id):
                entry = self._entries.stale_secret_used(readable(document, REQUIRED), at, use.address)
                changes = {"stale_used_at": at, **counted(entry)}
                if await set_if_unchanged(self._database, document, ("audit_number",), changes, entry):
                    log_entry(entry)
                    return

    async def keep_writing(self) -> None:
        """Write every two seconds until cancelled."""
        failure = "the use of an ended secret was not recorded; it is kept for the next attempt"
        await repeat(self.write, WRITE_SECONDS, failure)


def _was_told(document: Document, at: datetime) -> bool:
    """Whether a stored key has an entry of the last hour, by this worker or another one.

    One of the future, by a clock that ran ahead, is none: the clocks of workers differ by less than the interval.
    """
    told = document.get("stale_used_at")
    return isinstance(told, datetime) and abs(at - told) < INTERVAL
