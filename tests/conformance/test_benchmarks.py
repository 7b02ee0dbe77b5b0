"""The benchmarks run: what they measure on a busy machine is not looked at."""

import json
import shutil
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ..conftest import missing_tool
from ..processes import ROOT, surroundings

RUN_SECONDS = 180
LOADS = ((0.5, False), (0.5, True), (0.8, False))  # shares of the capacity, and whether others scan
PAUSE_BEGINS = 3.0  # seconds; the first second is not counted


def _run(output: Path, *arguments: str) -> tuple[Any, subprocess.CompletedProcess[str]]:
    if shutil.which("wrk") is None:
        missing_tool("wrk")
    run = subprocess.run(
        [sys.executable, "benchmarks/run.py", "--quick", *arguments, "--output", str(output)],
        cwd=ROOT,
        env=surroundings(),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (file,) = output.glob("*.json")
    return json.loads(file.read_text()), run


@pytest.mark.slow
def test_the_benchmarks_measure_the_service_beside_the_baseline(tmp_path: Path) -> None:
    results, run = _run(tmp_path, "--only", "ours,baseline", "--operations", "G,L", "--keys", "1000")

    for operation in ("G", "L"):
        for system in ("ours", "baseline"):
            measured = results["medians"][operation][system]
            assert measured["requests_per_second"] > 0
            assert measured["cpu_us"] > 0
            assert measured["errors"] == 0
            assert measured["to_baseline"]["p99_ms"] > 0
    assert results["machine"]["cores"] > 0
    assert "[8/8]" in run.stderr


@pytest.mark.slow
def test_the_benchmarks_measure_tokens_beside_verification(tmp_path: Path) -> None:
    results, run = _run(tmp_path, "--only", "tokens", "--operations", "V,A,X,K")

    for operation in ("V", "A", "X", "K"):
        assert results["medians"][operation]["tokens"]["requests_per_second"] > 0
        assert results["medians"][operation]["tokens"]["errors"] == 0
    assert "A of tokens, requests/s beside its V" in run.stdout


@pytest.mark.slow
def test_the_tail_is_measured_alone_and_beside_scans(tmp_path: Path) -> None:
    results, _ = _run(tmp_path, "--tail", "--only", "ours,baseline")

    loads = [(row["system"], row["share"], row["scans"]) for row in results["rows"]]
    assert sorted(loads) == [(name, *load) for name in ("baseline", "ours") for load in LOADS]
    for row in results["rows"]:
        assert row["errors"] == 0
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["p999_ms"] <= row["most_ms"]
        assert not row["scans"] or (row["scans_per_second"] > 0 and row["scan_errors"] == 0)


@pytest.mark.slow
def test_subscribers_grow_and_none_misses_a_change(tmp_path: Path) -> None:
    results, _ = _run(tmp_path, "--growth", "subscribers", "--subscribers", "100")

    assert [row["subscribers"] for row in results["rows"]] == [1, 100]
    for row in results["rows"]:
        assert row["missing"] == row["ended"] == 0
        assert 0 <= row["p50_ms"] <= row["most_ms"]


@pytest.mark.slow
def test_memory_is_looked_at_while_different_documents_come(tmp_path: Path) -> None:
    results, _ = _run(tmp_path, "--growth", "documents", "--documents", "50")

    assert [row["documents"] for row in results["rows"]] == [*range(0, 51, 5)]
    assert all(row["resident_mb"] > 0 for row in results["rows"])


@pytest.mark.slow
def test_workers_grow(tmp_path: Path) -> None:
    results, _ = _run(tmp_path, "--growth", "workers", "--operations", "G")

    assert [row["workers"] for row in results["rows"]] == [1, 2, 3, 4]
    assert all(row["requests_per_second"] > 0 for row in results["rows"])


@pytest.mark.slow
def test_a_time_counts_from_the_plan() -> None:
    """A server that stands still for a second: all that would have come meanwhile notice it."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    first: list[float] = []  # when the first request came

    class Pausing(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while self.request.recv(1000):
                first[:] = first or [time.monotonic()]
                began = first[0]
                if PAUSE_BEGINS < time.monotonic() - began < PAUSE_BEGINS + 1:
                    time.sleep(max(0.0, began + PAUSE_BEGINS + 1 - time.monotonic()))
                self.request.sendall(answer)

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = 256  # all of the generator's connections come at once

    with Server(("127.0.0.1", 0), Pausing) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        given = {"host": "127.0.0.1", "port": server.server_address[1], "requests": ["x"], "rate": 100, "seconds": 5}
        run = subprocess.run(
            [sys.executable, "benchmarks/open_loop.py"],
            cwd=ROOT,
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        server.shutdown()

    measured = json.loads(run.stdout)
    assert measured["errors"] == 0
    assert measured["requests"] > 300
    assert measured["p99_ms"] > 900  # a fifth of the requests fall into the pause, evenly
