"""A request that takes too long: what its earlier fields and operations returned is kept, and each write is named."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from math import inf
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from pymongo import monitoring
from websockets.asyncio.client import connect

from gql_identity.deadlines import DEADLINE, LAST_SECONDS, ends_in_time, note_write
from gql_identity.errors import DeadlineExceeded, Unavailable
from gql_identity.keys import credentials
from gql_identity.schema.operations import Mutation
from gql_identity.settings import Settings
from gql_identity.storage.embedded import EmbeddedDatabase
from gql_identity.timeouts import end_all_by
from gql_identity.web.deadline import in_time
from gql_identity.web.graphql_operations import refused
from gql_identity.web.websocket import PROTOCOL
from tests.conftest import PEPPER, Api, Person, listening, running

from .conftest import Listener

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")

SECONDS = 1.5  # for a request; less than the five for a call of the database
INPUT = '(input: {domainId: "d1", userId: "u"})'
CREATE = f"mutation {{ a: createApiKey{INPUT} {{ apiKeyId apiKey }} }}"
THREE = " ".join(f"{name}: createApiKey{INPUT} {{ apiKeyId apiKey }}" for name in "abc")
AFTER_A_WRITE = "audit"  # the service checks that the embedded engine has stored a transaction
UNKNOWN = {"DEADLINE_EXCEEDED", "UNAVAILABLE"}


def freeze(pid: int) -> None:
    """Stop a process; returns when all of its threads have stopped, which takes a while on a busy machine."""
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + 5
    while any(_state(thread) != "T" for thread in Path(f"/proc/{pid}/task").iterdir()) and time.monotonic() < end:
        time.sleep(0.001)


def _state(thread: Path) -> str:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


class Freezing(Listener):
    """Freezes the embedded engine, once, behind a read of one collection."""

    def __init__(self) -> None:
        self.pid: int | None = None  # of the engine to freeze
        self.collection = ""
        self._looks: set[int] = set()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.pid is not None and event.command.get("find") == self.collection:
            self._looks.add(event.request_id)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if event.request_id in self._looks and self.pid is not None:
            self._looks.clear()
            freeze(self.pid)
            self.pid = None


class LookUps(Listener):
    """Counts the reads of keys by their secrets, of all databases."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if "digest" in event.command.get("filter", {}):
            self.count += 1


LOOK_UPS = LookUps()
monitoring.register(LOOK_UPS)
FREEZING = Freezing()
monitoring.register(FREEZING)  # for the clients of this process that are made from now on; it does nothing unasked


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase(tmp_path_factory.mktemp("engine") / "data") as engine:
        yield engine


@pytest.fixture
async def hurried(engine: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    # A caller that was read stays known: on a busy machine half a second may pass before the engine is frozen.
    monkeypatch.setattr(credentials, "CACHE_SECONDS", 60.0)
    settings = Settings(
        mongo_uri=SecretStr(engine.uri),
        pepper=SecretStr(PEPPER),
        log_level="error",
        operation_timeout_seconds=SECONDS,
        max_batch=150,
    )
    async with running(settings) as api:
        yield api


@contextmanager
def frozen(engine: EmbeddedDatabase, behind: str | None = AFTER_A_WRITE) -> Iterator[None]:
    assert engine.pid is not None
    if behind is not None:
        FREEZING.collection, FREEZING.pid = behind, engine.pid
    else:
        freeze(engine.pid)
    try:
        yield
    finally:
        FREEZING.pid = None
        os.kill(engine.pid, signal.SIGCONT)


async def known(api: Api, by: Person) -> None:
    """Have the caller read now: it is known from then on."""
    assert await api.data("{ __typename }", by=by)


@pytest.fixture
async def system(hurried: Api) -> Person:
    """A caller that is known."""
    caller = await hurried.make()
    await known(hurried, caller)
    return caller


async def send_batch(api: Api, queries: list[str], by: Person) -> httpx.Response:
    headers = {"Authorization": f"Bearer {by.secret}"}
    return await api.client.post("/graphql", json=[{"query": query} for query in queries], headers=headers)


async def stored(api: Api, key_id: str, by: Person) -> Any:
    query = "query($i: GetAPIKeyRequest!) { apiKey(input: $i) { userId } }"
    return (await api.data(query, {"i": {"domainId": "d1", "apiKeyId": key_id}}, by))["apiKey"]


@asynccontextmanager
async def busy_from(seconds: float) -> AsyncIterator[None]:
    """Has each turn of the event loop take 8 ms, so many seconds from now on."""

    async def turn() -> None:
        await asyncio.sleep(seconds)
        while True:
            time.sleep(0.008)  # noqa: ASYNC251 - as much work of others would
            await asyncio.sleep(0)

    task = asyncio.create_task(turn())
    try:
        yield
    finally:
        task.cancel()


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


def is_whole(key: Any) -> bool:
    return bool(key["apiKeyId"].startswith("api-key-") and key["apiKey"].startswith("gqlid_"))


def check_three(answer: Any) -> None:
    """The first field has its secret, the second one names its key, and the third one says that it did nothing."""
    data, (second, third) = answer["data"], answer["errors"]
    assert is_whole(data["a"])
    assert data["b"] is data["c"] is None
    assert (second["path"], third["path"]) == (["b"], ["c"])
    assert second["extensions"]["code"] in UNKNOWN
    assert second["extensions"]["apiKeyId"].startswith("api-key-")
    assert third["extensions"]["code"] == "DEADLINE_EXCEEDED"
    assert "nothing was done" in third["message"]
    assert "apiKeyId" not in third["extensions"]


class TestAMutation:
    @pytest.mark.parametrize("runs_before", [0, 2], ids=["by graphql-core", "compiled"])
    async def test_keeps_what_its_earlier_fields_made(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase, runs_before: int
    ) -> None:
        query = f"mutation OfHttp{runs_before} {{ {THREE} }}"
        for _ in range(runs_before):
            assert await hurried.data(query, by=system)
        with frozen(engine):
            began = time.monotonic()
            answer = await hurried.send(query, by=system)
            assert time.monotonic() - began < SECONDS + 1
        assert answer.status_code == 200
        check_three(answer.json())
        made = answer.json()["data"]["a"]
        assert await stored(hurried, made["apiKeyId"], system) == {"userId": "u"}
        assert await hurried.data("{ __typename }", by=made["apiKey"])

    @pytest.mark.parametrize("runs_before", [0, 2], ids=["by graphql-core", "compiled"])
    async def test_keeps_it_over_websocket(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase, runs_before: int
    ) -> None:
        query = f"mutation OfWebSocket{runs_before} {{ {THREE} }}"
        async with (
            listening(hurried.app) as address,
            connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as websocket,  # type: ignore[list-item]
        ):
            await websocket.send(
                json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {system.secret}"}})
            )
            assert json.loads(await websocket.recv()) == {"type": "connection_ack"}
            subscribe = json.dumps({"type": "subscribe", "id": "1", "payload": {"query": query}})
            for _ in range(runs_before):
                await websocket.send(subscribe)
                assert [json.loads(await websocket.recv())["type"] for _ in range(2)] == ["next", "complete"]
            with frozen(engine):
                await websocket.send(subscribe)
                answer = json.loads(await asyncio.wait_for(websocket.recv(), 10))
        assert answer["type"] == "next"
        check_three(answer["payload"])

    async def test_keeps_it_as_an_event_stream(self, hurried: Api, system: Person, engine: EmbeddedDatabase) -> None:
        with frozen(engine):
            answer = await hurried.send(f"mutation {{ {THREE} }}", by=system, Accept="text/event-stream")
        (line,) = [line for line in answer.text.splitlines() if line.startswith("data: {")]
        check_three(json.loads(line.removeprefix("data: ")))

    @pytest.mark.parametrize("request_id", [None, "0123456789abcdef"])
    async def test_names_the_one_key_that_it_may_have_made(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase, request_id: str | None
    ) -> None:
        query = "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { apiKeyId } }"
        with frozen(engine, "requests" if request_id else None):
            input = {"domainId": "d1", "userId": "u", "requestId": request_id}
            answer = await hurried.send(query, {"i": input}, by=system)
        (error,) = answer.json()["errors"]
        assert answer.status_code == 200
        assert error["extensions"]["code"] in UNKNOWN
        assert error["extensions"]["apiKeyId"].startswith("api-key-")

    async def test_tells_that_the_outcome_of_a_rotation_is_unknown(
        self, hurried: Api, engine: EmbeddedDatabase
    ) -> None:
        system, user = await hurried.make(), await hurried.make("USER", user_id="u")
        query = f'mutation {{ rotateApiKey(input: {{domainId: "d1", apiKeyId: "{user.key_id}"}}) {{ apiKey }} }}'
        await known(hurried, system)
        with frozen(engine, "api_keys"):
            answer = await hurried.run(query, by=system)
        (error,) = answer["errors"]
        assert error["extensions"]["code"] in UNKNOWN
        assert error["extensions"]["apiKeyId"] == user.key_id
        assert "rotatedAt" in error["message"]

    @pytest.mark.parametrize("behind", [AFTER_A_WRITE, "meta", "api_keys"])
    async def test_tells_that_the_same_request_disables_the_rest(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase, behind: str
    ) -> None:
        for role in ("USER", "SYSTEM"):
            await hurried.make(role, user_id="ann")
        query = 'mutation { disableApiKeys(input: {domainId: "d1", userId: "ann"}) { count } }'
        with frozen(engine, behind):
            (error,) = (await hurried.run(query, by=system))["errors"]
        assert error["extensions"]["code"] in UNKNOWN
        assert error["message"].endswith("is unknown: send the request again, which disables the rest.")
        assert error["message"].count("is unknown") == 1

    @pytest.mark.parametrize("name", [field.name for field in Mutation.__strawberry_definition__.fields])  # type: ignore[attr-defined]
    async def test_begins_no_field_after_its_time(self, name: str) -> None:
        (field,) = [one for one in Mutation.__strawberry_definition__.fields if one.name == name]  # type: ignore[attr-defined]
        DEADLINE.set(time.monotonic() - 0.001)
        with pytest.raises(DeadlineExceeded, match="nothing was done"):
            await field.base_resolver(None, info=None, input=None)

    async def test_has_an_answer_a_little_after_its_time(self) -> None:
        @ends_in_time
        async def field() -> str:
            return "its secrets"

        async def mutation() -> Any:
            secrets = await field()
            await asyncio.sleep(0.3)
            return secrets

        assert await in_time(mutation(), 0.1) == "its secrets"

    @pytest.mark.parametrize(("writes", "told"), [(False, "nothing was changed"), (True, "is unknown")])
    async def test_ends_a_field_that_hangs_and_tells_whether_it_began_to_write(self, writes: bool, told: str) -> None:
        ended: list[DeadlineExceeded] = []

        @ends_in_time
        async def field(writes: bool, seconds: float) -> str:
            if writes:
                note_write()
            await asyncio.sleep(seconds)
            return "its secrets"

        async def mutation() -> Any:
            secrets = await field(True, 0)
            with pytest.raises(DeadlineExceeded, match=told) as caught:
                await field(writes, 60)
            with pytest.raises(DeadlineExceeded, match="nothing was done"):
                await field(True, 0)
            ended.append(caught.value)
            await asyncio.sleep(0.3)
            return secrets

        began = time.monotonic()
        assert await in_time(mutation(), 0.1) == "its secrets"
        assert len(ended) == 1
        assert time.monotonic() - began < 1.1

    async def test_that_hangs_after_its_fields_ends_at_last(self) -> None:
        @ends_in_time
        async def field(seconds: float) -> None:
            note_write()
            await asyncio.sleep(seconds)

        async def mutation() -> None:
            with pytest.raises(DeadlineExceeded):
                await field(60)
            await asyncio.sleep(60)

        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="is unknown") as caught:
            await in_time(mutation(), 0.1)
        assert 1.0 < time.monotonic() - began < 5
        assert "`request_id`" in caught.value.message  # as REST spells it
        (error,) = refused(caught.value).errors
        assert "`requestId`" in error["message"]
        assert error["extensions"] == {"code": "DEADLINE_EXCEEDED"}

    async def test_that_has_not_begun_ends_at_its_deadline(self) -> None:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="nothing was changed"):
            await in_time(asyncio.sleep(60), 0.1)
        assert time.monotonic() - began < 0.5

    async def test_that_is_cancelled_by_others_is_cancelled(self) -> None:
        @ends_in_time
        async def field() -> None:
            await asyncio.sleep(60)

        task = asyncio.create_task(_awaited(in_time(field(), 60)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_verifies_until_its_deadline_and_no_longer(self, hurried: Api, engine: EmbeddedDatabase) -> None:
        verifier = await hurried.make("VERIFIER")
        user = await hurried.make("USER")
        verify = f'verifyApiKey(input: {{apiKey: "{user.secret}"}}) {{ valid }}'
        await known(hurried, verifier)
        with frozen(engine, None):
            began = time.monotonic()
            answer = await hurried.run(f"mutation {{ a: {verify} b: {verify} }}", by=verifier)
            assert time.monotonic() - began < SECONDS + 0.4
        first, second = answer["errors"]
        assert first["extensions"]["code"] == second["extensions"]["code"] == "DEADLINE_EXCEEDED"
        assert "write" not in first["message"]
        assert "nothing was done: the limit `operation_timeout_seconds`" in second["message"]

    async def test_does_not_advise_to_make_a_second_key(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase
    ) -> None:
        with frozen(engine, None):
            (error,) = (await hurried.run(CREATE, by=system))["errors"]
        assert error["extensions"]["apiKeyId"].startswith("api-key-")
        assert "Try again" not in error["message"]
        assert "look for `apiKeyId` before you create another one" in error["message"]


class TestABatch:
    @pytest.mark.parametrize("runs_before", [0, 2], ids=["by graphql-core", "compiled"])
    async def test_keeps_the_answers_of_its_earlier_requests(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase, runs_before: int
    ) -> None:
        create = CREATE.replace("mutation", f"mutation OfBatch{runs_before}")
        keys = '{ apiKeys(input: {domainId: "d1"}) { totalCount } }'
        for _ in range(runs_before):
            assert await hurried.data(create, by=system)
        with frozen(engine):
            answer = await send_batch(hurried, [create, create, keys], system)
        assert answer.status_code == 200
        first, second, third = answer.json()
        assert is_whole(first["data"]["a"])
        assert second["data"] == {"a": None}
        assert second["errors"][0]["extensions"]["apiKeyId"].startswith("api-key-")
        assert [error["extensions"]["code"] for error in third["errors"]] == ["DEADLINE_EXCEEDED"]

    async def test_tells_of_a_read_that_is_too_late_in_its_place(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase
    ) -> None:
        keys = '{ apiKeys(input: {domainId: "d1"}) { totalCount } }'
        with frozen(engine):
            began = time.monotonic()
            answer = await send_batch(hurried, [CREATE, keys, CREATE], system)
            assert time.monotonic() - began < SECONDS + 1
        first, *others = answer.json()
        assert is_whole(first["data"]["a"])
        assert [error["extensions"]["code"] for one in others for error in one["errors"]] == ["DEADLINE_EXCEEDED"] * 2

    async def test_keeps_them_where_a_later_request_is_refused(self, hurried: Api) -> None:
        system = await hurried.make()
        follow = 'subscription { apiKeyChanged(input: {domainId: "d1"}) { type } }'
        answer = await send_batch(hurried, [CREATE, follow], system)
        assert answer.status_code == 200
        first, second = answer.json()
        assert is_whole(first["data"]["a"])
        assert second["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
        assert "data" not in second

    async def test_answers_all_that_is_too_late_in_a_few_turns(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase
    ) -> None:
        with frozen(engine):
            async with busy_from(SECONDS - 0.1):
                answer = await send_batch(hurried, [CREATE] * 150, system)
        first, *others = answer.json()
        assert is_whole(first["data"]["a"])
        assert len(others) == 149
        assert "nothing was done" in others[-1]["errors"][0]["message"]

    async def test_tells_of_what_waited_for_its_documents_that_nothing_was_done(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase
    ) -> None:
        keys = '{ apiKeys(input: {domainId: "d1", query: {page: {limit: 1000}}}) { results { name userId } } }'
        with frozen(engine, None):
            (answer,) = (await send_batch(hurried, [keys], system)).json()
        assert "a write" not in answer["errors"][0]["message"]


async def test_a_read_that_another_request_began_ends_only_that_one(hurried: Api, engine: EmbeddedDatabase) -> None:
    system = await hurried.make()
    with frozen(engine, None):
        first = asyncio.create_task(hurried.send("{ viewer { userId } }", by=system))
        await asyncio.sleep(SECONDS / 2)
        second = asyncio.create_task(hurried.send("{ viewer { userId } }", by=system))
        assert (await first).status_code == 504
        await asyncio.sleep(0.2)  # the second one has begun a read of its own
    answer = await second
    assert answer.status_code == 200
    assert "errors" not in answer.json()


STOP_SECONDS = 0.3  # from the stop on, for requests; less than SECONDS


@pytest.fixture
async def stop() -> AsyncIterator[Callable[[], None]]:
    """Begins the stop, as far as requests know of it."""
    yield lambda: end_all_by(time.monotonic() + STOP_SECONDS + LAST_SECONDS)
    end_all_by(inf)


class TestTheStop:
    """Requests end before the server would cancel them."""

    async def test_a_mutation_keeps_what_its_earlier_fields_made(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase, stop: Callable[[], None]
    ) -> None:
        with frozen(engine):
            answer = asyncio.create_task(hurried.send(f"mutation {{ {THREE} }}", by=system))
            await self._until_frozen()
            stop()
            data = await self._in_time(answer)
        assert is_whole(data["data"]["a"])
        second, third = data["errors"]
        assert second["extensions"]["apiKeyId"].startswith("api-key-")
        assert "Try again" not in second["message"]
        assert third["extensions"]["code"] == "UNAVAILABLE"
        assert "nothing was done" in third["message"]

    async def test_a_batch_keeps_the_answers_of_its_earlier_requests(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase, stop: Callable[[], None]
    ) -> None:
        with frozen(engine):
            answer = asyncio.create_task(send_batch(hurried, [CREATE] * 3, system))
            await self._until_frozen()
            stop()
            first, second, third = await self._in_time(answer)
        assert is_whole(first["data"]["a"])
        assert second["errors"][0]["extensions"]["apiKeyId"].startswith("api-key-")
        assert third["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
        assert "nothing was done" in third["errors"][0]["message"]

    async def test_a_write_that_begins_after_it_is_named(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase, stop: Callable[[], None]
    ) -> None:
        with frozen(engine, None):
            stop()
            data = await self._in_time(asyncio.create_task(hurried.send(CREATE, by=system)))
        assert data["errors"][0]["extensions"]["apiKeyId"].startswith("api-key-")

    async def test_creates_that_wait_for_the_same_batch_of_inserts_are_all_named(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase, stop: Callable[[], None]
    ) -> None:
        with frozen(engine, None):
            first = asyncio.create_task(hurried.send(CREATE, by=system))
            await asyncio.sleep(0.05)
            others = [asyncio.create_task(hurried.send(CREATE, by=system)) for _ in range(5)]
            await asyncio.sleep(0.01)
            stop()
            for data in [await self._in_time(answer) for answer in (first, *others)]:
                assert data["errors"][0]["extensions"]["apiKeyId"].startswith("api-key-")

    async def test_a_read_may_be_sent_again(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase, stop: Callable[[], None]
    ) -> None:
        with frozen(engine, None):
            read = asyncio.create_task(hurried.send('{ apiKeys(input: {domainId: "d1"}) { totalCount } }', by=system))
            await asyncio.sleep(0.1)
            stop()
            (error,) = (await self._in_time(read))["errors"]
        assert read.result().status_code == 503
        assert error["extensions"]["code"] == "UNAVAILABLE"
        assert error["message"] == "The service is stopping, and nothing was changed. Try again."

    async def test_what_hangs_after_a_write_says_that_the_outcome_is_unknown(self, stop: Callable[[], None]) -> None:
        @ends_in_time
        async def field() -> None:
            note_write()
            await asyncio.sleep(60)

        stop()
        with pytest.raises(Unavailable, match="stopping, and whether a write took place is unknown"):
            await in_time(field(), 60)

    async def test_a_request_that_is_cancelled_after_a_write_is_not_told_to_try_again(
        self, hurried: Api, system: Person, engine: EmbeddedDatabase
    ) -> None:
        with frozen(engine):
            keys = '{ apiKeys(input: {domainId: "d1"}) { totalCount } }'
            answer = asyncio.create_task(send_batch(hurried, [CREATE, keys], system))
            await self._until_frozen()
            answer.cancel()
            (error,) = (await answer).json()["errors"]
        assert "whether a write took place is unknown" in error["message"]
        assert "Try again" not in error["message"]

    async def _until_frozen(self) -> None:
        while FREEZING.pid is not None:  # noqa: ASYNC110 - the driver's thread freezes it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)

    async def _in_time(self, answer: asyncio.Task[httpx.Response]) -> Any:
        began = time.monotonic()
        data = (await answer).json()
        assert time.monotonic() - began < STOP_SECONDS + LAST_SECONDS
        return data


async def test_those_that_shared_a_read_which_ended_share_the_next_one(hurried: Api, engine: EmbeddedDatabase) -> None:
    system = await hurried.make()
    found = hurried.app.state.api_keys.credentials.find

    async def find_within(seconds: float) -> Any:
        DEADLINE.set(time.monotonic() + seconds)
        return await found(system.secret)

    before = LOOK_UPS.count
    with frozen(engine, None):
        first = asyncio.create_task(find_within(0.2))
        await asyncio.sleep(0.1)
        second = asyncio.create_task(find_within(0.3))
        others = [asyncio.create_task(find_within(4)) for _ in range(10 * credentials.MAX_BATCH)]
        for one in (first, second):
            with pytest.raises(DeadlineExceeded):
                await one
        await asyncio.sleep(0.1)
    assert {key.api_key_id for key in await asyncio.gather(*others)} == {system.key_id}
    assert LOOK_UPS.count - before < 10  # each by itself, they would be ten batches; the driver may repeat a read


async def test_those_that_shared_a_read_from_before_them_share_the_next_one(api: Api) -> None:
    system = await api.make()
    found = api.app.state.api_keys.credentials.find
    disable = 'mutation($id: ID!) { disableApiKey(input: {domainId: "d1", apiKeyId: $id}) { state } }'
    key = await api.make("USER", user_id="u")
    await api.data(disable, {"id": key.key_id}, by=system)
    before = LOOK_UPS.count
    first = asyncio.create_task(found(key.secret))
    await asyncio.sleep(0)
    states = await asyncio.gather(first, *(found(key.secret) for _ in range(3 * credentials.MAX_BATCH)))
    assert {key.state.name for key in states} == {"DISABLED"}
    assert LOOK_UPS.count - before == 2  # what the first read found may be older than the others


@pytest.mark.parametrize("behind", [None, "api_keys"])
async def test_a_report_of_a_leak_that_takes_too_long_may_be_sent_again(
    hurried: Api, engine: EmbeddedDatabase, behind: str | None
) -> None:
    key = await hurried.make("USER")
    with frozen(engine, behind):
        answer = await hurried.client.post("/revoke", data={"token": key.secret})
    assert answer.status_code == 503
    assert answer.json()["error_description"] == "Whether the report was taken is unknown. Send it again."


class TestRest:
    @pytest.mark.parametrize("name", ["get", "list"])
    async def test_a_read_ends_at_its_deadline(self, hurried: Api, engine: EmbeddedDatabase, name: str) -> None:
        user = await hurried.make("USER", user_id="u")
        body = {"domain_id": "d1"} | ({"api_key_id": user.key_id} if name == "get" else {})
        began = time.monotonic()
        await self._send(hurried, engine, name, body)
        assert time.monotonic() - began < SECONDS + 0.5

    async def test_a_caller_that_is_not_read_in_time_is_told_so_at_the_deadline(
        self, hurried: Api, engine: EmbeddedDatabase
    ) -> None:
        system = await hurried.make()
        with frozen(engine, None):
            began = time.monotonic()
            headers = {"Authorization": f"Bearer {system.secret}"}
            answer = await hurried.client.post("/identity/v1/api-key/list", json={"domain_id": "d1"}, headers=headers)
            assert time.monotonic() - began < SECONDS + 0.4
        assert answer.status_code == 504

    async def test_a_create_names_the_key_that_it_may_have_made(self, hurried: Api, engine: EmbeddedDatabase) -> None:
        answer = await self._send(hurried, engine, "create", {"domain_id": "d1", "user_id": "u"})
        assert answer.json()["error"]["api_key_id"].startswith("api-key-")

    async def test_a_rotation_says_that_its_outcome_is_unknown(self, hurried: Api, engine: EmbeddedDatabase) -> None:
        user = await hurried.make("USER", user_id="u")
        answer = await self._send(hurried, engine, "rotate", {"domain_id": "d1", "api_key_id": user.key_id}, "api_keys")
        assert answer.json()["error"]["api_key_id"] == user.key_id
        assert "rotated_at" in answer.json()["error"]["message"]

    async def _send(
        self, api: Api, engine: EmbeddedDatabase, name: str, body: dict[str, str], behind: str | None = None
    ) -> httpx.Response:
        system = await api.make()
        await known(api, system)
        with frozen(engine, behind):
            began = time.monotonic()
            headers = {"Authorization": f"Bearer {system.secret}"}
            answer = await api.client.post(f"/identity/v1/api-key/{name}", json=body, headers=headers)
            assert time.monotonic() - began < SECONDS + 1
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "DEADLINE_EXCEEDED"
        return answer
