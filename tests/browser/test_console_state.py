"""What the console shows outlasts: reload, back and forward, changes by others, and a key that is refused meanwhile."""

import re
from typing import Any

import pytest

from tests.processes import Service

from .console import named, opened, row

pytestmark = pytest.mark.slow

DISABLE = """mutation($input: APIKeyRequest!) { disableApiKey(input: $input) { state } }"""
RENAME = """mutation($input: UpdateAPIKeyRequest!) { updateApiKey(input: $input) { name } }"""
GET = """query($input: GetAPIKeyRequest!) { apiKey(input: $input) { name tags { name value } } }"""

GET_ALL = """query($input: GetAPIKeyRequest!) { apiKey(input: $input) {
  name scopes tags { name value } allowedAddresses expiresAt } }"""


def field(page: Any, label: str) -> Any:
    return page.get_by_role("search").locator("label").filter(has_text=re.compile(f"^{label}")).locator("input, select")


async def chosen(page: Any, label: str) -> str:
    return str(await field(page, label).evaluate("(field) => field.selectedOptions?.[0].text ?? field.value"))


async def test_reload_back_and_forward_keep_the_filters_and_the_open_key(page: Any, service: Service) -> None:
    for name in ("kept one", "kept two", "other"):
        service.create("ann", "returning", name=name)
    await opened(page, service)
    await page.get_by_label("Domain", exact=True).fill("returning")
    await page.get_by_role("button", name="Show domain").click()
    await row(page, "other").wait_for()
    await page.get_by_label("Name contains").press_sequentially("kept", delay=400)  # each letter is a text of its own
    await row(page, "other").wait_for(state="detached")
    await field(page, "Order").select_option(label="Name")
    await row(page, "kept two").get_by_role("button", name="kept two", exact=True).click()
    panel = page.get_by_role("dialog", name="kept two")
    await panel.wait_for()

    await page.reload()
    await panel.get_by_text("Created", exact=True).first.wait_for()
    assert [await chosen(page, label) for label in ("Name contains", "Order")] == ["kept", "Name"]
    assert await row(page, "other").count() == 0
    await page.keyboard.press("Escape")
    await panel.wait_for(state="detached")
    await page.go_forward()
    await panel.wait_for()
    await page.go_back()
    await panel.wait_for(state="detached")
    await page.go_back()
    assert [await chosen(page, label) for label in ("Name contains", "Order")] == ["kept", "Newest first"]
    await page.go_back()  # to before the first letter
    await row(page, "other").wait_for()
    assert await chosen(page, "Name contains") == ""
    await page.get_by_role("heading", name="Keys of returning 3").wait_for()

    # An address that somebody wrote opens what it can, and forgetting the key forgets it.
    await page.goto(f"{service.url}/console#domain=returning&state=nonsense&order=__proto__&text=one")
    await page.get_by_role("heading", name="Keys of returning 1").wait_for()
    assert [await chosen(page, label) for label in ("State", "Order")] == ["Any", "Newest first"]
    await page.get_by_role("button", name="Forget the key").click()
    await page.get_by_label("Your API key").wait_for()
    assert page.url == f"{service.url}/console"


# What comes before the browser has gone back: a second click, and a change of the filters.
CLOSE_TWICE_AND_FILTER = """([close, state]) => {
  close.click();
  close.click();
  state.value = "DISABLED";
  state.dispatchEvent(new Event("change", { bubbles: true }));
}"""


async def test_what_is_changed_while_a_key_is_being_closed_is_kept(page: Any, service: Service) -> None:
    service.create("ann", "default", name="closed fast")
    await opened(page, service)
    await page.get_by_label("Name contains").fill("closed fast")
    await page.wait_for_url("**text=closed+fast")
    await row(page, "closed fast").get_by_role("button", name="closed fast", exact=True).click()
    panel = page.get_by_role("dialog", name="closed fast")
    await panel.get_by_text("Created", exact=True).first.wait_for()
    close = await panel.get_by_role("button", name="Close").element_handle()
    state = await field(page, "State").element_handle()
    await page.evaluate(CLOSE_TWICE_AND_FILTER, [close, state])
    await panel.wait_for(state="detached")
    await row(page, "closed fast").wait_for(state="detached")
    assert [await chosen(page, label) for label in ("Name contains", "State")] == ["closed fast", "Disabled"]
    await page.go_back()
    await row(page, "closed fast").wait_for()
    assert [await chosen(page, label) for label in ("Name contains", "State")] == ["closed fast", "Any"]
    assert await panel.count() == 0


async def test_a_rotated_key_shows_both_secrets(page: Any, service: Service) -> None:
    service.create("ann", "default", name="two secrets")
    await opened(page, service)
    await (await named(page, "two secrets")).get_by_role("button", name="two secrets", exact=True).click()
    await page.get_by_role("button", name="Rotate", exact=True).click()
    await page.get_by_role("button", name="I have kept it").click()
    await page.get_by_role("button", name="End the older secret").wait_for()
    assert await page.get_by_role("button", name="Rotate", exact=True).is_disabled()


async def test_a_form_outlasts_changes_by_others_and_says_when_it_is_saved(page: Any, service: Service) -> None:
    key = service.create("ann", "default", name="edited")
    named_key = {"domainId": "default", "apiKeyId": key["apiKeyId"]}
    await opened(page, service)
    await (await named(page, "edited")).get_by_role("button", name="edited", exact=True).click()
    await page.get_by_text("Change name, end").click()
    await page.get_by_label("Tags, one per line").fill("team=payments")
    service.data(RENAME, {"input": {**named_key, "name": "renamed elsewhere"}})
    await page.get_by_role("dialog", name="renamed elsewhere").wait_for()
    assert await page.get_by_label("Tags, one per line").input_value() == "team=payments"
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("status").filter(has_text="Saved.").wait_for()
    after = service.data(GET, {"input": named_key})["apiKey"]
    assert after == {"name": "renamed elsewhere", "tags": [{"name": "team", "value": "payments"}]}


async def test_a_form_that_is_saved_twice_reverts_nothing_that_others_changed(page: Any, service: Service) -> None:
    tags, end = [{"name": "team", "value": "payments"}], "2100-01-01T00:00:00Z"
    fields = {"scopes": ["a", "b"], "tags": tags, "allowedAddresses": ["10.0.0.0/8"], "expiresAt": end}
    key = service.create("ann", "default", name="saved twice")
    named_key = {"domainId": "default", "apiKeyId": key["apiKeyId"]}
    service.data(RENAME, {"input": {**named_key, **fields}})
    await opened(page, service)
    await (await named(page, "saved twice")).get_by_role("button", name="saved twice", exact=True).click()
    await page.get_by_text("Change name, end").click()
    form = page.get_by_role("dialog").locator("form")
    await form.get_by_label("Name", exact=True).fill("saved once more")
    others = {
        "scopes": ["a"],
        "tags": [{"name": "team", "value": "orders"}],
        "allowedAddresses": ["10.1.0.0/16"],
        "expiresAt": "2099-01-01T00:00:00.000Z",
    }
    service.data(RENAME, {"input": {**named_key, **others}})
    saved = page.get_by_role("status").filter(has_text="Saved.")
    await form.get_by_role("button", name="Save").click()
    await saved.wait_for()
    service.data(RENAME, {"input": {**named_key, "name": "named by others"}})
    inputs: list[Any] = []
    page.on(
        "request", lambda one: inputs.append(one.post_data_json) if "updateApiKey" in (one.post_data or "") else None
    )
    await form.get_by_role("button", name="Save").click()
    await page.wait_for_timeout(500)
    assert [sorted(one["variables"]["input"]) for one in inputs] == [["apiKeyId", "domainId"]]
    assert service.data(GET_ALL, {"input": named_key})["apiKey"] == {**others, "name": "named by others"}
    await form.get_by_label("Scopes, separated").fill("a c")
    await form.get_by_role("button", name="Save").click()
    await page.get_by_role("dialog").get_by_role("definition").filter(has_text="a c").wait_for()
    assert sorted(inputs[-1]["variables"]["input"]) == ["apiKeyId", "domainId", "scopes"]


async def test_a_key_refused_meanwhile_takes_away_neither_a_form_nor_a_secret(page: Any, service: Service) -> None:
    first, second = (service.create("eve", "default", role="DOMAIN_OWNER", name=f"leaver {n}") for n in (1, 2))
    await opened(page, service, first["apiKey"])
    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Name", exact=True).fill("typed before")
    service.data(DISABLE, {"input": {"domainId": "default", "apiKeyId": first["apiKeyId"]}})
    again = page.get_by_role("dialog", name="Sign in again")
    await again.get_by_role("alert").filter(has_text="was refused").wait_for()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await again.get_by_label("Your API key").fill("gqlid_" + "x" * 49)
    await again.get_by_role("button", name="Show keys").click()
    await again.get_by_role("alert").filter(has_text="xxxx was refused").wait_for()
    await again.get_by_label("Your API key").fill(second["apiKey"])
    await again.get_by_role("button", name="Show keys").click()
    await again.wait_for(state="detached")

    await page.get_by_role("button", name="Create", exact=True).click()
    secret = await page.get_by_role("dialog", name="The new key").locator("code").inner_text()
    service.data(DISABLE, {"input": {"domainId": "default", "apiKeyId": second["apiKeyId"]}})
    while service.send("{ __typename }", by=second["apiKey"]).status_code != 401:
        pass
    status = page.get_by_role("status", include_hidden=True)
    await status.filter(has_text=re.compile("^Not ")).wait_for(state="attached")
    assert await page.locator(".secret code").inner_text() == secret
    assert service.send("{ viewer { apiKeyInfo { name } } }", by=secret).json()["data"]["viewer"] == {
        "apiKeyInfo": {"name": "typed before"}
    }
    await page.get_by_role("button", name="I have kept it").click()
    await again.get_by_role("button", name="Forget the key").click()
    await page.get_by_role("heading", name="API keys").wait_for()
    await again.wait_for(state="detached")
    assert await page.evaluate("JSON.stringify(sessionStorage)") == "{}"


async def test_two_tabs_follow_one_another_but_each_keeps_its_own_key(page: Any, service: Service) -> None:
    service.create("ann", "default", name="in both tabs")
    other = await page.context.new_page()
    for tab in (page, other):
        await opened(tab, service)
        await named(tab, "in both tabs")
    await row(other, "in both tabs").get_by_role("button", name="in both tabs", exact=True).click()
    await row(page, "in both tabs").get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await other.get_by_text("This key was deleted.").wait_for()
    await page.get_by_role("button", name="Forget the key").click()
    await other.keyboard.press("Escape")
    await named(other, "first key")


# Of each text with Latin letters alone, whether its first letter stands left of its last one in the same line.
IN_ORDER = """() => {
  const walker = document.createTreeWalker(document.querySelector("dialog"), NodeFilter.SHOW_TEXT);
  const results = [];
  for (let node; (node = walker.nextNode()); ) {
    if (node.parentElement.closest("bdi") || !/^[\\sA-Za-z]{3,}$/.test(node.data.trim())) continue;
    const start = node.data.length - node.data.trimStart().length;
    const at = (index) => {
      const range = document.createRange();
      range.setStart(node, index);
      range.setEnd(node, index + 1);
      return range.getBoundingClientRect();
    };
    const [first, last] = [at(start), at(node.data.trimEnd().length - 1)];
    if (first.top === last.top) results.push([node.data, first.left < last.left]);
  }
  return results;
}"""


async def test_a_name_in_any_script_changes_nothing_around_it(page: Any, service: Service) -> None:
    """U+202E turns round all that follows it in its paragraph, or in its `bdi`."""
    for name in ("\u202egnp.exe", "שלום (2026)!"):
        service.create("\u202emia", "scripts", name=name)
    await opened(page, service)
    await page.get_by_label("Domain", exact=True).fill("scripts")
    await page.get_by_role("button", name="Show domain").click()
    await page.get_by_label("Select all keys of this page").check()
    await page.get_by_role("group", name="Selected keys").get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").wait_for()
    texts = await page.evaluate(IN_ORDER)
    assert ["of user ", True] in [[text.lstrip(), is_in_order] for text, is_in_order in texts]
    assert all(is_in_order for _, is_in_order in texts), texts
    await page.get_by_role("button", name="Cancel").click()
    await row(page, "שלום (2026)!").get_by_role("button", name="Delete").click()
    # The question mark follows the whole name, whose own mark is at its left end.
    marks = """() => {
      const [, name, mark] = [...document.querySelectorAll("dialog h2 *, dialog h2")].at(-1).closest("h2").childNodes;
      const range = document.createRange();
      range.selectNodeContents(mark);
      return range.getBoundingClientRect().left >= name.getBoundingClientRect().right - 1;
    }"""
    assert await page.evaluate(marks)


async def test_a_message_about_a_long_name_leaves_its_buttons_their_width(page: Any, service: Service) -> None:
    name = "a name without any place to break it " + "x" * 200
    service.create("ann", "default", name=name)
    await opened(page, service)
    await page.set_viewport_size({"width": 375, "height": 800})
    await (await named(page, name)).get_by_role("button", name="Disable").click()
    undo = page.get_by_role("button", name="Undo")
    await undo.wait_for()
    box, message = await undo.bounding_box(), await page.locator(".toast p").bounding_box()
    assert box["height"] < 45
    assert message["height"] < 80
    assert message["x"] + message["width"] <= 375
