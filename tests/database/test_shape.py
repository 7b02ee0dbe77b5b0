"""Every usual question can use an index: read from the database's own `explain`.

Against a MongoDB of GQL_IDENTITY_TEST_MONGO_URI the whole plan is held to it. The embedded database's planner looks at
a pipeline's first stage alone, so that stage is asked for by itself.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from strawberry import ID
from strawberry.scalars import JSON

from gql_identity.keys.access import Caller
from gql_identity.keys.matching import matches
from gql_identity.messages.connections import APIKeyOrder, APIKeyOrderDirection, APIKeyOrderField, ConnectionArguments
from gql_identity.messages.query import APIKeyCondition, APIKeyListQuery, APIKeyOperator, APIKeySort
from gql_identity.messages.requests import APIKeyQuery
from gql_identity.messages.values import APIKeyRole, APIKeyState
from gql_identity.queries.connections import plan_connection
from gql_identity.queries.cursors import Order, make_cursor
from gql_identity.queries.lists import list_plan
from gql_identity.settings import Settings
from gql_identity.storage.point_reads import matches_across
from tests.conftest import Api, mongo_client

ON_MONGODB = bool(os.environ.get("GQL_IDENTITY_TEST_MONGO_URI"))
DOMAIN = ID("d1")
LATER = APIKeyCondition(key="created_at", operator=APIKeyOperator.GTE, value=JSON("2020-01-01T00:00:00Z"))

QUESTIONS = {
    "by id": APIKeyQuery(domain_id=DOMAIN, api_key_id=ID("api-key-1")),
    "by user": APIKeyQuery(domain_id=DOMAIN, user_id=ID("u1")),
    "by state": APIKeyQuery(domain_id=DOMAIN, state=APIKeyState.ENABLED),
    "by user and state": APIKeyQuery(domain_id=DOMAIN, user_id=ID("u1"), state=APIKeyState.ENABLED),
    "by creation": APIKeyQuery(
        domain_id=DOMAIN, query=APIKeyListQuery(filter=[LATER], sort=APIKeySort(key="created_at"))
    ),
    "by keyword": APIKeyQuery(domain_id=DOMAIN, query=APIKeyListQuery(keyword="ann")),
    "newest first": APIKeyQuery(domain_id=DOMAIN, query=APIKeyListQuery(sort=APIKeySort(key="created_at", desc=True))),
}


DEEP = {
    f"{field.name} {direction.name}": APIKeyOrder(field=field, direction=direction)
    for field in (APIKeyOrderField.API_KEY_ID, APIKeyOrderField.CREATED_AT)
    for direction in APIKeyOrderDirection
}


@pytest.fixture
async def collection(api: Api) -> Any:
    await api.make()
    with mongo_client(api.settings) as client:
        yield client.get_default_database()["api_keys"]


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


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("role", ["USER", "SYSTEM"])
async def test_a_usual_question_walks_an_index(collection: Any, settings: Settings, question: str, role: str) -> None:
    request = QUESTIONS[question]
    caller = Caller("api-key-0", DOMAIN, "u1", APIKeyRole[role])
    plan = list_plan(request, settings, datetime.now(UTC))
    pipeline = [*matches(DOMAIN, request.user_id, plan.filter, caller), {"$sort": plan.sort}, {"$limit": plan.limit}]
    check_walk(collection, pipeline, role)


@pytest.mark.parametrize("order", DEEP)
@pytest.mark.parametrize("side", ["after", "before"])
async def test_a_deep_page_of_a_connection_walks_an_index(
    collection: Any, settings: Settings, order: str, side: str
) -> None:
    by = DEEP[order]
    document = {"_id": "api-key-1", "domain_id": DOMAIN, "created_at": datetime.now(UTC)}
    in_order = Order(str(by.field.value), order.endswith("ASC"))
    cursors = {"after": None, "before": None} | {side: make_cursor(in_order, document)}
    arguments = ConnectionArguments(state=None, filter=None, order_by=by, first=20, last=None, **cursors)
    plan = plan_connection(arguments, {DOMAIN}, settings)
    caller = Caller("api-key-0", DOMAIN, "u1", APIKeyRole.SYSTEM)
    pages = [{"$match": condition} for condition in plan.page]
    pipeline = [*matches(DOMAIN, None, plan.filter, caller), *pages, {"$sort": plan.sort}, {"$limit": plan.limit + 1}]
    check_walk(collection, pipeline, "SYSTEM")


async def test_keys_of_several_domains_are_found_by_an_index(collection: Any) -> None:
    check_walk(collection, matches_across(["d1", "d2"], ["api-key-1", "api-key-2"]), "SYSTEM")


def check_walk(collection: Any, pipeline: list[Any], role: str) -> None:
    """Fail where the database reads its whole collection for a pipeline, or sorts what an index has in order."""
    if not ON_MONGODB:
        pipeline = pipeline[:1]
    command = {"aggregate": collection.name, "pipeline": pipeline, "cursor": {}}
    explained = collection.database.command("explain", command, verbosity="queryPlanner")
    names = set(stages(explained.get("queryPlanner", explained)))
    assert "COLLSCAN" not in names, explained
    assert "IXSCAN" in names or {"EXPRESS_IXSCAN", "IDHACK", "EXPRESS_CLUSTERED_IXSCAN"} & names, explained
    # Below DOMAIN_OWNER another index may serve better, and then a user's few keys are sorted.
    if ON_MONGODB and role == "SYSTEM":
        assert "SORT" not in names, explained
