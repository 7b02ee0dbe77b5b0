"""The processes that serve: one, or a parent with workers."""

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from ..addresses import Network
from .listener import room_for_connections
from .protocol import Protocol
from .server import GRACE_SECONDS, Server
from .websocket import WebSocketProtocol
from .workers import Supervisor, Worker

MAX_MESSAGE_BYTES = 1_000_000  # of one WebSocket message

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
        # A pipelined request would begin with the deadline and the ids of the one before it.
        reset_contextvars=True,
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
