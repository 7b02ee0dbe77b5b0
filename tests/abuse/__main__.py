"""`python -m tests.abuse [NAME ...]`: run attacks, print a row for each, and whether the promise holds."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from . import attacks_http, attacks_queries, attacks_streams, attacks_websocket  # noqa: F401 - they enter their attacks
from .attacks import KINDS
from .measure import LONGEST_RECOVERY_SECONDS, Row, measure

HEAD = (
    "| attack | issue | alone p50 / p99, ms | attacked p50 / p99, ms | errors | process (idle), MB | engine, MB "
    "| recovery (engine busy), s | holds |\n|---|---|---|---|---|---|---|---|---|"
)


def main() -> int:
    """Measure; the exit code is 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.abuse", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which attacks, by default all: {', '.join(KINDS)}")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each attack lasts")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    if unknown := set(options.names) - set(KINDS):
        parser.error(f"no such attack: {', '.join(sorted(unknown))}")
    print(HEAD, flush=True)
    rows = []
    for name in options.names or KINDS:
        rows.append(measure(KINDS[name], workers=options.workers, seconds=options.seconds))
        print(as_markdown(rows[-1]), flush=True)
        if options.json:
            options.json.write_text(json.dumps([asdict(row) | {"holds": row.holds} for row in rows], indent=1) + "\n")
    return 0 if all(row.holds for row in rows) else 1


def as_markdown(row: Row) -> str:
    """A row of the table."""
    if row.recovery_seconds is not None:
        recovery = f"{row.recovery_seconds}"
    elif row.attack_p50_ms:
        recovery = f"over {LONGEST_RECOVERY_SECONDS:.0f}"
    else:
        recovery = "-" if row.stop_seconds is None else f"stops in {row.stop_seconds}"
    if row.engine_busy_seconds:
        recovery += f" (engine {row.engine_busy_seconds})"
    cells = (
        row.attack,
        row.issue,
        f"{row.alone_p50_ms} / {row.alone_p99_ms}",
        f"{row.attack_p50_ms} / {row.attack_p99_ms}",
        f"{row.errors} of {row.requests}",
        f"{row.process_mb:.0f} ({row.idle_mb:.0f})",
        f"{row.engine_mb:.0f}",
        recovery,
        "yes" if row.holds else "no: " + "; ".join(row.broken),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
