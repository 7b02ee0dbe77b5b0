"""One caller's attack leaves the others served: each attack for a short time, on a real service."""

import pytest

from . import attacks_http, attacks_queries, attacks_streams, attacks_websocket  # noqa: F401 - they enter their attacks
from .attacks import KINDS
from .measure import measure

# Attacks that still harm others, with the issue and its number: whoever mends one takes its line away.
NOT_YET = {
    "variables": "13.9",
    "silent-connections": "13.12",
    "documents": "13.18",
    "no-key": "21.6",
    "unread-answers-websocket": "13.11",
    "idle-flood": "21.4",
}

# The promised times are measured by `make abuse` on a quiet machine. Here victim, attacker, service and engine share
# two cores with other tests: what fails here is a victim who is not served.
SLACK = 10


@pytest.mark.slow
@pytest.mark.xdist_group("abuse")
@pytest.mark.parametrize("workers", [1])  # two: `make abuse ARGS="--workers 2"`
@pytest.mark.parametrize("name", KINDS)
def test_a_victim_is_served_while_one_caller_attacks(name: str, workers: int) -> None:
    if name in NOT_YET:
        issue, _, number = NOT_YET[name].partition(".")
        pytest.skip(f"not mended yet: issue {issue}, number {number}")
    row = measure(KINDS[name], workers=workers, seconds=4, alone_seconds=1, slack=SLACK)
    assert row.holds, str(row)
