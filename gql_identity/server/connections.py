"""The bound on open connections: of one process, and of one client's address."""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

from ..addresses import Network, is_within, network_of
from ..metrics import LIMITS

ADDRESS_SHARE = 0.75  # of a process's connections, for one address
_PROXY = "proxy"  # the name of all clients that a trusted proxy connects for


class Connections:
    """The connections of one process, counted by address; IPv6 addresses count by /64.

    At the bound a new connection replaces the oldest one without a request, so silent ones keep nobody out. Past its
    share an address replaces only its own. Trusted proxies have no share: their connections are those of many clients.
    """

    def __init__(self, limit: int, trusted_proxies: Sequence[Network] = ()) -> None:
        self._limit = limit
        self._share = max(1, int(limit * ADDRESS_SHARE))
        self._trusted_proxies = trusted_proxies
        self._total = 0
        self._of_client: Counter[str] = Counter()
        # HTTP protocols without a request under way, the oldest first: all, and those of each client.
        self._idle: OrderedDict[Any, None] = OrderedDict()
        self._idle_of_client: dict[str, OrderedDict[Any, None]] = {}

    def client_of(self, address: str) -> str:
        """The name that connections from this address are counted by."""
        return _PROXY if is_within(address, self._trusted_proxies) else network_of(address)

    def add(self, protocol: Any) -> bool:
        """Count a new connection, which is idle; False where there is no room, and it must be closed."""
        client = protocol.client_name
        self._total += 1
        self._of_client[client] += 1
        self.is_idle(protocol)
        is_past_share = self._of_client[client] > self._share and client != _PROXY
        if is_past_share or self._total > self._limit:
            LIMITS.add("max_connections")
            oldest = next(iter(self._idle_of_client[client] if is_past_share else self._idle))
            if oldest is protocol:
                return False
            self.is_busy(oldest)
            oldest.transport.abort()
        return True

    def remove(self, protocol: Any) -> None:
        """Stop counting a connection that was lost."""
        self.is_busy(protocol)
        self._total -= 1
        self._of_client[protocol.client_name] -= 1
        if not self._of_client[protocol.client_name]:
            del self._of_client[protocol.client_name]

    def is_busy(self, protocol: Any) -> None:
        """Note that a request of this connection has begun."""
        if protocol in self._idle:
            del self._idle[protocol]
            of_client = self._idle_of_client[protocol.client_name]
            del of_client[protocol]
            if not of_client:
                del self._idle_of_client[protocol.client_name]

    def is_idle(self, protocol: Any) -> None:
        """Note that no request of this connection is under way."""
        self._idle[protocol] = None
        self._idle_of_client.setdefault(protocol.client_name, OrderedDict())[protocol] = None
