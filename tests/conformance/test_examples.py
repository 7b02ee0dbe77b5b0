"""The examples, run as their READMEs say, against the running service."""

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import missing_tool
from tests.processes import ROOT, START_SECONDS, run, surroundings, wait_until

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
HIVE = Path(__file__).parent / "npm" / "node_modules" / ".bin" / "hive-gateway"
SECRET = re.compile(r"gqlid_[0-9A-Za-z]{49}")


def copied(name: str, tmp_path: Path, packages: str) -> Path:
    """A copy of an example, whose packages are those that were installed for the example itself."""
    if packages == "node_modules" and shutil.which("node") is None:
        missing_tool("node")
    if not (EXAMPLES / name / packages).exists():
        missing_tool(f"examples/{name}/{packages} (its README says how to install it)")
    copy = tmp_path / "examples" / name
    ignored = ("node_modules", ".venv", "dist", "generated.ts", "api_keys_client", "__pycache__")
    shutil.copytree(EXAMPLES / name, copy, ignore=shutil.ignore_patterns(*ignored))
    (copy / packages).symlink_to(EXAMPLES / name / packages)
    shutil.copy(ROOT / "schema.graphql", tmp_path)
    return copy


def ran(command: list[str], cwd: Path, expected: int = 0, **environment: str) -> str:
    """What a command prints, on standard error where it fails as expected."""
    done = subprocess.run(
        command, cwd=cwd, env=surroundings(**environment), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stderr if expected else done.stdout


def composed(example: Path, *more: str, **urls: str) -> str:
    """Compose the supergraph of examples/gateway as its README says; what the composer prints."""
    (example / "api-keys.graphql").write_text(run("schema", "--subgraph").stdout)
    return ran(["node", "compose.mjs", *more], example, 0, **urls)


def lists_creates_and_disables(keys: Callable[..., str]) -> None:
    made = keys("create", "ann", "example")
    assert SECRET.search(made)
    key_id = made.split()[0]
    [listed] = [line for line in keys("list").splitlines() if line.startswith(key_id)]
    assert not SECRET.search(listed)
    assert "ENABLED" in listed
    assert "DISABLED" in keys("disable", key_id)
    assert keys("disable", "api-key-0", expected=1).strip() == "NOT_FOUND: There is no such key."
    refused = keys("list", expected=1, key="gqlid_wrong").strip()
    assert refused.startswith("UNAUTHENTICATED: ")
    assert "\n" not in refused


def surrounding_key(served: Any, key: str | None = None) -> dict[str, str]:
    return {"IDENTITY_URL": f"{served.url}/graphql", "IDENTITY_KEY": key or served.admin_key}


def test_the_typescript_client_runs_and_its_types_are_strict(served: Any, tmp_path: Path) -> None:
    example = copied("typescript", tmp_path, "node_modules")
    ran(["npm", "run", "generate"], example)
    ran(["npm", "run", "build"], example)

    def keys(*arguments: str, expected: int = 0, key: str | None = None) -> str:
        return ran(["node", "dist/keys.js", *arguments], example, expected, **surrounding_key(served, key))

    lists_creates_and_disables(keys)
    # Neither a field that was not selected nor an input without what the schema requires passes the compiler.
    source = example / "src" / "keys.ts"
    for right, wrong in (("key.hint", "key.createdAt"), ("domainId, userId, name", "domainId, name")):
        kept = source.read_text()
        assert right in kept
        source.write_text(kept.replace(right, wrong))
        compiled = subprocess.run(["npx", "tsc"], cwd=example, capture_output=True, text=True, timeout=120, check=False)
        assert "error TS" in compiled.stdout
        source.write_text(kept)


def test_the_python_client_runs_and_its_types_are_strict(served: Any, tmp_path: Path) -> None:
    example = copied("python", tmp_path, ".venv")
    python = str(example / ".venv" / "bin" / "python")
    ran([python, "-m", "ariadne_codegen", "--config", "ariadne-codegen.toml"], example)
    ran([sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "keys.py"], example)

    def keys(*arguments: str, expected: int = 0, key: str | None = None) -> str:
        return ran([python, "keys.py", *arguments], example, expected, **surrounding_key(served, key))

    lists_creates_and_disables(keys)
    with started([python, "keys.py", "follow"], example, **surrounding_key(served)) as log:
        seconds = time.monotonic() + START_SECONDS
        while "CREATED" not in log.read_text():  # there is no word that a subscription has begun
            assert time.monotonic() < seconds, log.read_text()
            keys("create", "ann")
    assert not SECRET.search(log.read_text())


# Status and body of responses that are not the service's, but for example a proxy's while the service is away.
FOREIGN = [
    (502, "<h1>\n502 Bad Gateway\n</h1>"),
    (502, '{"errors": [{"title": "Bad Gateway"}]}'),
    (502, '{"errors": [{"message": "Bad Gateway", "extensions": "none"}]}'),
    (200, "<h1>\nWe are back soon\n</h1>"),
    (200, '{"errors": [{"title": "Bad Gateway"}]}'),
    (200, '{"errors": ["Bad Gateway"]}'),
    (200, '{"errors": {"status": 502}}'),
    (200, '{"data": {"apiKeys": {"results": [{"apiKeyId": 502}]}}}'),
]


class Proxy(ThreadingHTTPServer):
    """A server that gives each request the same response."""

    status, body = FOREIGN[0]


class ProxyResponse(BaseHTTPRequestHandler):
    server: Proxy

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.server.status)
        media_type = "text/html" if self.server.body.startswith("<") else "application/json"
        self.send_header("Content-Type", media_type)
        self.end_headers()
        self.wfile.write(self.server.body.encode())

    def log_message(self, *_: object) -> None:
        """Write no log."""


def says_in_one_line_that_a_response_is_foreign(command: list[str], example: Path, responses: Any = FOREIGN) -> None:
    with Proxy(("127.0.0.1", 0), ProxyResponse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/graphql"
        for server.status, server.body in responses:
            said = ran(command, example, 1, IDENTITY_URL=url, IDENTITY_KEY="x")
            assert len(said.splitlines()) == 1, said
            assert said.startswith(f"{url} cannot be used: "), said
            assert server.status == 200 or "502" in said
        server.shutdown()


def test_the_python_client_says_in_one_line_that_a_response_is_not_the_services(tmp_path: Path) -> None:
    example = copied("python", tmp_path, ".venv")
    python = str(example / ".venv" / "bin" / "python")
    ran([python, "-m", "ariadne_codegen", "--config", "ariadne-codegen.toml"], example)
    says_in_one_line_that_a_response_is_foreign([python, "keys.py", "list"], example)


def test_the_typescript_client_says_in_one_line_that_a_response_is_not_the_services(tmp_path: Path) -> None:
    example = copied("typescript", tmp_path, "node_modules")
    ran(["npm", "run", "generate"], example)
    ran(["npm", "run", "build"], example)
    # Its types are the compiler's alone: data of another shape is not noticed.
    responses = [(status, body) for status, body in FOREIGN if '"data"' not in body]
    says_in_one_line_that_a_response_is_foreign(["node", "dist/keys.js", "list"], example, responses)


@contextmanager
def started(command: list[str], cwd: Path, **environment: str) -> Iterator[Path]:
    """A process that runs on, and the file that it prints to."""
    log = cwd / f"log-{len(list(cwd.glob('log-*')))}"
    with (
        log.open("w") as out,
        subprocess.Popen(command, cwd=cwd, env=surroundings(**environment), stdout=out, stderr=out) as process,
    ):
        try:
            yield log
        finally:
            process.terminate()


def announced(log: Path) -> str:
    """The address that a server prints once it listens."""
    wait_until(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()), START_SECONDS)
    found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
    assert found
    return found[0]


BOTH_WAYS = """{
  users(domainId: "default") { userId displayName apiKeys { nodes { apiKeyId user { displayName } } } }
  apiKeys(input: {domainId: "default"}) { results { userId user { displayName } } }
}"""


@pytest.mark.parametrize("gateway", ["apollo", "hive"])
def test_the_gateway_shows_users_their_keys_and_keys_their_users(served: Any, tmp_path: Path, gateway: str) -> None:
    example = copied("gateway", tmp_path, "node_modules")
    if gateway == "hive" and not HIVE.exists():
        missing_tool("Hive Gateway (npm ci in tests/conformance/npm)")
    with ExitStack() as running:
        users_log = running.enter_context(started(["node", "users.mjs"], example, USERS_PORT="0"))
        urls = {"USERS_URL": f"{announced(users_log)}/", "API_KEYS_URL": f"{served.url}/graphql"}
        assert composed(example, **urls) == "", "it composes without a hint"
        if gateway == "apollo":
            log = running.enter_context(started(["node", "apollo-gateway.mjs"], example, GATEWAY_PORT="0"))
            url = announced(log)
        else:
            port = str(free_port())
            command = ["node", str(HIVE), "supergraph", "--config-path", "hive-gateway.config.mjs"]
            log = running.enter_context(started(command, example, GATEWAY_PORT=port, NO_COLOR="1"))
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/graphql"), START_SECONDS)
            url = f"http://127.0.0.1:{port}/graphql"

        found = asked(url, served.admin_key)
        assert "errors" not in found, found
        admin = next(user for user in found["data"]["users"] if user["userId"] == "admin")
        # Other tests make keys for the same user.
        assert {key["user"]["displayName"] for key in admin["apiKeys"]["nodes"]} == {"The administrator"}
        names = {key["userId"]: key["user"]["displayName"] for key in found["data"]["apiKeys"]["results"]}
        assert names["admin"] == "The administrator"

        refused = asked(url, None)
        assert {error["extensions"]["code"] for error in refused["errors"]} == {"UNAUTHENTICATED"}
        assert "authorization not sent" in users_log.read_text()
        assert "authorization sent" not in users_log.read_text()

        if gateway == "apollo":  # as the READMEs say
            subscription = 'subscription { apiKeyChanged(input: {domainId: "default"}) { type } }'
            refused = asked(url, served.admin_key, subscription)
            assert "ubscription" in refused["errors"][0]["message"], refused


def asked(url: str, secret: str | None, query: str = BOTH_WAYS) -> Any:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return httpx.post(url, json={"query": query}, headers=headers, timeout=30, trust_env=False).json()


def answers(url: str) -> bool:
    try:
        return httpx.post(url, json={"query": "{ __typename }"}, timeout=10, trust_env=False).is_success
    except httpx.TransportError:
        return False


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_the_router_s_and_rover_s_configurations_name_the_same_subgraphs() -> None:
    rover = yaml.safe_load((EXAMPLES / "gateway" / "supergraph.yaml").read_text())
    router = yaml.safe_load((EXAMPLES / "gateway" / "router.yaml").read_text())

    assert set(rover["subgraphs"]) == {"users", "api-keys"}
    files = {name: subgraph["schema"]["file"] for name, subgraph in rover["subgraphs"].items()}
    assert files == {"users": "./users.graphql", "api-keys": "./api-keys.graphql"}
    # The credential goes to this service alone.
    assert router["headers"] == {
        "subgraphs": {"api-keys": {"request": [{"propagate": {"named": "authorization"}}]}},
    }


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_an_example_s_packages_are_pinned(name: str) -> None:
    example = EXAMPLES / name
    assert (example / "README.md").exists()
    if (example / "package.json").exists():
        package = json.loads((example / "package.json").read_text())
        versions = (package.get("dependencies", {}) | package.get("devDependencies", {})).values()
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
        # No address: the packages come from whichever registry the machine is set to.
        assert "resolved" not in (example / "package-lock.json").read_text()
    elif name != "forward-auth":  # which has no packages
        assert all("==" in line for line in (example / "requirements.txt").read_text().splitlines())
