"""docs/metrics.md, held against the code."""

import re
from pathlib import Path

from gql_identity.metrics import SERIES, Series

ROOT = Path(__file__).parents[2]


def row(series: Series) -> str:
    labels = ", ".join(f"`{label}`" for label in series.labels)
    return f"| `{series.name}` | {type(series).__name__.lower()} | {labels} | {series.text} |"


def test_the_page_has_every_series_as_it_is() -> None:
    expected = [row(series) for series in SERIES]
    there = re.findall(r"^\| `\w+` \| (?:counter|gauge|histogram) \|.*$", page := text(), re.MULTILINE)
    assert there == expected, "\n".join(expected)
    named = set(re.findall(r"`(\w+)`", page.partition("## Labels")[2]))
    assert {label for series in SERIES for label in series.labels} - {"version", "python_version"} <= named | {
        "http_request_method"
    }


def test_limits_are_settings_or_have_a_plain_name() -> None:
    limits = {
        name
        for file in (ROOT / "gql_identity").rglob("*.py")
        for name in re.findall(r"LIMITS\.add\(\"(\w+)\"\)", file.read_text())
    }
    assert len(limits) > 10
    assert {"max_cost", "max_body_bytes", "subscriptions_of_a_user"} <= limits


def text() -> str:
    return (ROOT / "docs" / "metrics.md").read_text()
