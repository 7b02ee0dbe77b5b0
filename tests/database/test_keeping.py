"""Whatever fails in between, the embedded database is started again and `/readyz` tells the truth meanwhile."""

import http.client
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gql_identity.storage.embedded import EmbeddedDatabase

from ..processes import GET, Process, Service, serving, wait_until

pytestmark = [
    pytest.mark.slow,  # each waits for restarts
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them"),
]

RECOVERY_SECONDS = 5.0


@contextmanager
def no_free_descriptor(pid: int) -> Iterator[None]:
    """Let a process open no further file meanwhile."""
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def readiness(connection: http.client.HTTPConnection) -> tuple[int, dict[str, str]]:
    """What `/readyz` says over a connection that stays open, so that it needs no further descriptor."""
    connection.request("GET", "/readyz")
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def zombies_of(pid: int) -> list[int]:
    """The children of a process that have ended and were not waited for."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                state = (path / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if state[0] == "Z" and int(state[1]) == pid:
                found.append(int(path.name))
    return found


def is_served(service: Service, api_key_id: str) -> bool:
    answer = service.send(GET, {"domainId": "d", "apiKeyId": api_key_id}).json()
    return "errors" not in answer and answer["data"]["apiKey"]["userId"] == "u"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_without_a_free_descriptor_the_restart_is_tried_until_it_works(tmp_path: Path, workers: str) -> None:
    with (
        serving(tmp_path / "data", "--workers", workers) as service,
        closing(http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=30)) as connection,
    ):
        made = service.create()
        assert readiness(connection) == (200, {"status": "ok"})
        with no_free_descriptor(service.process.pid):
            service.database.signal(signal.SIGKILL)
            wait_until(lambda: readiness(connection)[0] == 503, 10)
            time.sleep(3)
            status, answer = readiness(connection)
            assert status == 503
            assert "database" in answer["reason"]
            assert zombies_of(service.process.pid) == []
        wait_until(lambda: readiness(connection)[0] == 200, RECOVERY_SECONDS)
        # With two workers, the other one may need a moment longer.
        wait_until(lambda: is_served(service, made["apiKeyId"]), RECOVERY_SECONDS)
        assert "could not be restarted" in service.err
        assert "Traceback" not in service.err
        assert service.stop() == 0


def test_a_worker_that_cannot_be_replaced_now_is_replaced_later(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "2") as service:
        before = service.workers
        with no_free_descriptor(service.process.pid):
            for worker in before:
                worker.signal(signal.SIGKILL)
            wait_until(lambda: "could not be started" in service.err, 10)
        wait_until(lambda: len(service.workers - before) == 2, 20)
        service.wait_until_ready()
        assert service.create()
        assert service.database.is_running
        assert service.stop() == 0
        assert "Traceback" not in service.err


@pytest.mark.parametrize("then", ["moved", "deleted", "emptied", "made a directory"])
def test_a_log_that_goes_while_it_serves_changes_nothing(tmp_path: Path, then: str) -> None:
    with serving(tmp_path / "data") as service:
        log = service.data_dir / "embedded.log"
        before = service.database
        if then == "moved":
            log.rename(service.data_dir / "embedded.log.1")
        elif then == "emptied":
            log.write_bytes(b"")
        else:
            log.unlink()
            if then == "made a directory":
                log.mkdir()
        time.sleep(1.5)  # it has looked at the log meanwhile
        assert service.database == before
        assert service.create()
        before.signal(signal.SIGKILL)
        if then == "made a directory":
            wait_until(lambda: "could not be restarted" in service.err, 5)
            log.rmdir()
        wait_until(lambda: ended_and_replaced(service, before), RECOVERY_SECONDS)
        service.wait_until_ready(RECOVERY_SECONDS)
        assert service.create()
        assert "Traceback" not in service.err


def ended_and_replaced(service: Service, before: Process) -> bool:
    return any("secantusd-rs" in process.command and process != before for process in service.family())


def test_what_the_engine_says_after_its_log_was_emptied_is_still_read(tmp_path: Path) -> None:
    with EmbeddedDatabase(tmp_path / "data") as database:
        before = database.pid
        log = tmp_path / "data" / "embedded.log"
        log.write_bytes(b"")
        time.sleep(0.7)
        with log.open("ab") as opened:
            opened.write(b"WT_PANIC: what a full disk makes it say\n")
        wait_until(lambda: database.pid != before, RECOVERY_SECONDS)


def test_an_engine_that_ends_again_and_again_is_started_until_it_stays(tmp_path: Path) -> None:
    with EmbeddedDatabase(tmp_path / "data") as database:
        for _ in range(5):
            before = database.pid
            assert before is not None
            os.kill(before, signal.SIGKILL)
            wait_until(lambda before=before: database.pid != before, RECOVERY_SECONDS)
        assert zombies_of(os.getpid()) == []
