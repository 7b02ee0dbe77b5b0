"""A uvicorn server that stops without resetting a connection: a request that was sent gets a response.

uvicorn alone closes the listening socket and idle connections at once. That resets connections that the kernel has
accepted and the process has not, and requests that arrive in that moment.
"""

import asyncio
import ctypes
import gc
import signal
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any, cast

import uvicorn

from ..timeouts import end_all_by

GRACE_SECONDS = 5  # for requests in flight when the service stops, the last second for their responses
FORCED_SECONDS = 1.0  # for them when it is told to stop at once, to tell what they may have written
LEAVE_SECONDS = 0.25  # for clients to finish sending, and to be told to close their connection
# How long a thread waits for Python's global lock, which a call of the database takes several times, while others run.
SWITCH_SECONDS = 0.0005
TICK_SECONDS = 0.1  # how often the server looks whether the delay before its stop is over

_CLOSE = (b"connection", b"close")
_SO_ATTACH_FILTER = 26  # socket(7), and a filter of one instruction (linux/filter.h): keep 0 bytes of each packet
_BPF_RET = 0x06


class Server(uvicorn.Server):
    """A server without pauses of the garbage collector, which answers every request sent before it stops."""

    stops: Sequence[int] = ()  # the signals to stop that came before uvicorn handled them
    was_interrupted = False  # by SIGINT
    all_workers_stop = False  # whether this one stops because the whole service does

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._delay_seconds: float = getattr(config, "shutdown_delay_seconds", 0.0)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, after the delay if the signal is SIGTERM. Clients are asked to close their connections from now on."""
        self.was_interrupted = self.was_interrupted or sig == signal.SIGINT
        if sig == signal.SIGINT and self._delay_seconds:
            # A person does not wait. During the delay this ends the delay only, and not the rest of the stop.
            self._delay_seconds = 0.0
            if self.should_exit:
                return
        super().handle_exit(sig, frame)
        self._ask_clients_to_close()

    def skip_delay(self) -> None:
        """Stop without the delay once a signal to stop comes: SIGINT came before it was handled here."""
        self.was_interrupted, self._delay_seconds = True, 0.0

    def _ask_clients_to_close(self) -> None:
        # In place: requests in flight hold the list too.
        if _CLOSE not in self.server_state.default_headers:
            self.server_state.default_headers.append(_CLOSE)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; then the event loop yields more often to the driver's threads, and the garbage collector is frozen."""
        await super().startup(sockets)
        sys.setswitchinterval(SWITCH_SECONDS)
        # Each full collection would search the modules, the schema and its types again: a pause of 50 ms for everyone.
        # Where the command has frozen what its imports made, this one searches only what the start made.
        gc.collect()
        gc.freeze()
        if signal.SIGINT in self.stops:
            self.skip_delay()
        if self.stops:
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """After the delay: ask clients to close, stop listening, serve those that had connected, let uvicorn finish."""
        await self._serve_for_the_delay()
        self._ask_clients_to_close()
        # Before uvicorn cancels what still runs: a task that is cancelled cannot tell what it has written.
        end_all_by(time.monotonic() + GRACE_SECONDS)
        await self._wait()
        for listener in sockets or []:
            waiting = listener.dup()
            with waiting:
                waiting.setblocking(False)
                for server in self.servers:
                    server.close()
                listener.close()
                if self.config.workers == 1 or self.all_workers_stop:  # else others still accept from it
                    _refuse_new_connections(waiting)
                await self._accept_all(waiting)
        await self._wait()
        # A moment before uvicorn cancels what still runs, and would log an error for each response that it cuts off.
        cut = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._cut_unread_responses)
        await super().shutdown(sockets)
        cut.cancel()
        if self.force_exit:  # a second Ctrl-C: nothing is waited for, but the application still ends in its own way
            end_all_by(time.monotonic() + FORCED_SECONDS)
            if tasks := list(self.server_state.tasks):
                _, running = await asyncio.wait(tasks, timeout=FORCED_SECONDS)
                for task in running:
                    task.cancel()
                if running:
                    await asyncio.wait(running, timeout=LEAVE_SECONDS)
            await self.lifespan.shutdown()

    def _cut_unread_responses(self) -> None:
        """End connections with a response that has begun: their clients have left, or do not read."""
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "running", None)  # a WebSocket has none
            if cycle is not None and cycle.response_started and not cycle.response_complete:
                cast(Any, connection).transport.abort()

    async def _serve_for_the_delay(self) -> None:
        """Go on serving: load balancers send requests until they notice the stop."""
        ends = time.monotonic() + self._delay_seconds
        while self._delay_seconds and time.monotonic() < ends:
            await self.on_tick(0)  # keeps the Date header right, and makes the list of headers anew
            self._ask_clients_to_close()
            await asyncio.sleep(TICK_SECONDS)

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


def _refuse_new_connections(listener: socket.socket) -> None:
    """Drop new connections; one made between the last accept and the close would be reset. On Linux only."""
    if sys.platform == "linux":
        keep_nothing = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RET, 0, 0, 0))
        program = struct.pack("HP", 1, ctypes.addressof(keep_nothing))
        with suppress(OSError):  # a kernel without such filters
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
