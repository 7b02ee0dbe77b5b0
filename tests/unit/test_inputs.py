"""Aliases, pages and what an error repeats of a query."""

from typing import Any

import pytest

from gql_identity.messages.query import (
    APIKeyCondition,
    APIKeyOperator,
    APIKeyPage,
)
from tests.unit.reading_queries import condition, list_query, refused, stat_query


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"key": "name", "k": "name", "value": 1, "operator": APIKeyOperator.EQ}, ": give `key` or `k`, not both"),
        ({"key": "name", "value": None, "v": None, "operator": APIKeyOperator.EQ}, ": give `value` or `v`, not both"),
        ({"key": "name", "v": "a", "o": APIKeyOperator.EQ, "operator": APIKeyOperator.EQ}, ": give `operator` or `o`"),
        ({"value": "a", "operator": APIKeyOperator.EQ}, ": `key` is missing"),
        ({"key": "name", "operator": APIKeyOperator.EQ}, ": `value` is missing"),
        ({"key": "name", "value": "a"}, ": `operator` is missing"),
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


@pytest.mark.parametrize(
    ("page", "skip", "limit"),
    [
        (APIKeyPage(), 0, 1000),
        (APIKeyPage(start=0, limit=0), 0, 1000),
        (APIKeyPage(start=-5, limit=1), 0, 1),
        (APIKeyPage(start=1, limit=1000), 0, 1000),
        (APIKeyPage(start=11, limit=10), 10, 10),
        (APIKeyPage(start=11), 0, 1000),
        (APIKeyPage(start=2**31 - 1, limit=1000), 2**31 - 2, 1000),
    ],
)
def test_a_page_counts_from_one(page: APIKeyPage, skip: int, limit: int) -> None:
    plan = list_query(page=page)
    assert (plan.skip, plan.limit) == (skip, limit)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (APIKeyPage(limit=1001), "query.page.limit: 1001 is too large; give 0 to 1000"),
        (APIKeyPage(limit=-1), "query.page.limit: "),
        (APIKeyPage(start=2**31), "query.page.start: "),
    ],
)
def test_a_page_outside_the_bounds_is_refused(page: APIKeyPage, expected: str) -> None:
    assert refused(list_query, page=page).startswith(expected)
    assert refused(stat_query, distinct="name", page=page).startswith(expected)
