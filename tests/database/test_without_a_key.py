"""Without a key nothing is done beyond what is open; with one, values are counted before they are read."""

import gc
import time
from typing import Any

import pytest

from gql_identity.execution import document_cache, documents, executor
from gql_identity.execution.document_cache import DocumentCache
from gql_identity.web import accept
from tests.conftest import Api, running

FILTERED = 'query($f: APIKeyFilter) { apiKeysConnection(domainId: "d1", filter: $f) { totalCount } }'
MANY: dict[str, Any] = {"f": {"or": [{}] * 60_000}}


def refusals(answer: Any) -> list[tuple[list[Any], str]]:
    return [(error["path"], error["extensions"]["code"]) for error in answer["errors"]]


async def test_a_caller_is_asked_for_before_variables_are_read(api: Api) -> None:
    wrong = {"f": {"or": "x", "no": 1}}
    answers = [await api.run(FILTERED, variables) for variables in ({}, wrong)]
    assert answers[0] == answers[1]
    assert answers[0]["data"] == {"apiKeysConnection": None}
    assert refusals(answers[0]) == [(["apiKeysConnection"], "UNAUTHENTICATED")]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        # It makes no difference whether a closed field, its arguments or what it selects exist.
        ("{ apiKey { nothing } }", ["apiKey"]),
        ('{ apiKey(input: {domainId: "d", apiKeyId: "k"}) { id } }', ["apiKey"]),
        ("{ nothing(at: {all: 5}) }", ["nothing"]),
        ("{ a: nothing b: apiKeyStats }", ["a", "b"]),
        ("{ apiKeys { ...F } } fragment F on Nothing { ...F }", ["apiKeys"]),
        ("query ($v: [Nothing!]!, $w: APIKeyFilter) { apiKeys(input: $v, and: $w) { id } }", ["apiKeys"]),
        ("{ ... on Query { apiKey { no } } ...F } fragment F on Query { other ...F }", ["apiKey", "other"]),
        ("mutation { createApiKey { nothing } deleteApiKey { nothing } }", ["createApiKey", "deleteApiKey"]),
        # Open fields are refused beside closed ones.
        ('{ __typename apiKey { no } __type(name: "User") { no } }', ["__typename", "apiKey", "__type"]),
        ("query ($s: Boolean!) { a: __typename apiKey @skip(if: $s) { nothing } }", ["a", "apiKey"]),
        ("query A { __typename } query B { apiKey { nothing } }", ["__typename"]),
    ],
)
async def test_a_document_with_a_closed_field_is_refused_unread(api: Api, text: str, keys: list[str]) -> None:
    request = {"query": text, "variables": {"s": True}} | ({"operationName": "A"} if "query A" in text else {})
    answer = (await api.client.post("/graphql", json=request)).json()
    assert answer["data"] == (None if "__typename" in text else dict.fromkeys(keys))  # `__typename` is never null
    assert refusals(answer) == [([key], "UNAUTHENTICATED") for key in keys]


async def test_a_document_with_open_fields_is_validated_and_runs(api: Api) -> None:
    text = """query ($n: String!) { __typename viewer { __typename } __type(name: $n) { ...T } }
        fragment T on __Type { name }"""
    assert await api.run(text, {"n": "User"}) == {
        "data": {"__typename": "Query", "viewer": None, "__type": {"name": "User"}}
    }
    for text in (
        "{ viewer { nothing } }",
        "{ ...Nothing }",
        "query ($a: Nothing) { __typename }",
        "fragment F on Query { x }",
    ):
        assert await api.code(text) == "GRAPHQL_VALIDATION_FAILED"


async def test_a_document_with_a_closed_field_is_not_validated(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    validated: list[Any] = []

    def validate(*arguments: Any, **named: Any) -> list[Any]:
        validated.append(1)
        return []

    monkeypatch.setattr(executor, "validate", validate)
    for text in (FILTERED, "mutation { createApiKey { id } }", "{ __typename apiKey { id } }"):
        assert await api.code(text) == "UNAUTHENTICATED"
    assert validated == []
    await api.run("{ __typename }")
    assert validated == [1]


async def test_too_many_values_are_refused_before_anything_waits_for_a_caller(api: Api) -> None:
    for request in (
        {"query": FILTERED, "variables": MANY},
        {"query": FILTERED, "extensions": MANY},
        {"query": FILTERED, "nothing": MANY},
    ):
        answer = (await api.client.post("/graphql", json=request)).json()
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]
        assert "data" not in answer


async def test_a_document_that_a_key_has_sent_is_refused_alike(api: Api) -> None:
    for text in ('{ apiKey(input: {domainId: "d1", apiKeyId: "k"}) { id } __typename }', FILTERED):
        unknown = (await api.send(text)).content
        await api.data(text, by=await api.make())
        assert (await api.send(text)).content == unknown


async def test_entities_have_no_null_without_a_key(api: Api) -> None:
    answer = await api.run("query($r: [_Any!]!) { _entities(representations: $r) { __typename } }", {"r": 1})
    assert (answer["data"], refusals(answer)) == (None, [(["_entities"], "UNAUTHENTICATED")])


async def test_no_document_is_kept_without_a_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    monkeypatch.setattr(DocumentCache, "add", lambda _, text, *others: kept.append(text))
    await api.run(FILTERED)
    await api.run("{ __typename }")
    assert kept == []
    await api.run("{ __typename }", by=await api.make())
    assert kept == ["{ __typename }"]


async def test_values_are_counted_before_they_are_read(api: Api) -> None:
    system = await api.make()
    assert await api.code(FILTERED, MANY, system) == "BAD_USER_INPUT"
    began = time.thread_time()
    answer = await api.run(FILTERED, MANY, system)
    assert time.thread_time() - began < 0.5
    assert "`max_values`" in answer["errors"][0]["message"]
    few = api.settings.model_copy(update={"max_values": 100, "max_batch": 10})
    async with running(few) as small:
        # The filter itself is an object too.
        assert (await small.run(FILTERED, {"f": {"or": [{}] * 8}}, system))["data"]["apiKeysConnection"]
        assert await small.code(FILTERED, {"f": {"or": [{}] * 10}}, system) == "BAD_USER_INPUT"
        headers = {"Authorization": f"Bearer {system.secret}"}
        one = {"query": FILTERED, "variables": {"f": {"or": [{}] * 10}}}
        batch = (await small.client.post("/graphql", json=[one] * 2, headers=headers)).json()
        assert [part["errors"][0]["extensions"]["code"] for part in batch] == ["BAD_USER_INPUT"] * 2
        for number, status in ((5, 200), (10, 400)):
            condition = {"k": "name", "v": "x", "o": "eq"}
            message = {"domain_id": "d1", "query": {"filter": [condition] * number}}
            told = await small.client.post("/identity/v1/api-key/list", json=message, headers=headers)
            assert told.status_code == status, told.text


async def test_the_other_limits_can_be_used_up_within_the_values(api: Api) -> None:
    system = await api.make()
    query = "query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }"
    conditions: list[dict[str, Any]] = [
        {"key": "name", "operator": "NOT", "value": f"n{number}"} for number in range(99)
    ]
    conditions.append({"key": "name", "operator": "NOT_IN", "value": [str(number) for number in range(1_000)]})
    await api.data(query, {"i": {"domainId": "d1", "query": {"filter": conditions}}}, system)
    query = "query($r: [_Any!]!) { _entities(representations: $r) { __typename } }"
    references = [
        {"__typename": "User", "domainId": "d1", "userId": "u1", "more": {"of": "it", "org": {"id": number}}}
        for number in range(1_000)
    ]
    assert len((await api.data(query, {"r": references}, system))["_entities"]) == 1_000


async def test_what_is_cached_is_bounded_by_its_bytes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_cache, "CACHED_BYTES", 100_000)
    monkeypatch.setattr(documents, "STORED_BYTES", 10_000)
    cache = DocumentCache()
    for number in range(100):
        cache.add(f"{{ a{number}: __typename }}", {}, 10)  # type: ignore[arg-type]
    assert cache._bytes <= 100_000
    assert cache.find("{ a0: __typename }") is None
    assert cache.find("{ a99: __typename }") is not None
    store = documents.Documents(None)
    for number in range(10):
        store.store(str(number), f"{number}" * 2_000)
    assert store._stored_bytes <= 10_000
    gc.collect()
    before = accept._read_cached.cache_info().currsize
    await api.send("{ __typename }", accept="application/json, " + "x" * 1_000 + "/y")
    assert accept._read_cached.cache_info().currsize == before
