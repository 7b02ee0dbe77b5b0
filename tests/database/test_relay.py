"""Relay's node and connections: their rules, told by a plain reading of the same keys."""

import base64
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gql_identity.keys.records import opaque_id
from gql_identity.queries.connections import MAX_FILTER_DEPTH
from gql_identity.queries.cursors import Order, cursor_at
from tests.conftest import Api, Person, mongo_client

from .conftest import READS

START = datetime(2026, 1, 1, tzinfo=UTC)
PAGE = """query($domain: ID!, $user: ID, $state: APIKeyState, $filter: APIKeyFilter, $order: APIKeyOrder,
        $first: Int, $after: String, $last: Int, $before: String) {
    r: apiKeysConnection(domainId: $domain, userId: $user, state: $state, filter: $filter, orderBy: $order,
        first: $first, after: $after, last: $last, before: $before) {
      totalCount edges { cursor node { apiKeyId name } } nodes { apiKeyId }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
FIELDS = {"API_KEY_ID": "_id", "CREATED_AT": "created_at", "LAST_ACCESSED_AT": "last_accessed_at", "NAME": "name"}
ORDERS = [{"field": field, "direction": direction} for field in FIELDS for direction in ("ASC", "DESC")]


def make_document(number: int) -> dict[str, Any]:
    """A key with ties in every field but its id, with values that are null and values that are missing."""
    document = {
        "_id": f"api-key-{number:032x}",
        "domain_id": "d1",
        "user_id": f"u{number % 3}",
        "state": ("ENABLED", "DISABLED")[number % 2],
        "role": ("USER", "DOMAIN_OWNER")[number % 4 == 0],
        "name": (None, "b", "B", "ä", "a (1)")[number * 7 % 5],
        "digest": number.to_bytes(32, "big"),
        "hint": "gqlid_...abcd",
        "created_at": START + timedelta(days=number * 5 % 4),
        "created_by": "maker" if number < 3 else None,
        "last_accessed_at": None if number % 3 == 0 else START + timedelta(milliseconds=number * 11 % 3),
    }
    if number % 6 == 0:
        del document["last_accessed_at"]
    return document


KEYS = [make_document(number) for number in range(13)]


class Shelf:
    """The keys of d1, and somebody who sees them all."""

    def __init__(self, api: Api, system: Person, collection: Any) -> None:
        self.api, self.system, self.collection = api, system, collection

    async def page(self, **variables: Any) -> Any:
        return (await self.api.data(PAGE, {"domain": "d1", **variables}, self.system))["r"]

    async def ids(self, **variables: Any) -> list[str]:
        return [edge["node"]["apiKeyId"] for edge in (await self.page(**variables))["edges"]]

    async def refusal(self, **variables: Any) -> str:
        answer = await self.api.run(PAGE, {"domain": "d1", **variables}, self.system)
        (error,) = answer["errors"]
        assert answer["data"] == {"r": None}
        assert error["extensions"]["code"] == "INVALID_ARGUMENT", error
        return str(error["message"])


@pytest.fixture
async def shelf(api: Api) -> Any:
    system = await api.make("SYSTEM", "d9", "admin")
    with mongo_client(api.settings) as client:
        collection = client.get_default_database()["api_keys"]
        collection.insert_many([*KEYS[::-1], {**make_document(99), "domain_id": "d2"}])
        yield Shelf(api, system, collection)


def in_order(order: dict[str, str]) -> list[dict[str, Any]]:
    """All keys as the order has them; null comes below everything."""
    field = FIELDS[order["field"]]

    def rank(key: dict[str, Any]) -> tuple[Any, ...]:
        value = key.get(field)
        return (value is not None, value.encode() if isinstance(value, str) else value, key["_id"])

    return sorted(KEYS, key=rank, reverse=order["direction"] == "DESC")


def order_id(order: dict[str, str]) -> str:
    return f"{order['field']} {order['direction']}"


@pytest.mark.parametrize("order", ORDERS, ids=order_id)
async def test_pages_make_up_the_whole_in_both_directions(shelf: Shelf, order: dict[str, str]) -> None:
    expected = [key["_id"] for key in in_order(order)]
    for size in (1, 4, 13):
        pages: list[Any] = []
        after = None
        while not pages or pages[-1]["pageInfo"]["hasNextPage"]:
            pages.append(await shelf.page(order=order, first=size, after=after))
            after = pages[-1]["pageInfo"]["endCursor"]
        assert [edge["node"]["apiKeyId"] for page in pages for edge in page["edges"]] == expected
        pages, before = [], None
        while not pages or pages[0]["pageInfo"]["hasPreviousPage"]:
            pages.insert(0, await shelf.page(order=order, last=size, before=before))
            before = pages[0]["pageInfo"]["startCursor"]
        assert [edge["node"]["apiKeyId"] for page in pages for edge in page["edges"]] == expected


@pytest.mark.parametrize("order", ORDERS[::3], ids=order_id)
async def test_every_window_tells_what_lies_on_either_side(shelf: Shelf, order: dict[str, str]) -> None:
    expected = [key["_id"] for key in in_order(order)]
    whole = await shelf.page(order=order, first=100)
    cursors = [edge["cursor"] for edge in whole["edges"]]
    assert whole["totalCount"] == len(expected) == 13
    for start, end in itertools.product((None, 0, 5, 12), (None, 0, 6, 12)):
        inner = range(0 if start is None else start + 1, 13 if end is None else end)
        for name, number in itertools.product(("first", "last"), (0, 3, 13)):
            window = {
                "after": None if start is None else cursors[start],
                "before": None if end is None else cursors[end],
            }
            page = await shelf.page(order=order, **{name: number}, **window)
            shown = inner[:number] if name == "first" else inner[max(len(inner) - number, 0) :]
            context = (order, start, end, name, number)
            assert [edge["node"]["apiKeyId"] for edge in page["edges"]] == [expected[at] for at in shown], context
            assert page["nodes"] == [{"apiKeyId": expected[at]} for at in shown], context
            assert page["totalCount"] == 13, "the total is of all, whatever the page"
            more = len(inner) > number
            assert page["pageInfo"] == {
                "hasNextPage": more if name == "first" else end is not None,
                "hasPreviousPage": more if name == "last" else start is not None,
                "startCursor": cursors[shown[0]] if shown else None,
                "endCursor": cursors[shown[-1]] if shown else None,
            }, context


async def test_keys_made_and_deleted_between_pages_are_neither_repeated_nor_skipped(shelf: Shelf) -> None:
    order = {"field": "CREATED_AT", "direction": "DESC"}
    expected = [key["_id"] for key in in_order(order)]
    page = await shelf.page(order=order, first=5)
    assert page["pageInfo"]["hasPreviousPage"] is False
    # The key of the cursor itself goes, another of the page, one of the next, and one comes in front of all.
    for gone in (expected[4], expected[1], expected[6]):
        shelf.collection.delete_one({"_id": gone})
    shelf.collection.insert_one({**make_document(50), "created_at": START + timedelta(days=99)})
    rest = await shelf.page(order=order, first=100, after=page["pageInfo"]["endCursor"])
    assert [node["apiKeyId"] for node in rest["nodes"]] == expected[5:6] + expected[7:]
    assert rest["pageInfo"]["hasPreviousPage"] is True
    assert rest["pageInfo"]["hasNextPage"] is False
    back = await shelf.ids(order=order, last=100, before=rest["pageInfo"]["startCursor"])
    assert back == [make_document(50)["_id"], expected[0], *expected[2:4]]
    # With nothing left before, there is no previous page, though the cursor says that there once was.
    shelf.collection.delete_many({"_id": {"$in": back}})
    page = await shelf.page(order=order, first=1, after=page["pageInfo"]["endCursor"])
    assert page["pageInfo"]["hasPreviousPage"] is False


async def test_a_page_is_of_twenty_unless_told_and_bounded(shelf: Shelf) -> None:
    shelf.collection.insert_many([make_document(number) for number in range(100, 120)])
    assert len(await shelf.ids()) == 20
    assert len(await shelf.ids(first=33)) == 33
    middle = (await shelf.page(first=30))["edges"][-1]["cursor"]
    # With `before` alone one goes back by a page.
    assert await shelf.ids(before=middle) == await shelf.ids(last=20, before=middle)
    most = shelf.api.settings.max_page_size
    assert len(await shelf.ids(first=most)) == 33
    for wrong in ({"first": -1}, {"last": -1}, {"first": most + 1}, {"last": 2**31 - 1}, {"first": 1, "last": 1}):
        assert next(iter(wrong)) in await shelf.refusal(**wrong)


async def test_where_nothing_matches_the_page_is_empty(shelf: Shelf) -> None:
    empty = {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None}
    for nothing in ({"user": "nobody"}, {"filter": {"nameContains": "no such"}}, {"domain": "no-such-domain"}):
        for direction in ({"first": 2}, {"last": 2}, {"first": 0}):
            page = await shelf.page(**nothing, **direction)
            assert page == {"totalCount": 0, "edges": [], "nodes": [], "pageInfo": empty}


def forged(content: Any, order: Order | None = None) -> str:
    """A cursor as the service makes them, of any content."""
    return cursor_at(order or Order("api_key_id", True), "d1", content)


async def test_a_cursor_that_is_none_is_refused_in_our_own_words(shelf: Shelf) -> None:
    good = (await shelf.page(first=3))["pageInfo"]["endCursor"]
    content = base64.urlsafe_b64decode(good)
    wrong = [
        "",
        " ",
        "x",
        "Incorrect padding",
        "é",
        "\u0000",
        "💥" * 10,
        good[:-1],
        good + "=",
        good + "\n",
        good.swapcase(),
        good * 2,
        "A" * 100_000,
        base64.urlsafe_b64encode(content[:6]).decode(),
        base64.urlsafe_b64encode(content[:6] + b"[" * 2_000).decode(),
        base64.urlsafe_b64encode(content[:-3] + b"xxx").decode(),
        *(
            base64.urlsafe_b64encode(content[:6] + json.dumps(part).encode()).decode()
            for part in list[Any]((1, None, [], {}, ""))
        ),
        forged([None, {"$gt": ""}]),
        forged([None, 1]),
        forged([None, "\ud800"]),
    ]
    for name in ("after", "before"):
        for cursor in wrong:
            message = await shelf.refusal(**{name: cursor})
            assert message == f"{name}: invalid cursor: give one that this connection returned for the same order."
    by_name, by_age = Order("name", True), Order("created_at", True)
    places: list[tuple[Order, list[Any]]] = [
        (by_name, [1, "k"]),
        (by_name, [{"$gt": ""}, "k"]),
        (by_name, ["\ud800", "k"]),
        (by_age, ["2026", "k"]),
        (by_age, [10**20, "k"]),
        (by_age, [True, "k"]),
        (by_age, [1.5, "k"]),
    ]
    for order, place in places:
        wanted = {"field": {"name": "NAME", "created_at": "CREATED_AT"}[order.field], "direction": "ASC"}
        assert "invalid cursor" in await shelf.refusal(order=wanted, after=forged(place, order))


async def test_a_cursor_is_bound_to_its_order_and_its_domain(shelf: Shelf) -> None:
    cursors = {order_id(order): (await shelf.page(order=order, first=2))["pageInfo"]["endCursor"] for order in ORDERS}
    for order in ORDERS:
        for name, cursor in cursors.items():
            if name == order_id(order):
                assert len(await shelf.ids(order=order, first=100, after=cursor)) == 11
            else:
                assert "after: invalid cursor" in await shelf.refusal(order=order, after=cursor)
        other = cursors[order_id(order)]
        assert "invalid cursor" in await shelf.refusal(domain="d2", order=order, before=other)
    # A user's keys and a filter's stand in the same order: there a cursor holds.
    plain = cursors["API_KEY_ID ASC"]
    assert await shelf.ids(user="u2", after=plain) == [key["_id"] for key in KEYS if key["user_id"] == "u2"]


INSTANT = "2026-01-02T00:00:00Z"
FILTERS: list[tuple[dict[str, Any], Any]] = [
    ({}, lambda key: True),
    ({"nameContains": "B"}, lambda key: key["name"] in ("b", "B")),
    ({"nameContains": "(1)"}, lambda key: key["name"] == "a (1)"),
    ({"nameContains": ""}, lambda key: key["name"] is not None),
    ({"role": "USER"}, lambda key: key["role"] == "USER"),
    ({"createdBy": "maker"}, lambda key: key["created_by"] == "maker"),
    ({"createdAfter": INSTANT}, lambda key: key["created_at"] > START + timedelta(days=1)),
    ({"createdBefore": INSTANT}, lambda key: key["created_at"] < START + timedelta(days=1)),
    ({"createdBefore": "2026-01-02T02:00:00+02:00"}, lambda key: key["created_at"] < START + timedelta(days=1)),
    ({"accessed": True}, lambda key: key.get("last_accessed_at") is not None),
    ({"accessed": False}, lambda key: key.get("last_accessed_at") is None),
    (
        {"lastAccessedAfter": "2026-01-01T00:00:00.000Z"},
        lambda key: (key.get("last_accessed_at") or START) > START,
    ),
    (
        {"lastAccessedBefore": "2026-01-01T00:00:00.001Z"},
        lambda key: key.get("last_accessed_at") is not None and key["last_accessed_at"] == START,
    ),
    ({"role": "USER", "accessed": True}, lambda key: key["role"] == "USER" and key.get("last_accessed_at")),
    (
        {"or": [{"accessed": False}, {"lastAccessedBefore": "2026-01-01T00:00:00.001Z"}]},
        lambda key: key.get("last_accessed_at") in (None, START),
    ),
    (
        {"and": [{"role": "USER"}, {"or": [{"nameContains": "b"}, {"createdBy": "maker"}]}], "or": []},
        lambda key: key["role"] == "USER" and (key["name"] in ("b", "B") or key["created_by"] == "maker"),
    ),
    ({"or": [{}, {"role": "USER"}]}, lambda key: True),
    ({"role": None, "nameContains": None, "or": None}, lambda key: True),
]


@pytest.mark.parametrize(
    ("asked", "holds"), FILTERS, ids=lambda part: json.dumps(part) if isinstance(part, dict) else ""
)
async def test_a_filter_keeps_the_keys_for_which_it_holds(shelf: Shelf, asked: Any, holds: Any) -> None:
    expected = [key["_id"] for key in KEYS if holds(key)]
    assert await shelf.ids(filter=asked) == expected
    for state in ("ENABLED", "DISABLED"):
        page = await shelf.page(filter=asked, state=state, first=0)
        assert page["totalCount"] == len([key for key in KEYS if holds(key) and key["state"] == state])


async def test_a_filter_is_bounded_and_its_instants_have_an_offset(shelf: Shelf) -> None:
    most = shelf.api.settings.max_conditions
    assert len(await shelf.ids(filter={"or": [{"accessed": None}] * (most - 1)})) == 13
    assert "filter" in await shelf.refusal(filter={"or": [{"accessed": None}] * most})
    assert "filter.or[0].nameContains" in await shelf.refusal(filter={"or": [{"nameContains": "x" * 257}]})
    assert "filter.nameContains" in await shelf.refusal(filter={"nameContains": "\0"})
    texts = ["2026-01-02", "2026-01-02T00:00:00", "0001-01-01T00:00:00+14:00", "yesterday", ""]
    for wrong in [*texts, *list[Any]((1, {}, True))]:
        variables = {"domain": "d1", "filter": {"createdAfter": wrong}}
        assert await shelf.api.code(PAGE, variables, shelf.system) == "BAD_USER_INPUT", wrong


async def test_filters_are_nested_as_deep_as_mongodb_takes_a_command(shelf: Shelf, reads: list[str]) -> None:
    deep: Any = {"accessed": False, "madeBy": "nobody", "and": [{"hasScope": "x"}]}
    for _ in range(MAX_FILTER_DEPTH - 2):
        deep = {"accessed": False, "or": [deep, {"expired": True}]}
    assert await shelf.ids(filter=deep) == []
    assert reads
    assert max(depth(command) for command in READS.sent) <= 100
    assert "nested more than 20 deep" in await shelf.refusal(filter={"and": [deep]})


def depth(value: Any) -> int:
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    return 0 if parts is None else 1 + max(map(depth, parts), default=0)


async def test_node_answers_an_objects_own_id_and_null_for_any_other(shelf: Shelf) -> None:
    node = "query($id: ID!) { node(id: $id) { __typename id ... on APIKeyInfo { apiKeyId domainId name } } }"
    key = KEYS[1]
    get = 'query($key: ID!) { apiKey(input: {domainId: "d1", apiKeyId: $key}) { id } }'
    ids = await shelf.api.data(get, {"key": key["_id"]}, shelf.system)
    answer = await shelf.api.data(node, {"id": ids["apiKey"]["id"]}, shelf.system)
    assert answer["node"] == {
        "__typename": "APIKeyInfo",
        "id": ids["apiKey"]["id"],
        "apiKeyId": key["_id"],
        "domainId": "d1",
        "name": key["name"],
    }
    good = opaque_id("d1", key["_id"])
    for wrong in (
        "",
        "x",
        "é",
        "\0",
        good[:-2],
        good + "=",
        key["_id"],
        opaque_id("d2", key["_id"]),
        opaque_id("d1", "no-such-key"),
        base64.b64encode(f"User:{key['_id']}:d1".encode()).decode(),
        base64.b64encode(b"APIKeyInfo:only-one-part").decode(),
        base64.b64encode(b"\xff\xfe").decode(),
    ):
        assert await shelf.api.data(node, {"id": wrong}, shelf.system) == {"node": None}, wrong
