"""The console's list: what it shows is what is, and a click does what it says once."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.processes import Service

from .chromium import new_page
from .console import named, opened, operations, row
from .test_console_state import field

pytestmark = pytest.mark.slow

CREATE = "mutation($input: CreateAPIKeyRequest!) { createApiKey(input: $input) { apiKeyId apiKey } }"
DISABLE = "mutation($input: APIKeyRequest!) { disableApiKey(input: $input) { state } }"
ENABLE = DISABLE.replace("disableApiKey", "enableApiKey")
STATE = "query($input: GetAPIKeyRequest!) { apiKey(input: $input) { state } }"
UPDATE = "mutation($input: UpdateAPIKeyRequest!) { updateApiKey(input: $input) { name } }"
GET = "query($input: GetAPIKeyRequest!) { apiKey(input: $input) { scopes tags { name value } } }"

# What a browser does when another tab is shown in place of this one, and back.
HIDE = """Object.defineProperty(document, "hidden", { value: true, configurable: true });
Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true });
document.dispatchEvent(new Event("visibilitychange"));"""
UNHIDE = """delete document.hidden; delete document.visibilityState;
document.dispatchEvent(new Event("visibilitychange"));"""


def made(service: Service, domain_id: str, **fields: Any) -> dict[str, str]:
    """Make a key; what names it in a request."""
    key = service.data(CREATE, {"input": {"domainId": domain_id, "userId": "ann", **fields}})["createApiKey"]
    return {"domainId": domain_id, "apiKeyId": key["apiKeyId"]}


def soon(**later: float) -> str:
    return (datetime.now(UTC) + timedelta(**later)).isoformat()


async def open_domain(page: Any, service: Service, domain_id: str) -> None:
    await opened(page, service)
    await page.get_by_label("Domain", exact=True).fill(domain_id)
    await page.get_by_role("button", name="Show domain").click()
    await page.get_by_role("heading", name=f"Keys of {domain_id}").wait_for()


async def test_a_double_click_changes_a_key_once_and_so_does_one_on_undo(page: Any, service: Service) -> None:
    service.create("ann", "default", name="clicked twice")
    await opened(page, service)
    key = await named(page, "clicked twice")
    sent = operations(page, "Disable", "Enable")
    await key.get_by_role("button", name="Disable").dblclick()
    await key.get_by_text("Disabled", exact=True).wait_for()
    await page.wait_for_timeout(700)
    assert sent == ["Disable"]
    await page.get_by_role("button", name="Undo").dblclick()
    await key.get_by_text("Enabled", exact=True).wait_for()
    await page.wait_for_timeout(700)
    assert sent == ["Disable", "Enable"]
    assert await page.get_by_role("button", name="Disable clicked twice").is_enabled()


async def test_of_several_keys_those_that_fail_stay_selected_and_are_named(page: Any, service: Service) -> None:
    keys = [made(service, "partly", name=f"part {number}") for number in range(3)]
    await open_domain(page, service, "partly")
    await row(page, "part 2").wait_for()

    async def fail(route: Any) -> None:
        sent = route.request.post_data or ""
        await (route.abort() if "disableApiKey" in sent and keys[1]["apiKeyId"] in sent else route.continue_())

    await page.route("**/graphql", fail)
    await page.get_by_label("Select all keys of this page").check()
    await page.get_by_role("group", name="Selected keys").get_by_role("button", name="Disable").click()
    message = page.get_by_role("alert").filter(has_text="Disabled 2 keys.")
    await message.wait_for()
    assert "Not disabled: part 1. The service cannot be reached." in await message.inner_text()
    await page.get_by_text("1 selected").wait_for()
    assert await page.get_by_label("Select part 1").is_checked()
    await row(page, "part 1").get_by_text("Enabled", exact=True).wait_for()


@pytest.mark.parametrize(("action", "first"), [("Disable", "Enabled"), ("Enable", "Disabled")])
async def test_undo_changes_only_the_keys_that_the_action_changed(
    page: Any, service: Service, action: str, first: str
) -> None:
    domain_id, other = f"undone {action}", {"Enabled": "Disabled", "Disabled": "Enabled"}[first]
    names = {"changed": first, "as before": other, "changed by others": first}
    keys = {name: made(service, domain_id, name=name) for name in names}
    for name, state in names.items():
        if state == "Disabled":
            service.data(DISABLE, {"input": keys[name]})
    await open_domain(page, service, domain_id)
    await page.get_by_label("Select all keys of this page").check()
    service.data(DISABLE if action == "Disable" else ENABLE, {"input": keys["changed by others"]})
    await row(page, "changed by others").get_by_text(other, exact=True).wait_for()
    await page.get_by_role("group", name="Selected keys").get_by_role("button", name=action).click()
    message = page.get_by_role("status").filter(has_text=f"{action}d changed.")
    await message.wait_for()
    assert f"{action}d already: " in await message.inner_text()
    await row(page, "changed").get_by_text(other, exact=True).wait_for()
    await page.get_by_role("button", name="Undo", disabled=False).click()
    await row(page, "changed").get_by_text(first, exact=True).wait_for()
    await page.wait_for_timeout(300)
    states = {name: service.data(STATE, {"input": key})["apiKey"]["state"] for name, key in keys.items()}
    assert states == {"changed": first.upper(), "as before": other.upper(), "changed by others": other.upper()}


async def test_of_keys_that_are_all_disabled_nothing_is_undone(page: Any, service: Service) -> None:
    service.data(DISABLE, {"input": made(service, "nothing undone", name="long since")})
    await open_domain(page, service, "nothing undone")
    await page.get_by_label("Select long since").check()
    await page.get_by_role("group", name="Selected keys").get_by_role("button", name="Disable").click()
    await page.get_by_text("Disabled already: long since.").wait_for()
    assert await page.get_by_role("button", name="Undo").count() == 0


async def test_the_filter_and_the_counts_of_states_say_what_the_column_says(page: Any, service: Service) -> None:
    made(service, "states", name="enabled one")
    service.data(DISABLE, {"input": made(service, "states", name="disabled one")})
    made(service, "states", name="expired one", expiresAt=soon(seconds=1))
    both = made(service, "states", name="disabled and ended", expiresAt=soon(seconds=1))
    service.data(DISABLE, {"input": both})
    await asyncio.sleep(1.2)
    await open_domain(page, service, "states")
    column = {
        "Enabled": ["enabled one"],
        "Expired": ["expired one"],
        "Disabled": ["disabled one", "disabled and ended"],
    }
    for state, names in column.items():
        await field(page, "State").select_option(label=state)
        await page.get_by_role("heading", name=f"Keys of states {len(names)}", exact=True).wait_for()
        for name in names:
            await row(page, name).get_by_text(state, exact=True).wait_for()
    bars = page.get_by_role("region", name="Counts").get_by_role("figure").filter(has_text="By state")
    assert sorted(await bars.get_by_role("listitem").all_inner_texts()) == ["Disabled\n2", "Enabled\n1", "Expired\n1"]
    await bars.get_by_role("button", name="Expired").click()
    await row(page, "expired one").wait_for()
    await page.get_by_role("heading", name="Keys of states 1", exact=True).wait_for()


async def test_a_key_that_ends_while_the_page_is_open_is_shown_as_expired(page: Any, service: Service) -> None:
    made(service, "ending", name="ends soon", expiresAt=soon(minutes=1))
    made(service, "ending", name="ends later", expiresAt=soon(minutes=100))
    await page.clock.install()
    await open_domain(page, service, "ending")
    await row(page, "ends soon").get_by_text("Enabled", exact=True).wait_for()
    await row(page, "ends later").get_by_text("in 2 hr.").wait_for()
    await page.clock.fast_forward("02:30")
    await row(page, "ends soon").get_by_text("Expired", exact=True).wait_for()
    await page.clock.fast_forward("45:00")
    await row(page, "ends later").get_by_text("in 52 min.").wait_for()


async def test_an_idle_page_reads_the_counts_again_only_after_an_end_and_while_it_is_visible(
    page: Any, service: Service
) -> None:
    noon = datetime.now(UTC).replace(hour=12, minute=0) + timedelta(days=2)  # no day ends in this test
    made(service, "idle", name="ends soon", expiresAt=(noon + timedelta(minutes=10)).isoformat())
    made(service, "idle", name="ends later", expiresAt=(noon + timedelta(minutes=30)).isoformat())
    made(service, "idle", name="never ends")
    await page.clock.install(time=noon)
    await open_domain(page, service, "idle")
    counts = page.get_by_role("region", name="Counts").get_by_role("figure").filter(has_text="By state")
    await counts.get_by_role("listitem").filter(has_text="Enabled").filter(has_text="3").wait_for()
    await page.wait_for_timeout(1_500)  # the read after the subscription began
    sent = operations(page, "Statistics")

    async def pass_minutes(number: int) -> None:
        for _ in range(number):
            await page.clock.fast_forward("01:00")
            await page.wait_for_timeout(50)

    await pass_minutes(8)
    assert sent == []
    await pass_minutes(3)
    await counts.get_by_role("listitem").filter(has_text="Expired").filter(has_text="1").wait_for()
    assert set(sent) == {"Statistics"}
    sent.clear()
    await page.evaluate(HIDE)
    await pass_minutes(21)
    assert sent == []
    await page.evaluate(UNHIDE)
    await counts.get_by_role("listitem").filter(has_text="Expired").filter(has_text="2").wait_for()


async def test_changes_that_come_steadily_do_not_stop_the_list(page: Any, service: Service) -> None:
    key = made(service, "steady", name="changed steadily")
    await open_domain(page, service, "steady")
    await row(page, "changed steadily").wait_for()
    await page.wait_for_timeout(1_500)  # the read after the subscription began
    is_over = False

    async def change() -> None:
        number = 0
        while not is_over:
            number += 1
            await asyncio.to_thread(service.data, UPDATE, {"input": {**key, "name": f"change {number}"}})
            await asyncio.sleep(0.1)

    changing = asyncio.create_task(change())
    try:
        await page.wait_for_timeout(1_000)
        await asyncio.to_thread(made, service, "steady", name="made meanwhile")
        await row(page, "made meanwhile").wait_for(timeout=5_000)
    finally:
        is_over = True
        await changing


async def test_no_list_of_scopes_is_not_the_empty_list(page: Any, service: Service) -> None:
    nothing = made(service, "scoped", name="with the empty list", scopes=[])
    made(service, "scoped", name="without a list")
    await open_domain(page, service, "scoped")
    await page.get_by_role("button", name="without a list", exact=True).click()
    panel = page.get_by_role("dialog")
    await panel.get_by_role("definition").filter(has_text="all that the role may do").wait_for()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="with the empty list", exact=True).click()
    await panel.get_by_role("definition").filter(has_text="none: it may do nothing").wait_for()
    await page.get_by_text("Change name, end").click()
    await panel.get_by_text("None: the key may do nothing.").wait_for()

    for choice, text, scopes in (("", None, None), ("scopes", "", []), ("", None, None), (None, "a b", ["a", "b"])):
        if choice is not None:
            await page.get_by_role("combobox", name="May do").select_option(choice)
        if text is not None:
            await page.get_by_label("Scopes, separated").fill(text)
        await page.get_by_role("button", name="Save").click()
        async with asyncio.timeout(10):
            while service.data(GET, {"input": nothing})["apiKey"]["scopes"] != scopes:
                await page.wait_for_timeout(50)
    await page.keyboard.press("Escape")

    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Name", exact=True).fill("made for nothing")
    await page.get_by_text("Scopes, tags").click()
    await page.get_by_role("combobox", name="May do").select_option("scopes")
    await page.get_by_role("button", name="Create", exact=True).click()
    await page.get_by_role("button", name="I have kept it").click()
    await page.get_by_role("button", name="made for nothing", exact=True).click()
    await panel.get_by_role("definition").filter(has_text="none: it may do nothing").wait_for()


async def test_a_tag_with_an_equals_sign_in_its_name_stays_as_it_is(page: Any, service: Service) -> None:
    tags = [{"name": "a=b", "value": "c=d"}, {"name": "back\\", "value": "e"}, {"name": "\\=", "value": "\\"}]
    key = made(service, "tagged", name="tagged", tags=tags)
    await open_domain(page, service, "tagged")
    await page.get_by_role("button", name="tagged", exact=True).click()
    await page.get_by_text("Change name, end").click()
    text = page.get_by_label("Tags, one per line")
    await text.fill(await text.input_value() + "\nmore=1")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("status").filter(has_text="Saved.").wait_for()
    assert service.data(GET, {"input": key})["apiKey"]["tags"] == [*tags, {"name": "more", "value": "1"}]


async def test_after_the_only_key_of_the_last_page_the_page_before_is_shown(page: Any, service: Service) -> None:
    for number in range(26):
        made(service, "two pages", name=f"key {number}")
    await open_domain(page, service, "two pages")
    await row(page, "key 25").wait_for()
    await page.get_by_role("button", name="Next").click()
    await row(page, "key 0").get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await row(page, "key 25").wait_for()
    assert await page.get_by_text("There are no keys here yet.").count() == 0


async def test_a_pause_after_a_blank_does_not_swallow_it(page: Any, service: Service) -> None:
    made(service, "default", name="two words")
    await opened(page, service)
    typed = page.get_by_label("Name contains")
    await typed.press_sequentially("two ")
    await page.wait_for_url("**text=two")
    await page.wait_for_timeout(100)
    await typed.press_sequentially("words")
    await page.wait_for_url("**text=two+words")
    assert await typed.input_value() == "two words"


async def test_the_service_itself_is_named_in_the_log_of_a_key(page: Any, service: Service) -> None:
    key = made(service, "actors", name="acted on")
    real = "apiKeyAudit"

    async def rename(route: Any) -> None:
        answer = await route.fetch()
        body = await answer.json()
        for entry in ((body.get("data") or {}).get(real) or {}).get("nodes", []):
            entry["actor"]["kind"] = "SERVICE" if entry["apiKeyId"] == key["apiKeyId"] else "HOLDER"
        await route.fulfill(response=answer, json=body)

    await open_domain(page, service, "actors")
    await page.route("**/graphql", rename)
    await page.get_by_role("button", name="acted on", exact=True).click()
    await page.get_by_role("region", name="What was done to it").get_by_text("by the service itself").wait_for()


async def test_back_does_not_show_what_was_looked_for_with_a_forgotten_key(page: Any, service: Service) -> None:
    await opened(page, service)
    await page.get_by_label("User", exact=True).fill("somebody")
    await page.wait_for_url("**userId=somebody")
    await field(page, "Order").select_option(label="Name")
    await page.wait_for_url("**order=name")
    await page.get_by_role("button", name="Forget the key").click()
    await page.get_by_label("Your API key").wait_for()
    await page.go_back()
    await page.wait_for_timeout(200)
    assert page.url == f"{service.url}/console"
    await page.go_forward()
    await page.get_by_label("Your API key").fill(service.admin_key)
    await page.get_by_role("button", name="Show keys").click()
    await page.get_by_role("table").wait_for()
    for _ in range(2):
        await page.go_back()
        await page.wait_for_timeout(200)
        assert "somebody" not in page.url
        assert await page.get_by_label("User", exact=True).input_value() == ""
    await page.evaluate("history.go(3)")
    await page.wait_for_timeout(200)
    # A link is no entry of another sign-in.
    await page.goto(f"{service.url}/console#userId=admin")
    await page.get_by_label("User", exact=True).wait_for()
    assert await page.get_by_label("User", exact=True).input_value() == "admin"


@pytest.mark.parametrize("path", ["console", "graphql"])
async def test_a_page_that_back_shows_again_knows_that_its_key_was_forgotten(
    page: Any, service: Service, path: str
) -> None:
    await page.goto(f"{service.url}/{path}#key={service.admin_key}")
    await page.get_by_role("button", name=re.compile("Forget")).wait_for()
    await page.evaluate(
        "sessionStorage.removeItem('gql_identity:key');"
        "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
    )
    await page.get_by_label("API key").wait_for()
    assert await page.get_by_role("button", name=re.compile("Forget")).count() == 0


async def test_a_page_that_back_shows_again_does_not_show_what_another_person_looked_for(
    page: Any, service: Service
) -> None:
    """The key was forgotten in another page of this tab, and somebody else has signed in there since."""
    of_bob = service.create("bob", "default", role="DOMAIN_OWNER", name="of bob")["apiKey"]
    await opened(page, service)
    await page.get_by_label("User", exact=True).fill("somebody")
    await page.wait_for_url("**userId=somebody")
    sent: list[Any] = []
    page.on("request", lambda one: sent.append(one))
    await page.evaluate(
        "secret => { sessionStorage.clear(); sessionStorage.setItem('gql_identity:key', secret);"
        "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true })) }",
        of_bob,
    )
    await page.get_by_text("bob of default").wait_for()
    await row(page, "of bob").wait_for()
    assert page.url == f"{service.url}/console"
    assert await page.get_by_label("User", exact=True).input_value() == ""
    by_bob = [one.post_data or "" for one in sent if one.headers.get("authorization") == f"Bearer {of_bob}"]
    assert by_bob
    assert not [one for one in by_bob if "somebody" in one]


@pytest.mark.parametrize(("path", "script"), [("console", "app"), ("graphql", "page")])
async def test_a_page_whose_script_cannot_be_loaded_says_so(
    browser: Any, service: Service, path: str, script: str
) -> None:
    async with new_page(browser) as page:
        await page.route(re.compile(rf"/assets/{script}-[^/]*\.js"), lambda route: route.abort())
        await page.goto(f"{service.url}/{path}")
        await page.get_by_role("alert").filter(has_text="The page could not be loaded.").wait_for()
        await page.unroute_all()
        await page.get_by_role("button", name="Load it again").click()
        await page.get_by_label("API key").wait_for()


async def test_after_signing_in_with_a_key_that_may_not_read_itself_nobody_else_is_named(
    page: Any, service: Service
) -> None:
    first = service.create("eve", "default", role="DOMAIN_OWNER", name="of eve")
    other = {"domainId": "default", "userId": "bob", "name": "blind", "scopes": ["identity:write"]}
    blind = service.data(CREATE, {"input": other})["createApiKey"]
    await opened(page, service, first["apiKey"])
    await page.get_by_text("eve of default").wait_for()
    service.data(DISABLE, {"input": {"domainId": "default", "apiKeyId": first["apiKeyId"]}})
    again = page.get_by_role("dialog", name="Sign in again")
    await again.get_by_label("Your API key").fill(blind["apiKey"])
    await again.get_by_role("button", name="Show keys").click()
    await page.get_by_role("alert").filter(has_text="identity:read").first.wait_for()
    assert await page.get_by_text("eve of default").count() == 0
