"""The console in Chromium, against the running service, with every other address unreachable."""

import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing_tool
from tests.processes import ROOT, Service, serving

from .chromium import new_page
from .test_graphiql import sign_in_code

BUDGET_BYTES = 250_000  # of the first load, as it is sent
LONG = "a name without any place to break it " + "x" * 200
AXE = ROOT / "pages" / "node_modules" / "axe-core" / "axe.min.js"
DISABLE = """mutation($input: APIKeyRequest!) { disableApiKey(input: $input) { state } }"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    if not (ROOT / "gql_identity" / "pages" / "console" / "index.html").exists():
        missing_tool("the console (make builds it)")
    with serving(tmp_path_factory.mktemp("console") / "data") as service:
        yield service


@pytest.fixture
async def page(service: Service) -> AsyncIterator[Any]:
    """A page in which nothing may go wrong: no error of a script, no violation of the policy, no request elsewhere."""
    async with new_page(viewport={"width": 1280, "height": 800}) as page:
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
        elsewhere: list[str] = []
        page.on("request", lambda one: None if one.url.startswith(service.url) else elsewhere.append(one.url))
        yield page
    assert errors == []
    assert [url for url in elsewhere if not url.startswith(("data:", "blob:"))] == []


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


async def faults(page: Any) -> list[str]:
    """What axe finds; it runs outside the page's policy."""
    if not AXE.exists():
        missing_tool("axe-core (npm ci in pages)")
    session = await page.context.new_cdp_session(page)
    await session.send("Runtime.evaluate", {"expression": AXE.read_text()})
    expression = "axe.run().then(({violations}) => violations.map(({id, nodes}) => id + ' ' + nodes[0].html))"
    found = await session.send(
        "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
    )
    return list(found["result"]["value"])


async def is_as_wide_as_the_window(page: Any) -> bool:
    return bool(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


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
    await page.get_by_role("button", name="Rotate").click()
    new = await page.locator(".secret code").inner_text()
    for secret in (old, new):
        assert service.send("{ viewer { userId } }", by=secret).json()["data"]["viewer"]["userId"] == "ann"
    await page.get_by_role("button", name="I have kept it").click()
    await page.get_by_text("Rotated", exact=True).wait_for()
    await page.get_by_text("Change name, end").click()
    await page.get_by_label("Tags, one a line").fill("team=payments")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("Updated", exact=True).wait_for()
    await page.get_by_role("button", name="End the older secret").click()
    await page.get_by_text("Overlap ended", exact=True).wait_for()
    assert service.send("{ viewer { userId } }", by=old).status_code == 401


async def test_an_interrupted_network_is_said_and_mended(page: Any, service: Service) -> None:
    await opened(page, service)
    await page.context.set_offline(True)
    await page.get_by_label("Name contains").fill("anything")
    await page.get_by_role("alert").filter(has_text="cannot be reached").wait_for()
    await page.context.set_offline(False)
    await page.get_by_role("button", name="Try again").click()
    await page.get_by_text("No key matches these filters.").wait_for()


@pytest.mark.slow
async def test_a_database_that_is_away_is_said_and_comes_back(tmp_path: Path) -> None:
    with serving(tmp_path / "data", GQL_IDENTITY_OPERATION_TIMEOUT_SECONDS="2") as service:
        async with new_page() as page:
            await opened(page, service)
            service.database.signal(signal.SIGSTOP)
            await page.get_by_label("Name contains").fill("anything")
            await page.get_by_role("alert").first.wait_for()
            service.database.signal(signal.SIGCONT)
            await page.get_by_role("button", name="Try again").click()
            await page.get_by_text("No key matches these filters.").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 400])
async def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    page: Any, service: Service, width: int, scheme: str
) -> None:
    service.create("a user whose id is long as well " + "y" * 100, "default", name=LONG)
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(f"{service.url}/console")
    await page.get_by_label("Your API key").wait_for()
    assert await faults(page) == []
    await opened(page, service)
    await row(page, LONG).first.wait_for()
    assert await faults(page) == []
    assert await is_as_wide_as_the_window(page)
    await row(page, LONG).first.get_by_role("button", name=LONG, exact=True).click()
    await page.get_by_role("heading", name="What was done to it").wait_for()
    await page.get_by_text("Created", exact=True).last.wait_for()
    assert await faults(page) == []
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="New key").click()
    assert await faults(page) == []
    assert await is_as_wide_as_the_window(page)


async def test_the_first_load_is_small_and_compressed(page: Any, service: Service) -> None:
    received: list[Any] = []
    page.on("response", lambda response: received.append(response))
    await opened(page, service)
    files = [response for response in received if "/pages/" in response.url]
    if any("content-encoding" not in response.headers for response in files):
        missing_tool("the pages' compressed files (make builds them)")
    assert sum(int(response.headers["content-length"]) for response in files) < BUDGET_BYTES
    assert len(files) <= 8
