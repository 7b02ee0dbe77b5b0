"""Behind Debian's nginx, with exactly the lines of docs/proxies.md."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from tests.browser.chromium import launched, new_context
from tests.browser.test_graphiql import EDITOR, browser_page, model, open_tab
from tests.conftest import missing_tool
from tests.processes import ROOT, Service, serving, wait_until

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "proxies.md").read_text()
TYPENAME = {"query": "{ __typename }"}
SCHEMA = {"query": "{ __schema { queryType { name } } }"}
FOLLOW = 'subscription { apiKeyChanged(input: {domainId: "d"}) { apiKeyInfo { userId } } }'
ISSUER = "https://identity.example/keys"
FAR = "127.0.0.2"  # another address of this machine, which is no trusted proxy


@dataclass
class Proxied:
    """A service, and nginx before it."""

    service: Service
    url: str  # with TLS
    tls: ssl.SSLContext

    def client(self, address: str = FAR) -> httpx.Client:
        transport = httpx.HTTPTransport(verify=self.tls, local_address=address, trust_env=False)
        return httpx.Client(base_url=self.url, transport=transport, timeout=30)


def nginx() -> str:
    for tool in ("nginx", "openssl"):
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            missing_tool(tool)
    return str(shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"))


@contextlib.contextmanager
def behind_nginx(service: Service, directory: Path) -> Iterator[Proxied]:
    """nginx with the lines of the page, in which only the port, the service's address and the certificate are ours."""
    nginx()
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(directory / "identity.key"), "-out", str(directory / "identity.pem")]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run(["openssl", "req", *kind, *names, *files], check=True, capture_output=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (lines,) = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
    for written, ours in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("127.0.0.1:8000", service.url.removeprefix("http://")),
        ("/etc/ssl/identity", str(directory / "identity")),
    ):
        assert written in lines
        lines = lines.replace(written, ours)
    tls = ssl.create_default_context(cafile=str(directory / "identity.pem"))
    proxied = Proxied(service, f"https://127.0.0.1:{port}", tls)

    def is_up() -> bool:
        with contextlib.suppress(httpx.TransportError), proxied.client() as client:
            return client.get("/livez").status_code == 200
        return False

    with running_nginx(lines, directory, is_up):
        yield proxied


@contextlib.contextmanager
def running_nginx(lines: str, directory: Path, is_up: Callable[[], bool]) -> Iterator[None]:
    """nginx with these lines, from when it is up."""
    paths = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{name}_temp_path {directory}/{name};\n" for name in paths)
    user = "user root;\n" if os.geteuid() == 0 else ""
    (directory / "nginx.conf").write_text(
        f"{user}pid {directory}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{lines}}}\n"
    )
    command = [nginx(), "-e", "stderr", "-p", str(directory), "-c", "nginx.conf", "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def runs() -> bool:
        assert process.poll() is None, process.stderr and process.stderr.read()
        return is_up()

    try:
        wait_until(runs, 30)
        yield
    finally:
        process.terminate()
        process.wait(20)
        assert process.stderr is not None
        process.stderr.close()


def exported() -> dict[str, Any]:
    """The settings that the page exports beside the lines: the trusted proxies."""
    block = PAGE.partition("Start the service with")[2].partition("```sh\n")[2].partition("```")[0]
    return dict(re.findall(r"(GQL_IDENTITY_\w+)=(\S+)", block))


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    directory = tmp_path_factory.mktemp("nginx")
    more: dict[str, Any] = {"GQL_IDENTITY_FAILED_CREDENTIALS_PER_MINUTE": "3", "GQL_IDENTITY_ISSUER": ISSUER}
    with serving(directory / "data", **exported(), **more) as service, behind_nginx(service, directory) as proxied:
        yield proxied


@pytest.mark.parametrize("prefix", ["", "/keys"])
def test_requests_pass_with_tls_and_below_a_prefix(proxied: Proxied, prefix: str) -> None:
    with proxied.client() as client:
        key = {"Authorization": f"Bearer {proxied.service.admin_key}"}
        query = {"query": '{ apiKeys(input: {domainId: "default"}) { totalCount } }'}
        assert client.post(f"{prefix}/graphql", json=query, headers=key).json()["data"]["apiKeys"]["totalCount"] == 1
        listed = client.post(f"{prefix}/identity/v1/api-key/list", json={"domain_id": "default"}, headers=key)
        assert listed.json()["total_count"] == 1
        assert client.get(f"{prefix}/readyz").json() == {"status": "ok"}


def test_the_metadata_of_an_issuer_with_a_path_are_where_clients_look(proxied: Proxied) -> None:
    with proxied.client() as client:
        for path in ("/.well-known/oauth-authorization-server/keys", "/keys/.well-known/openid-configuration"):
            told = client.get(path).json()
            assert told["issuer"] == ISSUER
            keys = client.get(told["jwks_uri"].removeprefix("https://identity.example"))
            assert keys.json()["keys"], path


def test_connections_to_the_service_are_reused(proxied: Proxied) -> None:
    """Each POST on a connection of its own to nginx; between the two is more than the 5 s of uvicorn's default."""
    peers = []
    for pause in (6, 0):
        with proxied.client() as client:
            assert client.post("/graphql", json=TYPENAME).status_code == 200
        peers.append(connections_of(proxied.service))
        time.sleep(pause)
    assert peers[0]
    assert peers[0] & peers[1]


def connections_of(service: Service) -> set[str]:
    """The addresses of the peers of the service's established connections."""
    port = f"{int(service.url.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[2] for row in rows if row[1].endswith(f":{port}") and row[3] == "01"}


def test_a_client_behind_the_proxy_is_not_on_this_machine(proxied: Proxied) -> None:
    key = {"Authorization": f"Bearer {proxied.service.admin_key}"}
    with proxied.client() as client, httpx.Client(base_url=proxied.service.url, trust_env=False) as direct:
        assert "errors" in client.post("/graphql", json=SCHEMA).json()
        assert "data" in client.post("/graphql", json=SCHEMA, headers=key).json()
        assert client.get("/identity/v1/openapi.json").status_code == 401
        assert "html" not in client.get("/graphql", headers={"Accept": "text/html"}).headers["content-type"]
        # Who connects without a proxy is on this machine, unless a proxy's header says otherwise.
        assert "data" in direct.post("/graphql", json=SCHEMA).json()
        assert "html" in direct.get("/graphql", headers={"Accept": "text/html"}).headers["content-type"]
        for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "x-forwarded-host", "X-Real-IP", "Via"):
            assert "errors" in direct.post("/graphql", json=SCHEMA, headers={name: "x"}).json(), name
            page = direct.get("/graphql", headers={name: "x", "Accept": "text/html"})
            assert "html" not in page.headers["content-type"], name
            assert direct.get("/identity/v1/openapi.json", headers={name: "x"}).status_code == 401


async def test_the_schema_is_not_told_over_a_websocket_through_the_proxy_either(proxied: Proxied) -> None:
    assert "errors" in await over_websocket(proxied, "", SCHEMA["query"], key="")


def test_wrong_keys_are_counted_for_the_client_and_not_for_the_proxy(proxied: Proxied) -> None:
    def statuses(address: str, claimed: str = "") -> list[int]:
        headers = {"Authorization": "Bearer wrong"} | ({"X-Forwarded-For": claimed} if claimed else {})
        with proxied.client(address) as client:
            return [client.post("/graphql", json=TYPENAME, headers=headers).status_code for _ in range(4)]

    assert statuses("127.0.0.3") == [401, 401, 401, 429]
    # Another client of the same proxy is another one, and none may pass for another by what it claims.
    assert statuses("127.0.0.4", "127.0.0.3") == [401, 401, 401, 429]
    assert statuses("127.0.0.3", "127.0.0.5") == [429] * 4
    assert statuses("127.0.0.5") == [401, 401, 401, 429]


@pytest.mark.parametrize("prefix", ["", "/keys"])
def test_server_sent_events_arrive_one_by_one(proxied: Proxied, prefix: str) -> None:
    headers = {"Authorization": f"Bearer {proxied.service.admin_key}", "Accept": "text/event-stream"}
    with (
        proxied.client() as client,
        client.stream("POST", f"{prefix}/graphql", json={"query": FOLLOW}, headers=headers) as stream,
    ):
        lines = stream.iter_lines()
        seen = ""
        while "first" not in seen:  # there is no word that a subscription has begun
            proxied.service.create("first")
            seen = next(lines)
        proxied.service.create("second")
        assert any("second" in line for line in lines)  # the stream has not ended, and nginx holds nothing back


async def over_websocket(proxied: Proxied, prefix: str, query: str, key: str | None = None) -> Any:
    """The first message that answers an operation, asked for as a page of the proxy's own origin would."""
    origin: Any = proxied.url
    address = proxied.url.replace("https:", "wss:") + prefix + "/graphql"
    protocol: Any = "graphql-transport-ws"
    secret = proxied.service.admin_key if key is None else key
    async with websockets.connect(
        address, ssl=proxied.tls, subprotocols=[protocol], origin=origin, proxy=None, local_addr=(FAR, 0)
    ) as socket:
        payload = {"Authorization": f"Bearer {secret}"} if secret else {}
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert json.loads(await socket.recv()) == {"type": "connection_ack"}
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
        for _ in range(100):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    answer = json.loads(await socket.recv())
                    return {"errors": answer["payload"]} if answer["type"] == "error" else answer["payload"]
            await asyncio.to_thread(proxied.service.create, "changed")
    raise AssertionError("no answer")


@pytest.mark.parametrize("prefix", ["", "/keys"])
async def test_a_subscription_over_websocket_passes(proxied: Proxied, prefix: str) -> None:
    answer = await over_websocket(proxied, prefix, FOLLOW)
    assert answer["data"]["apiKeyChanged"]["apiKeyInfo"]["userId"] == "changed"


async def test_a_websocket_of_another_origin_is_refused_through_the_proxy_too(proxied: Proxied) -> None:
    protocol: Any = "graphql-transport-ws"
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(
            proxied.url.replace("https:", "wss:") + "/graphql",
            ssl=proxied.tls,
            subprotocols=[protocol],
            origin="https://other.example",  # type: ignore[arg-type]
            proxy=None,
        )


async def test_the_pages_work_below_a_prefix(tmp_path: Path) -> None:
    shown = dict(
        re.findall(r"(GQL_IDENTITY_\w+)=(\S+)", PAGE.partition("To show both to everybody:")[2].split("```")[1])
    )
    with serving(tmp_path / "data", **shown) as service, behind_nginx(service, tmp_path) as proxied:
        async with (
            launched("--ignore-certificate-errors") as browser,
            new_context(browser) as context,
            browser_page(proxied.url, context) as page,
        ):
            await page.goto(f"{proxied.url}/keys/graphql#key={service.admin_key}")
            await page.wait_for_selector(f"{EDITOR} .view-line")
            await page.wait_for_selector("[aria-label^='Re-fetch GraphQL schema']:enabled")
            for operation, expected in (("ListKeys", '"totalCount": 1'), ("FollowKeys", '"CREATED"')):
                await open_tab(page, operation)
                await page.click(".graphiql-execute-button")
                async with asyncio.timeout(30):
                    while expected not in await page.evaluate(model("response.json")):
                        if operation == "FollowKeys":  # there is no word that a subscription has begun
                            await asyncio.to_thread(service.create, "u", "default")
                        await page.wait_for_timeout(300)
            await page.evaluate("sessionStorage.clear()")
            await page.goto(f"{proxied.url}/keys/console#key={service.admin_key}")
            await page.get_by_role("status").get_by_text("Live", exact=True).wait_for()
            await page.get_by_role("button", name="first key", exact=True).click()
            await page.get_by_role("heading", name="What was done to it").wait_for()
            await page.keyboard.press("Escape")
            # The console's WebSocket passes too: what another client does is shown.
            await asyncio.to_thread(service.create, "u", "default", name="from elsewhere")
            await page.get_by_role("button", name="from elsewhere", exact=True).wait_for()
            await page.get_by_role("link", name="GraphiQL").click()
            await page.wait_for_selector(f"{EDITOR} .view-line")
            assert page.url == f"{proxied.url}/keys/graphql"
            paths = {request.url.removeprefix(proxied.url) for request in page.requests if "blob:" not in request.url}
            assert {path for path in paths if not path.startswith(("/keys/", "data:"))} == set()
