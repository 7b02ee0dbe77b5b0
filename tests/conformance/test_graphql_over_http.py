"""The 61 audits of the npm package graphql-http: whether the service speaks GraphQL over HTTP."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import missing_tool

NPM = Path(__file__).parent / "npm"


def test_every_audit_passes_without_a_warning(served: Any) -> None:
    if shutil.which("node") is None:
        missing_tool("node")
    if not (NPM / "node_modules" / "graphql-http").exists():
        missing_tool("the npm package graphql-http (npm ci in tests/conformance/npm)")
    command = ["node", "audit.mjs", f"{served.url}/graphql"]
    printed = subprocess.run(command, cwd=NPM, capture_output=True, text=True, timeout=60, check=True).stdout
    audits = [json.loads(line) for line in printed.splitlines()]
    assert [audit for audit in audits if audit["status"] != "ok"] == []
    assert len(audits) == 61
