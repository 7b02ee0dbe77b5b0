"""Sorts, and how ties are broken."""

import pytest

from gql_identity.messages.query import (
    APIKeySort,
    APIKeySortKey,
)
from tests.unit.reading_queries import list_query, refused


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (APIKeySort(key="createdAt", desc=True), [("created_at", -1), ("_id", -1)]),
        (APIKeySort(key="state"), [("state", 1), ("_id", 1)]),
        (APIKeySort(key="api_key_id", desc=True), [("_id", -1)]),
        (APIKeySort(), [("_id", 1)]),
        (APIKeySort(key="", desc=True, keys=[]), [("_id", 1)]),
        (APIKeySort(keys=[APIKeySortKey(key=""), APIKeySortKey(key="name")]), [("name", 1), ("_id", 1)]),
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
        (APIKeySort(keys=[APIKeySortKey(key="state")] * 33), "query.sort: give at most 32"),
    ],
)
def test_a_wrong_sort_is_refused(sort: APIKeySort, expected: str) -> None:
    assert refused(list_query, sort=sort).startswith(expected)
