"""How often keys were used, per hour or day, and with what outcome."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from graphql import GRAPHQL_MAX_INT

from ..errors import InvalidArgument
from ..execution.turns import turns_of_this_loop
from ..messages.keys import APIKeyInfo
from ..messages.usage import APIKeyUsage, APIKeyUsageInterval, APIKeyVerificationCode
from ..messages.values import DateTime
from ..settings import Settings
from ..storage.usage_counts import UsageCounts, readable_counts
from .access import Caller, access_to, may_name
from .matching import share_of
from .records import now

MAX_INTERVALS = 400  # whole ones, of one request
_LENGTHS = {APIKeyUsageInterval.HOUR: timedelta(hours=1), APIKeyUsageInterval.DAY: timedelta(days=1)}
_USUAL = {APIKeyUsageInterval.HOUR: timedelta(hours=24), APIKeyUsageInterval.DAY: timedelta(days=30)}


class KeyUsage:
    """The counted uses of keys; of a key that a caller may not see there are none."""

    def __init__(self, counts: UsageCounts, settings: Settings) -> None:
        self._counts = counts
        self._kept = timedelta(days=settings.usage_days)

    async def of_keys(
        self,
        keys: Sequence[APIKeyInfo],
        caller: Caller,
        since: datetime | None,
        until: datetime | None,
        interval: APIKeyUsageInterval,
    ) -> list[list[APIKeyUsage] | None]:
        """The uses of each key, whose user and role must have been read; None where uses are not counted.

        Intervals without uses are left out. Raises InvalidArgument for a period that ends before it begins or has too
        many intervals, and InsufficientScope.
        """
        begin, end = _period(since, until, interval)
        begin = max(begin, now() - self._kept - timedelta(days=1))
        of_domains: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            if self._kept and _may_see(key, caller):
                of_domains[key.domain_id].append(key.api_key_id)
        days = _days(begin, end)
        turns, owner = turns_of_this_loop(), share_of(caller)
        found: dict[str, list[APIKeyUsage]] = {}
        for domain_id, key_ids in of_domains.items():
            hours = interval is APIKeyUsageInterval.HOUR
            stored = await self._counts.read(domain_id, key_ids, days, hours=hours)
            for key_id in key_ids:
                found[key_id] = []
                for day in days:
                    if (day_of_key := stored.get((key_id, day))) is None:
                        continue
                    if turns.is_over():
                        await turns.wait(owner)
                    found[key_id] += _of_day(day, day_of_key, begin, end)
        return [found.get(key.api_key_id) for key in keys]


def _of_day(day: date, stored: Any, begin: datetime, end: datetime) -> list[APIKeyUsage]:
    return [
        APIKeyUsage(start=start, code=code, count=min(count, GRAPHQL_MAX_INT))
        for hour, of_hour in sorted(readable_counts(stored).items())
        if begin <= (start := _start(day, hour)) < end
        for code in APIKeyVerificationCode
        if (count := of_hour.get(code.name)) is not None
    ]


def _may_see(key: APIKeyInfo, caller: Caller) -> bool:
    """Whether a caller may see a key that it was told of, as by a verification."""
    return may_name(caller, key.domain_id) and access_to(caller, key.domain_id).includes(key.user_id, key.role)


def _period(since: datetime | None, until: datetime | None, interval: APIKeyUsageInterval) -> tuple[datetime, datetime]:
    """The begin of the first interval and the end of the last; an interval that has begun counts as a whole.

    There are no uses after now, so a later end counts as now: otherwise the usual period could begin after it.
    """
    at = now()
    end = at if until is None else min(until, at)
    if since is not None and since > at:
        raise InvalidArgument("it is in the future. Give an earlier instant.", at="since")
    if since is not None and since > end:
        raise InvalidArgument("it is after `until`. Give an earlier instant, or a later `until`.", at="since")
    length = _LENGTHS[interval]
    try:
        begin = end - _USUAL[interval] if since is None else since
        begin = begin.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if interval is APIKeyUsageInterval.DAY:
            begin = begin.replace(hour=0)
    except OverflowError:
        raise InvalidArgument("this instant is too early.", at="until") from None
    # The client's own now is a moment before ours, and the first interval begins before `since`: one or two more count.
    if since is not None and (end - since) // length > MAX_INTERVALS:
        raise InvalidArgument(
            f"give an instant at most {MAX_INTERVALS} intervals before `until`, which is now at the latest.",
            at="since",
        )
    return begin, end


def _days(begin: datetime, end: datetime) -> list[date]:
    first, last = begin.date(), end.astimezone(UTC).date()
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _start(day: date, hour: int) -> DateTime:
    return DateTime(datetime(day.year, day.month, day.day, hour, tzinfo=UTC))
