"""Errors that a frontend can use: what is wrong and what to do, where in the input, and by which names."""

from typing import Any

import httpx
import pytest

from tests.conftest import Api, Person, running
from tests.database.test_operations import CREATE, LIST, STATS

CODE = "INVALID_ARGUMENT"


async def error_of(api: Api, document: str, variables: Any, by: Person | None) -> tuple[str, str, Any]:
    (error,) = (await api.run(document, variables, by))["errors"]
    return error["message"], error["extensions"]["code"], error["extensions"].get("path")


async def rest(api: Api, method: str, message: Any, by: Person) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {by.secret}"}
    answer: httpx.Response = await api.client.post(f"/identity/v1/api-key/{method}", json=message, headers=headers)
    error: dict[str, Any] = answer.json()["error"]
    return error


FILTER = {"k": "name", "v": "x", "o": "eq"}
# The query of a list as REST spells it, then the path and the message; in GraphQL both are spelled in camelCase.
LISTS: list[tuple[dict[str, Any], list[str | int], str]] = [
    ({"page": {"limit": -1}}, ["page", "limit"], "-1 is too small; give 0 to 1000, where 0 means all."),
    (
        {"page": {"limit": 1001}},
        ["page", "limit"],
        "1001 is too large; give 0 to 1000, where 0 means all: the limit `max_page_size`.",
    ),
    ({"filter": [FILTER, FILTER, FILTER | {"v": 5}]}, ["filter", 2, "v"], "give text, not a number."),
    (
        {"filter_or": [FILTER | {"k": "no"}]},
        ["filter_or", 0, "k"],
        '"no" is not a field here; use one of `{api_key_id}`',
    ),
    ({"filter_or": [{"v": 5, "o": "eq"}]}, ["filter_or", 0], "`key` is missing; give it."),
    (
        {"filter": [FILTER] * 101},
        [],
        "give at most 100 conditions in one query, a keyword's words included, not 101: the limit `max_conditions`.",
    ),
    (
        {"filter": [{"k": "created_at", "v": "x", "o": "contain"}]},
        ["filter", 0],
        "contain searches text, and `{created_at}` is an instant; use another operator.",
    ),
    ({"only": ["name", "secret"]}, ["only", 1], '"secret" is not a field; use one of '),
    ({"sort": {"key": "name", "keys": [{"key": "role"}]}}, ["sort"], "give either `key` or `keys`."),
    ({"unwind": {"path": "name"}}, ["unwind"], "a list returns each key once; leave it out. Statistics have `unwind`."),
]


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def in_graphql(value: Any) -> Any:
    if isinstance(value, list):
        return [in_graphql(part) for part in value]
    if isinstance(value, dict):
        return {
            camel(name): {"eq": "EQ", "contain": "CONTAIN"}[part] if name == "o" else in_graphql(part)
            for name, part in value.items()
        }
    return value


@pytest.mark.parametrize(("query", "path", "told"), LISTS)
async def test_an_error_of_a_list_names_its_place(
    api: Api, query: dict[str, Any], path: list[str | int], told: str
) -> None:
    system = await api.make()
    place = "query" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    error = await rest(api, "list", {"domain_id": "d1", "query": query}, system)
    assert error["message"].startswith(f"{place}: {told}".replace("{", "").replace("}", ""))
    assert (error["code"], error["path"]) == (CODE, ["query", *path])
    message, code, found = await error_of(api, LIST, {"input": {"domainId": "d1", "query": in_graphql(query)}}, system)
    names = {"{api_key_id}": "apiKeyId", "{created_at}": "createdAt"}
    for name, spelled in names.items():
        told = told.replace(name, spelled)
    assert message.startswith(f"{camel(place)}: {told}")
    spelled_path = [camel(part) if isinstance(part, str) else part for part in path]
    assert (code, found) == (CODE, ["input", "query", *spelled_path])


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("user_id", " u", "white space at either end is not allowed; remove it."),
        ("domain_id", "d" * 256, "give 1 to 255 characters, not 256."),
        ("name", "a\nb", "control characters are not allowed; remove them."),
        ("expires_at", "2020-01-01T00:00:00Z", "this instant is in the past. Give a later one."),
    ],
)
async def test_an_error_of_a_create_names_its_field(api: Api, field: str, value: str, told: str) -> None:
    system = await api.make()
    request = {"user_id": "u1", "domain_id": "d1", field: value}
    error = await rest(api, "create", request, system)
    assert error == {"code": CODE, "message": f"{field}: {told}", "path": [field]}
    variables = {"input": {camel(name): given for name, given in request.items()}}
    assert await error_of(api, CREATE, variables, system) == (f"{camel(field)}: {told}", CODE, ["input", camel(field)])


async def test_a_new_end_that_is_past_tells_how_to_end_a_key(api: Api) -> None:
    system = await api.make()
    error = await rest(api, "update", {"api_key_id": system.key_id, "expires_at": "2020-01-01T00:00:00Z"}, system)
    told = "expires_at: this instant is in the past. Give a later one, or disable the key."
    assert error == {"code": CODE, "message": told, "path": ["expires_at"]}


async def test_a_place_in_a_list_of_scopes_is_named(api: Api) -> None:
    system = await api.make()
    request = {"userId": "u1", "domainId": "d1", "scopes": ["read", "a b"]}
    told = "scopes[1]: give 1 to 128 printable ASCII characters, without a blank, a quote or a backslash."
    assert await error_of(api, CREATE, {"input": request}, system) == (told, CODE, ["input", "scopes", 1])


async def test_what_a_key_may_not_do_names_the_field(api: Api) -> None:
    user = await api.make("USER")
    message, code, path = await error_of(api, CREATE, {"input": {"userId": "other", "domainId": "d1"}}, user)
    assert (code, path) == ("PERMISSION_DENIED", ["input", "userId"])
    assert message == "userId: This key may create keys for its own user only. Give that user as `userId`."
    error = await rest(api, "list", {"domain_id": "other"}, user)
    assert (error["code"], error["path"]) == ("PERMISSION_DENIED", ["domain_id"])
    told = "domain_id: This key has access to its own domain only. Name that domain, or send a key of role SYSTEM."
    assert error["message"] == told


async def test_arguments_without_an_input_are_named_as_they_are(api: Api) -> None:
    system = await api.make()
    query = '{ apiKeysConnection(domainId: "d1", first: -1) { totalCount } }'
    told = "first: give 0 to 1000, not -1: the limit `max_page_size`."
    assert await error_of(api, query, None, system) == (told, CODE, ["first"])
    query = '{ apiKeysConnection(domainId: "d1", filter: {or: [{}, {hasScope: "\\u0000"}]}) { totalCount } }'
    assert (await error_of(api, query, None, system))[2] == ["filter", "or", 1, "hasScope"]
    query = '{ _entities(representations: [{__typename: "User", domainId: "d1", userId: ""}]) { __typename } }'
    assert (await error_of(api, query, None, system))[2] == ["representations", 0, "userId"]
    query = 'mutation { verifyApiKeys(input: [{apiKey: "x"}, {apiKey: "x", requiredScopes: []}]) { valid } }'
    message, _, path = await error_of(api, query, None, system)
    assert (message.split(":")[0], path) == ("input[1].requiredScopes", ["input", 1, "requiredScopes"])


@pytest.mark.parametrize(("name", "value"), [("clientAddress", '"banana"'), ("requiredScopes", "[]")])
async def test_the_input_of_one_verification_is_no_list(api: Api, name: str, value: str) -> None:
    query = f'mutation {{ verifyApiKey(input: {{apiKey: "x", {name}: {value}}}) {{ valid }} }}'
    message, code, path = await error_of(api, query, None, await api.make())
    assert message.startswith(f"input.{name}: give ")
    assert (code, path) == (CODE, ["input", name])


async def test_a_stage_of_a_statistic_is_named(api: Api) -> None:
    system = await api.make()
    stages = [{"sort": {"key": "name"}}, {"group": {"keys": [{"key": "userid", "name": "user"}]}}]
    message, code, path = await error_of(
        api, STATS, {"input": {"domainId": "d1", "query": {"aggregate": stages}}}, system
    )
    assert (code, path) == (CODE, ["input", "query", "aggregate", 1, "group", "keys", 0, "key"])
    assert '"userid" is not a field here; use one of `apiKeyId`, `state`, `userId`' in message


@pytest.mark.parametrize(
    ("input", "told", "path"),
    [
        (
            {"domainId": "d1", "query": {"page": {"limit": 1.5}}},
            "Variable '$input' has invalid value at .query.page.limit: Int cannot represent non-integer value: 1.5",
            ["query", "page", "limit"],
        ),
        (
            None,
            "Variable '$input' has invalid value: Expected value of non-null type 'APIKeyQuery!' not to be null.",
            [],
        ),
        (
            {"domainId": "d1", "query": {"filterOr": [{"o": "EQUAL"}]}},
            "Variable '$input' has invalid value at .query.filterOr[0].o: "
            "Value 'EQUAL' does not exist in 'APIKeyOperator' enum. Did you mean the enum value 'EQ'?",
            ["query", "filterOr", 0, "o"],
        ),
        (
            {"domainid": "d1", "domainId": None, "userId": True},
            "Variable '$input' has invalid value: "
            "Expected value of type 'APIKeyQuery' not to include unknown field 'domainid'. Did you mean 'domainId'?",
            [],
        ),
        (
            {"query": {"sort": {"keys": [{"desc": None}]}}},
            "Variable '$input' has invalid value at .query.sort.keys[0]: "
            "Expected value of type 'APIKeySortKey' to include required field 'key'.",
            ["query", "sort", "keys", 0],
        ),
        (
            {"domainId": {"a": [None, True]}},
            "Variable '$input' has invalid value at .domainId: ID cannot represent value: it is a list or an object.",
            ["domainId"],
        ),
    ],
)
async def test_errors_of_variables_show_no_python(api: Api, input: Any, told: str, path: list[str | int]) -> None:
    system = await api.make()
    for _ in range(3):  # by graphql-core, and by the compiled plan
        errors = (await api.run(LIST, {"input": input}, system))["errors"]
        assert told in [error["message"] for error in errors]
        assert ["input", *path] in [error["extensions"]["path"] for error in errors]
        assert {error["extensions"]["code"] for error in errors} == {"BAD_USER_INPUT"}
        assert not any(word in str([e["message"] for e in errors]) for word in ("None", "True", "{'"))
        await api.run(LIST, {"input": {"domainId": "d1"}}, system)


@pytest.mark.parametrize(
    ("document", "told", "path"),
    [
        *(
            (
                f'mutation {{ rotateApiKey(input: {{apiKeyId: "k", overlapSeconds: {value}}}) {{ id }} }}',
                f"Argument 'input' has invalid value at .overlapSeconds: {reason}",
                ["input", "overlapSeconds"],
            )
            for value, reason in (
                ("null", "Expected value of non-null type 'Int!' not to be null."),
                ("1.5", "Int cannot represent non-integer value: 1.5"),
                ('"60"', 'Int cannot represent non-integer value: "60"'),
            )
        ),
        (
            '{ apiKeys(input: {query: {filter: [{key: "name", operator: EQ}, {key: 5}]}}) { totalCount } }',
            "Argument 'input' has invalid value at .query.filter[1].key: String cannot represent a non string value: 5",
            ["input", "query", "filter", 1, "key"],
        ),
        (
            '{ apiKeysConnection(first: "2") { totalCount } }',
            "Argument 'first' has invalid value: Int cannot represent non-integer value: \"2\"",
            ["first"],
        ),
        (
            '{ apiKeysConnection(domainId: "d1") @include(if: 1) { totalCount } }',
            "Argument 'if' has invalid value: Boolean cannot represent a non boolean value: 1",
            ["if"],
        ),
        (
            'query ($first: Int = "2") { apiKeysConnection(first: $first) { totalCount } }',
            "The default of variable '$first' has invalid value: Int cannot represent non-integer value: \"2\"",
            ["first"],
        ),
    ],
)
async def test_an_error_of_a_literal_names_its_argument_and_field(
    api: Api, document: str, told: str, path: list[str | int]
) -> None:
    error = await error_of(api, document, None, await api.make())
    assert error == (told, "GRAPHQL_VALIDATION_FAILED", path)


MISSPELT = [
    ("{ apiKeyz(input: {}) { id } }", "Did you mean 'apiKey' or 'apiKeys'?"),
    ('{ apiKey(input: {domainid: "d1", apiKeyId: "k"}) { id } }', "Did you mean 'domainId'?"),
    ('{ apiKey(inputs: {domainId: "d1", apiKeyId: "k"}) { id } }', "Did you mean 'input'?"),
    ('{ apiKeys(input: {domainId: "d1", state: ENABLE}) { totalCount } }', "Did you mean the enum value 'ENABLED'"),
    ("query ($i: APIKeyQuerry!) { apiKeys(input: $i) { totalCount } }", "Did you mean 'APIKeyQuery'"),
]


async def test_suggestions_are_for_those_who_may_read_the_schema(api: Api) -> None:
    system = await api.make()
    for document, told in MISSPELT:
        errors = (await api.run(document, None, system))["errors"]
        assert any(told in error["message"] for error in errors), errors
    async with running(api.settings.model_copy(update={"introspection": "off"})) as closed:
        wrong = {"input": {"domainid": "d1", "domainId": "d1"}}
        for document, variables in [*((document, None) for document, _ in MISSPELT), (LIST, wrong)]:
            answer = await closed.run(document, variables, system)
            assert answer["errors"]
            assert "Did you mean" not in str(answer)


async def test_a_secret_in_the_wrong_place_is_not_repeated_in_the_path(api: Api) -> None:
    system = await api.make()
    error = await rest(api, "list", {"domain_id": "d1", "query": {system.secret: 1}}, system)
    assert error["code"] == CODE
    assert system.secret[:30] not in str(error)
