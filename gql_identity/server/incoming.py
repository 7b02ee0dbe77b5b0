"""The bound on what has arrived in part: bodies of requests and WebSocket messages of one process together."""

from collections import OrderedDict
from typing import Protocol

from ..metrics import LIMITS

MAX_INCOMING_BYTES = 32_000_000


class Holder(Protocol):
    """What has arrived in part."""

    def give_up(self) -> None:
        """End it and free its bytes: too many are held."""


class Incoming:
    """What this process holds. Past the bound the oldest are given up, which are the slowest."""

    def __init__(self) -> None:
        self._held: OrderedDict[Holder, int] = OrderedDict()
        self._bytes = 0

    def hold(self, holder: Holder, size: int) -> None:
        """Note how many bytes one holds now."""
        self._bytes += size - self._held.get(holder, 0)
        self._held[holder] = size
        while self._bytes > MAX_INCOMING_BYTES and len(self._held) > 1:
            oldest = next(iter(self._held))
            self.end(oldest)
            LIMITS.add("incoming_bytes")
            oldest.give_up()

    def end(self, holder: Holder) -> None:
        """Note that one holds nothing any more."""
        self._bytes -= self._held.pop(holder, 0)


INCOMING = Incoming()
