"""The bound on open connections: of one process, and of one address."""

from collections import Counter
from typing import Any

from ..metrics import LIMITS

ADDRESS_SHARE = 0.75  # of a process's connections, for one address


class Connections:
    """The connections of one process.

    At the bound a new connection replaces the oldest one without a request, so silent ones keep nobody out.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._of_address: Counter[str] = Counter()
        self._total = 0
        self._idle: dict[Any, None] = {}  # HTTP protocols without a request under way, the oldest first

    def add(self, protocol: Any, address: str) -> bool:
        """Count a new connection, which is idle; False where there is no room, and it must be closed."""
        self._total += 1
        self._of_address[address] += 1
        self._idle[protocol] = None
        if self._total > self._limit or self._of_address[address] > max(1, int(self._limit * ADDRESS_SHARE)):
            own = self._of_address[address] > max(1, int(self._limit * ADDRESS_SHARE))
            LIMITS.add("max_connections")
            victim = next((idle for idle in self._idle if not own or idle.address == address), protocol)
            if victim is protocol:
                return False
            del self._idle[victim]
            victim.transport.abort()
        return True

    def remove(self, protocol: Any, address: str) -> None:
        """Stop counting a connection that was lost."""
        self._idle.pop(protocol, None)
        self._total -= 1
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]

    def is_busy(self, protocol: Any) -> None:
        """Note that a request of this connection has begun."""
        self._idle.pop(protocol, None)

    def is_idle(self, protocol: Any) -> None:
        """Note that no request of this connection is under way."""
        self._idle[protocol] = None
