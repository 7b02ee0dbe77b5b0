"""What is read of a request before anybody knows who sends it is bounded."""

from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.types import Scope

from gql_identity.errors import BadRequest
from gql_identity.execution.values import MAX_DEPTH, count_values
from gql_identity.web.bodies import MAX_FIELDS, parse_json, read_json_body, read_query_string, unquoted


def nested(depth: int, *, objects: bool = False) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth if objects else b"[" * depth + b"]" * depth


@pytest.mark.parametrize("objects", [False, True])
def test_json_is_as_deep_as_its_bound_and_no_deeper(objects: bool) -> None:
    value = parse_json(nested(MAX_DEPTH - 1, objects=objects))
    assert count_values([value], 1_000_000) >= MAX_DEPTH - 1
    with pytest.raises(BadRequest, match=r"^There are more than 250 nested lists and objects\.$"):
        count_values([parse_json(nested(1_000, objects=objects))], 1_000_000)
    for depth in (1_025, 100_000):
        with pytest.raises(BadRequest, match=r"^It has more than 250 nested lists and objects\.$"):
            parse_json(nested(depth, objects=objects), "It")


def test_an_empty_text_is_told_apart_from_one_that_is_no_json() -> None:
    for text, told in (
        (b"", "The body is empty: send JSON."),
        (b" ", "The body is not JSON in UTF-8."),
        (b'{"a": "\\ud800"}', "The body is not JSON in UTF-8."),
    ):
        with pytest.raises(BadRequest) as refused:
            parse_json(text)
        assert (refused.value.message, refused.value.status) == (told, 400)


def test_json_may_have_many_lists_beside_one_another() -> None:
    value: Any = [[{"a": []}]] * 10_000
    assert parse_json(orjson.dumps(value)) == value
    assert parse_json(orjson.dumps("[" * 10_000)) == "[" * 10_000


def scope_of(query_string: bytes) -> Scope:
    return {"query_string": query_string, "place": SimpleNamespace(client=SimpleNamespace(name="somebody"))}


@given(st.lists(st.sampled_from(["%", "%4", "%41", "%e2%82%ac", "%E9", "%zz", "4", "g", "é", "+", "\0"])).map("".join))
def test_percent_encoding_is_read_as_python_reads_it(text: str) -> None:
    assert unquoted(text.encode()) == unquote(text)


async def test_a_query_string_has_few_parameters_each_once() -> None:
    read = await read_query_string(scope_of("query=%7Ba%7D&variables=&&x=%ff&é=+%C3%A9%zé".encode()))
    assert read == {"query": "{a}", "variables": "", "x": "\ufffd", "é": " é%zé"}
    assert len(await read_query_string(scope_of(b"&".join(b"a%d=1" % n for n in range(MAX_FIELDS))))) == MAX_FIELDS
    for query_string in (b"&".join(b"a%d=1" % n for n in range(MAX_FIELDS + 1)), b"a=&" * 20_000, b"&" * 60_000):
        with pytest.raises(BadRequest, match="at most 20 parameters"):
            await read_query_string(scope_of(query_string))
    with pytest.raises(BadRequest, match="each parameter once"):
        await read_query_string(scope_of(b"query=a&query=b"))


@pytest.mark.parametrize("parameters", [";" * 60_000, ";a" * 30_000, '; a="' + "x" * 60_000 + '"'])
async def test_a_content_type_is_short(parameters: str) -> None:
    with pytest.raises(BadRequest, match="Send the request as"):
        await read_json_body(Headers({"content-type": f"application/json{parameters}"}), None)  # type: ignore[arg-type]
