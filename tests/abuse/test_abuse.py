"""One caller's attack leaves the others served: each attack for a short time, on a real service."""

import pytest

from . import attacks_http, attacks_queries, attacks_streams, attacks_websocket  # noqa: F401 - they enter their attacks
from .attacks import KINDS
from .measure import measure

# Shrinks as they are mended; empty is the aim.
NOT_YET = {name: kind.number for name, kind in KINDS.items() if name not in {"benign"}}


@pytest.mark.slow
@pytest.mark.xdist_group("abuse")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_a_victim_is_served_while_one_caller_attacks(name: str, workers: int) -> None:
    if name in NOT_YET:
        issue, _, number = NOT_YET[name].partition(".")
        pytest.skip(f"not mended yet: issue {issue}, number {number}")
    row = measure(KINDS[name], workers=workers, seconds=5, alone_seconds=2)
    assert row.holds, row
