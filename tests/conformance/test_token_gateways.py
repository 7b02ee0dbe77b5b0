"""examples/gateway with tokens: nginx turns a key into a token, and a gateway checks it, or passes it on."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conformance.test_examples import HIVE, announced, composed, copied, free_port, started
from tests.conformance.test_forward_auth import bearer, guarded
from tests.conftest import missing_tool
from tests.processes import START_SECONDS, serving, wait_until

pytestmark = pytest.mark.slow

CREATE = "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { apiKeyId apiKey } }"
MINE = '{ viewer { userId scopes } users(domainId: "default") { displayName } }'
ORDERS = "{ viewer { userId } latestOrder { customer } }"
OURS_AND_THEIRS = ["identity:read", "orders:read"]


@pytest.mark.parametrize("gateway", ["hive", "apollo"])
def test_a_gateway_gets_a_token_for_each_key_and_checks_its_scopes(tmp_path: Path, gateway: str) -> None:
    example = copied("gateway", tmp_path, "node_modules")
    if gateway == "hive" and not HIVE.exists():
        missing_tool("Hive Gateway (npm ci in tests/conformance/npm)")
    if gateway == "hive":  # its configuration imports it; these packages are the example's, and Hive Gateway
        (example / "node_modules").unlink()
        (example / "node_modules").symlink_to(HIVE.parents[1])
    port = free_port()
    issuer = f"http://127.0.0.1:{port}"
    with ExitStack() as running:
        service = running.enter_context(serving(tmp_path / "data", "--port", str(port), GQL_IDENTITY_ISSUER=issuer))
        wait_until(lambda: service.status("/.well-known/jwks.json") == 200, START_SECONDS)
        users_log = running.enter_context(started(["node", "users.mjs"], example, USERS_PORT="0"))
        urls = {"USERS_URL": f"{announced(users_log)}/", "API_KEYS_URL": f"{service.url}/graphql"}
        if gateway == "hive":
            orders_log = running.enter_context(started(["node", "orders.mjs"], example, ORDERS_PORT="0"))
            urls["ORDERS_URL"] = f"{announced(orders_log)}/"
        more = ["orders"] if gateway == "hive" else []
        assert composed(example, *more, **urls) == "", "it composes without a hint"
        if gateway == "apollo":
            log = running.enter_context(started(["node", "apollo-gateway.mjs"], example, GATEWAY_PORT="0"))
            address, path = announced(log).removeprefix("http://").rstrip("/"), "/"
        else:
            address, path = f"127.0.0.1:{free_port()}", "/graphql"
            command = ["node", str(HIVE), "supergraph", "--config-path", "hive-gateway-tokens.config.mjs"]
            environment = {"GATEWAY_PORT": address.rpartition(":")[2], "NO_COLOR": "1", "GQL_IDENTITY_ISSUER": issuer}
            log = running.enter_context(started(command, example, **environment))
            wait_until(lambda: healthy(f"http://{address}/healthcheck") or stopped(log), START_SECONDS)
        client = running.enter_context(guarded(service, address, tmp_path))

        def asked(query: str, secret: str) -> Any:
            answer = client.post(path, json={"query": query}, headers=bearer(secret))
            assert secret not in answer.text
            return answer.json()

        def key(scopes: list[str] | None) -> str:
            made = {"domainId": "default", "userId": "ann", "scopes": scopes}
            return str(service.data(CREATE, {"i": made})["createApiKey"]["apiKey"])

        may, may_not, without = key(OURS_AND_THEIRS), key(["identity:read"]), key(None)
        # The token opens the service behind the gateway, as its key.
        for secret, scopes in ((may, OURS_AND_THEIRS), (may_not, ["identity:read"]), (without, None)):
            found = asked(MINE, secret)
            assert "errors" not in found, found
            assert found["data"]["viewer"] == {"userId": "ann", "scopes": scopes}
            assert [user["displayName"] for user in found["data"]["users"]] == ["The administrator", "Ann"]
        if gateway == "hive":
            assert asked(ORDERS, may)["data"] == {"viewer": {"userId": "ann"}, "latestOrder": {"customer": "Ann"}}
            for secret in (may_not, without):
                found = asked(ORDERS, secret)
                assert found["data"] == {"viewer": {"userId": "ann"}, "latestOrder": None}
                assert {error["extensions"]["code"] for error in found["errors"]} == {"UNAUTHORIZED_FIELD_OR_TYPE"}
        assert client.post(path, json={"query": MINE}, headers=bearer("gqlid_wrong")).status_code == 401
        assert "authorization sent" not in users_log.read_text()
        if gateway == "hive":
            # Whoever reaches it past the proxy needs a token: it takes no key, and no token that nobody signed.
            direct = [
                httpx.post(f"http://{address}{path}", json={"query": MINE}, headers=headers, trust_env=False)
                for headers in ({}, bearer(service.admin_key), bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."))
            ]
            assert {answer.is_success for answer in direct} == {False}, [answer.text for answer in direct]


def healthy(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10, trust_env=False).is_success
    except httpx.TransportError:
        return False


def stopped(log: Path) -> bool:
    assert "Error" not in log.read_text(), log.read_text()
    return False
