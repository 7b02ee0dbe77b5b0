"""HTTP/1.1 on one connection: what a client may send, and how long it may take."""

import asyncio
import base64
import binascii
import re
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..metrics import LIMITS
from .connections import Connections
from .parsing import PART_BYTES, Input, Parsing
from .writing import LINGER_SECONDS, TurnTransport, send_unchunked

MAX_HEAD_BYTES = 64_000  # of one request: its request line, its headers and its trailers
MAX_PATH_BYTES = 8_000  # of one request's URL without its query; uvicorn takes 15 ms to decode 64 KB of `%`
MAX_HEADERS = 2_000  # of one request, as in Node.js; 10,000 headers of one byte take 12 ms
MAX_WAITING_REQUESTS = 100  # of one connection without a response, before it is closed
HEAD_SECONDS = 10.0  # for a client to send the head of a request, the first one from the connection on

_PHRASES = {400: b"Bad Request", 408: b"Request Timeout", 414: b"URI Too Long", 431: b"Request Header Fields Too Large"}
_HEAD_TOO_LARGE = (431, f"The headers are larger than {MAX_HEAD_BYTES} bytes.")
_PATH_TOO_LONG = (414, f"The path is longer than {MAX_PATH_BYTES} bytes.")
_TOO_MANY_HEADERS = (431, f"There are more than {MAX_HEADERS} headers.")
_HEAD_TOO_SLOW = (408, f"The head of the request took longer than {HEAD_SECONDS:.0f} s.")
_LIMITS = {408: "head_seconds", 414: "head_bytes", 431: "head_bytes"}
_INVALID = (400, "Invalid HTTP request received.")
# RFC 9110, 7.2: a host as RFC 3986 has it, and a port. Without its comma, which joins two hosts.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Za-z:.]+\])(?::[0-9]*)?")


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with bounds on a request's head, its time and its framing.

    Offers to upgrade that are not taken are ignored, and the request is served as it stands (RFC 9110, 7.8).
    """

    _head_bytes = 0
    _unparsed_bytes = 0  # since the parser's last event, such as those of a header without an end
    _is_refused = False
    _is_upgraded = False  # whether the WebSocket protocol has taken the connection over
    _has_begun = False  # whether a part of a request's head has come
    _has_head = False  # whether the head of the current request is complete: what comes now is body and trailers
    _refusal: tuple[int, str] | None = None
    _head_timer: asyncio.TimerHandle | None = None
    # The request whose response is under way: uvicorn's `cycle` is the newest, which may wait behind it.
    running: Any = None
    client_name = ""  # by which its connections are counted
    had_request = False  # whether a request has had its response

    def _connections(self) -> Connections:
        # One for each process: uvicorn gives its state to every connection.
        state: Any = self.server_state
        if not hasattr(state, "counted"):
            state.counted = Connections(
                getattr(self.config, "max_connections", 1_000_000), getattr(self.config, "trusted_proxies", ())
            )
            state.parsing = Parsing(self.loop)
            state.websocket_paths = {
                route.path for route in getattr(self.app, "routes", ()) if type(route).__name__ == "WebSocketRoute"
            }
        return cast(Connections, state.counted)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        super().connection_made(cast(asyncio.Transport, TurnTransport(transport, self.loop)))
        self._counted = self._connections()
        self._input = Input(self, cast(Any, self.server_state).parsing)
        self.client_name = self._counted.client_of(self.client[0] if self.client else "")
        if self._counted.add(self):
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._stop_head_timer()
        self._counted.remove(self)
        if self._input:
            self._input.take()
        super().connection_lost(exc)
        if self.running is not None and not self.running.response_complete:
            self.running.disconnected = True  # as uvicorn does with the newest
            self.running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, if it is short; long input is parsed in slices of several turns."""
        if self._is_refused or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        if len(data) <= PART_BYTES and not self._input:
            self.parse_part(data)
        else:
            self._input.add(data)

    def parse_part(self, data: bytes) -> None:
        """Parse a part of what has arrived; close the connection of a client that exceeds a bound."""
        if self._is_refused or self.transport.is_closing():
            return
        # uvicorn queues every request it has read: one connection could fill the memory.
        if len(self.pipeline) > MAX_WAITING_REQUESTS:
            LIMITS.add("requests_of_a_connection")
            self.transport.close()
            return
        self._parse(data)
        waits = self._is_waiting and not self._is_upgraded and not self.transport.is_closing()
        if self._head_timer is None and waits:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_is_late)

    @property
    def _is_waiting(self) -> bool:
        """Whether the client has begun to send what no request is under way for."""
        return self.cycle is None or self.cycle.response_complete

    def _parse_in_parts(self, data: bytes) -> None:
        # The parser tells of a header, a trailer or a chunk's extension when it is complete, and not where it was then.
        for start in range(0, len(data), PART_BYTES):
            if self._is_refused or self.transport.is_closing():
                return
            self._parse(data[start : start + PART_BYTES])

    def _parse(self, data: bytes) -> None:
        self._unparsed_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            rest = data[offer.args[0] :]
            if self._is_websocket():
                self.handle_websocket_upgrade()
                if rest := rest + self._input.take():  # before anything that is read from now on
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
            and unquote(self._target()[0].decode("latin-1")) in cast(Any, self.server_state).websocket_paths
        )

    def _target(self) -> tuple[bytes, bytes]:
        """The path and query of the request's target, which may be a whole URL (RFC 9112, 3.2.2)."""
        try:
            parsed = httptools.parse_url(self.url)
        except httptools.HttpParserInvalidURLError:
            return b"", b""
        return parsed.path or b"", parsed.query or b""

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
        self._parse_in_parts(b"".join([*head, b"\r\n"]))
        if rest and not self._is_refused:
            self._parse(rest)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol, which joins its writes itself."""
        self._stop_head_timer()
        self._is_upgraded = True
        self._counted.is_busy(self)
        path, query = self._target()
        self.url = path + (b"?" + query if query else b"")
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
        self._head_bytes += len(name) + len(value) + 4
        self._unparsed_bytes = 0
        if not self._has_head:
            super().on_header(name, value)
            if len(self.headers) > MAX_HEADERS:
                self._refusal = _TOO_MANY_HEADERS
                raise ValueError  # the parser stops, and `_parse` refuses
        elif self._head_bytes > MAX_HEAD_BYTES:  # of a head this is checked when it is complete
            self._refusal = _HEAD_TOO_LARGE
            raise ValueError  # the parser stops, and `_parse` refuses

    def on_headers_complete(self) -> None:
        """Start the request, unless its head breaks a rule of HTTP."""
        self._refusal = self._fault_of_head()
        if self._refusal is not None:
            raise ValueError  # the parser stops, and `_parse` refuses
        self._has_begun, self._has_head = False, True
        self._stop_head_timer()
        self._counted.is_busy(self)
        super().on_headers_complete()
        # A request with an offer has not started: its head is parsed again without the offer.
        if self.parser.get_http_version() == "1.0" and not self.parser.should_upgrade():
            send_unchunked(self.cycle)
        if not self.pipeline:
            self.running = self.cycle

    def _fault_of_head(self) -> tuple[int, str] | None:
        if self._head_bytes > MAX_HEAD_BYTES:
            return _HEAD_TOO_LARGE
        if len(self.url) > MAX_PATH_BYTES and len(self._target()[0]) > MAX_PATH_BYTES:
            return _PATH_TOO_LONG
        version = self.parser.get_http_version()
        hosts = [value for name, value in self.headers if name == b"host"]
        if version not in ("1.0", "1.1"):
            return 400, "The request line has no version of HTTP/1."
        if len(hosts) > 1 or (version == "1.1" and not hosts):  # RFC 9112, 3.2
            return 400, "An HTTP/1.1 request has exactly one Host header."
        if hosts and not _HOST.fullmatch(hosts[0].strip()):
            return 400, "The Host header is one host, with or without a port."
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if version == "1.0" and codings:  # RFC 9112, 6.1
            return 400, "An HTTP/1.0 request has no Transfer-Encoding."
        if codings not in ([], [b"chunked"]):  # the parser ends the body nowhere, or reads compressed bytes as they are
            return 400, "A request's only Transfer-Encoding is chunked."
        if self.parser.get_method() == b"CONNECT":
            return 400, "This server is not a proxy."
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
        if self.pipeline:
            self.running = self.pipeline[-1][0]
        super().on_response_complete()
        if self._is_waiting and not self.pipeline:
            self.had_request = True
            self._counted.is_idle(self)
            if self._is_refused and not self.transport.is_closing():
                self._write_refusal(*(self._refusal or _INVALID))

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
        if status in _LIMITS:
            LIMITS.add(_LIMITS[status])
        self._is_refused = True
        self._stop_head_timer()
        if self.pipeline and self.cycle.more_body:
            # The fault is in the body of a request that has not started: it is dropped.
            self.pipeline.popleft()
            self.cycle = self.pipeline[0][0] if self.pipeline else self.running
        elif not self._is_waiting and self.cycle.more_body and not self.cycle.response_started:
            # The fault is in its body or its trailers: this response takes the place of its own.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._write_refusal(status, message)
            return
        if self._is_waiting:
            self._write_refusal(status, message)
        elif self.cycle.more_body:
            self.transport.close()
        else:
            self._refusal = status, message  # after the responses to the whole requests before the fault

    def _write_refusal(self, status: int, message: str) -> None:
        body = b'{"errors":[{"message":"%s","extensions":{"code":"BAD_REQUEST"}}]}' % message.encode()
        self.transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Cache-Control: private, no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n%s"
            % (status, _PHRASES[status], len(body), body)
        )
        # A close now would reset the connection and lose the response.
        self.loop.call_later(LINGER_SECONDS, self.transport.close)
