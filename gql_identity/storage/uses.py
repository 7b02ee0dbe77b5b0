"""When keys were last used: gathered in memory, written in batches; no request waits for it."""

import asyncio
import time
from datetime import UTC, datetime

import structlog
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from ..errors import ServiceError, Unavailable
from .database import Database

FLUSH_SECONDS = 2.0  # how often uses are written
BETWEEN_SECONDS = 60.0  # the least time between two writes of one key's last use, for a worker

log = structlog.get_logger()


class Uses:
    """The uses of keys that are not written yet, and the digests that use moves to today's pepper."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._uses: dict[str, tuple[str, datetime]] = {}  # key id: its domain and its last use
        self._written: dict[str, float] = {}  # key id: when its use was written, by time.monotonic()
        self._moves: dict[str, tuple[str, bytes]] = {}  # key id: its domain and its digest under today's pepper

    def used(self, key_id: str, domain_id: str) -> None:
        """Remember that a key was used now."""
        self._uses[key_id] = (domain_id, datetime.now(UTC))

    def moves(self, key_id: str, domain_id: str, digest: bytes) -> None:
        """Remember that a key is to have another digest."""
        self._moves[key_id] = (domain_id, digest)

    async def write(self, *, everything: bool = False) -> None:
        """Write what was gathered, at most one use a minute for a key unless `everything`; what fails is kept."""
        now = time.monotonic()
        self._written = {key_id: at for key_id, at in self._written.items() if now - at < BETWEEN_SECONDS}
        due = {key_id: use for key_id, use in self._uses.items() if everything or key_id not in self._written}
        moves, self._moves = self._moves, {}
        for key_id in due:
            del self._uses[key_id]
        writes = [
            UpdateOne({"domain_id": domain, "_id": key_id}, {"$max": {"last_accessed_at": at}})
            for key_id, (domain, at) in due.items()
        ] + [
            UpdateOne({"domain_id": domain, "_id": key_id}, {"$set": {"digest": digest}})
            for key_id, (domain, digest) in moves.items()
        ]
        if not writes:
            return
        try:
            await self._database.run(lambda: self._database.api_keys.bulk_write(writes, ordered=False))
        except BaseException as error:
            self._uses = due | self._uses
            self._moves = moves | self._moves
            if isinstance(error, BulkWriteError):
                # Not `error` itself, whose text has the digests.
                codes = sorted({failed["code"] for failed in error.details["writeErrors"]})
                raise Unavailable(f"The database refused the write of uses with the codes {codes}.") from None
            raise
        self._written.update(dict.fromkeys(due, now))

    async def keep_writing(self) -> None:
        """Write every two seconds until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.write()
            except ServiceError as error:
                log.warning("uses not written, kept for later", reason=error.message)
            except Exception:
                log.exception("uses not written, kept for later")
