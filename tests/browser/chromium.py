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
async def new_page(*arguments: str, **options: Any) -> AsyncIterator[Any]:
    """A page of a fresh browser. `arguments` are the browser's, `options` those of its context."""
    chromium = shutil.which("chromium")
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        missing_tool("playwright")
    if chromium is None:
        missing_tool("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, *arguments])
        page = await (await browser.new_context(**options)).new_page()
        page.set_default_timeout(20_000)
        yield page
        await browser.close()
