"""Records when keys were last used, in memory, and writes it in batches, so that no request waits for it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from ..errors import ServiceError, Unavailable
from .conditional_writes import equals, set_if
from .database import Database, Document
from .failures import WRITE_CONFLICT

FLUSH_SECONDS = 2.0  # between two writes
MIN_INTERVAL_SECONDS = 60.0  # between two writes of one key's last use by one worker
AGAIN_SECONDS = 0.1  # until the next write, where another worker's write came in between
MAX_HASTENED = 10_000  # first uses that are remembered until they are written
LOG_SECONDS = 600.0  # between two lines about writes that the database refuses

log = structlog.get_logger()


T = TypeVar("T")
_Secret = tuple[str, int]  # a key's id and the number of one of its secrets
_Use = tuple[str, datetime]  # the key's domain, and when
_Move = tuple[Document, Document]  # what was read, and what is set


def _uses(number: int, at: datetime) -> Document:
    # A key that was never rotated has one secret, of number 0, whose uses are its own.
    return {"last_accessed_at": at} | ({f"secret_uses.{number}": at} if number else {})


def _move(read: Document, moved: Document) -> list[Document]:
    # Another worker may have written the fingerprint of another secret, whose digest stays.
    unchanged = {"$and": [equals(field, read[field]) for field in moved]}
    return set_if(unchanged, {field: {"$literal": value} for field, value in moved.items()})


def _recent(times: dict[T, float], now: float) -> dict[T, float]:
    return {one: at for one, at in times.items() if now - at < MIN_INTERVAL_SECONDS}


class LastUses:
    """Last uses that are not written yet, and new digests, with their fingerprints, of keys that were used.

    `superseded` is called with a key's id when the first use of its newest secret has been written.
    """

    def __init__(self, database: Database, superseded: Callable[[str], None]) -> None:
        self._database = database
        self._superseded = superseded
        # By key id, the newest secret whose first use is not written yet: it takes rights from an older one.
        self._hastened: dict[str, int] = {}
        self._is_due = asyncio.Event()  # whether there is one to write
        self._uses: dict[_Secret, _Use] = {}
        self._written: dict[_Secret, float] = {}  # when its last use was written, by time.monotonic()
        self._moves: dict[str, _Move] = {}  # by key id
        self._refused: dict[str, float] = {}  # when the database refused a key's move, by time.monotonic()
        self._told = -LOG_SECONDS  # when the log last told of a refused write, likewise

    def __len__(self) -> int:
        return len(self._uses)

    def record(self, key_id: str, domain_id: str, secret_number: int) -> None:
        """Record that a secret of a key was used now."""
        self._uses[(key_id, secret_number)] = (domain_id, datetime.now(UTC))

    def hasten(self, key_id: str, secret_number: int) -> None:
        """Have the use of a secret that was just recorded written at once; `newest_used` tells of it until it is."""
        if self.newest_used(key_id) >= secret_number:
            return
        self._hastened[key_id] = secret_number
        if len(self._hastened) > MAX_HASTENED:
            del self._hastened[next(iter(self._hastened))]
        self._is_due.set()

    def newest_used(self, key_id: str) -> int:
        """The number of a key's newest secret if it was used and that is not written yet; else 0."""
        return self._hastened.get(key_id, 0)

    def move_digest(self, read: Document, moved: Document) -> None:
        """Record the `digest` and `pepper` of a key that was read, to be set unless they change meanwhile."""
        if read["_id"] not in self._refused:
            before = {field: read.get(field) for field in ("domain_id", *moved)}
            self._moves[read["_id"]] = (before, moved)

    async def write(self, *, everything: bool = False, hastened: bool = False) -> bool:
        """Write what is due: each key's use at most once a minute, unless `everything`, or only what is `hastened`.

        Returns whether other workers' writes left something for the next write.

        Raises what `Database.run` does; nothing is lost then, and the next write includes it. A write that the
        database refuses, as of a key that something else changed, is left out until the key is used again.
        """
        now = time.monotonic()
        self._written, self._refused = _recent(self._written, now), _recent(self._refused, now)
        if hastened:
            due = {secret: self._uses[secret] for secret in self._hastened.items() if secret in self._uses}
            moves: dict[str, _Move] = {}
        else:
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
            return False
        again, refused = set[_Secret](), dict[int, int]()
        try:
            await self._database.run(lambda: self._database.api_keys.bulk_write(writes, ordered=False))
        except BulkWriteError as error:
            refused = {failed["index"]: failed["code"] for failed in error.details["writeErrors"]}
            if not refused:  # not written to a majority in time
                self._keep(due, moves)
                raise Unavailable("The database did not confirm the last uses.") from None
            again = self._refuse(refused, due, moves, now)
        except BaseException:
            self._keep(due, moves)
            raise
        self._written.update(dict.fromkeys(due.keys() - again, now))
        if self._hastened:
            self._note_written({secret for place, secret in enumerate(due) if place not in refused})
        return bool(again or self._moves.keys() & moves.keys())

    def _note_written(self, secrets: set[_Secret]) -> None:
        """Tell of first uses that are stored now. One that the database refuses is remembered further."""
        for secret in secrets.intersection(self._hastened.items()):
            key_id, _ = secret
            self._superseded(key_id)
            del self._hastened[key_id]

    def _keep(self, due: dict[_Secret, _Use], moves: dict[str, _Move]) -> None:
        """Keep these for the next write, unless there are newer ones."""
        self._uses = due | self._uses
        self._moves = moves | self._moves

    def _refuse(
        self, codes: dict[int, int], due: dict[_Secret, _Use], moves: dict[str, _Move], now: float
    ) -> set[_Secret]:
        """Leave out what the database refused, with these codes by place, and keep what it may write next time.

        Returns the secrets whose uses are kept: they are due at once, as nothing of them was written.
        """
        uses, moved = list(due.items()), list(moves.items())
        again = set[_Secret]()
        for place, code in codes.items():
            if place < len(uses):
                if code == WRITE_CONFLICT:
                    self._uses.setdefault(*uses[place])
                    again.add(uses[place][0])
            elif code == WRITE_CONFLICT:
                self._moves.setdefault(*moved[place - len(uses)])
            else:
                self._refused[moved[place - len(uses)][0]] = now
        lost = [code for code in codes.values() if code != WRITE_CONFLICT]
        if lost and now - self._told >= LOG_SECONDS:
            self._told = now
            log.warning("the database refused last uses of keys", keys=len(lost), codes=sorted(set(lost)))
        return again

    async def keep_writing(self) -> None:
        """Write every two seconds, and what is hastened at once, until cancelled."""
        told, next_at = None, time.monotonic() + FLUSH_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(next_at - time.monotonic()):
                    await self._is_due.wait()
            self._is_due.clear()
            is_time = time.monotonic() >= next_at
            if is_time:
                next_at = time.monotonic() + FLUSH_SECONDS
            try:
                if await self.write(hastened=not is_time):
                    next_at = time.monotonic() + AGAIN_SECONDS
                told = None
            except ServiceError as error:
                if error.message != told:
                    told = error.message
                    log.warning("last uses not written, kept for the next write", reason=error.reason or told)
            except Exception:
                log.exception("last uses not written, kept for the next write")
