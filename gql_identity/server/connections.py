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

    At the bound a new connection replaces the oldest one without a request under way, so silent ones keep nobody out:
    one that never sent a request, or if there is none, one that waits for its next. Past its share an address replaces
    only its own. Trusted proxies have no share: their connections are those of many clients.
    """

    def __init__(self, limit: int, trusted_proxies: Sequence[Network] = ()) -> None:
        self._limit = limit
        self._share = max(1, int(limit * ADDRESS_SHARE))
        self._trusted_proxies = trusted_proxies
        self._total = 0
        self._of_client: Counter[str] = Counter()
        # HTTP protocols without a request under way: all, and those of each client.
        self._idle = _Idle()
        self._idle_of_client: dict[str, _Idle] = {}

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
            oldest = (self._idle_of_client[client] if is_past_share else self._idle).first()
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
        if self._idle.remove(protocol):
            of_client = self._idle_of_client[protocol.client_name]
            of_client.remove(protocol)
            if of_client.is_empty():
                del self._idle_of_client[protocol.client_name]

    def is_idle(self, protocol: Any) -> None:
        """Note that no request of this connection is under way."""
        self._idle.add(protocol)
        self._idle_of_client.setdefault(protocol.client_name, _Idle()).add(protocol)


class _Idle:
    """Protocols without a request under way, in the order in which they are replaced."""

    def __init__(self) -> None:
        # By whether they had a request before; the oldest first.
        self._protocols: dict[bool, OrderedDict[Any, None]] = {False: OrderedDict(), True: OrderedDict()}

    def add(self, protocol: Any) -> None:
        self._protocols[protocol.had_request][protocol] = None

    def remove(self, protocol: Any) -> bool:
        """Remove a protocol; False where it is not among these."""
        for protocols in self._protocols.values():
            if protocol in protocols:
                del protocols[protocol]
                return True
        return False

    def first(self) -> Any:
        return next(iter(self._protocols[False] or self._protocols[True]))

    def is_empty(self) -> bool:
        return not any(self._protocols.values())
