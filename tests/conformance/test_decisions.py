"""The decisions in docs/decisions.md stay short, and name files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECISIONS = re.split(r"^### ", (ROOT / "docs" / "decisions.md").read_text(), flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("decision", DECISIONS, ids=[decision.splitlines()[0] for decision in DECISIONS])
def test_a_decision_has_at_most_15_lines(decision: str) -> None:
    _, *lines = decision.split("\n## ")[0].strip().splitlines()
    assert 1 <= len([line for line in lines if line]) <= 15


@pytest.mark.parametrize(
    "file", sorted({file for decision in DECISIONS for file in re.findall(r"`(\w+(?:/\w+)*(?:\.py|/))`", decision)})
)
def test_a_file_that_a_decision_names_exists(file: str) -> None:
    assert (ROOT / file).exists() or list((ROOT / "gql_identity").rglob(file))
