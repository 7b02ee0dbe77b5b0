"""HTTP/1.1 on one connection: how responses are written, and the bounds of what a client may send."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64_000  # of one request: its request line and its headers
MAX_TURN_BYTES = 64_000  # gathered in one turn of the event loop before they are sent
MAX_WAITING_REQUESTS = 100  # of one connection without a response, before it is closed
LINGER_SECONDS = 2.0  # for a client to read why its request is refused

_HEAD_TOO_LARGE_BODY = (
    b'{"errors":[{"message":"The headers are larger than %d bytes.","extensions":{"code":"BAD_REQUEST"}}]}'
    % MAX_HEAD_BYTES
)
_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Cache-Control: private, no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n%s"
) % (len(_HEAD_TOO_LARGE_BODY), _HEAD_TOO_LARGE_BODY)


class TurnTransport:
    """A transport that sends all writes of one turn of the event loop together.

    uvicorn writes a response's head and body apart: two system calls, two packets, and two reads for the client.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
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

    def close(self) -> None:
        """Send what has been written, and close."""
        self.flush()
        self.transport.close()


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds: the bytes of a request's head, and the requests waiting on a connection."""

    _head_bytes = 0
    _unparsed_bytes = 0  # since the parser's last event, such as those of a header without an end
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(cast(asyncio.Transport, TurnTransport(transport, self.loop)))

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol, which joins its writes itself."""
        turn = cast(TurnTransport, self.transport)
        turn.flush()
        self.transport = turn.transport
        super().handle_websocket_upgrade()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; close the connection of a client that exceeds a bound."""
        # uvicorn queues every request it has read: one connection could fill the memory.
        if len(self.pipeline) > MAX_WAITING_REQUESTS:
            self.transport.close()
        elif not self._is_refused:
            self._unparsed_bytes += len(data)
            super().data_received(data)
            if self._head_bytes + self._unparsed_bytes > MAX_HEAD_BYTES:
                self._refuse()

    def on_message_begin(self) -> None:
        """Start counting a request."""
        super().on_message_begin()
        self._head_bytes = self._unparsed_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Count a part of the request line."""
        super().on_url(url)
        self._head_bytes += len(url)
        self._unparsed_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or a trailer after the body."""
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + 4
        self._unparsed_bytes = 0

    def on_body(self, body: bytes) -> None:
        """Count nothing: the body has a bound of its own."""
        super().on_body(body)
        self._unparsed_bytes = 0

    def on_message_complete(self) -> None:
        """Stop counting a request."""
        super().on_message_complete()
        self._head_bytes = self._unparsed_bytes = 0

    def _refuse(self) -> None:
        self._is_refused = True
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_HEAD_TOO_LARGE)
            # A close now would reset the connection and lose the response.
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()
