"""GraphiQL in Chromium, against the running service, with every other address unreachable."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from gql_identity.storage.embedded import running_uri
from gql_identity.storage.sign_in_codes import SignInCodes
from tests.conftest import missing_tool
from tests.processes import ROOT, Service, serving

from .axe import faults
from .chromium import new_page, new_tab

pytestmark = pytest.mark.slow

EDITOR = ".graphiql-query-editor"
BUDGET_BYTES = 1_600_000  # of the first load, as it is sent, with all workers, fonts and icons
LAST_FILES = ("editor.worker", "graphql.worker", "json.worker", ".ttf")


@asynccontextmanager
async def browser_page(url: str, context: Any) -> AsyncIterator[Any]:
    """A page in which nothing may go wrong: no error on its console, no request elsewhere."""
    async with new_tab(context) as page:
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        requests: list[Any] = []
        # Not `requests.append`: Playwright marks its handlers, and a built-in method takes no mark.
        page.on("request", lambda request: requests.append(request))
        setattr(page, "requests", requests)  # noqa: B010
        yield page
    assert errors == []
    allowed = (url, "data:", f"blob:{url}")
    assert [request.url for request in requests if not request.url.startswith(allowed)] == []


@pytest_asyncio.fixture(loop_scope="session")
async def page(served: Any, context: Any) -> AsyncIterator[Any]:
    async with browser_page(served.url, context) as page:
        yield page


async def open_page(page: Any, served: Any, secret: str | None = None) -> Any:
    response = await page.goto(f"{served.url}/graphql" + (f"#key={secret}" if secret else ""))
    await expect_ready(page)
    return response


async def expect_ready(page: Any) -> None:
    """Wait for the editor, and for the schema: the button that reads it again is enabled afterwards."""
    await page.wait_for_selector(f"{EDITOR} .view-line")
    await page.wait_for_selector("[aria-label^='Re-fetch GraphQL schema']:enabled")


def model(editor: str) -> str:
    """JavaScript for all of an editor's text, of which the page holds only the lines that are in sight."""
    return f"__MONACO.editor.getModels().find((model) => model.uri.path.endsWith('{editor}')).getValue()"


async def footer(page: Any) -> str:
    return str(await page.inner_text(".graphiql-footer"))


async def open_tab(page: Any, name: str) -> None:
    """Choose the tab of an example; GraphiQL reads its text a little later."""
    await page.click(f".graphiql-tab-button[title={name}]")
    await page.locator(f"{EDITOR} .view-line", has_text=name).first.wait_for()
    await page.wait_for_timeout(300)


async def shown(page: Any) -> Any:
    """The response that the page shows, once there is one."""
    async with asyncio.timeout(20):  # playwright's own way to wait evaluates text, which the policy forbids
        while not (answer := await page.evaluate(model("response.json"))):  # emptied when an operation starts
            await page.wait_for_timeout(50)
    return json.loads(answer)


async def run(page: Any, operation: str) -> Any:
    """Run one of the example operations; its answer, as the page shows it."""
    await open_tab(page, operation)
    async with page.expect_response(lambda response: response.request.method == "POST"):
        await page.click(".graphiql-execute-button")
    return await shown(page)


async def sign_in_code(served: Service) -> str:
    """A code as `serve` prints it on a terminal."""
    pepper = (served.data_dir / "pepper").read_text().strip()
    settings = Settings(mongo_uri=SecretStr(running_uri(served.data_dir) or ""), pepper=SecretStr(pepper))
    async with Database(settings) as database:
        await database.prepare()
        return await SignInCodes(database, pepper).replace()


def posts(page: Any) -> list[Any]:
    return [request for request in page.requests if request.method == "POST"]


async def second_key(page: Any, served: Any) -> str:
    mutation = 'mutation { createApiKey(input: {domainId: "default", userId: "admin", role: SYSTEM}) { apiKey } }'
    headers = {"Authorization": f"Bearer {served.admin_key}"}
    response = await page.request.post(f"{served.url}/graphql", data={"query": mutation}, headers=headers)
    return str((await response.json())["data"]["createApiKey"]["apiKey"])


async def test_it_loads_under_a_strict_policy(page: Any, served: Any) -> None:
    response = await open_page(page, served)

    assert await page.title() == "gql_identity"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy


async def test_without_a_key_it_says_how_to_give_one_and_sends_none(page: Any, served: Any) -> None:
    await open_page(page, served)

    assert "No API key yet" in await footer(page)
    assert posts(page)
    assert not any("authorization" in request.headers for request in posts(page))


async def test_the_key_of_a_link_moves_out_of_the_address_into_the_header(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)

    assert page.url == f"{served.url}/graphql"
    assert "key=" not in await page.evaluate("navigation.entries().map((entry) => entry.url).join()")
    assert served.admin_key[-4:] in await footer(page)
    assert (await run(page, "ListKeys"))["data"]["apiKeys"]["results"]
    assert {request.headers.get("authorization") for request in posts(page)} == {f"Bearer {served.admin_key}"}
    assert not any(served.admin_key in request.url.partition("#")[0] for request in page.requests)


async def test_the_code_of_the_link_is_exchanged_for_the_key_once(page: Any, served: Any) -> None:
    code = await sign_in_code(served)
    await page.goto(f"{served.url}/graphql#code={code}")
    await expect_ready(page)

    assert page.url == f"{served.url}/graphql"
    # What browsers keep of a page in files: its history, and what addresses they asked for.
    entries = await page.evaluate("navigation.entries().map((entry) => entry.url).join()")
    assert "code=" not in entries
    assert "key=" not in entries
    assert not any(
        served.admin_key in request.url or code in request.url.partition("#")[0] for request in page.requests
    )
    assert served.admin_key[-4:] in await footer(page)
    assert (await run(page, "ListKeys"))["data"]["apiKeys"]["results"]

    again = await page.context.new_page()
    await again.goto(f"{served.url}/graphql#code={code}")
    await expect_ready(again)
    assert "was used already or is too old" in await footer(again)
    assert "No API key yet" in await footer(again)


async def test_the_key_stays_in_its_browser_tab(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)
    await page.reload()
    await expect_ready(page)

    assert served.admin_key[-4:] in await page.inner_text(".graphiql-footer")
    assert await page.evaluate("JSON.stringify(localStorage)") == "{}"
    assert await page.evaluate("document.cookie") == ""
    other_tab = await page.context.new_page()
    await open_page(other_tab, served)
    assert "No API key yet" in await other_tab.inner_text(".graphiql-footer")


@pytest.mark.parametrize("agrees", [False, True])
async def test_another_key_in_the_tab_is_replaced_only_with_consent(page: Any, served: Any, agrees: bool) -> None:
    other = await second_key(page, served)
    await open_page(page, served, served.admin_key)
    questions: list[str] = []

    async def answer(dialog: Any) -> None:
        questions.append(dialog.message)
        await (dialog.accept() if agrees else dialog.dismiss())

    page.on("dialog", answer)
    await page.goto("about:blank")
    await open_page(page, served, other)

    [question] = questions
    assert served.admin_key not in question
    assert other not in question
    assert page.url == f"{served.url}/graphql"
    await run(page, "ListKeys")
    assert posts(page)[-1].headers["authorization"] == f"Bearer {other if agrees else served.admin_key}"


async def test_a_link_followed_in_an_open_page_is_heeded_too(page: Any, served: Any) -> None:
    await open_page(page, served)
    async with page.expect_event("load"):  # the page's own reload: a change of the fragment loads nothing
        await page.evaluate("(secret) => { location.hash = `key=${secret}`; }", served.admin_key)
    await expect_ready(page)

    assert page.url == f"{served.url}/graphql"
    assert served.admin_key[-4:] in await page.inner_text(".graphiql-footer")


async def test_the_example_operations_fit_the_schema_and_run(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)

    made = (await run(page, "CreateKey"))["data"]["createApiKey"]
    assert made["apiKey"].startswith("gqlid_")
    listed = (await run(page, "ListKeys"))["data"]["apiKeys"]["results"]
    assert made["apiKeyId"] in [key["apiKeyId"] for key in listed]
    assert {row["state"] for row in (await run(page, "KeysPerState"))["data"]["apiKeyStats"]["results"]} == {"ENABLED"}
    # The service refuses this one, not the schema: an `apiKeyId` is yet to be put in.
    assert (await run(page, "DisableKey"))["data"] == {"disableApiKey": None}
    assert await page.evaluate("__MONACO.editor.getModelMarkers({}).map((marker) => marker.message)") == []


async def change(page: Any, served: Any, times: int = 1) -> None:
    for _ in range(times):
        await second_key(page, served)


async def events(page: Any) -> int:
    """How many events of a subscription are shown."""
    answer = await page.evaluate(model("response.json"))
    return int(json.loads(answer).get("eventsSoFar", 1)) if answer else 0


async def expect_events(page: Any, served: Any, least: int) -> None:
    """Make changes until so many events are shown: there is no word that a subscription has begun."""
    async with asyncio.timeout(20):
        while await events(page) < least:
            await change(page, served)
            await page.wait_for_timeout(300)


async def follow(page: Any, served: Any) -> list[Any]:
    """Run the subscription FollowKeys until it shows an event; returns the sockets that the page opens from now on."""
    sockets: list[Any] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    await open_tab(page, "FollowKeys")
    await page.click(".graphiql-execute-button")
    await expect_events(page, served, 1)
    return sockets


async def test_the_example_subscription_keeps_its_events_until_it_is_stopped(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)

    await open_tab(page, "FollowKeys")
    await page.click(".graphiql-execute-button")
    await expect_events(page, served, 3)
    answer = await shown(page)
    assert len(answer["newestFirst"]) == answer["eventsSoFar"]
    ids = [event["data"]["apiKeyChanged"]["apiKeyInfo"]["apiKeyId"] for event in answer["newestFirst"]]
    assert ids == sorted(ids, reverse=True)

    await page.click(".graphiql-execute-button[aria-label^='Stop']")
    await page.locator(".graphiql-execute-button[aria-label^='Execute']").wait_for()
    await page.wait_for_timeout(300)
    before = await events(page)
    await change(page, served)
    await page.wait_for_timeout(700)
    assert await events(page) == before


async def test_a_subscription_goes_on_while_another_tab_is_used(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)
    sockets = await follow(page, served)
    before = await events(page)

    made = (await run(page, "CreateKey"))["data"]["createApiKey"]["apiKeyId"]
    await page.wait_for_timeout(500)
    await page.click(".graphiql-tab-button[title=FollowKeys]")
    async with asyncio.timeout(20):
        while await events(page) <= before:
            await page.wait_for_timeout(50)
    newest = (await shown(page))["newestFirst"][0]
    assert newest["data"]["apiKeyChanged"]["apiKeyInfo"]["apiKeyId"] == made
    await expect_events(page, served, before + 2)  # it still follows, over the same socket
    assert len(sockets) == 1

    await page.click(".graphiql-execute-button[aria-label^='Stop']")
    async with asyncio.timeout(10):
        while not sockets[0].is_closed():
            await page.wait_for_timeout(50)


async def replace_text(page: Any, text: str) -> None:
    """Type another document into the editor of the active tab. Nothing is run."""
    await page.locator(f"{EDITOR} .view-line").first.click()
    await page.keyboard.press("ControlOrMeta+A")
    await page.keyboard.insert_text(text)
    await page.wait_for_timeout(700)  # GraphiQL reads it a little later


MUTATION = """mutation NobodyRanThis { createApiKey(input: {domainId: "default", userId: "nobody"}) { apiKeyId } }"""


async def test_a_mutation_that_was_typed_over_a_subscription_is_not_sent_when_its_tab_is_active_again(
    page: Any, served: Any
) -> None:
    await open_page(page, served, served.admin_key)
    sockets = await follow(page, served)
    await replace_text(page, MUTATION)
    await open_tab(page, "Viewer")
    before = len(posts(page))
    await open_tab(page, "NobodyRanThis")
    await page.wait_for_timeout(1_500)
    assert [request.post_data for request in posts(page)[before:]] == []
    await page.locator(".graphiql-execute-button[aria-label^='Execute']").wait_for()
    async with asyncio.timeout(10):  # the subscription that the tab had is over
        while not sockets[0].is_closed():
            await page.wait_for_timeout(50)
    assert await events(page) >= 1


async def test_a_response_is_shown_in_its_own_tab_also_if_it_is_late(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)
    is_let_go = asyncio.Event()

    async def delay(route: Any) -> None:
        if "createApiKey" in (route.request.post_data or ""):
            await is_let_go.wait()
        await route.continue_()

    await page.route("**/graphql", delay)
    await open_tab(page, "CreateKey")
    await page.click(".graphiql-execute-button")
    await open_tab(page, "ListKeys")
    async with page.expect_response(lambda response: "createApiKey" in (response.request.post_data or "")):
        is_let_go.set()
    await page.wait_for_timeout(500)
    assert await page.evaluate(model("response.json")) == ""
    await open_tab(page, "CreateKey")
    made = (await shown(page))["data"]["createApiKey"]
    assert made["apiKey"].startswith("gqlid_")


async def hold_first_create(page: Any) -> asyncio.Event:
    """Hold back the first request with `createApiKey` until the event is set; others pass."""
    is_let_go = asyncio.Event()
    held: list[Any] = []

    async def hold(route: Any) -> None:
        if "createApiKey" in (route.request.post_data or "") and not held:
            held.append(route)
            await is_let_go.wait()
        await route.continue_()

    await page.route("**/graphql", hold)
    return is_let_go


async def run_and_stop(page: Any, operation: str) -> None:
    """Run an example operation whose response is held back, and stop it."""
    await open_tab(page, operation)
    await page.click(".graphiql-execute-button")
    await page.click(".graphiql-execute-button[aria-label^='Stop']")
    await page.locator(".graphiql-execute-button[aria-label^='Execute']").wait_for()


async def shown_with(page: Any, text: str) -> Any:
    """The response that the page shows, once it has this text."""
    async with asyncio.timeout(20):
        while text not in (answer := await page.evaluate(model("response.json"))):
            await page.wait_for_timeout(50)
    return json.loads(answer)


async def test_the_secret_of_a_stopped_create_is_shown_beside_that_of_the_next_one(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)
    is_let_go = await hold_first_create(page)
    await run_and_stop(page, "CreateKey")
    await page.click(".graphiql-execute-button")
    second = (await shown(page))["data"]["createApiKey"]["apiKey"]
    is_let_go.set()
    answer = await shown_with(page, "responsesSoFar")
    assert answer["responsesSoFar"] == 2
    secrets = [one["data"]["createApiKey"]["apiKey"] for one in answer["newestFirst"]]
    assert secrets[0] == second
    assert len(set(secrets)) == 2
    # Once all are shown, the next response is alone, as always.
    await page.click(".graphiql-execute-button")
    async with asyncio.timeout(20):
        while not (answer := await page.evaluate(model("response.json"))) or "responsesSoFar" in answer:
            await page.wait_for_timeout(50)
    assert json.loads(answer)["data"]["createApiKey"]["apiKey"] not in secrets


async def test_the_secret_of_a_stopped_create_is_shown_beside_the_response_of_a_query(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)
    is_let_go = await hold_first_create(page)
    await run_and_stop(page, "CreateKey")
    await replace_text(page, "query ViewerHere { viewer { userId } }")
    await page.click(".graphiql-execute-button")
    assert (await shown(page))["data"] == {"viewer": {"userId": "admin"}}
    # Its tab is not active when it arrives.
    await open_tab(page, "Viewer")
    async with page.expect_response(lambda response: "createApiKey" in (response.request.post_data or "")):
        is_let_go.set()
    await page.wait_for_timeout(500)
    await open_tab(page, "ViewerHere")
    answer = await shown_with(page, "responsesSoFar")
    assert answer["newestFirst"][0]["data"] == {"viewer": {"userId": "admin"}}
    assert answer["newestFirst"][1]["data"]["createApiKey"]["apiKey"].startswith("gqlid_")


async def test_a_subscription_begins_only_after_the_response_of_a_stopped_create(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)
    is_let_go = await hold_first_create(page)
    await run_and_stop(page, "CreateKey")
    sockets: list[Any] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    subscription = "subscription FollowHere { apiKeyChanged(input: {}) { type } }"
    await replace_text(page, subscription)
    await page.click(".graphiql-execute-button")
    assert "still waits for the response of a mutation" in json.dumps(await shown(page))
    assert sockets == []
    is_let_go.set()
    answer = await shown_with(page, "gqlid_")
    assert answer["data"]["createApiKey"]["apiKey"].startswith("gqlid_")
    await page.click(".graphiql-execute-button")
    await expect_events(page, served, 1)
    assert len(sockets) == 1


async def test_the_response_of_a_stopped_query_is_not_shown_beside_the_next_one(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)
    is_let_go = asyncio.Event()

    async def hold(route: Any) -> None:
        if "Viewer" in (route.request.post_data or "") and not is_let_go.is_set():
            await is_let_go.wait()
        await route.continue_()

    await page.route("**/graphql", hold)
    await run_and_stop(page, "Viewer")
    await replace_text(page, "query Other { viewer { role } }")
    is_let_go.set()
    await page.click(".graphiql-execute-button")
    assert (await shown(page))["data"] == {"viewer": {"role": "SYSTEM"}}
    await page.wait_for_timeout(500)
    assert (await shown(page))["data"] == {"viewer": {"role": "SYSTEM"}}


async def test_events_of_a_subscription_are_not_shown_in_a_new_tab(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)
    await open_tab(page, "FollowKeys")
    await page.click(".graphiql-execute-button")
    await expect_events(page, served, 1)
    await page.get_by_label("New tab").click()
    await page.wait_for_timeout(300)
    await change(page, served)
    await page.wait_for_timeout(700)
    assert await page.evaluate(model("response.json")) == ""
    await page.locator(".graphiql-execute-button[aria-label^='Execute']").wait_for()
    await open_tab(page, "FollowKeys")
    async with asyncio.timeout(20):
        while await events(page) < 2:
            await page.wait_for_timeout(50)


@pytest.mark.parametrize("is_active", [True, False])
@pytest.mark.parametrize("is_changed", [True, False])
async def test_a_subscription_ends_with_the_key_that_it_has(
    page: Any, served: Any, is_active: bool, is_changed: bool
) -> None:
    other = await second_key(page, served)
    await open_page(page, served, served.admin_key)
    sockets = await follow(page, served)
    if not is_active:
        await open_tab(page, "Viewer")
    if is_changed:
        await page.get_by_role("button", name="Change key").click()
        await page.get_by_label("API key").fill(other)
        await page.keyboard.press("Enter")
    else:
        await page.get_by_role("button", name="Forget key").click()
    async with asyncio.timeout(10):
        while not sockets[0].is_closed():
            await page.wait_for_timeout(50)
    await open_tab(page, "FollowKeys")
    await page.locator(".graphiql-execute-button[aria-label^='Execute']").wait_for()
    await page.wait_for_timeout(800)
    assert len(sockets) == 1
    assert await events(page) >= 1


async def test_a_closed_tab_ends_its_subscription(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)
    sockets = await follow(page, served)
    await open_tab(page, "Viewer")
    assert not sockets[0].is_closed()
    await page.hover(".graphiql-tab-button[title=FollowKeys]")
    await page.locator(".graphiql-tab", has_text="FollowKeys").get_by_label("Close Tab").click()
    async with asyncio.timeout(10):
        while not sockets[0].is_closed():
            await page.wait_for_timeout(50)


async def test_the_key_is_entered_changed_and_forgotten_in_the_footer(page: Any, served: Any) -> None:
    other = await second_key(page, served)
    await open_page(page, served)
    await page.get_by_label("API key").fill(f"Bearer {served.admin_key}\n")
    await page.get_by_role("button", name="Use key").click()
    assert served.admin_key[-4:] in await footer(page)
    await run(page, "Viewer")
    assert posts(page)[-1].headers["authorization"] == f"Bearer {served.admin_key}"

    await page.get_by_role("button", name="Change key").click()
    await page.get_by_label("API key").fill(other)
    await page.keyboard.press("Enter")
    await run(page, "ListKeys")
    assert posts(page)[-1].headers["authorization"] == f"Bearer {other}"

    await page.get_by_role("button", name="Forget key").click()
    assert "No API key yet" in await footer(page)
    assert (await run(page, "Viewer"))["data"] == {"viewer": None}
    assert "authorization" not in posts(page)[-1].headers
    assert other not in await page.evaluate("JSON.stringify(sessionStorage)")


async def test_clear_data_forgets_the_key(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)
    await page.get_by_label("Open settings dialog").click()
    await page.get_by_role("button", name="Clear data").click()
    await page.keyboard.press("Escape")
    assert "No API key yet" in await footer(page)
    assert served.admin_key not in await page.evaluate("JSON.stringify(sessionStorage)")


@pytest_asyncio.fixture(loop_scope="session")
async def tolerant_page(context: Any) -> AsyncIterator[Any]:
    """A page whose console may have errors: Chromium logs each response of 401."""
    async with new_tab(context) as page:
        yield page


async def test_a_refused_key_is_named_and_leaves_the_documentation(tolerant_page: Any, served: Any) -> None:
    page = tolerant_page
    revoked = served.create("ann", "default")
    await open_page(page, served, revoked["apiKey"])
    assert (await run(page, "Viewer"))["data"]["viewer"]["userId"] == "ann"
    delete = "mutation($id: ID!) { deleteApiKey(input: {apiKeyId: $id}) { apiKeyId } }"
    served.data(delete, {"id": revoked["apiKeyId"]})

    await open_tab(page, "FollowKeys")
    await page.click(".graphiql-execute-button")
    await page.get_by_text("The service refuses").wait_for()
    assert revoked["apiKey"][-4:] in await footer(page)

    await page.reload()
    await expect_ready(page)
    await page.get_by_text("The service refuses").wait_for()
    assert "Invalid API key" in await footer(page)
    await page.get_by_label("Show Documentation Explorer").click()
    await page.locator(".graphiql-plugin").get_by_text("Mutation", exact=True).wait_for()

    await page.get_by_role("button", name="Change key").click()
    await page.get_by_label("API key").fill(served.admin_key)
    await page.keyboard.press("Enter")
    assert (await run(page, "Viewer"))["data"]["viewer"]["userId"] == "admin"
    assert "refuses" not in await footer(page)


async def test_a_key_revoked_meanwhile_ends_the_subscription_whose_events_stay(tolerant_page: Any, served: Any) -> None:
    page = tolerant_page
    leaver = served.create("leaver", "default", role="SYSTEM")
    await open_page(page, served, leaver["apiKey"])
    await open_tab(page, "FollowKeys")
    await page.click(".graphiql-execute-button")
    await expect_events(page, served, 2)
    # It ends while another tab is active, and is shown when its own tab is active again.
    await open_tab(page, "Viewer")
    disable = "mutation($id: ID!) { disableApiKey(input: {apiKeyId: $id}) { state } }"
    served.data(disable, {"id": leaver["apiKeyId"]})
    await page.get_by_text("The service refuses").wait_for()
    await open_tab(page, "FollowKeys")
    async with asyncio.timeout(20):
        while "errors" not in (answer := await shown(page)).get("newestFirst", [{}])[0]:
            await page.wait_for_timeout(100)
    assert answer["newestFirst"][0]["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert answer["eventsSoFar"] > 2
    await page.locator(".graphiql-execute-button[aria-label^='Execute']").wait_for()


async def test_offline_it_says_so_and_works_again_afterwards(tolerant_page: Any, served: Any) -> None:
    page = tolerant_page
    await open_page(page, served, served.admin_key)
    await open_tab(page, "Viewer")
    await page.context.set_offline(True)
    await page.click(".graphiql-execute-button")
    assert "could not be reached" in json.dumps(await shown(page))
    assert "refuses" not in await footer(page)
    await page.context.set_offline(False)
    assert (await run(page, "Viewer"))["data"]["viewer"]["userId"] == "admin"


@pytest.mark.parametrize("width", [1280, 768, 400])
async def test_the_document_does_not_scroll_and_nothing_is_cut_off(page: Any, served: Any, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 720})
    await open_page(page, served, served.admin_key)
    assert (await run(page, "Viewer"))["data"]["viewer"]
    await page.mouse.move(width / 2, 200)
    await page.mouse.wheel(0, 3000)
    await page.locator(".graphiql-footer").click()
    await page.keyboard.press("Space")
    await page.wait_for_timeout(200)
    assert await page.evaluate("[scrollX, scrollY]") == [0, 0]
    for part in (".graphiql-execute-button", ".graphiql-response", "text=Forget key"):
        box = await page.locator(part).first.bounding_box()
        assert box["width"] > 20, part
        assert box["x"] >= 0, part
        assert box["x"] + box["width"] <= width, part
        assert box["y"] + box["height"] <= 720, part

    await page.get_by_label("Show Documentation Explorer").click()
    search = page.locator(".graphiql-doc-explorer-search")
    assert await search.evaluate("(box) => box.scrollWidth <= box.clientWidth")
    assert await search.get_by_role("combobox").evaluate("(input) => input.clientWidth") > 80
    box, panel = await search.bounding_box(), await page.locator(".graphiql-plugin").bounding_box()
    assert box["x"] + box["width"] <= panel["x"] + panel["width"]


async def test_a_database_that_is_away_is_said_and_comes_back(context: Any, tmp_path: Path) -> None:
    with serving(tmp_path / "data", GQL_IDENTITY_OPERATION_TIMEOUT_SECONDS="2") as service:
        async with new_tab(context) as page:
            await open_page(page, service, service.admin_key)
            await open_tab(page, "FollowKeys")
            await page.click(".graphiql-execute-button")
            service.database.signal(signal.SIGSTOP)
            errors = (await run(page, "ListKeys"))["errors"]
            assert errors[0]["extensions"]["code"] in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
            assert "ry again" in errors[0]["message"], errors
            service.database.signal(signal.SIGCONT)
            async with asyncio.timeout(20):
                while "errors" in await run(page, "ListKeys"):
                    await page.wait_for_timeout(500)


async def test_a_field_name_is_completed(page: Any, served: Any) -> None:
    await open_page(page, served, served.admin_key)

    await page.locator(f"{EDITOR} .view-line", has_text="totalCount").click()
    await page.keyboard.press("End")
    await page.keyboard.press("Enter")
    await page.keyboard.type("resu")
    await page.locator(".suggest-widget.visible .monaco-list-row", has_text="results").click()

    assert await page.locator(f"{EDITOR} .view-line", has_text=re.compile(r"^\s*results$")).count() == 1


async def test_it_shows_the_documentation_and_the_explorer(page: Any, served: Any) -> None:
    await open_page(page, served)

    await page.get_by_label("Show Documentation Explorer").click()
    await page.locator(".graphiql-plugin").get_by_text("Mutation", exact=True).click()
    await page.locator(".graphiql-plugin").get_by_text("createApiKey", exact=True).wait_for()
    await page.get_by_label("Show GraphiQL Explorer").click()
    await page.locator(".graphiql-plugin input[value=ListKeys]").wait_for()


async def test_its_files_arrive_compressed(browser: Any, served: Any) -> None:
    if not list((ROOT / "gql_identity" / "pages").rglob("*.js.gz")):
        missing_tool("GraphiQL's compressed files (make builds them)")
    async with new_page(browser) as page:
        received: dict[str, Any] = {}  # by address: the worker for JSON starts twice, and comes from the cache then
        page.on("response", lambda response: received.update({response.url: response}))
        await open_page(page, served)
        async with asyncio.timeout(20):  # the workers and the icons come last
            while not all(any(name in url for url in received) for name in LAST_FILES):
                await page.wait_for_timeout(50)
        files = [response for url, response in received.items() if "/pages/" in url]
        packed = [response for response in files if not re.search(r"\.woff2?$", response.url)]  # those are compressed
        assert {response.headers.get("content-encoding") for response in packed} == {"gzip"}
        assert sum(int(response.headers["content-length"]) for response in files) < BUDGET_BYTES
        assert len(files) < 25
        # For who takes no gzip they are as they were.
        script = next(response for response in files if response.url.endswith(".js"))
        for accepted in ("identity", "gzip;q=0"):
            plain = await page.request.get(script.url, headers={"Accept-Encoding": accepted})
            assert "content-encoding" not in plain.headers
            assert await plain.body() == await script.body()
            assert "accept-encoding" in plain.headers["vary"].lower()


async def test_axe_finds_nothing_in_the_footer(tolerant_page: Any, served: Any) -> None:
    page = tolerant_page
    await open_page(page, served)
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        assert await faults(page, ".graphiql-footer") == []
    await page.get_by_label("API key").fill("gqlid_wrong")
    await page.keyboard.press("Enter")
    await run(page, "Viewer")
    await page.get_by_text("The service refuses").wait_for()
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        assert await faults(page, ".graphiql-footer") == []
