"""What metrics and traces cost G and V: where they are off, and where the metrics are on.

Off: how often a request calls into `metrics` and `traces`, times what such a call takes. On: CPU time of rounds of two
applications in turn, one of which counts. All in this process, without an HTTP server, 32 requests at a time.

    python benchmarks/telemetry.py 2>/dev/null
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
import timeit
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from strawberry import ID

from gql_identity import metrics, traces
from gql_identity.app import create_app
from gql_identity.logs import configure_logs
from gql_identity.messages.requests import CreateAPIKeyRequest
from gql_identity.messages.values import APIKeyRole
from gql_identity.settings import Settings
from gql_identity.storage.embedded import EmbeddedDatabase

CLIENTS, REQUESTS, ROUNDS = 32, 1_600, int(os.environ.get("ROUNDS", "10"))
KEY = "apiKeyId name state role createdAt"
DOCUMENTS = {
    "G": "query G($input: GetAPIKeyRequest!) { apiKey(input: $input) { %s } }" % KEY,  # noqa: UP031
    "V": "mutation V($input: VerifyAPIKeyRequest!) { verifyApiKey(input: $input) { valid code } }",
}
# A call of each function where nothing is on; others count as the dearest of them.
CALLS = {
    "add": lambda: metrics.OPERATIONS.add("query", "OK"),
    "observe": lambda: metrics.COST.observe(1),
    "begin_request": lambda: traces.begin_request((), "POST", "/graphql"),
    "operation": lambda: traces.operation("query", None).__enter__(),
    "is_traced": traces.is_traced,
    "current": traces.current,
    "carried": lambda: traces.carried(len),  # type: ignore[arg-type]
}


class App:
    """An application, and a request for each operation."""

    def __init__(self, app: Any, secret: str, key_id: str) -> None:
        self._app = app
        inputs = {"G": {"domainId": "d1", "apiKeyId": key_id}, "V": {"apiKey": secret}}
        self._bodies = {
            name: json.dumps({"query": document, "variables": {"input": inputs[name]}}).encode()
            for name, document in DOCUMENTS.items()
        }
        self._headers = [(b"content-type", b"application/json"), (b"authorization", f"Bearer {secret}".encode())]

    async def ask(self, name: str) -> None:
        """Send one request; fails unless it has data."""
        body, sent = self._bodies[name], bytearray()
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
        scope |= {"path": "/graphql", "raw_path": b"/graphql", "query_string": b"", "root_path": ""}
        scope |= {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1), "headers": list(self._headers), "state": {}}
        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            return next(messages, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            sent.extend(message.get("body", b""))

        await self._app(scope, receive, send)
        if b'"errors"' in sent or b'"data"' not in sent:
            raise RuntimeError(sent.decode())

    async def round(self, name: str, requests: int = REQUESTS) -> float:
        """The CPU time of a request, in microseconds."""

        async def client() -> None:
            for _ in range(requests // CLIENTS):
                await self.ask(name)

        began = time.process_time()
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        return (time.process_time() - began) / requests * 1e6


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[App]:
    """The application, with a key of its own."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        wanted = CreateAPIKeyRequest(domain_id=ID("d1"), user_id=ID("u1"), role=APIKeyRole.SYSTEM)
        key = await app.state.api_keys.create(wanted, None)
        yield App(app, str(key.api_key), key.api_key_id)


def nanoseconds() -> dict[str, float]:
    """What one call takes where nothing is on, by its function."""
    return {name: min(timeit.repeat(call, number=20_000, repeat=5)) / 20_000 * 1e9 for name, call in CALLS.items()}


async def calls(app: App, name: str) -> Counter[str]:
    """The calls into both modules for 64 requests, by their function."""
    files, found = {metrics.__file__, traces.__file__}, Counter[str]()

    def note(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename in files:
            found[frame.f_code.co_name] += 1

    sys.setprofile(note)
    await app.round(name, 64)
    sys.setprofile(None)
    return found


async def main(uri: str, directory: Path) -> None:
    """Measure, and print a line for each operation."""
    settings = Settings(mongo_uri=SecretStr(uri), pepper=SecretStr("p" * 32))
    async with AsyncExitStack() as stack:
        off = await stack.enter_async_context(running(settings))
        for name in DOCUMENTS:
            await off.round(name)
        each, called = nanoseconds(), {name: await calls(off, name) for name in DOCUMENTS}
        # What an application listens to in the driver is decided when it is made.
        metrics.begin(directory, is_service=True, is_worker=True, version="0")
        on = await stack.enter_async_context(running(settings))
        for name in DOCUMENTS:
            took: dict[str, list[float]] = {"off": [], "on": []}
            await on.round(name)
            for _ in range(ROUNDS):
                for series in metrics.SERIES:
                    series.is_on = False
                took["off"].append(await off.round(name))
                for series in metrics.SERIES:
                    series.is_on = True
                took["on"].append(await on.round(name))
            alone = statistics.median(took["off"])
            dearest = max(each.values())
            share = sum(each.get(call, dearest) * number for call, number in called[name].items()) / 64 / 1000
            ratio = statistics.median(b / a for a, b in zip(took["off"], took["on"], strict=True))
            print(
                f"{name}: {alone:.0f} µs of CPU; off, {called[name].total() / 64:.1f} calls take {share:.2f} µs "
                f"({share / alone:.1%}); on, {ratio:.3f} times the CPU; {dict(called[name])}"
            )


if __name__ == "__main__":
    configure_logs("info", "json")
    with tempfile.TemporaryDirectory() as data, EmbeddedDatabase(Path(data)) as database:
        counts = Path(data) / "counts"
        counts.mkdir()
        asyncio.run(main(database.uri, counts))
