"""examples/forward-auth: Debian's nginx with exactly those lines, before a service that says what it was sent."""

import contextlib
import json
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.conformance.test_proxies import running_nginx
from tests.processes import ROOT, Service, serving, wait_until

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "examples" / "forward-auth"
OFF = 'mutation($k: ID!) { disableApiKey(input: {domainId: "d", apiKeyId: $k}) { state } }'
CREATE = "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { apiKeyId apiKey } }"


class Upstream(BaseHTTPRequestHandler):
    """A service behind the proxy: it answers with the headers that it was sent."""

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("forward-auth")
    with serving(
        directory / "data", GQL_IDENTITY_TRUSTED_PROXIES="127.0.0.1", GQL_IDENTITY_DATABASE_TIMEOUT_SECONDS="1"
    ) as service:
        yield service


@contextlib.contextmanager
def guarded(service: Service, upstream_address: str, directory: Path) -> Iterator[httpx.Client]:
    """nginx with the example's lines before an upstream, in which only the addresses are ours."""
    for included in EXAMPLE.glob("*.inc"):
        shutil.copy(included, directory)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    lines = (EXAMPLE / "nginx.conf").read_text()
    for written, ours in (
        ("listen 8080", f"listen 127.0.0.1:{port}"),
        ("127.0.0.1:8000", service.url.removeprefix("http://")),
        ("127.0.0.1:9000", upstream_address),
    ):
        assert written in lines
        lines = lines.replace(written, ours)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:

        def is_up() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return client.get("/").status_code == 401
            return False

        with running_nginx(lines, directory, is_up):
            yield client


@pytest.fixture(scope="module")
def proxy(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    directory = tmp_path_factory.mktemp("nginx")
    with upstream() as behind, guarded(service, f"127.0.0.1:{behind}", directory) as client:
        yield client


def bearer(secret: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", **headers}


FORGED = {f"X-Auth-{name}": "forged" for name in ("Key-Id", "User", "Domain", "Role", "Scopes")}
UNDERSCORED = {name.replace("-", "_"): value for name, value in FORGED.items()}
LOCATIONS = re.findall(r"location (\S+) \{\s+auth_request ", (EXAMPLE / "nginx.conf").read_text())


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("scopes", [["orders:write"], ["orders:write", "x"]], ids=len)
def test_no_header_that_a_client_forges_passes_a_guarded_location(
    service: Service, proxy: httpx.Client, location: str, scopes: list[str]
) -> None:
    given = {"domainId": "d", "userId": "ann", "scopes": scopes}
    key = service.data(CREATE, {"i": given})["createApiKey"]
    sent = proxy.get(f"{location}1", headers=bearer(key["apiKey"], **FORGED, **UNDERSCORED)).json()
    assert {name: value for name, value in sent.items() if "auth" in name} == {
        "x-auth-key-id": key["apiKeyId"],
        "x-auth-user": "ann",
        "x-auth-domain": "d",
        "x-auth-role": "USER",
        "x-auth-scopes": " ".join(scopes),
    }


@pytest.mark.parametrize("location", LOCATIONS)
def test_each_guarded_location_includes_the_headers(location: str) -> None:
    lines = (EXAMPLE / "nginx.conf").read_text()
    (block,) = re.findall(rf"location {location} \{{(.*?)\n    \}}", lines, re.DOTALL)
    assert "include guarded.inc;" in block
    assert "proxy_set_header" not in block  # one in the location is enough, and none of the outer level is inherited


@pytest.mark.parametrize("name", ["guarded.inc", "envoy.yaml", "traefik.yaml", "Caddyfile"])
def test_each_configuration_replaces_all_five_headers(name: str) -> None:
    lines = (EXAMPLE / name).read_text()
    if name == "envoy.yaml":
        assert "patterns: [{ prefix: x-auth- }]" in lines
        assert "allowed_headers:\n                        patterns: [{ exact: x-forwarded-for }]" in lines
        assert "headers_with_underscores_action: REJECT_REQUEST" in lines
        return
    assert [header for header in FORGED if re.search(rf"^[^#]*\b{header}\b", lines, re.MULTILINE)] == list(FORGED)
    if name == "Caddyfile":
        assert lines.index("request_header -X-Auth-*") < lines.index("forward_auth ")


def test_the_upstream_is_told_who_sent_the_request_and_never_the_secret(service: Service, proxy: httpx.Client) -> None:
    key = service.create("Zoë")
    answer = proxy.get("/anything?x=1", headers=bearer(key["apiKey"], **FORGED))
    assert answer.status_code == 200
    sent = answer.json()
    told = {name: value for name, value in sent.items() if name.startswith("x-auth-")}
    assert told == {
        "x-auth-key-id": key["apiKeyId"],
        "x-auth-user": "Zo%C3%AB",
        "x-auth-domain": "d",
        "x-auth-role": "USER",
        "x-auth-scopes": "identity:audit identity:read identity:verify identity:write",
    }
    assert "authorization" not in sent
    assert key["apiKey"] not in answer.text


def test_without_a_valid_key_nothing_reaches_the_upstream(service: Service, proxy: httpx.Client) -> None:
    for headers in ({}, bearer("x"), {"Authorization": "Basic eDp5"}):
        answer = proxy.get("/", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert proxy.get("/authz", headers=bearer(service.admin_key)).status_code == 404  # internal


def test_scopes_of_a_location_are_needed(service: Service, proxy: httpx.Client) -> None:
    may = {"domainId": "d", "userId": "u", "scopes": ["orders:write"]}
    (key, other) = (service.data(CREATE, {"i": {**may, "scopes": s}})["createApiKey"] for s in (may["scopes"], []))
    assert proxy.get("/orders/1", headers=bearer(key["apiKey"])).json()["x-auth-user"] == "u"
    assert proxy.get("/orders/1", headers=bearer(other["apiKey"], **{"X-Auth-User": "u"})).status_code == 403
    assert "x-auth-scopes" not in proxy.get("/", headers=bearer(other["apiKey"], **{"X-Auth-Scopes": "all"})).json()


def test_the_longest_ids_and_scopes_pass(service: Service, proxy: httpx.Client) -> None:
    scopes = [f"{number:03}{'s' * 37}" for number in range(100)]
    given = {"domainId": "𝄞" * 255, "userId": "𝄞" * 255, "scopes": scopes}
    key = service.data(CREATE, {"i": given})["createApiKey"]
    assert proxy.get("/", headers=bearer(key["apiKey"])).json()["x-auth-scopes"] == " ".join(scopes)


def test_a_disabled_key_is_refused_within_a_second(service: Service, proxy: httpx.Client) -> None:
    key = service.create("leaver")
    assert proxy.get("/", headers=bearer(key["apiKey"])).status_code == 200
    service.data(OFF, {"k": key["apiKeyId"]})
    time.sleep(0.9)
    assert proxy.get("/", headers=bearer(key["apiKey"])).status_code == 401


def test_with_the_database_frozen_it_is_503_and_never_200(service: Service, proxy: httpx.Client) -> None:
    key = service.create("late")
    assert proxy.get("/", headers=bearer(key["apiKey"])).status_code == 200
    database = service.database
    database.signal(signal.SIGSTOP)
    try:
        time.sleep(0.6)
        for _ in range(2):
            assert proxy.get("/", headers=bearer(key["apiKey"])).status_code == 503
    finally:
        database.signal(signal.SIGCONT)
    wait_until(lambda: proxy.get("/", headers=bearer(key["apiKey"])).status_code == 200, 30)


def test_each_configuration_says_whether_it_was_run() -> None:
    for path in EXAMPLE.iterdir():
        if path.suffix in (".yaml", "") and path.name != "README.md":
            assert Path(path).read_text().startswith("# Not run by our tests"), path.name
