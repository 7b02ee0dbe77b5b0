"""Large responses: what bounds them, the turns that they take, and what a client does while they are sent."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pymongo
import pytest
import uvicorn
from uvicorn.server import ServerState

from gql_identity.server.protocol import Protocol
from gql_identity.server.websocket import WebSocketProtocol
from gql_identity.storage.embedded import running_uri

from ..conftest import Api, Person, mongo_client, running
from ..processes import Service, serving
from .test_turns import Turns
from .test_websocket_frames import HANDSHAKE, accepted, connected, message, next_frame

NAME = "\N{GRINNING FACE}" * 255  # the most bytes that a name may have
NAMES = " ".join(f"n{n}: name" for n in range(29))
PAGE = 'apiKeys(input: {domainId: "d1", query: {page: {limit: 1000}}}) { results { %s } }'
SMALL = {"max_response_bytes": 1_000_000, "max_batch": 3}
CODE, LIMIT = "INVALID_ARGUMENT", "the limit `max_response_bytes`"


def documents(number: int) -> list[dict[str, Any]]:
    stored = {"domain_id": "d1", "user_id": "u1", "state": "ENABLED", "disabled_rank": 0, "role": "USER", "hint": "h"}
    return [
        {"_id": f"api-key-{n:032x}", **stored, "name": NAME, "digest": b"%032d" % n, "created_at": datetime.now(UTC)}
        for n in range(number)
    ]


@pytest.fixture
async def reader(api: Api) -> Person:
    """A key, among a thousand of its user with the longest names."""
    person = await api.make("USER", "d1", "u1")
    with mongo_client(api.settings) as client:
        client.get_default_database().api_keys.insert_many(documents(999))
    return person


async def test_a_response_past_its_bound_is_an_error(api: Api, reader: Person) -> None:
    body = {"domain_id": "d1", "query": {"page": {"limit": 1000}}}
    headers = {"Authorization": f"Bearer {reader.secret}"}
    async with running(api.settings.model_copy(update=SMALL)) as small:
        answer = await small.send(f"{{ {PAGE % 'name a: name'} }}", by=reader)
        assert answer.status_code == 200
        (error,) = answer.json()["errors"]
        assert answer.json()["data"] is None
        assert error["extensions"]["code"] == CODE
        assert LIMIT in error["message"]
        assert "a: " not in answer.text
        events = await small.send(f"{{ {PAGE % 'name a: name'} }}", by=reader, Accept="text/event-stream")
        assert events.text.startswith('event: next\ndata: {"data":null,"errors":[')
        assert events.text.endswith("}\n\nevent: complete\ndata:\n\n")
        rest = await small.client.post("/identity/v1/api-key/list", json=body, headers=headers)
        assert rest.status_code == 400
        assert rest.json()["error"]["code"] == CODE
        assert LIMIT in rest.json()["error"]["message"]
        whole = await small.send(f"{{ {PAGE.replace('1000', '900') % 'name'} }}", by=reader)
        assert len(whole.json()["data"]["apiKeys"]["results"]) == 900


async def test_lists_of_keys_with_many_tags_or_scopes_are_large_responses_too(api: Api) -> None:
    person = await api.make("USER", "d1", "u1")
    tags = [{"name": f"t{n}", "value": "\N{GRINNING FACE}" * 120} for n in range(32)]
    scopes = [f"{n:040}" for n in range(100)]
    with mongo_client(api.settings) as client:
        keys = [key | {"tags": tags, "scopes": scopes} for key in documents(200)]
        client.get_default_database().api_keys.insert_many(keys)
    page = 'apiKeys(input: {domainId: "d1", query: {page: {limit: 200}}}) { results { %s } }'
    async with running(api.settings.model_copy(update=SMALL)) as small:
        for fields in ("tags { name value }", "tags { value }", "scopes a: scopes"):
            answer = await small.send(f"{{ {page % fields} }}", by=person)
            (error,) = answer.json()["errors"]
            assert LIMIT in error["message"], fields


async def test_the_responses_of_a_batch_have_the_bound_together(api: Api, reader: Person) -> None:
    query = {"query": f"{{ {PAGE.replace('1000', '500') % 'name'} }}"}
    async with running(api.settings.model_copy(update=SMALL)) as small:
        headers = {"Authorization": f"Bearer {reader.secret}"}
        sent = await small.client.post("/graphql", json=[query, query, {"query": "{ __typename }"}], headers=headers)
        first, second, third = sent.json()
    assert len(first["data"]["apiKeys"]["results"]) == 500
    assert second["data"] is None
    assert LIMIT in second["errors"][0]["message"]
    assert third == {"data": {"__typename": "Query"}}


async def test_small_responses_of_a_batch_have_the_bound_together_too(api: Api, reader: Person) -> None:
    page = {"query": f"{{ {PAGE.replace('1000', '160') % 'name a: name b: name'} }}"}  # 490 kB
    made = " ".join(f"n{n}: name" for n in range(20))
    create = {
        "query": f'mutation($n: String) {{ createApiKey(input: {{domainId: "d1", userId: "u1", name: $n}}) '
        f"{{ apiKey {made} }} }}",
        "variables": {"n": NAME},
    }
    async with running(api.settings.model_copy(update=SMALL | {"max_batch": 6})) as small:
        headers = {"Authorization": f"Bearer {reader.secret}"}
        batch = [page, page, page, create, create, page]
        sent = await small.client.post("/graphql", json=batch, headers=headers)
        *pages, late, made_one, not_made, refused = sent.json()
        assert [len(one["data"]["apiKeys"]["results"]) for one in pages] == [160] * 2
        assert late["data"] is None
        assert made_one["data"]["createApiKey"]["apiKey"].startswith("gqlid_")  # more bytes than are left
        for one in (late, not_made, refused):
            (error,) = one["errors"]
            assert error["extensions"]["code"] == CODE
            assert "this batch have more than 1000000 bytes: the limit `max_response_bytes`" in error["message"]
        assert "data" not in not_made
        assert "data" not in refused
        count = '{ apiKeys(input: {domainId: "d1"}) { totalCount } }'
        assert (await small.data(count, by=reader))["apiKeys"]["totalCount"] == 1_001


async def test_a_large_response_over_a_websocket_is_never_handled_whole(api: Api, reader: Person) -> None:
    query = f"{{ {PAGE % NAMES} }}"
    longest = 1.0
    async with speaking(api) as port:
        for _ in range(3):  # a busy machine makes a turn longer
            with Turns() as turns:
                text = await asyncio.to_thread(over_websocket, port, reader.secret, query)
            longest = min(longest, turns.longest)
    assert len(text) > 29_000_000
    began = time.thread_time()
    text.decode()
    assert longest < time.thread_time() - began


@asynccontextmanager
async def speaking(api: Api) -> AsyncIterator[int]:
    """The service's own protocols in this process, on a port."""
    config = uvicorn.Config(
        api.app, http=Protocol, ws=WebSocketProtocol, proxy_headers=False, lifespan="off", log_config=None
    )
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: Protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


def over_websocket(port: int, secret: str, query: str) -> bytearray:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(HANDSHAKE % (b"/graphql", b"Authorization: Bearer " + secret.encode() + b"\r\n"))
        accepted(connection).sendall(message(type="connection_init"))
        next_frame(connection)
        connection.sendall(message(type="subscribe", id="1", payload={"query": query}))
        text = bytearray()
        while True:
            _, payload = next_frame(connection)
            if payload == b'{"type":"complete","id":"1"}':
                return text
            text += payload


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose database has a thousand keys with the longest names."""
    with serving(tmp_path_factory.mktemp("large") / "data") as service:
        uri = running_uri(service.data_dir)
        assert uri is not None
        with pymongo.MongoClient[dict[str, Any]](uri) as client:
            client.get_default_database()["api_keys"].insert_many(documents(1_000))
        yield service


@pytest.mark.slow
def test_an_operation_that_is_completed_while_its_response_is_sent_leaves_the_connection_whole(
    service: Service,
) -> None:
    with connected(service, headers=f"Authorization: Bearer {service.admin_key}\r\n".encode()) as connection:
        accepted(connection).sendall(message(type="connection_init"))
        next_frame(connection)
        connection.sendall(message(type="subscribe", id="1", payload={"query": f"{{ {PAGE % NAMES} }}"}))
        first, text = next_frame(connection)
        assert first == 0x01  # the first of many fragments
        time.sleep(1)  # the rest waits: it is more than the sockets' buffers hold
        connection.sendall(message(type="complete", id="1") + message(type="ping"))
        time.sleep(0.5)
        while first & 0x80 == 0:
            first, more = next_frame(connection)
            text += more
        assert len(json.loads(text)["payload"]["data"]["apiKeys"]["results"]) == 1_000
        assert next_frame(connection) == (0x81, b'{"type":"pong"}')
        assert '"level":"error"' not in service.err
