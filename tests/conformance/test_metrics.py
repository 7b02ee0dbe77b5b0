"""docs/metrics.md, the alerts of docs/operations.md and the dashboard, held against the code."""

import json
import re
from pathlib import Path

from gql_identity.metrics import SERIES, Histogram, Series
from gql_identity.settings import Settings

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
    row = next(line for line in text().splitlines() if line.startswith("| `limit` |"))
    fixed = set(re.findall(r"`(\w+)`", row)) - {"limit", "GQL_IDENTITY_"}
    assert limits - set(Settings.model_fields) | {"head_bytes", "head_seconds"} == fixed


def text() -> str:
    return (ROOT / "docs" / "metrics.md").read_text()


def named(expression: str) -> dict[str, set[str]]:
    """The series that an expression of Prometheus names, with the labels that it asks for."""
    found: dict[str, set[str]] = {}
    for name, selector in re.findall(r"\b((?:gql_identity|http_server|db_client)_\w+)\b(\{[^}]*\})?", expression):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", selector))
    by = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
    return {name: labels | by for name, labels in found.items()}


def check(expression: str) -> set[str]:
    """The names of the series in an expression, all of which exist with the labels that it asks for."""
    known = {f"{series.name}{suffix}": series for series in SERIES for suffix in suffixes(series)}
    series = {name: known[name] for name in named(expression)}
    for name, labels in named(expression).items():
        assert labels <= {*series[name].labels, "job", "instance", "le"}, (expression, name)
    assert expression.count("(") == expression.count(")"), expression
    return {one.name for one in series.values()}


def suffixes(series: Series) -> tuple[str, ...]:
    return ("_bucket", "_sum", "_count") if isinstance(series, Histogram) else ("",)


def test_the_dashboard_has_every_series_and_no_other() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana.json").read_text())
    variables = [one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    shown = [check(target["expr"]) for panel in panels for target in panel["targets"]]
    assert set().union(*shown, *map(check, variables)) == {series.name for series in SERIES}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_alerts_name_series_that_exist() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    alerts = page.partition("## What to alert on")[2].partition("\n## ")[0]
    expressions = re.findall(r"`([^`]*(?:gql_identity|http_server|db_client)_[^`]*)`", alerts)
    assert len(expressions) > 15
    for expression in expressions:
        if re.fullmatch(r"db_client\w+_seconds", expression):  # a histogram by its own name
            assert expression in {series.name for series in SERIES}
        else:
            check(expression)
