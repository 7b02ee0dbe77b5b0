"""The cache of documents: what it counts is what it holds."""

import asyncio

import pytest

from gql_identity.execution import document_cache, turns
from gql_identity.execution.document_cache import DocumentCache
from gql_identity.execution.request import Request
from gql_identity.schema.executor import make_executor
from gql_identity.settings import Settings


def test_a_document_that_is_added_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_cache, "CACHED_BYTES", 100_000)
    cache = DocumentCache()
    for _ in range(100):
        cache.add("{ a: __typename }", {}, 10)  # type: ignore[arg-type]

    for number in range(5):
        cache.add(f"{{ b{number}: __typename }}", {}, 10)  # type: ignore[arg-type]

    assert len(cache) == 6


async def test_requests_with_one_new_document_at_one_time_leave_room_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(document_cache, "CACHED_BYTES", 100_000)
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0)  # each waits before it parses, and again before it validates
    executor = make_executor(Settings())

    async def begin_the_turn() -> None:
        turns.turns_of_this_loop().is_over()

    for number in range(100):
        request = Request(f"{{ a{number}: __typename }}", None, None, {})
        operations = [executor.operation(request, owner=owner, may_store=True) for owner in ("one", "another", "third")]
        _, *found = await asyncio.gather(begin_the_turn(), *operations)
        assert found.count(found[0]) == len(found)  # parsed for one of them

    assert executor.documents > 10
