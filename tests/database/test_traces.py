"""Traces: from a gateway's `traceparent` to MongoDB's command, at a collector that takes OTLP over HTTP."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog
import websockets
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from websockets.typing import Subprotocol

from gql_identity import traces
from gql_identity.errors import StartError
from gql_identity.logs import configure_logs
from gql_identity.settings import Settings
from gql_identity.telemetry import begin_traces

from ..conftest import Api, listening, running
from ..processes import WHO, Service, refused, serving, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
GET = 'query Mine($id: ID!) { apiKey(input: {domainId: "d1", apiKeyId: $id}) { state } }'


class Collector:
    """An OTLP collector on a free port, and the spans that it got."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append({one.key: one.value.string_value for one in resource.resource.attributes})
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    def of(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans if span.trace_id.hex() == trace_id]

    def wait_for(self, kind: "Span.SpanKind.ValueType", trace_id: str) -> Span:
        wait_until(lambda: any(span.kind == kind for span in self.of(trace_id)), 20)
        return next(span for span in self.of(trace_id) if span.kind == kind)


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            taking.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    taking = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield taking
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@asynccontextmanager
async def traced(settings: Settings, collector: Collector, **changes: Any) -> AsyncIterator[Api]:
    """The application in this process, whose spans the collector has when the block has ended."""
    async with running(settings.model_copy(update={"traces_endpoint": collector.url, **changes})) as api:
        yield api


@pytest.fixture(scope="module")
def all_of_it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Collector]]:
    """Two workers that send their spans."""
    with (
        collecting() as collector,
        serving(
            tmp_path_factory.mktemp("traces") / "data",
            "--workers",
            "2",
            GQL_IDENTITY_TRACES_ENDPOINT=collector.url,
            OTEL_BSP_SCHEDULE_DELAY="100",
        ) as service,
    ):
        yield service, collector


def test_a_trace_goes_from_the_gateway_through_the_service_to_mongodb(all_of_it: tuple[Service, Collector]) -> None:
    service, collector = all_of_it
    key = service.create()
    variables = {"domainId": "d", "apiKeyId": key["apiKeyId"]}
    query = """query Mine($domainId: ID!, $apiKeyId: ID!) {
      apiKey(input: {domainId: $domainId, apiKeyId: $apiKeyId}) { state } }"""
    answer = service.send(query, variables, traceparent=TRACEPARENT, tracestate="vendor=of-a-client")
    assert answer.status_code == 200
    request = collector.wait_for(Span.SPAN_KIND_SERVER, TRACE)
    assert request.parent_span_id.hex() == PARENT
    assert request.name == "POST /graphql"
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/graphql",
        "http.response.status_code": 200,
    }
    wait_until(lambda: any(span.name == "find api_keys" for span in collector.of(TRACE)), 10)
    (operation,) = [span for span in collector.of(TRACE) if span.kind == Span.SPAN_KIND_INTERNAL]
    assert operation.parent_span_id == request.span_id
    assert operation.name == "query"
    assert attributes(operation) == {"graphql.operation.type": "query"}
    reads = [span for span in collector.of(TRACE) if span.name == "find api_keys"]
    assert operation.span_id in [span.parent_span_id for span in reads]
    wanted = {"db.system.name": "mongodb", "db.operation.name": "find", "db.collection.name": "api_keys"}
    assert wanted.items() <= attributes(reads[0]).items()
    assert {"service.name": "gql-identity"}.items() <= collector.resources[0].items()
    for text in (key["apiKeyId"], service.admin_key, key["apiKey"], "Mine", "of-a-client"):
        assert text not in str(collector.spans), text


def test_log_lines_have_the_trace_also_of_a_request_that_brings_none(all_of_it: tuple[Service, Collector]) -> None:
    service, collector = all_of_it
    request_ids = [service.send(WHO).headers["X-Request-ID"] for _ in range(2)]
    request_ids.append(service.send(WHO, traceparent=TRACEPARENT).headers["X-Request-ID"])

    def lines() -> list[dict[str, Any]]:
        logged = [json.loads(line) for line in service.err.splitlines() if line.startswith("{")]
        return [line for one in request_ids for line in logged if line.get("request_id") == one]

    wait_until(lambda: len(lines()) == 3, 10)
    first, second, brought = [line["trace_id"] for line in lines()]
    assert brought == TRACE
    assert len({first, second, TRACE}) == 3
    assert collector.wait_for(Span.SPAN_KIND_SERVER, first).parent_span_id == b""


async def test_a_shared_read_is_in_the_first_trace_and_linked_to_the_others(
    settings: Settings, collector: Collector
) -> None:
    attempts = [[f"{number:032x}" for number in range(first, first + 3)] for first in range(1, 91, 3)]
    async with traced(settings, collector) as api:
        person = await api.make()
        for _ in range(3):  # then its plan is compiled, and a request takes less than a millisecond
            await api.data(GET, {"id": person.key_id}, by=person)
        for ids in attempts:
            answers = [api.send(GET, {"id": person.key_id}, person, traceparent=f"00-{one}-{PARENT}-01") for one in ids]
            await asyncio.gather(*answers)
    # On a busy machine they may come too late for one read, and the person's own key may be read again.
    reads = [
        [span for one in ids for span in collector.of(one) if span.kind == Span.SPAN_KIND_CLIENT] for ids in attempts
    ]
    ids, (read,) = next((ids, found) for ids, found in zip(attempts, reads, strict=True) if len(found) == 1)
    assert {link.trace_id.hex() for link in read.links} | {read.trace_id.hex()} == set(ids)


async def test_lists_and_creates_have_their_commands_in_the_trace(settings: Settings, collector: Collector) -> None:
    create = 'mutation { createApiKey(input: {domainId: "d1", userId: "u"}) { apiKeyId } }'
    async with traced(settings, collector) as api:
        person = await api.make()
        await api.send('{ apiKeys(input: {domainId: "d1"}) { totalCount } }', None, person, traceparent=TRACEPARENT)
        await api.send(create, None, person, traceparent=TRACEPARENT)
    names = {span.name for span in collector.of(TRACE) if span.kind == Span.SPAN_KIND_CLIENT}
    assert {"aggregate api_keys", "insert api_keys", "insert audit", "commitTransaction"} <= names


async def test_the_name_of_an_operation_is_told_only_if_its_document_is_trusted(
    settings: Settings, collector: Collector, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"1": "query Known { __typename }"}))
    async with traced(settings, collector, trusted_documents=manifest) as api:
        person = await api.make()  # its role may send any document
        await api.data("query Known { __typename }", by=person)
        await api.data("query OfAClient { __typename }", by=person)
    operations = [attributes(span) for span in collector.spans if span.kind == Span.SPAN_KIND_INTERNAL]
    assert [one.get("graphql.operation.name") for one in operations] == ["Known", None]
    assert "OfAClient" not in str(collector.spans)


async def test_errors_and_paths_tell_nothing_of_a_client(settings: Settings, collector: Collector) -> None:
    async with traced(settings, collector) as api:
        person = await api.make()
        await api.client.request(
            "BREW", f"/nothing/{person.key_id}?{person.secret}", headers={"traceparent": TRACEPARENT}
        )
        for wrong in ("00-0-0-01", TRACEPARENT.upper(), "x" * 10_000):
            await api.client.get("/identity/v1/openapi.json", headers={"traceparent": wrong})
        list_ = 'apiKeys(input: {domainId: "d1", query: {page: {limit: 1000}}}) { results { user { userId } } }'
        await api.run(
            "{ " + " ".join(f"a{number}: {list_}" for number in range(20)) + " }", by=person
        )  # costs too much
        await api.run(
            '{ apiKeys(input: {domainId: "d1", query: {keyword: "aClientsWord"}}) { totalCount } }', by=person
        )
        await api.run('{ apiKeys(input: {domainId: "d1", query: {only: ["aClientsWord"]}}) { totalCount } }', by=person)
    (unknown,) = collector.of(TRACE)
    assert unknown.name == "_OTHER"
    assert attributes(unknown) == {"http.request.method": "_OTHER", "http.response.status_code": 404}
    assert person.key_id not in str(collector.spans)
    assert "aClientsWord" not in str(collector.spans)
    assert [span.name for span in collector.spans if span.events or span.status.message] == []
    named = {span.name for span in collector.spans if span.kind == Span.SPAN_KIND_SERVER}
    assert named == {"_OTHER", "GET /identity/v1/openapi.json", "POST /graphql"}
    operations = [attributes(span) for span in collector.spans if span.kind == Span.SPAN_KIND_INTERNAL]
    assert [one.get("error.type") for one in operations] == [None, None, "INVALID_ARGUMENT"]


async def test_a_request_that_its_gateway_does_not_sample_has_no_spans(
    settings: Settings, collector: Collector
) -> None:
    async with traced(settings, collector) as api:
        person = await api.make()
        await api.send(GET, {"id": person.key_id}, person, traceparent=f"00-{TRACE}-{PARENT}-00")
    assert collector.spans == []


async def test_operations_over_websocket_and_event_streams_have_spans(settings: Settings, collector: Collector) -> None:
    async with traced(settings, collector) as api:
        person = await api.make()
        await api.send("{ __typename }", None, person, Accept="text/event-stream", traceparent=TRACEPARENT)
        headers = {"Authorization": f"Bearer {person.secret}", "traceparent": TRACEPARENT}
        async with (
            listening(api.app) as address,
            websockets.connect(
                f"ws://{address}/graphql",
                subprotocols=[Subprotocol("graphql-transport-ws")],
                additional_headers=headers,
            ) as socket,
        ):
            await socket.send('{"type": "connection_init"}')
            await socket.recv()
            subscription = 'subscription { apiKeyChanged(input: {domainId: "d1"}) { type } }'
            for number, document in enumerate(("{ __typename }", subscription)):
                message = {"type": "subscribe", "id": str(number), "payload": {"query": document}}
                await socket.send(json.dumps(message))
            await asyncio.sleep(0.5)
    names = sorted(span.name for span in collector.of(TRACE) if span.kind != Span.SPAN_KIND_CLIENT)
    assert names == ["POST /graphql", "WEBSOCKET /graphql", "WEBSOCKET /graphql", "query", "query", "subscription"]
    stream = [span for span in collector.spans if span.name in ("aggregate api_keys", "getMore api_keys")]
    assert stream == []  # the change stream serves all subscribers, and is in nobody's trace


async def test_without_the_setting_no_span_is_made_and_the_trace_is_still_logged(api: Api) -> None:
    assert not traces.is_on
    with structlog.testing.capture_logs() as lines:
        await api.client.get("/nothing", headers={"traceparent": TRACEPARENT})
    assert [line["trace_id"] for line in lines if line["event"] == "request"] == [TRACE]


@pytest.mark.slow
def test_a_collector_that_is_away_delays_neither_requests_nor_the_stop(data_dir: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with serving(data_dir, GQL_IDENTITY_TRACES_ENDPOINT=url, OTEL_BSP_SCHEDULE_DELAY="100") as service:
            for _ in range(20):
                service.data(WHO)
            wait_until(lambda: "Connection refused" in service.err, 20)
            time.sleep(3)  # the SDK tries again after one second and after two
            assert service.stop() == 0
            warnings = [line for line in service.err.splitlines() if '"level":"info"' not in line]
            assert len(warnings) == 1, warnings


async def test_probes_have_no_spans(settings: Settings, collector: Collector) -> None:
    async with traced(settings, collector) as api:
        for path in ("/livez", "/readyz"):
            assert (await api.client.get(path)).status_code == 200
        await api.client.get("/nothing", headers={"traceparent": TRACEPARENT})
    collector.wait_for(Span.SPAN_KIND_SERVER, TRACE)
    assert [span.name for span in collector.spans] == ["GET"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_wrong_variable_of_the_sdk_is_one_sentence(data_dir: Path, workers: str) -> None:
    wrong = {"GQL_IDENTITY_TRACES_ENDPOINT": "http://127.0.0.1:1", "OTEL_BSP_MAX_QUEUE_SIZE": "0"}
    said = refused("--port", "0", "--data-dir", str(data_dir), workers=[workers], **wrong)
    assert said.splitlines()[-1].startswith("gql-identity: A variable OTEL_... for traces is wrong: max_queue_size")


@pytest.mark.usefixtures("logs_as_before")
async def test_a_header_for_the_collector_that_cannot_be_read_is_not_shown(
    settings: Settings, collector: Collector, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure_logs("info", "json")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer hunter2")
    async with traced(settings, collector):
        pass
    said = capsys.readouterr().err
    assert "a header of OTEL_EXPORTER_OTLP_HEADERS is not used" in said
    assert "hunter2" not in said


@pytest.mark.slow
def test_a_collector_that_is_no_url_is_a_clear_error(data_dir: Path) -> None:
    for wrong in (
        "localhost:4318",
        "http://user:password@collector",
        "ftp://collector",
        "http://collector?x=1",
        "http://collector/v1/traces",
    ):
        said = refused("--data-dir", str(data_dir), workers=["1"], GQL_IDENTITY_TRACES_ENDPOINT=wrong)
        assert "GQL_IDENTITY_TRACES_ENDPOINT" in said
        assert "password" not in said.replace("OTEL_EXPORTER_OTLP_HEADERS", "")


def test_without_the_extra_the_error_names_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(StartError, match="extra `otel`"):
        begin_traces(settings.model_copy(update={"traces_endpoint": "http://127.0.0.1:1"}))
    assert not traces.is_on


def test_the_sdk_is_not_imported_without_the_setting() -> None:
    code = (
        "import sys, gql_identity.cli.commands, gql_identity.app;"
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', 'prometheus'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
