"""Counts how often keys are used, in memory, and adds them to the database in batches, so that no request waits.

A document has the counts of one key on one day (UTC): of the day, and of each hour.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

import structlog
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from ..background import repeat
from ..messages.values import whole_number
from .database import Database
from .failures import DUPLICATE_KEY, WRITE_CONFLICT

WRITE_SECONDS = 30.0  # between two writes
MAX_COUNTS = 100_000  # of a key, an hour and an outcome that are not written yet: about 30 MB
MAX_BATCH = 1_000  # documents of one write
MAX_READ = 2_000  # documents of one read

_RACES = {DUPLICATE_KEY, WRITE_CONFLICT}  # another worker inserts or changes a document at this moment

log = structlog.get_logger()

_Count = tuple[str, str, int, str]  # domain, key id, hours since 1970, outcome


class UsageCounts:
    """Counts that are not written yet, and those of the database."""

    def __init__(self, database: Database, kept_days: int) -> None:
        self._database = database
        self._kept_days = kept_days
        self._counts: dict[_Count, int] = {}
        self._lost = 0

    def count(self, key_id: str, domain_id: str, outcome: str) -> None:
        """Count a use of a key now, with its outcome, a word."""
        place = (domain_id, key_id, int(time.time() // 3600), outcome)
        if place in self._counts:
            self._counts[place] += 1
        elif not self._kept_days:
            return
        elif len(self._counts) < MAX_COUNTS:
            self._counts[place] = 1
        else:
            self._lost += 1

    async def write(self) -> bool:
        """Add what was counted, and return whether other workers' writes left some for the next one. Raises
        what `Database.run` does; what was not added is kept for the next write.

        A write whose outcome is unknown is repeated, so that its counts may be added twice.
        """
        if self._lost:
            log.warning("uses of keys were not counted: too many keys were used", count=self._lost)
            self._lost = 0
        counts, self._counts = self._counts, {}
        of_documents: dict[tuple[str, str, date], list[_Count]] = defaultdict(list)
        for one in counts:
            domain_id, key_id, hour, _ = one
            of_documents[domain_id, key_id, _day(hour)].append(one)
        waiting = list(of_documents.items())
        is_kept = False
        while waiting:
            batch, waiting = waiting[:MAX_BATCH], waiting[MAX_BATCH:]
            writes = [self._addition(place, {one: counts[one] for one in of_day}) for place, of_day in batch]
            try:
                await self._database.run(lambda: self._database.usage.bulk_write(writes, ordered=False))  # noqa: B023
            except BulkWriteError as error:
                errors = error.details["writeErrors"]
                failed = [batch[one["index"]] for one in errors if one["code"] in _RACES]
                self._keep(counts, failed)
                is_kept = is_kept or bool(failed)
                log.info("uses of keys were not added, kept for the next write", keys=len(failed))
                if lost := sorted({one["code"] for one in errors} - _RACES):
                    # Such as those of a document that something else changed: they would be refused for ever.
                    log.warning("uses of keys were not counted: the database refused them", codes=lost)
            except BaseException:
                self._keep(counts, batch + waiting)
                raise
        return is_kept

    def _keep(self, counts: dict[_Count, int], documents: list[tuple[Any, list[_Count]]]) -> None:
        for _, of_day in documents:
            for one in of_day:
                self._counts[one] = self._counts.get(one, 0) + counts[one]

    def _addition(self, place: tuple[str, str, date], counts: dict[_Count, int]) -> UpdateOne:
        domain_id, key_id, day = place
        added: dict[str, int] = defaultdict(int)
        for (_, _, hour, outcome), count in counts.items():
            added[f"day.{outcome}"] += count
            added[f"hours.{hour % 24}.{outcome}"] += count
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return UpdateOne(
            {"domain_id": domain_id, "_id": _id(domain_id, key_id, day)},
            {"$inc": added, "$setOnInsert": {"expires_at": midnight + timedelta(days=self._kept_days + 1)}},
            upsert=True,
        )

    async def read(
        self, domain_id: str, key_ids: Iterable[str], days: Sequence[date], *, hours: bool
    ) -> dict[tuple[str, date], Any]:
        """What is stored of keys of a domain on these days, by key and day, for `readable_counts`.

        Raises what `Database.run` does.
        """
        field = "hours" if hours else "day"
        places = ((key_id, day) for key_id in dict.fromkeys(key_ids) for day in days)
        found: dict[tuple[str, date], Any] = {}
        while batch := {_id(domain_id, *place): place for place in islice(places, MAX_READ)}:
            where = {"domain_id": domain_id, "_id": {"$in": list(batch)}}
            documents = await self._database.to_list(lambda usage: usage.find(where, {field: 1}), "usage")  # noqa: B023
            for document in documents:
                counts = document.get(field)
                found[batch[document["_id"]]] = counts if hours else {"0": counts}
        return found

    async def keep_writing(self) -> None:
        """Write every 30 seconds until cancelled."""
        await repeat(self.write, WRITE_SECONDS, "uses of keys were not added, kept for the next write")


def _day(hour: int) -> date:
    return datetime.fromtimestamp(hour * 3600, UTC).date()


def _id(domain_id: str, key_id: str, day: date) -> str:
    return f"{key_id} {day.isoformat()} {domain_id}"


def readable_counts(hours: Any) -> dict[int, dict[str, int]]:
    """Stored counts by hour of the day (0 for those of a day) and outcome, without what something else wrote."""
    if not isinstance(hours, dict):
        return {}
    return {
        int(hour): {outcome: count for outcome, stored in counts.items() if (count := whole_number(stored)) is not None}
        for hour, counts in hours.items()
        if isinstance(counts, dict) and len(hour) <= 2 and hour.isdecimal() and int(hour) < 24
    }
