"""An answer that would be shortened says so: 1,200 users with keys, and pages of at most 1,000."""

from typing import Any

import pytest

from gql_identity.storage.database import Database
from tests.conftest import Api
from tests.database.test_same_answers import DOMAIN, Both, document

USERS = 1_200


def user(number: int) -> str:
    return f"user-{number:04}"


def key_id(number: int) -> str:
    return f"key-{number:04}"


@pytest.fixture
async def many(api: Api) -> Both:
    """A user for each of 1,200 keys, and someone who sees all."""
    caller = await api.make("SYSTEM", "callers", "admin")
    plain = document(0)
    keys = [{**plain, "_id": key_id(n), "user_id": user(n), "digest": n.to_bytes(32, "big")} for n in range(USERS)]
    async with Database(api.settings) as database:
        await database.prepare()
        await database.api_keys.insert_many(keys)
    return Both(api, caller)


PER_USER = {
    "group": {"keys": [{"key": "user_id", "name": "user_id"}], "fields": [{"operator": "count", "name": "count"}]}
}
ROWS = [{"user_id": user(n), "count": 1} for n in range(USERS)]
FIRST_1000 = {"filter": [{"key": "user_id", "value": user(1_000), "operator": "lt"}]}
FIRST_1001 = {"filter": [{"key": "user_id", "value": user(1_000), "operator": "lte"}]}
LARGEST = {"limit": 1_000}

# Statistics, and their results: None where there are too many, which is an error.
STATS: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    ({"aggregate": [PER_USER]}, None),
    ({"aggregate": [PER_USER], "page": {}}, None),
    ({"aggregate": [PER_USER], "page": {"limit": 0}}, None),
    ({"aggregate": [PER_USER], "page": {"start": 1_100}}, None),
    ({"aggregate": [PER_USER, {"sort": {"key": "count"}}]}, None),
    ({"aggregate": [PER_USER, {"limit": 1_001}]}, None),
    ({"aggregate": [PER_USER, {"limit": 1_000}]}, {"results": ROWS[:1_000]}),
    ({"aggregate": [PER_USER, {"skip": 200}]}, {"results": ROWS[200:]}),
    ({"aggregate": [PER_USER, {"skip": 199}]}, None),
    ({"aggregate": [PER_USER], **FIRST_1000}, {"results": ROWS[:1_000]}),
    ({"aggregate": [PER_USER], **FIRST_1001}, None),
    ({"aggregate": [PER_USER], "page": LARGEST}, {"results": ROWS[:1_000], "total_count": USERS}),
    ({"aggregate": [PER_USER], "page": {"start": 1_001, **LARGEST}}, {"results": ROWS[1_000:], "total_count": USERS}),
    ({"aggregate": [PER_USER, {"count": {"name": "users"}}]}, {"results": [{"users": USERS}]}),
    ({"aggregate": [{"project": {"fields": [{"key": "user_id"}]}}]}, None),
    ({"distinct": "user_id"}, None),
    ({"distinct": "user_id", "page": {"start": 5}}, None),
    ({"distinct": "user_id", **FIRST_1000}, {"results": [user(n) for n in range(1_000)]}),
    ({"distinct": "user_id", **FIRST_1001}, None),
    (
        {"distinct": "user_id", "page": {"start": 1_001, **LARGEST}},
        {"results": [user(n) for n in range(1_000, USERS)], "total_count": USERS},
    ),
    ({"distinct": "role"}, {"results": ["SYSTEM"]}),
]


def assert_too_many(error: dict[str, Any], what: str) -> None:
    assert error["code"] == "INVALID_ARGUMENT"
    assert error["message"].startswith(f"query.page: there are more than 1000 {what}: the limit `max"), error
    assert "give start 1 and limit 1000, then start 1001" in error["message"]
    assert error["path"][-2:] == ["query", "page"]


async def test_a_statistic_has_all_its_rows_or_is_an_error_that_says_how_to_page(many: Both) -> None:
    for query, expected in STATS:
        answer = await many.stat(query)
        if expected is None:
            assert_too_many(answer, "rows")
        else:
            assert answer == expected, query


async def test_a_statistic_of_a_domain_that_other_objects_lead_to_is_whole_too(many: Both) -> None:
    text = 'apiKeyStats(query: {aggregate: [{group: {keys: [{key: USER, name: "u"}]}}]%s})'
    text = text.replace("USER", '"user_id"')
    document = 'query { apiKey(input: {domainId: "%s", apiKeyId: "%s"}) { domain { %s } } }'
    answer = await many.api.run(document % (DOMAIN, key_id(1), text % ""), by=many.caller)
    assert answer["data"]["apiKey"]["domain"]["apiKeyStats"] is None
    assert_too_many({**answer["errors"][0]["extensions"], "message": answer["errors"][0]["message"]}, "rows")
    paged = await many.api.data(document % (DOMAIN, key_id(1), text % ", page: {limit: 1000}"), by=many.caller)
    found = paged["apiKey"]["domain"]["apiKeyStats"]
    assert (len(found["results"]), found["total_count"]) == (1_000, USERS)


async def test_a_list_has_all_keys_or_tells_how_many_there_are(many: Both) -> None:
    pages: list[dict[str, int]] = [{}, {"limit": 0}, {"start": 39}, LARGEST]
    for query in ({}, *({"page": page} for page in pages)):
        answer = await many.list(query, ["api_key_id"])
        assert [row["api_key_id"] for row in answer["results"]] == [key_id(n) for n in range(1_000)], query
        assert answer["total_count"] == USERS


@pytest.mark.parametrize(
    ("query", "selection", "expected"),
    [
        ("{}", "results { apiKeyId }", None),
        ("{}", "results { __typename }", None),
        ("{page: {start: 2}}", "results { apiKeyId }", None),
        ("{}", "results { apiKeyId } totalCount @include(if: false)", None),
        ("{}", "results { apiKeyId } totalCount", 1_000),
        ("{page: {limit: 1000}}", "results { apiKeyId }", 1_000),
        ("{page: {start: 1001, limit: 1000}}", "results { apiKeyId }", 200),
        ('{filter: [{key: "user_id", operator: LT, value: "user-1000"}]}', "results { apiKeyId }", 1_000),
        ('{filter: [{key: "user_id", operator: LTE, value: "user-1000"}]}', "results { apiKeyId }", None),
        ("{countOnly: true}", "results { apiKeyId }", 0),
        ("{}", "totalCount", None),
    ],
)
async def test_a_list_whose_count_nobody_reads_is_not_cut(
    many: Both, query: str, selection: str, expected: int | None
) -> None:
    document = f'query {{ apiKeys(input: {{domainId: "{DOMAIN}", query: {query}}}) {{ {selection} }} }}'
    answer = await many.api.run(document, by=many.caller)
    if selection == "totalCount":
        assert answer["data"]["apiKeys"] == {"totalCount": USERS}
    elif expected is None:
        (error,) = answer["errors"]
        assert_too_many({**error["extensions"], "message": error["message"]}, "keys")
        assert "select `totalCount`" in error["message"]
    else:
        assert len(answer["data"]["apiKeys"]["results"]) == expected
