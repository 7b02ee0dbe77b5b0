"""The tail: latency at a rate that does not wait, alone and while one tenant reads pages of 1,000 and statistics."""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from load import Load, run_load, write_script
from measure import Plan, Progress, Rows, check_equal, check_size, measure, scripts, serves
from open_loop import WARM_SECONDS, run_at_rate
from operations import OPERATIONS, PAGE_OF_1000, Operation, Request
from report import text_table
from seed import Seeded, add_owners, seeded
from servers import Server, running

SHARES = (0.5, 0.8)  # of each system's own capacity
SCANNERS = 8  # clients of one domain, each of another user
_SCANNED_SHARE = 0.5
_METRICS = ("rate", "p50_ms", "p99_ms", "p999_ms", "most_ms", "late_p99_ms")


def measure_tail(plan: Plan, server_uri: str) -> Rows:
    """Find each system's capacity with wrk, then measure every round of every share, alone and with scans."""
    loads = [(share, False) for share in SHARES] + [(_SCANNED_SHARE, True)]
    pairs = sum(serves(system, operation) for operation in plan.operations for system in plan.systems)
    progress = Progress(pairs * (1 + plan.rounds * len(loads)))
    rows: Rows = []
    with (
        seeded(server_uri, plan.keys, plan.domains, progress.say) as data,
        running(plan.systems, data, OPERATIONS["G"]) as servers,
        scripts(data) as script,
        _scanning(data) as scan,
    ):
        for operation in plan.operations:
            able = [server for server in servers if serves(server.system, operation)]
            sizes = check_equal(able, operation, data)
            capacities = {}
            for server in able:
                run_load(server.url, script(server, operation), plan.clients, plan.warm_seconds)
                measured = measure(server, operation, script, plan.clients, plan.seconds, sizes[server])
                capacities[server] = measured["requests_per_second"]
                progress.step(
                    f"{operation.name:5}{server.system.name:12}capacity {capacities[server]:9,.0f} requests/s"
                )
            for number in range(1, plan.rounds + 1):
                for share, with_scans in loads:
                    for server in able:
                        where = {"operation": operation.name, "system": server.system.name, "round": number}
                        where |= {"share": share, "scans": with_scans, "capacity": round(capacities[server], 1)}
                        rate = share * capacities[server]
                        row = where | _measure(
                            server, operation, data, rate, plan.seconds, scan if with_scans else None
                        )
                        rows.append(row)
                        progress.step(_told(row))
    return rows


def _measure(
    server: Server,
    operation: Operation,
    data: Seeded,
    rate: float,
    seconds: int,
    scan: Callable[[Server, int], Load] | None,
) -> dict[str, Any]:
    requests = [_as_bytes(one, data.caller_secret) for one in operation.requests(server.system.interface, data)]
    cpu = server.cpu_seconds()
    with ThreadPoolExecutor(1) as thread:
        scans = thread.submit(scan, server, seconds + 2 * WARM_SECONDS) if scan else None
        tail = run_at_rate(server.url, requests, rate, seconds)
    measured = {"rate": round(rate, 1)} | asdict(tail)
    if scans is None:
        # One second more than is counted: the warming is at the same rate.
        return measured | {"cpu_share": round((server.cpu_seconds() - cpu) / (seconds + WARM_SECONDS), 3)}
    done = scans.result()
    return measured | {"scans_per_second": round(done.rate, 1), "scans_p50_ms": done.p50_ms, "scan_errors": done.errors}


def _as_bytes(request: Request, caller_secret: str) -> bytes:
    body = (request.body or "").encode()
    headers = {"Host": "localhost", **request.headers(caller_secret), "Content-Length": str(len(body))}
    lines = [f"{request.method} {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "\r\n"]).encode() + body


@contextmanager
def _scanning(data: Seeded) -> Iterator[Callable[[Server, int], Load]]:
    """Clients of one domain, which read pages of 1,000 and statistics by turns, each as soon as it has its answer."""
    domain = next(iter(data.keys))
    one_domain = replace(data, keys={domain: data.keys[domain]})
    secrets = add_owners(data, domain, SCANNERS)
    with tempfile.TemporaryDirectory(prefix="gql-identity-bench-scripts-") as directory:

        def scan(server: Server, seconds: int) -> Load:
            interface = server.system.interface
            (page,) = PAGE_OF_1000.requests(interface, one_domain)
            (states,) = OPERATIONS["S"].requests(interface, one_domain)
            requests: list[Request] = [replace(one, secret=text) for text in secrets for one in (page, states)]
            file = write_script(Path(directory) / f"{interface}.lua", requests, data.caller_secret)
            size = sum(server.ask(one, one_domain, 0)[1] for one in (PAGE_OF_1000, OPERATIONS["S"])) / 2
            load = run_load(server.url, file, SCANNERS, seconds)
            check_size(server, "scans", load, SCANNERS, size, are_equal=False)
            return load

        yield scan


def _told(row: dict[str, Any]) -> str:
    load = f"{row['share']:.0%}{' + scans' if row['scans'] else ''}"
    text = f"{row['operation']:5}{row['system']:12}{load:12}{row['rate']:9,.0f} requests/s"
    errors = f"  {row['errors']} ERRORS" if row["errors"] else ""
    return f"{text}  p50 {row['p50_ms']:.1f}  p99 {row['p99_ms']:.1f}  p99.9 {row['p999_ms']:.1f} ms{errors}"


def tail_table(rows: Rows) -> str:
    """The medians of the rounds; with scans, also the ratio of p99 to the one without."""
    table = [["", "of capacity", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "most ms", "sent late, p99 ms", "", ""]]
    alone: dict[tuple[str, str, float], float] = {}
    for operation, system, share, scans in dict.fromkeys(map(_load, rows)):
        of_load = [row for row in rows if _load(row) == (operation, system, share, scans)]
        rate, *times = (median(row[metric] for row in of_load) for metric in _METRICS)
        p99 = times[1]
        if not scans:
            alone[operation, system, share] = p99
        said = ""
        if scans:
            ratio = p99 / alone[operation, system, share]
            scans_rate = median(row["scans_per_second"] for row in of_load)
            said = f"p99 x {ratio:.1f}, {scans_rate:.0f} scans/s"
        errors = sum(row["errors"] + row.get("scan_errors", 0) for row in of_load)
        cells = [f"{operation} {system}", f"{share:.0%}{' + scans' if scans else ''}", f"{rate:,.0f}"]
        table.append([*cells, *(f"{one:,.1f}" for one in times), said, f"{errors} ERRORS" if errors else ""])
    return text_table(table)


def _load(row: dict[str, Any]) -> tuple[str, str, float, bool]:
    return row["operation"], row["system"], row["share"], row["scans"]
