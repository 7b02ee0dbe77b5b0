"""An entry if and only if a change, also where processes are killed in the middle of writes."""

import json
import random
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.processes import Service, serving, wait_until

pytestmark = pytest.mark.slow

ROUNDS = 4
CHANGES = ("disableApiKey", "enableApiKey", "rotateApiKey", "updateApiKey", "deleteApiKey")


def change_keys(service: Service, until: threading.Event, seed: int) -> None:
    """Make and change keys until told to stop, whatever the answers are."""
    chance = random.Random(seed)
    keys: list[str] = []
    while not until.is_set():
        with suppress(httpx.HTTPError, AssertionError, KeyError, TypeError):
            if not keys or chance.random() < 0.2:
                keys.append(service.create(f"u{seed}", "default")["apiKeyId"])
                continue
            key, name = chance.choice(keys), chance.choices(CHANGES, (4, 4, 3, 4, 1))[0]
            more = f', name: "{chance.random()}"' if name == "updateApiKey" else ""
            more += ", ifOverlapping: END_OLDER" if name == "rotateApiKey" else ""
            service.send(
                f'mutation {{ {name}(input: {{domainId: "default", apiKeyId: "{key}"{more}}}) {{ apiKeyId }} }}'
            )


def changing(service: Service, seconds: float, seed: int) -> tuple[threading.Event, list[threading.Thread]]:
    until = threading.Event()
    threads = [threading.Thread(target=change_keys, args=(service, until, seed * 10 + n)) for n in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    return until, threads


def assert_intact(service: Service) -> int:
    verified = service.command("audit-verify", "--domain-id", "default", "--json")
    report = json.loads(verified.stdout)
    assert report["faults"] == [], report
    assert verified.returncode == 0
    entries: int = report["entries"]
    return entries


def test_the_service_is_killed_at_random_moments(tmp_path: Path) -> None:
    entries = [0]
    for number in range(ROUNDS):
        with serving(tmp_path / "data", GQL_IDENTITY_CREATES_PER_MINUTE="0") as service:
            until, threads = changing(service, 1 + random.random(), number)
            service.family()
            service.process.kill()
            until.set()
            for thread in threads:
                thread.join()
        with serving(tmp_path / "data") as service:
            entries.append(assert_intact(service))
        assert entries[-1] > entries[-2]


def test_a_worker_is_killed_at_random_moments_and_no_key_stays_locked(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "2", GQL_IDENTITY_CREATES_PER_MINUTE="0") as service:
        for number in range(ROUNDS):
            until, threads = changing(service, 1 + random.random(), number)
            killed = random.choice(sorted(service.workers, key=lambda worker: worker.pid))
            killed.signal(9)
            until.set()
            for thread in threads:
                thread.join()
            wait_until(lambda: len(service.workers) == 2, 30)
            service.wait_until_ready()
        # Each key can still be changed.
        answer = service.data(
            '{ apiKeys(input: {domainId: "default", query: {page: {limit: 1000}}}) { results { apiKeyId } } }'
        )
        for key in answer["apiKeys"]["results"]:
            service.data(
                f'mutation {{ updateApiKey(input: {{domainId: "default", apiKeyId: "{key["apiKeyId"]}", '
                'name: "still changes"}) { apiKeyId } }'
            )
        assert_intact(service)
