"""Worker processes of uvicorn, and the parent that starts, stops and replaces them."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess

from ..metrics import WORKER_RESTARTS
from .hangup import then
from .server import Server

logger = logging.getLogger(__name__)

START_SECONDS = 120.0  # for a worker to respond for the first time; then it is killed
MAX_PAUSE_SECONDS = 30.0  # before a worker is replaced whose start failed, as those before it

# Tells a worker that the others stop too, so that no new connection needs to be accepted. Windows has no SIGUSR1.
ALL_STOP = getattr(signal, "SIGUSR1", signal.SIGTERM)
# Tells a worker that the parent got SIGINT. SIGINT itself could be the second one, which cuts requests off: a terminal
# sends it to the workers too.
AT_ONCE = getattr(signal, "SIGUSR2", signal.SIGTERM)


class Worker(multiprocess.Process):
    """A worker process that runs our server."""

    end = "was stopped"  # how it ended, once the supervisor has found that it did
    has_served = False  # whether it has said that its server has started
    is_tried_again = False  # whether it is replaced where its start fails, as the service has served
    failed_before = 0  # how many in its place, one after another, ended before they had served
    _asked = False  # whether it responds, for the first time
    _responds = False
    _ended_at: float | None = None

    def is_alive(self, timeout: float = 5) -> bool:
        """Whether it is not to be replaced now: it responds, or the pause after starts that failed is not over.

        The first one that fails is replaced at once, the next after 1 s, then 2, 4 and so on: imports take a core.
        """
        if self.process.is_alive():
            return self.ping(timeout)
        if self.has_served or not self.failed_before:
            return False
        if self._ended_at is None:
            self._ended_at = time.monotonic()
        return time.monotonic() < self._ended_at + min(MAX_PAUSE_SECONDS, 2.0 ** (self.failed_before - 1))

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
        _ = self.server  # made before a signal asks for it
        if sys.platform != "win32":
            signal.signal(ALL_STOP, self._all_stop)
            signal.signal(AT_ONCE, self._stop_at_once)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, ALL_STOP, AT_ONCE})
        super().target(sockets)

    def _all_stop(self, number: int, frame: FrameType | None) -> None:
        server: Any = self.server
        server.all_workers_stop = True

    def _stop_at_once(self, number: int, frame: FrameType | None) -> None:
        server = cast(Server, self.server)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # uvicorn does not handle it yet; SIGTERM follows
            server.skip_delay()
        elif not server.was_interrupted:
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

    def init_processes(self) -> None:
        """Start the workers; one that cannot be started now is tried again."""
        with _tried_again():
            self._start_missing()

    def _start_missing(self) -> None:
        while len(self.processes) < self.processes_num:
            worker = Worker(self.config, self.sockets)
            worker.start()
            self.processes.append(worker)

    def handle_hup(self) -> None:
        """Read the settings again, here for workers to come, and in each worker. uvicorn would replace the workers.

        Not while the service stops, also if the stop comes during the read.
        """
        if self._is_stopping or (app := self._app_read_again()) is None or self._is_stopping:
            return
        self.config.app = app
        self._send(signal.SIGHUP)

    @property
    def _is_stopping(self) -> bool:
        # The workers get SIGTERM as soon as it comes, and the queue is read up to half a second later.
        return self.should_exit.is_set() or bool({signal.SIGINT, signal.SIGTERM} & set(self.signal_queue))

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
            if not self.should_exit.is_set():
                self._start_missing()
        for worker, now in zip(before, self.processes, strict=False):
            if now is not worker and isinstance(worker, Worker) and isinstance(now, Worker):
                now.failed_before = 0 if worker.has_served else worker.failed_before + 1
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
