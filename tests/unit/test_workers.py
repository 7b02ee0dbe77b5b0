"""The start of the command, and the supervisor of workers: which of them it takes for hung."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import uvicorn

from gql_identity.server.workers import AT_ONCE, START_SECONDS, Worker


def test_a_worker_that_starts_slowly_is_waited_for_and_one_that_hangs_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(uvicorn.Config("nothing:app"), [])
    for _ in range(3):
        assert worker.ping(0.01)  # it has not responded yet
    worker.child_conn.recv()
    worker.child_conn.send(True)
    assert worker.ping(0.01)
    assert not worker.ping(0.01)  # now it must
    slow, real = Worker(uvicorn.Config("nothing:app"), []), time.monotonic
    assert slow.ping(0.01)
    monkeypatch.setattr(time, "monotonic", lambda: real() + START_SECONDS)
    assert not slow.ping(0.01)
    gone = Worker(uvicorn.Config("nothing:app"), [])
    gone.child_conn.close()
    assert not gone.ping(0.01)


SERVICE = """
import asyncio, os, resource, signal, socket, sys, time
from pathlib import Path
from gql_identity.server.process import serve

folder, workers, delay, free_files = Path(sys.argv[1]), *map(int, sys.argv[2:])

def mark(end):
    (folder / f"{time.time_ns()}-{os.getpid()}.{end}").touch()

if __name__ == "__mp_main__":
    mark("imported")
    while (folder / "imports").exists():
        time.sleep(0.01)

def make():
    signal.signal(signal.SIGHUP, lambda *_: mark("hung-up"))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    async def app(scope, receive, send):
        await receive()
        if (folder / "fails").exists():
            mark("failed")
            await send({"type": "lifespan.startup.failed", "message": "no thread"})
            return
        mark("started")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if (folder / "ends-slowly").exists():
            await asyncio.sleep(4)
        mark("ended")
        await send({"type": "lifespan.shutdown.complete"})
    return app

def read_again():
    mark("read")
    time.sleep(2)
    return make

if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if free_files:
            used = len(os.listdir("/proc/self/fd")) - 1
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + free_files, 1024))
        sys.exit(serve(make, listener, workers, read_again, shutdown_delay_seconds=delay))
"""


class Workers:
    """A service whose workers do what the files of its folder say, and tell what they did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "service.py").write_text(SERVICE)
        self.service: subprocess.Popen[bytes] | None = None

    def start(self, workers: int = 2, delay: int = 0, free_files: int = 0) -> subprocess.Popen[bytes]:
        numbers = [str(number) for number in (workers, delay, free_files)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, str(self.folder / "service.py"), str(self.folder), *numbers]
        self.service = subprocess.Popen(command, env=environment)
        return self.service

    def marked(self, end: str) -> list[tuple[float, int]]:
        """When it was told so, in seconds, and the process; the oldest first."""
        marks = (file.stem.split("-") for file in sorted(self.folder.glob(f"*.{end}")))
        return [(int(at) / 1e9, int(process)) for at, process in marks]

    def wait_for(self, end: str, number: int) -> list[tuple[float, int]]:
        """Wait until so many have told this."""
        assert self.service is not None
        deadline = time.monotonic() + 60
        while len(found := self.marked(end)) < number:
            assert self.service.poll() is None, f"it ended with {self.service.returncode}"
            assert time.monotonic() < deadline, found
            time.sleep(0.02)
        return found


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(tmp_path)
    yield workers
    if workers.service is not None:
        workers.service.kill()
        workers.service.wait()
        for _, process in workers.marked("imported"):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_whose_start_fails_stops_the_service_only_before_it_has_served(workers: Workers) -> None:
    service = workers.start()
    started = workers.wait_for("started", 2)
    time.sleep(1.5)  # the parent looks twice a second
    (workers.folder / "fails").touch()
    os.kill(started[0][1], signal.SIGKILL)
    workers.wait_for("failed", 2)
    (workers.folder / "fails").unlink()
    workers.wait_for("started", 3)
    service.terminate()
    assert service.wait(30) == 0
    (workers.folder / "fails").touch()
    assert workers.start().wait(60) == 3


@pytest.mark.slow
def test_a_worker_whose_starts_fail_is_tried_again_ever_later(workers: Workers) -> None:
    service = workers.start()
    started = workers.wait_for("started", 2)
    time.sleep(1.5)
    (workers.folder / "fails").touch()
    os.kill(started[0][1], signal.SIGKILL)
    first, second, third, fourth = (at for at, _ in workers.wait_for("failed", 4))
    assert third - second > 1
    assert fourth - third > 2
    assert second - first < third - second < fourth - third
    (workers.folder / "fails").unlink()
    workers.wait_for("started", 3)
    # One that has served is replaced at once.
    time.sleep(1.5)
    ended = time.time()
    os.kill(workers.marked("started")[-1][1], signal.SIGKILL)
    assert workers.wait_for("started", 4)[-1][0] - ended < 5
    service.terminate()
    assert service.wait(30) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_a_worker_that_cannot_be_started_at_first_is_tried_again(workers: Workers) -> None:
    service = workers.start(workers=5, free_files=16)
    workers.wait_for("started", 1)
    time.sleep(1.5)
    few = len(workers.marked("started"))
    assert few < 5
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (1024, 1024))
    workers.wait_for("started", 5)
    service.terminate()
    assert service.wait(30) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
@pytest.mark.slow
def test_a_service_that_stops_while_it_reads_its_settings_again_does_not_hang_its_workers_up(workers: Workers) -> None:
    (workers.folder / "ends-slowly").touch()
    service = workers.start()
    workers.wait_for("started", 2)
    time.sleep(1)
    service.send_signal(signal.SIGHUP)
    workers.wait_for("read", 1)
    service.terminate()
    service.send_signal(signal.SIGHUP)
    assert service.wait(30) == 0
    assert len(workers.marked("ended")) == 2
    assert not workers.marked("hung-up")
    assert len(workers.marked("read")) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGUSR2")
def test_a_worker_that_is_told_to_stop_at_once_while_it_starts_does_so_without_the_delay(workers: Workers) -> None:
    (workers.folder / "imports").touch()
    workers.start(delay=30)
    process = workers.wait_for("imported", 2)[0][1]
    os.kill(process, AT_ONCE)
    (workers.folder / "imports").unlink()
    workers.wait_for("started", 2)
    time.sleep(0.5)
    os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + 15
    while process not in [ended for _, ended in workers.marked("ended")]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


HANGS_UP = """
import asyncio, os, signal
from gql_identity.reloading import reloading
from gql_identity.settings import Settings

async def main():
    async def take(settings): pass
    async with reloading(Settings(), lambda settings: settings, take):
        pass
    os.kill(os.getpid(), signal.SIGHUP)
    print("the last writes are done")

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_a_worker_that_has_begun_to_stop_is_not_ended_by_a_hang_up() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGS_UP], stdout=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stdout) == (0, "the last writes are done\n")


def test_no_collection_of_garbage_searches_what_imports_made() -> None:
    code = """
import gc
import sys
from gql_identity.cli import main
sys.argv[1:] = ["--version"]
try:
    main()
except SystemExit:
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10 * len(gc.get_objects())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
