"""The query language over GraphQL and REST alike: a table of cases over forty awkward keys, with equal answers."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gql_identity.messages.query import APIKeyOperator
from gql_identity.storage.database import Database
from tests.conftest import Api, Person

DOMAIN = "d.1*$"
NAMES: list[str | None] = [
    "alpha", "Alpha", "ALPHA beta", "a.b", "a*b", "aXb", "$where", "$ne", '"quoted"', "it's",  # 0 to 9
    "back\\slash", "(a+)+$", "[x]", "^a", "a|b", "école", "ÉCOLE", "Жук", "жУК", "日本",  # 10 to 19
    "😀", "a b", "{}", "-", "__proto__", "true", "1", "null", None, None,  # 20 to 29
    None, "straße", "STRASSE", "%41", "..", "a\\.b", "x$", "0x10", "now-7d", "/a.b/i",  # 30 to 39
]  # fmt: skip
EVERY = range(len(NAMES))
ABSENT_NAME, ABSENT_ACCESS = 30, 39  # these two lack the field; elsewhere it is null
START = datetime(2025, 1, 31, 20, 30, 0, 500_000, UTC)
LONG_AGO = datetime(2025, 3, 1, tzinfo=UTC)
FIELDS = ["api_key_id", "state", "user_id", "domain_id", "created_at", "name", "role", "hint", "created_by"]
LATER = ["expires_at", "expired", "updated_at", "scopes"]  # of these only some keys have a value
FIELDS_OF_LISTS = FIELDS + LATER


def key_id(number: int) -> str:
    """Before every id that is made now."""
    return f"api-key-00{number:02}"


def user(number: int) -> str:
    return ("u.1", "u*1", "U.1", "jane@example.com")[number // 10]


def state(number: int) -> str:
    return "DISABLED" if number % 4 == 0 else "ENABLED"


def role(number: int) -> str:
    return {0: "SYSTEM", 5: "DOMAIN_OWNER", 7: "VERIFIER"}.get(number % 10, "USER")


def created_at(number: int) -> datetime:
    """Four keys an hour: sixteen on the last of January, twenty on the next day, four on the one after."""
    return START + timedelta(hours=number // 4, days=number // 36)


def text(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def document(number: int, domain_id: str = DOMAIN) -> dict[str, Any]:
    accessed = (None, LONG_AGO, datetime.now(UTC) - timedelta(hours=1))[number % 3]
    made: dict[str, Any] = {
        "_id": key_id(number),
        "domain_id": domain_id,
        "user_id": user(number),
        "state": state(number),
        "role": role(number),
        "name": NAMES[number],
        "digest": number.to_bytes(32, "big") + domain_id.encode(),
        "hint": "gqlid_…test",
        "created_at": created_at(number),
        "created_by": key_id(0) if number % 2 else None,
        "last_accessed_at": accessed,
    }
    if number % 5 == 0:
        made |= {"expires_at": created_at(number) + timedelta(days=1), "updated_at": created_at(number)}
        made["scopes"] = ["a", "identity:read"]
        made["rotated_at"] = created_at(number) + timedelta(hours=1)
        made["tags"] = [{"name": "team", "value": f"t{number % 2}"}, {"name": "env", "value": "x"}]
    absent = {ABSENT_NAME: "name", ABSENT_ACCESS: "last_accessed_at"}.get(number)
    return {name: value for name, value in made.items() if name != absent}


class Both:
    """Asks each question over GraphQL and REST, and answers what both answered."""

    def __init__(self, api: Api, caller: Person) -> None:
        self.api = api
        self.caller = caller

    async def list(self, query: Any, wanted: list[str] = FIELDS_OF_LISTS, **own: Any) -> Any:
        """A page; an error's `{code, message}` where both refuse alike."""
        read = " ".join(camel(name) for name in wanted)
        selection = f"results {{ {read} }} totalCount" if wanted else "totalCount"
        over_graphql = await self._graphql("apiKeys", "APIKeyQuery", f"{{ {selection} }}", query, own)
        over_rest = await self._rest("list", query, own)
        if "results" in over_rest and over_graphql.get("results"):
            keys = over_graphql["results"]
            over_graphql["results"] = [{name: key[camel(name)] for name in wanted} for key in keys]
            over_rest["results"] = [{name: key[name] for name in wanted} for key in over_rest["results"]]
        if not wanted:
            over_graphql.setdefault("results", [])
        if "totalCount" in over_graphql:
            over_graphql["total_count"] = over_graphql.pop("totalCount")
        assert in_schema(over_graphql) == in_schema(over_rest), query
        return over_rest

    async def stat(self, query: Any) -> Any:
        over_graphql = await self._graphql("apiKeyStats", "APIKeyStatQuery", "", query, {})
        over_rest = await self._rest("stat", query, {})
        assert in_schema(over_graphql) == in_schema(over_rest), query
        return over_rest

    async def send(self, operation: str, **message: str) -> None:
        """Change a key over REST."""
        answer = await self._rest(operation, None, message)
        assert "code" not in answer, answer

    async def _graphql(self, field: str, message: str, selection: str, query: Any, own: Any) -> Any:
        document = f"query($input: {message}!) {{ answer: {field}(input: $input) {selection} }}"
        given = {camel(name): value for name, value in own.items()}
        answer = await self.api.run(
            document, {"input": {"domainId": DOMAIN, "query": as_graphql(query), **given}}, self.caller
        )
        if answer.get("errors"):
            (error,) = answer["errors"]
            if (extensions := error["extensions"]).get("path"):
                assert extensions["path"].pop(0) == "input"
            return {"message": error["message"], **extensions}
        return answer["data"]["answer"]

    async def _rest(self, operation: str, query: Any, own: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.caller.secret}"}
        message = {"domain_id": DOMAIN, **({} if query is None else {"query": query}), **own}
        answer = (await self.api.client.post(f"/identity/v1/api-key/{operation}", json=message, headers=headers)).json()
        return answer.get("error", answer)


def in_schema(answer: Any) -> Any:
    """An error with its names as GraphQL spells them, and whatever else is no error as it is."""
    if "path" not in answer:
        return answer
    path = [camel(part) if isinstance(part, str) else part for part in answer["path"]]
    return {**answer, "message": camel(answer["message"]), "path": path}


def camel(name: str) -> str:
    return re.sub("_(.)", lambda part: part[1].upper(), name)


def as_graphql(part: Any) -> Any:
    """A message as GraphQL's variables have it: fields in camelCase, operators in capitals, values as they are."""
    if isinstance(part, list):
        return [as_graphql(item) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        camel(name): value.upper()
        if name in ("operator", "o") and isinstance(value, str)
        else (value if name in ("value", "v") else as_graphql(value))
        for name, value in part.items()
    }


@pytest.fixture
async def both(api: Api) -> Both:
    """The forty keys, the same forty in another domain, and someone who sees both."""
    caller = await api.make("SYSTEM", "callers", "admin")
    documents = [document(number) for number in EVERY]
    decoys = [{**document(number, "d.1*$x"), "_id": f"decoy-{number}"} for number in EVERY]
    async with Database(api.settings) as database:
        await database.prepare()
        await database.api_keys.insert_many([*documents, *decoys])
    return Both(api, caller)


def where(holds: Callable[[int], bool]) -> set[int]:
    return {number for number in EVERY if holds(number)}


def named(holds: Callable[[str], bool]) -> set[int]:
    """The keys with a name for which it holds."""
    return {number for number, name in enumerate(NAMES) if name is not None and holds(name)}


NAMELESS = {28, 29, 30}
UNUSED = where(lambda number: number % 3 == 0)
NOON = "2025-02-01T12:00:00Z"
BEFORE_NOON = where(lambda number: number < 36)
FIFTHS = where(lambda number: number % 5 == 0)
THIRD_HOUR = {8, 9, 10, 11}  # created at 22:30:00.500

# A field, an operator, a value, and the numbers of the keys that match.
CONDITIONS: list[tuple[str, str, Any, set[int]]] = [
    ("name", "eq", "alpha", {0}),
    ("name", "eq", "a.b", {3}),
    ("name", "eq", "$where", {6}),
    ("name", "eq", '"quoted"', {8}),
    ("name", "eq", "back\\slash", {10}),
    ("name", "eq", "école", {15}),
    ("name", "eq", "😀", {20}),
    ("name", "eq", "1", {26}),
    ("name", "eq", "null", {27}),
    ("name", "eq", "", set()),
    ("name", "eq", None, NAMELESS),
    ("api_key_id", "eq", key_id(7), {7}),
    ("apiKeyId", "eq", key_id(7), {7}),
    ("api_key_id", "eq", "decoy-7", set()),
    ("domain_id", "eq", DOMAIN, set(EVERY)),
    ("domain_id", "eq", "d.1*$x", set()),
    ("user_id", "eq", "u.1", set(range(10))),
    ("state", "eq", "DISABLED", where(lambda number: number % 4 == 0)),
    ("role", "eq", "SYSTEM", {0, 10, 20, 30}),
    ("created_at", "eq", "2025-01-31T22:30:00.500Z", THIRD_HOUR),
    ("created_at", "eq", "2025-02-01T00:30:00.5+02:00", THIRD_HOUR),
    ("createdAt", "eq", "2025-01-31T22:30:00.500", THIRD_HOUR),
    ("created_at", "eq", "2025-01-31T22:30:00Z", set()),
    ("last_accessed_at", "eq", None, UNUSED),
    ("last_accessed_at", "eq", text(LONG_AGO), where(lambda number: number % 3 == 1)),
    ("created_by", "eq", key_id(0), where(lambda number: number % 2 == 1)),
    ("name", "not", "alpha", set(EVERY) - {0}),
    ("name", "not", None, set(EVERY) - NAMELESS),
    ("state", "not", "ENABLED", where(lambda number: number % 4 == 0)),
    ("last_accessed_at", "not", None, set(EVERY) - UNUSED),
    ("created_at", "not", "2025-01-31T22:30:00.500Z", set(EVERY) - THIRD_HOUR),
    ("name", "lt", "A", named(lambda name: name < "A")),
    ("name", "lte", "a.b", named(lambda name: name <= "a.b")),
    ("name", "gt", "école", named(lambda name: name > "école")),
    ("name", "gte", "école", named(lambda name: name >= "école")),
    ("api_key_id", "lt", key_id(3), {0, 1, 2}),
    ("api_key_id", "gte", key_id(38), {38, 39}),
    ("state", "lt", "ENABLED", where(lambda number: number % 4 == 0)),
    ("created_at", "lt", "2025-01-31T21:30:00.500Z", {0, 1, 2, 3}),
    ("created_at", "lte", "2025-01-31T21:30:00.500Z", set(range(8))),
    ("created_at", "gt", NOON, set(EVERY) - BEFORE_NOON),
    ("created_at", "gte", "2025-02-01", where(lambda number: number >= 16)),
    ("last_accessed_at", "lt", "2025-06-01T00:00:00Z", where(lambda number: number % 3 == 1)),
    ("last_accessed_at", "gte", "2025-06-01T00:00:00Z", where(lambda number: number % 3 == 2)),
    ("name", "exists", True, set(EVERY) - NAMELESS),
    ("name", "exists", False, NAMELESS),
    ("last_accessed_at", "exists", True, set(EVERY) - UNUSED),
    ("last_accessed_at", "exists", False, UNUSED),
    ("created_by", "exists", False, where(lambda number: number % 2 == 0)),
    ("api_key_id", "exists", True, set(EVERY)),
    ("name", "contain", "ALPHA", {0, 1, 2}),
    ("name", "contain", "a.b", {3, 39}),
    ("name", "contain", "A*B", {4}),
    ("name", "contain", "$", {6, 7, 11, 36}),
    ("name", "contain", "(A+)+$", {11}),
    ("name", "contain", "\\", {10, 35}),
    ("name", "contain", "^", {13}),
    ("name", "contain", "|", {14}),
    ("name", "contain", "É", {15, 16}),
    ("name", "contain", "ЖУК", {17, 18}),
    ("name", "contain", "本", {19}),
    ("name", "contain", "😀", {20}),
    ("name", "contain", "ss", {32}),
    ("name", "contain", " ", {2, 21}),
    ("name", "contain", "", set(EVERY) - NAMELESS),
    ("user_id", "contain", "U.1", where(lambda number: number < 10 or 20 <= number < 30)),
    ("state", "contain", "dis", where(lambda number: number % 4 == 0)),
    ("name", "not_contain", "alpha", set(EVERY) - {0, 1, 2}),
    ("name", "not_contain", ".", set(EVERY) - {3, 34, 35, 39}),
    ("name", "not_contain", "", NAMELESS),
    ("name", "in", ["alpha", "$ne", "a.b", "none"], {0, 3, 7}),
    ("name", "in", [None, "alpha"], NAMELESS | {0}),
    ("name", "in", [], set()),
    ("role", "in", ["SYSTEM", "VERIFIER"], {0, 7, 10, 17, 20, 27, 30, 37}),
    ("created_at", "in", ["2025-01-31T22:30:00.500Z", "2000-01-01"], THIRD_HOUR),
    ("name", "not_in", ["alpha", "a.b"], set(EVERY) - {0, 3}),
    ("name", "not_in", [None], set(EVERY) - NAMELESS),
    ("name", "not_in", [], set(EVERY)),
    ("name", "contain_in", ["ALPHA", "$w"], {0, 1, 2, 6}),
    ("name", "contain_in", [".", "*"], {3, 4, 34, 35, 39}),
    ("name", "contain_in", [], set()),
    ("name", "not_contain_in", ["alpha", "."], set(EVERY) - {0, 1, 2, 3, 34, 35, 39}),
    ("name", "not_contain_in", [], set(EVERY)),
    ("name", "regex", "^a.b$", {3, 4, 5, 14, 21}),
    ("name", "regex", r"^a\.b$", {3}),
    ("name", "regex", "^(alpha|beta)$", {0, 1}),
    ("name", "regex", r"^\$[a-z]+$", {6, 7}),
    ("name", "regex", r"^[0-9]+", {26, 37}),
    ("name", "regex", "é", {15, 16}),
    ("api_key_id", "regex", "-000[1-3]$", {1, 2, 3}),
    ("name", "regex_in", ["^ALPHA$", "^x"], {0, 1, 36}),
    ("name", "regex_in", [], set()),
    ("created_at", "datetime_lt", NOON, BEFORE_NOON),
    ("created_at", "datetime_lte", "2025-01-31T20:30:00.500Z", {0, 1, 2, 3}),
    ("created_at", "datetime_gt", "2025-02-01T13:00:00+01:00", set(EVERY) - BEFORE_NOON),
    ("created_at", "datetime_gte", "2025-02-01", where(lambda number: number >= 16)),
    ("last_accessed_at", "datetime_lt", NOON, set()),
    ("last_accessed_at", "timediff_gt", "now-2h", where(lambda number: number % 3 == 2)),
    ("last_accessed_at", "timediff_gte", "now/m-1w", where(lambda number: number % 3 == 2)),
    ("last_accessed_at", "timediff_lt", "now - 30 m", where(lambda number: number % 3 != 0)),
    ("last_accessed_at", "timediff_lte", "now/w-2w", where(lambda number: number % 3 == 1)),
    ("created_at", "timediff_gt", "now/d", set()),
    ("created_at", "timediff_lt", "now", set(EVERY)),
    ("scopes", "eq", "a", FIFTHS),
    ("scopes", "in", ["b", "identity:read"], FIFTHS),
    ("scopes", "not", "a", set(EVERY) - FIFTHS),
    ("scopes", "not_in", ["b"], set(EVERY)),
    ("scopes", "exists", False, set(EVERY) - FIFTHS),
    ("tags", "match", {"name": "team", "value": "t0"}, where(lambda number: number % 10 == 0)),
    ("tags", "match", {"value": "t1"}, where(lambda number: number % 10 == 5)),
    ("tags", "match", {"name": "env"}, FIFTHS),
    ("tags", "match", {"name": "env", "value": "t0"}, set()),
    ("tags", "exists", True, FIFTHS),
    ("tags", "exists", False, set(EVERY) - FIFTHS),
    ("expires_at", "exists", True, FIFTHS),
    ("expires_at", "datetime_lt", "2025-02-01T21:00:00Z", {0}),
    ("updatedAt", "gte", "2025-02-01T12:30:00.500Z", where(lambda number: number % 5 == 0 and number >= 36)),
    ("rotated_at", "lte", "2025-01-31T22:00:00Z", {0}),
]


async def test_each_condition_finds_the_same_keys_over_both(both: Both) -> None:
    for position, (key, operator, value, expected) in enumerate(CONDITIONS):
        # Both spellings take turns.
        names = ("key", "operator", "value") if position % 2 else ("k", "o", "v")
        condition = dict(zip(names, (key, operator, value), strict=True))
        answer = await both.list({"filter": [condition]}, ["api_key_id"])
        assert answer.get("results") == [{"api_key_id": key_id(number)} for number in sorted(expected)], (
            condition,
            answer,
        )
        assert answer["total_count"] == len(expected)


def test_each_operator_is_in_the_table() -> None:
    tried = {operator for _, operator, _, _ in CONDITIONS}
    assert tried == {operator.value for operator in APIKeyOperator}


ALPHA = {"key": "name", "operator": "contain", "value": "alpha"}
SYSTEM = {"key": "role", "operator": "eq", "value": "SYSTEM"}
DISABLED = {"key": "state", "operator": "eq", "value": "DISABLED"}

# A query, the fields of APIKeyQuery itself, and the numbers of the keys in order, and how many match.
LISTS: list[tuple[dict[str, Any], dict[str, Any], list[int], int]] = [
    ({}, {}, list(EVERY), 40),
    ({"filter": [], "filter_or": [], "keyword": ""}, {}, list(EVERY), 40),
    ({"filter": [SYSTEM, DISABLED]}, {}, [0, 20], 2),
    ({"filter_or": [SYSTEM, ALPHA]}, {}, [0, 1, 2, 10, 20, 30], 6),
    ({"filter": [DISABLED], "filter_or": [SYSTEM, ALPHA]}, {}, [0, 20], 2),
    ({"keyword": "KEY-0007"}, {}, [7], 1),
    ({"keyword": " jane  key-0007 "}, {}, [7, *range(30, 40)], 11),
    ({"keyword": "u*1"}, {}, list(range(10, 20)), 10),
    ({"keyword": "."}, {}, [*range(10), *range(20, 40)], 30),
    ({"keyword": "nobody", "filter_or": [ALPHA]}, {}, [0, 1, 2], 3),
    ({"keyword": "jane", "filter": [SYSTEM]}, {}, [30], 1),
    ({}, {"user_id": "U.1"}, list(range(20, 30)), 10),
    ({}, {"user_id": "U.1", "state": "DISABLED"}, [20, 24, 28], 3),
    ({}, {"api_key_id": key_id(5)}, [5], 1),
    ({}, {"api_key_id": "decoy-5"}, [], 0),
    ({"filter": [SYSTEM]}, {"user_id": "u*1"}, [10], 1),
    ({"sort": {"key": "api_key_id", "desc": True}}, {}, list(reversed(EVERY)), 40),
    ({"sort": {"key": "created_at"}, "page": {"limit": 6}}, {}, [0, 1, 2, 3, 4, 5], 40),
    ({"sort": {"key": "createdAt", "desc": True}, "page": {"limit": 6}}, {}, [39, 38, 37, 36, 35, 34], 40),
    ({"sort": {"key": "name"}, "page": {"limit": 5}}, {}, [28, 29, 30, 8, 7], 40),
    ({"sort": {"key": "name", "desc": True}, "page": {"limit": 3}}, {}, [20, 19, 18], 40),
    ({"sort": {"key": "last_accessed_at"}, "page": {"limit": 15}}, {}, [*range(0, 40, 3), 1], 40),
    (
        {"sort": {"keys": [{"key": "role"}, {"key": "created_at", "desc": True}]}, "page": {"limit": 6}},
        {},
        [35, 25, 15, 5, 30, 20],
        40,
    ),
    (
        {"sort": {"keys": [{"key": "state", "desc": True}, {"key": "user_id"}]}, "page": {"limit": 4}},
        {},
        [21, 22, 23, 25],
        40,
    ),
    ({"sort": {}}, {}, list(EVERY), 40),
    ({"sort": {"keys": []}}, {}, list(EVERY), 40),
    ({"sort": {"key": ""}}, {}, list(EVERY), 40),
    ({"sort": {"key": "", "desc": True}}, {}, list(EVERY), 40),
    ({"sort": {"keys": [{"key": ""}]}, "page": {"limit": 2}}, {}, [0, 1], 40),
    ({"sort": {"keys": [{"key": ""}, {"key": "created_at", "desc": True}]}, "page": {"limit": 2}}, {}, [39, 38], 40),
    ({"sort": {"key": "", "keys": [{"key": "api_key_id", "desc": True}]}}, {}, list(reversed(EVERY)), 40),
    ({"page": {"start": 1, "limit": 3}}, {}, [0, 1, 2], 40),
    ({"page": {"start": 4, "limit": 3}}, {}, [3, 4, 5], 40),
    ({"page": {"start": 39, "limit": 10}}, {}, [38, 39], 40),
    ({"page": {"start": 41, "limit": 10}}, {}, [], 40),
    ({"page": {"start": 0, "limit": 2}}, {}, [0, 1], 40),
    ({"page": {"start": -5, "limit": 2}}, {}, [0, 1], 40),
    ({"page": {"start": 38}}, {}, list(EVERY), 40),
    ({"page": {"start": 38, "limit": 0}}, {}, list(EVERY), 40),
    ({"page": {"start": 41}}, {}, list(EVERY), 40),
    ({"page": {"start": 2, "limit": 2}, "filter": [SYSTEM]}, {}, [10, 20], 4),
    ({"page": None, "sort": None, "filter": None, "only": None}, {}, list(EVERY), 40),
]


async def test_each_list_has_the_same_keys_in_the_same_order_over_both(both: Both) -> None:
    for query, own, expected, total in LISTS:
        answer = await both.list(query, **own)
        found = [int(key["api_key_id"][-2:]) for key in answer.get("results", ())]
        assert (found, answer.get("total_count")) == (expected, total), (query, answer)
        for number, key in zip(found, answer["results"], strict=True):
            assert key == {
                "api_key_id": key_id(number),
                "state": state(number),
                "user_id": user(number),
                "domain_id": DOMAIN,
                "created_at": text(created_at(number)),
                "name": NAMES[number],
                "role": role(number),
                "hint": "gqlid_…test",
                "created_by": key_id(0) if number % 2 else None,
                "expires_at": text(created_at(number) + timedelta(days=1)) if number % 5 == 0 else None,
                "expired": number % 5 == 0,
                "updated_at": text(created_at(number)) if number % 5 == 0 else None,
                "scopes": ["a", "identity:read"] if number % 5 == 0 else None,
            }


async def test_fields_left_out_and_counts_are_the_same_over_both(both: Both) -> None:
    page = {"page": {"limit": 1}}
    assert await both.list({"only": ["name", "createdAt"], **page}, ["name", "created_at"]) == {
        "results": [{"name": "alpha", "created_at": text(START)}],
        "total_count": 40,
    }
    assert await both.list({"minimal": True, **page}, ["api_key_id", "state", "user_id"]) == {
        "results": [{"api_key_id": key_id(0), "state": "DISABLED", "user_id": "u.1"}],
        "total_count": 40,
    }
    for query in ({"count_only": True}, {"count_only": True, "page": {"limit": 3}}):
        assert await both.list(query, []) == {"results": [], "total_count": 40}
        assert (await both.list(query))["results"] == []
    assert await both.list({"count_only": True, "filter": [ALPHA]}, []) == {"results": [], "total_count": 3}
    unknown = await both.list({"only": ["name", "digest"]}, ["name"])
    assert unknown["code"] == "INVALID_ARGUMENT"
    assert unknown["message"].startswith("query.only[1]: ")


COUNT = {"operator": "count", "name": "Count"}
WORKED_EXAMPLE = {
    "aggregate": [
        {
            "group": {
                "keys": [
                    {"key": "created_at", "name": "Year", "date_format": "%Y"},
                    {"key": "created_at", "name": "Month", "date_format": "%m"},
                    {"key": "created_at", "name": "Day", "date_format": "%d"},
                ],
                "fields": [COUNT],
            }
        },
        {"sort": {"key": "Count", "desc": True}},
    ]
}
BY_ROLE = {"group": {"keys": [{"key": "role", "name": "role"}], "fields": [COUNT]}}
SORTED = {"sort": {"key": "role"}}
SORTED_X = {"sort": {"key": "x"}}
ROLES = [
    {"role": "DOMAIN_OWNER", "Count": 4},
    {"role": "SYSTEM", "Count": 4},
    {"role": "USER", "Count": 28},
    {"role": "VERIFIER", "Count": 4},
]


def group(**fields: Any) -> dict[str, Any]:
    """One group of all, with one field `x`."""
    return {"group": {"fields": [{"name": "x", **fields}]}}


STATS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        WORKED_EXAMPLE,
        {
            "results": [
                {"Year": "2025", "Month": "02", "Day": "01", "Count": 20},
                {"Year": "2025", "Month": "01", "Day": "31", "Count": 16},
                {"Year": "2025", "Month": "02", "Day": "02", "Count": 4},
            ]
        },
    ),
    ({"distinct": "scope"}, {"results": ["a", "identity:read"]}),
    ({"distinct": "tagValue"}, {"results": ["t0", "t1", "x"]}),
    (
        {"distinct": "expires_at", "page": {"limit": 1}},
        {"results": [text(START + timedelta(days=1))], "total_count": 8},
    ),
    (
        {
            "filter": [{"k": "tags", "o": "match", "v": {"name": "team"}}],
            "aggregate": [
                {"unwind": {"path": "tags"}},
                {"group": {"keys": [{"key": "tag_name"}, {"key": "tagValue", "name": "value"}], "fields": [COUNT]}},
            ],
        },
        {
            "results": [
                {"tag_name": "env", "value": "x", "Count": 8},
                {"tag_name": "team", "value": "t0", "Count": 4},
                {"tag_name": "team", "value": "t1", "Count": 4},
            ]
        },
    ),
    (
        {"aggregate": [{"unwind": {"path": "scopes"}}, {"group": {"keys": [{"key": "scope"}], "fields": [COUNT]}}]},
        {"results": [{"scope": "a", "Count": 8}, {"scope": "identity:read", "Count": 8}]},
    ),
    ({"distinct": "role"}, {"results": ["DOMAIN_OWNER", "SYSTEM", "USER", "VERIFIER"]}),
    ({"distinct": "userId"}, {"results": ["U.1", "jane@example.com", "u*1", "u.1"]}),
    ({"distinct": "created_by"}, {"results": [key_id(0)]}),
    ({"distinct": "created_at", "page": {"limit": 1}}, {"results": [text(START)], "total_count": 10}),
    ({"distinct": "name", "filter": [ALPHA]}, {"results": ["ALPHA beta", "Alpha", "alpha"]}),
    ({"distinct": "state", "filter": [{"k": "user_id", "v": "nobody", "o": "eq"}]}, {"results": []}),
    ({"aggregate": [BY_ROLE, SORTED]}, {"results": ROLES}),
    ({"aggregate": [BY_ROLE, SORTED], "page": {"start": 2, "limit": 2}}, {"results": ROLES[1:3], "total_count": 4}),
    ({"aggregate": [BY_ROLE, SORTED], "page": {"start": 3}}, {"results": ROLES}),
    ({"aggregate": [BY_ROLE, SORTED], "page": {"start": 5, "limit": 0}}, {"results": ROLES}),
    ({"distinct": "role", "page": {"start": 3}}, {"results": ["DOMAIN_OWNER", "SYSTEM", "USER", "VERIFIER"]}),
    ({"aggregate": [BY_ROLE, SORTED, {"skip": 1}, {"limit": 1}]}, {"results": ROLES[1:2]}),
    (
        {"aggregate": [BY_ROLE, {"sort": {"keys": [{"key": "Count", "desc": True}]}}, {"limit": 1}]},
        {"results": ROLES[2:3]},
    ),
    ({"aggregate": [BY_ROLE, {"sort": {}}]}, {"results": ROLES}),
    (
        {"aggregate": [BY_ROLE, {"sort": {"key": "role", "desc": True}}, {"sort": {"keys": []}}]},
        {"results": ROLES[::-1]},
    ),
    ({"aggregate": [BY_ROLE, {"sort": {"key": ""}}, {"limit": 1}]}, {"results": ROLES[:1]}),
    (
        {"aggregate": [{"group": {"keys": [{"key": "user_id", "name": "x"}, {"key": "role", "name": "x"}]}}, SORTED_X]},
        {"results": [{"x": row["role"]} for row in ROLES]},
    ),
    (
        {
            "aggregate": [
                {
                    "group": {
                        "keys": [
                            {"k": "created_at", "n": "x", "date_format": "%Y"},
                            {"k": "state"},
                            {"k": "role", "n": "x"},
                        ],
                        "fields": [{"o": "count", "n": "n"}],
                    }
                },
                {"sort": {"keys": [{"key": "x"}, {"key": "state"}]}},
                {"limit": 3},
            ]
        },
        {
            "results": [
                {"x": "DOMAIN_OWNER", "state": "ENABLED", "n": 4},
                {"x": "SYSTEM", "state": "DISABLED", "n": 2},
                {"x": "SYSTEM", "state": "ENABLED", "n": 2},
            ]
        },
    ),
    ({"aggregate": [BY_ROLE, {"count": {"name": "roles"}}]}, {"results": [{"roles": 4}]}),
    ({"aggregate": [{"count": {"name": "n"}}], "keyword": "jane"}, {"results": [{"n": 10}]}),
    ({"aggregate": [{"count": {"name": "n"}}], "filter_or": [SYSTEM, ALPHA]}, {"results": [{"n": 6}]}),
    (
        {"aggregate": [BY_ROLE, SORTED, {"project": {"exclude_keys": True}}]},
        {"results": [{"Count": 4}, {"Count": 4}, {"Count": 28}, {"Count": 4}]},
    ),
    ({"aggregate": [group(operator="max", key="created_at")]}, {"results": [{"x": text(created_at(39))}]}),
    ({"aggregate": [group(o="min", k="createdAt")]}, {"results": [{"x": text(START)}]}),
    ({"aggregate": [group(operator="max", key="name")]}, {"results": [{"x": "😀"}]}),
    (
        {"aggregate": [group(operator="count", conditions=[{"k": "state", "v": "DISABLED", "o": "eq"}])]},
        {"results": [{"x": 10}]},
    ),
    (
        {
            "aggregate": [
                BY_ROLE,
                group(operator="sum", key="Count"),
                {"project": {"fields": [{"k": "x", "n": "y", "o": "divide", "v": 16}]}},
            ]
        },
        {"results": [{"y": 2.5}]},
    ),
    ({"aggregate": [BY_ROLE, group(operator="average", key="Count")]}, {"results": [{"x": 10}]}),
    (
        {"filter": [SYSTEM], "aggregate": [{"sort": {"key": "api_key_id"}}, group(operator="push", key="user_id")]},
        {"results": [{"x": ["u.1", "u*1", "U.1", "jane@example.com"]}]},
    ),
    (
        {
            "filter": [ALPHA],
            "aggregate": [
                {"sort": {"key": "api_key_id"}},
                group(operator="push", fields=[{"k": "name", "n": "n"}, {"k": "state"}]),
                {"unwind": {"path": "x"}},
                {"limit": 2},
            ],
        },
        {"results": [{"x": {"n": "alpha", "state": "DISABLED"}}, {"x": {"n": "Alpha", "state": "ENABLED"}}]},
    ),
    (
        {
            "aggregate": [
                group(operator="add_to_set", key="role"),
                {"project": {"fields": [{"k": "x", "n": "kinds", "o": "size"}]}},
            ]
        },
        {"results": [{"kinds": 4}]},
    ),
    (
        {
            "aggregate": [
                {
                    "group": {
                        "keys": [
                            {"k": "created_at", "n": "y", "date_format": "year"},
                            {"k": "created_at", "n": "m", "date_format": "month"},
                        ],
                        "fields": [{"o": "count", "n": "__proto__"}],
                    }
                },
                {"sort": {"key": "m"}},
            ]
        },
        {"results": [{"y": 2025, "m": 1, "__proto__": 16}, {"y": 2025, "m": 2, "__proto__": 24}]},
    ),
]


async def test_each_statistic_is_the_same_over_both(both: Both) -> None:
    for query, expected in STATS:
        assert await both.stat(query) == expected, query


def condition(key: Any = "name", value: Any = "x", operator: str = "eq") -> dict[str, Any]:
    return {"filter": [{"key": key, "value": value, "operator": operator}]}


# What is refused, alike over both, before the database is asked; each by the path that the message starts with.
REFUSED_LISTS: list[tuple[dict[str, Any], str]] = [
    *((condition(key=key), "query.filter[0].key: ") for key in ("$where", "a.b", "__proto__", "_id", "digest", "")),
    *((condition(key=key), "query.filter[0].key: ") for key in ("disabled_rank", "user_id\0", "name.$ne", "$user_id")),
    *(
        (condition(value=value), "query.filter[0].value: ")
        for value in list[Any](
            ({"$ne": None}, {"$gt": ""}, {"$where": "1"}, {"$function": {}}, ["alpha"], 1, True, "a\0b", 1e308)
        )
    ),
    *(
        (condition(value=value, operator="in"), "query.filter[0].value")
        for value in list[Any](("alpha", {"$ne": 1}, [["a"]], [{}]))
    ),
    *(
        (condition(value=value, operator="contain"), "query.filter[0].value: ")
        for value in list[Any](({"$regex": ""}, None, ["a"]))
    ),
    *(
        (condition(value=value, operator="regex"), "query.filter[0].value: ")
        for value in list[Any](("(", "a\0", "x" * 257, {}, "["))
    ),
    *(
        (condition(value=value, operator="regex"), "query.filter[0].value: ")
        for value in list[Any](("(?=a)", r"(a)\1", "a++", "(?R)"))
    ),
    (condition(value="x" * 200_000, operator="regex"), "query.filter[0].value: "),
    (condition(value="x" * 200_000, operator="contain"), "query.filter[0].value: "),
    (condition(value=[["x"]], operator="regex_in"), "query.filter[0].value[0]: "),
    (condition(value="yes", operator="exists"), "query.filter[0].value: "),
    (condition(value={"a": 1}, operator="match"), "query.filter[0]"),
    (condition(key="created_at", value="yesterday"), "query.filter[0].value: "),
    (condition(key="created_at", value="2025", operator="contain"), "query.filter[0]"),
    (condition(key="created_at", value="now-7d", operator="datetime_lt"), "query.filter[0].value: "),
    (condition(key="created_at", value="now-7y", operator="timediff_lt"), "query.filter[0].value: "),
    (condition(key="created_at", value="now-999999999w", operator="timediff_lt"), "query.filter[0].value: "),
    (condition(key="name", value="now", operator="timediff_lt"), "query.filter[0]"),
    (condition(key="state", value="enabled"), "query.filter[0].value: "),
    ({"filter": [{"key": "name", "k": "name", "value": "x", "operator": "eq"}]}, "query.filter[0]"),
    ({"filter": [{"key": "name", "value": None, "v": None, "operator": "eq"}]}, "query.filter[0]"),
    ({"filter": [{"key": "name", "value": "x"}]}, "query.filter[0]"),
    ({"filter": [{"key": "name", "operator": "eq"}]}, "query.filter[0]"),
    ({"filter_or": [ALPHA, {**ALPHA, "value": 1}]}, "query.filter_or[1].value: "),
    ({"filter": [ALPHA] * 101}, "query: "),
    ({"keyword": "x " * 101}, "query: "),
    ({"keyword": "x" * 257}, "query.keyword: "),
    (condition(value=["x"] * 1001, operator="in"), "query.filter[0].value: "),
    ({"sort": {"key": "$natural"}}, "query.sort.key: "),
    ({"sort": {"key": "digest"}}, "query.sort.key: "),
    ({"sort": {"key": "state", "keys": [{"key": "name"}]}}, "query.sort: "),
    ({"sort": {"keys": [{"key": "name"}, {"key": "a.b"}]}}, "query.sort.keys[1].key: "),
    ({"page": {"limit": 1001}}, "query.page.limit: "),
    ({"page": {"limit": -1}}, "query.page.limit: "),
    ({"unwind": {"path": "x"}}, "query.unwind: "),
    ({"unwind": {"path": "tags"}}, "query.unwind: "),
    ({"sort": {"key": "tags"}}, "query.sort.key: "),
    (condition(key="tags", value={"name": 1}, operator="match"), "query.filter[0].value.name: "),
    ({"minimal": True, "only": ["name"]}, "query.minimal: "),
]


async def test_what_is_refused_is_refused_alike_over_both(both: Both) -> None:
    for query, told in REFUSED_LISTS:
        started = time.monotonic()
        answer = await both.list(query, ["api_key_id"])
        assert answer.get("code") == "INVALID_ARGUMENT", (str(query)[:200], str(answer)[:200])
        assert answer["message"].startswith(told), (str(query)[:200], answer)
        assert len(answer["message"]) < 600
        assert time.monotonic() - started < 9, str(query)[:200]


def by(name: Any = "x", **key: Any) -> dict[str, Any]:
    return {"aggregate": [{"group": {"keys": [{"key": "created_at", "name": name, **key}], "fields": [COUNT]}}]}


STAGE = "query.aggregate[0]."
REFUSED_STATS: list[tuple[dict[str, Any], str]] = [
    ({}, "query: "),
    ({"distinct": "name", "aggregate": [BY_ROLE]}, "query: "),
    ({"aggregate": []}, "query: "),
    ({"distinct": ""}, "query: "),  # absent, as in Cloudforet
    *(({"distinct": name}, "query.distinct: ") for name in ("$where", "a.b", "digest", "name\0")),
    *((by(name), f"{STAGE}group.keys[0].name: ") for name in ("$x", "a.b", "", "1x", "x" * 65, "a\0", "é")),
    *((by(key=key), f"{STAGE}group.keys[0].key: ") for key in ("$$ROOT", "$user_id", "a.b", "__proto__")),
    *(
        (by(date_format=form), f"{STAGE}group.keys[0].date_format: ")
        for form in ("%Z", "%", "$year", "%Y\0", "x" * 300)
    ),
    (by(key="state", date_format="%Y"), f"{STAGE}group.keys[0].date_format: "),
    ({"aggregate": [{"count": {"name": "$n"}}]}, f"{STAGE}count.name: "),
    ({"aggregate": [{"sort": {"key": "Count"}}]}, f"{STAGE}sort.key: "),
    ({"aggregate": [{"unwind": {"path": "$name"}}]}, f"{STAGE}unwind.path: "),
    ({"aggregate": [{"unwind": {"path": "name"}}]}, f"{STAGE}unwind.path: "),
    ({"aggregate": [{"unwind": {"path": "makers"}}]}, f"{STAGE}unwind.path: "),
    ({"aggregate": [{"unwind": {"path": "tags"}}, {"unwind": {"path": "scopes"}}]}, "query.aggregate[1].unwind.path: "),
    ({"aggregate": [{"sort": {"key": "tag_name"}}]}, f"{STAGE}sort.key: "),
    ({"distinct": "tags"}, "query.distinct: "),
    ({"aggregate": [{"limit": 0}]}, f"{STAGE}limit: "),
    ({"aggregate": [{"skip": -1}]}, f"{STAGE}skip: "),
    ({"aggregate": [group(operator="sum")]}, f"{STAGE}group.fields[0]"),
    ({"aggregate": [{"limit": 1}] * 21}, "query.aggregate: "),
    (
        {"aggregate": [BY_ROLE, {"project": {"fields": [{"k": "Count", "n": "x", "o": "add", "v": "$$ROOT"}]}}]},
        "query.aggregate[1].project.fields[0].v: ",
    ),
    (
        {"aggregate": [BY_ROLE, {"project": {"fields": [{"k": "Count", "n": "x", "o": "add", "v": {"$add": 1}}]}}]},
        "query.aggregate[1].project.fields[0].v: ",
    ),
    (
        {"aggregate": [group(operator="count", conditions=[{"k": "name", "v": {"$ne": 1}, "o": "eq"}])]},
        f"{STAGE}group.fields[0].conditions[0].v",
    ),
]


async def test_statistics_that_are_refused_are_refused_alike_over_both(both: Both) -> None:
    for query, told in REFUSED_STATS:
        answer = await both.stat(query)
        assert answer.get("code") == "INVALID_ARGUMENT", (query, answer)
        assert answer["message"].startswith(told), (query, answer)


CATASTROPHIC = [
    "(a+)+$",
    "(a+)+b",
    "(a|a)*b",
    "(a|aa)+$",
    "(.*a){20}",
    "([a-z]+)*!$",
    "^(a?){30}a{30}$",
    "(x+x+)+y",
    ".*.*.*.*b",
]


async def test_a_pattern_that_would_take_forever_is_refused_or_answered_in_time(both: Both) -> None:
    long = [
        {**document(number), "_id": f"z{number}", "name": "a" * 250 + "é!"[number % 2], "user_id": "x" * 255}
        for number in EVERY
    ]
    async with Database(both.api.settings) as database:
        await database.prepare()
        await database.api_keys.insert_many(long)
    for pattern in CATASTROPHIC:
        started = time.monotonic()
        answer = await both.list(condition(value=pattern, operator="regex"), ["api_key_id"])
        assert "results" in answer or answer["code"] == "INVALID_ARGUMENT", (pattern, answer)
        assert time.monotonic() - started < 9, pattern


async def test_a_megabyte_of_pattern_is_too_large(both: Both) -> None:
    answer = await both.list(condition(value="(a+)+" * 200_000, operator="regex"), ["api_key_id"])
    assert answer["code"] == "BAD_REQUEST"


SORTS: list[dict[str, Any] | None] = [
    None,
    {"key": "api_key_id", "desc": True},
    {"key": "created_at"},
    {"key": "created_at", "desc": True},
    {"key": "name"},
    {"key": "last_accessed_at", "desc": True},
    {"keys": [{"key": "state"}, {"key": "role", "desc": True}]},
]


async def pages(both: Both, sort: dict[str, Any] | None, limit: int, between: Callable[[int], Any]) -> list[str]:
    """The ids of all pages in turn; `between` runs after each."""
    seen: list[str] = []
    for start in range(1, 200, limit):
        query = {"sort": sort, "page": {"start": start, "limit": limit}}
        page = [key["api_key_id"] for key in (await both.list(query, ["api_key_id"]))["results"]]
        seen += page
        if len(page) < limit:
            return seen
        await between(start)
    raise AssertionError("the pages do not end")


async def nothing(_: int) -> None:
    pass


async def test_pages_give_each_key_once_in_any_order(both: Both) -> None:
    for sort in SORTS:
        for limit in (1, 7, 40) if sort is None else (7,):
            seen = await pages(both, sort, limit, nothing)
            assert sorted(seen) == [key_id(number) for number in EVERY], (sort, limit)


async def test_pages_give_each_key_once_while_later_ones_come_and_go(both: Both) -> None:
    doomed = [39, 37, 33, 31, 30]
    gone: set[str] = set()

    async def change(start: int) -> None:
        if doomed:
            gone.add(key_id(doomed[0]))
            await both.send("delete", api_key_id=key_id(doomed.pop(0)))
        if start < 30:
            await both.send("create", user_id="new")

    seen = await pages(both, None, 6, change)
    assert len(seen) == len(set(seen))
    assert {key_id(number) for number in EVERY} - gone <= set(seen)


async def test_pages_that_start_after_the_last_id_miss_nothing_whatever_comes_and_goes(both: Both) -> None:
    gone: set[str] = set()
    seen: list[str] = []
    page = [""]
    while page:
        query = {**condition("api_key_id", page[-1], "gt"), "page": {"limit": 4}}
        page = [key["api_key_id"] for key in (await both.list(query, ["api_key_id"]))["results"]]
        seen += page
        if page and page[-1] < key_id(38):
            await both.send("create", user_id="new")
            for doomed in (page[0], key_id(int(page[-1][-2:]) + 2)):  # one that was seen, one that is to come
                await both.send("delete", api_key_id=doomed)
                gone.add(doomed)
    assert len(gone) > 10
    assert len(seen) == len(set(seen))
    assert {key_id(number) for number in EVERY} - gone <= set(seen)
