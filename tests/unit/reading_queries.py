"""Queries as tests write them, read without a database."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st
from strawberry import ID, UNSET

from gql_identity.errors import InvalidArgument
from gql_identity.messages.query import (
    APIKeyCondition,
    APIKeyCount,
    APIKeyGroup,
    APIKeyGroupField,
    APIKeyGroupKey,
    APIKeyGroupOperator,
    APIKeyListQuery,
    APIKeyOperator,
    APIKeyProject,
    APIKeyProjectField,
    APIKeyProjectOperator,
    APIKeySort,
    APIKeyStage,
    APIKeyStatisticsQuery,
    APIKeyUnwind,
)
from gql_identity.messages.requests import APIKeyQuery, APIKeyStatQuery
from gql_identity.queries.fields import FIELDS
from gql_identity.queries.lists import list_plan
from gql_identity.queries.statistics import StatPlan, stat_plan
from gql_identity.settings import Settings

NOW = datetime(2026, 11, 25, 4, 36, 42, 123456, UTC)  # a Wednesday
SETTINGS = Settings()


def condition(key: str, operator: str, value: Any) -> APIKeyCondition:
    return APIKeyCondition(key=key, operator=APIKeyOperator(operator), value=value)


def list_query(settings: Settings = SETTINGS, **parts: Any) -> Any:
    return list_plan(APIKeyQuery(domain_id=ID("d"), query=APIKeyListQuery(**parts)), settings, NOW)


def stat_query(*stages: Any, settings: Settings = SETTINGS, **parts: Any) -> StatPlan:
    names = {APIKeyGroup: "group", APIKeySort: "sort", APIKeyProject: "project", APIKeyUnwind: "unwind"}
    names[APIKeyCount] = "count"
    aggregate = [
        stage if isinstance(stage, APIKeyStage) else APIKeyStage(**{names[type(stage)]: stage}) for stage in stages
    ]
    query = APIKeyStatisticsQuery(aggregate=aggregate or None, **parts)
    return stat_plan(APIKeyStatQuery(domain_id=ID("d"), query=query), settings, NOW)


def group_key(key: str, name: str | None = None, date_format: str | None = None) -> APIKeyGroupKey:
    return APIKeyGroupKey(key=key, name=name, date_format=date_format)


def field(operator: str, name: str | None, key: str | None = None, **parts: Any) -> APIKeyGroupField:
    return APIKeyGroupField(operator=APIKeyGroupOperator(operator), name=name, key=key, **parts)


def projected(key: str, operator: str | None = None, name: str | None = None, value: Any = UNSET) -> APIKeyProjectField:
    return APIKeyProjectField(
        key=key, name=name, value=value, operator=APIKeyProjectOperator(operator) if operator else None
    )


def refused(call: Any, *parts: Any, **named: Any) -> str:
    with pytest.raises(InvalidArgument) as caught:
        call(*parts, **named)
    assert len(caught.value.message) < 500
    caught.value.message.encode()
    return caught.value.message


def with_field(*parts: Any, **named: Any) -> APIKeyGroup:
    return APIKeyGroup(fields=[field(*parts, **named)])


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def plan_or_refusal(call: Any, *parts: Any, **named: Any) -> Any:
    """The plan; None for a refusal, which is one of ours and can be sent."""
    try:
        return call(*parts, **named)
    except InvalidArgument as error:
        message = error.message
    assert message.startswith("query")
    assert json.dumps(message, ensure_ascii=False).encode()
    return None


COUNT = APIKeyGroup(keys=[group_key("user_id", "user")], fields=[field("count", "n")])
PUSH = APIKeyGroup(keys=[group_key("user_id", "user")], fields=[field("push", "ids", "api_key_id")])
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["now-1d", "2026-11-23", "USER"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ANY_CONDITION = st.builds(
    APIKeyCondition,
    key=st.sampled_from([*FIELDS, "createdAt", "digest"]) | st.text(max_size=20),
    value=ANY_JSON,
    operator=st.sampled_from(APIKeyOperator),
)
