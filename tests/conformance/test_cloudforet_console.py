"""What Cloudforet's console sends and reads, through nginx with exactly the lines of docs/cloudforet.md."""

import contextlib
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gql_identity.web.json_messages import INFO_FIELDS
from tests.conformance.test_proxies import nginx, running_nginx
from tests.processes import ROOT, serving

PAGE = (ROOT / "docs" / "cloudforet.md").read_text()
SEVEN = ("create", "enable", "disable", "delete", "get", "list", "stat")


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of nginx, which sends what the console does: a token of Cloudforet's sign-in."""
    nginx()
    directory = tmp_path_factory.mktemp("console")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (lines,) = re.findall(r"```nginx\n(.*?)```", PAGE, re.DOTALL)
    with serving(directory / "data") as service:
        for written, ours in (
            ("listen 8080", f"listen 127.0.0.1:{port}"),
            ("127.0.0.1:8000", service.url.removeprefix("http://")),
            ("$key_of_person", str(service.admin_key)),
        ):
            assert written in lines
            lines = lines.replace(written, ours)
        headers = {"Authorization": "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl", "Accept-Encoding": "gzip"}
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=30)

        def is_up() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return client.get("/").status_code == 404
            return False

        with client, running_nginx(lines, directory, is_up):
            yield client


def test_the_reflection_names_the_paths_that_the_console_calls(console: httpx.Client) -> None:
    found = console.post("/api/reflection").json()["apis"]
    assert [api["path"] for api in found] == [f"/identity/api-key/{name}" for name in SEVEN]
    for api in found:
        assert console.post(api["path"], json={"nonsense": 1}).status_code == 400


def test_the_console_s_page_of_a_user_s_keys_works(console: httpx.Client) -> None:
    def call(name: str, body: dict[str, Any]) -> Any:
        answer = console.post(f"/identity/api-key/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    name = '{"error":{ "api_key":null'  # in a text it stays what it is
    made = call("create", {"user_id": "ann", "name": name})
    assert made["api_key"].startswith("gqlid_")
    one = {"api_key_id": made["api_key_id"]}
    query = {"sort": {"key": "created_at", "desc": True}, "filter": [{"k": "user_id", "v": "ann", "o": "eq"}]}
    listed = call("list", {"query": query})
    assert listed["total_count"] == 1
    (key,) = listed["results"]
    assert (key["api_key_id"], key["name"]) == (made["api_key_id"], name)
    assert key["api_key"] == key["last_accessed_at"] == ""
    assert call("disable", one)["state"] == "DISABLED"
    assert call("enable", one)["state"] == "ENABLED"
    assert call("get", one)["name"] == name
    assert call("stat", {"query": {"distinct": "user_id"}})["results"] == ["admin", "ann"]
    assert call("delete", one) == {}


def test_an_error_is_read_as_the_console_reads_it(console: httpx.Client) -> None:
    for body, status in (({"api_key_id": "api-key-none"}, 404), ({}, 400), ({"api_key_id": "k", "domain_id": 1}, 400)):
        answer = console.post("/identity/api-key/get", json=body)
        assert answer.status_code == status
        detail = answer.json()["detail"]
        assert detail["code"]
        assert detail["message"]


def test_the_page_about_cloudforet_names_every_field_that_a_key_has_more_here() -> None:
    seven = {"api_key_id", "api_key", "state", "user_id", "domain_id", "last_accessed_at", "created_at"}
    (row,) = re.findall(r"^\| a key \| seven fields \| also ([^|]*) \|", PAGE, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == [name for name in INFO_FIELDS if name not in seven]
