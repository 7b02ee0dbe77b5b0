"""The systems under test: starts them, sends requests, measures and stops them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from operations import Operation, WrongAnswer
from seed import Seeded

HERE = Path(__file__).parent
START_SECONDS = 60.0
STOP_SECONDS = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")

# `make bench` gives the service a Python of its own: packages beside it take memory and time to start.
_OWN_PYTHON = Path(sys.prefix) / "service" / "bin" / "python"
HAS_OWN_PYTHON = _OWN_PYTHON.exists()

# The flags that `gql-identity serve` passes to uvicorn.
_UVICORN = ("--no-access-log", "--no-server-header", "--no-proxy-headers", "--log-level", "warning")


@dataclass(frozen=True)
class System:
    """A system that can be started."""

    name: str
    title: str
    interface: str  # graphql, rest, tokens or baseline
    file: str | None = None  # in systems/; None for the service itself
    workers: int = 1  # of the service itself

    def command(self, port: int) -> list[str]:
        """The command that starts it."""
        if self.file is None:
            main = "from gql_identity.cli import main; main()"
            python = str(_OWN_PYTHON) if HAS_OWN_PYTHON else sys.executable
            return [python, "-c", main, "serve", "--workers", str(self.workers), "--port", str(port)]
        if self.file.endswith(".mjs"):
            return ["node", str(HERE / "systems" / self.file)]
        module = self.file.removesuffix(".py")
        where = ["--app-dir", str(HERE / "systems"), "--port", str(port)]
        return [sys.executable, "-m", "uvicorn", f"{module}:app", *where, *_UVICORN]


SYSTEMS = {
    system.name: system
    for system in (
        System("baseline", "Starlette + Motor by hand", "baseline", "baseline.py"),
        System("ours", "gql_identity, GraphQL", "graphql"),
        System("rest", "gql_identity, REST", "rest"),
        System("tokens", "gql_identity, with tokens", "tokens"),
        System("strawberry", "Strawberry, stock", "graphql", "stock_strawberry.py"),
        System("ariadne", "Ariadne", "graphql", "stock_ariadne.py"),
        System("yoga", "GraphQL Yoga", "graphql", "yoga.mjs"),
        System("mercurius", "Mercurius, JIT", "graphql", "mercurius.mjs"),
        System("apollo", "Apollo Server", "graphql", "apollo.mjs"),
    )
}


class Server:
    """A running system."""

    def __init__(self, system: System, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.system = system
        self.url = url
        self.start_seconds = 0.0
        self._process = process
        self._log = log

    def ask(self, operation: Operation, data: Seeded, variant: int = 0) -> tuple[Any, float]:
        """Send one request; returns the comparable part of the response, and the size of the whole response in bytes.

        Raises WrongAnswer, or httpx.TransportError if nobody listens.
        """
        requests = operation.requests(self.system.interface, data)
        request = requests[variant % len(requests)]
        sent = {"content": request.body, "headers": request.headers(data.caller_secret)}
        answer = httpx.request(request.method, self.url + request.path, **sent, timeout=30, trust_env=False)
        if answer.status_code != httpx.codes.OK:
            raise WrongAnswer(f"{self.system.title}, {operation.name}: {answer.status_code} {answer.text[:500]}")
        try:
            body = answer.json() if answer.content else dict(answer.headers)
            comparable = operation.comparable(self.system.interface, body)
        except WrongAnswer as error:
            raise WrongAnswer(f"{self.system.title}, {operation.name}: {error}") from None
        return comparable, size_of(answer)

    def cpu_seconds(self) -> float:
        """The CPU seconds that it and its children have used."""
        ticks = 0
        for pid in self._family():
            with suppress(OSError):
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, stat[11:15]))  # utime, stime, and both for ended children
        return ticks / _TICKS

    def resident_bytes(self) -> int:
        """The memory of it and its children."""
        pages = 0
        for pid in self._family():
            with suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def wait_until_ready(self, data: Seeded, operation: Operation) -> None:
        """Wait for its first response. Raises RuntimeError, with the end of its log, if it ends or stays silent."""
        began = time.monotonic()
        while time.monotonic() < began + START_SECONDS and self._process.poll() is None:
            with suppress(httpx.TransportError, WrongAnswer):
                self.ask(operation, data)
                self.start_seconds = time.monotonic() - began
                return
            time.sleep(0.02)
        with suppress(httpx.TransportError):  # report a wrong response
            self.ask(operation, data)
        raise RuntimeError(f"{self.system.title} did not start:\n{self.log_end()}")

    def log_end(self) -> str:
        """The last lines of its output."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def stop(self) -> None:
        """Stop it and its child processes."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with suppress(ProcessLookupError):  # its process group has no other processes
            os.killpg(self._process.pid, signal.SIGKILL)

    def _family(self) -> list[int]:
        family = [self._process.pid]
        for pid in family:  # the list grows during the loop
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(OSError):
                    family.extend(map(int, task.read_text().split()))
        return family


def size_of(answer: httpx.Response) -> int:
    """The bytes of a whole response with status 200."""
    head = sum(len(name) + len(value) + 4 for name, value in answer.headers.raw) + len("HTTP/1.1 200 OK\r\n\r\n")
    return head + len(answer.content)


@contextmanager
def running(systems: Sequence[System], data: Seeded, operation: Operation) -> Iterator[list[Server]]:
    """Run these systems on a database until the block ends. Each has responded to the operation once."""
    servers: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="gql-identity-bench-logs-") as logs, ExitStack() as stack:
        for system in systems:
            # Start them one after the other, so that each start has the machine to itself.
            servers.append(_start(system, data, Path(logs) / system.name))
            stack.callback(servers[-1].stop)  # also where Ctrl-C interrupts the stop of another
            servers[-1].wait_until_ready(data, operation)
        yield servers


def _start(system: System, data: Seeded, log: Path) -> Server:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GQL_IDENTITY_")}
    if system.file is None:
        given = {"GQL_IDENTITY_MONGO_URI": data.uri, "GQL_IDENTITY_PEPPER": data.pepper}
        if system.interface == "tokens":
            given["GQL_IDENTITY_ISSUER"] = f"http://127.0.0.1:{port}"
    else:
        given = {"BENCH_MONGO_URI": data.uri, "BENCH_PEPPER": data.pepper, "BENCH_PORT": str(port)}
        given["NODE_ENV"] = "production"
    # They end with this process, even if it is killed.
    tied = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    with log.open("wb") as opened:
        process = subprocess.Popen(
            tied + system.command(port),
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=opened,
            env=kept | given,
            start_new_session=True,  # Ctrl-C goes only to this process, which stops the system
        )
    return Server(system, process, f"http://127.0.0.1:{port}", log)
