"""Scopes: what each opens, that `[]` and null differ, and that nobody gives more than they have."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gql_identity.messages.values import instant_text
from gql_identity.secret import make_secret
from tests.conftest import Api, Person, listening

from .test_subscriptions import connected, subscribe, told
from .test_verification import introspect

OURS = ["identity:audit", "identity:read", "identity:rotate", "identity:verify", "identity:write"]
CREATE = "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { apiKeyId apiKey scopes } }"
UPDATE = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { scopes } }"
VERIFY = """mutation($i: VerifyAPIKeyRequest!) {
    verifyApiKey(input: $i) { valid code apiKeyId missingScopes apiKeyInfo { scopes } } }"""
END = {"i": {"domainId": "d1", "apiKeyId": "KEY"}}
OTHER = '(input: {domainId: "d1", apiKeyId: "KEY"})'
# What each scope opens; `KEY` is another key of the same user.
OPENED = {
    "identity:read": [
        f"{{ r: apiKey{OTHER} {{ state }} }}",
        '{ r: apiKeys(input: {domainId: "d1", userId: "u1"}) { totalCount } }',
        '{ r: apiKeysConnection(domainId: "d1", userId: "u1") { totalCount } }',
        '{ r: apiKeyStats(input: {domainId: "d1", query: {distinct: "state"}}) }',
        '{ r: node(id: "QVBJS2V5SW5mbzprOmQx") { id } }',
        '{ r: _entities(representations: {__typename: "APIKeyInfo", domainId: "d1", apiKeyId: "KEY"}) { __typename } }',
        "{ r: viewer { userId } }",
    ],
    "identity:write": [
        'mutation { r: createApiKey(input: {domainId: "d1", userId: "u1", scopes: []}) { apiKeyId } }',
        f"mutation {{ r: disableApiKey{OTHER} {{ state }} }}",
        f"mutation {{ r: enableApiKey{OTHER} {{ state }} }}",
        'mutation { r: updateApiKey(input: {domainId: "d1", apiKeyId: "KEY", name: "n"}) { name } }',
        f"mutation {{ r: deleteApiKey{OTHER} {{ apiKeyId }} }}",
    ],
    "identity:verify": ['mutation { r: verifyApiKey(input: {apiKey: "typo"}) { code } }'],
}


async def create(api: Api, by: Person, **input: Any) -> Any:
    made = (await api.data(CREATE, {"i": {"domainId": "d1", "userId": "u1", **input}}, by))["createApiKey"]
    return made["scopes"], Person(made["apiKeyId"], made["apiKey"], "d1", "u1")


async def code(api: Api, by: Person, document: str, input: dict[str, Any]) -> str | None:
    answer = await api.run(document, {"i": {"domainId": "d1", **input}}, by)
    return answer["errors"][0]["extensions"]["code"] if "errors" in answer else None


@pytest.mark.parametrize("role", ["USER", "VERIFIER", "DOMAIN_OWNER", "SYSTEM"])
async def test_each_scope_opens_its_operations_and_no_other(api: Api, role: str) -> None:
    system = await api.make()
    for scopes in ([], ["orders:read"], *([scope] for scope in OURS)):
        _, caller = await create(api, system, role=role, scopes=scopes)
        for scope, documents in OPENED.items():
            for document in documents:
                _, other = await create(api, system)
                answer = await api.run(document.replace("KEY", other.key_id), by=caller)
                if scope in scopes:
                    assert "errors" not in answer, (scopes, document, answer)
                    continue
                (error,) = answer["errors"]
                assert error["extensions"] == {"code": "PERMISSION_DENIED", "missingScopes": [scope]}, document


async def test_null_is_what_the_role_may_and_an_empty_list_opens_nothing(api: Api) -> None:
    system = await api.make()
    given: dict[str, Any]
    for given, expected in (
        ({}, None),
        ({"scopes": None}, None),
        ({"scopes": []}, []),
        ({"scopes": ["a", "a"]}, ["a"]),
    ):
        scopes, key = await create(api, system, **given)
        assert scopes == expected
        one = f'apiKey(input: {{domainId: "d1", apiKeyId: "{key.key_id}"}}) {{ scopes }}'
        assert (await api.data(f"{{ {one} }}", by=system))["apiKey"]["scopes"] == expected
        headers = {"Authorization": f"Bearer {system.secret}"}
        rest = {"domain_id": "d1", "api_key_id": key.key_id}
        for operation in ("get", "update"):
            answer = await api.client.post(f"/identity/v1/api-key/{operation}", json=rest, headers=headers)
            assert answer.json()["scopes"] == expected
        assert (await introspect(api, system, token=key.secret)).json().get("scope") == (
            None if expected is None else " ".join(expected)
        )
        assert await code(api, key, "{ viewer { userId } }", {}) == (None if expected is None else "PERMISSION_DENIED")


async def test_an_empty_list_and_null_stay_apart_through_update_rotate_and_lists(api: Api) -> None:
    """Invariant 6."""
    system = await api.make()
    _, nothing = await create(api, system, name="k", scopes=[])
    _, role = await create(api, system, name="k", scopes=None)
    expected: dict[str, list[str] | None] = {nothing.key_id: [], role.key_id: None}
    rotate = "mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { apiKeyId scopes } }"
    name = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { apiKeyId scopes } }"
    for document, more in ((rotate, {}), (name, {"name": "l"}), (name, {"expiresAt": "2100-01-01T00:00:00Z"})):
        for key_id, scopes in expected.items():
            answer = await api.data(document, {"i": {"domainId": "d1", "apiKeyId": key_id, **more}}, system)
            assert [*answer.values()] == [{"apiKeyId": key_id, "scopes": scopes}]
    query = '{ apiKeys(input: {domainId: "d1", userId: "u1"}) { results { apiKeyId scopes } } }'
    listed = (await api.data(query, by=system))["apiKeys"]["results"]
    over_rest = await api.client.post(
        "/identity/v1/api-key/list", json={"user_id": "u1"}, headers={"Authorization": f"Bearer {system.secret}"}
    )
    for found, key_id in ((listed, "apiKeyId"), (over_rest.json()["results"], "api_key_id")):
        assert {one[key_id]: one["scopes"] for one in found if one[key_id] in expected} == expected
    for key, other in ((nothing, None), (role, [])):
        changed = await api.data(UPDATE, {"i": {"domainId": "d1", "apiKeyId": key.key_id, "scopes": other}}, system)
        assert changed["updateApiKey"]["scopes"] == other
    viewer = "{ viewer { userId } }"
    assert await code(api, nothing, viewer, {}) is None
    assert await code(api, role, viewer, {}) == "PERMISSION_DENIED"


@pytest.mark.parametrize("name", ["disableApiKey", "deleteApiKey"])
async def test_a_key_without_any_scope_ends_itself(api: Api, name: str) -> None:
    _, key = await create(api, await api.make(), scopes=[])
    end = f"mutation($i: APIKeyRequest!) {{ {name}(input: $i) {{ apiKeyId }} }}"
    enable = "mutation($i: APIKeyRequest!) { enableApiKey(input: $i) { apiKeyId } }"
    assert await code(api, key, enable, {"apiKeyId": key.key_id}) == "PERMISSION_DENIED"
    assert await code(api, key, end, {"apiKeyId": key.key_id}) is None
    assert (await api.send("{ __typename }", by=key)).status_code == 401


async def test_over_http_the_missing_scope_is_told_as_oauth_tells_it(api: Api) -> None:
    _, key = await create(api, await api.make(), scopes=["a"])
    headers = {"Authorization": f"Bearer {key.secret}"}
    answer = await api.client.post("/identity/v1/api-key/list", json={"domain_id": "d1"}, headers=headers)
    assert answer.status_code == 403
    assert 'error="insufficient_scope", scope="identity:read"' in answer.headers["WWW-Authenticate"]
    refused = await introspect(api, key, token="typo")
    assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")
    async with listening(api.app) as address, connected(address, key) as websocket:
        await subscribe(websocket)
        assert (await told(websocket))["payload"][0]["extensions"]["missingScopes"] == ["identity:read"]


async def test_nobody_gives_a_scope_that_they_do_not_have(api: Api) -> None:
    system = await api.make()
    ends = {"expiresAt": instant_text(datetime.now(UTC) + timedelta(days=1))}
    _, listed = await create(api, system, scopes=["identity:write", "a"])
    _, owner = await create(api, system, scopes=["identity:write", "a"], role="DOMAIN_OWNER")
    _, plain = await create(api, system)
    _, ending = await create(api, system, **ends)
    _, renewing = await create(api, system, scopes=["identity:write", "identity:rotate"], **ends)
    free = await api.make("DOMAIN_OWNER")
    denied = "PERMISSION_DENIED"
    for caller, scopes, expected in [
        (listed, None, denied),
        (listed, ["b"], denied),
        (listed, ["a", "identity:read"], denied),
        (listed, ["a"], None),
        (listed, [], None),
        (owner, None, denied),
        (owner, ["b"], denied),
        (owner, ["a"], None),
        (plain, None, None),
        (plain, OURS, None),
        (plain, ["a"], denied),
        (ending, ["identity:read"], None),
        (ending, ["identity:rotate"], denied),  # the child would move its end beyond its maker's
        (renewing, ["identity:rotate"], None),
        (free, ["a", *OURS], None),
    ]:
        assert await code(api, caller, CREATE, {"userId": "u1", "scopes": scopes}) == expected, (caller, scopes)


async def test_an_update_keeps_or_loses_scopes_and_gains_only_the_callers(api: Api) -> None:
    system = await api.make()
    _, target = await create(api, system, scopes=["a", "b", "identity:read"])
    _, null_target = await create(api, system)
    _, listed = await create(api, system, scopes=["identity:write", "c"])
    _, plain = await create(api, system)
    denied = "PERMISSION_DENIED"
    for caller, to, scopes, expected in [
        (listed, target, ["a", "b", "c", "identity:read"], None),
        (listed, target, ["a", "d"], denied),
        (listed, target, None, denied),
        (listed, target, ["b"], None),
        (listed, target, ["a"], denied),  # it was lost, and the caller does not have it
        (listed, listed, ["identity:write", "c", "a"], denied),
        (listed, listed, None, denied),
        (plain, target, ["b", "identity:verify"], None),
        (plain, target, ["a"], denied),
        (plain, target, None, None),
        (listed, null_target, ["identity:read"], None),
        (plain, null_target, ["a"], denied),
        (listed, null_target, None, denied),
    ]:
        found = await code(api, caller, UPDATE, {"apiKeyId": to.key_id, "scopes": scopes})
        assert found == expected, (caller == listed, to == target, scopes)


@pytest.mark.parametrize(
    ("scopes", "told"),
    [
        (["a b"], "scopes[0]"),
        ([""], "scopes[0]"),
        (
            ["ok", "identity:everything"],
            "scopes[1]: there is no such scope of this service; use one of identity:audit,",
        ),
        (["IDENTITY:read"], "scopes[0]: this service's scopes are written in lower case; use one of identity:audit,"),
        (["a", "Identity:x"], "scopes[1]: this service's scopes are written in lower case; use one of identity:audit,"),
        (["é"], "scopes[0]"),
        (['"'], "scopes[0]"),
        (["x" * 129], "scopes[0]"),
        ([f"x{make_secret()}"], "scopes[0]"),
        ([f"s{n}" for n in range(101)], "scopes: give at most 100"),
        ([f"{n:03}" + "x" * 60 for n in range(100)], "scopes: give at most 4096 characters"),
    ],
)
async def test_a_scope_that_cannot_be_is_refused(api: Api, scopes: list[str], told: str) -> None:
    system = await api.make()
    for document, input in ((CREATE, {"userId": "u1"}), (UPDATE, {"apiKeyId": system.key_id})):
        answer = await api.run(document, {"i": {"domainId": "d1", **input, "scopes": scopes}}, system)
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "INVALID_ARGUMENT"
        assert error["message"].startswith(told)
    assert (await api.data('{ apiKeys(input: {domainId: "d1"}) { totalCount } }', by=system))["apiKeys"][
        "totalCount"
    ] == 1


async def test_a_verification_tells_what_is_missing(api: Api) -> None:
    system, gateway = await api.make(), await api.make("VERIFIER", user_id="gateway")
    _, key = await create(api, system, scopes=["a", "b"])
    _, plain = await create(api, system)

    async def verified(secret: str, required: Any) -> Any:
        data = (await api.data(VERIFY, {"i": {"apiKey": secret, "requiredScopes": required}}, gateway))["verifyApiKey"]
        assert data["valid"] == (data["code"] == "VALID") == (data["apiKeyInfo"] is not None)
        return data["code"], data["missingScopes"]

    met: list[Any] = [None, [["a"]], [["a", "b"]], [["c"], ["b"]], [[]], [["c"], []]]
    for required in met:
        assert await verified(key.secret, required) == ("VALID", None)
    assert await verified(key.secret, [["a", "c", "d"], ["b", "e"]]) == ("INSUFFICIENT_SCOPE", ["e"])
    assert await verified(plain.secret, [["a"]]) == ("INSUFFICIENT_SCOPE", ["a"])
    assert await verified(plain.secret, [["identity:read"]]) == ("VALID", None)
    assert await code(api, gateway, VERIFY, {}) is not None
    refused: list[Any] = [[], [["a"]] * 101, [["a"] * 101]]
    for required in refused:
        answer = await api.run(VERIFY, {"i": {"apiKey": key.secret, "requiredScopes": required}}, gateway)
        assert answer["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"


async def test_keys_are_found_by_a_scope(api: Api) -> None:
    system = await api.make()
    _, one = await create(api, system, scopes=["a", "b"])
    await create(api, system, scopes=["b"])
    query = 'query($f: APIKeyFilter) { apiKeysConnection(domainId: "d1", filter: $f) { nodes { apiKeyId } } }'
    found = await api.data(query, {"f": {"hasScope": "a"}}, system)
    assert found["apiKeysConnection"]["nodes"] == [{"apiKeyId": one.key_id}]
    headers = {"Authorization": f"Bearer {system.secret}"}
    for operator, value, number in (("eq", "b", 2), ("not", "a", 2), ("in", ["a", "c"], 1), ("not_in", ["a", "b"], 1)):
        body = {"domain_id": "d1", "query": {"filter": [{"k": "scopes", "v": value, "o": operator}]}}
        answer = await api.client.post("/identity/v1/api-key/list", json=body, headers=headers)
        assert answer.json()["total_count"] == number, (operator, answer.json())
