"""The database goes away and comes back: clients are told the truth meanwhile, and nobody has to do anything."""

import asyncio
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gql_identity.settings import Settings
from gql_identity.storage.cloudforet import CloudforetDatabase
from gql_identity.storage.database import Database
from gql_identity.storage.embedded import EmbeddedDatabase

from ..conftest import PEPPER, running
from ..processes import CREATE, Process, Service, run, serving, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")

STATES = """query { apiKeyStats(input: {domainId: "d", query: {distinct: "state"}}) }"""
FOLLOW = """subscription { apiKeyChanged(input: {domainId: "d"}) { __typename } }"""
TYPE_NAME = "{ __typename }"  # asks the database for nothing but the caller
AWAY = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
DATABASE_SECONDS = 1.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    timeout: dict[str, Any] = {"GQL_IDENTITY_DATABASE_TIMEOUT_SECONDS": str(DATABASE_SECONDS)}
    with serving(tmp_path_factory.mktemp("service") / "data", **timeout) as service:
        yield service


def test_with_the_database_killed_it_says_unavailable_and_recovers_by_itself(service: Service) -> None:
    made = service.create()
    before = service.database
    codes, statuses, readiness = set(), set(), set()
    with repeatedly(service.kill_children):
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            answer = service.send(TYPE_NAME, by=made["apiKey"])
            statuses.add(answer.status_code)
            codes |= {error["extensions"]["code"] for error in answer.json().get("errors", ())}
            readiness.add(service.status("/readyz"))
            assert service.status("/livez") == 200
    # 200 where the key was still known from half a second ago; 401 would say that the key is bad.
    assert {503, 504} & statuses
    assert statuses <= {200, 503, 504}
    assert codes
    assert codes <= AWAY
    assert 503 in readiness
    took = wait_until(lambda: service.send(TYPE_NAME, by=made["apiKey"]).status_code == 200, 15)
    assert took < 10
    assert service.status("/readyz") == 200
    assert service.database != before
    assert service.get(made["apiKeyId"])["userId"] == "u"
    assert "Traceback" not in service.err


def test_with_the_database_frozen_it_answers_within_its_deadline_and_recovers(service: Service) -> None:
    made = service.create()
    database = service.database
    database.signal(signal.SIGSTOP)
    try:
        for _ in range(2):
            began = time.monotonic()
            answer = service.send(TYPE_NAME, by=made["apiKey"])
            if answer.status_code == 200:
                continue  # known from half a second ago
            assert answer.status_code in (503, 504)
            assert answer.json()["errors"][0]["extensions"]["code"] in AWAY
            assert time.monotonic() - began < DATABASE_SECONDS + 2
        assert service.status("/readyz") == 503
        assert service.status("/livez") == 200
    finally:
        database.signal(signal.SIGCONT)
    wait_until(lambda: service.send(TYPE_NAME, by=made["apiKey"]).status_code == 200, 10)
    assert service.database == database
    assert service.get(made["apiKeyId"])["userId"] == "u"


def test_a_field_s_error_names_the_database_and_a_create_the_key_it_may_have_made(service: Service) -> None:
    body = {"query": 'mutation { createApiKey(input: {domainId: "d", userId: "frozen"}) { apiKeyId } }'}
    headers = {"Authorization": f"Bearer {service.admin_key}"}
    for _ in range(5):
        database = service.database
        assert service.send(TYPE_NAME).status_code == 200
        database.signal(signal.SIGSTOP)
        try:
            # The caller is known from half a second ago: on a machine that is not busy, the request comes to its field.
            answer = httpx.post(f"{service.url}/graphql", json=body, headers=headers, timeout=30, trust_env=False)
        finally:
            database.signal(signal.SIGCONT)
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] in AWAY
        wait_until(lambda: service.status("/readyz") == 200, 20)
        if "apiKeyId" in error["extensions"]:
            break
    assert answer.status_code == 200
    made = service.get(error["extensions"]["apiKeyId"])
    assert made is None or made["userId"] == "frozen"


@pytest.mark.slow
def test_it_starts_while_the_users_database_is_away_and_is_ready_when_that_comes(tmp_path: Path) -> None:
    pepper: dict[str, Any] = {"GQL_IDENTITY_PEPPER": "a pepper that is as long as one has to be"}
    with EmbeddedDatabase(tmp_path / "theirs") as database:
        uri = database.uri
        made = run("create-key", "--domain-id", "d", "--user-id", "u", "--json", "--mongo-uri", uri, **pepper)
        key = json.loads(made.stdout)
        # One that does not answer stands for one that is not there yet.
        assert database.pid is not None
        theirs = Process.of(database.pid)
        theirs.signal(signal.SIGSTOP)
        with serving(
            tmp_path / "data",
            ready=False,
            GQL_IDENTITY_MONGO_URI=uri,
            GQL_IDENTITY_DATABASE_TIMEOUT_SECONDS=str(DATABASE_SECONDS),
            **pepper,
        ) as service:
            assert "Starting anyway." in service.err
            wait_until(lambda: service.status("/livez") == 200, 30)
            assert service.status("/readyz") == 503
            assert service.send(TYPE_NAME, by=key["api_key"]).status_code in (503, 504)
            theirs.signal(signal.SIGCONT)
            service.wait_until_ready(10)
            assert service.get(key["api_key_id"], by=key["api_key"])["userId"] == "u"
            assert service.stop() == 0


@pytest.mark.slow
def test_a_wrong_pepper_found_out_late_is_in_the_log_and_never_serves(tmp_path: Path) -> None:
    pepper: dict[str, Any] = {"GQL_IDENTITY_PEPPER": "a pepper that is as long as one has to be"}
    with EmbeddedDatabase(tmp_path / "theirs") as database:
        key = ["create-key", "--domain-id", "d", "--user-id", "u", "--mongo-uri", database.uri]
        assert run(*key, **pepper).returncode == 0
        assert database.pid is not None
        theirs = Process.of(database.pid)
        theirs.signal(signal.SIGSTOP)
        with serving(
            tmp_path / "data",
            ready=False,
            GQL_IDENTITY_MONGO_URI=database.uri,
            GQL_IDENTITY_DATABASE_TIMEOUT_SECONDS=str(DATABASE_SECONDS),
            GQL_IDENTITY_PEPPER="quite another pepper which is long enough",
        ) as service:
            theirs.signal(signal.SIGCONT)
            wait_until(lambda: "GQL_IDENTITY_PEPPERS_RETIRED" in service.err, 20)
            assert service.status("/readyz") == 503
            assert service.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("under_way", ["statistic", "create", "subscription"])
def test_it_stops_while_the_users_database_stands_still(tmp_path: Path, under_way: str) -> None:
    """The driver waits longer than a stop may take: for a command, for a transaction, and to end a stream."""
    pepper: dict[str, Any] = {"GQL_IDENTITY_PEPPER": PEPPER}
    with EmbeddedDatabase(tmp_path / "theirs") as database, ThreadPoolExecutor() as threads, ExitStack() as stack:
        create = ("create-key", "--domain-id", "d", "--user-id", "u", "--role", "SYSTEM", "--json")
        made = run(*create, "--mongo-uri", database.uri, **pepper)
        secret = json.loads(made.stdout)["api_key"]
        assert database.pid is not None
        theirs = Process.of(database.pid)
        service = stack.enter_context(serving(tmp_path / "data", GQL_IDENTITY_MONGO_URI=database.uri, **pepper))
        service.data(STATES, by=secret)
        if under_way == "subscription":
            websocket = stack.enter_context(service.websocket(secret))
            websocket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": FOLLOW}}))
            time.sleep(1)
            service.create(by=secret)
            assert json.loads(websocket.recv(10))["type"] == "next"
        theirs.signal(signal.SIGSTOP)
        stack.callback(theirs.signal, signal.SIGCONT)
        time.sleep(0.1)  # until all of its threads stand still
        document = CREATE if under_way == "create" else STATES
        answer = threads.submit(service.send, document, {"domainId": "d", "userId": "u"}, by=secret)
        time.sleep(0.2)
        assert service.stop() == 0
        assert answer.result(10).json()["errors"][0]["extensions"]["code"] in AWAY


async def test_a_connection_to_a_frozen_database_is_closed_at_once(tmp_path: Path) -> None:
    """The driver tells the server that sessions end, and would wait for its response."""
    with EmbeddedDatabase(tmp_path / "data") as embedded:
        settings = Settings(mongo_uri=SecretStr(embedded.uri), pepper=SecretStr(PEPPER))
        with CloudforetDatabase(embedded.uri) as theirs:
            assert theirs.role_types() == {}
            async with Database(settings) as database:
                await database.prepare()
                assert embedded.pid is not None
                frozen = Process.of(embedded.pid)
                frozen.signal(signal.SIGSTOP)
                thaw = threading.Timer(10, frozen.signal, (signal.SIGCONT,))
                thaw.start()
                began = time.monotonic()
    assert time.monotonic() - began < 5
    thaw.cancel()


@contextmanager
def repeatedly(act: Callable[[], None]) -> Iterator[None]:
    """Do something again and again meanwhile: a database that is killed once is back before anyone notices."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.02):
            act()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), OSError(24, "Too many open files")])
async def test_a_start_without_a_free_thread_or_descriptor_is_tried_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    start = threading.Thread.start

    def no_thread(thread: threading.Thread) -> None:
        if threading.current_thread() is threading.main_thread():
            raise error
        start(thread)  # by a thread of another client's driver, which is no part of this

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        started = running(settings)
        api = await started.__aenter__()
    try:
        assert (await api.client.get("/livez")).status_code == 200
        for _ in range(50):
            if (await api.client.get("/readyz")).status_code == 200:
                break
            await asyncio.sleep(0.1)
        assert (await api.client.get("/readyz")).status_code == 200
    finally:
        await started.__aexit__(None, None, None)
