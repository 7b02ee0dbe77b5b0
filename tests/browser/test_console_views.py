"""Each view of the console: for screen readers, in narrow windows, and by keyboard alone."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Service, serving

from .axe import faults
from .chromium import new_page
from .console import DELETE, opened, operations, row

pytestmark = pytest.mark.slow

LONG = "a name without any place to break it " + "x" * 200
DISABLE = """mutation($input: APIKeyRequest!) { disableApiKey(input: $input) { state } }"""
ENABLE = DISABLE.replace("disableApiKey", "enableApiKey")


async def expect_fit(page: Any, looks: Sequence[tuple[int, str]]) -> None:
    """In each width and colour scheme axe finds nothing, and nothing is wider than the window."""
    for width, scheme in looks:
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": width, "height": 800})
        assert await faults(page) == [], (width, scheme)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width


@pytest.mark.parametrize(
    "looks",
    [
        [(1280, "light"), (400, "dark")],
        [(1280, "dark"), (768, "light"), (768, "dark"), (400, "light")],
    ],
    ids=["two looks", "the other looks"],
)
async def test_axe_finds_nothing_in_any_view_and_nothing_is_cut_off(
    page: Any, service: Service, looks: list[tuple[int, str]]
) -> None:
    for _ in range(2):
        service.create("a user whose id is long as well " + "y" * 100, "long", name=LONG)
    await page.goto(f"{service.url}/console")
    await page.get_by_label("Your API key").fill("gqlid_" + "x" * 49)
    await page.get_by_role("button", name="Show keys").click()
    await page.get_by_role("alert").filter(has_text="was refused").wait_for()
    await expect_fit(page, looks)
    await page.get_by_label("Your API key").fill(service.admin_key)
    await page.get_by_role("button", name="Show keys").click()

    await page.get_by_label("Domain", exact=True).fill("nobody's")
    await page.get_by_role("button", name="Show domain").click()
    await page.get_by_text("There are no keys here yet.").wait_for()
    await expect_fit(page, looks)

    await page.get_by_label("Domain", exact=True).fill("long")
    await page.get_by_role("button", name="Show domain").click()
    await row(page, LONG).first.wait_for()
    await page.get_by_label("Select all keys of this page").check()
    await expect_fit(page, looks)

    await row(page, LONG).first.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").wait_for()
    await expect_fit(page, looks)
    await page.get_by_role("button", name="Cancel").click()

    await row(page, LONG).first.get_by_role("button", name=LONG, exact=True).click()
    await page.get_by_role("region", name="What was done to it").get_by_text("Created", exact=True).wait_for()
    await page.get_by_text("It was not used.").wait_for()
    await page.get_by_text("Change name, end").click()
    await expect_fit(page, looks)
    await page.keyboard.press("Escape")

    await page.get_by_role("button", name="New key").click()
    await page.get_by_text("Scopes, tags").click()
    await page.get_by_label("Scopes, separated").fill("a\\b")
    await page.get_by_role("button", name="Create", exact=True).click()
    await page.get_by_role("dialog").get_by_role("alert").wait_for()
    await expect_fit(page, looks)
    await page.get_by_label("Scopes, separated").fill("")
    await page.get_by_role("button", name="Create", exact=True).click()
    await page.get_by_role("dialog", name="The new key").wait_for()
    await expect_fit(page, looks)
    await page.get_by_role("button", name="I have kept it").click()

    await page.context.set_offline(True)
    await page.get_by_label("Name contains").fill("anything")
    await page.get_by_role("alert").filter(has_text="cannot be reached").wait_for()
    await expect_fit(page, looks)


CUT_OFF = """() => {
  for (const time of document.querySelectorAll("tbody time")) time.textContent = "59 min. ago";
  const isCut = (cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    const right = cell.getBoundingClientRect().right - parseFloat(getComputedStyle(cell).paddingRight);
    return range.getBoundingClientRect().right > right && !cell.matches(".tick, .name, td[data-label=User], .actions");
  };
  return [...document.querySelectorAll("th, td, .role")].filter(isCut).map((cell) => cell.innerText);
}"""


@pytest.mark.parametrize("width", [1101, 1120, 1280])
async def test_columns_have_room_for_their_longest_texts(page: Any, service: Service, width: int) -> None:
    service.create("columns", f"columns {width}", role="DOMAIN_OWNER", name=LONG)
    await page.set_viewport_size({"width": width, "height": 800})
    await opened(page, service)
    await page.get_by_label("Domain", exact=True).fill(f"columns {width}")
    await page.get_by_role("button", name="Show domain").click()
    await row(page, LONG).wait_for()
    assert await page.evaluate(CUT_OFF) == []


FOCUSED = """() => {
  const element = document.activeElement;
  const { width, height } = element.getBoundingClientRect();
  const label = element.ariaLabel || element.labels?.[0]?.innerText || element.innerText || "";
  return [label.trim(), element.checkVisibility() && width > 5 && height > 5];
}"""


async def tab_to(page: Any, name: str) -> None:
    """Press Tab until the control of this name has the focus. Each control on the way can be seen."""
    for _ in range(80):
        await page.keyboard.press("Tab")
        label, is_visible = await page.evaluate(FOCUSED)
        assert is_visible, label
        if label == name:
            return
    raise AssertionError(name)


@pytest.mark.parametrize("width", [1280, 400])
async def test_the_whole_flow_by_keyboard(page: Any, service: Service, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 800})
    owner = service.create("keys", f"by keyboard {width}", role="DOMAIN_OWNER", name="owner")
    press = page.keyboard.press
    await page.goto(f"{service.url}/console")
    await page.get_by_label("Your API key").wait_for()
    await page.keyboard.type(owner["apiKey"])
    await press("Enter")
    await row(page, "owner").wait_for()

    await tab_to(page, "New key")
    await press("Enter")
    await page.keyboard.type("typed")
    await press("Enter")
    await page.get_by_role("dialog", name="The new key").wait_for()
    await tab_to(page, "I have kept it")
    await press("Enter")
    await row(page, "typed").wait_for()
    assert (await page.evaluate(FOCUSED))[0] == "New key"

    await tab_to(page, "typed")
    await press("Enter")
    await page.get_by_role("region", name="What was done to it").get_by_text("Created", exact=True).wait_for()
    await press("Escape")
    assert (await page.evaluate(FOCUSED))[0] == "typed"
    await tab_to(page, "Disable typed")
    await press("Space")
    await row(page, "typed").get_by_text("Disabled", exact=True).wait_for()
    await page.get_by_role("button", name="Undo", disabled=False).wait_for()  # the time of a double click has passed
    await tab_to(page, "Undo")
    await press("Enter")
    await row(page, "typed").get_by_text("Enabled", exact=True).wait_for()
    await page.get_by_role("button", name="Undo", disabled=False).wait_for()
    await tab_to(page, "Select typed")
    await press("Space")
    await page.get_by_text("1 selected").wait_for()
    await tab_to(page, "Delete typed")
    await press("Enter")
    assert (await page.evaluate(FOCUSED))[0] == "Cancel"
    await tab_to(page, "Delete")
    await press("Enter")
    await page.get_by_text("Deleted typed.").wait_for()
    assert (await page.evaluate(FOCUSED))[0].startswith("Keys of")  # its row is gone: the list's heading has the focus
    await tab_to(page, "Forget the key")
    await press("Enter")
    await page.get_by_label("Your API key").wait_for()


async def test_the_log_of_a_key_goes_back_to_its_beginning(page: Any, service: Service) -> None:
    key = service.create("ann", "history", name="to and fro")
    named = {"input": {"domainId": "history", "apiKeyId": key["apiKeyId"]}}
    changes = "disableApiKey(input: $input) { id } enableApiKey(input: $input) { id }"
    for _ in range(30):
        service.data(f"mutation($input: APIKeyRequest!) {{ {changes} }}", named)
    await opened(page, service)
    await page.get_by_label("Domain", exact=True).fill("history")
    await page.get_by_role("button", name="Show domain").click()
    await page.get_by_role("button", name="to and fro", exact=True).click()
    log = page.get_by_role("region", name="What was done to it")
    await log.get_by_role("listitem").nth(49).wait_for()
    assert await log.get_by_role("listitem").count() == 50
    await log.get_by_role("button", name="Show older entries").click()
    await log.get_by_text("Created", exact=True).wait_for()
    assert await log.get_by_role("listitem").count() == 61
    assert await log.get_by_role("button", name="Show older entries").count() == 0

    service.data(DISABLE, named)
    await page.get_by_role("dialog").get_by_text("Disabled", exact=True).first.wait_for()
    await log.get_by_role("listitem").nth(61).wait_for()  # the older entries stay
    assert (await log.get_by_role("listitem").first.inner_text()).startswith("Disabled")
    assert (await log.get_by_role("listitem").last.inner_text()).startswith("Created")
    service.data(DELETE, named)
    await page.get_by_text("This key was deleted.").wait_for()
    await log.get_by_text("Deleted", exact=True).wait_for()
    assert await log.get_by_role("listitem").count() == 63


async def test_an_opened_key_reads_each_of_its_logs_once_and_again_when_it_changes(page: Any, service: Service) -> None:
    names = ("never changed", "changed before")
    keys = {
        name: {"domainId": "logs", "apiKeyId": service.create("ann", "logs", name=name)["apiKeyId"]} for name in names
    }
    service.data(DISABLE, {"input": keys["changed before"]})
    await opened(page, service)
    await page.get_by_label("Domain", exact=True).fill("logs")
    await page.get_by_role("button", name="Show domain").click()

    async def delay(route: Any) -> None:
        if "query Key(" in (route.request.post_data or ""):
            await asyncio.sleep(0.5)  # the logs are there before the key
        await route.continue_()

    await page.route("**/graphql", delay)
    sent = operations(page, "Audit")
    for name, change, entry in (("never changed", DISABLE, "Disabled"), ("changed before", ENABLE, "Enabled")):
        await page.get_by_role("button", name=name, exact=True).click()
        log = page.get_by_role("region", name="What was done to it")
        await log.get_by_text("Created", exact=True).wait_for()
        await page.get_by_text("It was not used.").wait_for()
        await page.wait_for_timeout(500)
        assert sent == ["Audit", "Audit"]
        service.data(change, {"input": keys[name]})
        await log.get_by_text(entry, exact=True).wait_for()
        await page.keyboard.press("Escape")
        await log.wait_for(state="detached")
        sent.clear()


async def test_uses_and_refusals_of_a_key_are_counted(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        key = service.create("ann", "default", name="busy")
        for _ in range(3):
            service.data("{ __typename }", by=key["apiKey"])
        service.data(DISABLE, {"input": {"domainId": "default", "apiKeyId": key["apiKeyId"]}})
        while service.send("{ __typename }", by=key["apiKey"]).status_code != 401:
            pass
        service.stop()
    with serving(tmp_path / "data") as service:
        async with new_page(browser) as page:
            await opened(page, service)
            await page.get_by_role("button", name="busy", exact=True).click()
            counts = page.get_by_role("dialog").get_by_role("figure")
            await counts.get_by_text("refused: disabled").wait_for()
            assert "valid" in await counts.inner_text()
