"""The service's speed targets, checked against a comparison."""

from typing import Any

from report import Medians

_RATE = "requests_per_second"
_PEERS = ("yoga", "apollo")
_OURS = ("ours", "rest", "tokens")

# (operation, system, minimum ratio, compared system, its operation)
_AT_LEAST = [
    ("G", "ours", 1.0, "baseline", "G"),
    ("L100", "ours", 1.0, "baseline", "L100"),
    ("E", "ours", 0.9, "baseline", "E"),
    ("S", "ours", 1.0, "baseline", "S"),
    ("W", "ours", 1.0, "baseline", "W"),
    ("G", "rest", 0.85, "baseline", "G"),
    ("L100", "rest", 0.95, "baseline", "L100"),
    ("V", "ours", 2.0, "baseline", "G"),
    # Here the baseline does nothing but read JSON and answer JSON.
    ("V", "ours", 0.6, "baseline", "V"),
    ("T", "ours", 0.7, "baseline", "T"),
    # A proxy asks about each request; the token that it gets is signed once and reused.
    ("A", "tokens", 0.9, "tokens", "V"),
    ("G", "ours", 5.0, "strawberry", "G"),
    ("E", "ours", 5.0, "strawberry", "E"),
    *((operation, "ours", 1.0, peer, operation) for peer in _PEERS for operation in ("G", "L", "L100", "E", "S", "W")),
    ("L100", "ours", 1.0, "mercurius", "L100"),
    ("E", "ours", 1.0, "mercurius", "E"),
]
# A single client shares its round trips with nobody.
_ALONE_AT_LEAST = [
    ("G", "ours", 0.85, "baseline", "G"),
    ("E", "ours", 0.85, "baseline", "E"),
    ("S", "ours", 0.9, "baseline", "S"),
    ("W", "ours", 0.9, "baseline", "W"),
]
_MOST_MB = 90
_MOST_START_SECONDS = 2.0


def targets(made: Medians, systems: dict[str, Any], clients: int) -> list[list[str]]:
    """A row for each target that this comparison covers: target, limit, measured value, whether it is met."""
    rows = []
    for operation, system, least, other, other_operation in _ALONE_AT_LEAST if clients == 1 else _AT_LEAST:
        mine, its = made.get(operation, {}).get(system), made.get(other_operation, {}).get(other)
        if mine and its and its[_RATE]:
            ratio = mine[_RATE] / its[_RATE]
            whose = "its" if other == system else f"{other}'s"
            of = other if operation == other_operation else f"{whose} {other_operation}"
            what = f"{operation} of {system}, requests/s beside {of}"
            rows.append(_row(what, f">= {least:.2f}", f"{ratio:.2f}", ratio >= least))
    for operation, by_system in made.items():
        for system in _OURS:
            ratio = by_system.get(system, {}).get("to_baseline", {}).get("p99_ms")
            if ratio is not None:
                rows.append(
                    _row(f"{operation} of {system}, p99 beside baseline", "<= 1.00", f"{ratio:.2f}", ratio <= 1)
                )
    for operation in ("G", "S"):
        mine, its = made.get(operation, {}).get("ours"), made.get(operation, {}).get("mercurius")
        if mine and its:
            ratio = mine["cpu_us"] / its["cpu_us"]
            rows.append(_row(f"{operation} of ours, CPU beside mercurius", "<= 1.00", f"{ratio:.2f}", ratio <= 1))
    for system in (one for one in _OURS if one in systems):
        memory, start = systems[system]["resident_mb"], systems[system]["start_seconds"]
        rows.append(_row(f"{system}, memory at the end", f"<= {_MOST_MB} MB", f"{memory:.0f} MB", memory <= _MOST_MB))
        kept = start <= _MOST_START_SECONDS
        rows.append(_row(f"{system}, start to first answer", f"<= {_MOST_START_SECONDS:.0f} s", f"{start:.1f} s", kept))
    return rows


def _row(what: str, bound: str, measured: str, kept: bool) -> list[str]:
    return [what, bound, measured, "kept" if kept else "MISSED"]
