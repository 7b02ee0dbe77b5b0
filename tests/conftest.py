"""What tests share: a real database, the application in this process, and people with keys."""

import asyncio
import logging
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import pymongo
import pytest
import structlog
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from strawberry import ID

from gql_identity.app import create_app
from gql_identity.messages.requests import CreateAPIKeyRequest
from gql_identity.messages.values import APIKeyRole
from gql_identity.settings import Settings
from gql_identity.storage.embedded import EmbeddedDatabase

from .processes import Service, serving

PEPPER = "a pepper for tests that is long enough to be one"
KEY_FIELDS = "apiKeyId apiKey state userId domainId lastAccessedAt createdAt name role hint createdBy"


# Before pytest-xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a service or a fixture of their file run in one process, since each process makes its own."""
    for item in items:
        assert isinstance(item, pytest.Function)
        fixtures = item._fixtureinfo.name2fixturedefs
        if any(definitions[-1].scope == "module" for definitions in fixtures.values()):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        elif "served" in fixtures:
            item.add_marker(pytest.mark.xdist_group("served"))


def missing_tool(name: str) -> None:
    """Skip the test that needs a tool, or fail where every tool must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing")
    pytest.skip(f"{name} is missing")


@pytest.fixture
def logs_as_before() -> Iterator[None]:
    """What a test makes of the logs is undone after it."""
    before, handlers, level = structlog.get_config(), logging.root.handlers[:], logging.root.level
    yield
    structlog.configure(**before)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def database_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a database server: the one that GQL_IDENTITY_TEST_MONGO_URI names, else an embedded one."""
    if uri := os.environ.get("GQL_IDENTITY_TEST_MONGO_URI"):
        yield uri
        return
    with EmbeddedDatabase(tmp_path_factory.mktemp("database")) as database:
        yield database.uri


@pytest.fixture(scope="session")
def database_client(database_server: str) -> Iterator[pymongo.MongoClient[Any]]:
    """One client for all tests: a new one takes longer than most of what is asked."""
    with pymongo.MongoClient[Any](database_server) as client:
        yield client


@pytest.fixture
def mongo_uri(database_server: str, database_client: pymongo.MongoClient[Any]) -> Iterator[str]:
    """The URI of a fresh database, dropped at the end."""
    name = f"test_{secrets.token_hex(8)}"
    parts = urlsplit(database_server)
    yield urlunsplit(parts._replace(path=f"/{name}", query=parts.query or "authSource=admin"))
    database_client.drop_database(name)


@pytest.fixture
def settings(mongo_uri: str) -> Settings:
    return Settings(mongo_uri=SecretStr(mongo_uri), pepper=SecretStr(PEPPER), log_level="error")


@dataclass
class Person:
    """A key and its secret."""

    key_id: str
    secret: str
    domain_id: str
    user_id: str


class Api:
    """The application, as its clients see it, and a way to make any key."""

    def __init__(self, app: Starlette, client: httpx.AsyncClient, settings: Settings) -> None:
        self.app = app
        self.client = client
        self.settings = settings

    async def make(
        self, role: str = "SYSTEM", domain_id: str = "d1", user_id: str = "u1", name: str | None = None
    ) -> Person:
        """Make a key as the command line does, by nobody."""
        request = CreateAPIKeyRequest(domain_id=ID(domain_id), user_id=ID(user_id), role=APIKeyRole[role], name=name)
        key = await self.app.state.api_keys.create(request, None)
        assert key.api_key is not None
        return Person(key.api_key_id, key.api_key, domain_id, user_id)

    async def send(
        self, query: str, variables: dict[str, Any] | None = None, by: Person | str | None = None, **headers: str
    ) -> httpx.Response:
        secret = by.secret if isinstance(by, Person) else by
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        return await self.client.post("/graphql", json={"query": query, "variables": variables}, headers=headers)

    async def uses_written(self) -> None:
        """Have the uses of keys so far written now."""
        await self.app.state.api_keys.credentials.last_uses.write(everything=True)

    async def run(self, query: str, variables: dict[str, Any] | None = None, by: Person | str | None = None) -> Any:
        """The answer's JSON."""
        return (await self.send(query, variables, by)).json()

    async def data(self, query: str, variables: dict[str, Any] | None = None, by: Person | str | None = None) -> Any:
        """The answer's data; fails where there are errors."""
        answer = await self.run(query, variables, by)
        assert "errors" not in answer, answer
        return answer["data"]

    async def code(self, query: str, variables: dict[str, Any] | None = None, by: Person | str | None = None) -> str:
        """The code of the answer's errors, which have but one."""
        answer = await self.run(query, variables, by)
        (code,) = {error["extensions"]["code"] for error in answer.get("errors", ())}
        return str(code)


def mongo_client(settings: Settings, **options: Any) -> pymongo.MongoClient[dict[str, Any]]:
    """A client of the test's database, to see what is stored."""
    assert settings.mongo_uri is not None
    return pymongo.MongoClient(settings.mongo_uri.get_secret_value(), **options)


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    """The application in this process, on a fresh database."""
    async with running(settings) as api:
        yield api


class running:
    """The application with these settings, for as long as the block lasts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Api:
        app = create_app(self._settings)
        self._lifespan = app.router.lifespan_context(app)
        await self._lifespan.__aenter__()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://service")
        return Api(app, self._client, self._settings)

    async def __aexit__(self, *error: Any) -> None:
        await self._client.aclose()
        await self._lifespan.__aexit__(*error)


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """The application on a port; its life span is the fixture's own affair."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A real `gql-identity serve` on a fresh data directory: its `url` and its `admin_key`."""
    with serving(tmp_path_factory.mktemp("served") / "data") as service:
        yield service
