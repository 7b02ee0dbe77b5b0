"""As a subgraph: entities that the caller may see, few reads for many, and a schema that composes."""

from typing import Any

import pytest
from graphql import build_ast_schema, parse

from tests.conftest import Api, Person, mongo_client, running
from tests.database.test_relay import make_document


def user(user_id: str, domain_id: str = "d1") -> dict[str, str]:
    return {"__typename": "User", "domainId": domain_id, "userId": user_id}


def domain(domain_id: str) -> dict[str, str]:
    return {"__typename": "Domain", "domainId": domain_id}


def key(key_id: str, domain_id: str = "d1") -> dict[str, str]:
    return {"__typename": "APIKeyInfo", "domainId": domain_id, "apiKeyId": key_id}


async def entities(api: Api, references: Any, selection: str, by: Person, **variables: Any) -> Any:
    """The entities; fails where there are errors."""
    query = f"query($r: [_Any!]!) {{ _entities(representations: $r) {{ __typename {selection} }} }}"
    return (await api.data(query, {"r": references, **variables}, by))["_entities"]


@pytest.fixture
async def system(api: Api) -> Person:
    """Who sees all; its own key is in a domain of its own. In d1 to d3, users u0 to u2 have four keys each."""
    with mongo_client(api.settings) as client:
        client.get_default_database()["api_keys"].insert_many(
            [
                {**make_document(number * 10 + at), "domain_id": f"d{at}", "user_id": f"u{number % 3}"}
                for number in range(12)
                for at in (1, 2, 3)
            ]
        )
    return await api.make("SYSTEM", "d9", "admin")


def ids(at: int, numbers: Any) -> list[dict[str, str]]:
    return [{"apiKeyId": f"api-key-{number * 10 + at:032x}"} for number in numbers]


KEYS = "apiKeys(first: 3) { totalCount nodes { apiKeyId } pageInfo { hasNextPage } }"


async def test_the_keys_of_many_users_are_one_read(api: Api, system: Person, reads: list[str]) -> None:
    everyone = [user(f"u{number}", f"d{at}") for at in (1, 2, 3) for number in (0, 1, 2)]
    # Once, so that the caller's own key has been read.
    await entities(api, [], "... on User { userId }", system)
    for references in (everyone[:1], everyone[:3], everyone, everyone * 50):
        reads.clear()
        selection = "... on User { domainId userId apiKeys(first: 3) { nodes { apiKeyId userId } } }"
        found = await entities(api, references, selection, system)
        assert reads == ["aggregate"]
        for reference, one in zip(references, found, strict=True):
            at, number = int(reference["domainId"][1:]), int(reference["userId"][1:])
            expected = [{**one, "userId": reference["userId"]} for one in ids(at, range(number, 12, 3))[:3]]
            assert one == {**reference, "apiKeys": {"nodes": expected}}


async def test_each_kind_is_read_once_whatever_the_lists_length(api: Api, system: Person, reads: list[str]) -> None:
    references = [
        reference
        for number in range(3)
        for reference in (user(f"u{number}"), domain(f"d{number + 1}"), key(f"api-key-{number * 10 + 1:032x}"))
    ]
    selection = f"""... on User {{ {KEYS} }} ... on APIKeyInfo {{ apiKeyId }}
        ... on Domain {{ {KEYS} newest: apiKeys(last: 1) {{ nodes {{ apiKeyId }} }} }}"""
    await entities(api, [], "... on User { userId }", system)
    reads.clear()
    found = await entities(api, references, selection, system)
    # Keys; users with their totals; domains with theirs, and under another name.
    assert sorted(reads) == ["aggregate"] * 5 + ["find"]
    more = {"hasNextPage": True}
    for number in range(3):
        of_user, of_domain, itself = found[number * 3 : number * 3 + 3]
        mine = ids(1, range(number, 12, 3))
        assert of_user == {
            "__typename": "User",
            "apiKeys": {"totalCount": 4, "nodes": mine[:3], "pageInfo": more},
        }
        theirs = ids(number + 1, range(12))
        assert of_domain == {
            "__typename": "Domain",
            "apiKeys": {"totalCount": 12, "nodes": theirs[:3], "pageInfo": more},
            "newest": {"nodes": theirs[-1:]},
        }
        assert itself == {"__typename": "APIKeyInfo", **mine[0]}


async def test_the_keys_of_keys_users_are_one_read_too(api: Api, system: Person, reads: list[str]) -> None:
    query = """{ apiKeys(input: {domainId: "d1"}) { results {
        user { apiKeys(first: 1) { nodes { apiKeyId } } } domain { apiKeys(last: 1) { nodes { apiKeyId } } } } } }"""
    await api.data("{ __typename }", by=system)
    reads.clear()
    found = (await api.data(query, by=system))["apiKeys"]["results"]
    assert reads == ["aggregate"] * 3
    assert [one["user"]["apiKeys"]["nodes"] for one in found] == [ids(1, [number % 3]) for number in range(12)]
    assert [one["domain"]["apiKeys"]["nodes"] for one in found] == [ids(1, [11])] * 12


async def test_the_statistics_of_many_domains_are_one_read(api: Api, system: Person, reads: list[str]) -> None:
    by_state = """{aggregate: [{group: {keys: [{key: "state", name: "state"}],
        fields: [{operator: COUNT, name: "count"}]}}, {sort: {key: "state"}}]}"""
    selection = f"""... on Domain {{ states: apiKeyStats(query: {by_state})
        users: apiKeyStats(query: {{distinct: "user_id", page: {{limit: 2}}}}) }}"""
    await entities(api, [], "... on User { userId }", system)
    reads.clear()
    none = {"results": [], "total_count": 0}
    found = await entities(api, [domain("d1"), domain("d2"), domain("none"), domain("d1")], selection, system)
    assert reads == ["aggregate"] * 2
    states = {"d1": {"DISABLED": 12}, "d2": {"ENABLED": 12}}
    for name, one in zip(("d1", "d2", "none", "d1"), found, strict=True):
        told = {row["state"]: row["count"] for row in one["states"]["results"]}
        assert told == states.get(name, {})
        assert one["users"] == (none if name == "none" else {"results": ["u0", "u1"], "total_count": 3})
    alone = await api.data(f'{{ apiKeyStats(input: {{domainId: "d1", query: {by_state}}}) }}', by=system)
    assert alone["apiKeyStats"] == found[0]["states"]


async def test_a_nested_connection_pages_filters_and_orders_as_the_root_does(api: Api, system: Person) -> None:
    arguments = 'first: 2, state: DISABLED, filter: {createdAfter: "2026-01-01T00:00:00Z"}'
    arguments += ", orderBy: {field: CREATED_AT, direction: DESC}"
    body = "{ totalCount edges { cursor node { apiKeyId } } pageInfo { hasPreviousPage hasNextPage endCursor } }"
    root = '{ apiKeysConnection(domainId: "d1", userId: "u1", %s) %s }'
    after = ""
    for page in (1, 2):
        expected = (await api.data(root % (arguments + after, body), by=system))["apiKeysConnection"]
        selection = f"... on User {{ apiKeys({arguments}{after}) {body} }}"
        alone, both = [
            await entities(api, references, selection, system)
            for references in ([user("u1")], [user("u1"), user("u2"), user("nobody")])
        ]
        assert alone[0]["apiKeys"] == both[0]["apiKeys"] == expected
        assert expected["totalCount"] == 4
        assert expected["pageInfo"]["hasNextPage"] is (page == 1)
        assert both[2]["apiKeys"]["totalCount"] == 0
        assert both[2]["apiKeys"]["edges"] == []
        after = f', after: "{expected["pageInfo"]["endCursor"]}"'


async def test_an_error_stays_with_its_field(api: Api, system: Person) -> None:
    cursor = (await api.data('{ apiKeysConnection(domainId: "d1") { pageInfo { endCursor } } }', by=system))[
        "apiKeysConnection"
    ]["pageInfo"]["endCursor"]
    query = """query($r: [_Any!]!, $c: String) { _entities(representations: $r) { ... on Domain {
        good: apiKeys(first: 1) { nodes { apiKeyId } } bad: apiKeys(first: -1) { nodes { apiKeyId } }
        far: apiKeys(after: $c) { nodes { apiKeyId } } worse: apiKeyStats(query: {}) } } }"""
    answer = await api.run(query, {"r": [domain("d1"), domain("d2")], "c": cursor}, system)
    for at in (0, 1):
        assert answer["data"]["_entities"][at] == {
            "good": {"nodes": ids(at + 1, [0])},
            "bad": None,
            "far": None,
            "worse": None,
        }
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"INVALID_ARGUMENT"}
    assert {tuple(error["path"][2:]) for error in answer["errors"]} == {("bad",), ("far",), ("worse",)}


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        ("USER", ["u1 of d1", "d1"]),
        ("VERIFIER", ["u1 of d1", "d1"]),
        ("DOMAIN_OWNER", ["u1 of d1", "u2 of d1", "nobody of d1", "d1"]),
        ("SYSTEM", ["u1 of d1", "u2 of d1", "nobody of d1", "u1 of d2", "d1", "d2"]),
    ],
)
async def test_what_is_out_of_reach_is_null_and_harms_no_neighbour(
    api: Api, system: Person, role: str, seen: list[str]
) -> None:
    caller = await api.make(role, "d1", "u1")
    references = {
        "u1 of d1": user("u1"),
        "u2 of d1": user("u2"),
        "nobody of d1": user("nobody"),
        "u1 of d2": user("u1", "d2"),
        "d1": domain("d1"),
        "d2": domain("d2"),
        "no key": key("no-such-key"),
        "key of d2": key(f"api-key-{2:032x}", "d2"),
    }
    if role == "SYSTEM":
        seen = [*seen, "key of d2"]
    selection = "... on User { apiKeys { totalCount } } ... on Domain { apiKeys { totalCount nodes { userId role } } }"
    found = dict(zip(references, await entities(api, [*references.values()], selection, caller), strict=True))
    assert [name for name, one in found.items() if one is not None] == seen
    if role in ("USER", "VERIFIER"):
        assert {one["userId"] for one in found["d1"]["apiKeys"]["nodes"]} == {"u1"}
    if role != "SYSTEM":
        assert "SYSTEM" not in {one["role"] for one in found["d1"]["apiKeys"]["nodes"]}


async def test_the_owner_of_a_verified_key_of_another_domain_shows_no_keys(api: Api, system: Person) -> None:
    verifier = await api.make("VERIFIER", "d1", "gateway")
    other = await api.make("USER", "d2", "u1")
    query = """mutation($s: String!) { verifyApiKey(input: {apiKey: $s}) { valid apiKeyInfo {
        userId user { apiKeys { totalCount } } domain { apiKeys { totalCount }
        apiKeyStats(query: {distinct: "user_id"}) } } } }"""
    answer = await api.data(query, {"s": other.secret}, verifier)
    assert answer["verifyApiKey"] == {
        "valid": True,
        "apiKeyInfo": {"userId": "u1", "user": {"apiKeys": None}, "domain": {"apiKeys": None, "apiKeyStats": None}},
    }


WRONG_REFERENCES: list[tuple[Any, str]] = [
    (1, "__typename"),
    ("User", "__typename"),
    ([], "__typename"),
    ({}, "__typename"),
    ({"domainId": "d1"}, "__typename"),
    ({"__typename": "State"}, "__typename"),
    ({"__typename": ["User"]}, "__typename"),
    ({"__typename": "Domain"}, "domainId"),
    ({"__typename": "Domain", "domainId": None}, "domainId"),
    ({"__typename": "Domain", "domainId": ["d1"]}, "domainId"),
    ({"__typename": "Domain", "domainId": True}, "domainId"),
    ({"__typename": "User", "domainId": "d1"}, "userId"),
    ({"__typename": "User", "domainId": "d1", "userId": 1.5}, "userId"),
    ({"__typename": "User", "domainId": "d1", "userId": "u" * 256}, "userId"),
    ({"__typename": "APIKeyInfo", "domainId": "d1", "apiKeyId": {"$gt": ""}}, "apiKeyId"),
    ({"__typename": "APIKeyInfo", "domainId": "", "apiKeyId": "x"}, "domainId"),
]


@pytest.mark.parametrize("compiled", [True, False])
async def test_a_bad_reference_is_null_with_an_error_in_its_place_and_harms_no_neighbour(
    api: Api, system: Person, reads: list[str], compiled: bool
) -> None:
    settings = api.settings.model_copy(update={"compiled_execution": compiled})
    async with running(settings) as either:
        await entities(either, [], "... on User { userId }", system)
        query = "query($r: [_Any!]!) { _entities(representations: $r) { __typename ... on APIKeyInfo { apiKeyId } } }"
        good = [key(f"api-key-{1:032x}"), key(f"api-key-{11:032x}"), domain("d1")]
        for wrong, field in WRONG_REFERENCES:
            for _ in range(2):  # the second time it runs compiled
                await either.data("{ __typename }", by=system)  # so that the caller's own key is cached
                reads.clear()
                answer = await either.run(query, {"r": [good[0], wrong, good[1], wrong, good[2]]}, system)
                first, second = ids(1, [0, 1])
                assert answer["data"]["_entities"] == [
                    {"__typename": "APIKeyInfo", **first},
                    None,
                    {"__typename": "APIKeyInfo", **second},
                    None,
                    {"__typename": "Domain"},
                ], wrong
                assert [error["path"] for error in answer["errors"]] == [["_entities", 1], ["_entities", 3]], wrong
                assert {error["extensions"]["code"] for error in answer["errors"]} == {"INVALID_ARGUMENT"}
                assert f"representations[1].{field}: " in answer["errors"][0]["message"], wrong
                assert reads == ["find"]


async def test_a_number_in_a_reference_is_read_as_an_id_reads_it(api: Api, system: Person) -> None:
    found = await entities(api, [user(7), user(7.0)], "... on User { userId }", system)  # type: ignore[arg-type]
    assert found == [{"__typename": "User", "userId": "7"}] * 2


@pytest.mark.parametrize("number", [10**30, 2**64, -(10**30), 1e30])
async def test_a_number_that_json_readers_round_is_no_id(api: Api, system: Person, number: float) -> None:
    query = "query($r: [_Any!]!) { _entities(representations: $r) { __typename ... on User { userId } } }"
    answer = await api.run(query, {"r": [user(number), user("u")]}, system)  # type: ignore[arg-type]
    assert answer["data"]["_entities"] == [None, {"__typename": "User", "userId": "u"}]
    assert answer["errors"][0]["path"] == ["_entities", 0]
    assert answer["errors"][0]["message"] == "representations[0].userId: give a string."
    create = 'mutation($u: ID!) { createApiKey(input: {domainId: "d1", userId: $u}) { userId } }'
    for _ in range(2):  # by graphql-core, and compiled
        (error,) = (await api.run(create, {"u": number}, system))["errors"]
        assert "ID cannot represent a number with so many digits: give it as a string." in error["message"]
    exact = await api.data(create, {"u": 2**53}, system)
    assert exact == {"createApiKey": {"userId": str(2**53)}}


@pytest.mark.parametrize("value", [True, None, [], ["u1"], {"a": "u1"}, 1.5])
async def test_what_id_does_not_read_is_refused_in_its_place(api: Api, system: Person, value: object) -> None:
    query = "query($r: [_Any!]!) { _entities(representations: $r) { __typename } }"
    answer = await api.run(query, {"r": [user(value), user("u")]}, system)  # type: ignore[arg-type]
    assert answer["data"]["_entities"] == [None, {"__typename": "User"}]
    assert [error["path"] for error in answer["errors"]] == [["_entities", 0]]


async def test_too_many_references_are_refused(api: Api, system: Person) -> None:
    query = "query($r: [_Any!]!) { _entities(representations: $r) { __typename } }"
    few = api.settings.model_copy(update={"max_page_size": 3})
    async with running(few) as small:
        assert len(await entities(small, [domain("d1")] * 3, "", system)) == 3
        assert await small.code(query, {"r": [domain("d1")] * 4}, system) == "INVALID_ARGUMENT"


async def test_one_variable_serves_two_aliases(api: Api, system: Person) -> None:
    query = """query($r: [_Any!]!) { a: _entities(representations: $r) { ... on User { userId } }
        b: _entities(representations: $r) { ... on User { userId } } }"""
    both = await api.data(query, {"r": [user("u1")]}, system)
    assert both == {"a": [{"userId": "u1"}], "b": [{"userId": "u1"}]}


async def test_what_a_gateway_composes_has_no_node_and_lacks_nothing_else(api: Api) -> None:
    sdl = (await api.data("{ _service { sdl } }"))["_service"]["sdl"]
    composed = {
        definition.name.value: definition for definition in parse(sdl).definitions if hasattr(definition, "name")
    }
    assert "Node" not in composed
    assert "Node" not in sdl
    query = "{ __schema { types { name fields(includeDeprecated: true) { name } } } }"
    types = {type_["name"]: type_ for type_ in (await api.data(query))["__schema"]["types"]}
    assert types["Query"]["fields"].pop(
        next(at for at, field in enumerate(types["Query"]["fields"]) if field["name"] == "node")
    )
    for name, definition in composed.items():
        if fields := types.get(name, {}).get("fields"):
            assert [field.name.value for field in getattr(definition, "fields", ())] == [
                field["name"] for field in fields
            ], name
    built_in = {"String", "Boolean", "Int", "Float", "ID"}
    missing = {name for name in types if not name.startswith(("_", "link__"))} - set(composed) - built_in
    assert missing == {"Node"}
    build_ast_schema(parse(sdl), assume_valid_sdl=True)
