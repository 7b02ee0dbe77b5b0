"""Real processes: the service as its users start it, its commands, and proof that nothing of them is left."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from gql_identity.web.websocket import PROTOCOL

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-c", "from gql_identity.cli import main; main()"]
START_SECONDS = 60.0  # a machine may be busy; what must be fast has its own bound
STOP_SECONDS = 15.0
# To read the certificates of the machine for each request takes ten times the CPU time of the request.
HTTP: dict[str, Any] = {"timeout": 30, "trust_env": False, "verify": False}

CREATE = """mutation($domainId: ID!, $userId: ID!, $name: String, $role: APIKeyRole! = USER) {
  createApiKey(input: {domainId: $domainId, userId: $userId, name: $name, role: $role}) { apiKeyId apiKey } }"""
GET = """query Get($domainId: ID!, $apiKeyId: ID!) {
  apiKey(input: {domainId: $domainId, apiKeyId: $apiKeyId}) { apiKeyId userId state lastAccessedAt } }"""
WHO = '{ apiKeys(input: {domainId: "default"}) { totalCount } }'


@dataclass(frozen=True)
class Process:
    """A process of the machine, told from a later one of the same id by its start."""

    pid: int
    began: str
    command: str

    @classmethod
    def of(cls, pid: int) -> "Process":
        return cls(pid, _stat(pid)[19], _command(pid))

    @property
    def is_running(self) -> bool:
        state = _stat(self.pid)
        return len(state) > 19 and state[0] != "Z" and state[19] == self.began

    def signal(self, number: int) -> None:
        if self.is_running:
            os.kill(self.pid, number)


class Service:
    """`gql-identity serve`, running."""

    def __init__(
        self,
        arguments: Sequence[str],
        data_dir: Path,
        environment: dict[str, str],
        cwd: Path | None,
        descriptors: int | None = None,
    ) -> None:
        self.data_dir = data_dir
        self._environment = environment
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.url = ""
        # The service raises the soft limit to the hard one, so a shell lowers both and becomes the service.
        limit = [] if descriptors is None else ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh"]
        self.process = subprocess.Popen(
            [*limit, *COMMAND, "serve", "--data-dir", str(data_dir), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env=surroundings(**environment),
            cwd=cwd,
            start_new_session=True,
        )
        self._known: set[Process] = set()

    @property
    def out(self) -> str:
        """All that it printed so far."""
        return _content(self._out)

    @property
    def err(self) -> str:
        """All that it said on standard error so far: its log."""
        return _content(self._err)

    @property
    def admin_key(self) -> str:
        return (self.data_dir / "admin-key").read_text().strip()

    def family(self) -> set[Process]:
        """Its children and theirs, those that are running."""
        family: set[Process] = set()
        parents = {self.process.pid}
        everyone = [(pid, _stat(pid)) for pid in _pids()]
        while parents:
            born = {pid: state for pid, state in everyone if len(state) > 19 and int(state[1]) in parents}
            family |= {Process(pid, state[19], _command(pid)) for pid, state in born.items() if state[0] != "Z"}
            parents = set(born)
        self._known |= family
        return family

    @property
    def database(self) -> Process:
        """The embedded database's process."""
        (database,) = [process for process in self.family() if "secantusd-rs" in process.command.split(" -")[0]]
        return database

    def kill_children(self) -> None:
        """Send SIGKILL to its own children: with one worker that's the database, at whatever stage of its start."""
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with suppress(OSError):  # the thread or the child has just gone
                for child in (task / "children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)

    @property
    def workers(self) -> set[Process]:
        return {process for process in self.family() if "spawn_main" in process.command}

    def wait_until_announced(self) -> None:
        """Wait until it has printed its address."""
        wait_until(lambda: self.process.poll() is not None or "\nDatabase" in self.out, START_SECONDS)
        assert self.process.poll() is None, self.err
        found = re.search(r"^API +(http://\S+)/graphql$", self.out, re.MULTILINE)
        assert found, self.out
        self.url = found[1]

    def wait_until_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until `/readyz` says so."""
        wait_until(lambda: self.status("/readyz") == 200, seconds)

    def status(self, path: str) -> int:
        """The status of a GET, 0 where there is no answer."""
        try:
            return httpx.get(self.url + path, **HTTP).status_code
        except httpx.TransportError:
            return 0

    def send(
        self, query: str, variables: dict[str, Any] | None = None, by: str | None = None, **headers: str
    ) -> httpx.Response:
        """Send an operation, by default as the first key."""
        headers["Authorization"] = f"Bearer {by or self.admin_key}"
        body = {"query": query, "variables": variables}
        return httpx.post(f"{self.url}/graphql", json=body, headers=headers, **HTTP)

    def data(self, query: str, variables: dict[str, Any] | None = None, by: str | None = None) -> Any:
        """The answer's data; fails where there are errors."""
        answer = self.send(query, variables, by).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def create(self, user_id: str = "u", domain_id: str = "d", by: str | None = None, **fields: str) -> Any:
        """Make a key: its `apiKeyId` and its secret, `apiKey`."""
        return self.data(CREATE, {"domainId": domain_id, "userId": user_id, **fields}, by)["createApiKey"]

    def get(self, api_key_id: str, domain_id: str = "d", by: str | None = None) -> Any:
        return self.data(GET, {"domainId": domain_id, "apiKeyId": api_key_id}, by)["apiKey"]

    @contextmanager
    def websocket(self, by: str | None = None) -> Iterator[ClientConnection]:
        """A WebSocket that has said who it is, by default the holder of the first key."""
        address = self.url.replace("http", "ws") + "/graphql"
        with connect(address, subprotocols=[Subprotocol(PROTOCOL)], proxy=None) as websocket:
            credential = {"Authorization": f"Bearer {by or self.admin_key}"}
            websocket.send(json.dumps({"type": "connection_init", "payload": credential}))
            assert json.loads(websocket.recv(10)) == {"type": "connection_ack"}
            yield websocket

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command on the same data, with the same environment."""
        return run(*arguments, "--data-dir", str(self.data_dir), **self._environment)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
        """Send the signal and answer the exit code; fails where it takes longer, or where anything of it is left."""
        self.family()
        self.process.send_signal(number)
        code = self.process.wait(seconds)
        self.assert_nothing_is_left()
        return code

    def assert_nothing_is_left(self, seconds: float = 10.0) -> None:
        """Fail where a process of it runs `seconds` from now."""
        wait_until(lambda: not any(process.is_running for process in self._known), seconds)

    def close(self) -> None:
        """Kill it, however it is, and all that it began. A clean stop takes a second: what tests it calls `stop`."""
        self.family()
        self.process.kill()  # first, so that it replaces no other
        self.process.wait()
        for process in self._known:
            process.signal(signal.SIGKILL)
        self.assert_nothing_is_left()
        self._out.close()
        self._err.close()


@contextmanager
def serving(
    data_dir: Path,
    *arguments: str,
    ready: bool = True,
    cwd: Path | None = None,
    descriptors: int | None = None,
    **environment: str,
) -> Iterator[Service]:
    """The service, on a free port unless `--port` is given, with these flags and environment variables.

    Where `descriptors` is given, each of its processes may have so many and no more.
    """
    if "--port" not in arguments:
        arguments = (*arguments, "--port", "0")
    service = Service(arguments, data_dir, environment, cwd, descriptors)
    try:
        service.wait_until_announced()
        if ready:
            service.wait_until_ready()
        yield service
    finally:
        service.close()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=surroundings(**environment),
        timeout=START_SECONDS,
        check=False,
    )


def refused(*arguments: str, workers: Sequence[str] = ("1", "2"), **environment: str) -> str:
    """What `serve` says when it cannot start, with each of these numbers of workers; its exit code isn't 0."""
    processes = [
        subprocess.Popen(
            [*COMMAND, "serve", "--workers", number, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=surroundings(**environment),
        )
        for number in workers
    ]
    said = []
    for process in processes:
        try:
            out, err = process.communicate(timeout=START_SECONDS)
        finally:
            process.kill()
            process.wait()
        assert process.returncode not in (0, None), (out, err)
        assert process.returncode > 0, err
        assert "Traceback" not in err, err
        assert out == ""
        said.append(err)
    return said[0]


def surroundings(**environment: str) -> dict[str, str]:
    """The environment of a process: this one's without settings of the service, and what is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GQL_IDENTITY_")}
    return {**kept, "PYTHONPATH": str(ROOT), **environment}


def wait_until(holds: Any, seconds: float) -> float:
    """Wait until it holds, and answer how many seconds that took; fails where it doesn't in time."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() < began + seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began


def _content(file: IO[bytes]) -> str:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """What Linux says of a process, from its state on; nothing where it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""
