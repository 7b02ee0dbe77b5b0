"""Parts fail and clients misbehave: nothing acknowledged is lost, nobody is cut off, and all others are served."""

import http.client
import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest

from gql_identity.storage.embedded import EmbeddedDatabase

from ..processes import Service, serving, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")

CREATE = 'mutation { createApiKey(input: {domainId: "load", userId: "u"}) { apiKeyId } }'
RECOVERY_SECONDS = 5.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that the misbehaving clients share: none of them may harm the next."""
    with (
        few_files(1024),
        serving(tmp_path_factory.mktemp("service") / "data", GQL_IDENTITY_BODY_TIMEOUT_SECONDS="1") as service,
    ):
        yield service


class Load:
    """Clients that create keys one after the other, and what became of each request."""

    def __init__(self, service: Service, clients: int = 16, *, keep_alive: bool | None = True) -> None:
        self.answered: set[str] = set()  # the ids of acknowledged keys
        self.outcomes: Counter[str] = Counter()
        self._url = urlsplit(service.url)
        self._headers = {"Authorization": f"Bearer {service.admin_key}", "Content-Type": "application/json"}
        self._keep_alive = keep_alive
        self._stop = threading.Event()
        self._clients = clients

    def __enter__(self) -> "Load":
        self._threads = ThreadPoolExecutor(self._clients)
        self._running = [self._threads.submit(self._run, number) for number in range(self._clients)]
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._threads.shutdown()
        for client in self._running:
            client.result()

    def stop(self) -> None:
        self._stop.set()

    def wait_for_answers(self, number: int, seconds: float = 30) -> None:
        """Wait until so many more keys have been acknowledged."""
        before = len(self.answered)
        wait_until(lambda: len(self.answered) >= before + number, seconds)

    def _run(self, number: int) -> None:
        # Half of the clients keep their connection where it is left open.
        keep_alive = number % 2 == 0 if self._keep_alive is None else self._keep_alive
        connection = None
        while not self._stop.is_set():
            if connection is None:
                connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=20)
                try:
                    connection.connect()
                except OSError as error:
                    # Only here nothing has been sent: a client goes to another server.
                    self.outcomes[type(error).__name__ + " on connecting"] += 1
                    connection = None
                    time.sleep(0.05)
                    continue
            try:
                headers = self._headers if keep_alive else {**self._headers, "Connection": "close"}
                connection.request("POST", "/graphql", json.dumps({"query": CREATE}), headers)
                answer = connection.getresponse()
                content = json.loads(answer.read())
            except (OSError, http.client.HTTPException) as error:
                self.outcomes[type(error).__name__] += 1
                connection.close()
                connection = None
                continue
            if answer.will_close:
                connection.close()
                connection = None
            self._note(content)
        if connection is not None:
            connection.close()

    def _note(self, content: Any) -> None:
        if "errors" in content:
            self.outcomes[content["errors"][0]["extensions"]["code"]] += 1
        else:
            self.outcomes["answered"] += 1
            self.answered.add(content["data"]["createApiKey"]["apiKeyId"])


def stored(data_dir: Path) -> set[str]:
    """The ids of all keys that the load made, in the data that a service has left."""
    with EmbeddedDatabase(data_dir) as database, pymongo.MongoClient[dict[str, Any]](database.uri) as client:
        return {key["_id"] for key in client.identity.api_keys.find({"domain_id": "load"}, {"domain_id": 1})}


class TestTheDatabase:
    @pytest.mark.slow
    def test_killed_under_16_writers_it_loses_nothing_acknowledged_and_serves_again_within_5_seconds(
        self, tmp_path: Path
    ) -> None:
        with serving(tmp_path / "data") as service:
            with Load(service) as load:
                for _ in range(3):
                    load.wait_for_answers(30)
                    service.database.signal(signal.SIGKILL)
                    began = time.monotonic()
                    load.wait_for_answers(30)
                    assert time.monotonic() - began < RECOVERY_SECONDS
            assert load.outcomes.keys() <= {"answered", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
            assert "Traceback" not in service.err
            assert service.stop() == 0
        assert load.answered <= stored(tmp_path / "data")

    @pytest.mark.slow
    def test_frozen_for_10_seconds_every_answer_comes_in_time_and_it_recovers(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data", GQL_IDENTITY_OPERATION_TIMEOUT_SECONDS="3") as service:
            with Load(service) as load:
                load.wait_for_answers(30)
                database = service.database
                database.signal(signal.SIGSTOP)
                time.sleep(10)
                # Sixteen clients, each answered within 3 s and a bit.
                assert load.outcomes["DEADLINE_EXCEEDED"] + load.outcomes["UNAVAILABLE"] >= 2 * 16
                database.signal(signal.SIGCONT)
                load.wait_for_answers(16, RECOVERY_SECONDS)
            assert load.outcomes.keys() <= {"answered", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
        assert load.answered <= stored(tmp_path / "data")


class TestTheService:
    @pytest.mark.slow
    def test_killed_with_two_workers_under_16_writers_it_loses_nothing_acknowledged(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data", "--workers", "2") as service:
            with Load(service) as load:
                load.wait_for_answers(100)
                assert len(service.workers) == 2
                service.process.kill()
                service.process.wait()
                load.stop()
            service.assert_nothing_is_left()
        assert load.answered <= stored(tmp_path / "data")

    @pytest.mark.slow
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_stopped_under_load_it_answers_every_request_that_reached_it(self, tmp_path: Path, workers: str) -> None:
        with serving(tmp_path / "data", "--workers", workers) as service:
            with Load(service, keep_alive=None) as load:
                load.wait_for_answers(50)
                assert service.stop() == 0
                load.stop()
            assert load.outcomes.keys() <= {"answered", "ConnectionRefusedError on connecting"}, load.outcomes
            assert "Traceback" not in service.err
        assert load.answered == stored(tmp_path / "data")


class TestClients:
    def test_a_body_at_one_byte_a_second_is_refused_in_time(self, service: Service) -> None:
        with connected(service) as client:
            client.sendall(head("Content-Length: 100") + b"{")
            began = time.monotonic()
            time.sleep(0.5)
            client.sendall(b'"')
            client.settimeout(10)
            status, answer = read_answer(client)
        assert status == 408
        assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
        assert time.monotonic() - began < 5
        assert_well(service)

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_body_over_the_limit_is_refused_while_it_is_sent(self, service: Service, chunked: bool) -> None:
        piece = b"x" * 65536
        with connected(service) as client:
            if chunked:
                client.sendall(head("Transfer-Encoding: chunked"))
                piece = b"10000\r\n" + piece + b"\r\n"
            else:
                client.sendall(head("Content-Length: 1000000000"))
            for _ in range(8):
                client.sendall(piece)
            status, answer = read_answer(client)
        assert status == 413
        assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
        assert_well(service)

    @pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
    def test_a_body_that_is_announced_over_the_limit_is_refused_before_it_is_sent(
        self, service: Service, expect: str
    ) -> None:
        with connected(service) as client:
            began = time.monotonic()
            client.sendall(head(f"{expect}Content-Length: 3000000"))
            assert read_answer(client)[0] == 413
            assert time.monotonic() - began < 0.9  # before the time limit of bodies
        assert_well(service)

    def test_who_sends_a_whole_body_over_the_limit_before_reading_is_told_too(self, service: Service) -> None:
        for _ in range(5):
            with connected(service) as client:
                client.sendall(head("Content-Length: 3000000") + b"x" * 3_000_000)
                assert read_answer(client)[0] == 413
        assert_well(service)

    def test_a_client_that_never_reads_harms_nobody(self, service: Service) -> None:
        before = memory(service)
        body = json.dumps({"query": "{ __schema { types { name description fields { name description } } } }"}).encode()
        request = head(f"Content-Length: {len(body)}") + body
        with ExitStack() as clients:
            for _ in range(20):
                client = clients.enter_context(socket.socket())
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(address(service))
                client.settimeout(0.2)
                with suppress(OSError):  # it is kept waiting, or cut off
                    for _ in range(10_000):
                        client.sendall(request)
            assert_well(service)
            assert memory(service) - before < 50_000_000
        assert_well(service)

    def test_1100_idle_connections_leave_room_for_others(self, service: Service) -> None:
        idle: list[socket.socket] = []
        with few_files(4096):
            try:
                for _ in range(1100):
                    idle.append(socket.create_connection(address(service), timeout=10))
                    idle[-1].sendall(b"POST /graphql HT")
                for _ in range(20):
                    assert_well(service)
            finally:
                for connection in idle:
                    connection.close()
        assert_well(service)

    @pytest.mark.slow
    def test_with_idle_connections_and_half_a_request_it_stops_in_time_and_says_so(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data") as service, connected(service), connected(service) as half:
            half.sendall(head("Content-Length: 10") + b"{")
            time.sleep(0.2)
            assert service.stop() == 0
            status, answer = read_answer(half)
            assert (status, answer["errors"][0]["extensions"]["code"]) == (503, "UNAVAILABLE")
            assert "Traceback" not in service.err


def head(*lines: str) -> bytes:
    fields = ["POST /graphql HTTP/1.1", "Host: x", "Content-Type: application/json", *lines]
    return "\r\n".join(fields).encode() + b"\r\n\r\n"


def address(service: Service) -> tuple[str, int]:
    url = urlsplit(service.url)
    return url.hostname or "", url.port or 0


def connected(service: Service) -> socket.socket:
    return socket.create_connection(address(service), timeout=10)


def read_answer(client: socket.socket) -> tuple[int, Any]:
    answer = http.client.HTTPResponse(client)
    answer.begin()
    return answer.status, json.loads(answer.read())


def assert_well(service: Service) -> None:
    """Fail unless it answers at once."""
    began = time.monotonic()
    assert service.status("/readyz") == 200
    assert time.monotonic() - began < 5


def memory(service: Service) -> int:
    """The bytes of memory that the process holds."""
    return int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()


@contextmanager
def few_files(number: int) -> Iterator[None]:
    """This process and those that it starts may open so many files, as is usual, until they ask for more."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(number, most), most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[Path]:
    """A file system of so many bytes, where the machine allows to make one."""
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine does not allow to mount a small file system")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_in_errors_and_then_in_recovery_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "200m") as disk:
        with serving(disk / "data") as service:
            with Load(service, 4) as load:
                for _ in range(5):  # what is lost differs from one time to the next
                    load.wait_for_answers(50, 60)
                    load.outcomes.clear()
                    filler = disk / "filler"
                    with filler.open("wb", buffering=0) as file, suppress(OSError):
                        while True:
                            file.write(bytes(1 << 20))
                    wait_until(lambda: load.outcomes.keys() - {"answered"}, 60)
                    filler.unlink()
                    assert load.outcomes.keys() <= {"answered", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
                load.wait_for_answers(50, 60)
            assert_well(service)
        assert load.answered <= stored(disk / "data")
