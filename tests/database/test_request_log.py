"""The line of a request in the log names the codes of its errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gql_identity.keys.statistics import KeyStatistics
from gql_identity.logs import configure_logs
from gql_identity.settings import Settings
from tests.conftest import Api, Person, listening, running
from tests.database.test_subscriptions import connected, subscribe

TYPENAME = "{ __typename }"
STATS = '{ apiKeyStats(input: {domainId: "d1", query: {distinct: "state"}}) }'
OTHER_DOMAIN = 'mutation { disableApiKey(input: {domainId: "d2", apiKeyId: "k"}) { id } }'

pytestmark = pytest.mark.usefixtures("logs_as_before")


@asynccontextmanager
async def logging(settings: Settings) -> AsyncIterator[Api]:
    """The application, which logs to the standard error of now."""
    configure_logs("info", "json")
    async with running(settings.model_copy(update={"max_batch": 5})) as api:
        yield api


async def last_line(capsys: pytest.CaptureFixture[str]) -> Any:
    await asyncio.sleep(0)  # lines of requests that end in one turn of the event loop are written when it ends
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in lines if line["event"] == "request"][-1]


async def line_of(websocket: ClientConnection, number: str, query: str, capsys: pytest.CaptureFixture[str]) -> Any:
    """The line of an operation over this WebSocket, once it has ended."""
    await websocket.send(json.dumps({"type": "subscribe", "id": number, "payload": {"query": query}}))
    while json.loads(await asyncio.wait_for(websocket.recv(), 30))["type"] not in ("complete", "error"):
        pass
    while not (said := capsys.readouterr().err):  # noqa: ASYNC110 - the log has no event
        await asyncio.sleep(0.01)
    return [json.loads(line) for line in said.splitlines()][-1]


async def test_of_graphql_over_http(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with logging(settings) as api:
        user = await api.make("USER")
        for query, by, codes in (
            (TYPENAME, user, None),
            ("{ nothing }", user, ["GRAPHQL_VALIDATION_FAILED"]),
            (OTHER_DOMAIN, user, ["PERMISSION_DENIED"]),
            (STATS, None, ["UNAUTHENTICATED"]),
            (TYPENAME, "wrong", ["UNAUTHENTICATED"]),
        ):
            for accept in ("application/json", "text/event-stream"):
                await api.send(query, by=by, Accept=accept)
                assert (await last_line(capsys)).get("codes") == codes, (query, accept)
        await api.client.put("/graphql")
        assert (await last_line(capsys))["codes"] == ["BAD_REQUEST"]


async def test_of_a_refused_preflight(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    named = settings.model_copy(update={"cors_origins": ("https://page.example",)})
    other = settings.model_copy(update={"cors_origins": ("https://other.example",)})
    for some, method, reason in (
        (settings, "POST", "GQL_IDENTITY_CORS_ORIGINS does not name this origin"),
        (other, "POST", "GQL_IDENTITY_CORS_ORIGINS does not name this origin"),
        (named, "DELETE", "CORS allows GET, HEAD, POST"),
        (named, "POST", None),
    ):
        async with logging(some) as api:
            for path in ("/graphql", "/identity/v1/api-key/list"):
                await api.client.options(path, headers=asked | {"Access-Control-Request-Method": method})
                await asyncio.sleep(0)
                [line] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
                assert (line["event"], line["method"], line["path"]) == ("request", "OPTIONS", path)
                assert line.get("reason") == reason
                assert line.get("origin") == (asked["Origin"] if reason else None)
    async with logging(settings) as api:  # an OPTIONS of anybody else
        await api.client.options("/graphql")
        assert "origin" not in await last_line(capsys)


async def test_of_a_batch(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with logging(settings) as api:
        batch = [{"query": query} for query in (TYPENAME, "{", STATS, STATS)]
        await api.client.post("/graphql", json=batch)
        assert (await last_line(capsys))["codes"] == ["GRAPHQL_PARSE_FAILED", "UNAUTHENTICATED"]


async def test_of_rest_and_introspection(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with logging(settings) as api:
        user = await api.make("USER")
        headers = {"Authorization": f"Bearer {user.secret}"}
        for path, content, codes in (
            ("/identity/v1/api-key/list", {"json": {"domain_id": "d1"}}, None),
            ("/identity/v1/api-key/list", {"json": {"domain_id": 1}}, ["INVALID_ARGUMENT"]),
            ("/identity/v1/api-key/disable", {"json": {"domain_id": "d2", "api_key_id": "k"}}, ["PERMISSION_DENIED"]),
            ("/identity/v1/nothing", {"json": {}}, ["NOT_FOUND"]),
            ("/introspect", {"data": {"token": "wrong"}}, None),
            ("/introspect", {"data": {}}, ["BAD_REQUEST"]),
            ("/nothing", {}, ["NOT_FOUND"]),
        ):
            await api.client.post(path, headers=headers, **content)
            assert (await last_line(capsys)).get("codes") == codes, path


async def test_of_an_operation_over_websocket(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with logging(settings) as api:
        user = await api.make("USER")
        async with listening(api.app) as address, connected(address, user) as websocket:
            capsys.readouterr()
            for number, query, codes in (
                ("1", TYPENAME, None),
                ("2", "{ nothing }", ["GRAPHQL_VALIDATION_FAILED"]),
                ("3", OTHER_DOMAIN, ["PERMISSION_DENIED"]),
            ):
                line = await line_of(websocket, number, query, capsys)
                assert (line["method"], line.get("codes")) == ("WEBSOCKET", codes)
                assert line["duration_ms"] >= 0


@pytest.mark.parametrize("path", ["graphql", "rest", "websocket"])
async def test_of_a_fault_of_ours(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async with logging(settings) as api:
        user = await api.make("USER")

        async def fail(*_: Any) -> None:
            raise ZeroDivisionError("the inside of the service")

        monkeypatch.setattr(KeyStatistics, "stats", fail)
        if path == "graphql":
            await api.send(STATS, by=user)
        elif path == "rest":
            message = {"domain_id": "d1", "query": {"distinct": "state"}}
            headers = {"Authorization": f"Bearer {user.secret}"}
            await api.client.post("/identity/v1/api-key/stat", json=message, headers=headers)
        else:
            async with listening(api.app) as address, connected(address, user) as websocket:
                await subscribe(websocket, "1", STATS)
                answer = json.loads(await asyncio.wait_for(websocket.recv(), 5))
                assert answer["payload"]["errors"][0]["extensions"]["code"] == "INTERNAL"
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        cause, request = (line for line in lines if line["event"] in ("unexpected error", "request"))
        assert request["codes"] == ["INTERNAL"]
        assert cause["request_id"] == request["request_id"]
        assert "the inside of the service" in cause["exception"]


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_it_says_who_asked_for_what_and_from_where(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    behind_a_proxy = settings.model_copy(update={"trusted_proxies": (ip_network("127.0.0.1"),)})
    async with logging(behind_a_proxy) as api:
        user = await api.make("USER", "d9", "u9")
        traceparent = f"00-{TRACE}-00f067aa0ba902b7-01"
        api.client.headers["X-Forwarded-For"] = "10.1.2.3, 203.0.113.7"
        answer = await api.send("query Name { __typename }", by=user, traceparent=traceparent)
        del api.client.headers["X-Forwarded-For"]
        line = await last_line(capsys)
        assert line.pop("timestamp")
        assert line.pop("duration_ms") >= 0
        assert line == {
            "event": "request",
            "level": "info",
            "request_id": answer.headers["x-request-id"],
            "method": "POST",
            "path": "/graphql",
            "operation": "Name",
            "operation_type": "query",
            "status": 200,
            "bytes": len(answer.content),
            "key_id": user.key_id,
            "domain_id": "d9",
            "role": "USER",
            "address": "203.0.113.7",
            "trace_id": TRACE,
        }
        headers = {"Authorization": f"Bearer {user.secret}"}
        answer = await api.client.post("/identity/v1/api-key/list", json={"domain_id": "d9"}, headers=headers)
        line = await last_line(capsys)
        assert (line["operation"], line["key_id"], line["bytes"]) == ("list", user.key_id, len(answer.content))
        await api.send(TYPENAME, by="wrong")
        line = await last_line(capsys)
        assert (line["status"], line["address"], line.get("key_id")) == (401, "127.0.0.1", None)
        await api.client.head("/graphql", params={"query": TYPENAME})
        assert (await last_line(capsys))["bytes"] == 0


async def test_a_caller_above_its_rate_limit_is_named(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with logging(settings.model_copy(update={"requests_per_minute": 1})) as api:
        user = await api.make("USER")
        await api.send(TYPENAME, by=user)
        await api.send(TYPENAME, by=user)
        line = await last_line(capsys)
        assert (line["status"], line["codes"], line["key_id"]) == (429, ["RESOURCE_EXHAUSTED"], user.key_id)


@pytest.mark.parametrize(
    "traceparent", [f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{TRACE.upper()}-00f067aa0ba902b7-01", TRACE, ""]
)
async def test_an_invalid_traceparent_is_not_logged(
    settings: Settings, capsys: pytest.CaptureFixture[str], traceparent: str
) -> None:
    async with logging(settings) as api:
        await api.send(TYPENAME, traceparent=traceparent)
        assert "trace_id" not in await last_line(capsys)


async def test_probes_have_no_line(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with logging(settings) as api:
        for path in ("/livez", "/readyz"):
            assert (await api.client.get(path)).status_code == 200
        assert capsys.readouterr().err == ""
        await api.send(TYPENAME)  # lines are still written at once when nothing else runs
        assert (await last_line(capsys))["path"] == "/graphql"


async def test_an_operation_over_websocket_has_the_status_of_its_error_s_code(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with logging(settings.model_copy(update={"max_cost": 100})) as api:
        user = await api.make("USER")
        long_list = '{ apiKeys(input: {domainId: "d1", query: {page: {limit: 500}}}) { results { id } } }'
        async with listening(api.app) as address, connected(address, user) as websocket:
            for number, query, status, kind in (
                ("1", TYPENAME, 200, "query"),
                ("2", OTHER_DOMAIN, 200, "mutation"),
                ("3", "{ nothing }", 400, None),
                ("4", long_list, 429, "query"),
            ):
                line = await line_of(websocket, number, query, capsys)
                assert (line["status"], line.get("operation_type")) == (status, kind)
                assert (line["key_id"], line["address"]) == (user.key_id, "127.0.0.1")
                assert line["bytes"] > 20
            headers = {"Authorization": f"Bearer {(await api.make('SYSTEM')).secret}"}
            message = {"domain_id": "d1", "api_key_id": user.key_id}
            await api.client.post("/identity/v1/api-key/disable", json=message, headers=headers)
            line = await line_of(websocket, "5", TYPENAME, capsys)
            assert (line["status"], line["codes"], line.get("key_id")) == (401, ["UNAUTHENTICATED"], None)


async def test_a_websocket_that_is_refused_has_a_line(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with logging(settings) as api, listening(api.app) as address:
        with pytest.raises(ConnectionClosed):
            async with connected(address, Person("", "wrong", "", "")):
                pass
        audited, line = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert (audited["event"], audited["action"], audited["outcome"]) == ("audit", "AUTHENTICATED", "NOT_FOUND")
        assert (line["event"], line["code"], line["reason"]) == ("websocket closed", 4403, "Forbidden")
        assert line["address"] == "127.0.0.1"
