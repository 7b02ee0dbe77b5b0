"""The compiled executor, held against graphql-core: whatever is asked and whatever the resolvers come back with, data,
errors, paths, codes and order are equal, and each resolver runs as often, with the same arguments.
"""

import asyncio
import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import pytest
import structlog
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    Visitor,
    parse,
    parse_value,
    print_ast,
    print_schema,
    visit,
)
from graphql.utilities import value_from_ast_untyped
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema
from strawberry import ID

from gql_identity.errors import NotFound, PermissionDenied
from gql_identity.execution import completion, core, plans, turns
from gql_identity.execution.executor import Executor
from gql_identity.execution.request import Request
from gql_identity.keys.access import Caller
from gql_identity.messages.connections import PageInfo
from gql_identity.messages.keys import (
    APIKeyConnection,
    APIKeyEdge,
    APIKeyInfo,
    APIKeySecretInfo,
    APIKeysInfo,
    APIKeyTag,
    APIKeyVerification,
    DeletedAPIKey,
    DisabledAPIKeys,
    Domain,
    User,
)
from gql_identity.messages.query import (
    APIKeyOperator,
)
from gql_identity.messages.usage import APIKeyVerificationCode
from gql_identity.messages.values import APIKeyRole, APIKeyState, DateTime
from gql_identity.schema.context import Context
from gql_identity.schema.executor import make_executor
from gql_identity.schema.federation import schema
from gql_identity.settings import Settings

CALLER = Caller("api-key-0", "d1", "u1", APIKeyRole.SYSTEM)
NOON = DateTime(datetime(2026, 11, 23, 12, 0, 0, 123_456, tzinfo=UTC))
ARGUMENT_TYPES = {
    name: {argument: str(node.type) for argument, node in field.args.items()}
    for root in (schema._schema.query_type, schema._schema.mutation_type)
    if root is not None
    for name, field in root.fields.items()
}

LIMITS: dict[str, int] = {
    "max_aliases": 10_000,
    "max_cost": 100_000_000,
    "max_depth": 50,
    "max_directives": 10_000,
    "max_repeated_fields": 1_000,
    "max_root_fields": 1_000,
    "max_tokens": 100_000,
}
COMPILED = make_executor(Settings(compiled_execution=True, **LIMITS))  # type: ignore[arg-type]
PLAIN = make_executor(Settings(compiled_execution=False, **LIMITS))  # type: ignore[arg-type]


class Later:
    """An awaitable that nobody has to await."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[None, None, Any]:
        yield
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


class Text(str):
    """A string of another class."""

    __slots__ = ()


def key(number: int = 0, **awkward: Any) -> Any:
    made = APIKeyInfo(
        id=ID(f"id-{number}"),
        api_key_id=ID(f"api-key-{number}"),
        state=APIKeyState.ENABLED if number % 2 else APIKeyState.DISABLED,
        user_id=ID("u1"),
        domain_id=ID("d1"),
        created_at=NOON,
        expires_at=NOON if number % 2 else None,
        expired=bool(number % 2),
        updated_at=None if number % 2 else NOON,
        scopes=["a", "b"] if number % 2 else None,
        tags=[APIKeyTag(name="team", value=str(number))] * (number % 2),
        secrets=[APIKeySecretInfo(hint="h", created_at=NOON, expires_at=None, last_accessed_at=None)] * (number % 3),
        rotated_at=None if number % 2 else NOON,
        name=None if number % 3 else f"name {number}",
        role=APIKeyRole.DOMAIN_OWNER,
        hint="gqlid_...abcd",
        last_accessed_at=NOON if number % 2 else None,
        user=User(domain_id=ID("d1"), user_id=ID("u1")),
        domain=Domain(domain_id=ID("d1")),
    )
    return replace(made, **awkward)


def without(attribute: str) -> Any:
    made = key()
    delattr(made, attribute)
    return made


# What a resolver may come back with in a key's place: what it should, and what it should not.
KEYS: list[Callable[[], Any]] = [
    key,
    lambda: key(1),
    lambda: None,
    lambda: key(state=None),
    lambda: key(state="ENABLED"),
    lambda: key(state=APIKeyOperator.EQ),
    lambda: key(state=[], role=[]),
    lambda: key(role=None, hint=None, api_key_id=None, user=None, created_at=None),
    lambda: key(created_at=NOON.replace(tzinfo=timezone(timedelta(hours=9)))),
    lambda: key(created_at=NOON.replace(tzinfo=None, microsecond=0)),
    lambda: key(created_at="2026-11-23", last_accessed_at=5),
    lambda: key(user=None),
    lambda: key(user=User(domain_id=None, user_id=ID("u1"))),  # type: ignore[arg-type]
    lambda: key(user=ValueError("a value that is an error"), domain={"domain_id": "d1"}),
    lambda: key(user=Domain(domain_id=ID("d2")), domain=User(domain_id=ID("d2"), user_id=ID("u2"))),
    lambda: key(domain=SimpleNamespace(domain_id="d3")),
    lambda: key(name=5, hint=Text("text"), id=7, api_key_id=Text("id"), created_by=1.0),
    lambda: key(name=[], hint=True, id=True, user_id=b"bytes"),
    lambda: key(name=Later("later"), hint=Later(ValueError("later")), user=Later(User(domain_id="d", user_id="u"))),  # type: ignore[arg-type]
    lambda: key(hint=Later(None), domain=Later(None)),
    lambda: key(name=NotFound("a name that is an error")),
    lambda: without("hint"),
    lambda: without("user"),
    lambda: SimpleNamespace(**vars(key())),
    lambda: {"api_key_id": "k"},
    lambda: "a string",
    lambda: User(domain_id=ID("d1"), user_id=ID("u9")),
    lambda: RuntimeError("not raised but returned"),
    lambda: Later(key(3)),
]
ERRORS: list[Callable[[], Exception]] = [
    lambda: NotFound("There is no such key."),
    lambda: PermissionDenied("No.", apiKeyId="k"),
    lambda: RuntimeError("unexpected"),
    lambda: GraphQLError("of graphql-core's own"),
    lambda: GraphQLError("with a path of its own", path=["elsewhere", 1]),
    lambda: TypeError("wrong"),
]
JSONS: list[Callable[[], Any]] = [
    lambda: {"results": [{"a": 1, "b": None}], "total_count": 3},
    list,
    lambda: 5,
    lambda: "",
    lambda: None,
    lambda: Later({"a": 1}),
    lambda: ValueError("a value that is an error"),
    lambda: NOON,
    lambda: (1, 2),
    lambda: float("inf"),
]
COUNTS: list[Any] = [
    None,
    0,
    7,
    True,
    2**31 - 1,
    2**31,
    -(2**31),
    1.0,
    1.5,
    "7",
    "x",
    Later(3),
    [],
    ValueError("count"),
]


class Awkward:
    """Stands where `ApiKeys` stands: a source of values good and bad, the same for the same calls, that it counts."""

    max_page_size = 1_000

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.calls: list[str] = []
        self.reads = self.lists = self.statistics = self.verification = self.disabling = self

    async def find(self, *call: Any) -> Any:
        return await self._answer("find", call, KEYS)

    async def find_node(self, *call: Any) -> Any:
        return await self._answer("find_node", call, KEYS)

    async def connection(self, *call: Any) -> Any:
        return await self._connection("connection", call)

    async def connections(self, owners: Any, *call: Any) -> Any:
        return [await self._connection("connections", (owner, *call)) for owner in owners]

    async def stats_of_domains(self, domains: Any, *call: Any) -> Any:
        return [await self._answer("stats_of_domains", (domain, *call), JSONS) for domain in domains]

    async def create(self, *call: Any) -> Any:
        return await self._answer("create", call, KEYS)

    async def enable(self, *call: Any) -> Any:
        return await self._answer("enable", call, KEYS)

    async def disable(self, *call: Any) -> Any:
        return await self._answer("disable", call, KEYS)

    async def delete(self, *call: Any) -> Any:
        deleted = DeletedAPIKey(id=ID("id"), api_key_id=ID("k"), domain_id=ID("d1"))
        return await self._answer("delete", call, [lambda: deleted, lambda: None, lambda: replace(deleted, id=None)])  # type: ignore[arg-type]

    async def disable_matching(self, *call: Any) -> Any:
        number = self._number("count", call)
        disabled = DisabledAPIKeys(count=COUNTS[number % len(COUNTS)], more=number % 2 == 0)
        return await self._answer("disable_matching", call, [lambda: disabled, lambda: None])

    async def stats(self, *call: Any) -> Any:
        return await self._answer("stats", call, JSONS)

    async def find_many(self, references: Any, *call: Any, **more: Any) -> Any:
        number = self._number("length", (references,))
        count = len(references) + (1 if number % 13 == 0 else 0)  # one too many is an error within the resolver
        return await self._list("find_many", (references, *call, more), count)

    async def verify(self, requests: Any, *call: Any) -> Any:
        keys = await self._list("verify", (requests, *call), len(requests))
        codes: list[Any] = [*APIKeyVerificationCode, None, "VALID", 5]
        return [
            APIKeyVerification(valid=index % 4 != 3, code=codes[(index + self._seed) % len(codes)], api_key_info=each)
            for index, each in enumerate(keys)
        ]

    async def page(self, *call: Any, **more: Any) -> Any:
        number = self._number("page", (call, more))
        results = await self._list("page", (*call, more), number % 5)
        shapes: list[Callable[[], Any]] = [
            *[lambda: results] * 6,
            lambda: tuple(results),
            lambda: iter(results),
            lambda: (each for each in results),
            lambda: None,
            lambda: 5,
            lambda: "text",
            lambda: Later(results),
            lambda: [Later(each) for each in results],
        ]
        shape = shapes[number // 5 % len(shapes)]()
        return APIKeysInfo(results=shape, total_count=COUNTS[number // 70 % len(COUNTS)])

    async def _connection(self, method: str, call: tuple[Any, ...]) -> Any:
        number = self._number("length", call)
        keys = await self._list(method, call, number % 4)
        edges = [APIKeyEdge(cursor=f"c{index}", node=each) for index, each in enumerate(keys)]
        if number % 5 == 1:
            edges.insert(len(edges) // 2, None)  # type: ignore[arg-type]
        page = PageInfo(has_next_page=True, has_previous_page=number % 3 or False, start_cursor=None, end_cursor="c")  # type: ignore[arg-type]
        return APIKeyConnection(edges=edges, nodes=keys, page_info=page, total_count=COUNTS[number // 7 % len(COUNTS)])

    async def _list(self, method: str, call: tuple[Any, ...], length: int) -> list[Any]:
        number = await self._called(method, call)
        # Half of the lists are as they should be.
        if number % 2:
            return [key(index) for index in range(length)]
        return [KEYS[(number // 2 + index * 3) % len(KEYS)]() for index in range(length)]

    async def _answer(self, method: str, call: tuple[Any, ...], values: list[Callable[[], Any]]) -> Any:
        number = await self._called(method, call)
        return values[0]() if number % 4 == 0 else values[number // 4 % len(values)]()

    async def _called(self, method: str, call: tuple[Any, ...]) -> int:
        number = self._number(method, call)
        for _ in range(number % 4):
            await asyncio.sleep(0)
        if number // 7 % 6 == 0:
            raise ERRORS[number // 42 % len(ERRORS)]()
        return number // 11

    def _number(self, method: str, call: Any) -> int:
        named = f"{method} {_stable(call)}"
        self.calls.append(named)
        return crc32(f"{self._seed} {named}".encode())


def _stable(value: Any) -> str:
    if isinstance(value, frozenset):
        return repr(sorted(value))
    return f"({', '.join(map(_stable, value))})" if isinstance(value, tuple) else repr(value)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Unexpected errors are logged, here by the thousand."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture(autouse=True)
def nothing_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of errors must not depend on how fast the machine is."""
    monkeypatch.setattr(turns, "SLICE_SECONDS", 1_000)


async def run(executor: Executor, request: Request, seed: int, caller: Caller | None) -> Any:
    operation = await executor.operation(request, may_store=True)
    source = Awkward(seed)
    answer = await executor.execute(operation, request, Context(source, None, caller))  # type: ignore[arg-type]
    # What an error left behind is settled in the background.
    if behind := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(behind)
    return json.dumps(answer, default=repr, indent=1), source.calls


def check(
    query: str,
    variables: dict[str, Any] | None = None,
    name: str | None = None,
    *,
    seed: int = 0,
    caller: Caller | None = CALLER,
) -> Any:
    """Run an operation both ways, compiled from its second run on; what comes out is equal."""
    request = Request(query, None, name, variables or {})

    async def both() -> None:
        expected = await run(PLAIN, request, seed, caller)
        for _ in range(3):
            assert await run(COMPILED, request, seed, caller) == expected, (query, variables)

    asyncio.run(both())


KEY = "id apiKeyId apiKey state userId domainId lastAccessedAt createdAt name role hint createdBy"
ONE = 'input: {domainId: "d1", apiKeyId: "k1"}'
NESTED = f"{KEY} user {{ userId domainId __typename }} domain {{ domainId }} __typename"

DOCUMENTS = [
    "{ __typename }",
    "{ a: __typename b: __typename }",
    "{ _service { sdl } __typename }",
    "{ __schema { queryType { name } } }",
    f'{{ __type(name: "User") {{ name fields {{ name }} }} apiKey({ONE}) {{ id }} }}',
    f"{{ apiKey({ONE}) {{ {KEY} }} }}",
    f"{{ apiKey({ONE}) {{ {NESTED} }} }}",
    f"{{ apiKey({ONE}) {{ state }} }}",
    f"{{ apiKey({ONE}) {{ createdAt lastAccessedAt }} }}",
    f"{{ apiKey({ONE}) {{ name hint user {{ userId }} }} }}",
    f"{{ apiKey({ONE}) {{ u: user {{ a: userId }} u: user {{ b: domainId a: userId }} user {{ __typename }} }} }}",
    f"{{ a: apiKey({ONE}) {{ id }} b: apiKey({ONE}) {{ state }} a: apiKey({ONE}) {{ hint }} }}",
    f"""{{ apiKey({ONE}) {{ ...A ... on APIKeyInfo {{ name ...B }} ... {{ hint }} ...A }} }}
        fragment A on APIKeyInfo {{ user {{ ...U }} id ...B }} fragment B on APIKeyInfo {{ state user {{ domainId }} }}
        fragment U on User {{ userId __typename }}""",
    f"{{ apiKey({ONE}) {{ id @skip(if: true) name @include(if: false) hint @skip(if: false) @include(if: true) }} }}",
    f"{{ apiKey({ONE}) @skip(if: true) {{ id }} }}",
    f"{{ apiKey({ONE}) {{ id @skip(if: true) }} }}",
    f'{{ apiKeys(input: {{domainId: "d1"}}) {{ totalCount results {{ {NESTED} }} }} }}',
    '{ apiKeys(input: {domainId: "d1", state: ENABLED, query: {page: {limit: 3}, only: "id"}}) { results { id } } }',
    '{ apiKeys(input: {domainId: "d1", query: {filter: {k: "name", v: ["a", 1, {b: null}], o: IN}}}) { totalCount } }',
    "{ apiKeys(input: {domainId: 5, query: null}) { totalCount } }",
    '{ apiKeyStats(input: {domainId: "d1", query: {distinct: "user_id"}}) }',
    '{ apiKeyStats(input: {domainId: "d1", query: {aggregate: [{limit: 3}, {count: {name: "n"}}]}}) }',
    """{ _entities(representations: [{__typename: "APIKeyInfo", domainId: "d1", apiKeyId: "k"},
        {__typename: "User", domainId: "d1", userId: "u"}, {__typename: "Domain", domainId: "d1"},
        {__typename: "APIKeyInfo", domainId: "d1", apiKeyId: "l"}]) { __typename
        ... on APIKeyInfo { id state user { userId } } ... on User { userId } ... on Domain { d: domainId } } }""",
    f"""{{ _entities(representations: [{{__typename: "Nothing"}}]) {{ __typename }}
        apiKey({ONE}) {{ id }} apiKeys(input: {{domainId: "d1"}}) {{ totalCount }} }}""",
    f'{{ apiKey({ONE}) {{ id }} __typename apiKeys(input: {{domainId: "d"}}) {{ totalCount }} _service {{ sdl }} }}',
    """{ node(id: "n") { __typename id ... on APIKeyInfo { state user { userId } } } other: node(id: 5) { id }
        apiKeysConnection(domainId: "d1", first: 3, orderBy: {field: CREATED_AT}) { totalCount nodes { id state }
        edges { cursor node { id createdAt } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }""",
    """{ apiKeysConnection(domainId: "d1", filter: {nameContains: "a", or: [{accessed: true}, {role: USER}]}) {
        nodes { user { apiKeys(first: 2) { nodes { id } totalCount } } } } }""",
    f"""{{ apiKey({ONE}) {{ user {{ userId apiKeys(first: 2, state: ENABLED) {{
        nodes {{ id domain {{ domainId }} }} }} }} }}
        apiKeys(input: {{domainId: "d1"}}) {{ results {{ id user {{ a: apiKeys {{ totalCount }} b: apiKeys(last: 1) {{
        edges {{ cursor }} }} }} }} }} }}""",
    'mutation { createApiKey(input: {domainId: "d1", userId: "u1", role: SYSTEM}) { apiKey id role } }',
    f"""mutation {{ a: disableApiKey({ONE}) {{ {NESTED} }} b: enableApiKey({ONE}) {{ state }} __typename
        c: deleteApiKey({ONE}) {{ id apiKeyId }} d: enableApiKey({ONE}) {{ id hint }}
        e: disableApiKeys(input: {{domainId: "d1", userId: "u"}}) {{ count more }} }}""",
    """mutation { verifyApiKeys(input: [{apiKey: "a"}, {apiKey: "b"}, {apiKey: "c"}, {apiKey: "d"}]) { valid code
        apiKeyInfo { id state user { userId } } } verifyApiKey(input: {apiKey: "e"}) { code } }""",
    'mutation { verifyApiKeys(input: {apiKey: "one for a list"}) { valid } }',
]


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 60), marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_answer_alike(document: str, seeds: range) -> None:
    for seed in seeds:
        check(document, seed=seed)


def _in_any_order(found: tuple[str, list[str]]) -> Any:
    data, errors, *rest = json.loads(found[0])
    # Beside an error that makes null what is around its field, others may be told or not (GraphQL, 6.4.4).
    told = {str(place if (place := _null_at(data, error)) != error.get("path") else error) for error in errors}
    return data, sorted(told), rest, sorted(found[1])


def _null_at(data: Any, error: Any) -> list[Any]:
    """The place of the null that an error led to."""
    path = error.get("path", [])
    for at, place in enumerate(path):
        if data is None:
            return list(path[:at])
        if place == "elsewhere":  # a path that the error itself brought
            break
        data = data[place]
    return list(path)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_gives_way_at_every_place_answers_alike(document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(seed: int) -> None:
        request = Request(document, None, None, {})
        with monkeypatch.context() as changed:
            changed.setattr(core, "SHORT_LIST", 1_000)
            expected = await run(PLAIN, request, seed, CALLER)
        with monkeypatch.context() as changed:
            changed.setattr(core, "SHORT_LIST", 0)
            changed.setattr(completion, "LONG_LIST", 0)
            changed.setattr(turns, "SLICE_SECONDS", 0)
            for executor in (PLAIN, COMPILED, COMPILED):
                found = await run(executor, request, seed, CALLER)
                if json.loads(expected[0])[1] and sorted(found[1]) != sorted(expected[1]):
                    continue  # beside an error other fields were resolved, so that what is found at random differs
                assert _in_any_order(found) == _in_any_order(expected), document

    for seed in range(20):
        asyncio.run(both(seed))


def test_a_root_field_without_a_credential_answers_alike() -> None:
    for document in DOCUMENTS:
        check(document, caller=None)


TWO = "query($d: ID!, $k: ID!) { apiKey(input: {domainId: $d, apiKeyId: $k}) { id name } }"
GET = "query($input: GetAPIKeyRequest!) { apiKey(input: $input) { id name } }"
CREATE = """mutation($u: ID!, $n: String, $r: APIKeyRole! = VERIFIER) {
    createApiKey(input: {domainId: "d1", userId: $u, name: $n, role: $r}) { id role } }"""
SOME = """query($d: ID!, $a: Boolean!, $b: Boolean = true) { apiKey(input: {domainId: $d, apiKeyId: "k"}) {
    id name @include(if: $a) user @skip(if: $b) { userId } ...F @include(if: $b) ... @skip(if: $a) { hint } } }
    fragment F on APIKeyInfo { state domain @include(if: $a) { domainId } }"""
LIST = "query($input: APIKeyQuery!) { apiKeys(input: $input) { results { id state } totalCount } }"
CONDITION = """query($v: JSON, $o: APIKeyOperator, $s: [String!], $l: Int) { apiKeys(input: {domainId: "d", query: {
    filter: [{k: "name", v: $v, o: $o}], only: $s, page: {limit: $l}}}) { totalCount } }"""
STATS = 'query($q: APIKeyStatisticsQuery! = {distinct: "state"}) { apiKeyStats(input: {domainId: "d", query: $q}) }'
ENTITIES = "query($r: [_Any!]!) { _entities(representations: $r) { __typename ... on APIKeyInfo { id state } } }"
TWICE = """query($input: GetAPIKeyRequest!, $r: [_Any!]!) { a: apiKey(input: $input) { id } b: apiKey(input: $input)
    { name } _entities(representations: $r) { __typename } again: _entities(representations: $r) { __typename } }"""
PAGE = """query($f: Int, $a: String) {
    apiKeysConnection(domainId: "d", first: $f, after: $a, state: ENABLED) { nodes { id } totalCount } }"""
NULLABLE = """query($d: ID = "d1", $l: Int = 3, $r: Boolean = false) {
    apiKey(input: {domainId: $d, apiKeyId: "k"}) { id }
    apiKeys(input: {domainId: "d1", query: {minimal: $r, page: {limit: $l}}}) { totalCount } }"""
REFERENCE = {"__typename": "APIKeyInfo", "domainId": "d1", "apiKeyId": "k"}
INPUT = {"domainId": "d1", "apiKeyId": "k"}


def listed(*values: Any) -> list[Any]:
    return list(values)


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        *[(TWO, {"d": d, "k": k}) for d in listed("d1", "", 5, None, True, 1.5, [], {}) for k in ("k", "k2", 7, None)],
        *[(TWO, variables) for variables in ({}, {"d": "d1"}, {"d": "d1", "k": "k", "extra": 1})],
        *[
            (GET, {"input": value})
            for value in listed(
                INPUT, None, 5, [], [INPUT], {}, {**INPUT, "x": 1}, {**INPUT, "only": None}, {**INPUT, "only": ["id"]},
                {**INPUT, "only": "id"}, {**INPUT, "only": [None]}, {**INPUT, "only": [1]}, {**INPUT, "domainId": None},
                {**INPUT, "domainId": 7},
            )
        ],
        *[
            (CREATE, {"u": "u1", **more})
            for more in listed(
                {}, {"n": None}, {"n": "x"}, {"n": 5}, {"r": None}, {"r": "USER"}, {"r": "NONE"}, {"r": 5}, {"r": []},
                {"u": 5, "r": "SYSTEM"},
            )
        ],
        *[
            (SOME, {"d": "d1", **more})
            for more in listed(
                {"a": True}, {"a": False}, {"a": True, "b": False}, {"a": False, "b": True}, {"a": None}, {},
                {"a": True, "b": None}, {"a": "yes"}, {"a": True, "d": 3},
            )
        ],
        *[
            (LIST, {"input": {"domainId": "d1", **more}})
            for more in listed(
                {}, {"state": "ENABLED"}, {"state": "enabled"}, {"state": None}, {"query": {}}, {"query": None},
                {"query": {"page": {"limit": 2, "start": 1}}}, {"query": {"page": {"limit": "2"}}},
                {"query": {"page": {"limit": 2**31}}}, {"query": {"page": {"limit": 2.0}}}, {"query": {"minimal": 1}},
                {"query": {"filter": [{"k": "a", "v": [1, {"b": None}], "o": "IN"}, {"key": "b", "value": None}]}},
                {"query": {"filter": {"k": "a", "v": 1}}}, {"query": {"sort": {"keys": [{"key": "a"}]}}},
                {"query": {"filterOr": [{"k": "a"}], "keyword": "w", "countOnly": True}},
            )
        ],
        *[
            (CONDITION, variables)
            for variables in listed(
                {}, {"v": {"a": [1]}}, {"v": None}, {"o": "EQ"}, {"o": None}, {"s": ["a"]}, {"s": "a"}, {"s": None},
                {"l": 3}, {"l": None}, {"l": True}, {"v": 1, "o": "GT", "s": [], "l": 0}, {"o": "nothing"},
            )
        ],
        *[
            (STATS, variables)
            for variables in listed(
                {}, {"q": None}, {"q": {"aggregate": [{"limit": 1}]}}, {"q": {"aggregate": [{"limit": 1, "skip": 2}]}},
                {"q": {"aggregate": [{"limit": None}]}}, {"q": {"aggregate": [{}]}}, {"q": {"aggregate": {"skip": 1}}},
                {"q": {"aggregate": [{"group": {"keys": [{"k": "state"}], "fields": [{"o": "COUNT", "n": "n"}]}}]}},
                {"q": {"aggregate": [{"group": {"fields": [{"operator": "PUSH", "fields": [{"key": "a"}]}]}}]}},
                {"q": {"aggregate": [{"project": {"fields": [{"k": "a", "v": 5, "o": "ADD"}]}}, {"count": {}}]}},
            )
        ],
        *[
            (ENTITIES, {"r": value})
            for value in listed(
                [], [REFERENCE], [REFERENCE, REFERENCE, {"__typename": "Domain", "domainId": "d1"}], REFERENCE, None,
                [None], [5], ["x", REFERENCE], [{}], [{"__typename": "User", "domainId": "d1", "userId": "u"}] * 3,
            )
        ],
        *[(NULLABLE, variables) for variables in ({}, {"d": None}, {"d": "d2"}, {"l": None}, {"l": 2, "r": None})],
        (TWICE, {"input": INPUT, "r": [REFERENCE, {**REFERENCE, "apiKeyId": "l"}]}),
    ],
)  # fmt: skip
def test_variables_are_read_alike(document: str, variables: dict[str, Any]) -> None:
    for seed in range(8):
        check(document, variables, seed=seed)


def test_each_operation_of_a_document_answers_alike() -> None:
    document = f"""query A($d: ID!, $a: Boolean!) {{ apiKey(input: {{domainId: $d, apiKeyId: "k"}}) {{ ...F name
        hint @include(if: $a) }} }} mutation B($b: Boolean!) {{ disableApiKey({ONE}) {{ ...F hint @skip(if: $b) }} }}
        query C {{ __typename }} fragment F on APIKeyInfo {{ id user {{ userId }} }}"""
    for seed in range(20):
        for name in "ABC":
            check(document, {"d": "d1", "a": seed % 2 == 0, "b": seed % 3 == 0}, name, seed=seed)


SHARED = """fragment F on APIKeyInfo { id hint @include(if: $b) user { ...U } }
    fragment U on User { userId domainId @skip(if: $b) } fragment N on APIKeyInfo { name }"""
# The names of variables are one operation's own: another one has conditions with the name of its list or object.
SEVERAL = f"""
    query List($v: [_Any!]!) {{ _entities(representations: $v) {{ __typename ...N }} }}
    query Object($v: GetAPIKeyRequest!) {{ apiKey(input: $v) {{ id ...N }} }}
    query Text($v: ID!, $b: Boolean!) {{ apiKey(input: {{domainId: "d1", apiKeyId: $v}}) {{ ...F ...N }} }}
    query Json($v: JSON, $b: Boolean = true) {{
        apiKeys(input: {{domainId: "d1", query: {{filter: [{{k: "name", v: $v}}]}}}}) {{ results {{ ...F }} }} }}
    query Conditions($v: Boolean!, $b: Boolean!) {{ apiKey({ONE}) @skip(if: $v) {{ ...F state @include(if: $v) }}
        ...R @include(if: $b) ... @skip(if: $b) {{ __typename }} }}
    mutation Change($v: Boolean = false, $b: Boolean!) {{ disableApiKey({ONE}) {{ ...F role @skip(if: $v) }} }}
    fragment R on Query {{ other: apiKey({ONE}) {{ ...F }} }} {SHARED}"""


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("List", [[], [{"__typename": "APIKeyInfo", "domainId": "d1", "apiKeyId": "k"}], True, None]),
        ("Object", [{"domainId": "d1", "apiKeyId": "k"}, True, None]),
        ("Text", ["k", "l", True, []]),
        ("Json", ["x", {"a": [1]}, [True], True, False, None]),
        ("Conditions", [True, False, None, {}, []]),
        ("Change", [True, False, None, [True]]),
    ],
)
def test_operations_of_a_document_that_share_names_of_variables_answer_alike(name: str, values: list[Any]) -> None:
    for seed in range(4):
        for value in values:
            for both in ({}, {"b": True}, {"b": False}, {"b": [True]}):
                check(SEVERAL, {"v": value} | both, name, seed=seed)


def test_more_ways_of_skipping_than_are_kept_answer_alike() -> None:
    names = ["id", "name", "hint", "state", "role", "userId"]
    parts = " ".join(f"{name} @include(if: ${name})" for name in names)
    document = f"query({' '.join(f'${name}: Boolean!' for name in names)}) {{ apiKey({ONE}) {{ {parts} }} }}"
    for number in range(2 ** len(names)):
        check(document, {name: bool(number >> place & 1) for place, name in enumerate(names)})


def test_a_selection_too_wide_to_compile_answers_alike() -> None:
    wide = " ".join(f"f{number}: userId" for number in range(600))
    check(f"{{ apiKey({ONE}) {{ {wide} }} }}")


class Ordinary(Awkward):
    """Comes back with what it should."""

    def __init__(self) -> None:
        super().__init__(0)

    async def _answer(self, method: str, call: tuple[Any, ...], values: list[Callable[[], Any]]) -> Any:
        return values[0]()

    async def _list(self, method: str, call: tuple[Any, ...], length: int) -> list[Any]:
        return [key(index) for index in range(length)]

    def _number(self, method: str, call: Any) -> int:
        return 2


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        (f"{{ __typename apiKey({ONE}) {{ {NESTED} }} }}", {}),
        (TWO, {"d": "d1", "k": "k"}),
        (GET, {"input": INPUT}),
        (SOME, {"d": "d1", "a": True}),
        (LIST, {"input": {"domainId": "d1", "query": {"page": {"limit": 3}, "sort": {"key": "name", "desc": True}}}}),
        (CONDITION, {"v": {"a": [1]}, "o": "EQ", "s": ["id"], "l": 3}),
        (STATS, {}),
        (STATS, {"q": {"aggregate": [{"group": {"keys": [{"k": "state"}]}}, {"limit": 3}]}}),
        (ENTITIES, {"r": [REFERENCE, None, {"__typename": "User", "domainId": "d1", "userId": "u1"}][::2]}),
        ('{ node(id: "n") { id __typename ... on APIKeyInfo { name } } }', {}),
        (PAGE, {"f": 3}),
        (CREATE, {"u": "u1"}),
        (f"mutation {{ disableApiKey({ONE}) {{ {KEY} }} deleteApiKey({ONE}) {{ apiKeyId }} }}", {}),
    ],
)  # fmt: skip
async def test_ordinary_operations_need_no_graphql_core(
    document: str, variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(document, None, None, variables)
    operation = await COMPILED.operation(request, may_store=True)
    first = await COMPILED.execute(operation, request, Context(Ordinary(), None, CALLER))  # type: ignore[arg-type]
    assert not first.errors
    await COMPILED.execute(operation, request, Context(Ordinary(), None, CALLER))  # type: ignore[arg-type]
    monkeypatch.setattr(plans, "CoreExecution", None)
    assert await COMPILED.execute(operation, request, Context(Ordinary(), None, CALLER)) == first  # type: ignore[arg-type]


async def test_a_run_that_leaves_the_compiled_path_is_logged_at_debug_and_others_are_not() -> None:
    async def lines(variables: dict[str, Any]) -> list[Any]:
        request = Request(GET.replace("query(", "query Get("), None, None, variables)
        operation = await COMPILED.operation(request, may_store=True)
        with structlog.testing.capture_logs() as logged:
            await COMPILED.execute(operation, request, Context(Ordinary(), None, CALLER))  # type: ignore[arg-type]
        return [(line["log_level"], line["event"], line["operation"]) for line in logged]

    await lines({"input": INPUT})
    await lines({"input": INPUT})
    assert await lines({"input": INPUT}) == []
    assert await lines({"input": 5}) == [("debug", "a run left the compiled path", "Get")]


class _ToVariables(Visitor):
    """Puts a variable in the place of each argument of a root field."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self.types: dict[str, str] = {}
        self._depth = 0

    def enter_field(self, node: FieldNode, *_: Any) -> FieldNode | None:
        self._depth += 1
        if self._depth > 1 or node.name.value not in ARGUMENT_TYPES:
            return None
        arguments = []
        for argument in node.arguments or ():
            name = f"v{len(self.values)}"
            self.values[name] = value_from_ast_untyped(argument.value)
            self.types[name] = ARGUMENT_TYPES[node.name.value][argument.name.value]
            arguments.append(replace(argument, value=parse_value(f"${name}")))
        return replace(node, arguments=tuple(arguments))

    def leave_field(self, *_: Any) -> None:
        self._depth -= 1


class _Conditions(Visitor):
    """Puts `@skip` and `@include` on some of the fields, with constants and variables."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self._bits = bits

    def enter_field(self, node: FieldNode, *_: Any) -> FieldNode:
        choice, self._bits = self._bits % 12, self._bits // 12
        directives = ["skip", "include"][choice % 2 : choice % 2 + 1] if choice < 8 else []
        value = ("true", "false", "$yes", "$no")[choice // 2 % 4]
        text = " ".join(f"@{directive}(if: {value})" for directive in directives)
        (written,) = parse(f"{{ f {text} }}").definitions[0].selection_set.selections  # type: ignore[attr-defined]
        return replace(node, directives=(*(node.directives or ()), *(written.directives or ())))


def _declaring(document: DocumentNode, types: dict[str, str]) -> str:
    (text,) = (print_ast(node) for node in document.definitions if isinstance(node, OperationDefinitionNode))
    kind, _, rest = text.partition(" ") if text.startswith(("query", "mutation")) else ("query", "", text)
    return f"{kind}({' '.join(f'${name}: {type_}' for name, type_ in types.items())}) {rest}" if types else text


def _literals(*texts: str) -> Any:
    return st.sampled_from([parse_value(text) for text in texts])


OPERATIONS = from_schema(
    print_schema(schema._schema),
    custom_scalars={
        "JSON": _literals('"a"', "5", "true", "null", "1.5", '["a", 1]', '{a: {b: "c"}}'),
        "_Any": _literals(
            *[f'{{__typename: "APIKeyInfo", domainId: "d1", apiKeyId: "k{number}"}}' for number in range(4)],
            '{__typename: "User", domainId: "d1", userId: "u"}',
            '{__typename: "Domain", domainId: "d1"}',
            '"x"',
        ),
        "DateTime": _literals('"2026-11-23T00:00:00Z"'),
    },
)


@pytest.mark.slow
@settings(
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(document=OPERATIONS, seed=st.integers(0, 1_000), bits=st.integers(0, 2**40))
def test_generated_operations_answer_alike(document: str, seed: int, bits: int) -> None:
    check(document, seed=seed)
    to_variables = _ToVariables()
    with_variables = visit(parse(document), to_variables)
    check(_declaring(with_variables, to_variables.types), to_variables.values, seed=seed)
    conditional = visit(with_variables, _Conditions(bits))
    used = {name for name in ("yes", "no") if f"${name})" in print_ast(conditional)}
    types = to_variables.types | dict.fromkeys(sorted(used), "Boolean!")
    check(_declaring(conditional, types), to_variables.values | {"yes": True, "no": False}, seed=seed)
