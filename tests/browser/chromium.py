"""Chromium, in which every address but those of this machine is unreachable."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.conftest import missing_tool

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@asynccontextmanager
async def launched(*arguments: str) -> AsyncIterator[Any]:
    """A browser, with these arguments of its command line too."""
    chromium = shutil.which("chromium")
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        missing_tool("playwright")
    if chromium is None:
        missing_tool("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, *arguments])
        yield browser
        await browser.close()


@asynccontextmanager
async def new_context(browser: Any, **options: Any) -> AsyncIterator[Any]:
    """A profile of its own in a browser: no storage or cache of another one."""
    context = await browser.new_context(**options)
    context.set_default_timeout(20_000)
    yield context
    await context.close()


@asynccontextmanager
async def new_page(browser: Any, **options: Any) -> AsyncIterator[Any]:
    """A page of a profile of its own."""
    async with new_context(browser, **options) as context:
        yield await context.new_page()


async def lose_first_response(page: Any, operation: str) -> None:
    """Have the service get the first request with this operation, and the page not its response."""
    is_lost = True

    async def lose(route: Any) -> None:
        nonlocal is_lost
        if is_lost and operation in (route.request.post_data or ""):
            is_lost = False
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/graphql", lose)


@asynccontextmanager
async def new_tab(context: Any) -> AsyncIterator[Any]:
    """A page whose scripts may be cached already, with its own session storage. Afterwards all pages are closed."""
    yield await context.new_page()
    for page in context.pages:
        await page.close()
    await context.set_offline(False)
