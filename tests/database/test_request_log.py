"""The line of a request in the log names the codes of its errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gql_identity.keys.statistics import KeyStatistics
from gql_identity.logs import configure_logs
from gql_identity.settings import Settings
from tests.conftest import Api, listening, running
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


def last_line(capsys: pytest.CaptureFixture[str]) -> Any:
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in lines if line["event"] == "request"][-1]


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
                assert last_line(capsys).get("codes") == codes, (query, accept)
        await api.client.put("/graphql")
        assert last_line(capsys)["codes"] == ["BAD_REQUEST"]


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
                [line] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
                assert (line["event"], line["method"], line["path"]) == ("request", "OPTIONS", path)
                assert line.get("reason") == reason
                assert line.get("origin") == (asked["Origin"] if reason else None)
    async with logging(settings) as api:  # an OPTIONS of anybody else
        await api.client.options("/graphql")
        assert "origin" not in last_line(capsys)


async def test_of_a_batch(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with logging(settings) as api:
        batch = [{"query": query} for query in (TYPENAME, "{", STATS, STATS)]
        await api.client.post("/graphql", json=batch)
        assert last_line(capsys)["codes"] == ["GRAPHQL_PARSE_FAILED", "UNAUTHENTICATED"]


async def test_of_rest_and_introspection(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with logging(settings) as api:
        user = await api.make("USER")
        headers = {"Authorization": f"Bearer {user.secret}"}
        for path, content, codes in (
            ("/identity/v1/api-key/list", {"json": {"domain_id": "d1"}}, None),
            ("/identity/v1/api-key/list", {"json": {}}, ["INVALID_ARGUMENT"]),
            ("/identity/v1/api-key/disable", {"json": {"domain_id": "d2", "api_key_id": "k"}}, ["PERMISSION_DENIED"]),
            ("/identity/v1/nothing", {"json": {}}, ["NOT_FOUND"]),
            ("/introspect", {"data": {"token": "wrong"}}, None),
            ("/introspect", {"data": {}}, ["BAD_REQUEST"]),
            ("/nothing", {}, ["NOT_FOUND"]),
        ):
            await api.client.post(path, headers=headers, **content)
            assert last_line(capsys).get("codes") == codes, path


async def test_of_an_operation_over_websocket(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    async with logging(settings) as api:
        user = await api.make("USER")
        async with listening(api.app) as address, connected(address, user) as websocket:
            for number, query, codes in (
                ("1", TYPENAME, None),
                ("2", "{ nothing }", ["GRAPHQL_VALIDATION_FAILED"]),
                ("3", OTHER_DOMAIN, ["PERMISSION_DENIED"]),
            ):
                await subscribe(websocket, number, query)
                line = last_line(capsys)
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
