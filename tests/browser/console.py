"""How tests open the console, find a key in it, and see what it sends."""

import json
import re
from typing import Any

from tests.processes import Service

from .chromium import lose_first_response

DELETE = """mutation($input: APIKeyRequest!) { deleteApiKey(input: $input) { id } }"""


async def opened(page: Any, service: Service, secret: str | None = None) -> None:
    await page.goto(f"{service.url}/console#key={secret or service.admin_key}")
    await page.get_by_role("status").filter(has_text=re.compile("^Live$")).wait_for()
    await page.get_by_role("table").wait_for()


def row(page: Any, name: str) -> Any:
    return page.get_by_role("row").filter(has=page.get_by_role("button", name=name, exact=True))


async def named(page: Any, name: str) -> Any:
    """The row of a key, found by the filter of names."""
    await page.get_by_label("Name contains").fill(name)
    await row(page, name).wait_for()
    return row(page, name)


async def lose_create(page: Any, service: Service, name: str) -> None:
    """Open the console and create a key of this name, whose response is lost."""
    await opened(page, service)
    await lose_first_response(page, "createApiKey")
    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_role("button", name="Create", exact=True).click()


def operations(page: Any, *names: str) -> list[str]:
    """The names of the operations of these that the page sends from now on."""
    sent: list[str] = []

    def note(request: Any) -> None:
        name = json.loads(request.post_data or "{}").get("operationName") if request.method == "POST" else None
        if name in names:
            sent.append(name)

    page.on("request", note)
    return sent
