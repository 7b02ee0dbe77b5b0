"""Who may do what: roles x operations x whose key, and refusals that tell nothing.

Each door is a way to get at one key; it returns True where the caller may see the key, else False.
Doors that answer for a missing key must answer the same, byte for byte, for a hidden one.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gql_identity.keys.records import opaque_id
from tests.conftest import Api, Person

Door = Callable[[Api, Person, str, str], Awaitable[tuple[bool, Any]]]


def graphql_door(query: str, visible: Callable[[Any], bool]) -> Door:
    async def door(api: Api, caller: Person, domain_id: str, key_id: str) -> tuple[bool, Any]:
        answer = await api.run(query, {"domain": domain_id, "key": key_id}, caller)
        return "errors" not in answer and visible(answer["data"]), answer

    return door


def mutation(name: str) -> str:
    one = "{domainId: $domain, apiKeyId: $key}"
    return f"mutation($domain: ID!, $key: ID!) {{ r: {name}(input: {one}) {{ apiKeyId }} }}"


DOORS: dict[str, Door] = {
    "apiKey": graphql_door(
        "query($domain: ID!, $key: ID!) { r: apiKey(input: {domainId: $domain, apiKeyId: $key}) { state userId } }",
        lambda data: data["r"] is not None,
    ),
    "apiKeys": graphql_door(
        """query($domain: ID!, $key: ID!) {
            r: apiKeys(input: {domainId: $domain, apiKeyId: $key}) { totalCount results { userId } } }""",
        lambda data: bool(data["r"]["totalCount"]) or bool(data["r"]["results"]),
    ),
    "apiKeyStats": graphql_door(
        """query($domain: ID!, $key: ID!) { r: apiKeyStats(input: {domainId: $domain, query: {
            filter: [{key: "api_key_id", value: $key, operator: EQ}], distinct: "api_key_id"}}) }""".replace(
            "$key: ID!", "$key: JSON!"
        ),
        lambda data: bool(data["r"]["results"]),
    ),
    "updateApiKey": graphql_door(mutation("updateApiKey"), lambda data: bool(data["r"])),
    "rotateApiKey": graphql_door(mutation("rotateApiKey"), lambda data: bool(data["r"])),
    "endApiKeyOverlap": graphql_door(mutation("endApiKeyOverlap"), lambda data: bool(data["r"])),
    "enableApiKey": graphql_door(mutation("enableApiKey"), lambda data: bool(data["r"])),
    "disableApiKey": graphql_door(mutation("disableApiKey"), lambda data: bool(data["r"])),
    "deleteApiKey": graphql_door(mutation("deleteApiKey"), lambda data: bool(data["r"])),
}


async def _entities(api: Api, caller: Person, domain_id: str, key_id: str) -> tuple[bool, Any]:
    reference = {"__typename": "APIKeyInfo", "domainId": domain_id, "apiKeyId": key_id}
    query = "query($r: [_Any!]!) { _entities(representations: $r) { ... on APIKeyInfo { state userId } } }"
    answer = await api.run(query, {"r": [reference]}, caller)
    return "errors" not in answer and answer["data"]["_entities"] != [None], answer


DOORS["_entities"] = _entities


def within_reach(query: str) -> Door:
    """A door that lists all that the caller may see, by the domain and its users u1 and u2."""

    async def door(api: Api, caller: Person, domain_id: str, key_id: str) -> tuple[bool, Any]:
        users = [{"__typename": "User", "domainId": domain_id, "userId": user_id} for user_id in ("u1", "u2")]
        domain = {"__typename": "Domain", "domainId": domain_id}
        variables = {"users": users, "domains": [domain], "domain": domain_id}
        answer = await api.run(query, {name: variables[name] for name in variables if f"${name}:" in query}, caller)
        return key_id in json.dumps(answer), answer

    return door


async def _node(api: Api, caller: Person, domain_id: str, key_id: str) -> tuple[bool, Any]:
    query = "query($id: ID!) { node(id: $id) { id ... on APIKeyInfo { state userId } } }"
    answer = await api.run(query, {"id": opaque_id(domain_id, key_id)}, caller)
    return "errors" not in answer and answer["data"]["node"] is not None, answer


CONNECTION = "(first: 100) { totalCount nodes { apiKeyId userId } edges { node { apiKeyId user { userId } } } }"
DOORS |= {
    "node": _node,
    "apiKeysConnection": within_reach(
        f"query($domain: ID!) {{ apiKeysConnection(domainId: $domain, {CONNECTION[1:]} }}"
    ),
    "User.apiKeys": within_reach(
        f"query($users: [_Any!]!) {{ _entities(representations: $users) {{ ... on User {{ apiKeys{CONNECTION} }} }} }}"
    ),
    "Domain.apiKeys": within_reach(
        "query($domains: [_Any!]!) { _entities(representations: $domains) { ... on Domain { "
        f"apiKeys{CONNECTION} }} }} }}"
    ),
    "Domain.apiKeyStats": within_reach(
        "query($domains: [_Any!]!) { _entities(representations: $domains) { ... on Domain { "
        'apiKeyStats(query: {distinct: "api_key_id"}) } } }'
    ),
}


def rest_door(operation: str, message: dict[str, Any], visible: Callable[[Any], bool]) -> Door:
    async def door(api: Api, caller: Person, domain_id: str, key_id: str) -> tuple[bool, Any]:
        text = json.dumps(message).replace("DOMAIN", domain_id).replace("KEY", key_id)
        headers = {"Authorization": f"Bearer {caller.secret}", "Content-Type": "application/json"}
        answer = await api.client.post(f"/identity/v1/api-key/{operation}", content=text, headers=headers)
        return answer.status_code == 200 and visible(answer.json()), [answer.status_code, answer.json()]

    return door


ONE = {"domain_id": "DOMAIN", "api_key_id": "KEY"}
ONE_BY_FILTER = {"filter": [{"k": "api_key_id", "v": "KEY", "o": "eq"}], "distinct": "api_key_id"}
DOORS |= {
    "POST get": rest_door("get", ONE, bool),
    "POST list": rest_door("list", ONE, lambda answer: bool(answer["results"]) or bool(answer["total_count"])),
    "POST stat": rest_door(
        "stat", {"domain_id": "DOMAIN", "query": ONE_BY_FILTER}, lambda answer: bool(answer["results"])
    ),
    "POST enable": rest_door("enable", ONE, bool),
    "POST disable": rest_door("disable", ONE, bool),
    "POST update": rest_door("update", ONE, bool),
    "POST rotate": rest_door("rotate", ONE, bool),
    "POST end-overlap": rest_door("end-overlap", ONE, bool),
    "POST delete": rest_door("delete", ONE, lambda answer: answer == {}),
}

# Whose key, as (domain, user, role), and which roles may see it.
ALL = {"USER", "VERIFIER", "DOMAIN_OWNER", "SYSTEM"}
TARGETS = {
    "own user's, USER": (("d1", "u1", "USER"), ALL),
    "own user's, VERIFIER": (("d1", "u1", "VERIFIER"), {"VERIFIER", "DOMAIN_OWNER", "SYSTEM"}),
    "own user's, DOMAIN_OWNER": (("d1", "u1", "DOMAIN_OWNER"), {"DOMAIN_OWNER", "SYSTEM"}),
    "own user's, SYSTEM": (("d1", "u1", "SYSTEM"), {"SYSTEM"}),
    "same domain, USER": (("d1", "u2", "USER"), {"DOMAIN_OWNER", "SYSTEM"}),
    "same domain, SYSTEM": (("d1", "u2", "SYSTEM"), {"SYSTEM"}),
    "other domain, USER": (("d2", "u1", "USER"), {"SYSTEM"}),
}


@pytest.mark.parametrize("door", DOORS)
async def test_a_key_outside_the_reach_is_one_that_does_not_exist(api: Api, door: str) -> None:
    system = await api.make("SYSTEM", "d9", "admin")
    missing = "api-key-" + "0" * 32
    for role in sorted(ALL):
        caller = await api.make(role, "d1", "u1")
        for whose, ((domain_id, user_id, target_role), visible_to) in TARGETS.items():
            target = await api.make(target_role, domain_id, user_id)
            visible, answer = await DOORS[door](api, caller, domain_id, target.key_id)
            assert visible == (role in visible_to), (role, whose, answer)
            if not visible:
                _, missing_answer = await DOORS[door](api, caller, domain_id, missing)
                assert json.dumps(answer).replace(target.key_id, missing) == json.dumps(missing_answer), (role, whose)
                # And nothing became of it.
                kept = await api.data(STATE, {"d": domain_id, "k": target.key_id}, system)
                assert kept["apiKey"]["state"] == "ENABLED"


STATE = "query($d: ID!, $k: ID!) { apiKey(input: {domainId: $d, apiKeyId: $k}) { state } }"
LISTED = """query($d: ID!) { apiKeys(input: {domainId: $d}) { totalCount results { apiKeyId } }
    apiKeyStats(input: {domainId: $d, query: {aggregate: [{group: {fields: [{operator: COUNT, name: "n"}]}}]}}) }"""


async def test_lists_and_statistics_see_what_is_within_reach_and_no_more(api: Api) -> None:
    people = {whose: await api.make(role, domain, user) for whose, ((domain, user, role), _) in TARGETS.items()}
    for role in sorted(ALL):
        caller = await api.make(role, "d1", "caller-of-nothing" if role == "SYSTEM" else "u1")
        own = {caller.key_id}
        seen = {
            people[whose].key_id
            for whose, ((domain, _, _), visible) in TARGETS.items()
            if role in visible and domain == "d1"
        }
        data = await api.data(LISTED, {"d": "d1"}, caller)
        listed = {key["apiKeyId"] for key in data["apiKeys"]["results"]}
        assert listed == seen | own
        assert data["apiKeys"]["totalCount"] == len(listed)
        assert data["apiKeyStats"] == {"results": [{"n": len(listed)}]}
        await api.data(
            'mutation($k: ID!) { deleteApiKey(input: {domainId: "d1", apiKeyId: $k}) { id } }',
            {"k": caller.key_id},
            caller,
        )


@pytest.mark.parametrize("role", ["USER", "VERIFIER", "DOMAIN_OWNER"])
async def test_naming_another_domain_outright_is_denied(api: Api, role: str) -> None:
    caller = await api.make(role, "d1", "u1")
    for domain_id in ("d2", "no-such-domain"):
        assert await api.code(STATE, {"d": domain_id, "k": "api-key-1"}, caller) == "PERMISSION_DENIED"
        assert await api.code(
            "query($d: ID!) { apiKeys(input: {domainId: $d}) { totalCount } }", {"d": domain_id}, caller
        ) == ("PERMISSION_DENIED")


CREATE = """mutation($d: ID!, $u: ID!, $r: APIKeyRole!) {
    createApiKey(input: {domainId: $d, userId: $u, role: $r}) { apiKeyId role createdBy apiKey } }"""
MAY_CREATE = {
    "USER": {("d1", "u1", "USER")},
    "VERIFIER": {("d1", "u1", "USER")},
    "DOMAIN_OWNER": {("d1", user, role) for user in ("u1", "u2") for role in ("USER", "DOMAIN_OWNER")},
    "SYSTEM": {(domain, user, role) for domain in ("d1", "d2") for user in ("u1", "u2") for role in ALL},
}


@pytest.mark.parametrize("role", sorted(ALL))
async def test_each_role_makes_the_keys_that_it_may_and_no_others(api: Api, role: str) -> None:
    caller = await api.make(role, "d1", "u1")
    for domain_id in ("d1", "d2"):
        for user_id in ("u1", "u2"):
            for made_role in sorted(ALL):
                answer = await api.run(CREATE, {"d": domain_id, "u": user_id, "r": made_role}, caller)
                message = {"domain_id": domain_id, "user_id": user_id, "role": made_role}
                headers = {"Authorization": f"Bearer {caller.secret}"}
                over_rest = await api.client.post("/identity/v1/api-key/create", json=message, headers=headers)
                if (domain_id, user_id, made_role) in MAY_CREATE[role]:
                    assert answer["data"]["createApiKey"]["createdBy"] == caller.key_id
                    assert over_rest.json()["created_by"] == caller.key_id
                else:
                    assert answer["errors"][0]["extensions"]["code"] == "PERMISSION_DENIED", answer
                    assert over_rest.json()["error"]["code"] == "PERMISSION_DENIED"


async def test_without_a_credential_only_the_public_parts_answer(api: Api) -> None:
    assert await api.data("{ __typename }") == {"__typename": "Query"}
    assert (await api.data("{ _service { sdl } }"))["_service"]["sdl"]
    assert (await api.data("{ __schema { queryType { name } } }"))["__schema"]["queryType"]["name"] == "Query"
    for query in (
        'query { apiKey(input: {domainId: "d", apiKeyId: "k"}) { state } }',
        'query { apiKeys(input: {domainId: "d"}) { totalCount } }',
        'query { apiKeyStats(input: {domainId: "d", query: {distinct: "state"}}) }',
        'query { apiKeysConnection(domainId: "d") { totalCount } }',
        'query { node(id: "n") { id } }',
        "query { _entities(representations: []) { __typename } }",
        'mutation { createApiKey(input: {domainId: "d", userId: "u"}) { apiKeyId } }',
        'mutation { enableApiKey(input: {domainId: "d", apiKeyId: "k"}) { apiKeyId } }',
        'mutation { disableApiKey(input: {domainId: "d", apiKeyId: "k"}) { apiKeyId } }',
        'mutation { deleteApiKey(input: {domainId: "d", apiKeyId: "k"}) { apiKeyId } }',
    ):
        assert await api.code(query) == "UNAUTHENTICATED", query
