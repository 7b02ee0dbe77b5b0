"""What these tests share: the keys that the query language's ask for, and what is read of the database."""

import asyncio
import os
import secrets
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import pymongo
import pytest
from pymongo import monitoring
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect

from gql_identity.cli import main
from tests.database.plain_reading import KEYS


@pytest.fixture(scope="module")
def stored(database_server: str) -> Iterator[Collection[Any]]:
    """A collection with the keys, their indexes, and another domain's keys between them."""
    name = f"test_{secrets.token_hex(8)}"
    with pymongo.MongoClient[Any](database_server, tz_aware=True, timeoutMS=20_000) as client:
        keys = client[name]["api_keys"]
        for index in (["domain_id", "_id"], ["domain_id", "user_id", "_id"], ["domain_id", "state", "_id"]):
            keys.create_index([(part, 1) for part in index])
        keys.insert_many(
            [key for one in reversed(KEYS) for key in (one, {**one, "_id": f"{one['_id']}~", "domain_id": "d2"})]
        )
        yield keys
        client.drop_database(name)


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, logs_as_before: None) -> Run:
    """Run a command in this process, which takes a tenth of the time of one of its own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        for name in [name for name in os.environ if name.startswith("GQL_IDENTITY_")]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        return subprocess.CompletedProcess(arguments, end.value.code, *capsys.readouterr())  # type: ignore[arg-type]

    return run


class Listener(monitoring.CommandListener):
    """Hears of no command: a listener says which events it takes."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        pass

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


class Reads(Listener):
    """The commands that read keys, or another collection, from one database, as the driver sends them.

    Not look-ups of a caller's own key: each is cached for half a second, so that their number depends on the time. Nor
    the look for keys whose end is near, which a service begins as it starts.
    """

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.sent: list[dict[str, Any]] = []
        self.database: str | None = None
        self.collection = "api_keys"
        self.under_way: set[int] = set()
        self.most_at_once = 0
        self.on_loop: list[bool] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        reads = event.command_name in ("find", "aggregate", "getMore", "count", "distinct")
        condition = event.command.get("filter", {})
        digest = condition.get("digest")
        of_a_caller = digest is not None and not (isinstance(digest, dict) and len(digest.get("$in", [])) > 1)
        is_asked_for = not of_a_caller and "notice_at" not in condition
        is_there = event.database_name == self.database and self.collection in event.command.values()
        if reads and is_asked_for and is_there:
            self.commands.append(event.command_name)
            self.sent.append(dict(event.command))
            self.on_loop.append(threading.current_thread() is threading.main_thread())
            self.under_way.add(event.request_id)
            self.most_at_once = max(self.most_at_once, len(self.under_way))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self.under_way.discard(event.request_id)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self.under_way.discard(event.request_id)


READS = Reads()
monitoring.register(READS)  # for the clients that are made from now on


@pytest.fixture
def reads(settings: Any) -> Iterator[list[str]]:
    """The names of the commands that read keys of the test's database from now on."""
    READS.database = pymongo.uri_parser.parse_uri(settings.mongo_uri.get_secret_value())["database"]
    READS.commands.clear()
    READS.sent.clear()
    READS.on_loop.clear()
    READS.most_at_once = 0
    yield READS.commands
    READS.database = None


@pytest.fixture
def reads_of(reads: list[str]) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """The commands that read a collection of the test's database, named now, as the service sends them from now on."""

    def begin(collection: str) -> list[dict[str, Any]]:
        READS.collection = collection
        READS.sent.clear()
        READS.most_at_once = 0
        return READS.sent

    yield begin
    READS.collection = "api_keys"


def lose_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the connection be lost at each commit of a transaction, so that its outcome is unknown."""

    def lose(_: ClientSession) -> None:
        raise AutoReconnect("connection closed")

    monkeypatch.setattr(ClientSession, "commit_transaction", lose)


class Meanwhile(Listener):
    """Has something happen just before a command is sent to the database, as another request may come in between."""

    def __init__(self) -> None:
        self.is_awaited: Callable[[str, dict[str, Any]], bool] | None = None
        self.happen: Callable[[], Coroutine[Any, Any, object]] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.is_awaited is None or not self.is_awaited(event.command_name, dict(event.command)):
            return
        self.is_awaited = None
        assert self.happen is not None
        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(self.happen(), self.loop).result(10)


MEANWHILE = Meanwhile()
monitoring.register(MEANWHILE)

Before = Callable[[Callable[[str, dict[str, Any]], bool], Callable[[], Coroutine[Any, Any, object]]], None]


@pytest.fixture
async def before() -> AsyncIterator[Before]:
    """Name a command of the database, and what happens before it is sent for the first time."""
    MEANWHILE.loop = asyncio.get_running_loop()

    def set_(is_awaited: Any, happen: Any) -> None:
        MEANWHILE.is_awaited, MEANWHILE.happen = is_awaited, happen

    yield set_
    is_left, MEANWHILE.is_awaited = MEANWHILE.is_awaited is not None, None
    assert not is_left, "the command was not sent"
