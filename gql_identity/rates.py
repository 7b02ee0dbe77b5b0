"""How often something may happen: failed credentials, requests and creates.

Counted by the `limits` library, in the store that a setting names. In memory, each worker counts for itself.
"""

import ipaddress
import math
import time
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from .access import Caller
from .errors import ResourceExhausted, StartError
from .settings import Settings
from .types import APIKeyRole


class Rates:
    """The limits of one worker, or of all where the store is shared."""

    def __init__(self, settings: Settings) -> None:
        store = settings.rates_store.get_secret_value()
        try:
            storage: Any = storage_from_string(f"async+{store}")
        except Exception as error:
            raise StartError(f"GQL_IDENTITY_RATES_STORE cannot be used: {type(error).__name__}.") from None
        self._limiter = SlidingWindowCounterRateLimiter(storage)
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
        limit = RateLimitItemPerMinute(per_minute)
        if not await self._limiter.hit(limit, what, who):
            stats = await self._limiter.get_window_stats(limit, what, who)
            seconds = max(1, math.ceil(stats.reset_time - time.time()))
            raise ResourceExhausted(f"{message} Try again in {seconds} s.", retry_after_seconds=seconds)


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
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in settings.trusted_proxies)


def _network(address: str) -> str:
    """The address itself, or for IPv6 its /64: who has one address there has them all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    return str(parsed if parsed.version == 4 else ipaddress.ip_network((parsed, 64), strict=False))
