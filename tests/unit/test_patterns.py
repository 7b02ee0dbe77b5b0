"""Patterns are read without compiling them, and their work is bounded."""

import re
import time
import warnings
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gql_identity.errors import ServiceError
from gql_identity.queries.pattern_syntax import read_pattern

from .reading_queries import condition, list_query, refused

_PARTS = st.sampled_from(
    [
        *"ab-]^$.|?*+()[{}&~,:<>=!é0",
        "(?:",
        "(?P<n>",
        "(?i)",
        "(?i:",
        "(?s-i:",
        "{2,3}",
        "{2,}",
        "{2}",
        r"\d",
        r"\W",
        r"\b",
        *(r"\[", r"\x41", r"\n", "[a-c]", r"[^\d]", "[]a]", "(?=", r"\1", "[é-ü]", "??", "*+"),
    ]
)


def test_many_texts_are_few_patterns() -> None:
    words = [f"word{number}.{number}" for number in range(300)]
    plan = list_query(filter=[condition("name", "contain_in", words)])
    patterns = [part["name"]["$regex"] for part in plan.filter["$or"]]
    assert "|".join(patterns).split("|") == [word.replace(".", r"\.") for word in words]
    assert max(map(len, patterns)) <= 1000


@given(st.lists(_PARTS, max_size=12).map("".join))
def test_a_pattern_that_is_read_is_one_of_python_too(text: str) -> None:
    try:
        pattern = read_pattern(text)
    except ValueError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written, given_ = re.compile(pattern.text, re.ASCII), re.compile(text, re.ASCII)
    for sample in ("", "a", "ab", "aab]", "b-a", "1a", "{", "a{2,3", "é", "A", "\n", "[a"):
        assert bool(written.search(sample)) == bool(given_.search(sample))


@given(st.text(max_size=40))
def test_any_text_is_x_with_a_reason(text: str) -> None:
    with suppress(ValueError):
        assert read_pattern(text).work >= 0


@pytest.mark.parametrize(
    "pattern",
    [r"^[a-z]{3,20}-\d+$", ".*prod.*", "(?i)^(?:a|b)+$", "a{499}", r"(?P<year>\d{4})-\d\d", "x{y", "[]-]", "a{,b"],
)
def test_common_patterns_are_read(pattern: str) -> None:
    assert read_pattern(pattern).work <= 1_001


@pytest.mark.parametrize("items", ["{}{}a", "a{}{}", "]{}{}a", "{}{}"])
@pytest.mark.parametrize("start", ["[", "[^"])
@pytest.mark.parametrize("sign", "&~-|")
def test_signs_that_other_engines_read_as_operations_of_sets_are_refused(sign: str, start: str, items: str) -> None:
    with pytest.raises(ValueError, match="means something else in other engines"):
        read_pattern(start + items.format(sign, sign) + "]")
    for alone in (f"[{sign}a]", f"[^{sign}a]", f"[a{sign}]", f"[\\{sign}\\{sign}a]"):
        assert read_pattern(alone).text == alone


@pytest.mark.parametrize(
    "patterns",
    [
        ["(?:(?:a{10}){10}){11}"],
        [".{251}"],
        ["a{500}", "a{501}"],
        ["(?:[a-z].?){0,200}"],
        ["(?:" * 4 + "a{9}" + "){9}" * 4],
    ],
)
def test_the_repetitions_of_a_querys_patterns_are_multiplied_and_bounded(patterns: list[str]) -> None:
    message = refused(list_query, filter=[condition("name", "regex_in", patterns)])
    assert "the patterns of a query match at most 500 characters" in message


def test_the_texts_of_a_query_are_bounded_together() -> None:
    words = [f"{number:0200}" for number in range(100)]
    assert list_query(filter=[condition("name", "contain_in", words)]).filter
    message = refused(list_query, filter=[condition("name", "contain_in", words), condition("name", "contain", "a")])
    assert message.startswith(
        "query.filter[1].value: the texts to search for in a query are too long; give at most 20000"
    )


def seconds_to_read(patterns: list[str]) -> float:
    """The processor's time to read a query of these patterns, the best of three tries."""
    taken = []
    for _ in range(3):
        begun = time.thread_time()
        with suppress(ServiceError):
            list_query(filter=[condition("name", "regex_in", patterns)])
        taken.append(time.thread_time() - begun)
    return min(taken)


def test_patterns_that_take_python_long_to_compile_are_read_in_20_ms() -> None:
    # The worst of a request: every pattern that a query may have, or one more, which is refused.
    too_many = [f"(?i){number}" + "[Ā-￿]" * 45 for number in range(16)]
    assert "patterns of a query" in refused(list_query, filter=[condition("name", "regex_in", too_many)])
    assert seconds_to_read(too_many) < 0.02
    patterns = [f"(?i){number}" + "[Ā-￿]" * 7 for number in range(5)]
    assert list_query(filter=[condition("name", "regex_in", patterns)])
    assert seconds_to_read(patterns) < 0.02
