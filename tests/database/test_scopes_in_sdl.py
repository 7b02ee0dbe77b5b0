"""`@requiresScopes` in the subgraph's schema, where a setting asks for it."""

import shutil
import subprocess
from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest
from graphql import parse

from gql_identity.keys.scopes import OURS
from gql_identity.schema.federation import schema, subgraph_sdl
from gql_identity.schema.required_scopes import REQUIRED
from gql_identity.settings import Settings
from tests.conformance.test_gateways import NPM
from tests.conftest import Api, Person, listening, missing_tool, running
from tests.database.conftest import Run
from tests.database.test_forward_auth import key_with
from tests.database.test_subscriptions import CHANGED, connected, subscribe, told
from tests.database.test_tokens import issuing

SDL = "{ _service { sdl } }"
ROOTS = ("Query", "Mutation", "Subscription")
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


# One document for each field that needs scopes. OWN is the id of the caller's key, OTHER the id of another key of its
# user, and SECRET the secret of that other key.
DOCUMENTS = {
    "Query.apiKey": '{ apiKey(input: {apiKeyId: "OTHER"}) { name } }',
    "Query.apiKeys": "{ apiKeys(input: {}) { totalCount results { name } } }",
    "Query.apiKeysConnection": "{ apiKeysConnection { totalCount nodes { name } } }",
    "Query.apiKeyStats": '{ apiKeyStats(input: {query: {distinct: "user_id"}}) }',
    "Query.apiKeyAudit": "{ apiKeyAudit { nodes { action } } }",
    "Query.viewer": "{ viewer { userId apiKeyInfo { name } } }",
    "Mutation.createApiKey": 'mutation { createApiKey(input: {userId: "u1", scopes: []}) { apiKeyId } }',
    "Mutation.updateApiKey": """mutation {
        updateApiKey(input: {apiKeyId: "OWN", expiresAt: "2999-01-01T00:00:00Z"}) { apiKeyId } }""",
    "Mutation.rotateApiKey": 'mutation { rotateApiKey(input: {apiKeyId: "OWN"}) { apiKeyId } }',
    "Mutation.endApiKeyOverlap": 'mutation { endApiKeyOverlap(input: {apiKeyId: "OTHER"}) { apiKeyId } }',
    "Mutation.enableApiKey": 'mutation { enableApiKey(input: {apiKeyId: "OTHER"}) { state } }',
    "Mutation.disableApiKeys": 'mutation { disableApiKeys(input: {userId: "u1"}) { count } }',
    "Mutation.verifyApiKey": 'mutation { verifyApiKey(input: {apiKey: "SECRET"}) { valid } }',
    "Mutation.verifyApiKeys": 'mutation { verifyApiKeys(input: [{apiKey: "SECRET"}]) { valid } }',
    "Subscription.apiKeyChanged": CHANGED,
    "User.apiKeys": """{ _entities(representations: [{__typename: "User", domainId: "d1", userId: "u1"}]) {
        ... on User { apiKeys { nodes { name } } } } }""",
    "Domain.apiKeys": """{ _entities(representations: [{__typename: "Domain", domainId: "d1"}]) {
        ... on Domain { apiKeys { nodes { name } } } } }""",
    "Domain.apiKeyStats": """{ _entities(representations: [{__typename: "Domain", domainId: "d1"}]) {
        ... on Domain { apiKeyStats(query: {distinct: "user_id"}) } } }""",
}
# The other operations: a key with an empty list of scopes may use them.
WITHOUT_SCOPES = {
    "Query._entities": """{ _entities(representations: [{__typename: "User", domainId: "d1", userId: "u1"}]) {
        ... on User { userId } } }""",
    "Query._service": "{ _service { sdl } }",
    "Mutation.disableApiKey": 'mutation { disableApiKey(input: {apiKeyId: "OWN"}) { state } }',
    "Mutation.deleteApiKey": 'mutation { deleteApiKey(input: {apiKeyId: "OWN"}) { id } }',
    "Mutation.exchangeApiKey": "mutation { exchangeApiKey(input: {}) { code } }",
    "Mutation.reportLeakedApiKey": 'mutation { reportLeakedApiKey(input: {apiKey: "SECRET"}) { received } }',
}


async def errors_of(api: Api, document: str, scopes: Iterable[str]) -> list[str]:
    """The codes of the errors that a key of role USER with these scopes gets for a document."""
    other, caller = await api.make("USER"), await key_with(api, scopes=sorted(scopes))
    for name, value in {"OWN": caller.key_id, "OTHER": other.key_id, "SECRET": other.secret}.items():
        document = document.replace(name, value)
    if document == CHANGED:
        return await errors_of_subscription(api, caller)
    return [error["extensions"]["code"] for error in (await api.run(document, by=caller)).get("errors", ())]


async def errors_of_subscription(api: Api, caller: Person) -> list[str]:
    async with listening(api.app) as address, connected(address, caller) as websocket:
        await subscribe(websocket)
        made = await api.make("USER")
        event = await told(websocket)
        if isinstance(event, dict):
            return [error["extensions"]["code"] for error in event["payload"]]
        assert event[1]["apiKeyId"] == made.key_id
        return []


@pytest.mark.parametrize("field", REQUIRED)
async def test_the_service_needs_exactly_the_scopes_of_the_directive(api: Api, field: str) -> None:
    """So a gateway refuses nothing that the service would answer, and asks for nothing that it would refuse."""
    for group in REQUIRED[field]:
        assert await errors_of(api, DOCUMENTS[field], group) == []
    for lacking in product(*REQUIRED[field]):  # one of each list
        assert await errors_of(api, DOCUMENTS[field], OURS - set(lacking)) == ["PERMISSION_DENIED"]


async def test_fields_without_the_directive_need_no_scope(settings: Settings) -> None:
    async with issuing(settings) as api:
        for field, document in WITHOUT_SCOPES.items():
            assert await errors_of(api, document, []) == [], field


def test_every_operation_is_tried() -> None:
    definitions: Any = parse(PLAIN).definitions
    roots = [one for one in definitions if "name" in one.keys and one.name.value in ROOTS]
    assert len(roots) == len(ROOTS)
    operations = {f"{root.name.value}.{field.name.value}" for root in roots for field in root.fields}
    assert operations <= DOCUMENTS.keys() | WITHOUT_SCOPES.keys()


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
