"""Conditions become filters, or are refused by their path; without a database."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strawberry import ID

from gql_identity.messages.query import (
    APIKeyCondition,
    APIKeyGroup,
    APIKeyListQuery,
    APIKeyOperator,
)
from gql_identity.messages.requests import APIKeyQuery
from gql_identity.messages.values import APIKeyState, instant_text, read_instant
from gql_identity.queries.fields import FIELDS
from gql_identity.queries.lists import list_plan
from tests.unit.reading_queries import (
    ANY_CONDITION,
    NOW,
    SETTINGS,
    condition,
    field,
    keys_of,
    list_query,
    plan_or_refusal,
    refused,
    stat_query,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
WRITTEN_OUT = r"\\w[0-9A-Za-z_]{3}[^0-9][0-9A-Za-z_\\-]"
OPERATORS = {"$and", "$or", "$nor", "$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$in", "$nin", "$regex", "$options"}
PATHS = {column.path for column in FIELDS.values()}


@pytest.mark.parametrize(
    ("key", "operator", "value", "expected"),
    [
        ("api_key_id", "eq", "a", {"_id": {"$eq": "a"}}),
        ("apiKeyId", "not", "a", {"_id": {"$ne": "a"}}),
        ("name", "eq", None, {"name": {"$eq": None}}),
        ("name", "lt", "$where", {"name": {"$lt": "$where"}}),
        ("state", "gte", "ENABLED", {"state": {"$gte": "ENABLED"}}),
        ("name", "exists", True, {"name": {"$ne": None}}),
        ("name", "exists", False, {"name": {"$eq": None}}),
        ("user_id", "in", ["a", None], {"user_id": {"$in": ["a", None]}}),
        ("role", "not_in", ["USER"], {"role": {"$nin": ["USER"]}}),
        ("name", "contain", "a.b*", {"name": {"$regex": r"a\.b\*", "$options": "i"}}),
        ("name", "not_contain", "(", {"$nor": [{"name": {"$regex": r"\(", "$options": "i"}}]}),
        ("name", "contain_in", ["a|", "b"], {"name": {"$regex": r"a\||b", "$options": "i"}}),
        ("name", "not_contain_in", ["a"], {"$nor": [{"name": {"$regex": "a", "$options": "i"}}]}),
        ("name", "contain_in", [], {"name": {"$in": []}}),
        ("name", "not_contain_in", [], {"$nor": [{"name": {"$in": []}}]}),
        ("name", "regex", "^a+$", {"name": {"$regex": "^a+$", "$options": "i"}}),
        ("name", "regex", r"^(?:a|[^\]b])*?\.\x41(?i:a)$", None),
        ("name", "regex", r"\\w\w{3}\D[\w\\-]", {"name": {"$regex": WRITTEN_OUT, "$options": "i"}}),
        ("name", "regex_in", ["a", "b"], {"$or": [{"name": {"$regex": p, "$options": "i"}} for p in "ab"]}),
        ("created_at", "eq", "2026-11-23T12:00:00Z", {"created_at": {"$eq": NOON}}),
        ("createdAt", "lt", "2026-11-23T13:00:00+01:00", {"created_at": {"$lt": NOON}}),
        ("created_at", "in", ["2026-11-23T12:00", None], {"created_at": {"$in": [NOON, None]}}),
        ("created_at", "datetime_gte", "2026-11-23T12:00:00.000999Z", {"created_at": {"$gte": NOON}}),
        ("created_at", "lt", "2026-11-23t12:00:00z", {"created_at": {"$lt": NOON}}),
        ("created_at", "lt", "20261123T120000Z", {"created_at": {"$lt": NOON}}),
        ("created_at", "lt", "2026-11-23 12:00:00,5+0000", {"created_at": {"$lt": NOON.replace(microsecond=500_000)}}),
        ("created_at", "datetime_lt", "2026-11-23", {"created_at": {"$lt": NOON.replace(hour=0)}}),
        ("last_accessed_at", "timediff_lte", "now", {"last_accessed_at": {"$lte": NOW.replace(microsecond=123000)}}),
    ],
)
def test_a_condition_becomes_a_filter(key: str, operator: str, value: Any, expected: Any) -> None:
    plan = list_query(filter=[condition(key, operator, value)])
    assert plan.filter == (expected or {FIELDS[key].path: {"$regex": value, "$options": "i"}})
    alias = APIKeyCondition(k=key, o=APIKeyOperator(operator), v=value)
    assert list_query(filter=[alias]).filter == plan.filter


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        # What RFC 3339 has is read as the scalar DateTime reads it.
        *(
            (text, instant_text(read_instant(text)))
            for text in (
                "2026-11-23T04:36:42.000Z",
                "2026-11-23t04:36:42.1239999999z",
                "1990-12-31T15:59:60-08:00",
                "1937-01-01T12:00:27.87+00:20",
                "2026-11-23T04:36:42-00:00",
                "2024-02-29T23:59:59+23:59",
            )
        ),
        # What the query language promises besides.
        ("2026-11-23", "2026-11-23T00:00:00.000Z"),
        ("20261123", "2026-11-23T00:00:00.000Z"),
        ("20261123T043642Z", "2026-11-23T04:36:42.000Z"),
        ("2026-11-23T04:36", "2026-11-23T04:36:00.000Z"),
        ("2026-11-23 04:36:42,5+0100", "2026-11-23T03:36:42.500Z"),
    ],
)
@pytest.mark.parametrize("operator", ["eq", "datetime_gte"])
def test_an_instant_of_rfc_3339_or_iso_8601_is_read(operator: str, text: str, instant: str) -> None:
    compared = "$eq" if operator == "eq" else "$gte"
    plan = list_query(filter=[condition("created_at", operator, text)])
    assert plan.filter == {"created_at": {compared: datetime.fromisoformat(instant)}}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("now", "2026-11-25T04:36:42.123"),
        ("now-7d", "2026-11-18T04:36:42.123"),
        ("now+30s", "2026-11-25T04:37:12.123"),
        ("now-5m", "2026-11-25T04:31:42.123"),
        ("now/d", "2026-11-25T00:00"),
        ("now/d+1h", "2026-11-25T01:00"),
        ("now/w", "2026-11-23T00:00"),
        ("now/m", "2026-11-01T00:00"),
        ("now/m-1w", "2026-10-25T00:00"),
        ("now/m - 1 w", "2026-10-25T00:00"),
    ],
)
def test_a_time_is_told_from_now(expression: str, expected: str) -> None:
    plan = list_query(filter=[condition("created_at", "timediff_gt", expression)])
    assert plan.filter == {"created_at": {"$gt": datetime.fromisoformat(expected).replace(tzinfo=UTC)}}


@pytest.mark.parametrize(
    ("key", "operator", "value", "expected"),
    [
        ("digest", "eq", "a", ".key: "),
        ("disabled_rank", "eq", 1, ".key: "),
        ("hint", "eq", "a", ".key: "),
        ("api_key", "eq", "a", ".key: "),
        ("_id", "eq", "a", ".key: "),
        ("__proto__", "eq", "a", ".key: "),
        ("user_id.$", "eq", "a", '.key: "user_id.$" is not a field here; use one of `api_key_id`, `state`, '),
        ("", "eq", "a", ".key: "),
        ("user_id", "eq", 1, ".value: give text, not a number"),
        ("user_id", "eq", True, ".value: "),
        ("user_id", "eq", {"$ne": None}, ".value: give text, not an object"),
        ("user_id", "eq", ["a"], ".value: give text, not a list"),
        ("user_id", "gt", None, ".value: give text, not null"),
        ("user_id", "eq", "a\0b", ".value: "),
        ("user_id", "eq", "a\ud800", ".value: "),
        ("user_id", "exists", "true", ".value: give true or false, which exists takes, not text"),
        ("user_id", "exists", None, ".value: "),
        ("state", "eq", "enabled", '.value: "enabled" is not one of ENABLED, DISABLED'),
        ("role", "in", ["USER", "ROOT"], '.value[1]: "ROOT" is not one of USER, '),
        ("user_id", "in", "a", ".value: give a list, which this operator takes, not text"),
        ("user_id", "not_in", None, ".value: "),
        ("user_id", "in", [["a"]], ".value[0]: "),
        (
            "user_id",
            "in",
            ["a"] * 1001,
            ".value: give at most 1000 values in one list, not 1001: the limit `max_list_values`",
        ),
        ("name", "contain", ["a"], ".value: give text, not a list"),
        ("name", "contain", None, ".value: "),
        ("name", "contain", "a" * 257, ".value: give at most 256 characters"),
        ("name", "contain", "😀" * 256, ".value: give at most 1000 bytes"),
        ("name", "contain_in", "a", ".value: "),
        ("name", "contain_in", ["a", 1], ".value[1]: "),
        ("created_at", "contain", "2026", ": contain searches text, and `created_at` is an instant"),
        ("created_at", "regex", "2026", ": regex searches text"),
        ("name", "match", {"a": 1}, ": match is for arrays of objects, and `name` is text"),
        ("tags", "eq", "a", ": `tags` does not support this operator; use match or exists"),
        ("tags", "match", {}, ".value: give an object of `name`, `value` or both"),
        ("tags", "match", {"name": "a", "$where": "b"}, ".value: give an object of `name`, `value` or both"),
        ("tags", "match", {"name": {"$ne": None}}, ".value.name: give text, not an object"),
        ("tags", "exists", None, ".value: give true or false"),
        ("scopes", "contain", "a", ": `scopes` does not support this operator; use eq, not, in, not_in or exists"),
        ("scopes", "eq", None, ".value: give text, not null"),
        ("name", "regex", "(", '.value: "(" is not a pattern: '),
        ("name", "regex", "a" * 1_000_000, ".value: give at most 256 characters"),
        ("name", "regex", "a{99999999999}", ".value: "),
        ("name", "regex", "a\0", ".value: "),
        ("name", "regex", "[[:alpha:]]", ".value: "),
        ("name", "regex", r"(a)\1", r'.value: "\\1" is not allowed in a pattern'),
        ("name", "regex", "[^]", '.value: "[" is not allowed in a pattern'),
        ("name", "regex", "(?=(a+)+$)b", '.value: "(?=" is not allowed in a pattern'),
        ("name", "regex", "a++", ".value: "),
        ("name", "regex", "(?>a)", ".value: "),
        ("name", "regex", r"a\Z", ".value: "),
        ("name", "regex", r"[\W]", ".value: "),
        ("name", "regex", r"\w" * 128, ".value: give at most 1000 bytes in a pattern"),
        ("name", "regex", "(?x)a # b", ".value: "),
        ("name", "regex_in", ["a", "*"], ".value[1]: "),
        ("created_at", "eq", "2026-W48-3", '.value: "2026-W48-3" is not ISO 8601'),
        ("created_at", "eq", "2026-327", '.value: "2026-327" is not ISO 8601'),
        ("created_at", "eq", "2026-11-23T24:00:00Z", '.value: "2026-11-23T24:00:00Z" is not ISO 8601'),
        ("created_at", "eq", "2026-11-23T04:36:60Z", '.value: "2026-11-23T04:36:60Z" is not ISO 8601'),
        ("created_at", "datetime_lt", "2026W483T12:00Z", '.value: "2026W483T12:00Z" is not ISO 8601'),
        ("created_at", "datetime_lt", "2026-11-23x12:00Z", '.value: "2026-11-23x12:00Z" is not ISO 8601'),
        ("created_at", "datetime_lt", "٢٠٢٦-11-23", ".value: "),
        ("created_at", "eq", "yesterday", '.value: "yesterday" is not ISO 8601'),
        ("created_at", "eq", 1, ".value: give an instant, not a number"),
        ("created_at", "eq", "0001-01-01T00:00:00+01:00", ".value: "),
        ("created_at", "eq", "12026-01-01", ".value: "),
        ("created_at", "datetime_lt", None, ".value: "),
        ("name", "datetime_lt", "2026-11-23", ": datetime_lt compares instants, and `name` is text"),
        ("name", "timediff_lt", "now", ": timediff_lt compares instants"),
        ("created_at", "timediff_lt", "now-7y", ".value: "),
        ("created_at", "timediff_lt", "now/h", ".value: "),
        ("created_at", "timediff_lt", "now-1d\n", ".value: "),
        ("created_at", "timediff_lt", "now-999999999999d", ".value: "),
        ("created_at", "timediff_lt", "now-9999w9", ".value: "),
        ("created_at", "timediff_lt", "now+9999999d", ".value: "),
    ],
)
def test_a_wrong_condition_is_refused_by_its_path(key: str, operator: str, value: Any, expected: str) -> None:
    right = condition("user_id", "eq", "u")
    assert refused(list_query, filter=[right, condition(key, operator, value)]).startswith(f"query.filter[1]{expected}")
    assert refused(list_query, filter_or=[condition(key, operator, value)]).startswith(f"query.filter_or[0]{expected}")


def test_conditions_are_joined() -> None:
    request = APIKeyQuery(
        domain_id=ID("d"),
        api_key_id=ID("k"),
        state=APIKeyState.ENABLED,
        user_id=ID("u"),
        query=APIKeyListQuery(
            filter=[condition("name", "eq", "n")], filter_or=[condition("name", "eq", "m")], keyword=" a.b\tc  "
        ),
    )
    found = [{path: {"$regex": r"a\.b|c", "$options": "i"}} for path in ("_id", "user_id")]
    assert list_plan(request, SETTINGS, NOW).filter == {
        "$and": [
            {"_id": "k", "state": "ENABLED", "user_id": "u"},
            {"name": {"$eq": "n"}},
            {"$or": [{"name": {"$eq": "m"}}, *found]},
        ]
    }


def test_no_condition_is_an_empty_filter() -> None:
    plan = list_plan(APIKeyQuery(domain_id=ID("d")), SETTINGS, NOW)
    assert plan == ({}, {"_id": 1}, 0, 1000, False, None, False)
    assert list_query(filter=[], filter_or=[], keyword="  ", only=[]) == plan


def test_conditions_are_counted_together() -> None:
    one = condition("name", "eq", "n")
    assert list_query(filter=[one] * 50, filter_or=[one] * 40, keyword="a " * 10)
    message = refused(list_query, filter=[one] * 50, filter_or=[one] * 41, keyword="a " * 10)
    assert message.startswith("query: give at most 100 conditions in one query")
    counted = APIKeyGroup(fields=[field("count", "n", conditions=[one] * 51)])
    assert refused(stat_query, counted, filter=[one] * 50).startswith("query: give at most 100 conditions")


@given(conditions=st.lists(ANY_CONDITION, max_size=3), some=st.lists(ANY_CONDITION, max_size=3), keyword=st.text())
def test_any_condition_is_a_plan_or_a_refusal(conditions: list[Any], some: list[Any], keyword: str) -> None:
    plan = plan_or_refusal(list_query, filter=conditions, filter_or=some, keyword=keyword)
    assert plan is None or keys_of(plan.filter) <= OPERATORS | PATHS
