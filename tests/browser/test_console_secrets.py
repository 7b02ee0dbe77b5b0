"""A new secret in the console: it is shown until the person has kept it, whatever happens meanwhile."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import HTTP, START_SECONDS, Service, serving, wait_until

from .chromium import lose_first_response, new_page
from .console import lose_create, named, opened, row

pytestmark = pytest.mark.slow

SECRET = ".secret code"
# What a browser does on the second "back" gesture of Android: it closes the dialog on top and asks nobody.
CLOSE = "[...document.querySelectorAll('dialog')].at(-1).close()"
ROTATE = "mutation($input: RotateAPIKeyRequest!) { rotateApiKey(input: $input) { id } }"
WHO = "{ viewer { userId } }"


async def open_panel(page: Any, service: Service, name: str) -> Any:
    """Make a key and open its panel."""
    service.create("ann", "default", name=name)
    await opened(page, service)
    await named(page, name)
    await page.wait_for_url("**text=*")  # the typing has paused
    await row(page, name).get_by_role("button", name=name, exact=True).click()
    panel = page.get_by_role("dialog", name=name, exact=True)
    await panel.get_by_role("button", name="Rotate").wait_for()
    return panel


@asynccontextmanager
async def held_back(page: Any, operation: str) -> AsyncIterator[list[Any]]:
    """The inputs of this mutation that are sent; none is sent on until the block ends."""
    inputs: list[Any] = []
    is_let_go = asyncio.Event()

    async def hold(route: Any) -> None:
        if operation in (route.request.post_data or ""):
            inputs.append(json.loads(route.request.post_data)["variables"]["input"])
            await is_let_go.wait()
        await route.continue_()

    await page.route("**/graphql", hold)
    yield inputs
    is_let_go.set()


def expect_of(service: Service, secret: str, user_id: str) -> None:
    assert service.send(WHO, by=secret).json()["data"]["viewer"]["userId"] == user_id


async def test_back_leaves_a_new_secret(page: Any, service: Service) -> None:
    panel = await open_panel(page, service, "back of a shown one")
    await panel.get_by_role("button", name="Rotate").click()
    secret = await page.locator(SECRET).inner_text()
    await page.go_back()
    await panel.wait_for(state="detached")
    assert await page.locator(SECRET).inner_text() == secret
    expect_of(service, secret, "ann")
    await page.get_by_role("button", name="I have kept it").click()
    assert secret not in await page.content()


async def test_back_while_a_key_is_rotated_leaves_its_secret(page: Any, service: Service) -> None:
    panel = await open_panel(page, service, "back of a rotation")
    async with held_back(page, "rotateApiKey") as inputs:
        await panel.get_by_role("button", name="Rotate").click()
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        await page.evaluate(CLOSE)
        await page.wait_for_timeout(100)
        assert await panel.is_visible()
        assert await panel.get_by_role("button", name="Close", exact=True).is_disabled()
        await page.go_back()
        await panel.wait_for(state="detached")
    expect_of(service, await page.locator(SECRET).inner_text(), "ann")
    assert re.fullmatch(r"[0-9-]{16,64}", inputs[0]["requestId"])


async def test_a_dialog_that_creates_a_key_stays_until_the_response(page: Any, service: Service) -> None:
    await opened(page, service)
    await page.get_by_role("button", name="New key").click()
    async with held_back(page, "createApiKey") as inputs:
        await page.get_by_role("button", name="Create", exact=True).click()
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        await page.evaluate(CLOSE)
        await page.wait_for_timeout(100)
        assert await page.get_by_role("dialog", name="New key").is_visible()
        assert await page.get_by_role("button", name="Cancel").is_disabled()
    expect_of(service, await page.locator(SECRET).inner_text(), "admin")
    assert "requestId" in inputs[0]


async def test_a_lost_response_to_a_rotation_loses_no_secret(page: Any, service: Service) -> None:
    panel = await open_panel(page, service, "rotated once")
    await lose_first_response(page, "rotateApiKey")
    rotate = panel.get_by_role("button", name="Rotate")
    await rotate.click()
    await panel.get_by_text("The service cannot be reached.").wait_for()
    await panel.get_by_role("button", name="End the older secret").wait_for()  # the page has noticed the rotation
    await rotate.click()
    secret = await page.locator(SECRET).inner_text()
    expect_of(service, secret, "ann")
    await page.get_by_role("button", name="I have kept it").click()
    await panel.get_by_text("Rotated", exact=True).wait_for()
    assert await panel.get_by_text("Rotated", exact=True).count() == 1
    # The next rotation is one of its own.
    await panel.get_by_role("button", name="End the older secret").click()
    await page.get_by_role("button", name="End it").click()
    await rotate.click()
    assert await page.locator(SECRET).inner_text() != secret


async def test_a_lost_response_to_a_rotation_outlasts_the_panel(page: Any, service: Service) -> None:
    panel = await open_panel(page, service, "closed and opened")
    await lose_first_response(page, "rotateApiKey")
    choice = panel.get_by_label("The old secret stays valid for")
    await choice.select_option("one hour")
    await panel.get_by_role("button", name="Rotate").click()
    await panel.get_by_text("Rotate again within ten minutes with the same choice, “one hour”").wait_for()
    await panel.get_by_role("button", name="End the older secret").wait_for()
    await choice.select_option("one day")  # another attempt, which two secrets do not allow
    assert await panel.get_by_role("button", name="Rotate").is_disabled()
    await panel.get_by_role("button", name="Close", exact=True).click()
    await page.wait_for_url(lambda url: "open=" not in url)
    await row(page, "closed and opened").get_by_role("button", name="closed and opened", exact=True).click()
    await panel.get_by_text("The response to a rotation was lost.").wait_for()
    async with held_back(page, "rotateApiKey") as inputs:
        await panel.get_by_role("button", name="Rotate").click()
    expect_of(service, await page.locator(SECRET).inner_text(), "ann")
    assert inputs[0]["overlapSeconds"] == 3600
    await page.get_by_role("button", name="I have kept it").click()
    await panel.get_by_text("Rotated", exact=True).wait_for()
    assert await panel.get_by_text("Rotated", exact=True).count() == 1
    assert await panel.get_by_text("lost").count() == 0


async def test_a_key_that_may_have_been_made_is_not_given_up_without_a_question(page: Any, service: Service) -> None:
    await lose_create(page, service, "perhaps made")
    dialog, name = page.get_by_role("dialog", name="New key"), page.get_by_label("Name", exact=True)
    await dialog.get_by_text("Create it again within ten minutes with the same fields").wait_for()
    question = page.get_by_role("dialog", name="Give up the key that may have been made?")
    await dialog.get_by_role("button", name="Cancel").click()
    await page.keyboard.press("Escape")
    await question.wait_for(state="detached")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    await page.evaluate(CLOSE)
    await page.wait_for_timeout(100)
    assert await dialog.is_visible()
    await name.fill("another one")
    await page.get_by_role("button", name="Create", exact=True).click()
    await question.get_by_role("button", name="Cancel").click()
    await name.fill("perhaps made")
    await page.get_by_role("button", name="Create", exact=True).click()
    expect_of(service, await page.locator(SECRET).inner_text(), "admin")
    await page.get_by_role("button", name="I have kept it").click()
    await named(page, "perhaps made")
    await page.get_by_role("heading", name="Keys of default 1", exact=True).wait_for()
    await page.get_by_label("Name contains").fill("another one")
    await page.get_by_text("No key matches these filters.").wait_for()


async def test_a_key_that_may_have_been_made_can_be_given_up(page: Any, service: Service) -> None:
    await lose_create(page, service, "given up")
    await page.get_by_text("Create it again").wait_for()
    await page.get_by_role("dialog", name="New key").get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Give it up").click()
    await page.get_by_role("dialog").wait_for(state="detached")
    await row(page, "given up").wait_for()


async def test_after_a_leak_a_key_with_two_secrets_is_rotated_without_an_overlap(page: Any, service: Service) -> None:
    panel = await open_panel(page, service, "leaked")
    await panel.get_by_role("button", name="Rotate").click()
    leaked = await page.locator(SECRET).inner_text()
    await page.get_by_role("button", name="I have kept it").click()
    await panel.get_by_role("button", name="End the older secret").wait_for()
    assert await panel.get_by_role("button", name="Rotate").is_disabled()
    await panel.get_by_label("The old secret stays valid for").select_option("no time")
    await panel.get_by_role("button", name="Rotate").click()
    question = page.get_by_role("dialog", name="Rotate without an overlap?")
    assert leaked[-4:] in await question.inner_text()
    await question.get_by_role("button", name="Cancel").click()
    expect_of(service, leaked, "ann")
    await panel.get_by_role("button", name="Rotate").click()
    await question.get_by_role("button", name="Rotate", exact=True).click()
    expect_of(service, await page.locator(SECRET).inner_text(), "ann")
    assert service.send(WHO, by=leaked).status_code == 401
    await page.get_by_role("button", name="I have kept it").click()
    await panel.get_by_role("button", name="End the older secret").wait_for(state="detached")


async def test_a_key_whose_overlap_has_ended_can_be_rotated(page: Any, service: Service) -> None:
    key = service.create("ann", "default", name="overlap of seconds")
    rotation = {"domainId": "default", "apiKeyId": key["apiKeyId"], "overlapSeconds": 8}
    await page.clock.install()
    await opened(page, service)
    await (await named(page, "overlap of seconds")).get_by_role("button", name="overlap of seconds", exact=True).click()
    panel = page.get_by_role("dialog", name="overlap of seconds")
    service.data(ROTATE, {"input": rotation})
    await panel.get_by_role("button", name="End the older secret").wait_for()
    assert await panel.get_by_role("button", name="Rotate").is_disabled()
    await page.clock.fast_forward("00:10")
    await page.clock.fast_forward("01:00")
    await panel.get_by_role("button", name="End the older secret").wait_for(state="detached")
    assert await panel.get_by_role("button", name="Rotate").is_enabled()


async def test_a_dialog_that_stays_is_opened_again_when_the_browser_closes_it(page: Any, service: Service) -> None:
    panel = await open_panel(page, service, "closed by the browser")
    await panel.get_by_role("button", name="Rotate").click()
    await page.locator(SECRET).wait_for()
    for _ in range(3):
        await page.evaluate(CLOSE)
        await page.wait_for_timeout(50)
        assert await page.locator(SECRET).is_visible()
        assert await page.evaluate("document.querySelector('dialog:has(.secret)').matches(':modal')")
    await page.get_by_role("button", name="I have kept it").click()
    await page.locator(SECRET).wait_for(state="detached")
    await page.evaluate(CLOSE)  # of the panel, which does not stay
    await page.wait_for_url(re.compile("^[^=]*text=[^=]*$"))
    await panel.wait_for(state="detached")


async def test_leaving_the_page_asks_while_a_secret_is_shown(page: Any, service: Service) -> None:
    panel = await open_panel(page, service, "leaving")
    await panel.get_by_role("button", name="Rotate").click()
    secret = await page.locator(SECRET).inner_text()
    questions: list[str] = []

    async def stay(dialog: Any) -> None:
        questions.append(dialog.type)
        await dialog.dismiss()

    page.on("dialog", stay)
    await page.evaluate("void location.reload()")
    async with asyncio.timeout(10):
        while not questions:
            await page.wait_for_timeout(50)
    assert questions == ["beforeunload"]
    assert await page.locator(SECRET).inner_text() == secret
    await page.get_by_role("button", name="I have kept it").click()
    await page.reload()
    await panel.wait_for()
    assert len(questions) == 1


async def test_ending_the_older_secret_asks_first(page: Any, service: Service) -> None:
    panel = await open_panel(page, service, "asked first")
    await panel.get_by_role("button", name="Rotate").click()
    await page.get_by_role("button", name="I have kept it").click()
    await panel.get_by_role("button", name="End the older secret").click()
    question = page.get_by_role("dialog", name="End the older secret?")
    await question.get_by_role("button", name="Cancel").click()
    assert await panel.get_by_role("button", name="Rotate").is_disabled()
    await panel.get_by_role("button", name="End the older secret").click()
    await question.get_by_role("button", name="End it").click()
    await panel.get_by_text("Overlap ended", exact=True).wait_for()


def token_of(service: Service) -> str:
    """A token of the first key."""
    wait_until(lambda: service.status("/.well-known/jwks.json") == 200, START_SECONDS)
    me = service.data("{ viewer { apiKeyInfo { apiKeyId } } }")["viewer"]["apiKeyInfo"]["apiKeyId"]
    form = {"grant_type": "client_credentials", "audience": "http://127.0.0.1:8000"}
    answer = httpx.post(f"{service.url}/token", data=form, auth=(me, service.admin_key), **HTTP)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def test_a_caller_with_a_token_creates_and_rotates_keys(browser: Any, tmp_path: Path) -> None:
    with serving(tmp_path / "data", GQL_IDENTITY_ISSUER="http://127.0.0.1:8000") as service:
        token = token_of(service)
        async with new_page(browser) as page:
            await page.goto(f"{service.url}/console")
            await page.get_by_label("Your API key").fill(token)
            await page.get_by_role("button", name="Show keys").click()
            await page.get_by_role("button", name="New key").click()
            await page.get_by_label("Name", exact=True).fill("by a token")
            await page.get_by_role("button", name="Create", exact=True).click()
            expect_of(service, await page.locator(SECRET).inner_text(), "admin")
            await page.get_by_role("button", name="I have kept it").click()
            await row(page, "by a token").get_by_role("button", name="by a token", exact=True).click()
            await page.get_by_role("button", name="Rotate").click()
            expect_of(service, await page.locator(SECRET).inner_text(), "admin")
