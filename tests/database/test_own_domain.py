"""A request that names no domain is about the caller's own; over REST an id that is empty is absent."""

from typing import Any

import pytest

from tests.conftest import Api, Person
from tests.database.test_rest import ask, refused

NO_DOMAIN: list[dict[str, Any]] = [{}, {"domain_id": None}, {"domain_id": ""}]


async def ids(api: Api, message: dict[str, Any], by: Person) -> list[str]:
    answer = await ask(api, "list", message, by)
    assert answer["total_count"] == len(answer["results"])
    return [key["api_key_id"] for key in answer["results"]]


@pytest.mark.parametrize("none", NO_DOMAIN)
@pytest.mark.parametrize("role", ["SYSTEM", "DOMAIN_OWNER", "USER"])
async def test_every_operation_of_rest_is_about_the_callers_own_domain(
    api: Api, role: str, none: dict[str, Any]
) -> None:
    caller, other = await api.make(role, "d1", "u1"), await api.make("USER", "d2", "u1")
    made = await ask(api, "create", {"user_id": "u1", **none}, caller)
    assert made["domain_id"] == "d1"
    one = {"api_key_id": made["api_key_id"], **none}
    assert (await ask(api, "get", one, caller))["domain_id"] == "d1"
    assert await ids(api, none, caller) == sorted([caller.key_id, made["api_key_id"]])
    assert await ask(api, "stat", {"query": {"distinct": "domain_id"}, **none}, caller) == {"results": ["d1"]}
    assert (await ask(api, "update", {**one, "name": "ci"}, caller))["name"] == "ci"
    assert (await ask(api, "disable", one, caller))["state"] == "DISABLED"
    assert (await ask(api, "enable", one, caller))["state"] == "ENABLED"
    assert (await ask(api, "rotate", one, caller))["api_key"] != made["api_key"]
    assert len((await ask(api, "end-overlap", one, caller))["secrets"]) == 1
    assert {entry["domain_id"] for entry in (await ask(api, "audit", none, caller))["results"]} == {"d1"}
    assert await ask(api, "delete", one, caller) == {}
    # Nothing of another domain, for whom it may name one, too.
    for operation in ("get", "disable", "enable", "delete", "rotate", "update", "end-overlap"):
        message = {"api_key_id": other.key_id, **none}
        assert (await refused(api, operation, message, caller))[:2] == (404, "NOT_FOUND"), operation


@pytest.mark.parametrize("none", NO_DOMAIN)
async def test_a_request_of_rest_without_a_domain_sees_no_more_than_one_with_it(api: Api, none: dict[str, Any]) -> None:
    mine, theirs = await api.make("USER", "d1", "u1"), await api.make("USER", "d1", "u2")
    owner = await api.make("DOMAIN_OWNER", "d1", "u3")
    assert await ids(api, none, mine) == [mine.key_id]
    assert await ids(api, none, owner) == sorted([mine.key_id, theirs.key_id, owner.key_id])
    assert (await refused(api, "get", {"api_key_id": theirs.key_id, **none}, mine))[:2] == (404, "NOT_FOUND")
    assert (await refused(api, "create", {"user_id": "u2", **none}, mine))[:2] == (403, "PERMISSION_DENIED")


async def test_a_request_that_is_sent_again_may_name_the_callers_own_domain_or_none(api: Api) -> None:
    owner = await api.make("DOMAIN_OWNER", "d1", "u1")
    for operation, message in (
        ("create", {"user_id": "u2"}),
        ("rotate", {"api_key_id": (await api.make("USER")).key_id}),
    ):
        once = {**message, "request_id": f"{operation}-0123456789"}
        answers = [await ask(api, operation, once | own, owner) for own in (*NO_DOMAIN, {"domain_id": "d1"})]
        assert len({(answer["api_key_id"], answer["api_key"]) for answer in answers}) == 1
        assert answers[0]["domain_id"] == "d1"


INPUTS: list[dict[str, Any]] = [{}, {"domainId": None}]


@pytest.mark.parametrize("none", INPUTS)
async def test_every_field_of_graphql_is_about_the_callers_own_domain(api: Api, none: dict[str, Any]) -> None:
    system, other = await api.make("SYSTEM", "d1", "u1"), await api.make("USER", "d2", "u1")

    async def field(name: str, type_: str, selection: str, **input: Any) -> Any:
        kind = "mutation" if name in MUTATIONS else "query"
        document = f"{kind}($i: {type_}!) {{ {name}(input: $i) {selection} }}"
        return (await api.data(document, {"i": {**input, **none}}, system))[name]

    made = await field("createApiKey", "CreateAPIKeyRequest", "{ domainId apiKeyId }", userId="u1")
    assert made["domainId"] == "d1"
    one = {"apiKeyId": made["apiKeyId"]}
    assert await field("apiKey", "GetAPIKeyRequest", "{ domainId apiKeyId }", **one) == made
    assert await field("apiKey", "GetAPIKeyRequest", "{ domainId }", apiKeyId=other.key_id) is None
    assert (await field("apiKeys", "APIKeyQuery", "{ totalCount }"))["totalCount"] == 2
    domains = await field("apiKeyStats", "APIKeyStatQuery", "", query={"distinct": "domain_id"})
    assert domains == {"results": ["d1"]}
    for name, type_ in (
        ("updateApiKey", "UpdateAPIKeyRequest"),
        ("rotateApiKey", "RotateAPIKeyRequest"),
        ("endApiKeyOverlap", "APIKeyRequest"),
        ("disableApiKey", "APIKeyRequest"),
        ("enableApiKey", "APIKeyRequest"),
        ("deleteApiKey", "APIKeyRequest"),
    ):
        assert (await field(name, type_, "{ domainId }", **one))["domainId"] == "d1", name
    disabled = await field("disableApiKeys", "DisableAPIKeysRequest", "{ count }", userId="u1")
    assert disabled == {"count": 0}  # not those of u1 in the other domain
    for query, count in (
        ("query($d: ID) { apiKeysConnection(domainId: $d) { nodes { domainId } } }", 1),
        ("query($d: ID) { apiKeyAudit(domainId: $d) { nodes { domainId } } }", 7),
    ):
        for variables in ({}, {"d": None}, {"d": "d1"}):
            (answer,) = (await api.data(query, variables, system)).values()
            assert [node["domainId"] for node in answer["nodes"]] == ["d1"] * count, query


MUTATIONS = (
    *("createApiKey", "updateApiKey", "rotateApiKey", "endApiKeyOverlap", "disableApiKey", "enableApiKey"),
    *("deleteApiKey", "disableApiKeys"),
)


@pytest.mark.parametrize(
    "query",
    [
        'apiKey(input: {apiKeyId: "k", domainId: ""}) { id }',
        'apiKeys(input: {domainId: ""}) { totalCount }',
        'apiKeys(input: {userId: ""}) { totalCount }',
        'apiKeys(input: {apiKeyId: ""}) { totalCount }',
        'apiKeysConnection(userId: "") { totalCount }',
        'apiKeyStats(input: {domainId: "", query: {distinct: "state"}})',
    ],
)
async def test_an_id_that_is_empty_is_an_error_over_graphql(api: Api, query: str) -> None:
    answer = await api.run(f"{{ {query} }}", by=await api.make())
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INVALID_ARGUMENT"
    assert "give 1 to 255 characters, not 0" in error["message"]


async def test_an_id_that_is_empty_is_absent_over_rest(api: Api) -> None:
    owner, user = await api.make("DOMAIN_OWNER", "d1", "u1"), await api.make("USER", "d1", "u2")
    both, mine = sorted([owner.key_id, user.key_id]), [user.key_id]
    # A message, the keys that an owner of the domain finds, and those that a user of it finds.
    table: list[tuple[dict[str, Any], list[str], list[str]]] = [
        ({"user_id": ""}, both, mine),
        ({"api_key_id": ""}, both, mine),
        ({"user_id": "", "api_key_id": "", "domain_id": "", "query": {"sort": {"key": ""}}}, both, mine),
        ({"user_id": "", "api_key_id": user.key_id}, mine, mine),
        ({"user_id": "u2", "api_key_id": ""}, mine, mine),
        ({"user_id": "u1", "api_key_id": ""}, [owner.key_id], []),
        ({"query": {"sort": {}}}, both, mine),
        ({"query": {"sort": {"keys": [{"key": "", "desc": True}]}}}, both, mine),
        ({"query": {"sort": {"key": "api_key_id", "desc": True}}}, both[::-1], mine),
    ]
    for message, of_owner, of_user in table:
        assert await ids(api, message, owner) == of_owner, message
        assert await ids(api, message, user) == of_user, message
    for operation in ("get", "enable", "disable", "delete", "update", "rotate", "end-overlap"):
        status, code, text = await refused(api, operation, {"api_key_id": ""}, owner)
        assert (status, code, text) == (400, "INVALID_ARGUMENT", "api_key_id: it is missing; give it."), operation
    assert (await refused(api, "create", {"user_id": ""}, owner))[2] == "user_id: it is missing; give it."
    headers = {"Authorization": f"Bearer {owner.secret}"}
    entries = [
        (await api.client.post("/identity/v1/api-key/audit", json=message, headers=headers)).json()["results"]
        for message in ({}, {"api_key_id": "", "user_id": "", "domain_id": "", "actor_id": ""})
    ]
    assert entries[0] == entries[1] != []
    counted = {"distinct": "", "aggregate": [{"count": {"name": "keys"}}]}
    assert (await ask(api, "stat", {"query": counted}, owner)) == {"results": [{"keys": 2}]}
    # A text that is searched for may be empty.
    for value, found in (("", []), ("u2", mine)):
        query = {"filter": [{"k": "user_id", "v": value, "o": "eq"}]}
        assert await ids(api, {"query": query}, owner) == found
