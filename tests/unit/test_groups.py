"""Tests that share a service run in one process."""

import pytest


@pytest.mark.xdist_group("one")
def test_a_group_of_tests_is_known_where_processes_share_the_tests(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("loadgroup", default=False):
        assert request.node.nodeid.endswith("@one")
