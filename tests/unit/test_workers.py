"""The start of the command, and the supervisor of workers: which of them it takes for hung."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvicorn

from gql_identity.server.workers import START_SECONDS, Worker


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
import os, socket, sys
from pathlib import Path
from gql_identity.server.process import serve

folder = Path(sys.argv[1])

def make():
    async def app(scope, receive, send):
        await receive()
        if (folder / "fails").exists():
            (folder / f"{os.getpid()}.failed").touch()
            await send({"type": "lifespan.startup.failed", "message": "no thread"})
            return
        (folder / f"{os.getpid()}.started").touch()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    return app

if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.exit(serve(make, listener, 2))
"""


def test_a_worker_whose_start_fails_stops_the_service_only_before_it_has_served(tmp_path: Path) -> None:
    script = tmp_path / "service.py"
    script.write_text(SERVICE)

    def marked(end: str) -> set[int]:
        return {int(file.stem) for file in tmp_path.glob(f"*.{end}")}

    def wait_for(end: str, number: int) -> None:
        deadline = time.monotonic() + 60
        while len(marked(end)) < number:
            assert service.poll() is None, f"it ended with {service.returncode}"
            assert time.monotonic() < deadline
            time.sleep(0.05)

    command = [sys.executable, str(script), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    service = subprocess.Popen(command, env=environment)
    try:
        wait_for("started", 2)
        time.sleep(1.5)  # the parent looks twice a second
        (tmp_path / "fails").touch()
        os.kill(min(marked("started")), signal.SIGKILL)
        wait_for("failed", 2)
        (tmp_path / "fails").unlink()
        wait_for("started", 3)
        service.terminate()
        assert service.wait(30) == 0
        (tmp_path / "fails").touch()
        service = subprocess.Popen(command, env=environment)
        assert service.wait(60) == 3
    finally:
        service.kill()
        service.wait()


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
