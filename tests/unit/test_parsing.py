"""Slices of long input: an error in one connection's does not keep the others waiting."""

import asyncio

import pytest

from gql_identity.server.parsing import Parsing


class Connection:
    """Input of some parts, one of which cannot be parsed."""

    def __init__(self, parsing: Parsing, parts: int, wrong: int | None = None) -> None:
        self._parsing, self._parts, self._wrong = parsing, parts, wrong
        self.parsed = 0
        self.is_closed = False
        parsing.add(self)

    def parse_some(self) -> None:
        if self.parsed == self._wrong:
            raise ValueError("a fault")
        self.parsed += 1
        if self.parsed < self._parts:
            self._parsing.add(self)

    def abort(self) -> None:
        self.is_closed = True


async def test_an_error_closes_its_connection_and_the_others_are_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    parsing = Parsing(asyncio.get_running_loop())
    faulty, other = Connection(parsing, 5, wrong=2), Connection(parsing, 5)
    await asyncio.sleep(0.05)
    assert (faulty.parsed, faulty.is_closed) == (2, True)
    assert (other.parsed, other.is_closed) == (5, False)
    late = Connection(parsing, 1)
    await asyncio.sleep(0.05)
    assert late.parsed == 1
    assert "a fault" in capsys.readouterr().out
