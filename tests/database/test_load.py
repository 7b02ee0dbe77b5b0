"""A minute of everything at once: no error, and nothing that grows."""

import asyncio
import json
import os
import random
import resource
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.asyncio.client import connect

from ..conftest import Api, listening
from ..processes import CREATE, GET, Service, serving

# For a longer or shorter look.
SECONDS = float(os.environ.get("TEST_LOAD_SECONDS", "60"))
CLIENTS = 16
MORE_MEMORY_BYTES = 30_000_000  # an allocator keeps what it once had: a leak of 2 kB a request would be more

LIST = """query($d: ID!) { apiKeys(input: {domainId: $d, query: {page: {limit: 20}}}) {
  totalCount results { apiKeyId name state } } }"""
STATS = """query($d: ID!) { apiKeyStats(input: {domainId: $d, query: {aggregate: [
  {group: {keys: [{key: "state", name: "state"}], fields: [{operator: COUNT, name: "count"}]}}]}}) }"""
CHANGE = "mutation($d: ID!, $k: ID!) { %s(input: {domainId: $d, apiKeyId: $k}) { apiKeyId } }"
VERIFY = "mutation($s: String!) { verifyApiKey(input: {apiKey: $s}) { valid code } }"
CHANGED = "subscription($d: ID!) { apiKeyChanged(input: {domainId: $d}) { type apiKeyInfo { apiKeyId } } }"


class Held(NamedTuple):
    """What a process holds."""

    memory_bytes: int
    files: int
    threads: int

    @classmethod
    def by(cls, service: Service) -> "Held":
        process = Path(f"/proc/{service.process.pid}")
        status = (process / "status").read_text()
        return cls(
            int((process / "statm").read_text().split()[1]) * resource.getpagesize(),
            len(list((process / "fd").iterdir())),
            int(status.partition("Threads:")[2].split()[0]),
        )


class Client:
    """One of many: it does one thing after the other, and counts what became of each."""

    def __init__(self, number: int, service: Service, owner: str, outcomes: Counter[str]) -> None:
        self._random = random.Random(number)
        self._service = service
        self._owner = owner
        self._outcomes = outcomes
        self._domain = "load"
        self._keys: list[Any] = []

    async def run(self, until: float) -> None:
        async with httpx.AsyncClient(base_url=self._service.url, timeout=30, trust_env=False) as self._http:
            while time.monotonic() < until:
                doing = self._random.choices(
                    [
                        self._create,
                        self._read,
                        self._page,
                        self._change,
                        self._verify,
                        self._err,
                        self._rest,
                        self._follow,
                    ],
                    [15, 25, 10, 10, 20, 10, 8, 2],
                )[0]
                await doing()
                self._outcomes[doing.__name__.strip("_")] += 1

    async def _ask(self, query: str, variables: Any, by: str | None = None) -> Any:
        answer = await self._http.post(
            "/graphql",
            json={"query": query, "variables": variables},
            headers={"Authorization": f"Bearer {by or self._owner}"},
        )
        content = answer.json()
        if "errors" in content:
            self._outcomes[f"error {content['errors'][0]['message']}"] += 1
        return content.get("data") or {}

    async def _create(self) -> None:
        data = await self._ask(CREATE, {"domainId": self._domain, "userId": f"u{self._random.randrange(5)}"})
        self._keys.append(data["createApiKey"])
        if len(self._keys) > 10:
            await self._delete(self._keys.pop(0))

    async def _delete(self, key: Any) -> None:
        await self._ask(CHANGE % "deleteApiKey", {"d": self._domain, "k": key["apiKeyId"]})

    async def _read(self) -> None:
        if self._keys:
            key = self._random.choice(self._keys)
            # Documents of its own, so that caches of documents fill.
            await self._ask(
                GET.replace("Get", f"Get{self._random.randrange(5_000)}"),
                {"domainId": self._domain, "apiKeyId": key["apiKeyId"]},
            )

    async def _page(self) -> None:
        await self._ask(self._random.choice([LIST, STATS]), {"d": self._domain})

    async def _change(self) -> None:
        if self._keys:
            key = self._random.choice(self._keys)
            for change in ("disableApiKey", "enableApiKey"):
                await self._ask(CHANGE % change, {"d": self._domain, "k": key["apiKeyId"]})

    async def _verify(self) -> None:
        if self._keys:
            key = self._random.choice(self._keys)
            await self._ask(VERIFY, {"s": self._random.choice([key["apiKey"], "x", key["apiKey"][:-1] + "0"])})
            await self._ask("{ __typename }", None, by=key["apiKey"])

    async def _err(self) -> None:
        number = self._random.random()
        requests: list[dict[str, Any]] = [
            {"json": {"query": f"{{ nothing{number:.9f} }}".replace(".", "")}},
            {"json": {"query": "{"}},
            {"json": [1]},
            {"content": b"x" * 300_000, "headers": {"Content-Type": "application/json"}},
            {"json": {"query": "{ __typename }"}, "headers": {"Authorization": f"Bearer wrong{number}"}},
            {"json": {"query": "{ __typename }"}, "headers": {"X-Forwarded-For": str(number)}},
        ]
        for sent in self._random.choices(requests, k=2):
            answer = await self._http.post("/graphql", **sent)
            if answer.status_code >= 500:
                self._outcomes[f"error {answer.text}"] += 1

    async def _rest(self) -> None:
        headers = {"Authorization": f"Bearer {self._owner}"}
        message = {"domain_id": self._domain, "query": {"page": {"limit": 5}}}
        answer = await self._http.post("/identity/v1/api-key/list", json=message, headers=headers)
        asked = await self._http.post("/introspect", data={"token": "x"}, headers=headers)
        if (answer.status_code, asked.status_code) != (200, 200):
            self._outcomes[f"error {answer.text} {asked.text}"] += 1

    async def _follow(self) -> None:
        """Follow changes over a WebSocket or a stream until one comes or a moment has passed, then leave somehow."""
        if self._random.random() < 0.5:
            await self._follow_stream()
            return
        url = self._service.url.replace("http", "ws") + "/graphql"
        payload = {"query": CHANGED, "variables": {"d": self._domain}}
        async with connect(url, subprotocols=["graphql-transport-ws"]) as websocket:  # type: ignore[list-item]
            init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {self._owner}"}}
            await websocket.send(json.dumps(init))
            await websocket.recv()
            for number in range(3):
                await websocket.send(json.dumps({"type": "subscribe", "id": str(number), "payload": payload}))
            message = await self._within_a_moment(websocket.recv())
            if message is not None and json.loads(message)["type"] != "next":
                self._outcomes[f"error {message}"] += 1
            if self._random.random() < 0.5:
                await websocket.send(json.dumps({"type": "complete", "id": "0"}))
            if self._random.random() < 0.5:
                websocket.transport.abort()

    async def _follow_stream(self) -> None:
        headers = {"Authorization": f"Bearer {self._owner}", "Accept": "text/event-stream"}
        body = {"query": CHANGED, "variables": {"d": self._domain}}
        async with self._http.stream("POST", "/graphql", json=body, headers=headers) as answer:
            if answer.status_code != 200:
                self._outcomes[f"error {answer.status_code} on a stream"] += 1
            await self._within_a_moment(anext(answer.aiter_lines()))

    async def _within_a_moment(self, waiting: Any) -> Any:
        try:
            return await asyncio.wait_for(waiting, 0.5)
        except TimeoutError:
            return None


@pytest.mark.slow
def test_a_minute_of_mixed_load_make_no_error_and_nothing_grows(tmp_path: Path) -> None:
    outcomes: Counter[str] = Counter()
    held: list[Held] = []
    with serving(
        tmp_path / "data",
        GQL_IDENTITY_FAILED_CREDENTIALS_PER_MINUTE="0",
        GQL_IDENTITY_CREATES_PER_MINUTE="0",
        GQL_IDENTITY_LOG_LEVEL="warning",
    ) as service:
        owner = service.create("owner", "load", role="DOMAIN_OWNER")["apiKey"]
        quiet = Held.by(service)

        async def load() -> None:
            until = time.monotonic() + SECONDS
            clients = [
                asyncio.create_task(Client(number, service, owner, outcomes).run(until)) for number in range(CLIENTS)
            ]
            while not all(client.done() for client in clients):
                await asyncio.sleep(SECONDS / 60)
                held.append(Held.by(service))
            await asyncio.gather(*clients)

        asyncio.run(load())
        time.sleep(3)  # the last connections are noticed to have gone
        after = Held.by(service)
        logged = service.err
    print(outcomes, quiet, after, held[len(held) // 2], held[-1])  # noqa: T201 - shown where it fails
    assert not [outcome for outcome in outcomes if outcome.startswith("error")]
    assert "unexpected error" not in logged
    assert "never retrieved" not in logged
    assert "Traceback" not in logged
    # The first quarter fills caches; then the third is as the last.
    third, last = held[len(held) // 4 : len(held) // 2], held[3 * len(held) // 4 :]
    assert median(one.memory_bytes for one in last) - median(one.memory_bytes for one in third) < MORE_MEMORY_BYTES
    assert median(one.files for one in last) <= median(one.files for one in third) + CLIENTS
    assert after.files <= quiet.files + 2 * CLIENTS + 8  # the driver keeps connections to the database
    assert after.threads <= max(one.threads for one in third) + CLIENTS  # those for the database come as needed


def _own_tasks() -> int:
    """How many tasks there are, without those of the driver, which begin with its first read."""
    return sum("/pymongo/" not in repr(task) for task in asyncio.all_tasks())


async def test_who_leaves_leaves_no_task_behind(api: Api) -> None:
    system = await api.make()
    async with listening(api.app) as address:
        before = _own_tasks()
        payload = {"query": CHANGED, "variables": {"d": "d1"}}
        init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {system.secret}"}}
        for number in range(12):
            async with connect(f"ws://{address}/graphql", subprotocols=["graphql-transport-ws"]) as websocket:  # type: ignore[list-item]
                await websocket.send(json.dumps(init))
                await websocket.recv()
                for operation in range(3):
                    await websocket.send(json.dumps({"type": "subscribe", "id": str(operation), "payload": payload}))
                if number % 3:
                    await asyncio.sleep(0.05)
                if number % 2:
                    websocket.transport.abort()
        headers = {"Authorization": f"Bearer {system.secret}", "Accept": "text/event-stream"}
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            for _ in range(6):
                async with client.stream("POST", "/graphql", json=payload, headers=headers) as answer:
                    assert answer.status_code == 200
        for _ in range(100):
            if _own_tasks() > before:
                await asyncio.sleep(0.05)
        assert _own_tasks() <= before
        assert await api.data("{ __typename }", by=system)
