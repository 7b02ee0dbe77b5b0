"""One caller's attack leaves the others served: each attack for a short time, on a real service."""

import pytest

from . import attacks_http, attacks_queries, attacks_streams, attacks_websocket  # noqa: F401 - they enter their attacks
from .attacks import KINDS
from .measure import measure

# The promised times are measured by `make abuse` on a quiet machine. Here victim, attacker, service and engine share
# two cores with other tests: what fails here is a victim who is not served.
SLACK = 20

# One attack at a time; those that take the database away need little of the processor and nobody is measured meanwhile.
GROUPED = [
    pytest.param(name, marks=pytest.mark.xdist_group("abuse" if kind.victim_counts else "abuse of the database"))
    for name, kind in KINDS.items()
]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1])  # two: `make abuse ARGS="--workers 2"`
@pytest.mark.parametrize("name", GROUPED)
def test_a_victim_is_served_while_one_caller_attacks(name: str, workers: int) -> None:
    row = measure(KINDS[name], workers=workers, seconds=4, alone_seconds=0.5, slack=SLACK)
    assert row.holds, str(row)
