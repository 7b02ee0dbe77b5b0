"""Rate limits: failed credentials, requests and creates per minute.

The `limits` library counts, in the store that a setting names. In memory, each worker counts for itself.
"""

import asyncio
import ipaddress
import math
import time
from typing import Any

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from ..errors import ResourceExhausted, StartError
from ..messages.values import APIKeyRole
from ..settings import Settings
from .access import Caller

STORE_SECONDS = 1.0  # for a store that is not in memory to respond

log = structlog.get_logger()


class Rates:
    """The rate limits of one worker, or of all where the store is shared."""

    def __init__(self, settings: Settings) -> None:
        store = settings.rates_store.get_secret_value()
        try:
            storage: Any = storage_from_string(f"async+{store}", wrap_exceptions=True)
        except Exception as error:
            raise StartError(f"GQL_IDENTITY_RATES_STORE cannot be used: {type(error).__name__}.") from None
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._store_is_down = False
        self._failures = settings.failed_credentials_per_minute
        self._requests = settings.requests_per_minute
        self._creates = settings.creates_per_minute

    async def failed_credential(self, address: str) -> None:
        """Count an invalid credential.

        Raises ResourceExhausted where its address sent too many. A valid one is never counted or refused.
        """
        await self._count(
            self._failures, "credential", _network(address), "Too many wrong keys came from this address."
        )

    async def request(self, caller: Caller) -> None:
        """Count a caller's request; raises ResourceExhausted where it made too many."""
        await self._count(self._requests, "request", caller.key_id, "This key made too many requests.")

    async def create(self, caller: Caller) -> None:
        """Count a create of a caller below SYSTEM; raises ResourceExhausted where it made too many."""
        if caller.role is not APIKeyRole.SYSTEM:
            await self._count(self._creates, "create", caller.key_id, "This key made too many keys.")

    async def _count(self, per_minute: int, what: str, who: str, message: str) -> None:
        if not per_minute:
            return
        try:
            async with asyncio.timeout(STORE_SECONDS):
                seconds = await self._hit(RateLimitItemPerMinute(per_minute), what, who)
        except (StorageError, TimeoutError) as error:
            # Without its store nothing is counted: keys are too long to be guessed, and valid ones must go on working.
            if not self._store_is_down:
                log.warning("the rate store does not respond; nothing is limited", reason=type(error).__name__)
            self._store_is_down = True
            return
        self._store_is_down = False
        if seconds is not None:
            raise ResourceExhausted(f"{message} Try again in {seconds} s.", retry_after_seconds=seconds)

    async def _hit(self, limit: RateLimitItemPerMinute, what: str, who: str) -> int | None:
        """Count one; returns the seconds to wait where there were too many, else None."""
        if await self._limiter.hit(limit, what, who):
            return None
        stats = await self._limiter.get_window_stats(limit, what, who)
        return max(1, math.ceil(stats.reset_time - time.time()))


def client_address(peer: str, forwarded_for: str | None, settings: Settings) -> str:
    """The address that a request comes from: the peer's, unless the peer is a trusted proxy that names another.

    The first address from the right that is not a trusted proxy's: anyone can write those left of it.
    """
    addresses = [part.strip() for part in (forwarded_for or "").split(",") if part.strip()]
    address = peer
    while addresses and _is_trusted(address, settings):
        address = addresses.pop()
    return address


def _is_trusted(address: str, settings: Settings) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in settings.trusted_proxies)


def _network(address: str) -> str:
    """The address itself, or for IPv6 its /64: whoever has one of its addresses has them all."""
    parsed = _parsed(address)
    if parsed is None:
        return "unknown"
    return str(parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False))


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, without the port that some proxies add; IPv4 mapped to IPv6 becomes IPv4."""
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed
