"""SIGHUP: what files say is read again while requests go on, all of it or nothing; a closed terminal is a stop."""

import fcntl
import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest

from gql_identity.secret import pepper_fingerprint

from ..processes import COMMAND, ROOT, Service, run, serving, surroundings, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks at processes of Linux")]

PEPPER = "the pepper of a service whose settings are files"
NEWER = "the pepper that came after it and is long enough"
ORIGIN = "https://app.example"
FIRST, SECOND = "{ __typename }", "query Second { __typename }"


def id_of(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()


class Files:
    """The files that a service reads its settings from."""

    def __init__(self, folder: Path, mongo_uri: str) -> None:
        self._folder = folder
        self.write(MONGO_URI=mongo_uri, PEPPER=PEPPER, PEPPERS_RETIRED="", CORS_ORIGINS="", LOG_LEVEL="warning")
        self.trust(FIRST)

    @property
    def environment(self) -> dict[str, Any]:
        names = ("MONGO_URI", "PEPPER", "PEPPERS_RETIRED", "CORS_ORIGINS", "LOG_LEVEL")
        named = {f"GQL_IDENTITY_{name}_FILE": str(self._folder / name) for name in names}
        return {**named, "GQL_IDENTITY_TRUSTED_DOCUMENTS": str(self._folder / "manifest.json")}

    def write(self, **contents: str) -> None:
        for name, content in contents.items():
            (self._folder / name).write_text(f"{content}\n")

    def trust(self, *documents: str) -> None:
        (self._folder / "manifest.json").write_text(json.dumps({id_of(one): one for one in documents}))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_may_change_is_read_again_and_no_request_is_dropped(mongo_uri: str, tmp_path: Path, workers: str) -> None:
    files = Files(tmp_path, mongo_uri)
    environment = files.environment
    made = run("create-key", "--domain-id", "d", "--user-id", "u", "--json", **environment)
    secret = json.loads(made.stdout)["api_key"]
    number = int(workers)
    with serving(tmp_path / "data", "--workers", workers, **environment) as service:
        wait_until(lambda: number == 1 or len(service.workers) == 2, 20)
        wait_until(lambda: all(is_ready(service) for _ in range(10)), 20)  # each worker
        assert not takes(service, ORIGIN)
        assert run_by_id(service, secret, SECOND) == "PERSISTED_QUERY_NOT_FOUND"
        with asking(service, secret) as statuses:
            files.write(PEPPER=NEWER, PEPPERS_RETIRED=PEPPER, CORS_ORIGINS=ORIGIN, LOG_LEVEL="info")
            files.trust(FIRST, SECOND)
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: service.err.count("the settings were read again") == number, 30)
            for _ in range(10):  # each worker
                assert takes(service, ORIGIN)
                assert run_by_id(service, secret, SECOND) is None
            assert statuses == {200}
            assert '"event":"request"' in service.err
            with pymongo.MongoClient[Any](mongo_uri) as client:
                database = client.get_default_database()
                assert database.meta.find_one()["peppers"] == [pepper_fingerprint(PEPPER), pepper_fingerprint(NEWER)]  # type: ignore[index]

            # One mistake, and nothing changes.
            before = service.err.count("the settings were not read again")
            files.write(PEPPER="short", CORS_ORIGINS="https://other.example")
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: service.err.count("the settings were not read again") > before, 30)
            assert "GQL_IDENTITY_PEPPER_FILE: a pepper has at least 32 characters" in service.err
            assert takes(service, ORIGIN)

            # A pepper that the database does not know of is refused as at the start.
            files.write(PEPPER="quite another pepper which is long enough", PEPPERS_RETIRED="")
            before = service.err.count("the settings were not read again")
            service.process.send_signal(signal.SIGHUP)
            wait_until(lambda: service.err.count("the settings were not read again") > before, 30)
            assert pepper_fingerprint(NEWER) in service.err
            assert takes(service, ORIGIN)
            assert statuses == {200}
        shown = service.err + service.out
        for process in (service.process.pid, *(process.pid for process in service.family())):
            shown += Path(f"/proc/{process}/environ").read_bytes().decode()
        for text in (PEPPER, NEWER, secret):
            assert text not in shown
        assert service.stop() == 0


def test_a_worker_that_is_replaced_has_what_was_read_again(mongo_uri: str, tmp_path: Path) -> None:
    files = Files(tmp_path, mongo_uri)
    with serving(tmp_path / "data", "--workers", "2", **files.environment) as service:
        wait_until(lambda: len(service.workers) == 2, 20)
        before = service.workers
        files.write(CORS_ORIGINS=ORIGIN, LOG_LEVEL="info")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.err.count("the settings were read again") == 2, 30)
        for worker in before:
            worker.signal(signal.SIGKILL)
        wait_until(lambda: len(service.workers - before) == 2, 30)
        service.wait_until_ready()
        assert all(takes(service, ORIGIN) for _ in range(10))
        assert service.stop() == 0


@pytest.mark.parametrize("mistake", ["pepper", "manifest"])
def test_a_worker_that_is_replaced_has_nothing_of_what_was_refused(
    mongo_uri: str, tmp_path: Path, mistake: str
) -> None:
    files = Files(tmp_path, mongo_uri)
    with serving(tmp_path / "data", "--workers", "2", **files.environment) as service:
        wait_until(lambda: len(service.workers) == 2, 20)
        before = service.workers
        files.write(CORS_ORIGINS=ORIGIN)
        if mistake == "pepper":
            files.write(PEPPER=NEWER)
        else:
            (tmp_path / "manifest.json").write_text("{")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the settings were not read again" in service.err, 30)
        files.trust(FIRST)
        for worker in before:
            worker.signal(signal.SIGKILL)
        wait_until(lambda: len(service.workers - before) == 2, 30)
        service.wait_until_ready()
        assert all(is_ready(service) for _ in range(10))
        assert not any(takes(service, ORIGIN) for _ in range(10))
        assert service.stop() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_stops_when_its_terminal_is_closed(tmp_path: Path, workers: str) -> None:
    ours, its = pty.openpty()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--workers", workers, "--data-dir", str(tmp_path / "data")],
            stdin=its,
            stdout=its,
            stderr=log,
            env=surroundings(),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            cwd=ROOT,
        )
    os.close(its)
    try:
        said = b""
        while b"Key  " not in said:
            said += os.read(ours, 65536)
        time.sleep(1)
        process.send_signal(signal.SIGHUP)  # the terminal is there: the settings are read again
        wait_until(lambda: "the settings were read again" in (tmp_path / "log").read_text(), 30)
        os.close(ours)
        assert process.wait(30) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def takes(service: Service, origin: str) -> bool:
    """Whether pages of this origin may call the service."""
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = httpx.options(f"{service.url}/graphql", headers=asked, timeout=30, trust_env=False)
    return bool(answer.headers.get("access-control-allow-origin") == origin)


def is_ready(service: Service) -> bool:
    return httpx.get(f"{service.url}/readyz", timeout=30, trust_env=False).status_code == 200


def run_by_id(service: Service, secret: str, document: str) -> str | None:
    """The code of the error of an operation that is sent by its id; None where it runs."""
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": id_of(document)}}
    headers = {"Authorization": f"Bearer {secret}"}
    body = {"extensions": extensions}
    answer = httpx.post(f"{service.url}/graphql", json=body, headers=headers, timeout=30, trust_env=False).json()
    return answer["errors"][0]["extensions"]["code"] if "errors" in answer else None


@contextmanager
def asking(service: Service, secret: str) -> Iterator[set[int]]:
    """Requests by two connections that stay open and new ones meanwhile, and the statuses of their responses."""
    statuses: set[int] = set()
    stop = threading.Event()

    def ask(*, keeps: bool) -> None:
        body, headers = {"query": FIRST}, {"Authorization": f"Bearer {secret}"}
        if not keeps:
            headers["Connection"] = "close"
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not stop.is_set():
                try:
                    answer = client.post(f"{service.url}/graphql", json=body, headers=headers)
                    statuses.add(answer.status_code if answer.json() == {"data": {"__typename": "Query"}} else -1)
                except httpx.TransportError:
                    statuses.add(0)
                time.sleep(0.005)

    threads = [threading.Thread(target=ask, kwargs={"keeps": keeps}) for keeps in (True, True, False)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join()
