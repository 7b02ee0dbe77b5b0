"""What operations of our schema cost: the cost follows the work, and what frontends ask for is within the limit."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from graphql import GraphQLError, OperationDefinitionNode, parse, validate

from gql_identity.execution.cost import Cost
from gql_identity.execution.executor import LARGE_COST, LARGE_KILOBYTES
from gql_identity.schema.costs import KILOBYTES, WEIGHTS, cost_rules, values_of_usage
from gql_identity.schema.federation import schema
from gql_identity.settings import Settings

SETTINGS = Settings()
RULES = cost_rules(SETTINGS)


def cost(text: str, variables: dict[str, Any] | None = None) -> int:
    """The cost of an operation; raises GraphQLError over the limit."""
    return measured(text, variables)[0]


def measured(text: str, variables: dict[str, Any] | None = None) -> tuple[int, int]:
    """The cost of an operation, and how many KB its response may have."""
    document = parse(text)
    assert validate(schema._schema, document) == []
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    return Cost(schema._schema, document, operation, RULES, SETTINGS.max_cost).of(variables or {})


def keys(limit: int, fields: str) -> str:
    return f'apiKeys(input: {{domainId: "d", query: {{page: {{limit: {limit}}}}}}}) {{ results {{ {fields} }} }}'


def statistic(query: str) -> str:
    return f'apiKeyStats(input: {{domainId: "d", query: {{{query}}}}})'


def entities(fields: str) -> str:
    return f"query($r: [_Any!]!) {{ _entities(representations: $r) {{ {fields} }} }}"


BY_STATE = '{group: {keys: [{key: "state", name: "s"}], fields: [{operator: COUNT, name: "n"}]}}'
BY_USER_AND_YEAR = """{group: {keys: [{k: "user_id", n: "u"}, {k: "created_at", n: "y", dateFormat: "%Y"}],
    fields: [{o: MAX, k: "name", n: "m"}, {o: COUNT, n: "c"}]}}"""
ALL_NAMES = '{group: {fields: [{o: PUSH, k: "name", n: "all"}]}}'
ALL_FIELDS = "apiKeyId state userId domainId lastAccessedAt createdAt name role hint createdBy"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('apiKey(input: {domainId: "d", apiKeyId: "k"}) { name state }', 10 + 3),
        (keys(10, "name state"), 150 + 1 + 10 * 3),
        ('apiKeysConnection(domainId: "d", first: 5) { nodes { name } }', 150 + 1 + 5 * 2),
        # The connection of each of ten users.
        (keys(10, "user { apiKeys(first: 1) { totalCount } }"), 150 + 1 + 10 * (1 + 1 + 30 + 2)),
        (keys(10, "user { apiKeys(first: 5) { nodes { name } } }"), 150 + 1 + 10 * (1 + 1 + 30 + 1 + 5 * 2)),
        (keys(10, "domain { apiKeys(first: 5) { nodes { name } } }"), 150 + 1 + 10 * (1 + 1 + 30 + 1 + 5 * 2)),
        # Rows times columns. The last stage tells which columns there are.
        (statistic(f"aggregate: [{BY_STATE}]"), 150 + 1_000 * 2),
        (statistic(f"aggregate: [{BY_STATE}], page: {{limit: 7}}"), 150 + 7 * 2),
        (statistic(f"aggregate: [{BY_STATE}, {{limit: 3}}]"), 150 + 3 * 2),
        (statistic(f'aggregate: [{BY_STATE}, {{count: {{name: "n"}}}}]'), 150 + 1),
        (statistic(f'aggregate: [{BY_STATE}, {{project: {{fields: [{{k: "n"}}], excludeKeys: true}}}}]'), 150 + 1_000),
        # A text counts once for each 250 bytes that it may have.
        (statistic('distinct: "role"'), 150 + 1_000),
        (statistic('distinct: "user_id"'), 150 + 1_000 * 5),
        (statistic('distinct: "userId"'), 150 + 1_000 * 5),
        (statistic(f"aggregate: [{BY_USER_AND_YEAR}]"), 150 + 1_000 * (5 + 1 + 5 + 1)),
        # No more than all statistics of a request may return, which is 4,000,000 bytes.
        (statistic(f"aggregate: [{ALL_NAMES}]"), 150 + 16_000),
        (statistic('aggregate: [{sort: {key: "name"}}]'), 150 + 16_000),
        # The database runs a pipeline for each domain.
        (keys(2, f"domain {{ apiKeyStats(query: {{aggregate: [{BY_STATE}], page: {{limit: 1}}}}) }}"), 151 + 2 * 504),
    ],
)
def test_a_cost_follows_the_work(text: str, number: int) -> None:
    assert cost(f"{{ {text} }}") == number


@pytest.mark.parametrize(
    ("text", "is_large"),
    [
        (keys(20, f"{ALL_FIELDS} scopes tags {{ name value }}"), False),
        ("apiKeysConnection { edges { cursor node { name state tags { value } } } pageInfo { endCursor } }", False),
        ('apiKey(input: {domainId: "d", apiKeyId: "k"}) { tags { name value } scopes allowedAddresses }', False),
        ("apiKeyAudit(first: 20) { nodes { id changes { field before after } } }", False),
        ("_service { sdl }", False),
        (keys(200, "tags { name value }"), True),
        (keys(200, "tags { value }"), True),
        (keys(200, "scopes"), True),
        (keys(100, "name scopes allowedAddresses"), True),
        ("apiKeyAudit(first: 100) { nodes { changes { before } } }", True),
    ],
)
def test_what_a_response_may_hold_follows_from_its_fields(text: str, is_large: bool) -> None:
    number, kilobytes = measured(f"{{ {text} }}")
    assert number < LARGE_COST
    assert (kilobytes >= LARGE_KILOBYTES) is is_large


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ({"distinct": "state", "page": {"limit": 3}}, 3),
        ({"aggregate": {"group": {"keys": {"key": "state", "name": "s"}}}, "page": {"limit": 3}}, 3),
        ({"aggregate": [{"project": {"fields": [{"k": "role"}, {"k": "name"}], "excludeKeys": True}}]}, 6_000),
        # What is invalid counts as the largest. It is refused when it is read.
        (None, 16_000),
        ([], 16_000),
        ("x", 16_000),
        ({"page": {"limit": "x"}}, 16_000),
        ({"aggregate": [5]}, 16_000),
        ({"aggregate": [{"group": {"keys": [{"key": ["x"]}]}}]}, 16_000),
        ({"aggregate": [{"count": {}}]}, 16_000),
        ({"aggregate": [{"limit": 10**400}], "distinct": 0}, 16_000),
        ({"distinct": "state", "page": {"limit": -5}}, 1),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_a_statistic_in_a_variable_costs_what_it_may_return(query: Any, number: int) -> None:
    text = "query($i: APIKeyStatQuery!) { apiKeyStats(input: $i) }"
    assert cost(text, {"i": {"query": query}}) == 150 + number
    assert cost(text, {"i": [query]}) == 150 + 16_000


@pytest.mark.parametrize(
    ("variables", "number"), [({}, 4), ({"n": 7}, 7), ({"n": 10**400}, 1_000), ({"n": None}, 1_000)]
)
def test_a_variable_within_a_statistic_counts(variables: dict[str, Any], number: int) -> None:
    text = "query($n: Int = 4) { " + statistic('distinct: "state", page: {limit: $n}') + " }"
    assert cost(text, variables) == 150 + number


def test_the_rules_name_fields_of_the_schema() -> None:
    for coordinate in [*WEIGHTS, *KILOBYTES]:
        type_name, _, name = coordinate.partition(".")
        assert name in schema._schema.type_map[type_name].fields, coordinate  # type: ignore[attr-defined]


OF_A_KEY = 'apiKey(input: {apiKeyId: "k"}) { usage%s { start code count } }'
LONGEST = 10 + 1 + 100 + 400 * 6 * 4


@pytest.mark.parametrize(
    ("arguments", "counts"),
    [
        ("", 31 * 6),
        ("(interval: HOUR)", 25 * 6),
        ('(since: "2026-01-01T00:00:00Z", until: "2026-01-08T00:00:00Z")', 8 * 6),
        ('(since: "2026-01-01T00:00:00Z", until: "2026-01-08T00:00:00Z", interval: HOUR)', (7 * 24 + 1) * 6),
        # Longer than counts are kept, which is 90 days.
        ('(since: "2026-01-01T00:00:00Z", until: "2027-01-01T00:00:00Z")', 93 * 6),
        # Invalid periods, which are refused when they are read.
        ('(since: "2026-01-01T00:00:00Z", until: "2027-01-01T00:00:00Z", interval: HOUR)', 400 * 6),
        ('(since: "2027-01-01T00:00:00Z", until: "2026-01-01T00:00:00Z")', 6),
        ('(since: "x", interval: HOUR)', 400 * 6),
        ('(since: "2026-01-01T00:00:00Z", until: 5, interval: HOUR)', 400 * 6),
    ],
)
def test_the_usage_of_a_key_costs_what_its_period_may_have(arguments: str, counts: int) -> None:
    document = parse("{ " + OF_A_KEY % arguments + " }")
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    found, _ = Cost(schema._schema, document, operation, RULES, SETTINGS.max_cost).of({})
    assert found == 10 + 1 + 100 + counts * 4


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59.999Z", None])
def test_a_period_of_usage_that_ends_in_the_future_costs_what_has_begun(until: str | None) -> None:
    since = (datetime.now(UTC) - timedelta(hours=9, minutes=30)).isoformat()
    hours = {"since": since, "until": until, "interval": "HOUR"}
    assert values_of_usage(hours, kept_days=90) == 11 * 6
    assert values_of_usage(hours | {"since": None}, kept_days=90) == 25 * 6


def test_a_variable_period_of_usage_counts() -> None:
    text = "query($s: DateTime, $i: APIKeyUsageInterval! = HOUR) { " + OF_A_KEY % "(since: $s, interval: $i)" + " }"
    assert cost(text) == 10 + 1 + 100 + 25 * 6 * 4
    since = (datetime.now(UTC) - timedelta(hours=399, minutes=30)).isoformat()
    assert cost(text, {"s": since}) == LONGEST
    assert cost(text, {"s": [5]}) == LONGEST
    assert cost(text, {"s": since, "i": "DAY"}) == 10 + 1 + 100 + 18 * 6 * 4


def test_a_period_of_usage_that_ends_now_grows_while_its_document_is_kept() -> None:
    # Another hour begins in a second.
    since = datetime.now(UTC) - timedelta(hours=24) + timedelta(seconds=1)
    document = parse("{ " + OF_A_KEY % f'(interval: HOUR, since: "{since.isoformat()}")' + " }")
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    kept = Cost(schema._schema, document, operation, RULES, SETTINGS.max_cost)
    assert kept.of({})[0] == 10 + 1 + 100 + 25 * 6 * 4
    time.sleep(1)
    assert kept.of({})[0] == 10 + 1 + 100 + 26 * 6 * 4


def test_the_usage_of_many_keys_by_hour_for_weeks_is_refused() -> None:
    with pytest.raises(GraphQLError, match="max_cost"):
        cost("{ " + keys(190, 'usage(interval: HOUR, since: "2026-01-01T00:00:00Z") { start code count }') + " }")


def several(number: int, field: str) -> str:
    return "{ " + " ".join(f"a{n}: {field}" for n in range(number)) + " }"


FIFTY_KEYS = f"user {{ apiKeys(first: 50) {{ nodes {{ {ALL_FIELDS} }} }} }}"
HUNDRED_KEYS = "user { apiKeys(first: 100) { totalCount nodes { apiKeyId name state } } }"
PER_STATE = f"... on Domain {{ apiKeyStats(query: {{aggregate: [{BY_STATE}], page: {{limit: 10}}}}) }}"
ORDINARY = {
    "a largest page with all fields": several(1, keys(1_000, f"{ALL_FIELDS} user {{ userId }} domain {{ domainId }}")),
    "100 users with 50 keys each, all fields": several(1, keys(100, FIFTY_KEYS)),
    "100 users with 100 keys each": several(1, keys(100, HUNDRED_KEYS)),
    "1,000 users with the number of their keys": entities("... on User { apiKeys(first: 1) { totalCount } }"),
    "100 domains with their keys by state": entities(PER_STATE),
    "ten statistics by state": several(10, statistic(f"aggregate: [{BY_STATE}]")),
    "five statistics by user": several(5, statistic(f"aggregate: [{BY_USER_AND_YEAR}]")),
    "a key's usage by hour for two weeks": several(
        1, OF_A_KEY % '(interval: HOUR, since: "2026-01-01T00:00:00Z", until: "2026-01-15T00:00:00Z")'
    ),
    "100 keys with their usage of a month": several(1, keys(100, "apiKeyId usage { start code count }")),
    "three lists of all names": several(3, statistic(f"aggregate: [{ALL_NAMES}]")),
}


def test_the_example_of_the_readme_costs_what_it_says() -> None:
    assert (
        cost(ORDINARY["100 users with 50 keys each, all fields"])
        == 150 + 1 + 100 * (1 + 1 + 30 + 1 + 50 * 11)
        == 58_451
    )


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_what_frontends_and_gateways_ask_for_is_allowed(text: str) -> None:
    assert cost(text, {"r": [{}] * (100 if "Domain" in text else 1_000)}) <= SETTINGS.max_cost


def test_connections_within_connections_are_refused_where_they_multiply() -> None:
    inner = (
        "apiKeys(first: 1) { nodes { user { apiKeys(first: 1) { nodes { domain { domainId } user { userId } } } } } }"
    )
    page = keys(1_000, f"user {{ {inner} }}")
    assert cost(several(1, page)) == 150 + 1 + 1_000 * 71
    with pytest.raises(GraphQLError) as refused:
        cost(several(2, page))
    assert refused.value.extensions == {"code": "RESOURCE_EXHAUSTED", "cost": 142_302, "maxCost": 100_000}
    assert refused.value.message.startswith("The operation costs 142302, more than 100000: the limit `max_cost`.")


def test_each_weight_is_that_of_a_field_of_the_schema() -> None:
    for coordinate in {*WEIGHTS, *RULES.values}:
        type_name, field_name = coordinate.split(".")
        assert field_name in schema._schema.get_type(type_name).fields  # type: ignore[union-attr]


def test_every_resolver_below_the_root_has_a_weight() -> None:
    for type_name in ("APIKeyInfo", "User", "Domain", "APIKeyConnection", "APIKeyEdge", "APIKeysInfo"):
        for field_name, field in schema._schema.get_type(type_name).fields.items():  # type: ignore[union-attr]
            definition = field.extensions["strawberry-definition"]
            assert definition.is_basic_field == (f"{type_name}.{field_name}" not in WEIGHTS)
