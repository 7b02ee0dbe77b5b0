"""The start of the command, and the supervisor of workers: which of them it takes for hung."""

import subprocess
import sys
import time

import pytest
import uvicorn

from gql_identity.server.process import START_SECONDS, Worker


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
