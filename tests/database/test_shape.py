"""Every usual question can use an index: the database explains the commands that the service sent.

Against a MongoDB of GQL_IDENTITY_TEST_MONGO_URI the whole plan is held to it. The embedded database's planner looks at
a pipeline's first stage alone, so that stage is explained by itself.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Api, Person, mongo_client
from tests.database.conftest import READS

ON_MONGODB = bool(os.environ.get("GQL_IDENTITY_TEST_MONGO_URI"))
LATER = {"key": "created_at", "operator": "GTE", "value": "2020-01-01T00:00:00Z"}

LIST = "query($input: APIKeyQuery!) { apiKeys(input: $input) { results { apiKeyId } } }"
LISTS: dict[str, dict[str, Any]] = {
    "by id": {"apiKeyId": "api-key-1"},
    "by user": {"userId": "u1"},
    "by state": {"state": "ENABLED"},
    "by user and state": {"userId": "u1", "state": "ENABLED"},
    "by creation": {"query": {"filter": [LATER], "sort": {"key": "created_at"}}},
    "by end": {"query": {"filter": [{**LATER, "key": "expires_at"}], "sort": {"key": "expires_at"}}},
    "by tag": {"query": {"filter": [{"key": "tags", "operator": "MATCH", "value": {"name": "team"}}]}},
    "by scope": {"query": {"filter": [{"key": "scopes", "operator": "EQ", "value": "a"}]}},
    "by keyword": {"query": {"keyword": "ann"}},
    "newest first": {"query": {"sort": {"key": "created_at", "desc": True}}},
}

PAGE = """query($order: APIKeyOrder!, $first: Int, $after: String, $last: Int, $before: String) {
  apiKeysConnection(
    domainId: "d1", orderBy: $order, first: $first, after: $after, last: $last, before: $before
  ) { edges { cursor } } }"""


@pytest.fixture
def sent(reads: list[str]) -> list[dict[str, Any]]:
    """The commands that read keys from now on, as the service sends them."""
    READS.sent.clear()
    return READS.sent


@pytest.mark.parametrize("question", LISTS)
@pytest.mark.parametrize("role", ["USER", "SYSTEM"])
async def test_a_usual_question_walks_an_index(api: Api, sent: list[dict[str, Any]], question: str, role: str) -> None:
    caller = await known(api, role)
    sent.clear()
    await api.data(LIST, {"input": {"domainId": "d1", **LISTS[question]}}, caller)
    check_walk(api, sent, in_order=role == "SYSTEM")  # a user's few keys may be sorted


@pytest.mark.parametrize("field", ["API_KEY_ID", "CREATED_AT"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize(("count", "cursor"), [("first", "after"), ("last", "before")])
async def test_a_deep_page_of_a_connection_walks_an_index(
    api: Api, sent: list[dict[str, Any]], field: str, direction: str, count: str, cursor: str
) -> None:
    caller = await known(api)
    order = {"field": field, "direction": direction}
    first = await api.data(PAGE, {"order": order, "first": 1}, caller)
    place = first["apiKeysConnection"]["edges"][0]["cursor"]
    sent.clear()
    await api.data(PAGE, {"order": order, count: 20, cursor: place}, caller)
    check_walk(api, sent, in_order=True)


async def test_keys_of_several_domains_are_found_by_an_index(api: Api, sent: list[dict[str, Any]]) -> None:
    caller = await known(api)
    other = await api.make(domain_id="d2")
    lookups = " ".join(
        f'{one.domain_id}: apiKey(input: {{domainId: "{one.domain_id}", apiKeyId: "{one.key_id}"}}) {{ userId }}'
        for one in (caller, other)
    )
    for _ in range(20):  # on a busy machine the second look-up may come too late for the first one's read
        sent.clear()
        await api.data(f"{{ {lookups} }}", by=caller)
        if len(sent) == 1:
            break
    check_walk(api, sent, in_order=False, kind="find")


async def known(api: Api, role: str = "SYSTEM") -> Person:
    """A caller whose key is cached: its next request reads nothing but what it asks for."""
    person = await api.make(role)
    await api.data("{ __typename }", by=person)
    return person


def check_walk(api: Api, sent: list[dict[str, Any]], *, in_order: bool, kind: str = "aggregate") -> None:
    """Fail where the database reads its whole collection for the one command sent, which is of this kind.

    With `in_order`, also where it sorts what an index has in order.
    """
    (command,) = [one for one in sent if "getMore" not in one]
    assert kind in command, command
    explainable = {kind: command[kind]}
    if kind == "find":
        explainable["filter"] = command["filter"]
    else:
        pipeline = command["pipeline"] if ON_MONGODB else command["pipeline"][:1]
        explainable |= {"pipeline": pipeline, "cursor": {}}
    with mongo_client(api.settings) as client:
        explained = client.get_default_database().command("explain", explainable, verbosity="queryPlanner")
    names = set(stages(explained.get("queryPlanner", explained)))
    assert "COLLSCAN" not in names, explained
    assert "IXSCAN" in names or {"EXPRESS_IXSCAN", "IDHACK", "EXPRESS_CLUSTERED_IXSCAN"} & names, explained
    if ON_MONGODB and in_order:
        assert "SORT" not in names, explained


def stages(plan: Any) -> Iterator[str]:
    """The names of all stages of a plan, however deep."""
    if isinstance(plan, dict):
        if "stage" in plan:
            yield plan["stage"]
        for value in plan.values():
            yield from stages(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from stages(value)
