"""WebSocket on one connection (RFC 6455): what a client may send, and how much of it is parsed at once."""

import asyncio
import os
from contextvars import Context
from typing import Any

# A handshake may have what every head may have: on its own, `websockets` reads lines of 8,192 bytes and 128 of them.
os.environ.setdefault("WEBSOCKETS_MAX_LINE_LENGTH", "64000")
os.environ.setdefault("WEBSOCKETS_MAX_NUM_HEADERS", "64000")

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request

from ..metrics import LIMITS
from .connections import Connections
from .incoming import INCOMING
from .parsing import Parsing
from .writing import LINGER_SECONDS, UNREAD

PART_BYTES = 1_000  # parsed at once, and what comes behind it in slices of later turns: at most 200 frames
MAX_FRAGMENTS = 10_000  # of one message
COUNTED_BYTES = 10_000  # of a message that has come in part: smaller ones are not counted
# The application gives a longer text to the client as bytes of UTF-8, beyond what ASGI has. It is sent in fragments of
# so many, each when the client has taken the others.
LONG_TEXT_BYTES = 64_000
MUTATIONS = "mutations"  # in a connection's scope: how many run, if the service stops it is closed after these
LOOK_SECONDS = 0.05  # between two looks whether they have ended
MAX_REASON_BYTES = 123  # of a close: a control frame has 125, and the code takes 2 (RFC 6455, 5.5)
_BAD_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, counted among the connections.

    uvicorn alone would wait for ever for a client that has stopped reading, also to close the connection.
    """

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._counted: Connections = server_state.counted
        self._parsing: Parsing = server_state.parsing
        self.client_name = ""
        self._unparsed = bytearray()  # its beginning is dropped without a copy of the rest
        self._is_scheduled = False
        self._fragment_bytes = 0  # of a message that has come in part
        self._has_failed = False  # what the client still sends is dropped
        self._sending = asyncio.Lock()  # the fragments of a message follow one another

    def connection_made(self, transport: Any) -> None:
        """A client has asked for a WebSocket, on a connection that is counted already."""
        super().connection_made(transport)
        self.client_name = self._counted.client_of(self.client[0] if self.client else "")

    def data_received(self, data: bytes) -> None:
        """Parse some of what has arrived, and the rest in later turns: a read may hold 10,000 frames."""
        self._unparsed += data
        if self._is_scheduled:
            return
        if len(self._unparsed) <= PART_BYTES or not self.handshake_initiated:
            self.parse_some()
        else:
            self._pause_reading()
            self._parse_soon()

    def parse_some(self) -> None:
        """Parse a part of what has arrived; what is left waits for its turn among those of all connections."""
        self._is_scheduled = False
        if self.transport.is_closing() or self._has_failed:
            self._unparsed.clear()
            return
        is_before_accept = self.handshake_initiated and not self.handshake_complete
        if not is_before_accept:  # frames that come so early wait: `send` goes on
            # The head comes whole, from the HTTP protocol; what is behind it must not be parsed before it is accepted.
            size = PART_BYTES if self.handshake_initiated else self._unparsed.find(b"\r\n\r\n") + 4
            part = bytes(self._unparsed[:size])
            del self._unparsed[:size]
            super().data_received(part)
            if self.conn.handshake_exc is not None and not self.handshake_initiated:
                # Its head is one that `websockets` does not read; for most it has made a response.
                self.transport.write(b"".join(self.conn.data_to_send()) or _BAD_HANDSHAKE)
                self.transport.close()
                return
        self._count_incoming()
        if self._unparsed:
            self._pause_reading()
            if not is_before_accept and (self.queue.empty() or self.close_sent):
                self._parse_soon()
        elif self.read_paused and self.queue.empty() and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    def abort(self) -> None:
        """Close the connection at once."""
        self._unparsed.clear()
        self.transport.abort()

    def shutdown(self) -> None:
        """Close the connection as the service stops: soon, if the application does not count mutations in its scope.

        These have a deadline of their own. With the connection their responses would be lost, and the secrets in them.
        """
        if self.handshake_initiated and not self.close_sent and self.scope.get(MUTATIONS):
            self.loop.call_later(LOOK_SECONDS, self.shutdown)
        elif self.close_sent or not self.transport.is_closing():
            super().shutdown()

    def _pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def _parse_soon(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._parsing.add(self)

    def _count_incoming(self) -> None:
        if (held := len(self.conn.reader.buffer) + self._fragment_bytes) > COUNTED_BYTES:
            INCOMING.hold(self, held)
        else:
            INCOMING.end(self)

    def give_up(self) -> None:
        """Close the connection: the process holds too much that has arrived in part."""
        if not self.close_sent:
            self._fail(CloseCode.TRY_AGAIN_LATER, "Too many long messages arrive at once")
        self._unparsed.clear()
        self.conn.reader.buffer.clear()

    def handle_connect(self, event: Request) -> None:
        """Begin with an empty context: that of a request on the same connection has a deadline."""
        Context().run(super().handle_connect, event)

    def handle_text(self, event: Frame) -> None:
        """Take a message, or the first fragment of one."""
        self._fragment_bytes = 0 if event.fin else len(event.data)
        super().handle_text(event)

    def handle_cont(self, event: Frame) -> None:
        """Take a fragment of a message; frames without a byte could come without an end."""
        self._fragment_bytes = 0 if event.fin else self._fragment_bytes + len(event.data)
        if len(self.frames) < MAX_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            LIMITS.add("fragments_of_a_message")
            self._fail(CloseCode.MESSAGE_TOO_BIG, f"A message has at most {MAX_FRAGMENTS} fragments")

    def send_receive_event_to_app(self) -> None:
        """Hand over a whole message, unless it is text that is not UTF-8."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self._fail(CloseCode.INVALID_DATA, "Text is UTF-8")
                return
        super().send_receive_event_to_app()

    def _fail(self, code: CloseCode, reason: str) -> None:
        self.frames, self._fragment_bytes = [], 0
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Close the connection of a client that broke a rule, once it has read why."""
        close = self.conn.close_sent
        if close is None or self._has_failed:
            self.transport.close()
            return
        self._has_failed = self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        # A close now, with input that is not read, would reset the connection and lose the reason.
        self.close_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def send_500_response(self) -> None:
        """Refuse a handshake that the application did not complete, unless the client has left already."""
        if not self.conn.eof_sent:
            super().send_500_response()

    async def send(self, message: Any) -> None:
        """Send the application's message; once the handshake is accepted, what came meanwhile is parsed."""
        is_accept = message["type"] == "websocket.accept"
        if is_accept and self.transport.is_closing():
            raise ClientDisconnected  # as when the connection is lost: uvicorn would log the handshake as not completed
        if message["type"] == "websocket.close":
            # Cut between two characters. `websockets` would raise, and the client would get 1006.
            reason = (message.get("reason") or "").encode()[:MAX_REASON_BYTES].decode(errors="ignore")
            await super().send(message | {"reason": reason})
        elif message["type"] != "websocket.send":
            await super().send(message)
        else:
            async with self._sending:
                if isinstance(text := message.get("text"), bytes | bytearray):
                    await self._send_whole(memoryview(text))
                else:
                    await super().send(message)
        if is_accept and self._unparsed:
            self._parse_soon()

    async def _send_whole(self, data: memoryview) -> None:
        """Send a long text. An operation that is cancelled meanwhile ends after it: half a message cannot be left."""
        sending = self.loop.create_task(self._send_in_fragments(data))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            await asyncio.wait((sending,))
            if not sending.cancelled():
                sending.exception()  # retrieved, so that nothing is logged
            raise

    async def _send_in_fragments(self, data: memoryview) -> None:
        """Send a long text so that little of it waits in the transport, and no second copy of it."""
        for start in range(0, len(data), LONG_TEXT_BYTES):
            await self.writable.wait()
            if self.disconnected or self.close_sent:
                raise ClientDisconnected
            end = start + LONG_TEXT_BYTES
            part, is_last = data[start:end], end >= len(data)
            try:
                if start:
                    self.conn.send_continuation(part, is_last)
                else:
                    self.conn.send_text(part, is_last)
            except InvalidState:
                raise ClientDisconnected from None
            self.transport.write(b"".join(self.conn.data_to_send()))
            await asyncio.sleep(0)  # a client that takes all at once must not hold up the others

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
        self._counted.remove(self)
        INCOMING.end(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Have the connection end where its client takes nothing of what waits for it."""
        super().pause_writing()
        UNREAD.add(self.transport, self.loop)

    def keepalive_timeout(self) -> None:
        """Close a connection whose client sends no pong, and end it where that client does not read."""
        super().keepalive_timeout()
        UNREAD.add(self.transport, self.loop)
