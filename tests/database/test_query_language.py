"""The query language against a real database: a list equals a plain reading of the same keys."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.collection import Collection
from strawberry import UNSET
from strawberry.scalars import JSON

from gql_identity.errors import InvalidArgument
from gql_identity.messages.query import (
    APIKeyCondition,
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
    APIKeySort,
    APIKeyStage,
    APIKeyStatisticsQuery,
)
from tests.database.plain_reading import (
    DOMAIN,
    FILTERS,
    KEYS,
    KINDS,
    PAGES,
    QUICK,
    ROWS,
    SETTINGS,
    SORTS,
    in_sequence,
    listed,
    matching,
    paged,
    told,
)


@QUICK
@given(query=st.builds(APIKeyListQuery, sort=st.none() | SORTS, page=PAGES, **FILTERS))
def test_a_list_equals_a_plain_reading(stored: Collection[Any], query: APIKeyListQuery) -> None:
    keys = [(key.key, key.desc) for key in query.sort.keys or []] if query.sort else [("api_key_id", False)]
    rows = in_sequence(matching(query), [*keys, ("api_key_id", keys[-1][1])])
    assert listed(stored, query) == [row["api_key_id"] for row in paged(rows, query.page)]


@pytest.mark.parametrize("size", [1, 3, 7, 40])
@pytest.mark.parametrize("key", list(KINDS))
def test_the_pages_in_turn_give_each_match_once(stored: Collection[Any], key: str, size: int) -> None:
    sort = APIKeySort(key=key, desc=size == 3)
    found = [
        key_id
        for start in range(1, 41, size)
        for key_id in listed(stored, APIKeyListQuery(sort=sort, page=APIKeyPage(start=start, limit=size)))
    ]
    assert sorted(found) == sorted(str(row["api_key_id"]) for row in ROWS)


# operator, field, value, and which of the forty keys are expected, by number
CASES: list[tuple[str, str, Any, set[int]]] = [
    ("eq", "name", "Alice", {28}),
    ("eq", "name", "", set()),
    ("eq", "user_id", "a*b", {5, 12, 19, 26, 33}),
    ("not", "user_id", "alice", set(range(40)) - {0, 7, 14, 21, 28, 35}),
    ("eq", "name", None, {n for n in range(40) if n % 6 in (1, 2)}),
    ("not", "name", None, {n for n in range(40) if n % 6 not in (1, 2)}),
    ("eq", "last_accessed_at", None, {n for n in range(40) if n % 4 in (1, 2)}),
    ("lt", "last_accessed_at", "2026-11-25T04:36:42.123Z", {n for n in range(40) if n % 4 == 3}),
    ("gte", "lastAccessedAt", "2026-11-25T05:36:42.123+01:00", {n for n in range(40) if n % 4 == 0}),
    ("exists", "name", True, {n for n in range(40) if n % 6 not in (1, 2)}),
    ("exists", "name", False, {n for n in range(40) if n % 6 in (1, 2)}),
    ("contain", "name", "ALICE", {0, 27, 28, 29}),
    ("contain", "name", ".", {4, 29}),
    ("contain", "name", "*", {5}),
    ("contain", "name", "$", {11, 34, 35}),
    ("not_contain", "user_id", "a", {n for n in range(40) if n % 7 == 3}),
    ("not_contain", "name", "", {n for n in range(40) if n % 6 in (1, 2)}),
    ("contain", "name", "жук", {16, 17}),
    ("in", "state", ["ENABLED", "DISABLED"], set(range(40))),
    ("in", "state", ["DISABLED"], {n for n in range(40) if n % 3 == 0}),
    ("in", "name", [], set()),
    ("not_in", "role", ["USER", "SYSTEM"], {n for n in range(40) if n % 4 in (1, 2)}),
    ("not_in", "name", [None], {n for n in range(40) if n % 6 not in (1, 2)}),
    ("contain_in", "api_key_id", ["-00", "-39"], {0, 39}),
    ("not_contain_in", "api_key_id", ["-0", "-1", "-2"], set(range(30, 40))),
    ("regex", "api_key_id", "^API-KEY-0[0-2]", {0, 1, 2}),
    ("regex_in", "api_key_id", ["-3[89]$", "-37$"], {37, 38, 39}),
    ("datetime_gt", "created_at", "2026-11-25", {n for n in range(40) if n % 6 in (0, 1)}),
    ("timediff_gte", "created_at", "now/d", {n for n in range(40) if n % 6 in (0, 1)}),
    ("timediff_lt", "created_at", "now-4w", {n for n in range(40) if n % 6 in (4, 5)}),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "key", "value", "expected"), CASES)
def test_an_operator_finds_what_it_promises(
    stored: Collection[Any], operator: str, key: str, value: Any, expected: set[int]
) -> None:
    condition = APIKeyCondition(key=key, operator=APIKeyOperator(operator), value=value)
    found = {int(key_id[8:10]) for key_id in listed(stored, APIKeyListQuery(filter=[condition]))}
    assert found == expected


# Anything at all.

SIGNS = st.text(alphabet="abA1é(){}[]*+?.|^$\\-,:=!<>PidwsbZx# ", max_size=30)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | SIGNS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("$ne"), inner, max_size=3),
    max_leaves=6,
)


def answered(call: Callable[[], Any]) -> Any:
    """The answer; None where the request was refused."""
    try:
        return call()
    except InvalidArgument:
        return None


@settings(QUICK, max_examples=300)
@given(
    condition=st.builds(
        APIKeyCondition,
        key=st.sampled_from([*KINDS, "scopes", "tags", "makers"]),
        value=ANY_JSON | st.lists(SIGNS, max_size=3),
        operator=st.sampled_from(APIKeyOperator),
    )
)
def test_any_value_is_an_answer_or_a_refusal(stored: Collection[Any], condition: APIKeyCondition) -> None:
    found = answered(lambda: listed(stored, APIKeyListQuery(filter=[condition], keyword=condition.key)))
    assert found is None or {key_id[-1:] for key_id in found}.isdisjoint("~")


@QUICK
@given(pattern=SIGNS)
def test_any_pattern_is_an_answer_or_a_refusal(stored: Collection[Any], pattern: str) -> None:
    for operator, value in ((APIKeyOperator.REGEX, pattern), (APIKeyOperator.CONTAIN, pattern)):
        condition = APIKeyCondition(key="user_id", operator=operator, value=JSON(value))
        answered(lambda condition=condition: listed(stored, APIKeyListQuery(filter=[condition])))  # type: ignore[misc]


@QUICK
@given(name=st.text() | st.just("__proto__"), form=st.text() | SIGNS, value=ANY_JSON)
def test_any_name_format_or_number_is_an_answer_or_a_refusal(
    stored: Collection[Any], name: str, form: str, value: Any
) -> None:
    key = APIKeyGroupKey(key="created_at", name="at", date_format=form)
    count = APIKeyGroupField(operator=APIKeyGroupOperator.COUNT, name=name)
    group = APIKeyStage(group=APIKeyGroup(keys=[key], fields=[count]))
    answered(lambda: told(stored, APIKeyStatisticsQuery(aggregate=[group])))
    group = APIKeyStage(group=APIKeyGroup(fields=[replace(count, name="n")]))
    for operator in APIKeyProjectOperator:
        field = APIKeyProjectField(key="n", name="m", operator=operator, value=value)
        project = APIKeyStage(project=APIKeyProject(fields=[field]))
        answered(lambda project=project: told(stored, APIKeyStatisticsQuery(aggregate=[group, project])))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("eq", "$where"),
        ("eq", "$$ROOT"),
        ("in", ["$user_id", "__proto__"]),
        ("contain", "$where"),
        ("regex", r"^(a+)+$"),
        ("regex", "(a*)*b$"),
        ("regex", "(x+x+)+y"),
        ("regex", "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)[^a]$"),
        ("regex", "(a|aa)+$"),
        ("regex", "a{0,160}a{0,160}a{0,160}$"),
        ("contain_in", [f"word{number:04}" for number in range(1000)]),
        ("regex_in", [f"(a+)+{number}$" for number in range(60)]),
    ],
)
def test_an_attempt_is_harmless_and_quick(stored: Collection[Any], operator: str, value: Any) -> None:
    long = {**KEYS[0], "_id": "long" + operator, "domain_id": DOMAIN, "user_id": "a" * 254 + "!"}
    stored.insert_one(long)
    try:
        condition = APIKeyCondition(key="user_id", operator=APIKeyOperator(operator), value=value)
        began = time.monotonic()
        found = listed(stored, APIKeyListQuery(filter=[condition]))
        assert time.monotonic() - began < SETTINGS.database_timeout_seconds
        assert not any(key_id.endswith("~") for key_id in found)
    finally:
        stored.delete_one({"_id": long["_id"]})


@pytest.mark.parametrize("pattern", [r".{41}a", r"(?:(?:[^a]{4}){2}){4}", r"(?:a{30}){15}", r"[Ā-￿]{40}"])
def test_a_pattern_of_the_most_work_is_one_of_the_database(stored: Collection[Any], pattern: str) -> None:
    condition = APIKeyCondition(key="user_id", operator=APIKeyOperator.REGEX, value=JSON(pattern))
    assert listed(stored, APIKeyListQuery(filter=[condition])) == []


def test_a_value_that_is_absent_is_refused(stored: Collection[Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"query.filter\[0\]: `value` is missing"):
        listed(stored, APIKeyListQuery(filter=[APIKeyCondition(key="name", operator=APIKeyOperator.EQ, value=UNSET)]))
