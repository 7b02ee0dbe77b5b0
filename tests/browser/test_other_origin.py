"""A page of another origin in Chromium: the React example, whose Apollo Client sends headers of its own."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from gql_identity.origins import check_origin
from tests.processes import Service, serving, wait_until

from ..unit.test_origins import NEVER_SENT, SENT
from .chromium import new_page
from .test_react_example import CREATE, build, create, expect_followed, row, sign_in

pytestmark = pytest.mark.slow

SECONDS = 20.0


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Write no log."""


@dataclass
class Site:
    """Two origins of one page, whose files are in `folder`."""

    folder: Path
    named: str
    unnamed: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("page")
    origins = []
    with ExitStack() as servers:
        for _ in range(2):
            server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(folder)))
            servers.enter_context(server)
            Thread(target=server.serve_forever, daemon=True).start()
            servers.callback(server.shutdown)
            origins.append(f"http://127.0.0.1:{server.server_port}")
        yield Site(folder, *origins)


@pytest.fixture(scope="module")
def service(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service, which names the page's origin and no other; the page is built for it."""
    with serving(tmp_path_factory.mktemp("service") / "data", GQL_IDENTITY_CORS_ORIGINS=site.named) as service:
        build(site.folder, VITE_IDENTITY_ENDPOINT=f"{service.url}/graphql")
        yield service


@asynccontextmanager
async def opened(browser: Any, address: str) -> AsyncIterator[Any]:
    """The page at an address, in Chromium."""
    async with new_page(browser) as page:
        await page.goto(address)
        yield page


async def test_a_page_of_a_named_origin_lists_creates_and_follows_keys(
    site: Site, service: Service, browser: Any
) -> None:
    service.send(CREATE, {"userId": "ann", "name": "before"})
    async with opened(browser, site.named) as page:
        asked: list[dict[str, str]] = []
        page.on("request", lambda request: asked.append(request.headers) if "/graphql" in request.url else None)
        await sign_in(page, service.admin_key)
        await row(page, "before").wait_for()
        assert "gql-identity-example-react" in {headers.get("apollographql-client-name") for headers in asked}

        secret = await create(page, "from another origin")
        await row(page, "from another origin").wait_for()
        assert service.send("{ __typename }", by=secret).status_code == 200

        await expect_followed(page, service, "of another client")


async def test_a_page_of_an_unnamed_origin_is_refused_and_the_log_says_which_and_why(
    site: Site, service: Service, browser: Any
) -> None:
    async with opened(browser, site.unnamed) as page:
        await sign_in(page, service.admin_key)
        assert await page.get_by_role("alert").first.inner_text() == "The service cannot be reached."
        script = f"new WebSocket('{service.url.replace('http', 'ws')}/graphql', 'graphql-transport-ws')"
        await page.evaluate(f"new Promise((resolve) => {{ {script}.onerror = () => resolve() }})")
    named = {"origin": site.unnamed, "reason": "GQL_IDENTITY_CORS_ORIGINS does not name this origin"}

    def refused(event: str, **fields: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in service.err.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event and line.items() >= (named | fields).items()]

    wait_until(lambda: refused("request", method="OPTIONS", path="/graphql"), SECONDS)
    wait_until(lambda: refused("websocket refused"), SECONDS)


async def test_origins_are_as_chromium_writes_them(site: Site, browser: Any) -> None:
    async with opened(browser, site.named) as page:

        async def written(address: str) -> Any:
            return await page.evaluate("(address) => new URL(address).origin", address)

        for origin in SENT:
            check_origin(origin)
            if origin.startswith("http"):  # a page of another scheme need not know others' origins
                assert await written(origin) == origin
        for origin, reason in NEVER_SENT.items():
            if reason.startswith("browsers send "):
                assert f"browsers send {await written(origin)};" == reason
