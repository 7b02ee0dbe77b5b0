"""`make bench`: this service beside a baseline and its peers, its tail, and how it grows. See README.md."""

import argparse
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import report
import targets
from changes import changes_table, compare_changes
from growth import PARTS
from machine import describe
from measure import GROWING, Plan, compare, grow
from operations import OPERATIONS, WrongAnswer
from pymongo.errors import PyMongoError
from seed import database_server
from servers import HAS_OWN_PYTHON, SYSTEMS
from tail import measure_tail, tail_table

HERE = Path(__file__).parent
_KINDS = ("growth", "tail", "changes")
_OF_TAIL = ("baseline", "ours", "mercurius")
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit code."""
    options = _parser().parse_args(arguments)
    for number in _STOPS:
        signal.signal(number, _interrupt)
    try:
        plan = _plan(options)
        _check_tools(plan)
        with database_server() as (uri, database):
            results = _results(options, plan, uri, database)
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130
    except (WrongAnswer, RuntimeError, subprocess.SubprocessError, httpx.HTTPError, PyMongoError) as error:
        print(f"Stopped; nothing was written.\n{error}", file=sys.stderr)
        return 1
    _publish(options.output, results)
    return 0


def _interrupt(*_: object) -> None:
    # Ctrl-C ends every process that was started, and a second Ctrl-C must not interrupt that.
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 keys, a second each: only checks that it works")
    parser.add_argument(
        "--growth", nargs="?", const="keys", choices=("keys", *PARTS), help="this service alone, growing"
    )
    parser.add_argument("--tail", action="store_true", help="latency at a rate that does not wait, and beside scans")
    parser.add_argument("--changes", action="store_true", help="disable and enable in domains of 20 and 20,000 keys")
    parser.add_argument("--only", type=_names(SYSTEMS), metavar="SYSTEMS", help=f"of {','.join(SYSTEMS)}")
    parser.add_argument("--operations", type=_names(OPERATIONS), metavar="NAMES", help=f"of {','.join(OPERATIONS)}")
    parser.add_argument("--keys", type=int, help="how many keys (100,000); with --growth at most")
    parser.add_argument("--domains", type=int, help="over how many domains (100)")
    parser.add_argument("--subscribers", type=int, help="with --growth subscribers, at most (5,000)")
    parser.add_argument("--documents", type=int, help="with --growth documents (10,000)")
    parser.add_argument("--clients", type=int, default=32, help="connections at once (32)")
    parser.add_argument("--rounds", type=int, help="rounds, whose median counts (5)")
    parser.add_argument("--seconds", type=int, help="of each round (5)")
    parser.add_argument("--warm-seconds", type=int, help="before the first round of an operation (6)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="where the files go (benchmarks/results)")
    return parser


def _names(known: dict[str, Any]) -> Any:
    def read(text: str) -> tuple[str, ...]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return tuple(name for name in known if name in names)

    return read


def _plan(options: argparse.Namespace) -> Plan:
    quick = options.quick

    def given(value: Any, full: Any, short: Any) -> Any:
        return value if value is not None else short if quick else full

    only = (
        ("ours",)
        if options.growth or options.changes
        else options.only or (_OF_TAIL if options.tail else tuple(SYSTEMS))
    )
    names = options.operations or (GROWING if options.growth else ("G",) if options.tail else tuple(OPERATIONS))
    return Plan(
        systems=tuple(SYSTEMS[name] for name in only),
        operations=tuple(OPERATIONS[name] for name in names),
        keys=given(options.keys, 100_000, 1_000),
        domains=given(options.domains, 100, 10),
        clients=options.clients,
        rounds=given(options.rounds, 3 if options.tail else 5, 1),
        seconds=given(options.seconds, 10 if options.tail else 5, 1),
        warm_seconds=given(options.warm_seconds, 6, 1),
        subscribers=given(options.subscribers, 5_000, 100),
        documents=given(options.documents, 10_000, 100),
    )


def _check_tools(plan: Plan) -> None:
    files = [system.file or "" for system in plan.systems]
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is missing; on Debian: apt install wrk")
    if not any(file.endswith(".mjs") for file in files):
        return
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise RuntimeError("node or npm is missing; without them: --only baseline,ours,rest,tokens,strawberry,ariadne")
    lock, installed = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        print("Installing the peers from npm ...", file=sys.stderr)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=HERE, check=True, timeout=600)


def _results(options: argparse.Namespace, plan: Plan, uri: str, database: str) -> dict[str, Any]:
    results: dict[str, Any] = {
        "kind": f"growth-{options.growth}"
        if options.growth in PARTS
        else next((kind for kind in _KINDS if getattr(options, kind)), "comparison"),
        "quick": options.quick,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": describe(database),
        "dependencies_of_service": "constraints-image.txt" if HAS_OWN_PYTHON else "constraints-bench.txt",
        "parameters": plan.parameters(),
    }
    if options.growth in PARTS:
        return results | {"rows": PARTS[options.growth][0](plan, uri)}
    if options.growth:
        return results | {"rows": grow(plan, uri, embedded=database.startswith("embedded"))}
    if options.tail:
        return results | {"rows": measure_tail(plan, uri)}
    if options.changes:
        return results | {"rows": compare_changes(plan, uri)}
    rows, systems = compare(plan, uri)
    return results | {"systems": systems, "medians": report.medians(rows), "rows": rows}


def _publish(directory: Path, results: dict[str, Any]) -> None:
    day = results["date"][:16].replace(":", "").replace("T", "-")
    file = directory / f"{day}-{results['kind']}{'-quick' if results['quick'] else ''}.json"
    report.write_json(file, results)
    machine = results["machine"]
    where = f"{results['date'][:10]}, {machine['cpu']}, {machine['cores']} cores, {machine['database']}"
    print(where + "\n")
    if results["kind"] == "growth":
        print(report.growth_table(results["rows"]))
        print(f"\n{file}")
        return
    if (part := results["kind"].removeprefix("growth-")) in PARTS:
        print(f"{PARTS[part][1](results['rows'])}\n\n{file}")
        return
    if results["kind"] == "tail":
        print(f"{tail_table(results['rows'])}\n\n{file}")
        return
    if results["kind"] == "changes":
        print(f"A user disables and enables its own key\n{report.text_table(changes_table(results['rows']))}\n\n{file}")
        return
    print(report.comparison(results["medians"]))
    systems = [["", "first answer after", "memory"]]
    systems += [
        [one["title"], f"{one['start_seconds']:.1f} s", f"{one['resident_mb']:,.0f} MB"]
        for one in results["systems"].values()
    ]
    print(f"\nStart, and memory at the end\n{report.text_table(systems)}")
    if judged := targets.targets(results["medians"], results["systems"], results["parameters"]["clients"]):
        print(f"\nPromises\n{report.text_table(judged)}")
    drawn = report.plot(file.with_suffix(".svg"), results["medians"], where)
    print(f"\n{file}" + (f"\n{file.with_suffix('.svg')}" if drawn else "\nNo plot: matplotlib is not installed."))


if __name__ == "__main__":
    sys.exit(main())
