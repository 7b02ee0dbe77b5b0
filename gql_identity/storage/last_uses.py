"""Records when keys were last used, in memory, and writes it in batches, so that no request waits for it."""

import asyncio
import time
from datetime import UTC, datetime

import structlog
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from ..errors import ServiceError, Unavailable
from .database import Database

FLUSH_SECONDS = 2.0  # between two writes
MIN_INTERVAL_SECONDS = 60.0  # between two writes of one key's last use by one worker

log = structlog.get_logger()


class LastUses:
    """Last uses that are not written yet, and new digests, under the current pepper, of keys that were used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._uses: dict[str, tuple[str, datetime]] = {}  # by key id: domain and last use
        self._written: dict[str, float] = {}  # by key id: when its last use was written, by time.monotonic()
        self._moves: dict[str, tuple[str, bytes]] = {}  # by key id: domain and digest under the current pepper

    def record(self, key_id: str, domain_id: str) -> None:
        """Record that a key was used now."""
        self._uses[key_id] = (domain_id, datetime.now(UTC))

    def move_digest(self, key_id: str, domain_id: str, digest: bytes) -> None:
        """Record a key's new digest, to be written."""
        self._moves[key_id] = (domain_id, digest)

    async def write(self, *, everything: bool = False) -> None:
        """Write what is due: each key's use at most once a minute, unless `everything`.

        Raises what `Database.run` does; nothing is lost then, and the next write includes it.
        """
        now = time.monotonic()
        self._written = {key_id: at for key_id, at in self._written.items() if now - at < MIN_INTERVAL_SECONDS}
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
                # Not `error` itself: its text contains digests.
                codes = sorted({failed["code"] for failed in error.details["writeErrors"]})
                raise Unavailable(f"The database refused to write last uses, with the error codes {codes}.") from None
            raise
        self._written.update(dict.fromkeys(due, now))

    async def keep_writing(self) -> None:
        """Write every two seconds until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.write()
            except ServiceError as error:
                log.warning("last uses not written, kept for the next write", reason=error.message)
            except Exception:
                log.exception("last uses not written, kept for the next write")
