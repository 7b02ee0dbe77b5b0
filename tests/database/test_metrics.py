"""The metrics: what Prometheus reads, each series raised by what it tells of, and right sums over workers that end."""

import asyncio
import itertools
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import parser
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families

from gql_identity import metrics
from gql_identity.errors import StartError
from gql_identity.server.metrics_port import MAX_READERS, metrics_directory, serving_metrics
from gql_identity.settings import Settings
from gql_identity.storage.database import READS_AT_ONCE, Database
from gql_identity.telemetry import SAMPLE_SECONDS, begin_metrics

from ..conftest import Api, running
from ..processes import HTTP, WHO, Process, Service, refused, serving, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the metrics need Linux or macOS")

VERIFY = """mutation($secrets: [VerifyAPIKeyRequest!]!) { verifyApiKeys(input: $secrets) { code } }"""
CHANGED = 'subscription { apiKeyChanged(input: {domainId: "default"}) { type } }'
AT = 'input: {domainId: "d1", query: $q}'
EVENTS = {"Accept": "text/event-stream"}


class Counts:
    """The samples of a metrics text, by name and labels."""

    def __init__(self, text: str) -> None:
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in parser.text_string_to_metric_families(text)
            for sample in family.samples
        }

    def of(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name that have these labels."""
        wanted = set(labels.items())
        return sum(value for (one, has), value in self.samples.items() if one == name and wanted <= has)

    def is_raised(self, series: metrics.Series) -> bool:
        if isinstance(series, metrics.Gauge):
            return any(name == series.name for name, _ in self.samples)
        return self.of(f"{series.name}_count" if isinstance(series, metrics.Histogram) else series.name) > 0


def metrics_url(service: Service) -> str:
    found = re.search(r"^Metrics +(http://\S+)$", service.out, re.MULTILINE)
    assert found, service.out
    return found[1]


def read(service: Service, accept: str = "text/plain") -> httpx.Response:
    answer = httpx.get(metrics_url(service), headers={"Accept": accept}, timeout=30, trust_env=False)
    assert answer.status_code == 200
    return answer


def counts(service: Service) -> Counts:
    """What the service has counted, all workers having written it."""
    time.sleep(2 * SAMPLE_SECONDS)
    return Counts(read(service).text)


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Path]:
    """This process counts, in files of its own."""
    metrics.begin(tmp_path, is_service=True, is_worker=True, version="1.2.3")
    yield tmp_path
    metrics.end()


@pytest.fixture
async def counting(counted: Path, settings: Settings) -> AsyncIterator[Api]:
    """The application in this process, which counts."""
    async with running(settings.model_copy(update={"failed_credentials_per_minute": 5})) as api:
        yield api


def now(directory: Path) -> Counts:
    return Counts(metrics.lines(directory, "text/plain")[0].decode())


def test_without_the_setting_nothing_counts_and_no_library_is_loaded(served: Service) -> None:
    assert "Metrics" not in served.out
    assert not metrics.are_on()
    maps = Path(f"/proc/{served.process.pid}/maps")
    if maps.exists():
        assert "gql-identity-metrics" not in maps.read_text()


async def test_each_way_in_is_counted_by_its_route_and_no_path_of_a_client(counting: Api, counted: Path) -> None:
    person = await counting.make()
    await counting.data(WHO, by=person)
    await counting.client.get("/livez")
    await counting.client.get(f"/nothing/{person.key_id}")
    await counting.client.request("BREW", "/livez")
    await counting.client.post("/identity/v1/api-key/list", json={}, headers={"Authorization": "Bearer x"})
    name, seen = "http_server_request_duration_seconds_count", now(counted)
    for method, route, status in (
        ("POST", "/graphql", "200"),
        ("GET", "/livez", "200"),
        ("GET", "", "404"),
        ("_OTHER", "/livez", "405"),
        ("POST", "/identity/v1/api-key/list", "401"),
    ):
        labels = {"http_request_method": method, "http_route": route, "http_response_status_code": status}
        assert seen.of(name, **labels) == 1, labels
    assert seen.of(name) == 5
    assert person.key_id not in metrics.lines(counted, "")[0].decode()


async def test_operations_are_counted_by_their_type_and_outcome(counting: Api, counted: Path) -> None:
    person = await counting.make("USER")
    await counting.data('query MySecretName { apiKeys(input: {domainId: "d1"}) { totalCount } }', by=person)
    await counting.run('{ apiKeys(input: {domainId: "other"}) { totalCount } }', by=person)
    await counting.run("{ nothing }", by=person)
    await counting.run("{", by=person)
    await counting.run("{ __typename }")
    await counting.send("{ __typename }", None, person, Accept="text/event-stream")
    await counting.run(WHO, by="gqlid_wrong")
    seen = now(counted)
    for type_, outcome, number in (
        ("query", "OK", 3),
        ("query", "PERMISSION_DENIED", 1),
        ("unknown", "GRAPHQL_VALIDATION_FAILED", 1),
        ("unknown", "GRAPHQL_PARSE_FAILED", 1),
        ("unknown", "UNAUTHENTICATED", 1),
    ):
        labels = {"graphql_operation_type": type_, "outcome": outcome}
        assert seen.of("gql_identity_operations_total", **labels) == number, labels
    assert seen.of("gql_identity_operations_total") == 7
    assert "MySecretName" not in metrics.lines(counted, "")[0].decode()


async def test_what_a_limit_refuses_is_counted_by_the_limits_name(counting: Api, counted: Path) -> None:
    person = await counting.make()
    aliases = " ".join(f"a{number}: __typename" for number in range(31))
    for document, variables in (
        ("{ " + aliases + " }", None),
        ("{ " + "a " * 2_000 + "}", None),
        (f"query($q: APIKeyListQuery) {{ apiKeys({AT}) {{ totalCount }} }}", {"q": {"only": ["x"] * 20_000}}),
        ('{ apiKeys(input: {domainId: "d1", query: {page: {limit: 100000}}}) { totalCount } }', None),
        ('{ apiKeys(input: {domainId: "d1", query: {keyword: "' + "x" * 300 + '"}}) { totalCount } }', None),
    ):
        await counting.run(document, variables, by=person)
    await counting.client.post("/graphql", json=[{"query": "{ __typename }"}])
    await counting.client.post("/graphql", content=b"[" + b" " * 300_000, headers={"Content-Type": "application/json"})
    seen = now(counted)
    for limit in (
        *("max_aliases", "max_root_fields", "max_tokens", "max_values", "max_page_size"),
        *("max_pattern_length", "max_batch", "max_body_bytes"),
    ):
        assert seen.of("gql_identity_limit_refusals_total", limit=limit) == 1, limit


async def test_credentials_are_counted_by_what_became_of_them(counting: Api, counted: Path) -> None:
    system, other = await counting.make(), await counting.make(user_id="u2")
    for secret in ("gqlid_wrong", other.secret):
        if secret == other.secret:
            off = 'mutation($id: ID!) { disableApiKey(input: {domainId: "d1", apiKeyId: $id}) { state } }'
            await counting.data(off, {"id": other.key_id}, by=system)
        await counting.run(WHO, by=secret)
    await counting.client.post("/graphql", json={"query": WHO}, headers={"Authorization": "Basic eDp5"})
    seen = now(counted)
    for reason in ("NOT_FOUND", "DISABLED", "NOT_BEARER"):
        assert seen.of("gql_identity_refused_credentials_total", reason=reason) == 1, reason
    for _ in range(4):
        await counting.run(WHO, by="gqlid_wrong")
    assert now(counted).of("gql_identity_rate_limited_total", rate="credential") == 2
    await counting.data(WHO, by=system)
    before = now(counted)
    for _ in range(10):  # a busy machine may take longer for one than it is cached
        await counting.data(WHO, by=system)
    lookups, after = "gql_identity_credential_lookups_total", now(counted)
    cached, read = (after.of(lookups, source=it) - before.of(lookups, source=it) for it in ("cache", "database"))
    assert cached + read == 10
    assert cached > 0
    assert before.of(lookups, source="database") >= 2


async def test_verifications_are_counted_by_their_code_and_where_they_came_in(counting: Api, counted: Path) -> None:
    person = await counting.make()
    secrets = [{"apiKey": person.secret}, {"apiKey": "malformed"}]
    await counting.data(VERIFY, {"secrets": secrets}, by=person)
    headers = {"Authorization": f"Bearer {person.secret}"}
    await counting.client.post("/introspect", data={"token": person.secret}, headers=headers)
    await counting.client.get("/authz", headers=headers)
    await counting.client.get("/authz?scope=orders:read", headers=headers)
    seen = now(counted)
    for code, door in (
        ("VALID", "graphql"),
        ("MALFORMED", "graphql"),
        ("VALID", "introspect"),
        ("VALID", "authz"),
        ("INSUFFICIENT_SCOPE", "authz"),
    ):
        assert seen.of("gql_identity_verifications_total", code=code, door=door) == 1


async def test_reads_that_wait_for_a_connection_are_counted(settings: Settings) -> None:
    async with Database(settings) as database:
        await database.prepare()
        reads = [asyncio.create_task(database.find_one({"_id": f"api-key-{number}"})) for number in range(103)]
        for _ in range(5):  # until each has begun
            await asyncio.sleep(0)
        assert database.waiting()["reads"] == 3
        assert await asyncio.gather(*reads) == [None] * 103
        assert database.waiting()["reads"] == 0


async def test_calls_that_wait_for_a_thread_are_counted(settings: Settings) -> None:
    async with Database(settings) as database:
        await database.prepare()
        assert database.waiting() == {"driver": 0, "readers": 0, "reads": 0, "scans": 0}
        release = threading.Event()
        for _ in range(READS_AT_ONCE + 3):
            database._readers.submit(release.wait)
        try:
            wait_until(lambda: database.waiting()["readers"] == 3, 10)
        finally:
            release.set()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two workers, with metrics, and a database that they give up on soon."""
    directory = tmp_path_factory.mktemp("metrics") / "data"
    with serving(
        directory,
        "--workers",
        "2",
        GQL_IDENTITY_METRICS_PORT="0",
        GQL_IDENTITY_DATABASE_TIMEOUT_SECONDS="2",
        GQL_IDENTITY_ISSUERS='[{"issuer": "http://127.0.0.1:1", "audience": "keys", "domain": "d1"}]',  # nobody listens
    ) as service:
        wait_until(lambda: counts(service).of("gql_identity_workers") == 2, 20)
        yield service


def test_the_text_is_what_parsers_of_both_formats_take(service: Service) -> None:
    service.data(WHO)
    # A worker writes its counts some time after the request, maybe between the two reads below.
    wait_until(lambda: "gql_identity_credential_lookups_total" in read(service).text, 20)
    time.sleep(2 * SAMPLE_SECONDS)
    plain = read(service)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {one.name: one for one in parser.text_string_to_metric_families(plain.text)}
    assert all(one.documentation and one.type != "unknown" for one in families.values())
    answer = read(service, "application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {one.name for one in open_families(answer.text)} == set(families)  # type: ignore[no-untyped-call]
    for other in ("/", "/graphql"):
        assert httpx.get(metrics_url(service).replace("/metrics", other), trust_env=False).status_code == 404
    head = httpx.head(metrics_url(service), trust_env=False)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == plain.headers["content-type"]


def test_a_header_that_names_no_version_gets_the_plain_text(service: Service) -> None:
    for accept in ("application/openmetrics-text; version=x.y", "text/plain; version=", ";;;,,,"):
        assert "gql_identity_workers 2.0" in read(service, accept).text


def sent(service: Service) -> float:
    return counts(service).of("http_server_request_duration_seconds_count", http_route="/graphql")


def kill_a_worker(service: Service) -> None:
    min(service.workers, key=lambda one: one.pid).signal(signal.SIGKILL)


@pytest.mark.slow
def test_the_sum_over_workers_is_right_and_stays_so_when_one_is_killed(service: Service) -> None:
    before = sent(service)
    for _ in range(20):  # each from another connection, so that both workers get some
        service.data(WHO)
    assert sent(service) == before + 20
    restarts = counts(service).of("gql_identity_worker_restarts_total")
    kill_a_worker(service)
    wait_until(lambda: counts(service).of("gql_identity_worker_restarts_total") == restarts + 1, 20)
    assert sent(service) == before + 20
    wait_until(lambda: len(service.workers) == 2 and counts(service).of("gql_identity_database_prepared") == 2, 20)
    assert counts(service).of("gql_identity_workers") == 2
    for _ in range(20):
        service.data(WHO)
    assert sent(service) == before + 40


def test_one_of_each_outcome_raises_each_series(service: Service) -> None:
    headers = {"Authorization": f"Bearer {service.admin_key}"}
    for _ in range(4):  # the first run of a document in a worker is not compiled
        service.data(WHO)
        service.send(VERIFY, {"secrets": [{"apiKey": "malformed"}]})
    service.send("{ " + " ".join(f"a{number}: __typename" for number in range(31)) + " }")
    for _ in range(130):  # each worker allows 60 a minute
        service.send(WHO, by="gqlid_wrong")
    body = {"query": CHANGED}
    with httpx.Client(base_url=service.url, timeout=30, trust_env=False) as client:
        with client.stream("POST", "/graphql", json=body, headers={**headers, **EVENTS}):
            wait_until(lambda: counts(service).of("gql_identity_subscriptions_open") == 1, 10)
        wait_until(lambda: counts(service).of("gql_identity_subscriptions_ended_total", reason="client") >= 1, 20)
        with client.stream("POST", "/graphql", json=body, headers={**headers, **EVENTS}) as stream:
            wait_until(lambda: counts(service).of("gql_identity_subscriptions_open") == 1, 10)
            restarts = counts(service).of("gql_identity_embedded_restarts_total")
            service.database.signal(signal.SIGSTOP)
            assert service.send(WHO).status_code in (200, 503, 504)
            service.database.signal(signal.SIGKILL)
            assert b"UNAVAILABLE" in stream.read()
    wait_until(lambda: counts(service).of("gql_identity_embedded_restarts_total") == restarts + 1, 20)
    kill_a_worker(service)
    wait_until(lambda: counts(service).of("gql_identity_worker_restarts_total") >= 1, 20)
    wait_until(lambda: service.status("/readyz") == 200, 20)
    seen = counts(service)
    assert [one.name for one in metrics.SERIES if not seen.is_raised(one)] == []
    assert seen.of("gql_identity_subscriptions_ended_total", reason="database") == 1
    known = {series.name for series in metrics.SERIES}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in seen.samples} <= known


def test_what_is_refused_before_it_is_a_request_is_counted(service: Service) -> None:
    url = httpx.URL(service.url)
    with socket.create_connection((url.host, url.port)) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000)
        assert client.recv(100).startswith(b"HTTP/1.1 431 ")
    assert counts(service).of("gql_identity_limit_refusals_total", limit="head_bytes") == 1


def test_a_reader_that_takes_its_time_keeps_no_other_out(service: Service) -> None:
    url = httpx.URL(metrics_url(service))
    slow = [socket.create_connection((url.host, url.port)) for _ in range(MAX_READERS - 1)]
    try:
        assert "gql_identity_workers" in read(service).text
    finally:
        for one in slow:
            one.close()


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_the_port_and_the_files_end_with_the_service(data_dir: Path, workers: str) -> None:
    with serving(data_dir, "--workers", workers, GQL_IDENTITY_METRICS_PORT="0") as service:
        url = httpx.URL(metrics_url(service))
        assert "gql_identity_build_info" in read(service).text
        files = directories_of(service)
        assert len(files) == 1
        assert service.stop() == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((url.host, url.port or 0), 2)
        assert not files.pop().exists()


def directories_of(service: Service) -> set[Path]:
    maps = "\n".join(Path(f"/proc/{one.pid}/maps").read_text() for one in processes_of(service))
    return {Path(path) for path in re.findall(r"(/\S*gql-identity-metrics-\w+)/", maps)}


def processes_of(service: Service) -> list[Process]:
    return [Process.of(service.process.pid), *service.workers]


def test_what_a_killed_service_left_is_removed_by_the_next(tmp_path: Path, data_dir: Path) -> None:
    with serving(data_dir, GQL_IDENTITY_METRICS_PORT="0") as service:
        (left,) = directories_of(service)
        service.family()
        service.process.kill()
        service.process.wait()
        assert left.exists()
    with metrics_directory() as directory:
        assert directory.exists()
        assert not left.exists()
        with metrics_directory():  # that of a service that runs is left alone
            assert directory.exists()


def test_a_port_that_is_taken_is_a_clear_error(data_dir: Path) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        said = refused("--data-dir", str(data_dir), "--port", "0", GQL_IDENTITY_METRICS_PORT=port)
        assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use." in said
        assert "GQL_IDENTITY_METRICS_PORT" in said
    assert not data_dir.exists()


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(StartError, match="extra `otel`"):
        begin_metrics(tmp_path, is_service=True, is_worker=True)


def test_a_worker_takes_the_first_slot_that_is_free(tmp_path: Path) -> None:
    """Counts go on in the same files, however often a worker is replaced."""
    (tmp_path / "gauge_livesum_worker-0.db").write_bytes(b"of the worker before")
    assert metrics._take_slot(tmp_path) == "worker-0"
    assert metrics._take_slot(tmp_path) == "worker-1"


def test_labels_have_bounded_values() -> None:
    """A client chooses none of them: no name of an operation, no path, no id."""
    names: set[Any] = {label for series in metrics.SERIES for label in series.labels}
    assert names == {
        *("version", "python_version", "http_request_method", "http_route", "http_response_status_code"),
        *("graphql_operation_type", "outcome", "limit", "code", "door", "reason", "rate", "source", "kind"),
        *("db_operation_name", "error_type", "pool"),
    }


@pytest.mark.parametrize("missing", [1, 2])
def test_readers_without_a_free_thread_take_no_place_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    real, started = threading.Thread.start, itertools.count(1)

    def start(thread: threading.Thread) -> None:
        if next(started) % missing == 0:
            raise RuntimeError("can't start new thread")
        real(thread)

    with socket.create_server(("127.0.0.1", 0)) as listener, serving_metrics(listener, tmp_path):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            for _ in range(MAX_READERS + 1):
                with socket.create_connection(listener.getsockname(), timeout=10) as reader:
                    assert reader.recv(1) == b""
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/nothing"
        assert httpx.get(url, **HTTP).status_code == 404
