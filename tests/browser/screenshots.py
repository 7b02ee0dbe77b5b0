"""`make pictures`: the screenshots in docs/pictures, taken from a running service with made-up keys."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from tests.processes import ROOT, Service, serving

from .chromium import launched, new_page
from .test_graphiql import open_page, run

PICTURES = ROOT / "docs" / "pictures"
USED = {"deploy", "mobile app"}
NAMES = [("ann", "ci"), ("ann", "laptop"), ("ben", "nightly report"), ("eve", "deploy"), ("eve", "mobile app")]


async def graphiql(page: Any, service: Service) -> None:
    """GraphiQL with the result of a query, and the documentation beside it."""
    await open_page(page, service, service.admin_key)
    await run(page, "ListKeys")
    await page.get_by_label("Show Documentation Explorer").click()
    await page.locator(".graphiql-plugin").get_by_text("Mutation", exact=True).click()
    await page.locator(".graphiql-plugin").get_by_text("createApiKey", exact=True).wait_for()
    await page.screenshot(path=PICTURES / "graphiql.png")


async def console(page: Any, service: Service) -> None:
    """The console with a few keys, two of them used and one disabled."""
    await page.set_viewport_size({"width": 1120, "height": 760})
    await page.goto(f"{service.url}/console#key={service.admin_key}")
    await page.get_by_role("button", name="Disable nightly report").click()
    await page.get_by_role("button", name="Close this message").click()
    await page.get_by_role("button", name="Enable nightly report", disabled=False).wait_for()
    await page.get_by_role("region", name="Counts").get_by_text("Disabled").wait_for()
    await page.get_by_text("Live", exact=True).wait_for()
    await page.evaluate("scrollTo(0, 0)")
    await page.screenshot(path=PICTURES / "console.png")


async def take(service: Service) -> None:
    for user_id, name in NAMES:
        secret = service.create(user_id, "default", name=name)["apiKey"]
        if name in USED:
            service.data("{ __typename }", by=secret)
    # Text in shades of grey makes the files smaller.
    size = {"width": 1280, "height": 600}
    async with launched("--disable-lcd-text") as browser:
        async with new_page(browser, viewport=size, color_scheme="light") as page:
            await graphiql(page, service)
        async with new_page(browser, viewport=size, color_scheme="light") as page:
            await console(page, service)


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as data, serving(Path(data, "data")) as service:
        asyncio.run(take(service))
