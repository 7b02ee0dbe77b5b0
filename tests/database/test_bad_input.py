"""Bad input: each with a clear error, and nothing stored."""

import re
from typing import Any

import pytest

from tests.conftest import Api, mongo_client
from tests.database.test_operations import CREATE, GET, LIST, STATS

LONG = "x" * 10_000
BAD_IDS: list[Any] = ["", " ", LONG, "a\nb", "a\x00b", "tab\t", " a", "a ", "\u2028a ", "x" * 256]


def keys_stored(api: Api) -> int:
    with mongo_client(api.settings) as client:
        return client.get_default_database()["api_keys"].count_documents({})


@pytest.mark.parametrize("field", ["userId", "domainId", "name"])
async def test_an_id_or_name_that_cannot_be_is_refused(api: Api, field: str) -> None:
    system = await api.make()
    before = keys_stored(api)
    for value in BAD_IDS:
        answer = await api.run(CREATE, {"input": {"domainId": "d1", "userId": "u1", field: value}}, system)
        assert answer["errors"][0]["extensions"] == {"code": "INVALID_ARGUMENT", "path": ["input", field]}, repr(value)
        assert len(answer["errors"][0]["message"]) < 300
    assert keys_stored(api) == before


@pytest.mark.parametrize("operation", ["apiKey", "enableApiKey", "disableApiKey", "deleteApiKey"])
async def test_an_id_that_cannot_be_is_refused_wherever_a_key_is_named(api: Api, operation: str) -> None:
    system = await api.make()
    kind, message = ("query", "GetAPIKeyRequest") if operation == "apiKey" else ("mutation", "APIKeyRequest")
    query = f"{kind}($input: {message}!) {{ {operation}(input: $input) {{ apiKeyId }} }}"
    for value in BAD_IDS:
        for input in ({"domainId": "d1", "apiKeyId": value}, {"domainId": value, "apiKeyId": "k"}):
            assert await api.code(query, {"input": input}, system) == "INVALID_ARGUMENT", input


@pytest.mark.parametrize(
    "input",
    [
        None,
        {},
        [],
        "x",
        {"domainId": "d1"},
        {"domainId": "d1", "userId": None},
        {"domainId": ["d1"], "userId": {"a": 1}},
        {"domainId": True, "userId": "u1"},
        {"domainId": 1.5, "userId": "u1"},
        {"domainId": "d1", "userId": "u1", "role": "ROOT"},
        {"domainId": "d1", "userId": "u1", "role": 1},
        {"domainId": "d1", "userId": "u1", "name": 1},
        {"domainId": "d1", "userId": "u1", "state": "ENABLED"},
        {"domainId": "d1", "userId": "u1", "digest": "x"},
    ],
)
async def test_a_variable_of_the_wrong_shape_is_refused(api: Api, input: Any) -> None:
    system = await api.make()
    before = keys_stored(api)
    assert await api.code(CREATE, {"input": input}, system) == "BAD_USER_INPUT"
    assert keys_stored(api) == before


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"page": {"limit": -1}}, "page.limit"),
        ({"page": {"limit": 1_000_000}}, "1,?000"),
        ({"sort": {"key": "no_such_key"}}, "sort"),
        ({"sort": {"key": "digest"}}, "sort"),
        ({"sort": {"keys": [{"key": "$where"}]}}, "sort"),
        ({"only": ["no_such_field"]}, "only"),
        ({"unwind": {"path": "x"}}, "unwind"),
    ],
)
async def test_a_list_that_cannot_be_is_refused_by_name(api: Api, query: Any, named: str) -> None:
    answer = await api.run(LIST, {"input": {"domainId": "d1", "query": query}}, await api.make())
    assert answer["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"

    assert re.search(named, answer["errors"][0]["message"]), answer


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic YWRtaW46YWRtaW4=",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer gqlid_" + "0" * 49,
        "gqlid_" + "0" * 49,
        "Bearer " + "x" * 5000,
        "Bearer a b",
        "Bearer \xe9",
        "",
    ],
)
async def test_a_credential_that_is_none_is_refused_with_401(api: Api, authorization: str) -> None:
    answer = await api.client.post(
        "/graphql", json={"query": "{ __typename }"}, headers=[(b"Authorization", authorization.encode("latin-1"))]
    )
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    (error,) = answer.json()["errors"]
    assert error["extensions"] == {"code": "UNAUTHENTICATED"}
    assert "data" not in answer.json()


async def test_a_wrong_secret_in_a_variable_is_not_repeated(api: Api) -> None:
    secret = (await api.make()).secret
    answer = await api.run(GET, {"input": {"domainId": {"oops": secret}, "apiKeyId": secret, "x": secret}}, secret)
    assert answer["errors"]
    assert secret not in str(answer)
    answer = await api.run(STATS, {"input": secret}, secret)
    assert secret not in str(answer)


PLAIN = 'Bearer realm="gql_identity"'
DOORS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/graphql", {"json": {"query": "{ __typename }"}}),
    ("POST", "/identity/v1/api-key/list", {"json": {}}),
    ("POST", "/introspect", {"data": {"token": "x"}}),
    ("GET", "/authz", {}),
)


@pytest.mark.parametrize(("method", "path", "sent"), DOORS, ids=[path for _, path, _ in DOORS])
async def test_a_refused_key_is_told_apart_from_a_missing_one(
    api: Api, method: str, path: str, sent: dict[str, Any]
) -> None:
    system, ended = await api.make(), await api.make("USER")
    await api.data(
        "mutation($i: APIKeyRequest!) { disableApiKey(input: $i) { state } }",
        {"i": {"domainId": "d1", "apiKeyId": ended.key_id}},
        system,
    )
    outcomes = {}
    for authorization in (None, "Basic eDp5", f"Bearer {ended.secret}", "Bearer gqlid_wrong", "Bearer"):
        if path == "/introspect" and authorization == "Basic eDp5":
            continue  # it is an OAuth client's there
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = await api.client.request(method, path, headers=headers, **sent)
        outcomes[authorization] = answer.headers.get("WWW-Authenticate")
        assert answer.status_code == (200 if path == "/graphql" and authorization is None else 401)
    expected = {one: f'{PLAIN}, error="invalid_token"' for one in outcomes if one and one.startswith("Bearer")}
    without = None if path == "/graphql" else PLAIN  # there, a request without a key may ask for some fields
    assert outcomes == dict.fromkeys(outcomes, PLAIN) | {None: without} | expected
