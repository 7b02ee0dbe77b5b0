"""Every usual question can use an index: the database explains the commands that the service sent.

Against a MongoDB of GQL_IDENTITY_TEST_MONGO_URI the whole plan is held to it. The embedded database's planner looks at
a pipeline's first stage alone, so that stage is explained by itself.
"""

import io
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gql_identity.keys.exports import export_keys
from gql_identity.keys.restores import import_keys
from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from gql_identity.storage.pages import READS_AT_ONCE
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

AUDIT = """query($apiKeyId: ID, $since: DateTime, $first: Int, $after: String, $last: Int, $before: String) {
  apiKeyAudit(
    domainId: "d1", apiKeyId: $apiKeyId, since: $since, first: $first, after: $after, last: $last, before: $before
  ) { edges { cursor } } }"""
ReadsOf = Callable[[str], list[dict[str, Any]]]
SINCE = {"since": "2020-01-01T00:00:00Z"}


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


@pytest.mark.parametrize("of_a_key", [False, True])
@pytest.mark.parametrize("since", [{}, SINCE])
@pytest.mark.parametrize(("count", "cursor"), [("first", "after"), ("last", "before"), ("first", None)])
async def test_a_page_of_the_audit_log_walks_an_index(
    api: Api, reads_of: ReadsOf, of_a_key: bool, since: dict[str, str], count: str, cursor: str | None
) -> None:
    caller = await known(api)
    selected = since | ({"apiKeyId": caller.key_id} if of_a_key else {})
    first = await api.data(AUDIT, selected, caller)
    (edge,) = first["apiKeyAudit"]["edges"]
    sent = reads_of("audit")
    page = {count: 20} | ({cursor: edge["cursor"]} if cursor else {})
    await api.data(AUDIT, selected | page, caller)
    check_walk(api, sent, in_order=True)


async def test_an_import_finds_by_an_index_what_the_audit_log_tells_of_its_keys(
    api: Api, settings: Settings, reads_of: ReadsOf
) -> None:
    domains = [f"d{number}" for number in range(READS_AT_ONCE + 1)]
    kept, gone = [[await api.make(domain_id=domain) for domain in domains] for _ in range(2)]
    file = io.BytesIO()
    async with Database(settings) as database:
        await database.prepare()
        await export_keys(database, settings, io.BytesIO(), file)
        file.seek(0)
        for key in gone:
            named = {"domainId": key.domain_id, "apiKeyId": key.key_id}
            mutation = "mutation($input: APIKeyRequest!) { deleteApiKey(input: $input) { apiKeyId } }"
            await api.data(mutation, {"input": named}, kept[0])
        sent = reads_of("audit")
        imported = await import_keys(database, settings, file)
    assert (imported.created, imported.unchanged) == (0, len(kept))
    assert sorted(imported.kept) == sorted(key.key_id for key in gone)
    assert len(sent) == 2 * len(domains)  # of the deleted keys, and of the entries
    assert READS.most_at_once <= READS_AT_ONCE
    for command in sent:
        check_plan(api, command, in_order=False)


async def test_what_earlier_requests_did_is_found_by_an_index(api: Api, reads_of: ReadsOf) -> None:
    caller = await known(api)
    sent = reads_of("requests")
    create = "mutation($input: CreateAPIKeyRequest!) { createApiKey(input: $input) { apiKeyId } }"
    await api.data(create, {"input": {"domainId": "d1", "userId": "u1", "requestId": "0123456789abcdef"}}, caller)
    assert sent
    for command in sent:
        check_plan(api, command, in_order=False)


async def known(api: Api, role: str = "SYSTEM") -> Person:
    """A caller whose key is cached: its next request reads nothing but what it asks for."""
    person = await api.make(role)
    await api.data("{ __typename }", by=person)
    return person


def check_walk(api: Api, sent: list[dict[str, Any]], *, in_order: bool, kind: str = "aggregate") -> None:
    """Check the plan of the one command sent, which is of this kind."""
    (command,) = [one for one in sent if "getMore" not in one]
    assert kind in command, command
    check_plan(api, command, in_order=in_order)


def check_plan(api: Api, command: dict[str, Any], *, in_order: bool) -> None:
    """Fail where the database reads its whole collection for a command.

    With `in_order`, also where it sorts what an index has in order.
    """
    if "find" in command:
        explainable = {"find": command["find"], "filter": command["filter"]}
    else:
        pipeline = command["pipeline"] if ON_MONGODB else command["pipeline"][:1]
        explainable = {"aggregate": command["aggregate"], "pipeline": pipeline, "cursor": {}}
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
