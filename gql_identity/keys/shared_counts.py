"""Counts in a store that all workers and machines share, such as Redis: the library `limits` counts there."""

import asyncio
import hashlib
import math
import time
import uuid
from typing import Any

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from ..errors import StartError

ANSWER_SECONDS = 0.25  # for the store to respond
PAUSE_SECONDS = 5.0  # after a failure, before the store is asked again
TRIAL_SECONDS = 3.0  # for the store to respond at the start
SETTING = "GQL_IDENTITY_RATES_STORE"

# What must be installed for a kind of store.
_PACKAGES = {
    "redis": "gql-identity with its extra `redis` (README, Install)",
    "valkey": "the package limits[async-valkey]",
    "memcached": "the package limits[async-memcached]",
}
# The names of the classes of errors that tell of no response; each store's client has its own.
_NO_RESPONSE = ("OSError", "TimeoutError", "ConnectionError", "ConnectionFailure")

log = structlog.get_logger()


class SharedCounts:
    """Counts in one shared store. After a failure it is left alone for some seconds, so that nobody waits for it."""

    def __init__(self, uri: str) -> None:
        """Raises StartError where the URI names no store that can be used here. Nothing is sent yet."""
        kind = next((kind for kind in _PACKAGES if uri.startswith(kind)), None)
        try:
            storage: Any = storage_from_string(f"async+{uri}", wrap_exceptions=True)
        except Exception as error:
            # The error's text may have the store's password.
            if "prerequisite" in str(error) and kind is not None:
                advice = f"{kind} needs packages that are not installed: install {_PACKAGES[kind]}"
                advice += ", or name the server by redis://, which it understands too" if kind == "valkey" else ""
            else:
                advice = f"it is not the URI of a store, such as redis://host:6379 ({type(error).__name__})"
            raise StartError(f"{SETTING} cannot be used: {advice}.") from None
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._asks_again_at = 0.0  # by time.monotonic()
        self._is_down = False

    async def hit(self, what: str, who: str, per_minute: int, otherwise: int | None) -> int | None:
        """Count one; returns the seconds to wait where there were as many as the limit, else None.

        `otherwise` is returned while the store does not respond: what this worker's own counts say.
        """
        now = time.monotonic()
        if now < self._asks_again_at:
            return otherwise
        if self._is_down:
            self._asks_again_at = now + PAUSE_SECONDS  # one request tries, and the others do not wait for it
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                seconds = await self._hit(what, who, per_minute)
        except Exception as error:  # of many libraries; valid keys must go on working whatever it is
            if not self._is_down:
                log.warning("the rate store does not respond; each worker counts alone", reason=_reason_of(error))
            self._is_down = True
            self._asks_again_at = time.monotonic() + PAUSE_SECONDS
            return otherwise
        if self._is_down:
            log.info("the rate store responds again")
            self._is_down, self._asks_again_at = False, 0.0
        return seconds

    async def try_once(self) -> None:
        """Count twice with a limit of one, to see that the store counts.

        Raises StartError where the store refuses or does not count. One that does not respond is only logged: it may
        be back soon, and keys must work meanwhile.
        """
        try:
            async with asyncio.timeout(TRIAL_SECONDS):
                who = uuid.uuid4().hex
                counted = [await self._hit("trial", who, 1) for _ in range(2)]
        except Exception as error:
            cause = getattr(error, "storage_error", error)
            if any(name.__name__.endswith(_NO_RESPONSE) for name in type(cause).__mro__):
                log.warning("the rate store does not respond; each worker counts alone", reason=_reason_of(error))
                return
            raise StartError(f"{SETTING} cannot be used: the store refuses to count ({_reason_of(error)}).") from None
        if counted[0] is not None or counted[1] is None:
            raise StartError(f"{SETTING} cannot be used: the store does not count.")

    async def _hit(self, what: str, who: str, per_minute: int) -> int | None:
        limit = RateLimitItemPerMinute(per_minute)
        # Memcached takes no blanks, no control characters and at most 250 bytes; and the store learns no ids of users.
        name = hashlib.sha256(f"{what}\n{who}".encode()).hexdigest()
        if await self._limiter.hit(limit, name):
            return None
        stats = await self._limiter.get_window_stats(limit, name)
        return max(1, math.ceil(stats.reset_time - time.time()))


def _reason_of(error: Exception) -> str:
    """The kind of an error, and what the system says. Never the library's text, which may have the store's password."""
    named = getattr(error, "storage_error", error)
    cause: BaseException | None = named
    while cause is not None and not _is_of_the_system(cause):
        cause = cause.__cause__ or cause.__context__
    return type(named).__name__ if cause is None else f"{type(named).__name__}: {cause}"


def _is_of_the_system(error: BaseException) -> bool:
    # asyncio gathers those of several addresses in one, which has no number.
    return isinstance(error, OSError) and (error.errno is not None or str(error).startswith("Multiple exceptions: "))
