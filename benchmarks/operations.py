"""The operations: the request to each system, and the check of its response."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from seed import WRITES_DOMAIN, Seeded
from strawberry.utils.str_converters import to_camel_case, to_snake_case

from gql_identity.secret import is_well_formed

FIELDS = ("apiKeyId", "userId", "state", "role", "hint", "createdAt")
_ONLY = [to_snake_case(name) for name in FIELDS]
_LEAVES = " ".join(FIELDS)
_IDS = 2_000  # how many different keys G reads
_ENTITIES = 50

Variables = dict[str, Any]


_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Request:
    """One HTTP request, sent by POST if it has a body."""

    path: str
    body: str | None
    media_type: str = "application/json"
    secret: str | None = None  # None: the caller's; empty: no Authorization header

    @property
    def method(self) -> str:
        """GET without a body."""
        return "GET" if self.body is None else "POST"

    def headers(self, caller_secret: str) -> dict[str, str]:
        """Its headers, but for those of the connection and the length."""
        headers = {"Accept": "application/json"}
        if secret := caller_secret if self.secret is None else self.secret:
            headers["Authorization"] = f"Bearer {secret}"
        if self.body is not None:
            headers["Content-Type"] = self.media_type
        return headers


@dataclass(frozen=True)
class Operation:
    """One of the operations, for all systems."""

    name: str
    title: str
    field: str  # of the response's data
    document: str
    variables: Callable[[Seeded], list[Variables]]
    baseline_path: str | None = None  # the baseline's path for the same operation
    rest_path: str | None = None
    rest: Callable[[Variables], Any] | None = None
    http: Callable[[Seeded], list[Request]] | None = None  # the requests of an operation that GraphQL does not have

    def requests(self, interface: str, data: Seeded) -> list[Request]:
        """The requests that a load rotates through; none if the interface lacks the operation."""
        if interface in ("graphql", "tokens") and self.http is not None:
            return self.http(data)
        given = self.variables(data)
        if interface in ("graphql", "tokens"):
            return [Request("/graphql", json.dumps({"query": self.document, "variables": one})) for one in given]
        if interface == "baseline" and self.baseline_path:
            return [Request(self.baseline_path, json.dumps(next(iter(one.values()), one))) for one in given]
        if interface == "rest" and self.rest_path and self.rest:
            if self.name == "V":
                return [Request(self.rest_path, urlencode(self.rest(one)), _FORM) for one in given]
            return [Request(self.rest_path, json.dumps(self.rest(one))) for one in given]
        return []

    def comparable(self, interface: str, body: Any) -> Any:
        """The part of a response that must be equal for all systems. Raises WrongAnswer for one with an error.

        `body` is that of the response, or the response's headers where it has none.
        """
        if interface == "rest" or self.http is not None:
            answer = _camel(body)
        elif "errors" in body or body.get("data", {}).get(self.field) is None:
            raise WrongAnswer(json.dumps(body)[:500])
        else:
            answer = body["data"][self.field]
        answer = _with_instants(answer)
        match self.name:
            case "S":
                answer = sorted((row["state"], row["count"]) for row in answer["results"])
            case "W" | "R":
                answer = {
                    "secret is well formed": is_well_formed(answer["apiKey"]),
                    "hint fits": answer["hint"][-4:] == answer["apiKey"][-4:],
                    **{name: answer[name] for name in ("userId", "state", "role")},
                }
            case "V":
                answer = answer.get("valid", answer.get("active"))
            case "X" | "K":
                answer = bool(answer["accessToken"]) and answer["tokenType"]
            case "A":
                answer = answer["authorization"].startswith("Bearer ey") and answer["x-auth-key-id"]
        if not answer or (self.name == "E" and not all(answer)):
            raise WrongAnswer(json.dumps(body)[:500])
        return answer


class WrongAnswer(Exception):
    """A system returned an error, nothing, or other data than the first system."""


def _one_key(data: Seeded) -> list[Variables]:
    by_turns = itertools.chain.from_iterable(itertools.zip_longest(*data.keys.values()))
    ids = [key_id for key_id in by_turns if key_id is not None]
    domains = {key_id: domain for domain, domain_ids in data.keys.items() for key_id in domain_ids}
    step = max(1, len(ids) // _IDS)
    return [{"input": {"domainId": domains[key_id], "apiKeyId": key_id}} for key_id in ids[::step][:_IDS]]


def _page(limit: int) -> Callable[[Seeded], list[Variables]]:
    def variables(data: Seeded) -> list[Variables]:
        return [{"input": {"domainId": domain, "query": {"page": {"limit": limit}}}} for domain in data.keys]

    return variables


def _entities(data: Seeded) -> list[Variables]:
    made = []
    for domain, ids in data.keys.items():
        step = max(1, len(ids) // _ENTITIES)
        chosen = list(itertools.islice(itertools.cycle(ids[::step]), _ENTITIES))
        made.append(
            {
                "representations": [
                    {"__typename": "APIKeyInfo", "domainId": domain, "apiKeyId": key_id} for key_id in chosen
                ]
            }
        )
    return made


def _states(data: Seeded) -> list[Variables]:
    return [{"input": {"domainId": domain, "query": _per_state("COUNT")}} for domain in data.keys]


def _per_state(count: str) -> Any:
    group = {"keys": [{"key": "state", "name": "state"}], "fields": [{"operator": count, "name": "count"}]}
    return {"aggregate": [{"group": group}]}


def _write(_: Seeded) -> list[Variables]:
    return [{"input": {"domainId": WRITES_DOMAIN, "userId": f"user-{n:04d}"}} for n in range(100)]


def _rotate(data: Seeded) -> list[Variables]:
    return [{"input": one["input"] | {"overlapSeconds": 0}} for one in _one_key(data)]


def _hot(data: Seeded) -> list[Variables]:
    return [{"input": {"apiKey": text}} for text in data.hot_secrets.values()]


def _token(data: Seeded) -> list[Request]:
    grant = {"grant_type": "client_credentials"}
    return [
        Request("/token", urlencode(grant | {"client_id": key_id, "client_secret": text}), _FORM, secret="")
        for key_id, text in data.hot_secrets.items()
    ]


def _authz(data: Seeded) -> list[Request]:
    return [Request("/authz", None, secret=text) for text in data.hot_secrets.values()]


def _rest_input(variables: Variables) -> Any:
    return _snake(variables["input"])


def _rest_page(variables: Variables) -> Any:
    asked = _snake(variables["input"])
    return asked | {"query": asked["query"] | {"only": _ONLY}}


def _snake(value: Any) -> Any:
    if isinstance(value, dict):
        return {to_snake_case(name): _snake(item) for name, item in value.items()}
    return [_snake(item) for item in value] if isinstance(value, list) else value


def _camel(value: Any) -> Any:
    if isinstance(value, dict):
        return {to_camel_case(name): _camel(item) for name, item in value.items()}
    return [_camel(item) for item in value] if isinstance(value, list) else value


def _no_variables(_: Seeded) -> list[Variables]:
    return [{}]


def _with_instants(value: Any) -> Any:
    """A response with its instants as such: systems write their fractions of a second differently."""
    if isinstance(value, dict):
        return {
            name: datetime.fromisoformat(item) if name == "createdAt" else _with_instants(item)
            for name, item in value.items()
        }
    return [_with_instants(item) for item in value] if isinstance(value, list) else value


_REST = "/identity/v1/api-key"
_LIST = "($input: APIKeyQuery!) { apiKeys(input: $input)"

# W makes the collection grow, and R ends the secrets that V verifies: they are last.
OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation(
            "G",
            "one key",
            "apiKey",
            f"query G($input: GetAPIKeyRequest!) {{ apiKey(input: $input) {{ {_LEAVES} }} }}",
            _one_key,
            "/key",
            f"{_REST}/get",
            lambda variables: _rest_input(variables) | {"only": _ONLY},
        ),
        Operation(
            "L",
            "20 keys and the total",
            "apiKeys",
            f"query L{_LIST} {{ totalCount results {{ {_LEAVES} }} }} }}",
            _page(20),
            "/keys",
            f"{_REST}/list",
            _rest_page,
        ),
        Operation(
            "L100",
            "100 keys and the total",
            "apiKeys",
            f"query L100{_LIST} {{ totalCount results {{ {_LEAVES} }} }} }}",
            _page(100),
            "/keys",
            f"{_REST}/list",
            _rest_page,
        ),
        Operation(
            "E",
            "50 entities",
            "_entities",
            "query E($representations: [_Any!]!) { _entities(representations: $representations) "
            f"{{ ... on APIKeyInfo {{ {_LEAVES} }} }} }}",
            _entities,
            "/entities",
        ),
        Operation(
            "V",
            "verify",
            "verifyApiKey",
            "mutation V($input: VerifyAPIKeyRequest!) { verifyApiKey(input: $input) { valid code } }",
            _hot,
            "/verify",
            "/introspect",
            lambda variables: {"token": variables["input"]["apiKey"]},
        ),
        Operation(
            "A",
            "forward authentication",
            "",
            "",
            _no_variables,
            http=_authz,
        ),
        Operation(
            "X",
            "exchange a secret for a token",
            "exchangeApiKey",
            "mutation X($input: ExchangeAPIKeyRequest!) "
            "{ exchangeApiKey(input: $input) { accessToken tokenType expiresAt } }",
            _hot,
        ),
        Operation(
            "K",
            "a token for an OAuth client",
            "",
            "",
            _no_variables,
            http=_token,
        ),
        Operation(
            "T",
            "the name of a type",
            "__typename",
            "query T { __typename }",
            _no_variables,
            "/typename",
        ),
        Operation(
            "S",
            "keys per state",
            "apiKeyStats",
            "query S($input: APIKeyStatQuery!) { apiKeyStats(input: $input) }",
            _states,
            "/states",
            f"{_REST}/stat",
            lambda variables: _rest_input(variables) | {"query": _per_state("count")},
        ),
        Operation(
            "W",
            "create",
            "createApiKey",
            f"mutation W($input: CreateAPIKeyRequest!) {{ createApiKey(input: $input) {{ apiKey {_LEAVES} }} }}",
            _write,
            "/create",
            f"{_REST}/create",
            _rest_input,
        ),
        Operation(
            "R",
            "rotate",
            "rotateApiKey",
            f"mutation R($input: RotateAPIKeyRequest!) {{ rotateApiKey(input: $input) {{ apiKey {_LEAVES} }} }}",
            _rotate,
            None,
            f"{_REST}/rotate",
            _rest_input,
        ),
    )
}

PAGE_OF_1000 = replace(OPERATIONS["L100"], name="L1000", title="1,000 keys and the total", variables=_page(1_000))
