"""`make pictures`: the screenshots in docs/pictures, taken from a running service with made-up keys."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from tests.processes import ROOT, Service, serving

from .chromium import new_page

PICTURES = ROOT / "docs" / "pictures"
NAMES = [("ann", "ci"), ("ann", "laptop"), ("ben", "nightly report"), ("eve", "deploy"), ("eve", "mobile app")]


async def graphiql(page: Any, service: Service) -> None:
    """GraphiQL with the result of a query, and the documentation beside it."""
    await page.goto(f"{service.url}/graphql#key={service.admin_key}")
    await page.wait_for_selector("[aria-label^='Re-fetch GraphQL schema']:enabled")
    await page.click(".graphiql-execute-button")
    await page.locator(".result-window .view-line", has_text="totalCount").wait_for()
    await page.get_by_label("Show Documentation Explorer").click()
    await page.locator(".graphiql-plugin").get_by_text("Mutation", exact=True).click()
    await page.locator(".graphiql-plugin").get_by_text("createApiKey", exact=True).wait_for()
    await page.screenshot(path=PICTURES / "graphiql.png")


async def take(service: Service) -> None:
    for user_id, name in NAMES:
        service.create(user_id, "default", name=name)
    # Text in shades of grey makes the files smaller.
    async with new_page("--disable-lcd-text", viewport={"width": 1120, "height": 640}, color_scheme="light") as page:
        await graphiql(page, service)


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as data, serving(Path(data, "data")) as service:
        asyncio.run(take(service))
