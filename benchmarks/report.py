"""Medians, ratios to the baseline, tables, the JSON file and the plot."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from operations import OPERATIONS
from servers import SYSTEMS

BASELINE = "baseline"
_METRICS = ("requests_per_second", "p50_ms", "p99_ms", "cpu_us")

Rows = list[dict[str, Any]]
Medians = dict[str, dict[str, dict[str, Any]]]


def medians(rows: Rows) -> Medians:
    """The median of each metric, for each operation and system; with its ratio to the baseline's if that ran."""
    made: Medians = {}
    for operation, system in dict.fromkeys((row["operation"], row["system"]) for row in rows):
        runs = [row for row in rows if (row["operation"], row["system"]) == (operation, system)]
        middle = {metric: round(median(run[metric] for run in runs), 3) for metric in _METRICS}
        rates = [run["requests_per_second"] for run in runs]
        spread = {"least": min(rates), "most": max(rates), "errors": sum(run["errors"] for run in runs)}
        made.setdefault(operation, {})[system] = middle | spread
    for systems in made.values():
        baseline = systems.get(BASELINE)
        for middle in systems.values() if baseline else ():
            compared = [metric for metric in _METRICS if baseline[metric]]
            middle["to_baseline"] = {metric: round(middle[metric] / baseline[metric], 3) for metric in compared}
    return made


def comparison(made: Medians) -> str:
    """The medians as text: each figure, and its ratio to the baseline in brackets."""
    parts = []
    for operation, systems in made.items():
        table = [["", "requests/s", "", "p50 ms", "", "p99 ms", "", "CPU µs", "", ""]]
        for system, middle in systems.items():
            cells = [SYSTEMS[system].title]
            for metric, shape in zip(_METRICS, ("{:,.0f}", "{:.2f}", "{:.2f}", "{:,.0f}"), strict=True):
                ratio = middle.get("to_baseline", {}).get(metric)
                cells += [shape.format(middle[metric]), "" if ratio is None else f"({ratio:.2f})"]
            table.append([*cells, f"{middle['errors']} ERRORS" if middle["errors"] else ""])
        parts.append(f"{operation}: {OPERATIONS[operation].title}\n{text_table(table)}")
    return "\n\n".join(parts)


def growth_table(rows: Rows) -> str:
    """How requests a second and latency change with keys, domains and clients."""
    clients = sorted({row["clients"] for row in rows})
    table = [["", "keys", "domains", *(f"{n} client{'s' if n > 1 else ''}" for n in clients)]]
    for operation, keys, domains in dict.fromkeys((row["operation"], row["keys"], row["domains"]) for row in rows):
        cells = [operation, f"{keys:,}", f"{domains:,}"]
        for n in clients:
            found = [
                row
                for row in rows
                if (row["operation"], row["keys"], row["domains"], row["clients"]) == (operation, keys, domains, n)
            ]
            cells.append(_growth_cell(found[0]) if found else "-")
        table.append(cells)
    return f"requests/s; p50, p99 in ms; CPU of the service in µs a request\n{text_table(table)}"


def _growth_cell(row: dict[str, Any]) -> str:
    if row.get("failed"):
        return "fails"
    errors = f" {row['errors']} ERRORS" if row["errors"] else ""
    times = f"{row['p50_ms']:.1f}, {row['p99_ms']:.1f}; {row['cpu_us']:,.0f}"
    return f"{row['requests_per_second']:,.0f}/s; {times}{errors}"


def text_table(table: Sequence[Sequence[str]]) -> str:
    """Format a table: the first column aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(_line(row, widths) for row in table)


def _line(row: Sequence[str], widths: Iterable[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()


def write_json(file: Path, results: dict[str, Any]) -> None:
    """Write the results as a JSON file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(results, indent=1) + "\n")


def plot(file: Path, made: Medians, subtitle: str) -> bool:
    """Draw the ratios to the baseline; False if matplotlib is missing or nothing can be compared."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("svg")
    import matplotlib.pyplot as pyplot

    operations = [name for name, systems in made.items() if any("to_baseline" in middle for middle in systems.values())]
    if not operations:
        return False
    pyplot.rcParams["svg.hashsalt"] = "gql-identity"  # makes the file reproducible
    pyplot.rcParams["svg.fonttype"] = "none"  # keeps text as text
    pyplot.rcParams["font.size"] = 8
    figure, axes = pyplot.subplots(2, len(operations), figsize=(2.6 * len(operations) + 1, 6), squeeze=False)
    names = [name for name in SYSTEMS if any(name in made[operation] for operation in operations)]
    drawn = (("requests_per_second", "requests/s, baseline = 1"), ("cpu_us", "CPU a request, baseline = 1"))
    for row, (metric, label) in enumerate(drawn):
        for column, operation in enumerate(operations):
            axis = axes[row][column]
            ratios = [made[operation].get(name, {}).get("to_baseline", {}).get(metric) for name in names]
            colours = ["#c2410c" if SYSTEMS[name].file is None else "#94a3b8" for name in names]
            bars = axis.barh(names, [ratio or 0 for ratio in ratios], color=colours)
            axis.bar_label(bars, ["" if ratio is None else f"{ratio:.2f}" for ratio in ratios], padding=2)
            axis.axvline(1, color="#0f172a", linewidth=0.8)
            axis.margins(x=0.25)
            axis.invert_yaxis()
            axis.spines[["top", "right"]].set_visible(False)
            axis.set_xlabel(label)
            if column:
                axis.set_yticklabels([])
            if not row:
                axis.set_title(f"{operation}: {OPERATIONS[operation].title}")
    figure.suptitle(subtitle)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
    return True
