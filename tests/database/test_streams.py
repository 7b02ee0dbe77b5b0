"""Streams end in bounded time, and one client's connection holds little; against the real service."""

import asyncio
import json
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Scope
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from gql_identity.settings import Settings
from gql_identity.web import clients
from gql_identity.web import websocket as graphql_ws
from gql_identity.web.graphql_operations import GraphQLOperations
from gql_identity.web.handshake import may_connect

from ..conftest import Api, listening, running
from ..processes import Service, serving
from .test_subscriptions import CHANGED, connected, subscribe, told

STREAM = {"Accept": "text/event-stream", "Content-Type": "application/json"}
WIDE = 'subscription { apiKeyChanged(input: {domainId: "d"}) { apiKeyInfo { ' + (
    " ".join(f"n{n}: name" for n in range(25)) + " } } }"
)


def stuck_reader(service: Service) -> socket.socket:
    """A subscriber over SSE that has stopped reading, with more changes than all buffers hold."""
    url = httpx.URL(service.url)
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    stuck.connect((url.host, url.port))
    body = json.dumps({"query": WIDE}).encode()
    headers = {"Host": url.host, "Authorization": f"Bearer {service.admin_key}", **STREAM, "Content-Length": len(body)}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    stuck.sendall(f"POST /graphql HTTP/1.1\r\n{head}\r\n".encode() + body)
    time.sleep(1.5)
    made = service.create(name="n" * 200)
    key = f'(input: {{domainId: "d", apiKeyId: "{made["apiKeyId"]}"}}) {{ state }}'
    toggles = " ".join(f"d{n}: disableApiKey{key} e{n}: enableApiKey{key}" for n in range(10))
    for _ in range(20):
        service.data(f"mutation {{ {toggles} }}")
    return stuck


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("leaves", [False, True])
def test_it_stops_though_a_client_has_stopped_reading(tmp_path: Path, workers: str, leaves: bool) -> None:
    with serving(tmp_path / "data", "--workers", workers) as service, stuck_reader(service) as stuck:
        if leaves:
            stuck.close()
        assert service.stop(seconds=12) == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
async def test_a_database_that_hangs_ends_every_subscription_alike_and_new_ones_are_told_of_changes(
    tmp_path: Path,
) -> None:
    def changes() -> Any:
        address = service.url.removeprefix("http://")
        return connect(f"ws://{address}/graphql", subprotocols=[Subprotocol(graphql_ws.PROTOCOL)])

    async def begin(websocket: Any) -> None:
        hello = {"type": "connection_init", "payload": {"Authorization": f"Bearer {service.admin_key}"}}
        await websocket.send(json.dumps(hello))
        await websocket.recv()
        await subscribe(websocket, domainId="d")

    with serving(tmp_path / "data") as service:
        sockets = [await changes() for _ in range(3)]
        with await asyncio.to_thread(stuck_reader, service):
            for websocket in sockets:
                await begin(websocket)
            await asyncio.sleep(1.2)
            service.database.signal(signal.SIGSTOP)
            began = time.monotonic()
            try:
                ends = [await told(websocket) for websocket in sockets]
                assert time.monotonic() - began < 6
                await asyncio.sleep(max(0, began + 7 - time.monotonic()))
            finally:
                service.database.signal(signal.SIGCONT)
            assert {end["payload"][0]["extensions"]["code"] for end in ends} == {"UNAVAILABLE"}
            await asyncio.to_thread(service.wait_until_ready, 10)
            async with changes() as websocket:
                await begin(websocket)
                await asyncio.sleep(1)
                made = await asyncio.to_thread(service.create)
                kind, key = await told(websocket)
                assert (kind, key["apiKeyId"]) == ("CREATED", made["apiKeyId"])
        assert "Traceback" not in service.err
        assert "INTERNAL" not in service.err


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
@pytest.mark.slow
async def test_a_database_that_pauses_for_a_moment_ends_no_subscription(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        address = service.url.removeprefix("http://")
        async with connect(f"ws://{address}/graphql", subprotocols=[Subprotocol(graphql_ws.PROTOCOL)]) as websocket:
            hello = {"type": "connection_init", "payload": {"Authorization": f"Bearer {service.admin_key}"}}
            await websocket.send(json.dumps(hello))
            await websocket.recv()
            await subscribe(websocket, domainId="d")
            await asyncio.sleep(1)
            service.database.signal(signal.SIGSTOP)
            await asyncio.sleep(1.6)
            service.database.signal(signal.SIGCONT)
            made = await asyncio.to_thread(service.create)
            kind, key = await told(websocket)
            assert (kind, key["apiKeyId"]) == ("CREATED", made["apiKeyId"])


async def test_operations_completed_before_they_began_are_forgotten_and_their_ids_are_free(api: Api) -> None:
    system = await api.make()
    payload = {"query": CHANGED, "variables": {"i": {"domainId": "d1"}}}
    async with listening(api.app) as address, connected(address, system) as websocket:
        frames = [
            json.dumps({"type": "subscribe", "id": "1", "payload": payload}),
            json.dumps({"type": "complete", "id": "1"}),
        ]
        with_one_segment = websocket.transport
        for frame in frames * 110:
            websocket.protocol.send_text(frame.encode())
        with_one_segment.write(b"".join(websocket.protocol.data_to_send()))
        await websocket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }"}}))
        assert json.loads(await asyncio.wait_for(websocket.recv(), 5))["type"] == "next"
        assert json.loads(await asyncio.wait_for(websocket.recv(), 5)) == {"type": "complete", "id": "1"}


async def test_an_operation_past_the_bound_gets_an_error_and_the_others_go_on(api: Api) -> None:
    system = await api.make()
    payload = {"query": CHANGED, "variables": {"i": {"domainId": "d1"}}}
    async with listening(api.app) as address, connected(address, system) as websocket:
        for number in range(graphql_ws.MAX_OPERATIONS + 1):
            await websocket.send(json.dumps({"type": "subscribe", "id": str(number), "payload": payload}))
        refused = await told(websocket)
        assert (refused["type"], refused["id"]) == ("error", str(graphql_ws.MAX_OPERATIONS))
        assert refused["payload"][0]["extensions"]["code"] == "RESOURCE_EXHAUSTED"
        await websocket.send(json.dumps({"type": "ping"}))
        assert await told(websocket) == {"type": "pong"}


async def test_a_connection_without_operations_ends(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphql_ws, "IDLE_SECONDS", 0.3)
    async with listening(api.app) as address, connected(address, await api.make()) as websocket:
        await asyncio.wait_for(websocket.wait_closed(), 5)
        assert websocket.close_code == 1001


async def test_a_client_has_a_bound_of_connections(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphql_ws, "MAX_CONNECTIONS", 1)
    system, other = await api.make(), await api.make(user_id="u2")
    async with listening(api.app) as address:
        async with connected(address, system), connected(address, other):
            with pytest.raises(Exception, match="1013"):
                async with connected(address, system):
                    pass
        async with connected(address, system):
            pass


async def test_without_a_key_a_client_is_its_own_address_behind_a_trusted_proxy_and_its_network(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphql_ws, "MAX_CONNECTIONS", 1)

    async def opens(url: str, *forwarded_for: str) -> bool:
        """Whether the last of several clients may stay connected beside the others."""
        async with AsyncExitStack() as all_of_them:
            for address in forwarded_for:
                headers = {"X-Forwarded-For": address}
                connection = connect(url, subprotocols=[Subprotocol(graphql_ws.PROTOCOL)], additional_headers=headers)
                websocket = await all_of_them.enter_async_context(connection)
                await websocket.send(json.dumps({"type": "connection_init"}))
                try:
                    await websocket.recv()  # connection_ack
                except ConnectionClosed:
                    return False
        return True

    proxies = (ip_network("127.0.0.0/8"),)
    async with running(settings.model_copy(update={"trusted_proxies": proxies})) as api, listening(api.app) as address:
        url = f"ws://{address}/graphql"
        assert await opens(url, "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1")
        assert not await opens(url, "192.0.2.1", "192.0.2.1")
        assert not await opens(url, "2001:db8::1", "2001:db8::2")


async def test_few_answers_of_a_client_wait_at_one_time_on_all_its_connections(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way, most = 0, 0
    answer = GraphQLOperations.answer

    async def observed(*arguments: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        try:
            return await answer(*arguments)
        finally:
            under_way -= 1

    monkeypatch.setattr(GraphQLOperations, "answer", observed)
    system = await api.make()
    async with (
        listening(api.app) as address,
        connected(address, system) as one,
        connected(address, system) as two,
    ):
        for websocket in (one, two):
            for number in range(5):
                payload = {"query": "{ __typename }"}
                await websocket.send(json.dumps({"type": "subscribe", "id": str(number), "payload": payload}))
        for websocket in (one, two):
            kinds = [json.loads(await asyncio.wait_for(websocket.recv(), 10))["type"] for _ in range(10)]
            assert (kinds.count("next"), kinds.count("complete")) == (5, 5)
    assert most == clients.ANSWERS_AT_ONCE


async def test_two_authorization_headers_and_foreign_pages_are_refused_at_the_handshake(api: Api) -> None:
    async with listening(api.app) as address:
        url, protocols = f"ws://{address}/graphql", [Subprotocol(graphql_ws.PROTOCOL)]
        for headers in (
            [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
            [("Origin", "https://evil.example")],
        ):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, subprotocols=protocols, additional_headers=headers)
            assert refused.value.response.status_code == 403
        async with connect(url, subprotocols=protocols, origin=Origin(f"http://{address}")):
            pass


async def test_two_credentials_in_one_connection_init_are_refused(served: Service) -> None:
    url, protocols = f"ws{served.url.removeprefix('http')}/graphql", [Subprotocol(graphql_ws.PROTOCOL)]
    async with connect(url, subprotocols=protocols) as one:
        payload = {"Authorization": "Bearer wrong", "authorization": f"Bearer {served.admin_key}"}
        await one.send(json.dumps({"type": "connection_init", "payload": payload}))
        with pytest.raises(ConnectionClosed) as closed:
            await one.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403


async def test_messages_are_not_compressed(served: Service) -> None:
    async with connect(
        f"ws{served.url.removeprefix('http')}/graphql", subprotocols=[Subprotocol(graphql_ws.PROTOCOL)]
    ) as one:
        assert one.protocol.extensions == []


@pytest.mark.parametrize(
    ("origin", "host", "forwarded", "allowed"),
    [
        (None, "a.example", None, True),
        ("https://a.example", "a.example", None, True),
        ("https://a.example:8443", "a.example", None, True),
        ("http://localhost:8000", "localhost:8000", None, True),
        ("http://localhost:3000", "localhost:8000", None, False),
        ("http://localhost", "localhost:8000", None, False),
        ("https://a.example", "a.example:80", None, True),
        ("javascript://a.example", "a.example", None, False),
        ("https://evil.example", "a.example", None, False),
        ("https://a.example.evil.example", "a.example", None, False),
        ("null", "a.example", None, False),
        ("https://[", "a.example", None, False),
        ("https://page.example", "a.example", None, True),
        ("https://a.example", "127.0.0.1:8000", "a.example", True),
        ("https://evil.example", "127.0.0.1:8000", "a.example", False),
    ],
)
def test_a_page_may_connect_from_the_same_host_or_a_named_origin(
    settings: Settings, origin: str | None, host: str, forwarded: str | None, allowed: bool
) -> None:
    settings = settings.model_copy(update={"cors_origins": ("https://page.example",)})
    sent = {"host": host, "origin": origin, "x-forwarded-host": forwarded}
    headers = [(name.encode(), value.encode()) for name, value in sent.items() if value is not None]
    scope: Scope = {"type": "websocket", "headers": headers, "client": ("10.0.0.1", 1)}
    trusting = settings.model_copy(update={"trusted_proxies": Settings(trusted_proxies="10.0.0.0/8").trusted_proxies})
    assert may_connect(scope, trusting) is allowed
    if forwarded:
        assert not may_connect(scope, settings)


@pytest.mark.parametrize("frame", [b"\x89\x80\0\0\0\0", b'\x81\x8f\0\0\0\0{"type":"ping"}'], ids=["frames", "messages"])
async def test_a_flood_on_a_websocket_without_a_key_keeps_nobody_waiting(served: Service, frame: bytes) -> None:
    url, key = httpx.URL(served.url), served.create(role="USER")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")

    async def flood() -> None:
        while True:
            writer.write(frame * 5_000)
            await writer.drain()

    async def read() -> None:
        while await reader.read(1_000_000):
            pass

    tasks = [asyncio.create_task(flood()), asyncio.create_task(read())]
    await asyncio.sleep(0.5)
    begun = time.monotonic()
    await asyncio.to_thread(served.get, key["apiKeyId"])
    assert time.monotonic() - begun < 1.0  # it was the whole time of the flood
    for task in tasks:
        task.cancel()
    writer.transport.abort()


def test_a_client_that_leaves_with_its_first_message_logs_no_error(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        address = urlsplit(service.url)
        init = b'{"type":"connection_init"}'
        mask = bytes(4)
        frames = b"\x81" + bytes([0x80 | len(init)]) + mask + init + b"\x88\x82" + mask + b"\x03\xe8"
        upgrade = (
            f"GET /graphql HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )
        for _ in range(5):
            with socket.create_connection((address.hostname or "", address.port or 0)) as client:
                client.sendall(upgrade.encode() + frames)
                time.sleep(0.1)
        assert service.stop() == 0
        assert "Traceback" not in service.err
        assert "RuntimeError" not in service.err
