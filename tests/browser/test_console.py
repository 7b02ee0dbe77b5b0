"""The console in Chromium, against the running service, with every other address unreachable."""

import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing_tool
from tests.processes import Service, serving

from .chromium import new_page
from .console import lose_create, named, opened, row
from .test_graphiql import sign_in_code

pytestmark = pytest.mark.slow

BUDGET_BYTES = 250_000  # of the first load, as it is sent
DISABLE = """mutation($input: APIKeyRequest!) { disableApiKey(input: $input) { state } }"""


async def test_the_link_signs_in_and_says_who_it_is(page: Any, service: Service) -> None:
    code = await sign_in_code(service)
    response = await page.goto(f"{service.url}/console#code={code}")
    await page.get_by_text("admin of default, system").wait_for()

    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert page.url == f"{service.url}/console"
    assert "code=" not in await page.evaluate("navigation.entries().map((entry) => entry.url).join()")
    assert await page.evaluate("JSON.stringify(localStorage)") == "{}"
    await page.get_by_role("button", name="Forget the key").click()
    await page.get_by_label("Your API key").wait_for()
    assert await page.evaluate("JSON.stringify(sessionStorage)") == "{}"


async def test_a_pasted_key_signs_in_and_a_wrong_one_is_refused(page: Any, service: Service) -> None:
    await page.goto(f"{service.url}/console")
    await page.get_by_label("Your API key").fill("gqlid_" + "x" * 49)
    await page.get_by_role("button", name="Show keys").click()
    await page.get_by_role("alert").filter(has_text="was refused").wait_for()
    await page.get_by_label("Your API key").fill(service.admin_key)
    await page.get_by_role("button", name="Show keys").click()
    await page.get_by_text("admin of default, system").wait_for()


async def test_a_key_that_is_disabled_meanwhile_is_said_to_be(page: Any, service: Service) -> None:
    made = service.create("ann", "default", name="mine")
    await opened(page, service, made["apiKey"])
    service.data(DISABLE, {"input": {"domainId": "default", "apiKeyId": made["apiKeyId"]}})
    await page.get_by_role("alert").filter(has_text="was refused").wait_for()


async def test_a_key_is_made_and_its_secret_is_shown_once(page: Any, service: Service) -> None:
    await opened(page, service)
    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Name", exact=True).fill("made here")
    await page.get_by_role("button", name="Create", exact=True).click()
    dialog = page.get_by_role("dialog", name="The new key")
    secret = await dialog.locator("code").inner_text()
    assert service.send("{ viewer { userId } }", by=secret).json()["data"]["viewer"]["userId"] == "admin"
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    assert await dialog.is_visible()
    await page.get_by_role("button", name="I have kept it").click()
    await row(page, "made here").wait_for()
    assert secret not in await page.content()


async def test_disabling_is_undone_and_deleting_asks_with_the_name(page: Any, service: Service) -> None:
    service.create("ann", "default", name="to and fro")
    await opened(page, service)
    key = await named(page, "to and fro")
    await key.get_by_role("button", name="Disable").click()
    await key.get_by_text("Disabled", exact=True).wait_for()
    await page.get_by_role("button", name="Undo").click()
    await key.get_by_text("Enabled", exact=True).wait_for()
    await key.get_by_role("button", name="Delete").click()
    question = page.get_by_role("dialog", name="Delete to and fro?")
    await question.get_by_role("button", name="Cancel").click()
    await key.get_by_role("button", name="Delete").click()
    await question.get_by_role("button", name="Delete").click()
    await page.get_by_text("No key matches these filters.").wait_for()


async def test_a_lost_response_makes_no_second_key(page: Any, service: Service) -> None:
    await lose_create(page, service, "made once")
    await page.get_by_role("dialog").get_by_text("The service cannot be reached.").wait_for()
    await page.get_by_role("button", name="Create", exact=True).click()
    await page.get_by_role("button", name="I have kept it").click()
    await named(page, "made once")
    await page.get_by_role("heading", name="Keys of default 1", exact=True).wait_for()


async def test_a_secret_can_be_selected_where_the_clipboard_is_absent(page: Any, service: Service) -> None:
    await page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    await opened(page, service)
    await page.get_by_role("button", name="New key").click()
    await page.get_by_role("button", name="Create", exact=True).dblclick()
    await page.get_by_role("button", name="Copy").click()
    await page.get_by_text("Could not copy: select the text instead.").wait_for()


async def test_a_double_click_rotates_once(page: Any, service: Service) -> None:
    service.create("ann", "default", name="double")
    await opened(page, service)
    await (await named(page, "double")).get_by_role("button", name="double", exact=True).click()
    await page.get_by_label("The old secret stays valid for").select_option("0")
    await page.get_by_role("button", name="Rotate", exact=True).click()
    await page.get_by_role("dialog", name="Rotate without an overlap?").get_by_role("button", name="Rotate").dblclick()
    secret = await page.locator(".secret code").inner_text()
    await page.get_by_role("button", name="I have kept it").click()
    await page.get_by_text("Rotated", exact=True).wait_for()
    assert await page.get_by_text("Rotated", exact=True).count() == 1
    assert service.send("{ viewer { userId } }", by=secret).json()["data"]["viewer"]["userId"] == "ann"


async def test_several_keys_are_disabled_at_once(page: Any, service: Service) -> None:
    for number in range(3):
        service.create("ben", "default", name=f"batch {number}")
    await opened(page, service)
    await page.get_by_label("Name contains").fill("batch")
    await page.get_by_role("heading", name="Keys of default 3", exact=True).wait_for()
    await page.get_by_label("Select all keys of this page").check()
    await page.get_by_role("group", name="Selected keys").get_by_role("button", name="Disable").click()
    await page.get_by_text("Disabled 3 keys.").wait_for()
    await page.get_by_role("button", name="Undo").click()
    await page.get_by_text("Enabled 3 keys.").wait_for()


async def test_changes_of_others_arrive(page: Any, service: Service) -> None:
    await opened(page, service)
    made = service.create("eve", "default", name="from elsewhere")
    await row(page, "from elsewhere").get_by_text("Enabled", exact=True).wait_for()
    service.data(DISABLE, {"input": {"domainId": "default", "apiKeyId": made["apiKeyId"]}})
    await row(page, "from elsewhere").get_by_text("Disabled", exact=True).wait_for()


async def test_pages_go_on_and_back(page: Any, service: Service) -> None:
    for number in range(30):
        service.create("u", "paged", name=f"key {number}")
    await opened(page, service)
    await page.get_by_label("Domain", exact=True).fill("paged")
    await page.get_by_role("button", name="Show domain").click()
    await row(page, "key 29").wait_for()
    await page.get_by_role("button", name="Next").click()
    await row(page, "key 0").wait_for()
    await page.get_by_role("button", name="Previous").click()
    await row(page, "key 29").wait_for()


async def test_a_key_is_rotated_changed_and_followed(page: Any, service: Service) -> None:
    old = service.create("ann", "default", name="turning")["apiKey"]
    await opened(page, service)
    await (await named(page, "turning")).get_by_role("button", name="turning", exact=True).click()
    await page.get_by_role("button", name="Rotate", exact=True).click()
    new = await page.locator(".secret code").inner_text()
    for secret in (old, new):
        assert service.send("{ viewer { userId } }", by=secret).json()["data"]["viewer"]["userId"] == "ann"
    await page.get_by_role("button", name="I have kept it").click()
    await page.get_by_text("Rotated", exact=True).wait_for()
    await page.get_by_text("Change name, end").click()
    await page.get_by_label("Tags, one per line").fill("team=payments")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Updated", exact=True).wait_for()
    await page.get_by_role("button", name="End the older secret").click()
    await page.get_by_role("button", name="End it").click()
    await page.get_by_text("Overlap ended", exact=True).wait_for()
    assert service.send("{ viewer { userId } }", by=old).status_code == 401


async def test_an_interrupted_network_is_said_and_mended(page: Any, service: Service) -> None:
    await opened(page, service)
    await page.context.set_offline(True)
    await page.get_by_role("status").filter(has_text="Not connected, trying again").wait_for(timeout=2_000)
    await page.get_by_label("Name contains").fill("anything")
    await page.get_by_role("alert").filter(has_text="cannot be reached").wait_for()
    await page.context.set_offline(False)  # the page reads again by itself
    await page.get_by_text("No key matches these filters.").wait_for()
    await page.get_by_role("status").filter(has_text=re.compile("^Live$")).wait_for()


async def test_a_service_that_is_silent_is_noticed(browser: Any, tmp_path: Path) -> None:
    """The connection stands, and nothing comes: as with a cable pulled out somewhere on the way."""
    with serving(tmp_path / "data") as service:
        async with new_page(browser) as page:
            await opened(page, service)
            service.process.send_signal(signal.SIGSTOP)
            await page.get_by_role("status").filter(has_text="Not connected, trying again").wait_for(timeout=17_000)
            service.process.send_signal(signal.SIGCONT)
            await page.get_by_role("status").filter(has_text=re.compile("^Live$")).wait_for()


async def test_a_key_that_expires_meanwhile_is_said_to_be(page: Any, service: Service) -> None:
    expires_at = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    fields = {"domainId": "default", "userId": "ann", "expiresAt": expires_at}
    made = service.data(
        "mutation($input: CreateAPIKeyRequest!) { createApiKey(input: $input) { apiKey } }", {"input": fields}
    )
    await page.goto(f"{service.url}/console#key={made['createApiKey']['apiKey']}")
    await page.get_by_role("alert").filter(has_text="was refused").wait_for()


async def test_a_database_that_is_away_is_said_and_comes_back(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path / "data", GQL_IDENTITY_OPERATION_TIMEOUT_SECONDS="2") as service:
        async with new_page(browser) as page:
            await opened(page, service)
            service.database.signal(signal.SIGSTOP)
            await page.get_by_label("Name contains").fill("anything")
            await page.get_by_role("alert").first.wait_for()
            service.database.signal(signal.SIGCONT)  # the page tries again by itself
            await page.get_by_text("No key matches these filters.").wait_for()


async def test_the_first_load_is_small_and_compressed(browser: Any, service: Service) -> None:
    received: list[Any] = []
    async with new_page(browser) as page:
        page.on("response", lambda response: received.append(response))
        await opened(page, service)
    files = [response for response in received if "/pages/" in response.url]
    if any("content-encoding" not in response.headers for response in files):
        missing_tool("the pages' compressed files (make builds them)")
    assert sum(int(response.headers["content-length"]) for response in files) < BUDGET_BYTES
    assert len(files) <= 8
