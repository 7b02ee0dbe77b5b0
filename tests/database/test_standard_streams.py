"""Readers of standard output and standard error that are slow, stuck or gone, or whose disk is full."""

import fcntl
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..processes import COMMAND, CREATE, HTTP, START_SECONDS, STOP_SECONDS, surroundings, wait_until

PIPE_BYTES = 4096


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def started(data_dir: Path, shell: str, *arguments: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """`serve` with the streams that a shell's redirection gives it."""
    command = [*COMMAND, "serve", "--data-dir", str(data_dir), *arguments]
    process = subprocess.Popen(
        ["sh", "-c", f'exec "$@" {shell}', "sh", *command], env=surroundings(), start_new_session=True, **streams
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def create(port: int, data_dir: Path) -> None:
    """Make a key once the service is ready; fails where the answer lacks it."""
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz", **HTTP).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(is_ready, START_SECONDS)
    headers = {"Authorization": f"Bearer {(data_dir / 'admin-key').read_text().strip()}"}
    body = {"query": CREATE, "variables": {"domainId": "d", "userId": "u"}}
    answer = httpx.post(f"{url}/graphql", json=body, headers=headers, **{**HTTP, "timeout": 10})
    assert answer.json()["data"]["createApiKey"]["apiKey"], answer.text


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
@pytest.mark.parametrize("streams", [">/dev/full 2>&1", "<&- >&- 2>&-"])
def test_it_serves_with_a_full_disk_or_closed_streams(
    tmp_path: Path, free_port: int, workers: str, streams: str
) -> None:
    data = tmp_path / "data"
    with started(data, streams, "--port", str(free_port), "--workers", workers) as process:
        create(free_port, data)
        create(free_port, data)
        # No socket has the number of a stream, as what a library writes there would go to a client.
        for number in (0, 1, 2):
            assert os.readlink(f"/proc/{process.pid}/fd/{number}").startswith("/dev/"), number
        process.terminate()
        assert process.wait(STOP_SECONDS) == 0


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_reader_that_has_gone_stops_nothing(tmp_path: Path, free_port: int, workers: str) -> None:
    reader, writer = os.pipe()
    data = tmp_path / "data"
    with started(data, ">/dev/null", "--port", str(free_port), "--workers", workers, stderr=writer) as process:
        os.close(writer)
        create(free_port, data)
        os.close(reader)
        create(free_port, data)
        process.terminate()
        assert process.wait(STOP_SECONDS) == 0


@pytest.mark.slow
def test_a_reader_that_waits_gets_all_lines_and_stops_nothing(tmp_path: Path, free_port: int) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    data, asked = tmp_path / "data", 300
    with started(data, ">/dev/null", "--port", str(free_port), stderr=writer) as process:
        os.close(writer)
        create(free_port, data)
        with httpx.Client(base_url=f"http://127.0.0.1:{free_port}", timeout=10, trust_env=False) as client:
            for number in range(asked):
                client.get("/graphql", params={"query": "{ __typename }"}, headers={"X-Request-ID": f"r{number}"})
        # Some 70 kB wait now, which the pipe has no room for.
        log = b""
        with os.fdopen(reader, "rb") as pipe:
            while f'"r{asked - 1}"'.encode() not in log:
                log += pipe.read1()
            places = [log.index(f'"r{number}"'.encode()) for number in range(asked)]
            assert places == sorted(places)
            # Nobody reads any more: neither requests nor the stop wait for it.
            with httpx.Client(base_url=f"http://127.0.0.1:{free_port}", timeout=10, trust_env=False) as client:
                for _ in range(asked):
                    assert client.get("/graphql", params={"query": "{ __typename }"}).status_code == 200
            process.terminate()
            assert process.wait(STOP_SECONDS) == 0
