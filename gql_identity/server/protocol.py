"""HTTP/1.1 on one connection: what a client may send, and how long it may take."""

import asyncio
import base64
import binascii
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .connections import Connections
from .writing import UNREAD, TurnTransport

MAX_HEAD_BYTES = 64_000  # of one request: its request line and its headers
MAX_WAITING_REQUESTS = 100  # of one connection without a response, before it is closed
HEAD_SECONDS = 10.0  # for a client to send the head of a request, the first one from the connection on
WEBSOCKET_TURN_BYTES = 1_000  # parsed of one WebSocket in one turn of the event loop: at most 200 frames
LINGER_SECONDS = 2.0  # for a client to read why its request is refused

_PHRASES = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}
_HEAD_TOO_LARGE = (431, f"The headers are larger than {MAX_HEAD_BYTES} bytes.")
_HEAD_TOO_SLOW = (408, f"The head of the request took longer than {HEAD_SECONDS:.0f} s.")
_INVALID = (400, "Invalid HTTP request received.")


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds on a request's head, its time and its framing.

    Offers to upgrade that are not taken are ignored, and the request is served as it stands (RFC 9110, 7.8).
    """

    _head_bytes = 0
    _unparsed_bytes = 0  # since the parser's last event, such as those of a header without an end
    _is_refused = False
    _has_begun = False  # whether a part of a request's head has come
    _has_head = False  # whether the head of the current request is complete: what comes now is body and trailers
    _refusal: tuple[int, str] | None = None
    _head_timer: asyncio.TimerHandle | None = None
    address = ""

    @property
    def _counted(self) -> Connections:
        # One for each process: uvicorn gives its state to every connection.
        state: Any = self.server_state
        if not hasattr(state, "counted"):
            state.counted = Connections(getattr(self.config, "max_connections", 1_000_000))
            state.websocket_paths = {
                route.path for route in getattr(self.app, "routes", ()) if type(route).__name__ == "WebSocketRoute"
            }
        return cast(Connections, state.counted)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(cast(asyncio.Transport, TurnTransport(transport, self.loop)))
        self.address = self.client[0] if self.client else ""
        if self._counted.add(self, self.address):
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._stop_head_timer()
        self._counted.remove(self, self.address)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived; close the connection of a client that exceeds a bound."""
        # uvicorn queues every request it has read: one connection could fill the memory.
        if len(self.pipeline) > MAX_WAITING_REQUESTS:
            self.transport.close()
        elif not self._is_refused and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._parse(data)
            if self._head_timer is None and self._is_waiting and not self.transport.is_closing():
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    @property
    def _is_waiting(self) -> bool:
        """Whether the client has begun to send what no request is under way for."""
        return self.cycle is None or self.cycle.response_complete

    def _parse(self, data: bytes) -> None:
        self._unparsed_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            rest = data[offer.args[0] :]
            if self._is_websocket():
                self.handle_websocket_upgrade()
                if rest:
                    cast(Any, self.transport.get_protocol()).data_received(rest)
            else:
                self._decline_upgrade(rest)
            return
        except httptools.HttpParserError:
            self._refuse(*(self._refusal or _INVALID))
            return
        if self._head_bytes + self._unparsed_bytes > MAX_HEAD_BYTES:
            self._refuse(*_HEAD_TOO_LARGE)

    def _should_upgrade(self) -> bool:
        # uvicorn asks this only for requests with an offer: none starts before it is decided what becomes of it.
        return True

    def _is_websocket(self) -> bool:
        """Whether this is a WebSocket handshake to a path that has one (RFC 6455, 4.2.1)."""
        values: dict[bytes, list[bytes]] = {}
        for name, value in self.headers:
            values.setdefault(name, []).append(value)
        tokens = {token.strip().lower() for value in values.get(b"connection", ()) for token in value.split(b",")}
        try:
            (key,) = values[b"sec-websocket-key"]
            is_key = len(base64.b64decode(key.strip(), validate=True)) == 16
        except (KeyError, ValueError, binascii.Error):
            is_key = False
        path = unquote(self.url.partition(b"?")[0].decode("latin-1"))
        return (
            is_key
            and self.ws_protocol_class is not None
            and self.parser.get_method() == b"GET"
            and self.parser.get_http_version() == "1.1"
            and b"upgrade" in tokens
            and [value.lower() for value in values.get(b"upgrade", ())] == [b"websocket"]
            # With a body, its bytes would be read as frames.
            and b"transfer-encoding" not in values
            and values.get(b"content-length", [b"0"]) == [b"0"]
            and self._is_waiting
            and path in cast(Any, self.server_state).websocket_paths
        )

    def _decline_upgrade(self, rest: bytes) -> None:
        """Parse the same head again without its offer, then what came behind it.

        The parser takes what follows an offer for another protocol's: it would lose the body, or run it as a request.
        """
        method = self.parser.get_method()
        head = [method, b" ", self.url, b" HTTP/", self.parser.get_http_version().encode(), b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._parse(b"".join([*head, b"\r\n"]))
        if rest and not self._is_refused:
            self._parse(rest)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol, which joins its writes itself."""
        self._stop_head_timer()
        self._counted.is_busy(self)
        turn = cast(TurnTransport, self.transport)
        turn.flush()
        self.transport = turn.transport
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """Start counting a request."""
        super().on_message_begin()
        self._head_bytes = self._unparsed_bytes = 0
        self._has_begun, self._has_head = True, False

    def on_url(self, url: bytes) -> None:
        """Count a part of the request line."""
        super().on_url(url)
        self._head_bytes += len(url)
        self._unparsed_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or a trailer after the body, which is dropped: it must not pass for a header."""
        if not self._has_head:
            super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + 4
        self._unparsed_bytes = 0

    def on_headers_complete(self) -> None:
        """Start the request, unless its head breaks a rule of HTTP."""
        self._refusal = self._fault_of_head()
        if self._refusal is not None:
            raise ValueError  # the parser stops, and `_parse` refuses
        self._has_begun, self._has_head = False, True
        self._stop_head_timer()
        self._counted.is_busy(self)
        super().on_headers_complete()

    def _fault_of_head(self) -> tuple[int, str] | None:
        if self._head_bytes > MAX_HEAD_BYTES:
            return _HEAD_TOO_LARGE
        version = self.parser.get_http_version()
        hosts = sum(name == b"host" for name, _ in self.headers)
        if version not in ("1.0", "1.1"):
            return 400, "The request line has no version of HTTP/1."
        if hosts > 1 or (version == "1.1" and not hosts):  # RFC 9112, 3.2
            return 400, "An HTTP/1.1 request has exactly one Host header."
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if version == "1.0" and codings:  # RFC 9112, 6.1
            return 400, "An HTTP/1.0 request has no Transfer-Encoding."
        if codings not in ([], [b"chunked"]):  # the parser ends the body nowhere, or reads compressed bytes as they are
            return 400, "A request's only Transfer-Encoding is chunked."
        if self.parser.get_method() == b"CONNECT":
            return 400, "This server is no proxy."
        return None

    def on_body(self, body: bytes) -> None:
        """Count nothing: the body has a bound of its own."""
        super().on_body(body)
        self._unparsed_bytes = 0

    def on_message_complete(self) -> None:
        """Stop counting a request."""
        super().on_message_complete()
        self._head_bytes = self._unparsed_bytes = 0

    def on_response_complete(self) -> None:
        """Note a connection without a request under way."""
        super().on_response_complete()
        if self._is_waiting and not self.pipeline:
            self._counted.is_idle(self)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if not self._is_waiting:  # a request came meanwhile, and its response is on its way
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)
        elif self._has_begun:
            self._refuse(*_HEAD_TOO_SLOW)
        else:
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, message: str) -> None:
        self._is_refused = True
        self._stop_head_timer()
        if self._is_waiting:
            body = b'{"errors":[{"message":"%s","extensions":{"code":"BAD_REQUEST"}}]}' % message.encode()
            self.transport.write(
                b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Cache-Control: private, no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n%s"
                % (status, _PHRASES[status], len(body), body)
            )
            # A close now would reset the connection and lose the response.
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, counted among the connections.

    uvicorn alone would wait for ever for a client that has stopped reading, also to close the connection.
    """

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._counted: Connections = server_state.counted
        self._unparsed = b""
        self._is_scheduled = False

    def data_received(self, data: bytes) -> None:
        """Parse some of what has arrived, and the rest in later turns: a read may hold 10,000 frames."""
        self._unparsed += data
        if not self._is_scheduled:
            self._parse_some()

    def _parse_some(self) -> None:
        self._is_scheduled = False
        if self.transport.is_closing():
            self._unparsed = b""
            return
        part, self._unparsed = self._unparsed[:WEBSOCKET_TURN_BYTES], self._unparsed[WEBSOCKET_TURN_BYTES:]
        super().data_received(part)
        if self._unparsed:
            if not self.read_paused:
                self.read_paused = True
                self.transport.pause_reading()
            if self.queue.empty() or self.close_sent:
                self._parse_soon()
        elif self.read_paused and self.queue.empty() and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def _parse_soon(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self.loop.call_soon(self._parse_some)

    def send_500_response(self) -> None:
        """Refuse a handshake that the application did not complete, unless the client has left already."""
        if not self.conn.eof_sent:
            super().send_500_response()

    async def receive(self) -> Any:
        """The next message; once all are taken, what has arrived meanwhile is parsed."""
        message = await self.queue.get()
        if self.queue.empty():
            if self._unparsed:
                self._parse_soon()
            elif self.read_paused:
                self.read_paused = False
                self.transport.resume_reading()
        return message

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._counted.remove(self, self.client[0] if self.client else "")
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Have the connection end where its client takes nothing of what waits for it."""
        super().pause_writing()
        UNREAD.add(self.transport, self.loop)

    def keepalive_timeout(self) -> None:
        """Close a connection whose client sends no pong, and end it where that client does not read."""
        super().keepalive_timeout()
        UNREAD.add(self.transport, self.loop)
