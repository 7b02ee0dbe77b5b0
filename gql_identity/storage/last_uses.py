"""Records when keys were last used, in memory, and writes it in batches, so that no request waits for it."""

import asyncio
import time
from datetime import UTC, datetime

import structlog
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from ..errors import ServiceError, Unavailable
from .conditional_writes import equals, set_if
from .database import Database, Document

FLUSH_SECONDS = 2.0  # between two writes
MIN_INTERVAL_SECONDS = 60.0  # between two writes of one key's last use by one worker

log = structlog.get_logger()


_Secret = tuple[str, int]  # a key's id and the number of one of its secrets


def _uses(number: int, at: datetime) -> Document:
    # A key that was never rotated has one secret, of number 0, whose uses are its own.
    return {"last_accessed_at": at} | ({f"secret_uses.{number}": at} if number else {})


def _move(read: Document, moved: Document) -> list[Document]:
    # Another worker may have written the fingerprint of another secret, whose digest stays.
    unchanged = {"$and": [equals(field, read[field]) for field in moved]}
    return set_if(unchanged, {field: {"$literal": value} for field, value in moved.items()})


class LastUses:
    """Last uses that are not written yet, and new digests, with their fingerprints, of keys that were used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._uses: dict[_Secret, tuple[str, datetime]] = {}  # domain and last use
        self._written: dict[_Secret, float] = {}  # when its last use was written, by time.monotonic()
        self._moves: dict[str, tuple[Document, Document]] = {}  # by key id: what was read, and what is set

    def __len__(self) -> int:
        return len(self._uses)

    def record(self, key_id: str, domain_id: str, secret_number: int) -> None:
        """Record that a secret of a key was used now."""
        self._uses[(key_id, secret_number)] = (domain_id, datetime.now(UTC))

    def move_digest(self, read: Document, moved: Document) -> None:
        """Record the `digest` and `pepper` of a key that was read, to be set unless they change meanwhile."""
        before = {field: read.get(field) for field in ("domain_id", *moved)}
        self._moves[read["_id"]] = (before, moved)

    async def write(self, *, everything: bool = False) -> None:
        """Write what is due: each key's use at most once a minute, unless `everything`.

        Raises what `Database.run` does; nothing is lost then, and the next write includes it.
        """
        now = time.monotonic()
        self._written = {secret: at for secret, at in self._written.items() if now - at < MIN_INTERVAL_SECONDS}
        due = {secret: use for secret, use in self._uses.items() if everything or secret not in self._written}
        moves, self._moves = self._moves, {}
        for secret in due:
            del self._uses[secret]
        writes = [
            UpdateOne({"domain_id": domain, "_id": key_id}, {"$max": _uses(number, at)})
            for (key_id, number), (domain, at) in due.items()
        ] + [
            UpdateOne({"domain_id": read["domain_id"], "_id": key_id}, _move(read, moved))
            for key_id, (read, moved) in moves.items()
        ]
        if not writes:
            return
        try:
            await self._database.run(lambda: self._database.api_keys.bulk_write(writes, ordered=False))
        except BaseException as error:
            self._uses = due | self._uses
            self._moves = moves | self._moves
            if isinstance(error, BulkWriteError):
                codes = sorted({failed["code"] for failed in error.details["writeErrors"]})
                raise Unavailable(f"The database refused to write last uses, with the error codes {codes}.") from None
            raise
        self._written.update(dict.fromkeys(due, now))

    async def keep_writing(self) -> None:
        """Write every two seconds until cancelled."""
        told = None
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.write()
                told = None
            except ServiceError as error:
                if error.message != told:
                    told = error.message
                    log.warning("last uses not written, kept for the next write", reason=error.reason or told)
            except Exception:
                log.exception("last uses not written, kept for the next write")
