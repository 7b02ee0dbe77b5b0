"""`@requiresScopes` in the subgraph's schema, where a setting asks for it."""

import shutil
import subprocess
from typing import Any

import pytest
from graphql import parse

from gql_identity.schema.federation import schema, subgraph_sdl
from gql_identity.schema.required_scopes import REQUIRED
from tests.conformance.test_gateways import NPM
from tests.conftest import Api, missing_tool, running
from tests.database.conftest import Run
from tests.database.test_forward_auth import key_with

SDL = "{ _service { sdl } }"
PLAIN, WITH_SCOPES = subgraph_sdl(schema), subgraph_sdl(schema, scopes=True)


def scopes_of(sdl: str) -> dict[str, Any]:
    """The scopes of each field that has the directive."""
    found = {}
    definitions: Any = parse(sdl).definitions
    for definition in definitions:
        for field in getattr(definition, "fields", None) or ():
            for directive in field.directives or ():
                if directive.name.value == "requiresScopes":
                    groups = directive.arguments[0].value.values
                    name = f"{definition.name.value}.{field.name.value}"
                    found[name] = [[scope.value for scope in group.values] for group in groups]
    return found


async def test_the_setting_and_the_command_give_the_directive_and_nothing_else(api: Api, run: Run) -> None:
    system = await api.make()
    assert (await api.data(SDL, by=system))["_service"]["sdl"] == PLAIN
    async with running(api.settings.model_copy(update={"scopes_in_sdl": True})) as service:
        assert (await service.data(SDL, by=system))["_service"]["sdl"] == WITH_SCOPES
    assert run("schema", "--subgraph", "--scopes").stdout == WITH_SCOPES + "\n"
    assert run("schema", "--scopes").returncode == 2
    assert scopes_of(PLAIN) == {}
    assert scopes_of(WITH_SCOPES) == REQUIRED
    assert WITH_SCOPES.count('"@requiresScopes"') == 1


@pytest.mark.parametrize("field", ["apiKey", "apiKeyAudit", "verifyApiKeys", "enableApiKey"])
async def test_a_key_without_the_scopes_is_refused_by_the_service_too(api: Api, field: str) -> None:
    """So the directive refuses nothing that the service would answer."""
    documents = {
        "apiKey": '{ apiKey(input: {apiKeyId: "k"}) { name } }',
        "apiKeyAudit": "{ apiKeyAudit { nodes { action } } }",
        "verifyApiKeys": 'mutation { verifyApiKeys(input: [{apiKey: "x"}]) { valid } }',
        "enableApiKey": 'mutation { enableApiKey(input: {apiKeyId: "k"}) { state } }',
    }
    (needed,) = next(groups for name, groups in REQUIRED.items() if name.endswith(f".{field}"))
    others = {"identity:read", "identity:write", "identity:verify", "identity:audit"} - set(needed)
    without = await key_with(api, scopes=sorted(others))
    assert await api.code(documents[field], by=without) == "PERMISSION_DENIED"


def test_it_composes_in_both_composers() -> None:
    if shutil.which("node") is None or not (NPM / "node_modules").exists():
        missing_tool("node (npm ci in tests/conformance/npm)")
    script = """
import { composeServices as apollo } from '@apollo/composition';
import { composeServices as guild } from '@theguild/federation-composition';
import { parse } from 'graphql';
import { readFileSync } from 'node:fs';
const typeDefs = parse(readFileSync(0, 'utf8'));
for (const compose of [apollo, guild]) {
  const { supergraphSdl, errors, hints } = compose([{ name: 'keys', url: 'http://keys', typeDefs }]);
  if (errors?.length || hints?.length) throw new Error([...(errors ?? []), ...(hints ?? [])].map(String).join());
  if (!supergraphSdl.includes('@requiresScopes(scopes: [["identity:read"]])')) throw new Error('lost');
}
"""
    command = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(command, cwd=NPM, input=WITH_SCOPES, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
