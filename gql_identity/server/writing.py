"""Writes to a connection: joined in one turn of the event loop, and bounded where a client does not read."""

import asyncio
import time
from collections import OrderedDict
from typing import Any

from ..metrics import LIMITS

MAX_TURN_BYTES = 64_000  # gathered in one turn of the event loop before they are sent
MAX_WAITING_BYTES = 64_000_000  # of one process, written and not taken by clients
WRITE_SECONDS = 20.0  # for a client to take a part of what waits for it
LINGER_SECONDS = 2.0  # for a client to read why it is refused, before its connection is closed
_CHECK_SECONDS = 1.0


class TurnTransport:
    """A transport that sends all writes of one turn of the event loop together.

    uvicorn writes a response's head and body apart: two system calls, two packets, and two reads for the client.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self.is_closing = transport.is_closing  # asked often: `__getattr__` is slow
        self._loop = loop
        self._written: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Send these bytes when the turn ends."""
        if not self._written:
            self._loop.call_soon(self.flush)
        self._written.append(data)
        self._size += len(data)
        if self._size > MAX_TURN_BYTES:  # the transport's own buffer pauses the writer
            self.flush()

    def flush(self) -> None:
        """Send what has been written."""
        written, self._written, self._size = self._written, [], 0
        if written and not self.transport.is_closing():
            self.transport.writelines(written)
            if self.transport.get_write_buffer_size():
                UNREAD.add(self.transport, self._loop)

    def close(self) -> None:
        """Send what has been written, and close."""
        self.flush()
        self.transport.close()


def send_unchunked(cycle: Any) -> None:
    """Have a response without Content-Length end with its connection: HTTP/1.0 has no chunks (RFC 9112, section 6.1).

    uvicorn closes the connection after each response to HTTP/1.0, but sends chunks if there is no length.
    """
    send, has_length = cycle.send, True

    async def unchunked(message: Any) -> None:
        nonlocal has_length
        if message["type"] == "http.response.start":
            has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
            if not has_length:
                cycle.chunked_encoding = False
        elif not has_length:
            cycle.expected_content_length = len(message.get("body", b""))  # uvicorn checks that no more are sent
        await send(message)

    cycle.send = unchunked


class Unread:
    """The transports of this process whose clients have not taken all that was written.

    A client that takes nothing for 20 s is disconnected. Where more bytes wait than the process may hold, so are those
    clients that have taken nothing for the longest time.
    """

    def __init__(self) -> None:
        # Size and last progress, by `time.monotonic()`; the longest without progress comes first.
        self._transports: OrderedDict[asyncio.Transport, tuple[int, float]] = OrderedDict()
        self._bytes = 0  # the sum of these sizes
        self._timer: asyncio.TimerHandle | None = None

    def add(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Watch a transport until it has sent everything."""
        now = time.monotonic()
        before, since = self._transports.get(transport, (0, now))
        size = transport.get_write_buffer_size()
        self._transports[transport] = (size, since)
        self._bytes += size - before
        while self._bytes > MAX_WAITING_BYTES and len(self._transports) > 1:
            slowest = next(iter(self._transports))
            if not self._has_taken_some(slowest, now):
                self._end(slowest)
                LIMITS.add("unread_bytes")
        if self._timer is None:
            self._timer = loop.call_later(_CHECK_SECONDS, self._check, loop)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for transport, (_, since) in list(self._transports.items()):
            if not self._has_taken_some(transport, now) and now - since > WRITE_SECONDS:
                self._end(transport)
                LIMITS.add("unread_seconds")
        self._timer = loop.call_later(_CHECK_SECONDS, self._check, loop) if self._transports else None

    def _has_taken_some(self, transport: asyncio.Transport, now: float) -> bool:
        """Whether a client has taken something since this was asked last; if all, its transport is dropped."""
        # A closed transport keeps its buffer until the client has taken it.
        before, size = self._transports[transport][0], transport.get_write_buffer_size()
        if size >= before > 0:
            return False
        self._bytes -= before - size
        del self._transports[transport]
        if size:
            self._transports[transport] = (size, now)  # to the end
        return True

    def _end(self, transport: asyncio.Transport) -> None:
        self._bytes -= self._transports.pop(transport)[0]
        transport.abort()


UNREAD = Unread()
