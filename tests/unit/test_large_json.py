"""JSON of large responses: the same bytes as orjson's, up to a bound."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_identity.errors import InvalidArgument
from gql_identity.web.large_json import FEW_ITEMS, MOST_ITEMS, large_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=FEW_ITEMS + 3) | st.dictionaries(TEXTS, inner, max_size=4)
)


@given(VALUES)
async def test_large_json_is_what_orjson_writes(value: Any) -> None:
    assert await large_json(value, "one", 1_000_000) == orjson.dumps(value)


async def test_long_lists_of_short_and_long_items_are_whole() -> None:
    value = [{"n": n, "texts": ["x" * (n % 7 * 20_000)]} for n in range(3 * FEW_ITEMS)] + [0] * (3 * MOST_ITEMS)
    assert await large_json({"rows": value}, "one", 10_000_000) == orjson.dumps({"rows": value})


async def test_a_value_is_written_up_to_its_bound_and_not_one_byte_past_it() -> None:
    value = {"rows": [{"name": "x" * 100}] * 1_000, "total": 1_000}
    size = len(orjson.dumps(value))
    assert len(await large_json(value, "one", size)) == size
    with pytest.raises(InvalidArgument, match="the limit `max_response_bytes`"):
        await large_json(value, "one", size - 1)


async def test_values_that_orjson_does_not_know_are_written_by_the_given_function() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    text = await large_json(
        [{"at": at}] * 20, "one", 10_000, default=lambda value: value.year, option=orjson.OPT_PASSTHROUGH_DATETIME
    )
    assert orjson.loads(text) == [{"at": 2026}] * 20
