"""The stages of a statistic, and which are refused."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_identity.messages.query import (
    APIKeyCount,
    APIKeyGroup,
    APIKeyProject,
    APIKeyPushField,
    APIKeySort,
    APIKeyStage,
    APIKeyUnwind,
)
from gql_identity.queries.fields import FIELDS
from tests.unit.reading_queries import (
    ANY_JSON,
    COUNT,
    PUSH,
    condition,
    field,
    group_key,
    keys_of,
    plan_or_refusal,
    projected,
    refused,
    stat_query,
    with_field,
)


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([APIKeyGroup()], "[0].group: give `keys`, `fields` or both"),
        ([APIKeyStage()], "[0]: give exactly one of group, sort, project, unwind, count, limit, skip"),
        ([APIKeyStage(limit=1, skip=1)], "[0]: give exactly one"),
        ([APIKeyStage(limit=0)], "[0].limit: "),
        ([APIKeyStage(limit=2**31)], "[0].limit: "),
        ([APIKeyStage(skip=-1)], "[0].skip: "),
        ([with_field("sum", "n")], "[0].group.fields[0]: `key` is missing"),
        ([with_field("sum", None, "name")], "[0].group.fields[0]: `name` is missing"),
        ([with_field("count", "a.b")], '[0].group.fields[0].name: "a.b" is not 1 to 64'),
        ([with_field("count", "$n")], "[0].group.fields[0].name: "),
        ([with_field("count", "1n")], "[0].group.fields[0].name: "),
        ([with_field("count", "n" * 65)], "[0].group.fields[0].name: "),
        ([with_field("count", "n\n")], "[0].group.fields[0].name: "),
        ([with_field("count", "")], "[0].group.fields[0].name: "),
        ([with_field("sum", "n", "digest")], "[0].group.fields[0].key: "),
        ([with_field("sum", "n", "$user_id")], "[0].group.fields[0].key: "),
        (
            [with_field("max", "n", "name", conditions=[condition("name", "eq", "")])],
            "[0].group.fields[0].conditions: ",
        ),
        (
            [with_field("count", "n", conditions=[condition("name", "in", [])])],
            "[0].group.fields[0].conditions[0].operator: ",
        ),
        (
            [with_field("count", "n", conditions=[condition("name", "gt", None)])],
            "[0].group.fields[0].conditions[0].value: ",
        ),
        ([with_field("count", "n", conditions=[condition("x", "eq", "")])], "[0].group.fields[0].conditions[0].key: "),
        ([with_field("sum", "n", "name", fields=[APIKeyPushField(key="name")])], "[0].group.fields[0].fields: "),
        (
            [with_field("push", "n", "name", fields=[APIKeyPushField(key="name")])],
            "[0].group.fields[0]: give push a key",
        ),
        ([with_field("push", "n", fields=[APIKeyPushField(key="name")] * 2)], "[0].group.fields[0].fields[1].name: "),
        ([with_field("merge_objects", "n", "name")], "[0].group.fields[0]: merge_objects merges objects"),
        ([APIKeyGroup(keys=[group_key("name", "a")], fields=[field("count", "a")])], "[0].group.fields[0].name: "),
        ([APIKeyGroup(keys=[group_key("name", "y", "%Y")])], "[0].group.keys[0].date_format: it is for instants"),
        ([APIKeyGroup(keys=[group_key("created_at", "y", "%Y%Q")])], "[0].group.keys[0].date_format: "),
        ([APIKeyGroup(keys=[group_key("created_at", "y", "$user_id")])], "[0].group.keys[0].date_format: "),
        ([APIKeyGroup(keys=[group_key("created_at", "y", "%")])], "[0].group.keys[0].date_format: "),
        ([APIKeyGroup(keys=[group_key("created_at", "y", "")])], "[0].group.keys[0].date_format: "),
        ([APIKeyGroup(keys=[group_key("created_at", "y", "\0")])], "[0].group.keys[0].date_format: "),
        (
            [APIKeyGroup(keys=[group_key("created_at", "y", "a" * 257)])],
            "[0].group.keys[0].date_format: give at most 256",
        ),
        ([APIKeyGroup(keys=[group_key("name", f"n{n}") for n in range(101)])], "[0].group: give at most 100"),
        ([COUNT, APIKeySort(key="user_id")], "[1].sort.key: "),
        ([COUNT, COUNT], "[1].group.keys[0].key: "),
        ([PUSH, APIKeySort(key="ids")], '[1].sort.key: "ids" is a list, which has no order'),
        ([APIKeyUnwind(path="user_id")], '[0].unwind.path: "user_id" is text; use a list'),
        ([PUSH, APIKeyUnwind(path="$ids")], "[1].unwind.path: "),
        ([APIKeyCount(name="a b")], "[0].count.name: "),
        ([APIKeyCount(name="n"), APIKeySort(key="name")], "[1].sort.key: "),
        ([APIKeyProject()], "[0].project: give `fields`, `exclude_keys` or both"),
        ([APIKeyProject(fields=[projected("digest")])], "[0].project.fields[0].key: "),
        ([APIKeyProject(fields=[projected("name", "size")])], "[0].project.fields[0]: size is for"),
        (
            [APIKeyProject(fields=[projected("name", "add", value=1)])],
            '[0].project.fields[0]: "name" is text; use a column of numbers',
        ),
        ([APIKeyProject(fields=[projected("name", value=1)])], "[0].project.fields[0]: only add, "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add")])], "[1].project.fields[0]: `value` is missing"),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value=None)])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value="user")])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value="$n")])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value=2**63)])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value=math.nan)])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value=math.inf)])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value={"$x": 1})])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", "add", value=True)])], "[1].project.fields[0].value: "),
        ([COUNT, APIKeyProject(fields=[projected("n", name="_")] * 2)], "[1].project.fields[1].name: "),
        (
            [PUSH, APIKeyProject(fields=[projected("ids", "array_to_object", "o")])],
            "[1].project.fields[0]: array_to_object",
        ),
        ([PUSH, APIKeyProject(fields=[projected("ids", "object_to_array", "o")])], "[1].project.fields[0]: object_to"),
        (
            [PUSH, APIKeyProject(fields=[projected("ids"), projected("ids", name="b")])],
            "[1].project.fields[1]: a stage may copy",
        ),
        ([APIKeyGroup(keys=[group_key("name")]), APIKeyProject(exclude_keys=True)], "[1].project: nothing is left"),
        (
            [APIKeyGroup(fields=[field("push", "a", "name"), field("push", "b", "name")]), APIKeyUnwind(path="a")],
            "[1].unwind: ",
        ),
        (
            [COUNT, with_field("count", "n", conditions=[condition("n", "eq", "1")])],
            "[1].group.fields[0].conditions[0].value: ",
        ),
        (
            [PUSH, with_field("count", "n", conditions=[condition("ids", "eq", "1")])],
            "[1].group.fields[0].conditions[0].key: ",
        ),
    ],
)
def test_a_wrong_stage_is_refused_by_its_path(stages: list[Any], expected: str) -> None:
    assert refused(stat_query, *stages).startswith(f"query.aggregate{expected}")


def test_a_row_cannot_outgrow_memory_by_doubling() -> None:
    """Twice the same list in one object, at each stage, would be 2^19 times the list after the 20th."""
    doubling = APIKeyGroup(
        fields=[field("push", "p", fields=[APIKeyPushField(key="p", name="a"), APIKeyPushField(key="p", name="b")])]
    )
    start = APIKeyGroup(fields=[field("push", "p", "name")])
    assert "a stage may copy a list only once" in refused(stat_query, start, doubling)


@given(value=ANY_JSON, name=st.text(), key=st.text() | st.sampled_from([*FIELDS]), date_format=st.text() | st.none())
def test_any_stage_is_a_plan_or_a_refusal(value: Any, name: str, key: str, date_format: str | None) -> None:
    for stages in (
        [APIKeyGroup(keys=[group_key(key, name, date_format)])],
        [APIKeyGroup(fields=[field("sum", name, key, conditions=[condition(key, "eq", value)])])],
        [COUNT, APIKeyProject(fields=[projected("n", "divide", name, value)])],
        [APIKeySort(key=key), APIKeyCount(name=name)],
        [PUSH, APIKeyUnwind(path=key)],
    ):
        plan = plan_or_refusal(stat_query, *stages)
        # The options of `$dateToString` and our own names stand there whatever the name is.
        assert plan is None or name not in keys_of(plan.pipeline) or name in {"c0", "c1", "date", "format", *FIELDS}
