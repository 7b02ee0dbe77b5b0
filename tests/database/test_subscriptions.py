"""`apiKeyChanged`: over WebSocket and as server-sent events, against a real server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gql_identity.execution.executor import Executor
from gql_identity.execution.operation import Operation
from gql_identity.settings import Settings
from gql_identity.web import websocket as graphql_ws
from tests.conftest import Api, Person, listening, mongo_client, running

CHANGED = """subscription($i: APIKeyChangedRequest!) {
    apiKeyChanged(input: $i) { type apiKeyInfo { apiKeyId state userId apiKey } } }"""


@pytest.fixture
async def address(api: Api) -> AsyncIterator[str]:
    async with listening(api.app) as address:
        yield address


@asynccontextmanager
async def connected(address: str, by: Person | None) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{address}/graphql", subprotocols=[graphql_ws.PROTOCOL]) as websocket:  # type: ignore[list-item]
        payload = {"Authorization": f"Bearer {by.secret}"} if by else {}
        await websocket.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert json.loads(await websocket.recv()) == {"type": "connection_ack"}
        yield websocket


async def subscribe(websocket: ClientConnection, number: str = "1", query: str = CHANGED, **input: Any) -> None:
    payload = {"query": query, "variables": {"i": {"domainId": "d1"} | input}}
    await websocket.send(json.dumps({"type": "subscribe", "id": number, "payload": payload}))
    await asyncio.sleep(0.3)  # there is no word that a subscription has begun


async def told(websocket: ClientConnection) -> Any:
    message = json.loads(await asyncio.wait_for(websocket.recv(), 5))
    if message["type"] != "next":
        return message
    change = message["payload"]["data"]["apiKeyChanged"]
    return change["type"], change["apiKeyInfo"]


async def change(api: Api, name: str, by: Person, target: Person) -> None:
    query = f"mutation($i: APIKeyRequest!) {{ {name}(input: $i) {{ apiKeyId }} }}"
    await api.data(query, {"i": {"domainId": target.domain_id, "apiKeyId": target.key_id}}, by)


async def test_a_subscription_without_a_domain_follows_the_callers_own(api: Api, address: str) -> None:
    system = await api.make(domain_id="d9")
    mine, other = [await api.make("USER", domain) for domain in ("d9", "d1")]
    async with connected(address, system) as websocket:
        await subscribe(websocket, domainId=None)
        for person in (other, mine):
            await change(api, "disableApiKey", system, person)
        assert (await told(websocket))[1]["apiKeyId"] == mine.key_id
        for wrong in ({"domainId": ""}, {"userId": ""}):
            await subscribe(websocket, "2", **wrong)
            assert "give 1 to 255 characters" in str(await told(websocket)), wrong


async def test_each_change_is_told_with_the_key_and_a_use_is_not(api: Api, address: str) -> None:
    system = await api.make(domain_id="d9")
    async with running(api.settings) as another_worker, connected(address, system) as websocket:
        await subscribe(websocket)
        user = await another_worker.make("USER", "d1", "ann")
        await another_worker.send("{ __typename }", by=user)
        await another_worker.uses_written()
        for name in ("disableApiKey", "enableApiKey", "deleteApiKey"):
            await change(another_worker, name, system, user)
        key = {"apiKeyId": user.key_id, "userId": "ann", "apiKey": None}
        assert [await told(websocket) for _ in range(4)] == [
            ("CREATED", key | {"state": "ENABLED"}),
            ("DISABLED", key | {"state": "DISABLED"}),
            ("ENABLED", key | {"state": "ENABLED"}),
            ("DELETED", key | {"state": "ENABLED"}),
        ]


async def test_a_subscription_outlasts_the_deadline_of_a_request(settings: Settings) -> None:
    query = """subscription($i: APIKeyChangedRequest!) {
        apiKeyChanged(input: $i) { type apiKeyInfo { user { apiKeys { totalCount } } } } }"""
    async with running(settings.model_copy(update={"operation_timeout_seconds": 0.3})) as api:
        system = await api.make(user_id="admin")
        async with listening(api.app) as address, connected(address, system) as websocket:
            await subscribe(websocket, query=query)
            await asyncio.sleep(0.3)
            await api.make("USER", "d1", "ann")
            assert await told(websocket) == ("CREATED", {"user": {"apiKeys": {"totalCount": 1}}})


async def test_a_subscriber_is_told_of_keys_within_reach_alone(api: Api, address: str) -> None:
    user, owner = await api.make("USER", "d1", "u1"), await api.make("DOMAIN_OWNER", "d1", "boss")
    async with connected(address, user) as by_user, connected(address, owner) as by_owner:
        await subscribe(by_user)
        await subscribe(by_owner, userId="u1")
        for role, domain, someone in (("USER", "d2", "u1"), ("SYSTEM", "d1", "u1"), ("USER", "d1", "u2")):
            await api.make(role, domain, someone)
        promoted, own = await api.make("DOMAIN_OWNER", "d1", "u1"), await api.make("USER", "d1", "u1")
        assert (await told(by_user))[1]["apiKeyId"] == own.key_id
        assert (await told(by_owner))[1]["apiKeyId"] == promoted.key_id
        assert (await told(by_owner))[1]["apiKeyId"] == own.key_id


async def test_what_may_not_be_followed_is_refused(api: Api, address: str) -> None:
    user = await api.make("USER", "d1", "u1")
    async with connected(address, user) as websocket:
        await subscribe(websocket, domainId="d2")
        refused = await told(websocket)
        assert refused["type"] == "error"
        assert refused["payload"][0]["extensions"]["code"] == "PERMISSION_DENIED"
    async with connected(address, None) as websocket:
        await subscribe(websocket)
        assert (await told(websocket))["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("how", ["disableApiKey", "deleteApiKey"])
async def test_a_subscriber_whose_key_is_revoked_is_cut_off_within_a_second(api: Api, address: str, how: str) -> None:
    system, user = await api.make(), await api.make("USER", "d1", "u1")
    async with running(api.settings) as another_worker, connected(address, user) as websocket:
        await subscribe(websocket, userId="nobody")
        await change(another_worker, how, system, user)
        answered = time.monotonic()
        cut = await told(websocket)
        assert time.monotonic() - answered < 1
        assert cut["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        await subscribe(websocket, "2")
        assert (await told(websocket))["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("how", ["drop", "rename"])
async def test_subscribers_are_told_that_the_collection_is_gone(
    api: Api, address: str, settings: Settings, how: str
) -> None:
    system = await api.make(domain_id="d9")
    async with connected(address, system) as websocket:
        await subscribe(websocket)
        with mongo_client(settings) as client:
            keys = client.get_default_database().api_keys
            stored = list(keys.find())
            if how == "drop":
                keys.drop()
            else:
                keys.rename("old_api_keys")
            # So that the subscriber's own key is still there.
            client.get_default_database().api_keys.insert_many(stored)
        message = await told(websocket)
        assert message["type"] == "error", message
        assert message["payload"][0]["extensions"]["code"] == "UNAVAILABLE"
        # Another subscription follows the collection that is there now.
        await subscribe(websocket, "2")
        user = await api.make("USER", "d1", "ann")
        kind, key = await told(websocket)
        assert (kind, key["apiKeyId"]) == ("CREATED", user.key_id)


async def test_queries_mutations_and_bad_documents_are_answered_on_the_same_connection(api: Api, address: str) -> None:
    system = await api.make()
    async with connected(address, system) as websocket:
        for number, (query, expected) in enumerate(
            (
                ("{ __typename }", {"data": {"__typename": "Query"}}),
                ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
                ("{", "GRAPHQL_PARSE_FAILED"),
            )
        ):
            await websocket.send(json.dumps({"type": "subscribe", "id": str(number), "payload": {"query": query}}))
            message = json.loads(await websocket.recv())
            if isinstance(expected, str):
                assert message["payload"][0]["extensions"]["code"] == expected
            else:
                assert message == {"type": "next", "id": str(number), "payload": expected}
                assert json.loads(await websocket.recv()) == {"type": "complete", "id": str(number)}


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["not json"], 4400),
        (["1"], 4400),
        (['{"type": "unheard of"}'], 4400),
        (['{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }"}}'], 4401),
        (['{"type": "connection_init"}'] * 2, 4429),
        (['{"type": "connection_init", "payload": 1}'], 4400),
        (['{"type": "connection_init", "payload": {"authorization": "Bearer wrong"}}'], 4403),
        ([b"bytes"], 4400),
    ],
)
async def test_a_client_that_breaks_the_protocol_is_shut_out(address: str, messages: list[Any], code: int) -> None:
    async with connect(f"ws://{address}/graphql", subprotocols=[graphql_ws.PROTOCOL]) as websocket:  # type: ignore[list-item]
        for message in messages:
            await websocket.send(message)
        async with asyncio.timeout(5):
            await websocket.wait_closed()
        assert websocket.close_code == code


async def test_who_does_not_introduce_itself_is_shut_out(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphql_ws, "INIT_SECONDS", 0.1)
    async with connect(f"ws://{address}/graphql", subprotocols=[graphql_ws.PROTOCOL]) as websocket:  # type: ignore[list-item]
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(websocket.recv(), 5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4408


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_changes_come_as_server_sent_events_too(api: Api, address: str, method: str) -> None:
    system = await api.make(domain_id="d9")
    headers = {"Authorization": f"Bearer {system.secret}", "Accept": "text/event-stream"}
    fields: dict[str, Any] = {"query": CHANGED, "variables": {"i": {"domainId": "d1"}}}
    sent: dict[str, Any] = {"json": fields}
    if method == "GET":
        sent = {"params": fields | {"variables": json.dumps(fields["variables"])}}
    async with (
        httpx.AsyncClient(timeout=10) as client,
        client.stream(method, f"http://{address}/graphql", headers=headers, **sent) as answer,
    ):
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        await asyncio.sleep(0.3)
        user = await api.make("USER")
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: next"
        data = (await anext(lines)).removeprefix("data: ")
        assert json.loads(data)["data"]["apiKeyChanged"]["apiKeyInfo"]["apiKeyId"] == user.key_id


def only_event(answer: httpx.Response) -> Any:
    """The JSON of a stream's one event."""
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    start, end = "event: next\ndata: ", "\n\nevent: complete\ndata:\n\n"
    assert answer.text.startswith(start)
    assert answer.text.endswith(end)
    return json.loads(answer.text.removeprefix(start).removesuffix(end))


async def test_a_refusal_to_a_client_that_takes_only_streams_comes_in_the_stream(api: Api) -> None:
    system = await api.make()
    cases: list[tuple[str, dict[str, Any], str | None, str, str]] = [
        ("POST", {"json": {"query": CHANGED}}, "gqlid_wrong", "UNAUTHENTICATED", "Invalid API key"),
        ("GET", {"params": {"query": CHANGED}}, "gqlid_wrong", "UNAUTHENTICATED", "Invalid API key"),
        ("GET", {"params": {"query": CHANGED}}, system.secret, "BAD_USER_INPUT", "$i"),
        ("GET", {"params": {"query": "mutation { __typename }"}}, system.secret, "BAD_REQUEST", "by POST"),
        ("GET", {"params": {"query": "{"}}, system.secret, "GRAPHQL_PARSE_FAILED", "Syntax Error"),
        ("POST", {"content": b"{"}, system.secret, "BAD_REQUEST", "Content-Type"),
        ("PUT", {}, None, "BAD_REQUEST", "GET or POST"),
    ]
    for method, sent, secret, code, message in cases:
        headers = {"Accept": "text/event-stream"} | ({"Authorization": f"Bearer {secret}"} if secret else {})
        answer = await api.client.request(method, "/graphql", headers=headers, **sent)
        [error] = only_event(answer)["errors"]
        assert (answer.status_code, error["extensions"]["code"]) == (200, code), answer.text
        assert message in error["message"]
    # Who takes JSON too gets it, with the status of HTTP.
    headers = {"Accept": "text/event-stream, application/json", "Authorization": "Bearer gqlid_wrong"}
    answer = await api.client.get("/graphql", params={"query": CHANGED}, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(("method", "query"), [("execute", "{ __typename }"), ("stream", CHANGED)])
async def test_a_fault_of_ours_comes_in_the_stream(
    api: Api, monkeypatch: pytest.MonkeyPatch, method: str, query: str
) -> None:
    system = await api.make()

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("the inside of the service")

    monkeypatch.setattr(Executor, method, fail)
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {system.secret}"}
    fields = {"query": query, "variables": {"i": {"domainId": "d1"}}}

    answer = await api.client.post("/graphql", json=fields, headers=headers)

    [error] = only_event(answer)["errors"]
    assert error["extensions"] == {"code": "INTERNAL", "id": answer.headers["X-Request-ID"]}
    assert "inside" not in answer.text


async def test_a_fault_of_ours_in_a_batch_takes_no_other_response_with_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings.model_copy(update={"max_batch": 5})) as api:
        system = await api.make()
        execute = Executor.execute

        async def fail(executor: Executor, operation: Operation, *arguments: Any, **named: Any) -> Any:
            if operation.name == "Bad":
                raise ZeroDivisionError("the inside of the service")
            return await execute(executor, operation, *arguments, **named)

        monkeypatch.setattr(Executor, "execute", fail)
        create = 'mutation { createApiKey(input: {userId: "u", domainId: "d1"}) { apiKey } }'
        batch = [{"query": query} for query in (create, "query Bad { __typename }", "{ __typename }")]
        headers = {"Authorization": f"Bearer {system.secret}"}

        answer = await api.client.post("/graphql", json=batch, headers=headers)

        created, bad, last = answer.json()
        assert created["data"]["createApiKey"]["apiKey"].startswith("gqlid_")
        assert bad["errors"][0]["extensions"] == {"code": "INTERNAL", "id": answer.headers["X-Request-ID"]}
        assert last == {"data": {"__typename": "Query"}}


async def test_a_response_that_cannot_be_written_is_an_error_of_its_operation(
    api: Api, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = await api.make()

    async def fail(*_: Any) -> None:
        raise ZeroDivisionError("the inside of the service")

    async with connected(address, system) as websocket:
        with monkeypatch.context() as changed:
            changed.setattr(graphql_ws, "answer_json", fail)
            await subscribe(websocket, "1", "{ __typename }")
        message = await told(websocket)
        assert (message["type"], message["id"]) == ("error", "1")
        assert message["payload"][0]["extensions"]["code"] == "INTERNAL"
        await subscribe(websocket, "1", "{ __typename }")  # the id is free, and the connection goes on
        assert json.loads(await websocket.recv())["payload"] == {"data": {"__typename": "Query"}}


async def test_a_subscription_by_head_is_refused(api: Api) -> None:
    system = await api.make()
    headers = {"Authorization": f"Bearer {system.secret}", "Accept": "text/event-stream, application/json"}
    fields = {"query": CHANGED, "variables": '{"i": {"domainId": "d1"}}'}
    answer = await asyncio.wait_for(api.client.head("/graphql", params=fields, headers=headers), 5)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")


async def test_a_plain_request_is_not_streamed_whatever_else_it_accepts(api: Api, address: str) -> None:
    system = await api.make()
    accept = "application/graphql-response+json, application/json, text/event-stream, multipart/mixed"
    answer = await api.send("{ __typename }", by=system, Accept=accept)
    assert answer.headers["Content-Type"].startswith("application/graphql-response+json")
    for accept in ("*/*", "application/json, text/event-stream;q=0", "text/event-stream;q=0.0"):
        refused = await api.send(CHANGED, {"i": {"domainId": "d1"}}, system, Accept=accept)
        assert refused.status_code == 400
        assert "text/event-stream" in refused.json()["errors"][0]["message"]
    only = await api.send("{ __typename }", by=system, Accept="text/event-stream, application/json;q=0")
    assert only.headers["Content-Type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 1\r\n\r\n",
        b"Content-Length: 300000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",
    ],
    ids=["not sent", "too large", "without an end"],
)
async def test_the_body_of_a_get_is_ignored(
    settings: Settings, framing: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    query = urlencode({"query": CHANGED, "variables": json.dumps({"i": {"domainId": "d1"}})})
    async with (
        running(settings.model_copy(update={"body_timeout_seconds": 0.3, "max_body_bytes": 10_000})) as api,
        listening(api.app) as address,
    ):
        system = await api.make()
        head = f"GET /graphql?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {system.secret}\r\n"
        reader, writer = await asyncio.open_connection(*address.split(":"))
        writer.write(f"{head}Accept: text/event-stream\r\n".encode() + framing)
        assert await reader.readuntil(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        await asyncio.sleep(0.6)
        user = await api.make("USER")
        assert user.key_id.encode() in await asyncio.wait_for(reader.readuntil(b'"apiKey":null'), 5)
        writer.close()
        # A file is sent in the same way: its response waits for a disconnect too.
        reader, writer = await asyncio.open_connection(*address.split(":"))
        writer.write(b"GET /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nConnection: close\r\n" + framing)
        assert b"</html>" in await asyncio.wait_for(reader.read(), 5)
        writer.close()
    logged = capfd.readouterr()
    assert "unexpected error" not in logged.out + logged.err
    assert "Traceback" not in logged.out + logged.err


@pytest.mark.parametrize("framing", [b"Content-Length: 300000\r\n\r\n", b"Content-Length: 1\r\n\r\n"])
async def test_a_client_of_streams_is_told_that_its_body_is_refused(
    settings: Settings, framing: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        running(settings.model_copy(update={"body_timeout_seconds": 0.3, "max_body_bytes": 10_000})) as api,
        listening(api.app) as address,
    ):
        reader, writer = await asyncio.open_connection(*address.split(":"))
        head = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
        writer.write(head + framing)
        said = await asyncio.wait_for(reader.read(), 10)
        assert b"BAD_REQUEST" in said
        assert b"event: complete" in said
        writer.close()
    logged = capfd.readouterr()
    assert "unexpected error" not in logged.out + logged.err
    assert "Traceback" not in logged.out + logged.err
