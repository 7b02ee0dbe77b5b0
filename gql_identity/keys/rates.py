"""Rate limits: failed credentials, requests and creates per minute.

In memory, each worker counts for itself. A setting can name a store that all workers share (`shared_counts.py`).
"""

import math
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from ..addresses import network_of
from ..errors import ResourceExhausted
from ..messages.values import APIKeyRole
from ..metrics import RATE_LIMITED
from ..settings import Settings
from .access import Caller

if TYPE_CHECKING:
    from .shared_counts import SharedCounts

WINDOW_SECONDS = 60
MAX_COUNTS = 50_000  # of one kind in one window: about 12 MB


class Rates:
    """The rate limits of one worker, or of all where the store is shared."""

    def __init__(self, settings: Settings) -> None:
        store = settings.rates_store.get_secret_value()
        self._memory: dict[str, Counts] = {}
        self._shared = None if store == "memory://" else _shared_counts(store)
        self._failures = settings.failed_credentials_per_minute
        self._requests = settings.requests_per_minute
        self._creates = settings.creates_per_minute

    async def failed_credential(self, address: str) -> None:
        """Count an invalid credential.

        Raises ResourceExhausted where its address sent too many. A valid one is never counted or refused.
        """
        await self._count(self._failures, "credential", network_of(address), "This address sent too many invalid keys.")

    async def request(self, caller: Caller) -> None:
        """Count a request for the caller's user; raises ResourceExhausted where that user's keys made too many."""
        await self._count(self._requests, "request", _owner(caller), "This user sent too many requests.")

    async def create(self, caller: Caller) -> None:
        """Count a create of a caller below SYSTEM for its user; raises ResourceExhausted where there were too many.

        A DOMAIN_OWNER may make keys of its rank for any user of its domain, so all of these share a count too.
        """
        if caller.role is APIKeyRole.SYSTEM:
            return
        await self._count(self._creates, "create", _owner(caller), "This user created too many keys.")
        if caller.role is APIKeyRole.DOMAIN_OWNER:
            message = "The owners of this domain created too many keys."
            await self._count(self._creates, "create by owners", caller.domain_id, message)

    async def _count(self, per_minute: int, what: str, who: str, message: str) -> None:
        if not per_minute:
            return
        # Always counted here too: where the shared store does not respond, this worker's own counts hold the limit.
        seconds = self._memory.setdefault(what, Counts()).hit(who, per_minute)
        if self._shared is not None:
            seconds = await self._shared.hit(what, who, per_minute, seconds)
        if seconds is not None:
            RATE_LIMITED.add(what.replace(" ", "_"))
            raise ResourceExhausted(f"{message} Try again in {seconds} s.", retry_after_seconds=seconds)

    async def try_store(self) -> None:
        """Try the shared store once, if there is one. Raises StartError where it refuses or does not count."""
        if self._shared is not None:
            await self._shared.try_once()


def _shared_counts(store: str) -> "SharedCounts":
    from .shared_counts import SharedCounts  # its library takes a tenth of the time of the start

    return SharedCounts(store)


class Counts:
    """Counts of one kind in memory, in a sliding window of a minute: constant time and bounded memory.

    The count of the last 60 s is estimated: those of this window, and a share of the one before. Past the bound the
    oldest count is forgotten; whoever has so many addresses gains nothing by that.
    """

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._before: OrderedDict[str, int] = OrderedDict()
        self._counts: OrderedDict[str, int] = OrderedDict()

    def hit(self, who: str, limit: int) -> int | None:
        """Count one; returns the seconds to wait, and counts nothing, where there were as many as the limit."""
        elapsed = self._elapsed()
        before, count = self._before.get(who, 0), self._counts.get(who, 0)
        if before * (WINDOW_SECONDS - elapsed) / WINDOW_SECONDS + count + 1 <= limit:
            if not count and len(self._counts) >= MAX_COUNTS:
                self._counts.popitem(last=False)
            self._counts[who] = count + 1
            return None
        if count < limit:
            # Until the share of the window before has gone down enough.
            seconds = WINDOW_SECONDS - elapsed - WINDOW_SECONDS * (limit - 1 - count) / before
        else:
            # The next window must begin first, in which this one is the one before.
            seconds = WINDOW_SECONDS - elapsed + WINDOW_SECONDS * (1 - (limit - 1) / count)
        return max(1, math.ceil(seconds))

    def _elapsed(self) -> float:
        """The seconds since this window began, after windows that are over have been dropped."""
        elapsed = time.monotonic() - self._begun
        if elapsed >= WINDOW_SECONDS:
            self._before = self._counts if elapsed < 2 * WINDOW_SECONDS else OrderedDict()
            self._counts = OrderedDict()
            self._begun += elapsed - elapsed % WINDOW_SECONDS
            elapsed %= WINDOW_SECONDS
        return elapsed


def _owner(caller: Caller) -> str:
    # Ids have no control characters.
    return f"{caller.domain_id}\n{caller.user_id}"
