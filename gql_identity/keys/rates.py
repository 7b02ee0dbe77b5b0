"""How often something may happen: failed credentials, requests and creates.

Counted by the `limits` library, in the store that a setting names. In memory, each worker counts for itself.
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

STORE_SECONDS = 1.0  # what a store that is not in memory gets to answer

log = structlog.get_logger()


class Rates:
    """The limits of one worker, or of all where the store is shared."""

    def __init__(self, settings: Settings) -> None:
        store = settings.rates_store.get_secret_value()
        try:
            storage: Any = storage_from_string(f"async+{store}", wrap_exceptions=True)
        except Exception as error:
            raise StartError(f"GQL_IDENTITY_RATES_STORE cannot be used: {type(error).__name__}.") from None
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._is_away = False
        self._failures = settings.failed_credentials_per_minute
        self._requests = settings.requests_per_minute
        self._creates = settings.creates_per_minute

    async def failed_credential(self, address: str) -> None:
        """Count a credential that opened nothing.

        Raises ResourceExhausted where its address sent too many; a good one from there is never counted nor refused.
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
            # Without its store nothing is counted: keys are too long to be guessed, and good ones must go on working.
            if not self._is_away:
                log.warning("the store of rates does not answer; nothing is limited", reason=type(error).__name__)
            self._is_away = True
            return
        self._is_away = False
        if seconds is not None:
            raise ResourceExhausted(f"{message} Try again in {seconds} s.", retry_after_seconds=seconds)

    async def _hit(self, limit: RateLimitItemPerMinute, what: str, who: str) -> int | None:
        """Count; answers in how many seconds to try again where there were too many."""
        if await self._limiter.hit(limit, what, who):
            return None
        stats = await self._limiter.get_window_stats(limit, what, who)
        return max(1, math.ceil(stats.reset_time - time.time()))


def client_address(peer: str, forwarded_for: str | None, settings: Settings) -> str:
    """The address that a request comes from: the peer's, unless the peer is a trusted proxy that names another.

    Read from the right, the first address that is not a trusted proxy's: what stands left of it anyone can write.
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
    """The address itself, or for IPv6 its /64: who has one address there has them all."""
    parsed = _parsed(address)
    if parsed is None:
        return "unknown"
    return str(parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False))


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, which some proxies write with a port; an IPv4 one that comes as IPv6 is itself."""
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed
