"""Compiled events of subscriptions, held against graphql-core: data, errors and their order are equal."""

import json
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from gql_identity.errors import Unavailable
from gql_identity.execution import core, plans
from gql_identity.execution.executor import Executor
from gql_identity.execution.request import Request
from gql_identity.messages.keys import APIKeyChange, APIKeyChangeType
from gql_identity.schema.context import Context
from tests.conformance.test_executor import CALLER, COMPILED, PLAIN, Ordinary, key, without

INPUT = {"i": {"domainId": "d1"}}
SHORT = "subscription($i: APIKeyChangedRequest!) { apiKeyChanged(input: $i) { type apiKeyInfo { apiKeyId name } } }"
WHOLE = """subscription($i: APIKeyChangedRequest!, $a: Boolean = true) { change: apiKeyChanged(input: $i) {
    __typename ...Kind @include(if: $a) apiKeyInfo { id state scopes tags { name value } secrets { hint } createdAt
    expiresAt user { userId __typename } role @skip(if: $a) } } } fragment Kind on APIKeyChange { kind: type }"""
# `apiKeys` has a resolver below the root.
BELOW = """subscription($i: APIKeyChangedRequest!) { apiKeyChanged(input: $i) {
    type apiKeyInfo { apiKeyId user { apiKeys(first: 1) { totalCount } } } } }"""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Unexpected errors are logged, each with its frames: that takes a second."""
    with structlog.testing.capture_logs():
        yield


async def follow(
    executor: Executor, document: str, variables: dict[str, Any], events: list[Any], name: str | None = None
) -> list[str]:
    async def subscribe(*_: Any) -> AsyncIterator[Any]:
        for event in events:
            if isinstance(event, Exception):
                raise event
            yield event

    request = Request(document, None, name, dict(variables))
    operation = await executor.operation(request, may_store=True)
    changes: Any = SimpleNamespace(subscribe=subscribe)
    answers = executor.stream(operation, request, Context(Ordinary(), changes, CALLER))  # type: ignore[arg-type]
    return [json.dumps(answer, default=repr) async for answer in answers]


def changed(info: Any) -> APIKeyChange:
    return APIKeyChange(type=APIKeyChangeType.UPDATED, api_key_info=info)


@pytest.mark.parametrize("document", [SHORT, WHOLE, BELOW])
@pytest.mark.parametrize("variables", [INPUT, INPUT | {"a": False}, {}, {"i": 5}, {"i": {"types": ["NO"]}}])
async def test_events_are_answered_alike(document: str, variables: dict[str, Any]) -> None:
    events = [
        *(changed(key(number)) for number in range(6)),
        changed(key(state=None)),
        changed(key(name=5)),
        changed(key(scopes=[str(number) for number in range(100)])),
        changed(without("api_key_id")),
        changed(None),
        None,
        changed(key(1)),
        Unavailable("Changes cannot be followed now."),
    ]

    assert await follow(COMPILED, document, variables, events) == await follow(PLAIN, document, variables, events)


async def test_the_conditions_of_another_operation_change_no_event() -> None:
    document = """subscription A($i: APIKeyChangedRequest!) { apiKeyChanged(input: $i) { type } }
        query B($i: Boolean!) { viewer { role @skip(if: $i) } }"""
    events = [changed(key(number)) for number in range(3)]

    answers = await follow(COMPILED, document, INPUT, events, "A")

    assert answers == await follow(PLAIN, document, INPUT, events, "A")
    assert len(answers) == 3


@pytest.mark.parametrize("executor", [COMPILED, PLAIN], ids=["compiled", "plain"])
async def test_a_subscription_that_its_client_ends_has_left_at_once(executor: Executor) -> None:
    subscribers = 0

    async def subscribe(*_: Any) -> AsyncIterator[Any]:
        nonlocal subscribers
        subscribers += 1
        try:
            while True:
                yield changed(key(1))
        finally:
            subscribers -= 1

    request = Request(SHORT, None, None, dict(INPUT))
    operation = await executor.operation(request, may_store=True)
    changes: Any = SimpleNamespace(subscribe=subscribe)
    answers = executor.stream(operation, request, Context(Ordinary(), changes, CALLER))  # type: ignore[arg-type]
    await anext(answers)
    assert subscribers == 1

    await answers.aclose()

    assert subscribers == 0


async def test_ordinary_events_need_no_graphql_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "execute_subscription_event", None)
    monkeypatch.setattr(core.CoreExecution, "execute_operation", None)

    for document in (SHORT, WHOLE):
        answers = await follow(COMPILED, document, INPUT, [changed(key(number)) for number in range(3)])

        assert len(answers) == 3
        assert all('"data"' not in answer and '"api' in answer for answer in answers)
