"""Which of our functions serve a request, in which order: `python -m tests.trace_request`.

The service runs in this process: uvicorn in a thread, and a real database. `sys.setprofile` records the calls in all
threads. docs/architecture.md tells the same way in words, and tests/conformance/test_architecture.py compares the two.
"""

import asyncio
import gc
import http.client
import inspect
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import uvicorn
from pydantic import SecretStr

import gql_identity
from gql_identity.app import create_app
from gql_identity.server.protocol import Protocol
from gql_identity.server.server import Server
from gql_identity.settings import Settings
from gql_identity.storage.embedded import EmbeddedDatabase

from .conftest import PEPPER, Person, running

PACKAGE = Path(gql_identity.__file__).parent
DOCUMENTS = {
    "apiKey": "query ($input: GetAPIKeyRequest!) { apiKey(input: $input) { apiKeyId name state } }",
    "createApiKey": "mutation ($input: CreateAPIKeyRequest!) { createApiKey(input: $input) { apiKeyId apiKey } }",
}
RUNS = 3  # the first run is by graphql-core, the second compiles the document, the third has what it needs
CACHE_SECONDS = 0.6  # after this the credential is read from the database again
BACKGROUND = {"keep_writing", "keep_removing_marks", "repeat", "prepare", "_prepare"}  # tasks that belong to no request
_RESUMED = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class Call(NamedTuple):
    """A function of ours that was called."""

    file: str
    function: str


class Trace:
    """The calls of our functions while it is on, in all threads that are started after it was made."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._is_on = False
        self._frames: list[FrameType] = []  # kept, so that none of their ids is used again
        self._known: set[int] = set()

    @contextmanager
    def on(self) -> Iterator[None]:
        """Record the calls of this block."""
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False
            self._frames.clear()
            self._known.clear()

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """What `sys.setprofile` calls at each call and return."""
        if not self._is_on or event != "call":
            return
        code = frame.f_code
        path = Path(code.co_filename)
        if not path.is_relative_to(PACKAGE) or code.co_name.startswith("<"):
            return
        if code.co_flags & _RESUMED:  # each time that a coroutine goes on is a call, too
            if id(frame) in self._known:
                return
            self._known.add(id(frame))
            self._frames.append(frame)
        if not _in_background(frame):
            self.calls.append(Call(path.relative_to(PACKAGE).as_posix(), code.co_qualname))


def _in_background(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name in BACKGROUND and Path(frame.f_code.co_filename).is_relative_to(PACKAGE):
            return True
        frame = frame.f_back
    return False


def trace_requests(settings: Settings) -> dict[str, list[list[Call]]]:
    """The calls of each operation's first, second and third run, by the operation's name."""
    person = asyncio.run(_first_key(settings))
    inputs = {
        "apiKey": {"domainId": person.domain_id, "apiKeyId": person.key_id},
        "createApiKey": {"domainId": person.domain_id, "userId": "ann", "name": "traced"},
    }
    traces: dict[str, list[list[Call]]] = {name: [] for name in DOCUMENTS}
    trace = Trace()
    with _serving(settings, trace) as port:
        for name, document in DOCUMENTS.items():
            for run in range(RUNS):
                time.sleep(CACHE_SECONDS)
                trace.calls = []
                # Another text each time: what an Accept header asks for is cached.
                accept = f"application/json;q=0.{run + 1}{len(name)}"
                with trace.on():
                    answer = _send(
                        port, person.secret, accept, {"query": document, "variables": {"input": inputs[name]}}
                    )
                    time.sleep(0.1)  # the line in the log is written after the response
                assert answer["data"][name]["apiKeyId"], answer
                traces[name].append(trace.calls)
    return traces


async def _first_key(settings: Settings) -> Person:
    async with running(settings) as api:
        return await api.make()


@contextmanager
def _serving(settings: Settings, trace: Trace) -> Iterator[int]:
    """The service in a thread of this process; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            lambda: create_app(settings), factory=True, http=Protocol, log_config=None, access_log=False
        )
        server = Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        threading.setprofile(trace.profile)
        try:
            thread.start()
            while not server.started:
                assert thread.is_alive(), "the service did not start"
                time.sleep(0.02)
            yield listener.getsockname()[1]
        finally:
            threading.setprofile(None)
            server.should_exit = True
            thread.join()
            gc.unfreeze()  # the server has frozen what this process had made


def _send(port: int, secret: str, accept: str, request: dict[str, Any]) -> Any:
    """Send a request in one packet, on a connection of its own, and return the response's JSON."""
    body = json.dumps(request).encode()
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {secret}\r\n"
        f"Accept: {accept}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head.encode() + body)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return json.loads(response.read())


def print_way(calls: list[Call]) -> None:
    """Print each function once, where it is called first, and how often it is called."""
    for call in dict.fromkeys(calls):
        print(f"  {call.file:28} {call.function:48} {calls.count(call):4}")


def main() -> None:
    """Trace the operations that were named, or all."""
    names = sys.argv[1:] or list(DOCUMENTS)
    with tempfile.TemporaryDirectory() as folder, EmbeddedDatabase(Path(folder)) as database:
        traces = trace_requests(Settings(mongo_uri=SecretStr(database.uri), pepper=SecretStr(PEPPER)))
    for name in names:
        for run, calls in enumerate(traces[name], 1):
            print(f"{name}, run {run}: {len(calls)} calls in {len({call.file for call in calls})} files")
            print_way(calls)


if __name__ == "__main__":
    main()
