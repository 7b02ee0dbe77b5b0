"""Statistics become pipelines, and their rows results."""

import math
from datetime import UTC, datetime

from gql_identity.messages.query import (
    APIKeyPage,
    APIKeyStage,
)
from gql_identity.queries.fields import FIELDS
from gql_identity.queries.statistics import stat_answer
from gql_identity.settings import Settings
from tests.unit.reading_queries import COUNT, SETTINGS, refused, stat_query


def test_a_statistic_is_distinct_values_or_stages() -> None:
    assert refused(stat_query).startswith("query: give either `distinct`")
    assert refused(stat_query, COUNT, distinct="name").startswith("query: give either `distinct`")
    assert refused(stat_query, distinct="digest").startswith("query.distinct: ")
    assert refused(stat_query, *[APIKeyStage(skip=0)] * 21).startswith("query.aggregate: give at most 20 stages")


def test_an_answer_is_plain_json() -> None:
    instant = datetime(2026, 11, 23, 4, 36, 42, 123000, UTC)
    plan = stat_query(APIKeyStage(limit=3))
    assert plan.names is not None
    row = dict.fromkeys(plan.names.values()) | {
        plan.names["created_at"]: instant,
        plan.names["last_accessed_at"]: instant.replace(tzinfo=None),
        plan.names["name"]: [{"at": [instant, math.nan, math.inf, 1.5, True, 2]}],
    }
    (answered,) = stat_answer(plan, [row], SETTINGS)["results"]
    assert list(answered) == list(FIELDS)
    assert answered["created_at"] == answered["last_accessed_at"] == "2026-11-23T04:36:42.123Z"
    assert answered["name"] == [{"at": ["2026-11-23T04:36:42.123Z", None, None, 1.5, True, 2]}]
    assert stat_answer(stat_query(distinct="name"), [{"_id": "a"}], SETTINGS) == {"results": ["a"]}
    paged = stat_query(distinct="name", page=APIKeyPage(limit=1))
    assert stat_answer(paged, [{"rows": [], "total": []}], SETTINGS) == {"results": [], "total_count": 0}
    assert stat_answer(paged, [{"rows": [{"_id": "a"}], "total": [{"total": 7}]}], SETTINGS) == {
        "results": ["a"],
        "total_count": 7,
    }


def test_no_statistic_reads_more_than_a_page_and_the_row_that_tells_there_is_more() -> None:
    small = Settings(max_page_size=10)
    assert stat_query(COUNT, settings=small).pipeline[-1] == {"$limit": 11}
    assert stat_query(COUNT, settings=small, page=APIKeyPage(start=3)).pipeline[-1] == {"$limit": 11}
