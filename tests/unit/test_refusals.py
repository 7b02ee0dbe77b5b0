"""Lines of refusals in the log: each at once, a flood of them within limits, and none is left out silently."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from gql_identity.keys import refusals
from gql_identity.keys.refusals import LINES, LINES_OF_A_KEY, WINDOW_SECONDS, Refusals


def audited(lines: list[Any]) -> list[str]:
    return [line["actor"] for line in lines if line["event"] == "audit"]


async def test_each_key_and_all_together_have_so_many_lines_in_a_window() -> None:
    told = Refusals()
    with capture_logs() as lines:
        for _ in range(LINES_OF_A_KEY + 5):
            told.tell("a", LINES_OF_A_KEY, actor="a")
        told.tell("b", LINES_OF_A_KEY, actor="b")
    assert audited(lines) == ["a"] * LINES_OF_A_KEY + ["b"]
    with capture_logs() as lines:
        for number in range(LINES + 100):
            told.tell(f"{number}", 1, actor="c")
    assert len(audited(lines)) == LINES - LINES_OF_A_KEY - 1


async def test_the_next_window_has_its_own_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    told, at = Refusals(), 1000.0
    monkeypatch.setattr("gql_identity.keys.refusals.time.monotonic", lambda: at)
    with capture_logs() as lines:
        told.tell("a", 1, actor="first")
        at += WINDOW_SECONDS - 0.001
        told.tell("a", 1, actor="left out")
        at += 0.001
        told.tell("a", 1, actor="second")
    assert audited(lines) == ["first", "second"]


async def test_what_is_left_out_is_counted_when_the_window_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "WINDOW_SECONDS", 0.05)
    told = Refusals()
    with capture_logs() as lines:
        for _ in range(8):
            told.tell("a", 1, actor="a")
        await asyncio.sleep(0.1)
        told.tell("a", 1, actor="a")
        await asyncio.sleep(0.1)
    assert [line.get("count") for line in lines] == [None, 7, None]
