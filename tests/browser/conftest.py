"""One browser for all tests of this folder: a start of Chromium takes longer than most of them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import missing_tool
from tests.processes import ROOT, Service, serving

from .chromium import launched, new_context, new_tab
from .console import DELETE

KEYS = """{ apiKeysConnection(domainId: "default", first: 100) { nodes { apiKeyId name } } }"""

# Playwright's objects belong to the event loop in which they were made.
ONE_LOOP = pytest.mark.asyncio(loop_scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(ONE_LOOP, append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    async with launched() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def context(browser: Any) -> AsyncIterator[Any]:
    """A profile whose cache the tests of a file share."""
    async with new_context(browser, viewport={"width": 1280, "height": 800}) as context:
        yield context


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service that the console's tests change."""
    if not (ROOT / "gql_identity" / "pages" / "console" / "index.html").exists():
        missing_tool("the console (make builds it)")
    with serving(tmp_path_factory.mktemp("console") / "data") as service:
        yield service


@pytest_asyncio.fixture(loop_scope="session")
async def page(service: Service, context: Any) -> AsyncIterator[Any]:
    """A page in which nothing may go wrong: no error of a script, no violation of the policy, no request elsewhere.

    At first the domain "default" has the first key alone: the console shows 25 keys, whatever other tests made.
    """
    for key in service.data(KEYS)["apiKeysConnection"]["nodes"]:
        if key["name"] != "first key":
            service.data(DELETE, {"input": {"domainId": "default", "apiKeyId": key["apiKeyId"]}})
    async with new_tab(context) as page:
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
        elsewhere: list[str] = []
        page.on("request", lambda one: None if one.url.startswith(service.url) else elsewhere.append(one.url))
        yield page
    assert errors == []
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []
