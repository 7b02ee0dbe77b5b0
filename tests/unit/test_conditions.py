"""What a request becomes, and what is refused, without a database."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strawberry import ID, UNSET

from gql_identity.errors import InvalidArgument
from gql_identity.messages.query import (
    APIKeyCondition,
    APIKeyCount,
    APIKeyGroup,
    APIKeyGroupField,
    APIKeyGroupKey,
    APIKeyGroupOperator,
    APIKeyListQuery,
    APIKeyOperator,
    APIKeyPage,
    APIKeyProject,
    APIKeyProjectField,
    APIKeyProjectOperator,
    APIKeyPushField,
    APIKeySort,
    APIKeySortKey,
    APIKeyStage,
    APIKeyStatisticsQuery,
    APIKeyUnwind,
)
from gql_identity.messages.requests import APIKeyQuery, APIKeyStatQuery
from gql_identity.messages.values import APIKeyState
from gql_identity.queries.fields import FIELDS, READABLE
from gql_identity.queries.lists import list_plan, wanted_fields
from gql_identity.queries.statistics import StatPlan, stat_answer, stat_plan
from gql_identity.settings import Settings

NOW = datetime(2026, 11, 25, 4, 36, 42, 123456, UTC)  # a Wednesday
SETTINGS = Settings()
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def condition(key: str, operator: str, value: Any) -> APIKeyCondition:
    return APIKeyCondition(key=key, operator=APIKeyOperator(operator), value=value)


def list_query(settings: Settings = SETTINGS, **parts: Any) -> Any:
    return list_plan(APIKeyQuery(domain_id=ID("d"), query=APIKeyListQuery(**parts)), settings, NOW)


def stat_query(*stages: Any, settings: Settings = SETTINGS, **parts: Any) -> StatPlan:
    names = {APIKeyGroup: "group", APIKeySort: "sort", APIKeyProject: "project", APIKeyUnwind: "unwind"}
    names[APIKeyCount] = "count"
    aggregate = [
        stage if isinstance(stage, APIKeyStage) else APIKeyStage(**{names[type(stage)]: stage}) for stage in stages
    ]
    query = APIKeyStatisticsQuery(aggregate=aggregate or None, **parts)
    return stat_plan(APIKeyStatQuery(domain_id=ID("d"), query=query), settings, NOW)


def group_key(key: str, name: str | None = None, date_format: str | None = None) -> APIKeyGroupKey:
    return APIKeyGroupKey(key=key, name=name, date_format=date_format)


def field(operator: str, name: str | None, key: str | None = None, **parts: Any) -> APIKeyGroupField:
    return APIKeyGroupField(operator=APIKeyGroupOperator(operator), name=name, key=key, **parts)


def projected(key: str, operator: str | None = None, name: str | None = None, value: Any = UNSET) -> APIKeyProjectField:
    return APIKeyProjectField(
        key=key, name=name, value=value, operator=APIKeyProjectOperator(operator) if operator else None
    )


def refused(call: Any, *parts: Any, **named: Any) -> str:
    with pytest.raises(InvalidArgument) as caught:
        call(*parts, **named)
    assert len(caught.value.message) < 500
    caught.value.message.encode()
    return caught.value.message


WRITTEN_OUT = r"\\w[0-9A-Za-z_]{3}[^0-9][0-9A-Za-z_\\-]"


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
        ("user_id.$", "eq", "a", '.key: "user_id.$" is not a field here; use one of api_key_id, state, '),
        ("", "eq", "a", ".key: "),
        ("user_id", "eq", 1, ".value: text is compared here, not a number"),
        ("user_id", "eq", True, ".value: "),
        ("user_id", "eq", {"$ne": None}, ".value: text is compared here, not an object"),
        ("user_id", "eq", ["a"], ".value: text is compared here, not a list"),
        ("user_id", "gt", None, ".value: text is compared here, not null"),
        ("user_id", "eq", "a\0b", ".value: "),
        ("user_id", "eq", "a\ud800", ".value: "),
        ("user_id", "exists", "true", ".value: exists takes true or false, not text"),
        ("user_id", "exists", None, ".value: "),
        ("state", "eq", "enabled", '.value: "enabled" is not one of ENABLED, DISABLED'),
        ("role", "in", ["USER", "ROOT"], '.value[1]: "ROOT" is not one of USER, '),
        ("user_id", "in", "a", ".value: this operator takes a list, not text"),
        ("user_id", "not_in", None, ".value: "),
        ("user_id", "in", [["a"]], ".value[0]: "),
        ("user_id", "in", ["a"] * 1001, ".value: at most 1000 values in one list; there are 1001"),
        ("name", "contain", ["a"], ".value: text is needed here, not a list"),
        ("name", "contain", None, ".value: "),
        ("name", "contain", "a" * 257, ".value: at most 256 characters"),
        ("name", "contain", "😀" * 256, ".value: at most 1000 bytes"),
        ("name", "contain_in", "a", ".value: "),
        ("name", "contain_in", ["a", 1], ".value[1]: "),
        ("created_at", "contain", "2026", ": contain looks into text, and created_at is an instant"),
        ("created_at", "regex", "2026", ": regex looks into text"),
        ("name", "match", {"a": 1}, ": match is for arrays of objects, and name is text"),
        ("name", "regex", "(", '.value: "(" is not a pattern: '),
        ("name", "regex", "a" * 1_000_000, ".value: at most 256 characters"),
        ("name", "regex", "a{99999999999}", ".value: "),
        ("name", "regex", "a\0", ".value: "),
        ("name", "regex", "[[:alpha:]]", ".value: "),
        ("name", "regex", r"(a)\1", r'.value: "\\1" is not read in a pattern'),
        ("name", "regex", "(?=(a+)+$)b", '.value: "(?=" is not read in a pattern'),
        ("name", "regex", "a++", ".value: "),
        ("name", "regex", "(?>a)", ".value: "),
        ("name", "regex", r"a\Z", ".value: "),
        ("name", "regex", r"[\W]", ".value: "),
        ("name", "regex", r"\w" * 128, ".value: at most 1000 bytes in a pattern"),
        ("name", "regex", "(?x)a # b", ".value: "),
        ("name", "regex_in", ["a", "*"], ".value[1]: "),
        ("created_at", "eq", "yesterday", '.value: "yesterday" is not ISO 8601'),
        ("created_at", "eq", 1, ".value: an instant is compared here, not a number"),
        ("created_at", "eq", "0001-01-01T00:00:00+01:00", ".value: "),
        ("created_at", "eq", "12026-01-01", ".value: "),
        ("created_at", "datetime_lt", None, ".value: "),
        ("name", "datetime_lt", "2026-11-23", ": datetime_lt compares instants, and name is text"),
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


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"key": "name", "k": "name", "value": 1, "operator": APIKeyOperator.EQ}, ": give key or k, not both"),
        ({"key": "name", "value": None, "v": None, "operator": APIKeyOperator.EQ}, ": give value or v, not both"),
        ({"key": "name", "v": "a", "o": APIKeyOperator.EQ, "operator": APIKeyOperator.EQ}, ": give operator or o"),
        ({"value": "a", "operator": APIKeyOperator.EQ}, ": key is missing"),
        ({"key": "name", "operator": APIKeyOperator.EQ}, ": value is missing"),
        ({"key": "name", "value": "a"}, ": operator is missing"),
        ({"k": "nope", "v": "a", "o": APIKeyOperator.EQ}, ".k: "),
        ({"k": "name", "v": 1, "o": APIKeyOperator.EQ}, ".v: "),
    ],
)
def test_one_of_two_aliases_is_given(parts: dict[str, Any], expected: str) -> None:
    assert refused(list_query, filter=[APIKeyCondition(**parts)]).startswith("query.filter[0]" + expected)


def test_what_is_echoed_is_short_and_can_be_sent() -> None:
    message = refused(list_query, filter=[condition("\ud800" + "x" * 100_000, "eq", 1)])
    assert "x" * 39 in message
    assert "x" * 40 not in message


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
    assert plan == ({}, {"_id": 1}, 0, 1000, None, False)
    assert list_query(filter=[], filter_or=[], keyword="  ", only=[]) == plan


def test_ids_of_the_message_are_text() -> None:
    wrong = ID("a\udfff")
    for name, request in (
        ("api_key_id", APIKeyQuery(domain_id=ID("d"), api_key_id=wrong)),
        ("user_id", APIKeyQuery(domain_id=ID("d"), user_id=wrong)),
    ):
        assert refused(list_plan, request, SETTINGS, NOW).startswith(f"{name}: ")


def test_conditions_are_counted_together() -> None:
    one = condition("name", "eq", "n")
    assert list_query(filter=[one] * 50, filter_or=[one] * 40, keyword="a " * 10)
    message = refused(list_query, filter=[one] * 50, filter_or=[one] * 41, keyword="a " * 10)
    assert message.startswith("query: at most 100 conditions in one query")
    counted = APIKeyGroup(fields=[field("count", "n", conditions=[one] * 51)])
    assert refused(stat_query, counted, filter=[one] * 50).startswith("query: at most 100 conditions")


def test_many_texts_are_few_patterns() -> None:
    words = [f"word{number:04}" for number in range(1000)]
    plan = list_query(filter=[condition("name", "contain_in", words)])
    patterns = [part["name"]["$regex"] for part in plan.filter["$or"]]
    assert "|".join(patterns).split("|") == words
    assert max(map(len, patterns)) <= 1000


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (APIKeySort(key="createdAt", desc=True), [("created_at", -1), ("_id", -1)]),
        (APIKeySort(key="state"), [("state", 1), ("_id", 1)]),
        (APIKeySort(key="api_key_id", desc=True), [("_id", -1)]),
        (
            APIKeySort(keys=[APIKeySortKey(key="state", desc=True), APIKeySortKey(key="name")]),
            [("state", -1), ("name", 1), ("_id", 1)],
        ),
        (
            APIKeySort(keys=[APIKeySortKey(key="apiKeyId"), APIKeySortKey(key="name", desc=True)]),
            [("_id", 1), ("name", -1)],
        ),
    ],
)
def test_ids_break_ties_in_the_last_direction(sort: APIKeySort, expected: list[tuple[str, int]]) -> None:
    assert list(list_query(sort=sort).sort.items()) == expected


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (APIKeySort(key="digest"), "query.sort.key: "),
        (APIKeySort(keys=[APIKeySortKey(key="state"), APIKeySortKey(key="hint")]), "query.sort.keys[1].key: "),
        (APIKeySort(keys=[APIKeySortKey(key="state"), APIKeySortKey(key="state")]), "query.sort.keys[1].key: "),
        (APIKeySort(key="state", keys=[APIKeySortKey(key="state")]), "query.sort: "),
        (APIKeySort(), "query.sort: "),
        (APIKeySort(keys=[]), "query.sort: "),
        (APIKeySort(keys=[APIKeySortKey(key="state")] * 33), "query.sort: at most 32"),
    ],
)
def test_a_wrong_sort_is_refused(sort: APIKeySort, expected: str) -> None:
    assert refused(list_query, sort=sort).startswith(expected)


@pytest.mark.parametrize(
    ("page", "skip", "limit"),
    [
        (APIKeyPage(), 0, 1000),
        (APIKeyPage(start=0, limit=0), 0, 1000),
        (APIKeyPage(start=-5, limit=1), 0, 1),
        (APIKeyPage(start=1, limit=1000), 0, 1000),
        (APIKeyPage(start=11, limit=10), 10, 10),
        (APIKeyPage(start=11), 10, 1000),
        (APIKeyPage(start=2**31 - 1), 2**31 - 2, 1000),
    ],
)
def test_a_page_counts_from_one(page: APIKeyPage, skip: int, limit: int) -> None:
    plan = list_query(page=page)
    assert (plan.skip, plan.limit) == (skip, limit)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (APIKeyPage(limit=1001), "query.page.limit: it is at most 1000"),
        (APIKeyPage(limit=-1), "query.page.limit: "),
        (APIKeyPage(start=2**31), "query.page.start: "),
    ],
)
def test_a_page_outside_the_bounds_is_refused(page: APIKeyPage, expected: str) -> None:
    assert refused(list_query, page=page).startswith(expected)
    assert refused(stat_query, distinct="name", page=page).startswith(expected)


def test_only_names_the_fields_wanted() -> None:
    assert wanted_fields(None, "only") is None
    assert wanted_fields(["apiKeyId", "created_at", "name", "name"], "only") == frozenset(
        {"api_key_id", "created_at", "name"}
    )
    assert wanted_fields(list(READABLE), "only") == frozenset(READABLE)
    assert list_query(minimal=True).wanted == {"api_key_id", "state", "user_id"}
    assert list_query(only=["hint"]).wanted == {"hint"}
    for name in ("digest", "disabledRank", "_id", "", "$where"):
        assert refused(wanted_fields, ["name", name], "query.only").startswith("query.only[1]: ")


def test_what_a_list_cannot_do_is_refused() -> None:
    assert refused(list_query, unwind={"path": "x"}).startswith("query.unwind: ")
    assert refused(list_query, minimal=True, only=["name"]).startswith("query.minimal: ")
    assert list_query(count_only=True).count_only


COUNT = APIKeyGroup(keys=[group_key("user_id", "user")], fields=[field("count", "n")])
PUSH = APIKeyGroup(keys=[group_key("user_id", "user")], fields=[field("push", "ids", "api_key_id")])


def with_field(*parts: Any, **named: Any) -> APIKeyGroup:
    return APIKeyGroup(fields=[field(*parts, **named)])


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([APIKeyGroup()], "[0].group: give keys, fields or both"),
        ([APIKeyStage()], "[0]: give exactly one of group, sort, project, unwind, count, limit, skip"),
        ([APIKeyStage(limit=1, skip=1)], "[0]: give exactly one"),
        ([APIKeyStage(limit=0)], "[0].limit: "),
        ([APIKeyStage(limit=2**31)], "[0].limit: "),
        ([APIKeyStage(skip=-1)], "[0].skip: "),
        ([with_field("sum", "n")], "[0].group.fields[0]: key is missing"),
        ([with_field("sum", None, "name")], "[0].group.fields[0]: name is missing"),
        ([with_field("count", "a.b")], '[0].group.fields[0].name: "a.b" is not 1 to 64'),
        ([with_field("count", "$n")], "[0].group.fields[0].name: "),
        ([with_field("count", "1n")], "[0].group.fields[0].name: "),
        ([with_field("count", "n" * 65)], "[0].group.fields[0].name: "),
        ([with_field("count", "n\n")], "[0].group.fields[0].name: "),
        ([with_field("count", "")], "[0].group.fields[0].name: "),
        ([with_field("sum", "n", "digest")], "[0].group.fields[0].key: "),
        ([with_field("sum", "n", "$user_id")], "[0].group.fields[0].key: "),
        (
            [with_field("max", "n", "name", conditions=[condition("name", "eq", "")])],
            "[0].group.fields[0].conditions: ",
        ),
        (
            [with_field("count", "n", conditions=[condition("name", "in", [])])],
            "[0].group.fields[0].conditions[0].operator: ",
        ),
        (
            [with_field("count", "n", conditions=[condition("name", "gt", None)])],
            "[0].group.fields[0].conditions[0].value: ",
        ),
        ([with_field("count", "n", conditions=[condition("x", "eq", "")])], "[0].group.fields[0].conditions[0].key: "),
        ([with_field("sum", "n", "name", fields=[APIKeyPushField(key="name")])], "[0].group.fields[0].fields: "),
        ([with_field("push", "n", "name", fields=[APIKeyPushField(key="name")])], "[0].group.fields[0]: push takes"),
        ([with_field("push", "n", fields=[APIKeyPushField(key="name")] * 2)], "[0].group.fields[0].fields[1].name: "),
        ([with_field("merge_objects", "n", "name")], "[0].group.fields[0]: merge_objects merges objects"),
        ([APIKeyGroup(keys=[group_key("name", "a"), group_key("state", "a")])], "[0].group.keys[1].name: "),
        ([APIKeyGroup(keys=[group_key("name", "a")], fields=[field("count", "a")])], "[0].group.fields[0].name: "),
        ([APIKeyGroup(keys=[group_key("name", "y", "%Y")])], "[0].group.keys[0].date_format: it is for instants"),
        ([APIKeyGroup(keys=[group_key("created_at", "y", "%Y%Q")])], "[0].group.keys[0].date_format: "),
        ([APIKeyGroup(keys=[group_key("created_at", "y", "$user_id")])], "[0].group.keys[0].date_format: "),
        ([APIKeyGroup(keys=[group_key("created_at", "y", "%")])], "[0].group.keys[0].date_format: "),
        ([APIKeyGroup(keys=[group_key("created_at", "y", "")])], "[0].group.keys[0].date_format: "),
        ([APIKeyGroup(keys=[group_key("created_at", "y", "\0")])], "[0].group.keys[0].date_format: "),
        ([APIKeyGroup(keys=[group_key("created_at", "y", "a" * 257)])], "[0].group.keys[0].date_format: at most 256"),
        ([APIKeyGroup(keys=[group_key("name", f"n{n}") for n in range(101)])], "[0].group: at most 100"),
        ([COUNT, APIKeySort(key="user_id")], "[1].sort.key: "),
        ([COUNT, COUNT], "[1].group.keys[0].key: "),
        ([PUSH, APIKeySort(key="ids")], '[1].sort.key: "ids" is a list, which has no order'),
        ([APIKeyUnwind(path="user_id")], "[0].unwind.path: a list is needed"),
        ([PUSH, APIKeyUnwind(path="$ids")], "[1].unwind.path: "),
        ([APIKeyCount(name="a b")], "[0].count.name: "),
        ([APIKeyCount(name="n"), APIKeySort(key="name")], "[1].sort.key: "),
        ([APIKeyProject()], "[0].project: give fields, exclude_keys or both"),
        ([APIKeyProject(fields=[projected("digest")])], "[0].project.fields[0].key: "),
        ([APIKeyProject(fields=[projected("name", "size")])], "[0].project.fields[0]: size is for"),
        ([APIKeyProject(fields=[projected("name", "add", value=1)])], "[0].project.fields[0]: a number is needed"),
        ([APIKeyProject(fields=[projected("name", value=1)])], "[0].project.fields[0]: only add, "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add")])], "[1].project.fields[0]: value is missing"),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value=None)])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value="user")])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value="$n")])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value=2**63)])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value=math.nan)])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value=math.inf)])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value={"$x": 1})])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value=True)])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", name="_")] * 2)], "[1].project.fields[1].name: "),
        (
            [PUSH, APIKeyProject(fields=[projected("ids", "array_to_object", "o")])],
            "[1].project.fields[0]: array_to_object",
        ),
        ([PUSH, APIKeyProject(fields=[projected("ids", "object_to_array", "o")])], "[1].project.fields[0]: object_to"),
        (
            [PUSH, APIKeyProject(fields=[projected("ids"), projected("ids", name="b")])],
            "[1].project.fields[1]: a stage keeps",
        ),
        ([APIKeyGroup(keys=[group_key("name")]), APIKeyProject(exclude_keys=True)], "[1].project: nothing is left"),
        (
            [APIKeyGroup(fields=[field("push", "a", "name"), field("push", "b", "name")]), APIKeyUnwind(path="a")],
            "[1].unwind: ",
        ),
        (
            [COUNT, with_field("count", "n", conditions=[condition("n", "eq", "1")])],
            "[1].group.fields[0].conditions[0].value: ",
        ),
        (
            [PUSH, with_field("count", "n", conditions=[condition("ids", "eq", "1")])],
            "[1].group.fields[0].conditions[0].key: ",
        ),
    ],
)
def test_a_wrong_stage_is_refused_by_its_path(stages: list[Any], expected: str) -> None:
    assert refused(stat_query, *stages).startswith(f"query.aggregate{expected}")


def test_a_statistic_is_distinct_values_or_stages() -> None:
    assert refused(stat_query).startswith("query: give either distinct")
    assert refused(stat_query, COUNT, distinct="name").startswith("query: give either distinct")
    assert refused(stat_query, distinct="digest").startswith("query.distinct: ")
    assert refused(stat_query, *[APIKeyStage(skip=0)] * 21).startswith("query.aggregate: at most 20 stages")


def test_a_row_cannot_outgrow_memory_by_doubling() -> None:
    """Twice the same list in one object, at each stage, would be 2^19 times the list after the 20th."""
    doubling = APIKeyGroup(
        fields=[field("push", "p", fields=[APIKeyPushField(key="p", name="a"), APIKeyPushField(key="p", name="b")])]
    )
    start = APIKeyGroup(fields=[field("push", "p", "name")])
    assert "a stage keeps a list once" in refused(stat_query, start, doubling)


def test_an_answer_is_plain_json() -> None:
    instant = datetime(2026, 11, 23, 4, 36, 42, 123000, UTC)
    plan = stat_query(APIKeyStage(limit=3))
    assert plan.names is not None
    row = dict.fromkeys(plan.names.values()) | {
        plan.names["created_at"]: instant,
        plan.names["last_accessed_at"]: instant.replace(tzinfo=None),
        plan.names["name"]: [{"at": [instant, math.nan, math.inf, 1.5, True, 2]}],
    }
    (answered,) = stat_answer(plan, [row])["results"]
    assert list(answered) == list(FIELDS)
    assert answered["created_at"] == answered["last_accessed_at"] == "2026-11-23T04:36:42.123Z"
    assert answered["name"] == [{"at": ["2026-11-23T04:36:42.123Z", None, None, 1.5, True, 2]}]
    assert stat_answer(stat_query(distinct="name"), [{"_id": "a"}]) == {"results": ["a"]}
    paged = stat_query(distinct="name", page=APIKeyPage(limit=1))
    assert stat_answer(paged, [{"rows": [], "total": []}]) == {"results": [], "total_count": 0}
    assert stat_answer(paged, [{"rows": [{"_id": "a"}], "total": [{"total": 7}]}]) == {
        "results": ["a"],
        "total_count": 7,
    }


def test_no_statistic_answers_more_than_a_page() -> None:
    small = Settings(max_page_size=10)
    assert stat_query(COUNT, settings=small).pipeline[-1] == {"$limit": 10}
    assert stat_query(COUNT, settings=small, page=APIKeyPage(start=3)).pipeline[-2:] == [{"$skip": 2}, {"$limit": 10}]


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["now-1d", "2026-11-23", "USER"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ANY_CONDITION = st.builds(
    APIKeyCondition,
    key=st.sampled_from([*FIELDS, "createdAt", "digest"]) | st.text(max_size=20),
    value=ANY_JSON,
    operator=st.sampled_from(APIKeyOperator),
)
OPERATORS = {"$and", "$or", "$nor", "$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$in", "$nin", "$regex", "$options"}
PATHS = {column.path for column in FIELDS.values()}


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def plan_or_refusal(call: Any, *parts: Any, **named: Any) -> Any:
    """The plan; None for a refusal, which is one of ours and can be sent."""
    try:
        return call(*parts, **named)
    except InvalidArgument as error:
        message = error.message
    assert message.startswith("query")
    assert json.dumps(message, ensure_ascii=False).encode()
    return None


@given(conditions=st.lists(ANY_CONDITION, max_size=3), some=st.lists(ANY_CONDITION, max_size=3), keyword=st.text())
def test_any_condition_is_a_plan_or_a_refusal(conditions: list[Any], some: list[Any], keyword: str) -> None:
    plan = plan_or_refusal(list_query, filter=conditions, filter_or=some, keyword=keyword)
    assert plan is None or keys_of(plan.filter) <= OPERATORS | PATHS


@given(value=ANY_JSON, name=st.text(), key=st.text() | st.sampled_from([*FIELDS]), date_format=st.text() | st.none())
def test_any_stage_is_a_plan_or_a_refusal(value: Any, name: str, key: str, date_format: str | None) -> None:
    for stages in (
        [APIKeyGroup(keys=[group_key(key, name, date_format)])],
        [APIKeyGroup(fields=[field("sum", name, key, conditions=[condition(key, "eq", value)])])],
        [COUNT, APIKeyProject(fields=[projected("n", "divide", name, value)])],
        [APIKeySort(key=key), APIKeyCount(name=name)],
        [PUSH, APIKeyUnwind(path=key)],
    ):
        plan = plan_or_refusal(stat_query, *stages)
        assert plan is None or name not in keys_of(plan.pipeline) or name in {"c0", "c1", *FIELDS}
