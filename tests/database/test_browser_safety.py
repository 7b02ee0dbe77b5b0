"""What protects browsers: origins, headers, who may read the schema, and whether there is a page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gql_identity.settings import Settings
from gql_identity.web import graphql, pages
from tests.conftest import Api, Person, running

ORIGIN = "https://app.example"
TYPENAME = "{ __typename }"
SCHEMA = "{ __schema { queryType { name } } }"
TYPE = '{ __type(name: "Query") { name } }'
SERVICE = "{ _service { sdl } }"


@asynccontextmanager
async def configured(api: Api, **settings: Any) -> AsyncIterator[Api]:
    """The application with these settings, on the database of `api`."""
    async with running(api.settings.model_copy(update=settings)) as application:
        yield application


def varies_by(answer: httpx.Response) -> set[str]:
    return {name.strip() for name in answer.headers["Vary"].split(",")}


async def every_answer(api: Api, system: Person, **headers: str) -> AsyncIterator[tuple[str, httpx.Response]]:
    """Answers of every kind, good and bad, of every path."""
    good = {"Authorization": f"Bearer {system.secret}", **headers}
    bad = {"Authorization": "Bearer wrong", **headers}
    rest, form = "/identity/v1/api-key/list", {"data": {"token": system.secret}}
    for name, method, path, content, sent in (
        ("an answer", "POST", "/graphql", {"json": {"query": TYPENAME}}, good),
        ("an answer to nobody", "POST", "/graphql", {"json": {"query": TYPENAME}}, headers),
        ("an error", "POST", "/graphql", {"json": {"query": "{"}}, good),
        ("no body", "POST", "/graphql", {}, good),
        ("a wrong credential", "POST", "/graphql", {"json": {"query": TYPENAME}}, bad),
        ("a wrong type", "POST", "/graphql", form, good),
        ("a wrong method", "PUT", "/graphql", {}, good),
        ("a large body", "POST", "/graphql", {"json": {"query": "x" * 300_000}}, good),
        ("a stream", "POST", "/graphql", {"json": {"query": TYPENAME}}, {**good, "Accept": "text/event-stream"}),
        ("REST", "POST", rest, {"json": {"domain_id": "d1"}}, good),
        ("a REST error", "POST", rest, {"json": {"domain_id": 1}}, good),
        ("a REST refusal", "POST", rest, {"json": {}}, bad),
        ("REST of nothing", "POST", "/identity/v1/nothing", {"json": {}}, good),
        ("introspection", "POST", "/introspect", form, good),
        ("introspection refused", "POST", "/introspect", form, bad),
        ("introspection by GET", "GET", "/introspect", {}, good),
        ("life", "GET", "/livez", {}, headers),
        ("readiness", "GET", "/readyz", {}, headers),
        ("nothing", "GET", "/nothing", {}, good),
    ):
        yield name, await api.client.request(method, path, headers=sent, **content)


class TestHeaders:
    async def test_every_answer_has_them(self, api: Api) -> None:
        system = await api.make()
        statuses = set()
        async for name, answer in every_answer(api, system):
            statuses.add(answer.status_code)
            headers = answer.headers
            assert headers["X-Content-Type-Options"] == "nosniff", name
            assert headers["Cache-Control"] == "private, no-store", name
            assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'", name
            assert headers["Referrer-Policy"] == "no-referrer", name
            assert {"Accept", "Authorization"} <= varies_by(answer), name
            assert headers["X-Request-ID"], name
            assert headers["Content-Type"].startswith(
                "text/event-stream" if name == "a stream" else ("application/json", "application/graphql-response+json")
            ), name
            assert "Set-Cookie" not in headers
            assert "Server" not in headers
        assert statuses == {200, 400, 401, 404, 405, 413, 415}

    async def test_a_fault_of_ours_has_them_too(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: Any) -> None:
            raise RuntimeError("inside")

        monkeypatch.setattr(graphql, "read_request", fail)
        answer = await api.send(TYPENAME)
        assert answer.status_code == 500
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        (error,) = answer.json()["errors"]
        assert error["extensions"] == {"code": "INTERNAL", "id": answer.headers["X-Request-ID"]}
        assert "inside" not in answer.text


class TestOrigins:
    async def test_by_default_no_page_may_call(self, api: Api) -> None:
        system = await api.make()
        async for name, answer in every_answer(api, system, Origin=ORIGIN):
            assert not [header for header in answer.headers if header.startswith("access-control-")], name
        asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
        preflight = await api.client.options("/graphql", headers=asked)
        assert not [header for header in preflight.headers if header.startswith("access-control-")]

    async def test_pages_of_a_listed_origin_may_and_no_others(self, api: Api) -> None:
        system = await api.make()
        async with configured(api, cors_origins=(ORIGIN, "https://other.example")) as service:
            async for name, answer in every_answer(service, system, Origin=ORIGIN):
                assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN, name
                assert varies_by(answer) == {"Accept", "Authorization", "Origin"}, name
                assert "Access-Control-Allow-Credentials" not in answer.headers, name
            for origin in ("https://evil.example", f"{ORIGIN}.evil.example", "http://app.example", "null", ""):
                answer = await service.send(TYPENAME, by=system, Origin=origin)
                assert "Access-Control-Allow-Origin" not in answer.headers, origin
                assert varies_by(answer) == {"Accept", "Authorization", "Origin"}
            answer = await service.send(TYPENAME, by=system)
            assert varies_by(answer) == {"Accept", "Authorization", "Origin"}

    async def test_a_preflight_is_answered_for_a_listed_origin_alone(self, api: Api) -> None:
        async with configured(api, cors_origins=(ORIGIN,)) as service:
            asked = {
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, content-type, baggage, sentry-trace",
            }
            for path in ("/graphql", "/identity/v1/api-key/list"):
                allowed = await service.client.options(path, headers={"Origin": ORIGIN, **asked})
                assert allowed.status_code == 200
                assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
                assert "POST" in allowed.headers["Access-Control-Allow-Methods"]
                assert allowed.headers["Access-Control-Allow-Headers"] == asked["Access-Control-Request-Headers"]
                assert allowed.headers["X-Content-Type-Options"] == "nosniff"
                refused = await service.client.options(path, headers={"Origin": "https://evil.example", **asked})
                assert refused.status_code == 400
                assert "Access-Control-Allow-Origin" not in refused.headers
            other = {"Access-Control-Request-Method": "DELETE"}
            refused = await service.client.options("/graphql", headers={"Origin": ORIGIN, **other})
            assert refused.status_code == 400


def is_told(answer: Any) -> bool:
    if "data" in answer:
        assert next(iter(answer["data"].values()))
        return True
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    return False


class TestTheSchema:
    @pytest.mark.parametrize(
        ("introspection", "to_nobody", "to_callers"),
        [("public", True, True), ("authenticated", False, True), ("off", False, False)],
    )
    async def test_is_told_to_whom_the_setting_says(
        self, api: Api, introspection: str, to_nobody: bool, to_callers: bool
    ) -> None:
        async with configured(api, introspection=introspection) as service:
            user = await service.make("USER")
            hidden = "query A { a: __typename ...F } fragment F on Query { b: __schema { queryType { name } } }"
            for query in (SCHEMA, TYPE, hidden):
                assert is_told(await service.run(query)) is to_nobody
                assert is_told(await service.run(query, by=user)) is to_callers
            # A gateway with a key of its own composes, whatever others may see.
            assert is_told(await service.run(SERVICE)) is to_nobody
            assert is_told(await service.run(SERVICE, by=user)) is to_callers
            for role in ("VERIFIER", "DOMAIN_OWNER", "SYSTEM"):
                assert is_told(await service.run(SERVICE, by=await service.make(role))) is True
            # Who asks in one breath for what is not told gets neither.
            both = "{ _service { sdl } __schema { queryType { name } } }"
            assert is_told(await service.run(both, by=user)) is to_callers
            assert await service.data(TYPENAME) == {"__typename": "Query"}
            document = await service.client.get("/identity/v1/openapi.json")
            assert document.status_code == (200 if to_nobody else 404 if introspection == "off" else 401)

    async def test_a_wrong_credential_is_told_nothing_even_where_it_is_public(self, api: Api) -> None:
        async with configured(api, introspection="public") as service:
            assert (await service.send(SCHEMA, by="wrong")).status_code == 401

    @pytest.mark.parametrize(
        ("host", "introspection"),
        [
            ("127.0.0.1", "public"),
            ("127.9.9.9", "public"),
            ("::1", "public"),
            ("localhost", "public"),
            ("0.0.0.0", "authenticated"),
            ("::", "authenticated"),
            ("192.0.2.1", "authenticated"),
            ("localhost.example", "authenticated"),
        ],
    )
    def test_is_public_by_default_on_a_loopback_address_alone(
        self, settings: Settings, host: str, introspection: str
    ) -> None:
        there = settings.model_copy(update={"host": host})
        assert there.introspection_for == introspection
        assert there.shows_graphiql is (introspection == "public")
        for chosen in ("public", "authenticated", "off"):
            set_so = there.model_copy(update={"introspection": chosen})
            assert set_so.introspection_for == chosen
            assert set_so.shows_graphiql is (chosen == "public")


@pytest.fixture
def page(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A page in the place of GraphiQL, which may not have been built here."""
    file = tmp_path / "graphiql" / "index.html"
    file.parent.mkdir()
    file.write_text("<html>the page</html>")
    console = tmp_path / "console" / "index.html"
    console.parent.mkdir()
    console.write_text("<html>the page of keys</html>")
    monkeypatch.setattr(pages, "CONSOLE", console)
    for module in (pages, graphql):
        monkeypatch.setattr(module, "GRAPHIQL", file)
    return "the page"


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class TestThePage:
    @pytest.mark.parametrize(
        ("changes", "is_shown"),
        [
            ({}, True),
            ({"introspection": "authenticated"}, False),
            ({"introspection": "off"}, False),
            ({"host": "0.0.0.0"}, False),
            ({"graphiql": False}, False),
            ({"host": "0.0.0.0", "graphiql": True}, True),
        ],
    )
    async def test_is_shown_where_the_schema_is_public_unless_set_otherwise(
        self, api: Api, page: str, changes: dict[str, Any], is_shown: bool
    ) -> None:
        async with configured(api, **changes) as service:
            answer = await service.client.get("/graphql", headers={"Accept": BROWSER})
            assert (page in answer.text) is is_shown
            assert answer.status_code == (200 if is_shown else 400)
            console = await service.client.get("/console", headers={"Accept": BROWSER})
            assert console.status_code == (200 if is_shown else 404)
            assert ("the page of keys" in console.text) is is_shown
            forwarded = await service.client.get("/console", headers={"X-Forwarded-For": "192.0.2.1"})
            assert forwarded.status_code == (200 if changes.get("graphiql") else 404)
            files = await service.client.get("/pages/graphiql/index.html")
            assert files.status_code == (200 if is_shown else 404)
            if is_shown:
                assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
                policies = {one.headers["Content-Security-Policy"] for one in (answer, console)}
                assert len(policies) == 1
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cache-Control"] == "no-cache"

    @pytest.mark.parametrize(
        "accept", ["*/*", "application/json", "application/json, text/html;q=0.9", "text/html;q=0", ""]
    )
    async def test_is_for_browsers_alone(self, api: Api, page: str, accept: str) -> None:
        async with configured(api) as service:
            answer = await service.client.get("/graphql", params={"query": TYPENAME}, headers={"Accept": accept})
            assert answer.json() == {"data": {"__typename": "Query"}}

    async def test_no_file_beside_it_can_be_read(self, api: Api, page: str) -> None:
        async with configured(api) as service:
            for path in (
                "/pages/../secret",
                "/pages/..%2fsecret",
                "/pages/%2e%2e/secret",
                "/pages//etc/passwd",
            ):
                assert (await service.client.get(path)).status_code == 404
