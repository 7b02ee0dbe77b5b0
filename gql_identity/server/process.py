"""uvicorn, stopped without cutting anyone off: a request that was sent is answered, not reset.

uvicorn alone closes the listening socket and idle connections at once. Connections that the kernel has accepted but
the process hasn't, and requests that arrive in that instant, would be reset.
"""

import asyncio
import ctypes
import gc
import socket
import struct
import sys
from contextlib import suppress
from typing import Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess, multiprocess

GRACE_SECONDS = 5  # what requests in flight get when the service stops
LINGER_SECONDS = 2.0  # for a client to read why its request is refused
WAITING_REQUESTS = 100  # of one connection, unanswered, before it is closed
MAX_HEAD_BYTES = 64_000  # of one request: its line and its headers
MAX_MESSAGE_BYTES = 1_000_000  # of one WebSocket message, before anyone has looked at it
MAX_TURN_BYTES = 64_000  # written to a connection in one turn of the event loop, before they are sent
LEAVE_SECONDS = 0.25  # what clients get to send what they have begun to send, and to be told to leave

_SO_ATTACH_FILTER = 26  # socket(7), and a filter of one instruction (linux/filter.h): keep 0 bytes of each packet
_BPF_RET = 0x06

_HEAD_TOO_LARGE_BODY = (
    b'{"errors":[{"message":"The headers are larger than %d bytes.","extensions":{"code":"BAD_REQUEST"}}]}'
    % MAX_HEAD_BYTES
)
_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Cache-Control: private, no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n%s"
) % (len(_HEAD_TOO_LARGE_BODY), _HEAD_TOO_LARGE_BODY)


def serve(app: Any, listener: socket.socket, workers: int) -> int:
    """Serve until SIGINT or SIGTERM, and answer the process's exit code.

    `app` makes the application; with several workers it is an import string, "module:function".
    """
    config = uvicorn.Config(
        app,
        factory=True,
        workers=workers,
        http=Protocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    if workers == 1:
        server = Server(config)
        try:
            server.run(sockets=[listener])
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0 if server.started else STARTUP_FAILURE
    # uvicorn makes its workers, and makes them anew, by this name.
    multiprocess.Process = Worker  # type: ignore[misc]
    supervisor = Supervisor(config, [listener])
    supervisor.run()
    return max((STARTUP_FAILURE for worker in supervisor.processes if worker.exitcode == STARTUP_FAILURE), default=0)


class TurnTransport:
    """A connection that sends what is written in one turn of the event loop at once.

    uvicorn writes an answer's head and its body apart: two system calls here, two packets, and two reads of the client.
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
        if self._size > MAX_TURN_BYTES:  # what is buffered there pauses who writes
            self.flush()

    def flush(self) -> None:
        """Send what has been written."""
        written, self._written, self._size = self._written, [], 0
        if written and not self.transport.is_closing():
            self.transport.writelines(written)

    def close(self) -> None:
        """Close, when what has been written is sent."""
        self.flush()
        self.transport.close()


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 for a client that sends at most a few requests before it reads an answer, each with a head of bounds."""

    _head_bytes = 0
    _tells_nothing = 0  # bytes since the parser last told of anything: of a header without an end, for one
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
        """Take what has arrived; a client that heaps up requests or headers without end is cut off."""
        # uvicorn queues and keeps them all: one connection could fill the memory.
        if len(self.pipeline) > WAITING_REQUESTS:
            self.transport.close()
        elif not self._is_refused:
            self._tells_nothing += len(data)
            super().data_received(data)
            if self._head_bytes + self._tells_nothing > MAX_HEAD_BYTES:
                self._refuse()

    def on_message_begin(self) -> None:
        """Count anew for each request."""
        super().on_message_begin()
        self._head_bytes = self._tells_nothing = 0

    def on_url(self, url: bytes) -> None:
        """Count a part of the request's line."""
        super().on_url(url)
        self._head_bytes += len(url)
        self._tells_nothing = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or a trailer after the body."""
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value) + 4
        self._tells_nothing = 0

    def on_body(self, body: bytes) -> None:
        """A body has a bound of its own."""
        super().on_body(body)
        self._tells_nothing = 0

    def on_message_complete(self) -> None:
        """Nothing is left of this request."""
        super().on_message_complete()
        self._head_bytes = self._tells_nothing = 0

    def _refuse(self) -> None:
        self._is_refused = True
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_HEAD_TOO_LARGE)
            # At once, the close would reset the connection and take the answer with it.
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()


class Server(uvicorn.Server):
    """A server that does not pause, and whose stop answers all that has been sent to it."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; what is there by then, which is there to stay, is never searched for garbage again."""
        await super().startup(sockets)
        # Each full collection would search the modules, the schema and its types anew, and everyone waits 50 ms for it.
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell clients to leave, stop listening, serve who had come by then, and let uvicorn finish."""
        # In place: requests in flight hold the list too.
        self.server_state.default_headers.append((b"connection", b"close"))
        await self._wait()
        for listener in sockets or []:
            waiting = listener.dup()
            with waiting:
                waiting.setblocking(False)
                for server in self.servers:
                    server.close()
                listener.close()
                if self.config.workers == 1:  # else other workers may go on with it
                    _admit_nobody(waiting)
                await self._accept_all(waiting)
        await self._wait()
        await super().shutdown(sockets)

    async def _accept_all(self, waiting: socket.socket) -> None:
        while True:
            try:
                connection, _ = waiting.accept()
            except OSError:
                return
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    async def _wait(self) -> None:
        if not self.force_exit:
            await asyncio.sleep(LEAVE_SECONDS)


def _admit_nobody(listener: socket.socket) -> None:
    """Let no further client in: who came between the last accept and the close would be reset. On Linux alone."""
    if sys.platform == "linux":
        keep_nothing = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RET, 0, 0, 0))
        program = struct.pack("HP", 1, ctypes.addressof(keep_nothing))
        with suppress(OSError):  # a kernel without such filters
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


class Worker(multiprocess.Process):
    """A worker process that runs our server."""

    @property
    def server(self) -> uvicorn.Server:
        """The server, made once, in the worker's own process."""
        if self._server is None:
            self._server = Server(self.config)
        return self._server


class Supervisor(Multiprocess):
    """The parent of the workers; it never accepts a connection itself."""

    def terminate_all(self) -> None:
        """Stop the workers, and leave the listening socket to them: the last one closes it."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()
