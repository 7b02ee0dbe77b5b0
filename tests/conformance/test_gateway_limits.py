"""Limits and gateways: trusted documents, against the composer and Hive Gateway as examples/gateway has them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import missing_tool
from tests.processes import START_SECONDS, Service, serving, wait_until

from .test_examples import HIVE, announced, answers, copied, free_port, ran, started

LIST = '{ apiKeys(input: {domainId: "default"}) { results { userId user { displayName } } } }'


@contextmanager
def gateway_before(service: Service, folder: Path, key: str) -> Iterator[str]:
    """The address of Hive Gateway before the service and the subgraph of users; it is composed with a key."""
    example = copied("gateway", folder, "node_modules")
    if not HIVE.exists():
        missing_tool("Hive Gateway (npm ci in tests/conformance/npm)")
    with started(["node", "users.mjs"], example, USERS_PORT="0") as log:
        urls = {"USERS_URL": f"{announced(log)}/", "API_KEYS_URL": f"{service.url}/graphql"}
        ran(["node", "compose.mjs"], example, 0, IDENTITY_KEY=key, **urls)
        url = f"http://127.0.0.1:{free_port()}/graphql"
        command = ["node", str(HIVE), "supergraph", "--config-path", "hive-gateway.config.mjs"]
        with started(command, example, GATEWAY_PORT=str(httpx.URL(url).port), NO_COLOR="1"):
            wait_until(lambda: answers(url), START_SECONDS)
            yield url


def asked(url: str, key: str, query: str) -> Any:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(url, json={"query": query}, headers=headers, timeout=30, trust_env=False).json()


@pytest.mark.slow
def test_trusted_documents_do_not_lock_a_gateway_out(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"who": "{ viewer { userId } }"}))
    with serving(
        tmp_path / "data", GQL_IDENTITY_TRUSTED_DOCUMENTS=str(manifest), GQL_IDENTITY_INTROSPECTION="off"
    ) as service:
        verifier = service.create("gateway", "default", role="VERIFIER")["apiKey"]
        user = service.create("ann", "default")["apiKey"]
        with gateway_before(service, tmp_path, verifier) as url:
            found = asked(url, service.admin_key, LIST)
            assert {"userId": "ann", "user": {"displayName": "Ann"}} in found["data"]["apiKeys"]["results"]
            # A key of role USER runs what the manifest has, also through the gateway.
            refused = asked(url, user, LIST)
            assert refused["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_SUPPORTED"
            assert service.send("{ viewer { userId } }", by=user).json() == {"data": {"viewer": {"userId": "ann"}}}
