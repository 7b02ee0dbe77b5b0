"""What load balancers and proxies rely on: connections stay open, and a stop is seen before it happens."""

import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..processes import Service, serving, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="starts and stops real processes")

REQUEST = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
FOLLOW = 'subscription { apiKeyChanged(input: {domainId: "d"}) { apiKeyInfo { userId } } }'


def connected(service: Service) -> socket.socket:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_an_idle_connection_ends_after_the_time_that_the_setting_names(tmp_path: Path) -> None:
    with serving(tmp_path / "data", GQL_IDENTITY_KEEP_ALIVE_SECONDS="2") as service, connected(service) as connection:
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        answered = time.monotonic()
        assert connection.recv(65536) == b""
        assert time.monotonic() - answered > 1.5


@pytest.mark.slow
def test_by_default_a_connection_outlives_the_60_seconds_that_proxies_keep_theirs(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service, connected(service) as connection:
        for pause in (6, 61):
            connection.sendall(REQUEST)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(pause)
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


class TestTheDelayBeforeAStop:
    def test_readyz_says_so_at_once_and_responses_ask_to_close(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data", GQL_IDENTITY_SHUTDOWN_DELAY_SECONDS="60") as service:
            with httpx.Client(base_url=service.url, trust_env=False, timeout=30) as idle:
                assert "connection" not in idle.get("/readyz").headers
                service.process.send_signal(signal.SIGTERM)
                time.sleep(0.05)
                ready = idle.get("/readyz")
                assert (ready.status_code, ready.headers["connection"]) == (503, "close")
                assert ready.json()["reason"] == "The service is stopping."
            served = httpx.get(f"{service.url}/livez", trust_env=False, timeout=30)
            assert (served.status_code, served.headers["connection"]) == (200, "close")
            service.process.send_signal(signal.SIGINT)
            assert service.process.wait(20) == 0

    @pytest.mark.slow
    def test_every_new_connection_is_served_until_the_delay_is_over(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data", GQL_IDENTITY_SHUTDOWN_DELAY_SECONDS="10") as service:
            begun = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            dates = set()
            while time.monotonic() < begun + 5:
                served = httpx.get(f"{service.url}/livez", trust_env=False, timeout=30)
                assert served.status_code == 200
                dates.add(served.headers["date"])
            assert len(dates) > 1
            assert service.create()
            assert service.process.wait(30) == 0
            assert time.monotonic() - begun > 10
            assert "Traceback" not in service.err

    def test_subscriptions_go_on_until_the_delay_is_over(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data", GQL_IDENTITY_SHUTDOWN_DELAY_SECONDS="60") as service:
            events: list[str] = []
            headers = {"Authorization": f"Bearer {service.admin_key}", "Accept": "text/event-stream"}
            with (
                httpx.stream(
                    "POST",
                    f"{service.url}/graphql",
                    json={"query": FOLLOW},
                    headers=headers,
                    trust_env=False,
                    timeout=30,
                ) as stream,
                ThreadPoolExecutor() as threads,
            ):
                read: Any = threads.submit(lambda: events.extend(stream.iter_lines()))
                # The stream begins before the change stream does: a change until then is not told.
                wait_until(lambda: service.create("before") and any("before" in line for line in events), 20)
                service.process.send_signal(signal.SIGTERM)
                wait_until(lambda: service.status("/readyz") == 503, 10)
                service.create("meanwhile")
                wait_until(lambda: any("meanwhile" in line for line in events), 20)
                assert "event: complete" not in events
                service.process.send_signal(signal.SIGINT)
                read.result(20)
            assert "event: complete" in events
            assert service.process.wait(20) == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
    def test_with_two_workers_sigint_to_the_parent_alone_stops_at_once(self, tmp_path: Path, first: int) -> None:
        delayed: dict[str, Any] = {"GQL_IDENTITY_SHUTDOWN_DELAY_SECONDS": "60"}
        with serving(tmp_path / "data", "--workers", "2", **delayed) as service:
            wait_until(lambda: len(service.workers) == 2, 20)
            time.sleep(1)
            service.process.send_signal(first)
            if first == signal.SIGTERM:
                time.sleep(2)
                assert service.process.poll() is None
                service.process.send_signal(signal.SIGINT)
            assert service.process.wait(20) == 0
            service.assert_nothing_is_left()
            assert "Traceback" not in service.err

    @pytest.mark.slow
    def test_with_two_workers_each_of_them_says_so_and_ctrl_c_ends_the_delay(self, tmp_path: Path) -> None:
        delayed: dict[str, Any] = {"GQL_IDENTITY_SHUTDOWN_DELAY_SECONDS": "60"}
        with serving(tmp_path / "data", "--workers", "2", **delayed) as service:
            service.family()
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: all(service.status("/readyz") == 503 for _ in range(20)), 10)
            service.create()
            # As a service manager does: the signal goes to every process, once more.
            service.process.send_signal(signal.SIGTERM)
            for process in service.workers:
                process.signal(signal.SIGTERM)
            time.sleep(1)
            service.create()
            for process in service.workers:
                process.signal(signal.SIGINT)
            assert service.process.wait(20) == 0
            service.assert_nothing_is_left()
            assert "Traceback" not in service.err
