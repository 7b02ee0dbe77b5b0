"""Standard output and standard error of a service, whose readers may be slow, stuck or gone, or their disk full.

Python's own streams raise an error then, or wait: a request would fail after its change was made, or all requests stop.
"""

import atexit
import io
import os
import select
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

MAX_WAITING_BYTES = 4_000_000  # of one stream, until its reader takes them; past that, lines are lost
LEAVE_SECONDS = 1.0  # for a reader to take what waits when the process ends
_RETRY_MS = 1_000
_NAMES = ("stdin", "stdout", "stderr")


def open_standard_streams() -> None:
    """Open those of the three that the parent has closed, on /dev/null: else a socket would take their place."""
    for descriptor, name in enumerate(_NAMES):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number, which is this one
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", closefd=False))  # noqa: SIM115


def keep_standard_streams(lost_line: Callable[[int], str]) -> None:
    """From now on a write to standard output or standard error neither raises nor waits for a reader.

    `lost_line` makes the line that tells how many lines before it were lost.
    """
    if sys.platform == "win32":
        return
    for name in _NAMES[1:]:
        stream: Any = _Stream(getattr(sys, name).fileno(), lost_line)
        atexit.register(stream.finish)
        setattr(sys, name, io.TextIOWrapper(stream, "utf-8", "backslashreplace", line_buffering=True))


class _Stream(io.RawIOBase):
    """Writes lines to a descriptor; a thread, which ends when none are left, writes those that would wait."""

    def __init__(self, descriptor: int, lost_line: Callable[[int], str]) -> None:
        self._descriptor = descriptor
        self._lost_line = lost_line
        self._lock = threading.RLock()  # `_write` is called with and without it
        self._may_wait = not stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._thread: threading.Thread | None = None
        self._lost = 0  # lines, since the last one that was written

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write lines, or keep them for the thread."""
        lines = bytes(data)
        with self._lock:
            if self._thread is None:
                lines = self._write_at_once(lines)
            if lines:
                self._keep(lines)
        return len(data)

    def finish(self) -> None:
        """Wait a moment for a reader to take what waits."""
        if (thread := self._thread) is not None:
            thread.join(LEAVE_SECONDS)

    def _write_at_once(self, lines: bytes) -> bytes:
        """Write what does not wait, and return the rest."""
        while lines:
            some = _some_lines(lines) if self._may_wait else lines
            if not some or (self._may_wait and not self._poll.poll(0)):
                return lines
            try:
                written = self._write(some)
            except BlockingIOError:  # another process made the reader's pipe so
                return lines
            except OSError:
                self._lose(lines)
                return b""
            lines = lines[written:]
        return b""

    def _write(self, lines: bytes) -> int:
        if lost := self._lost:
            told = self._lost_line(lost).encode()
            if os.write(self._descriptor, told) == len(told):
                with self._lock:
                    self._lost -= lost
        return os.write(self._descriptor, lines)

    def _keep(self, lines: bytes) -> None:
        if self._waiting_bytes + len(lines) > MAX_WAITING_BYTES:
            self._lose(lines)
            return
        self._waiting.append(lines)
        self._waiting_bytes += len(lines)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_waiting, name="standard-stream", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no thread could be started: the next write tries again
                self._thread = None

    def _write_waiting(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                lines = self._waiting[0]
            try:
                while lines:
                    lines = lines[self._write(lines) :]
            except BlockingIOError:
                with self._lock:
                    self._waiting_bytes -= len(self._waiting[0]) - len(lines)
                    self._waiting[0] = lines
                self._poll.poll(_RETRY_MS)
                continue
            except OSError:
                self._lose(lines)
            with self._lock:
                self._waiting_bytes -= len(self._waiting.popleft())

    def _lose(self, lines: bytes) -> None:
        with self._lock:
            self._lost += max(1, lines.count(b"\n"))


def _some_lines(lines: bytes) -> bytes:
    """The first lines, so many that a pipe with room takes them without a wait; none where the first is longer."""
    if len(lines) <= select.PIPE_BUF:
        return lines
    return lines[: lines.rfind(b"\n", 0, select.PIPE_BUF) + 1]
