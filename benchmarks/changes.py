"""What it costs a user to disable and enable its own key, in a domain of few keys and in one of many."""

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from load import run_load, write_script
from measure import Plan, Progress, Rows, check_size
from operations import OPERATIONS, Request, WrongAnswer
from seed import Seeded, seeded
from servers import SYSTEMS, Server, running, size_of

DOMAIN_SIZES = (20, 20_000)
_CREATE = "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { apiKeyId } }"
_CHANGES = [f"mutation($i: APIKeyRequest!) {{ {name}ApiKey(input: $i) {{ state }} }}" for name in ("disable", "enable")]


def compare_changes(plan: Plan, server_uri: str) -> Rows:
    """Measure rounds of both domains by turns, one client each; every request writes."""
    progress = Progress(len(DOMAIN_SIZES) * (1 + plan.rounds))
    rows: Rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gql-identity-bench-scripts-")))
        measured: list[tuple[int, Server, Path, float]] = []
        for size in DOMAIN_SIZES:
            data = stack.enter_context(seeded(server_uri, size, 1, progress.say))
            (server,) = stack.enter_context(running([SYSTEMS["ours"]], data, OPERATIONS["G"]))
            requests = _requests(server, data)
            answer_bytes = sum(size_of(_answer(server, data, request)) for request in requests) / len(requests)
            script = write_script(folder / f"{size}.lua", requests, _user_secret(data))
            measured.append((size, server, script, answer_bytes))
            load = run_load(server.url, script, 1, plan.warm_seconds)
            progress.step(f"{size:6,} keys  warm     {load.rate:9,.0f} changes/s")
        for number in range(1, plan.rounds + 1):
            for size, server, script, answer_bytes in measured:
                cpu = server.cpu_seconds()
                load = run_load(server.url, script, 1, plan.seconds)
                cpu = (server.cpu_seconds() - cpu) / max(1, load.requests)
                row = {"keys": size, "round": number, "changes_per_second": round(load.rate, 1)}
                rows.append(row | {"p50_ms": load.p50_ms, "p99_ms": load.p99_ms, "cpu_us": round(cpu * 1e6, 1)})
                progress.step(f"{size:6,} keys  round {number}  {load.rate:9,.0f} changes/s  p99 {load.p99_ms:.1f} ms")
                if load.errors:
                    raise RuntimeError(f"{load.errors} changes failed. The log ends:\n{server.log_end()}")
                check_size(server, "changes", load, 1, answer_bytes)
    return rows


def _requests(server: Server, data: Seeded) -> list[Request]:
    """Disable and enable, by turns, a key that the caller has made for itself."""
    given = {"domainId": "domain-0000", "userId": "user-0000", "role": "USER"}
    create = Request("/graphql", json.dumps({"query": _CREATE, "variables": {"i": given}}))
    key_id = _answer(server, data, create).json()["data"]["createApiKey"]["apiKeyId"]
    variables = {"i": {"domainId": "domain-0000", "apiKeyId": key_id}}
    return [Request("/graphql", json.dumps({"query": change, "variables": variables})) for change in _CHANGES]


def _answer(server: Server, data: Seeded, request: Request) -> httpx.Response:
    headers = request.headers(_user_secret(data))
    answer = httpx.post(server.url + request.path, content=request.body, headers=headers, timeout=30, trust_env=False)
    if "errors" in answer.json():
        raise WrongAnswer(f"A change failed: {answer.text[:500]}")
    return answer


def _user_secret(data: Seeded) -> str:
    return next(iter(data.hot_secrets.values()))


def changes_table(rows: Rows) -> list[list[str]]:
    """The medians for each size of domain, and the ratio of the rates of many keys and few."""
    middles: dict[int, dict[str, Any]] = {}
    for size in DOMAIN_SIZES:
        of_size = [row for row in rows if row["keys"] == size]
        metrics = ("changes_per_second", "p50_ms", "p99_ms", "cpu_us")
        middles[size] = {metric: median(row[metric] for row in of_size) for metric in metrics}
    few = middles[DOMAIN_SIZES[0]]["changes_per_second"]
    table = [["keys in the domain", "changes/s", "", "p50 ms", "p99 ms", "CPU µs"]]
    for size, middle in middles.items():
        rate, *others = middle.values()
        table.append([f"{size:,}", f"{rate:,.0f}", f"({rate / few:.2f})", *(f"{one:,.2f}" for one in others)])
    return table
