"""Load at a rate that does not wait for answers: each request has a planned time, and its time counts from there.

A client that waits for an answer before it asks again, as wrk does, sends nothing while the server stands still, so its
percentiles miss what others would have seen. `hey` and `h2load` keep a rate too, but count, by their documentation,
from when they sent. As a program, this file is the generator: it has a process of its own, which reads what to send
from standard input.
"""

import gc
import json
import random
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 128  # where all of them wait for an answer, the next request waits too, and its time counts
WARM_SECONDS = 1  # at the rate, before the first request that counts
PATIENCE_SECONDS = 20.0  # after the last planned time; requests without an answer by then are errors
_LONGEST_WAIT = 0.1
_PER_MILLE = {"p50_ms": 500, "p99_ms": 990, "p999_ms": 999}


@dataclass(frozen=True)
class Tail:
    """What one run at a rate measured; all times count from the plan."""

    requests: int
    errors: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    most_ms: float
    late_p99_ms: float  # how late the generator itself sent once a connection was free: what it adds to the others
    most_at_once: int  # requests under way


def run_at_rate(url: str, requests: Sequence[bytes], rate: float, seconds: float) -> Tail:
    """Send these requests by turns, so many a second at random times. Raises subprocess.SubprocessError if it fails."""
    parts = urlsplit(url)
    given = {
        "host": parts.hostname,
        "port": parts.port,
        "requests": [request.decode() for request in requests],
        "rate": rate,
        "seconds": WARM_SECONDS + seconds,
    }
    done = subprocess.run(
        [sys.executable, Path(__file__)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=WARM_SECONDS + seconds + 2 * PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The generator of load failed:\n{done.stderr[-2000:]}")
    return Tail(**json.loads(done.stdout))


def main() -> None:
    """Read what to send from standard input, send it, and print what was measured."""
    given = json.load(sys.stdin)
    gc.disable()
    print(json.dumps(asdict(_Generator(**given).run())))


class _Connection:
    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number = 0  # of the request under way
        self.received = b""

    def answer(self) -> bytes | None:
        """Read what is there: the whole answer, None if more must come. Raises OSError if the server closed."""
        more = self.socket.recv(65_536)
        if not more:
            raise ConnectionResetError("closed by the server")
        self.received += more
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return None
        _, found, length = head.lower().partition(b"content-length:")
        if not found:
            raise ValueError(f"an answer without its length: {head[:200]!r}")
        return self.received if len(body) >= int(length.partition(b"\r\n")[0]) else None


class _Generator:
    def __init__(self, host: str, port: int, requests: list[str], rate: float, seconds: float) -> None:
        self._address = host, port
        self._requests = [request.encode() for request in requests]
        self._planned = _plan(rate, seconds)
        self._times: list[float | None] = [None] * len(self._planned)  # seconds from the plan to a good answer
        self._late: list[float] = []
        # The one that was free the longest is next, so that none is idle until the server closes it.
        self._free = deque(_Connection(host, port) for _ in range(CONNECTIONS))
        self._busy: dict[socket.socket, _Connection] = {}

    def run(self) -> Tail:
        """Send all, and wait for the answers."""
        began = time.perf_counter() + 0.05
        planned = [began + at for at in self._planned]
        end = planned[-1] + PATIENCE_SECONDS
        freed = began  # when a connection was free again after all of them had waited
        sent = most = 0
        while (sent < len(planned) or self._busy) and (now := time.perf_counter()) < end:
            while self._free and sent < len(planned) and planned[sent] <= now:
                self._send(sent)
                self._late.append(now - max(planned[sent], freed))
                sent += 1
            most = max(most, len(self._busy))
            until = planned[sent] if self._free and sent < len(planned) else now + _LONGEST_WAIT
            # Unlike poll and epoll, select waits for less than a millisecond.
            readable, _, _ = select.select(self._busy, [], [], max(0.0, until - time.perf_counter()))
            were_all_busy = not self._free
            for one in readable:
                self._read(self._busy[one], planned)
            if were_all_busy and self._free:
                freed = time.perf_counter()
        counted = self._times[sum(at < WARM_SECONDS for at in self._planned) :]
        times = sorted(1000 * seconds for seconds in counted if seconds is not None)
        if not times:
            raise RuntimeError("no request was answered")
        return Tail(
            requests=len(counted),
            errors=len(counted) - len(times),
            **{name: round(_percentile(times, per_mille), 3) for name, per_mille in _PER_MILLE.items()},
            most_ms=round(times[-1], 3),
            late_p99_ms=round(1000 * _percentile(sorted(self._late), 990), 3),
            most_at_once=most,
        )

    def _send(self, number: int) -> None:
        connection = self._free.popleft()
        connection.number = number
        connection.received = b""
        try:
            connection.socket.sendall(self._requests[number % len(self._requests)])
        except OSError:
            connection = self._replace(connection)
        else:
            self._busy[connection.socket] = connection

    def _read(self, connection: _Connection, planned: list[float]) -> None:
        try:
            answer = connection.answer()
        except OSError:
            del self._busy[connection.socket]
            self._replace(connection)
            return
        if answer is None:
            return
        del self._busy[connection.socket]
        self._free.append(connection)
        if answer.startswith(b"HTTP/1.1 200 ") and b'"errors"' not in answer:
            self._times[connection.number] = time.perf_counter() - planned[connection.number]

    def _replace(self, connection: _Connection) -> _Connection:
        connection.socket.close()
        made = _Connection(*self._address)
        self._free.append(made)
        return made


def _plan(rate: float, seconds: float) -> list[float]:
    """The times of requests from many clients that know nothing of each other; the same ones in every run."""
    choice = random.Random(1)  # noqa: S311
    planned = []
    at = choice.expovariate(rate)
    while at < seconds or not planned:
        planned.append(at)
        at += choice.expovariate(rate)
    return planned


def _percentile(ordered: Sequence[float], per_mille: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * per_mille // 1000)] if ordered else 0.0


if __name__ == "__main__":
    main()
