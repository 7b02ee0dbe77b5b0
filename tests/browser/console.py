"""How tests open the console and find a key in it."""

import re
from typing import Any

from tests.processes import Service


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
