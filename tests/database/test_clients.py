"""What one client may have under way at once: requests, event streams, and large responses that it does not read."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gql_identity.secret import make_secret
from gql_identity.settings import Settings
from gql_identity.web import clients

from ..conftest import Api, Person, listening, mongo_client, running

COUNT = '{ apiKeys(input: {domainId: "d1"}) { totalCount } }'
LIST = {"domain_id": "d1", "query": {"count_only": True}}
SUBSCRIPTION = 'subscription { apiKeyChanged(input: {domainId: "d1"}) { type } }'
EVENTS = {"Accept": "text/event-stream, application/json"}
TYPENAME = "{ __typename }"
WIDE = (
    "query($i: APIKeyQuery!) { apiKeys(input: $i) { results { " + " ".join(f"n{n}: name" for n in range(30)) + " } } }"
)

# 490 kB of the longest names, which are no large response by themselves.
SMALL_PAGE = 'apiKeys(input: {domainId: "d1", query: {page: {limit: 160}}}) { results { name a: name b: name } }'


@pytest.fixture
async def one_at_once(settings: Settings) -> AsyncIterator[Api]:
    async with running(settings.model_copy(update={"max_concurrent_requests": 1})) as api:
        yield api


async def test_a_user_has_a_bound_of_requests_at_once_over_all_its_keys(one_at_once: Api) -> None:
    first, second = await one_at_once.make(), await one_at_once.make()
    another = await one_at_once.make(user_id="u2")
    for person in (first, second, another):
        assert (await one_at_once.send(COUNT, by=person)).status_code == 200
    sent = [one_at_once.send(COUNT, by=person) for person in (first, second, another) for _ in range(2)]
    responses = await asyncio.gather(*sent)
    assert Counter(response.status_code for response in responses) == {200: 2, 429: 4}
    assert 200 in {response.status_code for response in responses[4:]}  # the other user is not held back
    refused = next(response for response in responses if response.status_code == 429)
    error = refused.json()["errors"][0]
    assert error["extensions"] == {"code": "RESOURCE_EXHAUSTED", "retryAfterSeconds": 1}
    assert "max_concurrent_requests" in error["message"]
    assert refused.headers["Retry-After"] == "1"
    assert (await one_at_once.send(COUNT, by=first)).status_code == 200  # nothing is left behind


async def test_rest_and_introspection_have_the_same_bound(one_at_once: Api) -> None:
    person = await one_at_once.make()
    headers = {"Authorization": f"Bearer {person.secret}"}
    assert (await one_at_once.send(COUNT, by=person)).status_code == 200

    def send(path: str, **body: Any) -> Any:
        return one_at_once.client.post(path, headers=headers, **body)

    for path, body in (
        ("/identity/v1/api-key/list", {"json": LIST}),
        ("/introspect", {"data": {"token": (await one_at_once.make()).secret}}),
    ):
        responses = await asyncio.gather(*(send(path, **body) for _ in range(4)))
        assert Counter(response.status_code for response in responses) == {200: 1, 429: 3}, path
        refused = next(response for response in responses if response.status_code == 429)
        assert refused.headers["Retry-After"] == "1"
        assert "at once" in refused.text


async def test_without_a_key_requests_are_counted_by_address_and_valid_keys_pass(one_at_once: Api) -> None:
    person, new = await one_at_once.make(), await one_at_once.make()
    assert (await one_at_once.send(COUNT, by=person)).status_code == 200
    async with listening(one_at_once.app) as address, httpx.AsyncClient(base_url=f"http://{address}") as client:
        _, writer = await asyncio.open_connection(*address.split(":"))
        # The body never comes: until its deadline this request is under way.
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
        writer.write(head.encode())
        while (await client.post("/graphql", json={"query": TYPENAME})).status_code == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

        async def status(key: Person | str | None) -> int:
            secret = key.secret if isinstance(key, Person) else key
            headers = {"Authorization": f"Bearer {secret}"} if secret else {}
            return (await client.post("/graphql", json={"query": COUNT}, headers=headers)).status_code

        assert await status(None) == 429
        assert await status(person) == 200
        assert await status(new) == 200  # also one that was never used before
        assert await status(make_secret()) == 429
        assert (await client.get("/livez")).status_code == 200
        writer.close()
        while await status(None) == 429:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await status(make_secret()) == 401


async def test_behind_a_trusted_proxy_the_clients_own_address_is_counted_and_ipv6_by_its_network(
    settings: Settings,
) -> None:
    changed = {"max_concurrent_requests": 1, "trusted_proxies": ("127.0.0.1",)}
    async with running(Settings.model_validate(settings.model_dump() | changed)) as api:

        async def statuses(*addresses: str) -> list[int]:
            # A wrong key takes a read of the database, so the others come meanwhile.
            sent = [api.send(TYPENAME, None, make_secret(), **{"X-Forwarded-For": address}) for address in addresses]
            return [response.status_code for response in await asyncio.gather(*sent)]

        assert await statuses("192.0.2.1", "192.0.2.2") == [401, 401]
        assert sorted(await statuses("192.0.2.1", "192.0.2.1")) == [401, 429]
        assert sorted(await statuses("2001:db8::1", "2001:db8::ffff:1")) == [401, 429]
        assert await statuses("2001:db8::1", "2001:db8:0:1::1") == [401, 401]


async def test_event_streams_are_counted_apart_from_requests(one_at_once: Api) -> None:
    person = await one_at_once.make()
    headers = {"Authorization": f"Bearer {person.secret}", **EVENTS}
    async with (
        listening(one_at_once.app) as address,
        httpx.AsyncClient(base_url=f"http://{address}", headers=headers) as client,
        client.stream("POST", "/graphql", json={"query": SUBSCRIPTION}) as stream,
    ):
        assert stream.status_code == 200
        assert (await client.post("/graphql", json={"query": COUNT})).status_code == 200
        refused = await client.post("/graphql", json={"query": SUBSCRIPTION})
        assert refused.status_code == 429
        assert "event streams" in refused.text


async def test_few_large_responses_of_a_user_wait_to_be_read_over_http(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "ANSWER_SECONDS", 0.5)
    person, other = await api.make(role="USER"), await api.make(role="USER", user_id="u2")
    _insert_keys_with_long_names(api.settings, 200)
    query = {"page": {"limit": 1000}}
    body = json.dumps({"query": WIDE, "variables": {"i": {"domainId": "d1", "userId": "u1", "query": query}}}).encode()
    async with listening(api.app) as address, AsyncExitStack() as held:
        unread = [await held.enter_async_context(_sent(address, body, person)) for _ in range(clients.ANSWERS_AT_ONCE)]
        for reader in unread:
            assert b" 200 " in await reader.readline()
        reader = await held.enter_async_context(_sent(address, body, person))
        assert b" 429 " in await reader.readline()
        assert b"not read yet" in await reader.read(10_000)
        assert (await api.send(COUNT, by=person)).status_code == 200  # small ones go on
        theirs = body.replace(b'"u1"', b'"u2"')
        reader = await held.enter_async_context(_sent(address, theirs, other))
        assert b" 200 " in await reader.readline()
        assert len(await unread[0].read()) > 5_000_000
        reader = await held.enter_async_context(_sent(address, body, person))
        assert b" 200 " in await reader.readline()


async def test_a_page_of_the_audit_log_over_rest_is_a_large_response(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "ANSWER_SECONDS", 0.5)
    person = await api.make(role="USER")
    with mongo_client(api.settings) as client:
        log = client.get_default_database()["audit"]
        entry = log.find_one({"api_key_id": person.key_id})
        assert entry is not None
        tags = [{"field": "tags", "before": None, "after": [{"name": "t", "value": "x" * 16_000}] * 2}]
        log.insert_many({**entry, "_id": f"{n:032x}", "number": n, "changes": tags} for n in range(200))
    async with listening(api.app) as address, AsyncExitStack() as held:

        async def page() -> asyncio.StreamReader:
            path = "/identity/v1/api-key/audit"
            return await held.enter_async_context(_sent(address, b'{"first": 1000}', person, path))

        for _ in range(clients.ANSWERS_AT_ONCE):
            assert b" 200 " in await (await page()).readline()
        reader = await page()
        assert b" 429 " in await reader.readline()
        assert b"not read yet" in await reader.read(10_000)


async def test_a_batch_of_small_responses_that_becomes_large_is_one_of_these(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "ANSWER_SECONDS", 0.5)
    async with running(settings.model_copy(update={"max_batch": 5})) as api:
        person = await api.make(role="USER")
        _insert_keys_with_long_names(api.settings, 200)
        wide = {"query": WIDE, "variables": {"i": {"domainId": "d1", "query": {"page": {"limit": 1000}}}}}
        small = f"{{ {SMALL_PAGE} }}"
        async with listening(api.app) as address, AsyncExitStack() as held:
            for _ in range(clients.ANSWERS_AT_ONCE):
                reader = await held.enter_async_context(_sent(address, json.dumps(wide).encode(), person))
                assert b" 200 " in await reader.readline()
            sent = await api.client.post(
                "/graphql", json=[{"query": small}] * 4, headers={"Authorization": f"Bearer {person.secret}"}
            )
        *first, last = sent.json()
        assert [len(one["data"]["apiKeys"]["results"]) for one in first] == [160] * 3
        assert "not read yet" in last["errors"][0]["message"]


def _insert_keys_with_long_names(settings: Settings, number: int) -> None:
    documents = [
        {
            "_id": f"api-key-{n:032d}",
            "domain_id": "d1",
            "user_id": "u1",
            "state": "ENABLED",
            "role": "USER",
            "name": "\N{GRINNING FACE}" * 255,
            "digest": n.to_bytes(32, "big"),
            "hint": "gqlid_...0000",
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        }
        for n in range(number)
    ]
    with mongo_client(settings) as client:
        client.get_default_database()["api_keys"].insert_many(documents)


@asynccontextmanager
async def _sent(
    address: str, body: bytes, person: Person, path: str = "/graphql"
) -> AsyncIterator[asyncio.StreamReader]:
    """A connection that has sent this body; nothing of the response is read but what the caller reads."""
    reader, writer = await asyncio.open_connection(*address.split(":"), limit=4_096)
    writer.write(
        b"POST %s HTTP/1.1\r\nHost: service\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
        % (path.encode(), person.secret.encode(), len(body), body)
    )
    try:
        yield reader
    finally:
        writer.transport.abort()
