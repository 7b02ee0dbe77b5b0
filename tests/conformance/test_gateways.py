"""Behind real gateways: queries from users to keys and back, credentials on their way, errors passed through."""

import json
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import missing_tool

pytestmark = pytest.mark.slow

NPM = Path(__file__).parent / "npm"
PACKAGES = {"apollo": "@apollo/gateway", "hive": "@graphql-hive/gateway"}
START_SECONDS = 60.0


class Gateway:
    """A gateway in front of the service and of a users subgraph, which knows ann, bob and nobody of the domain shop."""

    def __init__(self, url: str, served: Any) -> None:
        self.url, self.served = url, served

    def run(self, query: str, by: str | None = None, **variables: Any) -> Any:
        headers = {} if by is None else {"Authorization": f"Bearer {by}"}
        body = {"query": query, "variables": variables}
        return httpx.post(self.url, json=body, headers=headers, timeout=30, trust_env=False).json()

    def data(self, query: str, by: str | None = None, **variables: Any) -> Any:
        """The answer's data; fails where there are errors."""
        answer = self.run(query, by, **variables)
        assert "errors" not in answer, answer
        return answer["data"]


@pytest.fixture(scope="module", params=PACKAGES)
def gateway(request: pytest.FixtureRequest, served: Any) -> Iterator[Gateway]:
    if shutil.which("node") is None or not (NPM / "node_modules" / PACKAGES[request.param]).exists():
        missing_tool(f"{PACKAGES[request.param]} (npm ci in tests/conformance/npm)")
    command = ["node", "gateway.mjs", request.param, f"{served.url}/graphql"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=NPM, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], START_SECONDS)[0], "the gateway did not start in time"
            yield Gateway(json.loads(process.stdout.readline())["url"], served)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def keys(served: Any) -> dict[str, Any]:
    """One key of ann's, two of bob's."""
    return {name: served.create(name.rstrip("2"), "shop", name=name) for name in ("ann", "bob", "bob2")}


def test_a_query_goes_from_users_to_keys_and_back(gateway: Gateway, keys: Any) -> None:
    query = """{ users { email apiKeys(first: 5) { totalCount nodes { name user { email } domain { title } } } } }"""
    for by in (gateway.served.admin_key, gateway.served.create("boss", "shop", role="DOMAIN_OWNER")["apiKey"]):
        users = {user.pop("email"): user["apiKeys"] for user in gateway.data(query, by)["users"]}
        back = {
            name: {"user": {"email": f"{name}@shop.example"}, "domain": {"title": "SHOP"}} for name in ("ann", "bob")
        }
        assert users == {
            "ann@shop.example": {"totalCount": 1, "nodes": [{"name": "ann", **back["ann"]}]},
            "bob@shop.example": {
                "totalCount": 2,
                "nodes": [{"name": "bob", **back["bob"]}, {"name": "bob2", **back["bob"]}],
            },
            "nobody@shop.example": {"totalCount": 0, "nodes": []},
        }


def test_a_query_goes_from_keys_to_users_and_back(gateway: Gateway, keys: Any) -> None:
    query = """query($input: APIKeyQuery!) { apiKeys(input: $input) { totalCount results {
        name user { email apiKeys(last: 1) { nodes { name } } }
        domain { title apiKeyStats(query: {filter: [{k: "user_id", v: "bob", o: EQ}], distinct: "name"}) } } } }"""
    asked = {"domainId": "shop", "userId": "bob", "query": {"sort": {"key": "name"}, "page": {"limit": 10}}}
    found = gateway.data(query, gateway.served.admin_key, input=asked)["apiKeys"]
    owner = {
        "user": {"email": "bob@shop.example", "apiKeys": {"nodes": [{"name": "bob2"}]}},
        "domain": {"title": "SHOP", "apiKeyStats": {"results": ["bob", "bob2"]}},
    }
    assert found == {"totalCount": 2, "results": [{"name": "bob", **owner}, {"name": "bob2", **owner}]}


def test_the_callers_reach_holds_behind_a_gateway(gateway: Gateway, keys: Any) -> None:
    query = "{ users { userId apiKeys { nodes { name } } } seesAuthorization }"
    data = gateway.data(query, keys["ann"]["apiKey"])
    assert data["users"] == [
        {"userId": "ann", "apiKeys": {"nodes": [{"name": "ann"}]}},
        {"userId": "bob", "apiKeys": None},
        {"userId": "nobody", "apiKeys": None},
    ]
    assert data["seesAuthorization"] is False, "the credential goes to the service alone"


def test_a_key_is_made_and_deleted_through_a_gateway(gateway: Gateway) -> None:
    create = """mutation { createApiKey(input: {domainId: "shop", userId: "temp"}) {
        apiKeyId apiKey user { email } } }"""
    made = gateway.data(create, gateway.served.admin_key)["createApiKey"]
    assert made["apiKey"].startswith("gqlid_")
    assert made["user"] == {"email": "temp@shop.example"}
    delete = """mutation($k: ID!) { deleteApiKey(input: {domainId: "shop", apiKeyId: $k}) { apiKeyId } }"""
    assert gateway.data(delete, made["apiKey"], k=made["apiKeyId"])["deleteApiKey"] == {"apiKeyId": made["apiKeyId"]}


def test_errors_pass_through_with_their_codes_and_without_harm_to_others(gateway: Gateway, keys: Any) -> None:
    def codes(answer: Any) -> set[str]:
        return {error["extensions"]["code"] for error in answer["errors"]}

    both = '{ users { email } apiKey(input: {domainId: "%s", apiKeyId: "k"}) { name } }'
    answer = gateway.run(both % "elsewhere", keys["ann"]["apiKey"])
    assert codes(answer) == {"PERMISSION_DENIED"}
    assert answer["data"]["apiKey"] is None
    assert len(answer["data"]["users"]) == 3
    assert "its own domain only" in answer["errors"][0]["message"]
    answer = gateway.run(both % "shop")
    assert codes(answer) == {"UNAUTHENTICATED"}
    assert len(answer["data"]["users"]) == 3
    answer = gateway.run("{ users { email apiKeys(first: -1) { totalCount } } }", keys["bob"]["apiKey"])
    assert codes(answer) == {"INVALID_ARGUMENT"}
    assert [user["apiKeys"] for user in answer["data"]["users"]] == [None] * 3
    # A wrong key is an HTTP 401 of the service.
    answer = gateway.run(both % "shop", "gqlid_wrong")
    assert answer["data"]["apiKey"] is None
    assert len(answer["data"]["users"]) == 3
    assert answer["errors"]
