"""The port on which Prometheus reads the metrics, apart from the API's: what all processes counted, added up."""

import fcntl
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import BaseServer, TCPServer, ThreadingMixIn
from typing import Any

from .. import metrics
from ..errors import StartError

PATH = "/metrics"
MAX_READERS = 8  # at one time; more are disconnected
READER_SECONDS = 10.0  # for one reader from the connection on
_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of ours alone is made in it
_PREFIX = "gql-identity-metrics-"


@contextmanager
def metrics_directory() -> Iterator[Path]:
    """A directory for the counts of all processes, in memory where the system has such; removed at the end.

    Raises StartError where no directory can be written to.
    """
    try:
        parent = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
        _remove_left(parent)
        directory, lock = _make(parent)
    except OSError as error:
        raise StartError(f"The metrics need a directory that can be written to: {error.strerror or error}.") from None
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


@contextmanager
def serving_metrics(listener: socket.socket, directory: Path) -> Iterator[None]:
    """Serve the metrics on this socket until the block ends, in threads of this process."""
    server = _Server(listener, directory)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, directory: Path) -> None:
        BaseServer.__init__(self, listener.getsockname(), _Handler)
        self.socket = listener
        self.directory = directory
        self._free = threading.BoundedSemaphore(MAX_READERS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except RuntimeError:  # there is no free thread, which would give the place back
                self._free.release()
                raise  # the server disconnects the reader
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        late = threading.Timer(READER_SECONDS, _disconnect, (request,))
        late.daemon = True
        try:
            late.start()
            super().process_request_thread(request, client_address)
        except RuntimeError:  # as above: a reader that no timer ends is not served
            self.shutdown_request(request)
        finally:
            late.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of readers that disconnect."""


class _Handler(BaseHTTPRequestHandler):
    timeout = READER_SECONDS
    server_version, sys_version = "gql-identity", ""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != PATH:
            self._answer(404, "text/plain; charset=utf-8", b"The metrics are at /metrics.\n")
            return
        assert isinstance(self.server, _Server)  # noqa: S101 - only it makes handlers
        content, media_type = _lines(self.server.directory, self.headers.get("Accept", ""))
        self._answer(200, media_type, content)

    def _answer(self, status: int, media_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Log nothing: it is asked for every few seconds."""


def _lines(directory: Path, accept: str) -> tuple[bytes, str]:
    for _ in range(2):
        try:
            return metrics.lines(directory, accept)
        except Exception:  # a worker that has just begun makes its files, or the header names a version that is none
            time.sleep(0.05)
            accept = ""
    return metrics.lines(directory, "")


def _disconnect(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _make(parent: Path) -> tuple[Path, int]:
    for _ in range(10):
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        with suppress(FileNotFoundError, BlockingIOError):  # a service that starts now took it for one that was left
            return directory, _lock_of(directory)
    raise OSError(f"{parent} is busy")


def _lock_of(directory: Path) -> int:
    """A lock that the system frees when this process ends, however it ends."""
    lock = os.open(directory / "service.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _remove_left(parent: Path) -> None:
    """Remove the directories of services of this user that were killed."""
    for directory in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if directory.stat(follow_symlinks=False).st_uid != os.getuid():
                continue
            lock = _lock_of(directory)
            try:
                shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(lock)
