"""What axe-core finds in a page."""

from typing import Any

from tests.conftest import missing_tool
from tests.processes import ROOT

AXE = ROOT / "pages" / "node_modules" / "axe-core" / "axe.min.js"


async def faults(page: Any, include: str = "html") -> list[str]:
    """The rules that are broken, each with an element. Axe runs outside the page's policy."""
    if not AXE.exists():
        missing_tool("axe-core (npm ci in pages)")
    session = await page.context.new_cdp_session(page)
    if (await session.send("Runtime.evaluate", {"expression": "typeof axe"}))["result"]["value"] == "undefined":
        await session.send("Runtime.evaluate", {"expression": AXE.read_text()})
    expression = (
        f"axe.run('{include}').then(({{violations}}) => violations.map(({{id, nodes}}) => id + ' ' + nodes[0].html))"
    )
    found = await session.send(
        "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
    )
    await session.detach()
    return list(found["result"]["value"])
