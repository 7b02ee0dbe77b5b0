"""How GraphiQL looks in narrow windows, and when the system changes between light and dark."""

from typing import Any

import pytest

from .test_graphiql import EDITOR, open_page, page, run

__all__ = ["page"]  # the fixture
pytestmark = pytest.mark.slow


async def test_the_editors_follow_the_system_between_light_and_dark(page: Any, served: Any) -> None:
    await page.emulate_media(color_scheme="light")
    await open_page(page, served, served.admin_key)
    await page.locator(f"{EDITOR} .monaco-editor.vs").first.wait_for()
    await page.emulate_media(color_scheme="dark")
    await page.locator(f"{EDITOR} .monaco-editor.vs-dark").first.wait_for()
    await page.emulate_media(color_scheme="light")
    await page.locator(f"{EDITOR} .monaco-editor.vs").first.wait_for()
    # Not after a choice in the settings.
    await page.get_by_label("Open settings dialog").click()
    await page.get_by_role("button", name="Dark").click()
    await page.locator(f"{EDITOR} .monaco-editor.vs-dark").first.wait_for()
    await page.emulate_media(color_scheme="dark")
    await page.emulate_media(color_scheme="light")
    await page.wait_for_timeout(200)
    assert await page.locator(f"{EDITOR} .monaco-editor.vs-dark").count() == 1
    await page.get_by_role("button", name="System").click()
    await page.locator(f"{EDITOR} .monaco-editor.vs").first.wait_for()


async def bottom(page: Any, selector: str) -> float:
    box = await page.locator(selector).first.bounding_box()
    return float(box["y"] + box["height"])


@pytest.mark.parametrize("width", [768, 375])
async def test_nothing_is_cut_off_beside_the_documentation_and_in_the_settings(
    page: Any, served: Any, width: int
) -> None:
    await page.set_viewport_size({"width": width, "height": 720})
    await open_page(page, served, served.admin_key)
    await run(page, "Viewer")
    await page.get_by_label("Show Documentation Explorer").click()
    # Long lines go on below, instead of beyond the edge.
    editor = "__MONACO.editor.getEditors().find((one) => one.getModel().uri.path.endsWith('operation.graphql'))"
    assert await page.evaluate(f"{editor}.getScrollWidth() <= {editor}.getLayoutInfo().contentWidth")
    assert await bottom(page, "button >> text=Headers") <= await bottom(page, ".graphiql-editors")
    assert (await page.locator(".graphiql-response").bounding_box())["height"] > 60

    await page.get_by_label("Open settings dialog").click()
    dialog = page.get_by_role("dialog")
    box, choice = await dialog.bounding_box(), await dialog.get_by_role("button", name="Dark").bounding_box()
    assert choice["x"] + choice["width"] <= box["x"] + box["width"]
    # The editor's scroll bar is below the dialog.
    on_top = """([x, y, width, height]) => [...Array(100).keys()].every((index) => {
      const at = [x + 20 + (width - 40) * (index % 10) / 9, y + 20 + (height - 40) * Math.floor(index / 10) / 9];
      return document.elementFromPoint(...at).closest("[role=dialog]");
    })"""
    assert await page.evaluate(on_top, [box["x"], box["y"], box["width"], box["height"]])
