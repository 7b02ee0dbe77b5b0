"""The cache of documents: what it counts is what it holds."""

import asyncio
import gc
import tracemalloc

import pytest

from gql_identity.execution import document_cache, turns
from gql_identity.execution.document_cache import MOST_BYTES, DocumentCache
from gql_identity.execution.request import Request
from gql_identity.schema.context import Context
from gql_identity.schema.executor import make_executor
from gql_identity.settings import Settings
from tests.conformance.test_executor import CALLER, Ordinary


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


ONE = 'input: {domainId: "d1", apiKeyId: "k1"}'
KEY = "fragment K on APIKeyInfo { id apiKeyId state userId domainId createdAt name role hint user { userId domainId } }"
KEYS = " ".join(f"k{number}: apiKey({ONE}) {{ ...K }}" for number in range(19))
CONDITIONS = ", ".join(['{key: "name", value: "x", operator: EQ}'] * 40)
CONNECTIONS = " ".join(f"a{number}: apiKeys(first: 3) {{ totalCount }}" for number in range(25))


def many_operations(root: str, others: str = "") -> tuple[str, list[Request]]:
    """A document whose operations all spread one fragment, and a request for each of them."""
    names = [f"Q{number}" for number in range(60)]
    text = " ".join(
        [f"fragment R on Query {{ {root} }} {others}", *[f"query {name} {{ ...R __typename }}" for name in names]]
    )
    return text, [Request(text, None, name, {}) for name in names]


def many_variants() -> tuple[str, list[Request]]:
    """A document with 16 combinations of conditions, and a request for each of them."""
    declared = " ".join(f"${name}: Boolean!" for name in "abcd")
    conditions = " ".join(f"{name}: __typename @skip(if: ${name})" for name in "abcd")
    root = " ".join(f"k{number}: apiKey({ONE}) {{ ...K }}" for number in range(16))
    text = f"query({declared}) {{ {conditions} {root} }} {KEY}"
    values = [{name: bool(number >> place & 1) for place, name in enumerate("abcd")} for number in range(16)]
    return text, [Request(text, None, None, value) for value in values]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "requests"),
    [
        many_operations(KEYS, KEY),
        many_operations(f'apiKeys(input: {{domainId: "d1", query: {{filter: [{CONDITIONS}]}}}}) {{ totalCount }}'),
        many_operations("_entities(representations: []) { ...U }", f"fragment U on User {{ {CONNECTIONS} }}"),
        many_variants(),
    ],
    ids=["operations that share fields", "operations that share a literal", "costs of connections", "variants"],
)
async def test_what_is_made_for_a_documents_operations_counts(text: str, requests: list[Request]) -> None:
    executor = make_executor(Settings())

    async def run_all(times: int) -> None:
        for request in requests * times:
            operation = await executor.operation(request, may_store=True)
            answer = await executor.execute(operation, request, Context(Ordinary(), None, CALLER))  # type: ignore[arg-type]
            assert not answer.errors

    await executor.operation(Request("{ __typename }", None, None, {}), may_store=True)  # what is made once
    gc.collect()
    tracemalloc.start()
    try:
        await run_all(3)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert executor.documents == 2
    assert held <= 1.1 * executor._cached._bytes
    assert executor._cached._bytes <= MOST_BYTES + 1_000_000


async def test_documents_that_grow_push_out_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_cache, "CACHED_BYTES", 100_000)
    cache = DocumentCache()
    for number in range(10):
        cache.add(f"{{ a{number}: __typename }}", {}, 10)  # type: ignore[arg-type]

    assert cache.grow("{ a9: __typename }", 90_000)

    assert cache.find("{ a9: __typename }") is not None
    assert len(cache) == 2
    assert cache.grow("{ b: __typename }", MOST_BYTES)  # it is not cached
    assert not cache.grow("{ a9: __typename }", MOST_BYTES)
