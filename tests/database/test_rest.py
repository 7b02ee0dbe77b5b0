"""Cloudforet's routes: each operation, and each refusal."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gql_identity.keys.statistics import KeyStatistics
from gql_identity.secret import make_secret
from gql_identity.settings import Settings
from gql_identity.web.rest_operations import OPERATIONS
from tests.conftest import Api, Person, running

INFO = {"api_key_id", "api_key", "state", "user_id", "domain_id", "last_accessed_at", "created_at", "name", "role"} | {
    *("hint", "created_by", "expires_at", "expired", "updated_at", "scopes", "secrets", "rotated_at"),
    *("tags", "allowed_addresses", "created_by_user_id"),
}
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NO_KEY = "api-key-" + "0" * 32


async def send(
    api: Api, operation: str, message: Any, by: Person | str | None = None, **options: Any
) -> httpx.Response:
    """Send a message, or bytes as they are."""
    secret = by.secret if isinstance(by, Person) else by
    headers = {"Content-Type": "application/json"} | ({} if secret is None else {"Authorization": f"Bearer {secret}"})
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return await api.client.post(
        f"/identity/v1/api-key/{operation}", content=body, headers=headers | options.pop("headers", {}), **options
    )


async def ask(api: Api, operation: str, message: Any, by: Person | str | None) -> Any:
    """The answer's JSON; fails where it is an error."""
    answer = await send(api, operation, message, by)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(api: Api, operation: str, message: Any, by: Person | str | None) -> tuple[int, str, str]:
    """The status, code and message of an error."""
    answer = await send(api, operation, message, by)
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}, answer.text
    error = answer.json()["error"]
    assert set(error) - {"path"} == {"code", "message"}, error
    return answer.status_code, error["code"], error["message"]


async def test_a_key_lives_through_the_seven_operations(api: Api) -> None:
    admin = await api.make()
    made = await ask(api, "create", {"user_id": "u2", "domain_id": "d2", "name": "ci", "role": "DOMAIN_OWNER"}, admin)
    assert set(made) == INFO
    expected = {"state": "ENABLED", "user_id": "u2", "domain_id": "d2", "name": "ci", "role": "DOMAIN_OWNER"}
    assert expected.items() <= made.items()
    assert made["created_by"] == admin.key_id
    assert made["last_accessed_at"] is None
    assert INSTANT.fullmatch(made["created_at"])
    secret = made["api_key"]
    one = {"api_key_id": made["api_key_id"], "domain_id": "d2"}
    public = {**made, "api_key": None}

    assert await ask(api, "get", one, admin) == public
    assert await ask(api, "list", {"domain_id": "d2"}, admin) == {"results": [public], "total_count": 1}
    stat = {"domain_id": "d2", "query": {"distinct": "user_id"}}
    assert await ask(api, "stat", stat, admin) == {"results": ["u2"]}

    disabled = await ask(api, "disable", one, admin)
    assert disabled == {**public, "state": "DISABLED", "updated_at": disabled["updated_at"]}
    assert (await ask(api, "get", one, admin))["state"] == "DISABLED"
    assert (await refused(api, "get", one, secret))[:2] == (401, "UNAUTHENTICATED")
    assert (await ask(api, "enable", one, admin))["state"] == "ENABLED"
    assert (await ask(api, "get", one, secret))["state"] == "ENABLED"

    assert await ask(api, "delete", one, admin) == {}
    assert (await refused(api, "get", one, admin))[:2] == (404, "NOT_FOUND")
    assert await ask(api, "list", {"domain_id": "d2"}, admin) == {"results": [], "total_count": 0}
    for operation in ("enable", "disable", "delete"):
        assert (await refused(api, operation, one, admin))[:2] == (404, "NOT_FOUND")


async def test_a_key_made_here_is_the_one_that_graphql_shows(api: Api) -> None:
    admin = await api.make()
    made = await ask(api, "create", {"user_id": "ü", "domain_id": "d1"}, admin)
    query = 'query($k: ID!) { apiKey(input: {domainId: "d1", apiKeyId: $k}) { userId role createdAt hint createdBy } }'
    key = (await api.data(query, {"k": made["api_key_id"]}, admin))["apiKey"]
    assert key == {
        "userId": "ü",
        "role": "USER",
        "createdAt": made["created_at"],
        "hint": made["hint"],
        "createdBy": admin.key_id,
    }


async def test_only_and_minimal_leave_the_other_fields_out(api: Api) -> None:
    admin = await api.make()
    one = {"api_key_id": admin.key_id, "domain_id": "d1"}
    only = ["created_by", "userId", "api_key"]
    assert await ask(api, "get", {**one, "only": only}, admin) == {"created_by": None, "user_id": "u1", "api_key": None}
    assert set(await ask(api, "get", {**one, "only": []}, admin)) == INFO
    assert set(await ask(api, "get", {**one, "only": None}, admin)) == INFO
    for query, keys in (
        ({"only": ["state", "role"]}, [{"state": "ENABLED", "role": "SYSTEM"}]),
        ({"minimal": True}, [{"api_key_id": admin.key_id, "state": "ENABLED", "user_id": "u1"}]),
        ({"count_only": True}, []),
        ({"only": ["hint"], "count_only": True}, []),
    ):
        answer = await ask(api, "list", {"domain_id": "d1", "query": query}, admin)
        assert answer == {"results": keys, "total_count": 1}, query


LIST: dict[str, Any] = {"domain_id": "d1"}
STAGE = {"count": {"name": "n"}}
MISTAKES: list[tuple[str, Any, str]] = [
    ("create", {}, "user_id: "),
    ("create", {"user_id": "", "domain_id": "d1"}, "user_id: it is missing"),
    ("create", {"user_id": "u" * 256, "domain_id": "d1"}, "user_id: "),
    ("create", {"user_id": "u\0", "domain_id": "d1"}, "user_id: "),
    ("create", {"user_id": 1, "domain_id": "d1"}, "user_id: give a string"),
    ("create", {"user_id": None, "domain_id": "d1"}, "user_id: give a string"),
    ("create", {"user_id": {"$ne": None}, "domain_id": "d1"}, "user_id: give a string"),
    ("create", {"user_id": "u", "domain_id": ["d1"]}, "domain_id: give a string"),
    ("create", {"user_id": "u", "domain_id": "d1", "role": "system"}, "role: give 'USER', 'VERIFIER'"),
    ("create", {"user_id": "u", "domain_id": "d1", "role": 3}, "role: give 'USER'"),
    ("create", {"user_id": "u", "domain_id": "d1", "role": None}, "role: give 'USER'"),
    ("create", {"user_id": "u", "domain_id": "d1", "name": ""}, "name: "),
    ("create", {"user_id": "u", "domain_id": "d1", "state": "ENABLED"}, "state: there is no such field"),
    ("create", {"user_id": "u", "domain_id": "d1", "digest": "x"}, "digest: there is no such field"),
    ("create", {"userId": "u", "domain_id": "d1"}, "user_id: it is missing"),
    ("create", {"user_id": "u", "domain_id": "d1", "x" * 1000: 1}, "x" * 40 + ": there is no such field"),
    ("enable", {"domain_id": "d1"}, "api_key_id: it is missing"),
    ("disable", {"api_key_id": "k", "domain_id": "d1", "only": []}, "only: there is no such field"),
    ("delete", {"api_key_id": "", "domain_id": "d1"}, "api_key_id: it is missing"),
    ("delete", {"api_key_id": True, "domain_id": "d1"}, "api_key_id: give a string"),
    ("get", {"api_key_id": "k", "domain_id": "d1", "only": "state"}, "only: give a list"),
    ("get", {"api_key_id": "k", "domain_id": "d1", "only": ["state", 1]}, "only[1]: give a string"),
    ("get", {"api_key_id": "k", "domain_id": "d1", "only": ["state", "digest"]}, "only[1]: "),
    ("get", {"api_key_id": "k", "domain_id": "d1", "only": ["state", "user"]}, "only: `user` exists only in GraphQL"),
    ("list", {"domain_id": ["d1"]}, "domain_id: give a string"),
    ("list", {"user_id": "u" * 256}, "user_id: give 1 to 255"),
    ("list", {"api_key_id": "a\0"}, "api_key_id: control characters"),
    ("list", {**LIST, "state": "enabled"}, "state: give 'ENABLED' or 'DISABLED'"),
    ("list", {**LIST, "query": []}, "query: give an object"),
    ("list", {**LIST, "query": {"where": "1"}}, "query.where: there is no such field"),
    ("list", {**LIST, "query": {"$where": "1"}}, "query.$where: there is no such field"),
    ("list", {**LIST, "query": {"filterOr": []}}, "query.filterOr: there is no such field"),
    ("list", {**LIST, "query": {"filter": {}}}, "query.filter: give a list"),
    ("list", {**LIST, "query": {"filter": [{}, "x"]}}, "query.filter[1]: give an object"),
    ("list", {**LIST, "query": {"filter": [{"k": "state", "v": 1, "o": "EQ"}]}}, "query.filter[0].o: give 'eq', 'not'"),
    ("list", {**LIST, "query": {"filter": [{"k": "state", "v": 1, "o": ["eq"]}]}}, "query.filter[0].o: give 'eq'"),
    ("list", {**LIST, "query": {"filter": [{"k": "state", "o": "eq"}]}}, "query.filter[0]"),
    ("list", {**LIST, "query": {"filter": [{"x": 1}]}}, "query.filter[0].x: there is no such field"),
    ("list", {**LIST, "query": {"page": {"start": "1"}}}, "query.page.start: give an integer"),
    ("list", {**LIST, "query": {"page": {"start": True}}}, "query.page.start: give an integer"),
    ("list", {**LIST, "query": {"page": {"start": 1.5}}}, "query.page.start: give an integer"),
    ("list", {**LIST, "query": {"page": {"start": 2**31}}}, "query.page.start: give at most 2147483647"),
    ("list", {**LIST, "query": {"page": {"limit": -(2**31) - 1}}}, "query.page.limit: give at least -2147483648"),
    ("list", {**LIST, "query": {"page": {"limit": 1001}}}, "query.page.limit: "),
    ("list", {**LIST, "query": {"minimal": "true"}}, "query.minimal: give true or false"),
    ("list", {**LIST, "query": {"count_only": 1}}, "query.count_only: give true or false"),
    ("list", {**LIST, "query": {"only": ["id"]}}, "query.only: `id` exists only in GraphQL"),
    ("list", {**LIST, "query": {"sort": {"key": "created_at", "desc": 1}}}, "query.sort.desc: give true or false"),
    ("list", {**LIST, "query": {"sort": {"keys": [{"key": "state"}, {}]}}}, "query.sort.keys[1].key: it is missing"),
    ("stat", LIST, "query: it is missing"),
    ("stat", {**LIST, "query": None}, "query: give an object"),
    ("stat", {**LIST, "query": {}}, "query: "),
    ("stat", {**LIST, "query": {"aggregate": [STAGE, {}]}}, "query.aggregate[1]: give exactly one of group, sort"),
    ("stat", {**LIST, "query": {"aggregate": [{**STAGE, "limit": 1}]}}, "query.aggregate[0]: give exactly one of"),
    ("stat", {**LIST, "query": {"aggregate": [{"limit": None}]}}, "query.aggregate[0].limit: give an integer"),
    ("stat", {**LIST, "query": {"aggregate": [{"match": {}}]}}, "query.aggregate[0].match: there is no such field"),
    (
        "stat",
        {**LIST, "query": {"aggregate": [{"group": {"fields": [{"o": "median", "n": "n"}]}}]}},
        "query.aggregate[0].group.fields[0].o: give 'count'",
    ),
]


async def test_a_mistake_is_refused_by_its_path_and_nothing_becomes_of_it(api: Api) -> None:
    admin = await api.make()
    for operation, message, told in MISTAKES:
        status, code, text = await refused(api, operation, message, admin)
        assert (status, code) == (400, "INVALID_ARGUMENT"), (operation, message)
        assert text.startswith(told), (operation, message, text)
        assert len(text) < 600, text
    assert (await ask(api, "list", {"domain_id": "d1"}, admin))["total_count"] == 1


DEEP = 100_000
BODIES = [
    *(b"", b"1", b'"x"', b"null", b"[]", b"[{}]", b"{", b"{'a': 1}", b'{"a": NaN}'),
    *(b"\xff", b'{"a": "\xff"}', b'{"a": "\\ud800"}', b"[" * DEEP, b'{"query":' * 20_000),
]


async def test_a_body_that_is_no_json_object_is_a_bad_request(api: Api) -> None:
    admin = await api.make()
    for body in BODIES:
        for operation in OPERATIONS:
            status, code, _ = await refused(api, operation, body, admin)
            assert (status, code) == (400, "BAD_REQUEST"), body[:20]
    deep = b'{"domain_id": "d1", "query": {"filter": [{"k": "user_id", "o": "eq", "v": %s1%s}]}}' % (
        b"[" * 200,
        b"]" * 200,
    )
    assert (await refused(api, "list", deep, admin))[:2] == (400, "INVALID_ARGUMENT")


async def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    admin = await api.make()
    body = b'{"domain_id": "%s"}' % (b"d" * api.settings.max_body_bytes)
    assert (await refused(api, "list", body, admin))[:2] == (413, "BAD_REQUEST")


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/jsonp",
        "application/json; charset=latin-1",
    ],
)
async def test_a_body_of_another_media_type_is_refused(api: Api, content_type: str) -> None:
    admin = await api.make()
    message = {"user_id": "u", "domain_id": "d1"}
    answer = await send(api, "create", message, admin, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "BAD_REQUEST")
    assert answer.headers["accept-post"] == "application/json"
    assert (await ask(api, "list", {"domain_id": "d1"}, admin))["total_count"] == 1


async def test_json_may_name_its_charset(api: Api) -> None:
    admin = await api.make()
    for content_type in ("application/json;charset=utf-8", 'Application/JSON; charset="UTF-8"'):
        answer = await send(api, "list", {"domain_id": "d1"}, admin, headers={"Content-Type": content_type})
        assert answer.status_code == 200


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_without_a_credential_nothing_answers(api: Api, operation: str) -> None:
    for authorization in (None, "Bearer", "Bearer gqlid_wrong", "Basic dTpw", "gqlid_wrong"):
        headers = {} if authorization is None else {"Authorization": authorization}
        for message in ({"domain_id": "d1", "api_key_id": NO_KEY}, {"nonsense": 1}):
            answer = await send(api, operation, message, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHENTICATED")
            assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_another_method_is_refused_and_the_right_one_named(api: Api) -> None:
    admin = await api.make()
    for path, allowed in [*((f"api-key/{name}", "POST") for name in OPERATIONS), ("openapi.json", "GET, HEAD")]:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            if method in allowed:
                continue
            headers = {"Authorization": f"Bearer {admin.secret}"}
            answer = await api.client.request(method, f"/identity/v1/{path}", headers=headers)
            assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
            assert answer.json()["error"]["code"] == "BAD_REQUEST"


async def test_an_unknown_path_is_not_found_in_the_same_shape(api: Api) -> None:
    admin = await api.make()
    for path in (
        "",
        "api-key",
        "api-key/",
        "api-key/get/",
        "api-key/verify",
        "api-key/GET",
        "a%00b",
        "user/list",
    ):
        for method in ("GET", "POST"):
            headers = {"Authorization": f"Bearer {admin.secret}"}
            answer = await api.client.request(method, f"/identity/v1/{path}", json={}, headers=headers)
            assert answer.status_code == 404, path
            assert answer.json() == {"error": {"code": "NOT_FOUND", "message": "There is nothing at this path."}}


async def test_a_hidden_key_answers_as_a_missing_one_and_another_domain_is_denied(api: Api) -> None:
    owner = await api.make("DOMAIN_OWNER", "d1", "u1")
    hidden = await api.make("SYSTEM", "d1", "u2")
    for operation in ("get", "enable", "disable", "delete"):
        answers = [
            await send(api, operation, {"domain_id": "d1", "api_key_id": key_id}, owner)
            for key_id in (hidden.key_id, NO_KEY)
        ]
        assert answers[0].status_code == 404
        assert answers[0].content == answers[1].content
        other = {"domain_id": "d2", "api_key_id": NO_KEY}
        assert (await refused(api, operation, other, owner))[:2] == (403, "PERMISSION_DENIED")
    assert (await refused(api, "list", {"domain_id": "d2"}, owner))[:2] == (403, "PERMISSION_DENIED")
    stat = {"domain_id": "d2", "query": {"distinct": "state"}}
    assert (await refused(api, "stat", stat, owner))[:2] == (403, "PERMISSION_DENIED")
    for message in ({"user_id": "u", "domain_id": "d2"}, {"user_id": "u", "domain_id": "d1", "role": "SYSTEM"}):
        assert (await refused(api, "create", message, owner))[:2] == (403, "PERMISSION_DENIED")


async def test_a_key_disabled_by_a_higher_role_stays_so(api: Api) -> None:
    owner, user = await api.make("DOMAIN_OWNER", "d1", "boss"), await api.make("USER", "d1", "u1")
    other = await api.make("USER", "d1", "u1")
    one = {"domain_id": "d1", "api_key_id": other.key_id}
    await ask(api, "disable", one, owner)
    assert (await refused(api, "enable", one, user))[:2] == (403, "PERMISSION_DENIED")
    assert (await ask(api, "get", one, user))["state"] == "DISABLED"


async def test_creates_at_once_make_as_many_keys(api: Api) -> None:
    admin = await api.make()
    message = {"user_id": "many", "domain_id": "d1"}
    made = await asyncio.gather(*(ask(api, "create", message, admin) for _ in range(20)))
    assert len({key["api_key_id"] for key in made} | {key["api_key"] for key in made}) == 40
    assert (await ask(api, "list", {"domain_id": "d1", "user_id": "many"}, admin))["total_count"] == 20


async def test_an_answer_is_kept_by_no_cache(api: Api) -> None:
    admin = await api.make()
    answer = await send(api, "create", {"user_id": "u", "domain_id": "d1"}, admin)
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-request-id"]


async def test_a_fault_of_ours_answers_with_an_id_that_is_in_the_log(
    api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await api.make()

    async def fail(*_: Any) -> None:
        raise ZeroDivisionError("the inside of the service")

    monkeypatch.setattr(KeyStatistics, "stats", fail)
    capsys.readouterr()
    answer = await send(api, "stat", {"domain_id": "d1", "query": {"distinct": "state"}}, admin)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (500, "INTERNAL")
    assert error["id"] == answer.headers["x-request-id"]
    assert "inside" not in answer.text
    logged = capsys.readouterr()
    assert error["id"] in logged.out + logged.err
    assert "the inside of the service" in logged.out + logged.err


async def test_a_client_that_leaves_is_no_fault(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/identity/v1/api-key/list", "headers": headers}
    await api.app({**scope, "query_string": b"", "root_path": ""}, receive, send)
    assert not sent
    logged = capsys.readouterr()
    assert "unexpected error" not in logged.out + logged.err


async def test_an_operation_that_takes_too_long_is_ended(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any) -> None:
        await asyncio.sleep(60)

    async with running(settings.model_copy(update={"operation_timeout_seconds": 0.2})) as api:
        admin = await api.make()
        monkeypatch.setattr(KeyStatistics, "stats", hang)
        status, code, _ = await refused(api, "stat", {"domain_id": "d1", "query": {"distinct": "state"}}, admin)
    assert (status, code) == (504, "DEADLINE_EXCEEDED")


async def test_a_key_over_its_rate_is_told_when_to_try_again(settings: Settings) -> None:
    async with running(settings.model_copy(update={"requests_per_minute": 2})) as api:
        admin = await api.make()
        for _ in range(2):
            await ask(api, "list", {"domain_id": "d1"}, admin)
        answer = await send(api, "list", {"domain_id": "d1"}, admin)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (429, "RESOURCE_EXHAUSTED")
    assert str(error["retry_after_seconds"]) == answer.headers["retry-after"]


async def test_while_the_database_is_away_an_operation_is_unavailable(settings: Settings) -> None:
    away = {"mongo_uri": SecretStr("mongodb://127.0.0.1:9/x"), "database_timeout_seconds": 0.2}
    async with running(settings.model_copy(update=away)) as api:
        status, code, _ = await refused(api, "list", {"domain_id": "d1"}, make_secret())
    assert (status, code) == (503, "UNAVAILABLE")


@pytest.mark.parametrize(
    ("introspection", "without", "with_key"), [("public", 200, 200), ("authenticated", 401, 200), ("off", 404, 404)]
)
async def test_the_document_is_open_to_whom_the_schema_is(
    settings: Settings, introspection: str, without: int, with_key: int
) -> None:
    async with running(settings.model_copy(update={"introspection": introspection})) as api:
        admin = await api.make()
        headers = {"Authorization": f"Bearer {admin.secret}"}
        assert (await api.client.get("/identity/v1/openapi.json")).status_code == without
        assert (await api.client.get("/identity/v1/openapi.json", headers=headers)).status_code == with_key
        wrong = {"Authorization": "Bearer gqlid_wrong"}
        assert (await api.client.get("/identity/v1/openapi.json", headers=wrong)).status_code in (401, 404)
