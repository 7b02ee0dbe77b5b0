"""Limits with Hive Gateway, as examples/gateway configures it: trusted documents, and the gateway's limit of cost."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import missing_tool
from tests.processes import START_SECONDS, Service, serving, wait_until

from .test_examples import HIVE, announced, answers, composed, copied, free_port, started

pytestmark = pytest.mark.slow

LIST = '{ apiKeys(input: {domainId: "default"}) { results { userId user { displayName } } } }'


LIMITED = """import { gatewayConfig as common } from "./hive-gateway.config.mjs";
export const gatewayConfig = { ...common, demandControl: { maxCost: 100 } };
"""


@contextmanager
def gateway_before(service: Service, folder: Path, configuration: str | None = None) -> Iterator[str]:
    """The address of Hive Gateway before the service and the subgraph of users, by default as the example has it."""
    example = copied("gateway", folder, "node_modules")
    if not HIVE.exists():
        missing_tool("Hive Gateway (npm ci in tests/conformance/npm)")
    name = "hive-gateway.config.mjs"
    if configuration is not None:
        name = "gateway.config.mjs"
        (example / name).write_text(configuration)
    with started(["node", "users.mjs"], example, USERS_PORT="0") as log:
        composed(example, USERS_URL=f"{announced(log)}/", API_KEYS_URL=f"{service.url}/graphql")
        url = f"http://127.0.0.1:{free_port()}/graphql"
        command = ["node", str(HIVE), "supergraph", "--config-path", name]
        with started(command, example, GATEWAY_PORT=str(httpx.URL(url).port), NO_COLOR="1"):
            wait_until(lambda: answers(url), START_SECONDS)
            yield url


def asked(url: str, key: str, query: str, **variables: Any) -> Any:
    headers, body = {"Authorization": f"Bearer {key}"}, {"query": query, "variables": variables}
    return httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False).json()


def test_trusted_documents_do_not_lock_a_gateway_out(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"who": "{ viewer { userId } }"}))
    with serving(
        tmp_path / "data", GQL_IDENTITY_TRUSTED_DOCUMENTS=str(manifest), GQL_IDENTITY_INTROSPECTION="off"
    ) as service:
        verifier = service.create("gateway", "default", role="VERIFIER")["apiKey"]
        user = service.create("ann", "default")["apiKey"]
        assert "type APIKeyInfo" in service.data("{ _service { sdl } }", by=verifier)["_service"]["sdl"]
        with gateway_before(service, tmp_path) as url:
            found = asked(url, service.admin_key, LIST)
            assert {"userId": "ann", "user": {"displayName": "Ann"}} in found["data"]["apiKeys"]["results"]
            # A key of role USER runs what the manifest has, also through the gateway.
            refused = asked(url, user, LIST)
            assert refused["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_SUPPORTED"
            assert service.send("{ viewer { userId } }", by=user).json() == {"data": {"viewer": {"userId": "ann"}}}


STATISTIC = 'apiKeyStats(input: {domainId: "default", query: {distinct: "name"}})'


@pytest.fixture(scope="module")
def limited(served: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Hive Gateway with `maxCost: 100`."""
    with gateway_before(served, tmp_path_factory.mktemp("limited"), LIMITED) as url:
        yield url


@pytest.mark.parametrize(
    ("query", "runs"),
    [
        ('{ apiKeysConnection(domainId: "default", first: 5) { nodes { apiKeyId } } }', True),
        ('{ apiKeysConnection(domainId: "default", first: 5) { edges { node { apiKeyId } } } }', True),
        ('{ apiKeysConnection(domainId: "default", first: 1000) { nodes { apiKeyId } } }', False),
        ('{ apiKeysConnection(domainId: "default", first: 1000) { edges { node { apiKeyId } } } }', False),
        ('{ apiKeysConnection(domainId: "default", last: 1000) { nodes { apiKeyId } } }', False),
        ('{ users(domainId: "default") { apiKeys(first: 5) { nodes { apiKeyId } } } }', True),
        ('{ users(domainId: "default") { apiKeys(first: 1000) { nodes { apiKeyId } } } }', False),
        ('{ apiKeys(input: {domainId: "default"}) { results { apiKeyId } } }', False),
        (f"{{ {STATISTIC} }}", True),
        (f"{{ {' '.join(f's{n}: {STATISTIC}' for n in range(7))} }}", False),
    ],
)
def test_a_gateway_s_limit_of_cost_counts_what_may_be_returned(
    limited: str, served: Any, query: str, runs: bool
) -> None:
    answer = asked(limited, served.admin_key, query)
    if runs:
        assert "errors" not in answer, answer
    else:
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"COST_ESTIMATED_TOO_EXPENSIVE"}


def test_a_gateway_s_limit_of_cost_counts_variables(limited: str, served: Any) -> None:
    query = 'query($first: Int) { apiKeysConnection(domainId: "default", first: $first) { nodes { apiKeyId } } }'
    assert "errors" not in asked(limited, served.admin_key, query, first=5)
    answer = asked(limited, served.admin_key, query, first=1000)
    assert answer["errors"][0]["extensions"]["code"] == "COST_ESTIMATED_TOO_EXPENSIVE"
