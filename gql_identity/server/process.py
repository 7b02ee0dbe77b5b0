"""uvicorn, started and stopped without resetting a connection: a request that was sent gets a response.

uvicorn alone closes the listening socket and idle connections at once. That resets connections that the kernel has
accepted and the process has not, and requests that arrive in that moment.
"""

import asyncio
import ctypes
import gc
import logging
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess

from ..addresses import Network
from ..metrics import WORKER_RESTARTS
from .hangup import then
from .listener import room_for_connections
from .protocol import Protocol
from .websocket import WebSocketProtocol

logger = logging.getLogger(__name__)

GRACE_SECONDS = 5  # for requests in flight when the service stops
LEAVE_SECONDS = 0.25  # for clients to finish sending, and to be told to close their connection
START_SECONDS = 120.0  # for a worker to respond for the first time; then it is killed
# How long a thread waits for Python's global lock, which a call of the database takes several times, while others run.
SWITCH_SECONDS = 0.0005
TICK_SECONDS = 0.1  # how often the server looks whether the delay before its stop is over
MAX_MESSAGE_BYTES = 1_000_000  # of one WebSocket message

# Tells a worker that the others stop too, so that no new connection needs to be accepted. Windows has no SIGUSR1.
ALL_STOP = getattr(signal, "SIGUSR1", signal.SIGTERM)
# Tells a worker that the parent got SIGINT. SIGINT itself could be the second one, which cuts requests off: a terminal
# sends it to the workers too.
AT_ONCE = getattr(signal, "SIGUSR2", signal.SIGTERM)

_CLOSE = (b"connection", b"close")
_SO_ATTACH_FILTER = 26  # socket(7), and a filter of one instruction (linux/filter.h): keep 0 bytes of each packet
_BPF_RET = 0x06
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def serve(
    app: Any,
    listener: socket.socket,
    workers: int,
    app_read_again: Callable[[], Any | None] = lambda: None,
    *,
    max_connections: int = 0,
    trusted_proxies: Sequence[Network] = (),
    keep_alive_seconds: int = 75,
    shutdown_delay_seconds: float = 0.0,
) -> int:
    """Serve until SIGINT or SIGTERM, and return the process's exit code.

    `app` makes the application; with several workers it is pickled and sent to them. On SIGHUP `app_read_again` gives
    another for workers to come, or None where it cannot, and the workers get SIGHUP; with one worker SIGHUP is left to
    the application.
    `max_connections` is of each process; 0 is as many as its file descriptors allow. One address may have three
    quarters of them, but an address of `trusted_proxies` all: its connections are those of many clients.
    After SIGTERM it serves on for `shutdown_delay_seconds`; after SIGINT it does not.
    """
    config = uvicorn.Config(
        app,
        factory=True,
        workers=workers,
        http=Protocol,
        ws=WebSocketProtocol,
        ws_max_size=MAX_MESSAGE_BYTES,
        # A message of 1,000 bytes could be 1,000,000 when inflated.
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    stops: list[int] = []
    # uvicorn takes the signals over when it begins. One that comes before must not be lost; and uvicorn raises its own
    # again when it has stopped, which must not keep the rest of the stop from running.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stops.append(number))
    ours: Any = config  # the protocol and the server of each worker find these there
    ours.max_connections = min(max_connections or sys.maxsize, room_for_connections())
    ours.trusted_proxies = tuple(trusted_proxies)
    ours.shutdown_delay_seconds = shutdown_delay_seconds
    if workers == 1:
        server = Server(config)
        server.stops = stops
        try:
            server.run(sockets=[listener])
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0 if server.started else STARTUP_FAILURE
    # uvicorn makes and replaces its workers by this name.
    multiprocess.Process = Worker  # type: ignore[misc]
    supervisor = Supervisor(config, [listener], app_read_again)
    supervisor.signal_queue += stops
    supervisor.run()
    return max((STARTUP_FAILURE for worker in supervisor.processes if worker.exitcode == STARTUP_FAILURE), default=0)


def end_with_parent(parent: int) -> None:
    """Have this process killed when its parent, whose process id is given, ends however it ends (Linux).

    For worker processes, before they do anything else. If the parent has ended already, this process ends here.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


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
        if self.stops:
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """After the delay: ask clients to close, stop listening, serve those that had connected, let uvicorn finish."""
        await self._serve_for_the_delay()
        self._ask_clients_to_close()
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
            tasks = list(self.server_state.tasks)
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=LEAVE_SECONDS)
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


class Worker(multiprocess.Process):
    """A worker process that runs our server."""

    end = "was stopped"  # how it ended, once the supervisor has found that it did
    has_served = False  # whether it has said that its server has started
    is_tried_again = False  # whether it is replaced where its start fails, as the service has served
    _asked = False  # whether it responds, for the first time
    _responds = False

    def ping(self, timeout: float = 5) -> bool:
        """Whether the process responds. One that starts has START_SECONDS: imports take long on a busy machine."""
        if self._responds:
            started = self._healthcheck(timeout)
            self.has_served = self.has_served or started is True
            return started is not None
        with suppress(OSError, EOFError):
            if not self._asked:
                self._asked, self._begun = True, time.monotonic()
                self.parent_conn.send(b"ping")
            if self.parent_conn.poll():
                self.parent_conn.recv()
                self._responds = True
            return self._responds or time.monotonic() - self._begun < START_SECONDS
        return False

    def kill(self) -> None:
        """Kill the process, which the supervisor does with each that does not respond: most of them have ended."""
        code = self.process.exitcode
        if code is None:
            self.end = "did not respond, and was killed"
        elif code < 0:
            self.end = f"was ended by signal {-code} ({signal.strsignal(-code)})"
        else:
            self.end = f"ended with code {code}"
        super().kill()

    @property
    def exitcode(self) -> int | None:
        """Its exit code. For STARTUP_FAILURE uvicorn stops all workers, also those that serve; so it is 1 then."""
        code = self.process.exitcode
        return 1 if code == STARTUP_FAILURE and self.is_tried_again else code

    def start(self) -> None:
        """Start the process with SIGINT ignored, as a Ctrl-C before its server handles it would print a traceback.

        This process gets its own SIGINT a moment later: a blocked signal waits even if it is ignored. In the process,
        the other signals stay blocked until they are handled there.
        """
        if sys.platform == "win32":
            super().start()
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP, ALL_STOP, AT_ONCE})
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            super().start()
        finally:
            signal.signal(signal.SIGINT, handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP, ALL_STOP, AT_ONCE})

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Run the server, in the worker's own process."""
        if sys.platform != "win32":
            signal.signal(ALL_STOP, self._all_stop)
            signal.signal(AT_ONCE, self._stop_at_once)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, ALL_STOP, AT_ONCE})
        super().target(sockets)

    def _all_stop(self, number: int, frame: FrameType | None) -> None:
        server: Any = self.server
        server.all_workers_stop = True

    def _stop_at_once(self, number: int, frame: FrameType | None) -> None:
        if not cast(Server, self.server).was_interrupted:
            signal.raise_signal(signal.SIGINT)

    @property
    def server(self) -> uvicorn.Server:
        """The server, made once, in the worker's own process."""
        if self._server is None:
            self._server = Server(self.config)
        return self._server


class Supervisor(Multiprocess):
    """The parent of the workers; it never accepts a connection itself."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], app_read_again: Callable[[], Any | None]
    ) -> None:
        before = signal.getsignal(signal.SIGHUP)
        super().__init__(config, sockets)
        self._app_read_again = app_read_again
        self._has_served = False
        signal.signal(signal.SIGTERM, self._pass_on)
        signal.signal(signal.SIGINT, self._pass_on_interrupt)
        signal.signal(signal.SIGHUP, then(lambda: self.signal_queue.append(signal.SIGHUP), before))

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """Send SIGTERM to the workers at once: this process itself notices it up to half a second later."""
        self.signal_queue.append(number)
        self._send(ALL_STOP)
        for worker in self.processes:
            worker.process.terminate()

    def _pass_on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """Have the workers stop without the delay, also where SIGINT was sent to this process alone."""
        self.signal_queue.append(number)
        if sys.platform != "win32":
            self._send(ALL_STOP)
            self._send(AT_ONCE)

    def handle_hup(self) -> None:
        """Read the settings again, here for workers to come, and in each worker. uvicorn would replace the workers."""
        if (app := self._app_read_again()) is None:
            return
        self.config.app = app
        self._send(signal.SIGHUP)

    def terminate_all(self) -> None:
        """Stop the workers, and leave the listening socket to them: the last one closes it."""
        for listener in self.sockets:
            listener.close()
        self._send(ALL_STOP)
        super().terminate_all()

    def _send(self, number: int) -> None:
        for worker in self.processes:
            if worker.pid is not None and worker.exitcode is None:
                os.kill(worker.pid, number)

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have ended; one that cannot be started now is tried again."""
        before = list(self.processes)
        self._has_served = self._has_served or any(cast(Worker, worker).has_served for worker in before)
        for worker in before:
            cast(Worker, worker).is_tried_again = self._has_served
        with _tried_again():
            super().keep_subprocess_alive()
        for worker, now in zip(before, self.processes, strict=True):
            if now is not worker and isinstance(worker, Worker):
                WORKER_RESTARTS.add()
                logger.warning("Worker process %s %s; process %s replaces it.", worker.pid, worker.end, now.pid)

    def handle_signals(self) -> None:
        """Handle signals that have arrived, such as one that asks for new workers."""
        with _tried_again():
            super().handle_signals()


@contextmanager
def _tried_again() -> Iterator[None]:
    # Without a free file descriptor, for one. The supervisor must not end by it: it keeps the database too.
    try:
        yield
    except OSError as error:
        logger.warning("A worker process could not be started: %s. Trying again.", error)
