"""The React example in Chromium: vite serves its page and passes requests on to the running service."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import missing_tool
from tests.processes import ROOT, surroundings, wait_until

from .chromium import lose_first_response, new_page

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "examples" / "react"
CREATE = """mutation($userId: ID!, $name: String) {
  createApiKey(input: {domainId: "default", userId: $userId, name: $name}) { apiKeyId } }"""
DELETE = "mutation($i: APIKeyRequest!) { deleteApiKey(input: $i) { id } }"


VITE = ["node", str(EXAMPLE / "node_modules" / "vite" / "bin" / "vite.js")]


def build(folder: Path, **variables: str) -> None:
    """Build the page into a folder, with these variables of the environment."""
    if shutil.which("node") is None:
        missing_tool("node")
    if not (EXAMPLE / "node_modules").exists():
        missing_tool("the example's packages (npm ci in examples/react)")
    command = [*VITE, "build", "--outDir", str(folder), "--emptyOutDir"]
    subprocess.run(command, cwd=EXAMPLE, env=surroundings(**variables), check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def address(served: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where `vite preview` shows the page as it is built."""
    built = tmp_path_factory.mktemp("react")
    build(built)
    options: dict[str, Any] = {"cwd": EXAMPLE, "env": surroundings(IDENTITY_URL=served.url, NO_COLOR="1"), "text": True}
    log = built / "preview.log"
    command = [*VITE, "preview", "--outDir", str(built), "--host", "127.0.0.1", "--port", "0"]
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, **options) as preview:
        try:
            wait_until(lambda: preview.poll() is not None or "http://" in log.read_text(), 60)
            found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
            assert found, log.read_text()
            yield found[0]
        finally:
            preview.terminate()


@pytest_asyncio.fixture(loop_scope="session")
async def page(address: str, browser: Any) -> AsyncIterator[Any]:
    async with new_page(browser, viewport={"width": 1100, "height": 800}) as page:
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        setattr(page, "errors", errors)  # noqa: B010
        await page.goto(address)
        yield page
    assert errors == []


async def sign_in(page: Any, secret: str) -> None:
    await page.get_by_label("Your API key").fill(secret)
    await page.get_by_role("button", name="Show keys").click()


async def create(page: Any, name: str) -> str:
    """Make a key; the secret that the page shows."""
    await page.get_by_label("User", exact=True).fill("ann")
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_role("button", name="Create").click()
    shown = page.get_by_role("region", name="The new key's secret")
    await shown.wait_for()
    return str(await shown.locator("code").inner_text())


def row(page: Any, name: str) -> Any:
    return page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True))


async def test_it_creates_a_key_and_shows_its_secret_once(page: Any, served: Any) -> None:
    await sign_in(page, served.admin_key)
    await row(page, "first key").wait_for()
    secret = await create(page, "shown once")
    await row(page, "shown once").wait_for()
    assert served.send("{ __typename }", by=secret).status_code == 200
    await page.get_by_role("button", name="I have kept it").click()
    assert secret not in await page.content()
    assert await page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])") == '[{},{},""]'
    assert await page.get_by_label("User", exact=True).input_value() == ""  # the form is ready for the next one


async def test_a_key_gets_an_end_which_is_shown(page: Any, served: Any) -> None:
    await sign_in(page, served.admin_key)
    await page.get_by_label("Ends", exact=True).fill("2099-12-24")
    secret = await create(page, "until then")
    await row(page, "until then").get_by_role("cell", name=re.compile("24.*2099|2099.*24")).wait_for()
    viewer = served.send("{ viewer { apiKeyInfo { expiresAt } } }", by=secret).json()["data"]["viewer"]
    assert viewer["apiKeyInfo"]["expiresAt"].startswith(("2099-12-24", "2099-12-25"))


async def test_a_rotated_key_shows_its_new_secret_once_and_both_work(page: Any, served: Any) -> None:
    await sign_in(page, served.admin_key)
    older = await create(page, "to rotate")
    await page.get_by_role("button", name="I have kept it").click()
    await page.get_by_role("button", name="Rotate to rotate").click()
    shown = page.get_by_role("region", name="The new secret of to rotate")
    await shown.wait_for()
    newer = str(await shown.locator("code").inner_text())
    for secret in (older, newer):
        assert served.send("{ __typename }", by=secret).status_code == 200
    await page.get_by_role("button", name="I have kept it").click()
    assert newer not in await page.content()
    await page.get_by_role("button", name="Rotate to rotate").click()
    await row(page, "to rotate").get_by_role("alert").wait_for()  # two secrets are open: the service says what to do


async def test_it_disables_enables_and_deletes_a_key(page: Any, served: Any) -> None:
    await sign_in(page, served.admin_key)
    secret = await create(page, "to and fro")

    await page.get_by_role("button", name="Disable to and fro").click()
    await row(page, "to and fro").get_by_role("cell", name="disabled", exact=True).wait_for()
    assert served.send("{ __typename }", by=secret).status_code == 401
    await page.get_by_role("button", name="Enable to and fro").click()
    await row(page, "to and fro").get_by_role("cell", name="enabled", exact=True).wait_for()

    page.once("dialog", lambda dialog: dialog.dismiss())
    await page.get_by_role("button", name="Delete to and fro").click()
    assert await row(page, "to and fro").count() == 1
    page.once("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Delete to and fro").click()
    await row(page, "to and fro").wait_for(state="detached")
    assert served.send("{ __typename }", by=secret).status_code == 401


async def expect_followed(page: Any, served: Any, name: str) -> str:
    """Create keys of this name until one is shown: there is no word that the subscription has begun. Its id."""
    async with asyncio.timeout(30):
        while True:
            made = served.send(CREATE, {"userId": "bob", "name": name}).json()["data"]["createApiKey"]
            for _ in range(20):
                if await row(page, name).count():
                    return str(made["apiKeyId"])
                await page.wait_for_timeout(50)
            served.send(DELETE, {"i": {"apiKeyId": made["apiKeyId"]}})


async def test_it_follows_what_another_client_changes(page: Any, served: Any) -> None:
    await sign_in(page, served.admin_key)
    await row(page, "first key").wait_for()
    key_id = await expect_followed(page, served, "of another client")
    await row(page, "of another client").get_by_role("cell", name="enabled", exact=True).wait_for()
    served.send(DELETE.replace("delete", "disable"), {"i": {"apiKeyId": key_id}})
    await row(page, "of another client").get_by_role("cell", name="disabled", exact=True).wait_for()
    served.send(DELETE, {"i": {"apiKeyId": key_id}})
    await row(page, "of another client").wait_for(state="detached")


async def test_it_says_why_it_cannot(page: Any, served: Any) -> None:
    await sign_in(page, "gqlid_of_nobody")
    assert (await page.get_by_role("alert").inner_text()).startswith("Invalid API key")
    page.errors[:] = [error for error in page.errors if "401" not in error]  # the browser's own note of the refusal


async def test_a_double_click_creates_one_key_and_disables_it_once(page: Any, served: Any) -> None:
    await sign_in(page, served.admin_key)
    await page.get_by_label("User", exact=True).fill("ann")
    await page.get_by_label("Name", exact=True).fill("clicked twice")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    await page.get_by_role("button", name="Create").dblclick()
    await page.get_by_role("button", name="I have kept it").click()
    await row(page, "clicked twice").wait_for()
    assert len([body for body in sent if "createApiKey" in body]) == 1
    await page.get_by_role("button", name="Disable clicked twice").dblclick()
    await row(page, "clicked twice").get_by_role("cell", name="disabled", exact=True).wait_for()
    await page.wait_for_timeout(700)
    assert [("disable" if "disableApiKey" in body else "enable") for body in sent if "ableApiKey" in body] == [
        "disable"
    ]
    assert await page.get_by_role("button", name="Enable clicked twice").is_enabled()


async def test_a_refused_create_keeps_the_fields(page: Any, served: Any) -> None:
    await sign_in(page, served.create("ann", "default")["apiKey"])
    await page.get_by_label("User", exact=True).fill("bob")
    await page.get_by_label("Name", exact=True).fill("of another user")
    await page.get_by_role("button", name="Create").click()
    await page.get_by_role("alert").wait_for()
    assert await page.get_by_label("User", exact=True).input_value() == "bob"
    assert await page.get_by_label("Name", exact=True).input_value() == "of another user"


async def lose_create(page: Any, served: Any, name: str) -> None:
    """Sign in and create a key of this name, whose response is lost."""
    await sign_in(page, served.admin_key)
    await lose_first_response(page, "createApiKey")
    await page.get_by_label("User", exact=True).fill("ann")
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_role("button", name="Create").click()
    await page.get_by_role("alert").filter(has_text="cannot be reached").wait_for()


async def test_a_lost_response_makes_no_second_key(page: Any, served: Any) -> None:
    await lose_create(page, served, "made once")
    await page.get_by_role("button", name="Create").click()
    await page.get_by_role("button", name="I have kept it").click()
    await row(page, "made once").wait_for()
    assert await row(page, "made once").count() == 1
    await create(page, "made once")  # another key, as this is another attempt
    await row(page, "made once").nth(1).wait_for()
    page.errors[:] = [error for error in page.errors if "ERR_FAILED" not in error]


async def test_a_key_that_was_deleted_after_its_response_was_lost_is_made_anew(page: Any, served: Any) -> None:
    await lose_create(page, served, "deleted meanwhile")
    find = """{ apiKeys(input: {query: {filter: [{key: "name", value: "deleted meanwhile", operator: EQ}]}}) {
        results { apiKeyId } } }"""
    [made] = served.send(find).json()["data"]["apiKeys"]["results"]
    served.send(DELETE, {"i": made})
    await page.get_by_role("button", name="Create").click()
    await page.get_by_role("alert").filter(has_text="was deleted").wait_for()
    await page.get_by_role("button", name="Create").click()  # another attempt
    await page.get_by_role("button", name="I have kept it").click()
    await row(page, "deleted meanwhile").wait_for()
    page.errors[:] = [error for error in page.errors if "ERR_FAILED" not in error]


async def test_it_follows_changes_of_a_name_and_of_a_secret(page: Any, served: Any) -> None:
    await sign_in(page, served.admin_key)
    await row(page, "first key").wait_for()
    key_id = await expect_followed(page, served, "before its change")
    change = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { id } }"
    served.send(change, {"i": {"apiKeyId": key_id, "name": "after its change"}})
    await row(page, "after its change").wait_for()
    before = await row(page, "after its change").locator("code").inner_text()
    served.send("mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { id } }", {"i": {"apiKeyId": key_id}})
    async with asyncio.timeout(20):
        while await row(page, "after its change").locator("code").inner_text() == before:
            await page.wait_for_timeout(50)
