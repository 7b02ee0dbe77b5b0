"""Relay's own compiler on operations over the connection, and what it compiled, run against the service."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import missing_tool

ROOT = Path(__file__).parents[2]
RELAY = Path(__file__).parent / "relay"


def test_relay_compiles_a_page_of_keys_and_the_service_answers_it(served: Any, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        missing_tool("node")
    if not (RELAY / "node_modules").exists():
        missing_tool("the npm package relay-compiler (npm ci in tests/conformance/relay)")
    shutil.copytree(RELAY / "src", tmp_path / "src")
    shutil.copy(ROOT / "schema.graphql", tmp_path)
    config = json.loads((RELAY / "relay.config.json").read_text()) | {"schema": "./schema.graphql"}
    (tmp_path / "relay.config.json").write_text(json.dumps(config))
    command = ["node", str(RELAY / "node_modules" / "relay-compiler" / "cli.js")]
    compiled = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr

    texts = {
        file.name.removesuffix(".graphql.js"): json.loads(found[1])
        for file in (tmp_path / "src" / "__generated__").iterdir()
        if (found := re.search(r'"text": (".*")', file.read_text()))
    }
    assert texts.keys() == {
        "KeysQuery",
        "KeysPageQuery",
        "KeysKeyQuery",
        "KeysDeleteMutation",
        "KeysChangedSubscription",
    }
    headers = {"Authorization": f"Bearer {served.admin_key}"}

    def run(name: str, **variables: Any) -> Any:
        request = {"query": texts[name], "variables": variables}
        answer = httpx.post(f"{served.url}/graphql", json=request, headers=headers).json()
        assert "errors" not in answer, answer
        return answer["data"]

    page = run("KeysPageQuery", domainId="default", first=1)["apiKeysConnection"]
    assert {"cursor", "node"} <= page["edges"][0].keys()
    assert {"endCursor", "hasNextPage"} <= page["pageInfo"].keys()
    node = page["edges"][0]["node"]
    assert run("KeysKeyQuery", id=node["id"])["node"]["apiKeyId"] == node["apiKeyId"]
