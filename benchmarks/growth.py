"""How the service's cost grows with its subscribers, with different documents, and with its workers."""

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import IO, Any, cast
from urllib.parse import urlsplit

import httpx
from load import run_load
from measure import Plan, Progress, Rows, check_equal, measure, scripts
from operations import OPERATIONS
from report import text_table
from seed import Seeded, add_owners, seeded
from servers import SYSTEMS, Server, running
from subscribers import PREFIX

SUBSCRIBERS = (1, 100, 1_000, 5_000)
CHANGES_A_SECOND = 10
WORKERS = (1, 2, 3, 4)
_OF_AN_OWNER = 100  # subscribers
_READY_SECONDS = 120.0
_LAST_SECONDS = 60.0  # for the last change to reach the last subscriber
_SENDERS = 32  # changes under way at one time
_STEPS = 10  # looks at the memory, while the different documents come
_DOMAIN = "domain-0000"
_UPDATE = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { apiKeyId } }"


def grow_subscribers(plan: Plan, server_uri: str) -> Rows:
    """For each number of subscribers to one domain, ten changes a second that all of them receive."""
    rows: Rows = []
    numbers = [number for number in SUBSCRIBERS if number <= plan.subscribers]
    progress = Progress(len(numbers))
    for number in numbers:
        with ExitStack() as stack:
            data = stack.enter_context(seeded(server_uri, 1_000, 1, progress.say))
            secrets = add_owners(data, _DOMAIN, -(-number // _OF_AN_OWNER))
            (server,) = stack.enter_context(running([SYSTEMS["ours"]], data, OPERATIONS["G"]))
            row = _with_subscribers(server, data, secrets, number, max(3.0, plan.seconds))
        rows.append(row)
        progress.step(
            f"{number:5,} subscribers  {row['changes']} changes, {row['missing']} missing, {row['ended']} ended  "
            f"p50 {row['p50_ms']:.0f} ms, most {row['most_ms']:.0f} ms  CPU {row['cpu_share']:.2f}"
        )
    return rows


def _with_subscribers(server: Server, data: Seeded, secrets: list[str], number: int, seconds: float) -> dict[str, Any]:
    alone = server.resident_bytes()
    with _subscribed(server, secrets, number) as subscribers, httpx.Client(trust_env=False, timeout=60) as client:
        known: dict[int, float] = {}  # when the last subscriber knew of a change

        def change(n: int) -> float:
            key_id = data.keys[_DOMAIN][n % len(data.keys[_DOMAIN])]
            _send(client, server, data, _UPDATE, {"domainId": _DOMAIN, "apiKeyId": key_id, "name": f"{PREFIX}{n}"})
            return time.monotonic()

        # The service does not say when a subscription begins, so changes are made until all have heard of one.
        tried, give_up = 0, time.monotonic() + _READY_SECONDS
        while not known:
            if time.monotonic() > give_up:
                raise RuntimeError(f"{number} subscribers did not all begin:\n{server.log_end()}")
            change(tried)
            tried += 1
            subscribers.read(known, 1.0)
        resident = server.resident_bytes()
        cpu = server.cpu_seconds()
        began = time.monotonic()
        planned = int(seconds * CHANGES_A_SECOND)
        with ThreadPoolExecutor(_SENDERS) as senders:
            sent = {}
            for n in range(tried, tried + planned):
                time.sleep(max(0.0, began + (n - tried) / CHANGES_A_SECOND - time.monotonic()))
                sent[n] = senders.submit(change, n)
            changed = {n: one.result() for n, one in sent.items()}
        give_up = time.monotonic() + _LAST_SECONDS
        while not changed.keys() <= known.keys() and time.monotonic() < give_up and subscribers.are_there:
            subscribers.read(known, 1.0)
        cpu = server.cpu_seconds() - cpu
        last = max([*known.values(), *changed.values()])
        most_resident = server.resident_bytes()
        open_, received = subscribers.finish()
    delays = sorted(1000 * max(0.0, known[n] - at) for n, at in changed.items() if n in known)
    return {
        "subscribers": number,
        "changes": planned,
        "told_per_second": round(sum(received.get(str(n), 0) for n in changed) / (last - began)),
        "missing": sum(number - received.get(str(n), 0) for n in changed),
        "ended": number - open_,
        "p50_ms": round(median(delays), 1) if delays else None,
        "most_ms": round(delays[-1], 1) if delays else None,
        "cpu_share": round(cpu / (last - began), 3),
        "alone_mb": round(alone / 1e6, 1),
        "resident_mb": round(resident / 1e6, 1),
        "resident_after_mb": round(most_resident / 1e6, 1),
    }


def _send(client: httpx.Client, server: Server, data: Seeded, query: str, given: dict[str, Any]) -> None:
    body, headers = {"query": query, "variables": {"i": given}}, {"Authorization": f"Bearer {data.caller_secret}"}
    answer = client.post(f"{server.url}/graphql", json=body, headers=headers)
    if "errors" in answer.json():
        raise RuntimeError(f"A request failed: {answer.text[:500]}\n{server.log_end()}")


class _Subscribers:
    """The process of all subscribers, and the lines that it prints."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._input, self._output = cast(IO[str], process.stdin), cast(IO[str], process.stdout)
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read_all, daemon=True)
        self._reader.start()

    @property
    def are_there(self) -> bool:
        return self._process.poll() is None

    def begin(self, given: dict[str, Any]) -> None:
        """Tell it what to do."""
        self._input.write(json.dumps(given) + "\n")
        self._input.flush()

    def next(self, seconds: float) -> dict[str, Any]:
        """The next line. Raises queue.Empty."""
        return self._lines.get(timeout=seconds)

    def read(self, known: dict[int, float], seconds: float) -> None:
        """Note the changes that all have received, until none has come for a while."""
        try:
            while True:
                line = self.next(seconds)
                known[line["change"]] = line["at"]
        except queue.Empty:
            pass

    def finish(self) -> tuple[int, dict[str, int]]:
        """End it; returns how many were still subscribed, and how many of them each change reached."""
        self._input.close()
        try:
            while "open" not in (line := self.next(_LAST_SECONDS)):
                pass
        except queue.Empty:
            raise RuntimeError("The subscribers' process did not end.") from None
        return line["open"], line["received"]

    def _read_all(self) -> None:
        for line in self._output:
            self._lines.put(json.loads(line))


@contextmanager
def _subscribed(server: Server, secrets: list[str], number: int) -> Iterator[_Subscribers]:
    parts = urlsplit(server.url)
    given = {"host": parts.hostname, "port": parts.port, "domain_id": _DOMAIN, "secrets": secrets, "number": number}
    command = [sys.executable, str(Path(__file__).with_name("subscribers.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        made = _Subscribers(process)
        made.begin(given)
        try:
            made.next(_READY_SECONDS)
        except queue.Empty:
            raise RuntimeError(f"{number} subscribers could not connect:\n{server.log_end()}") from None
        yield made
    finally:
        process.kill()
        process.wait()


def subscribers_table(rows: Rows) -> str:
    """A row for each number of subscribers."""
    head = [
        "subscribers",
        "told/s",
        "missing",
        "ended",
        "delay to the last: p50 ms",
        "most ms",
        "CPU",
        "MB alone",
        "MB",
        "MB after",
    ]
    table = [head]
    for row in rows:
        delays = [f"{row[name]:,.0f}" if row[name] is not None else "-" for name in ("p50_ms", "most_ms")]
        memory = [f"{row[name]:,.0f}" for name in ("alone_mb", "resident_mb", "resident_after_mb")]
        counts = [f"{row[name]:,}" for name in ("subscribers", "told_per_second", "missing", "ended")]
        table.append([*counts, *delays, f"{row['cpu_share']:.0%}", *memory])
    return text_table(table)


def grow_documents(plan: Plan, server_uri: str) -> Rows:
    """Different documents, one after the other and each twice, so that each is compiled too; and the memory."""
    progress = Progress(_STEPS)
    each = max(1, plan.documents // _STEPS)
    rows: Rows = []
    with (
        seeded(server_uri, 1_000, 1, progress.say) as data,
        running([SYSTEMS["ours"]], data, OPERATIONS["G"]) as (server,),
        httpx.Client(trust_env=False, timeout=60) as client,
    ):
        given = {"domainId": _DOMAIN, "apiKeyId": data.keys[_DOMAIN][0]}
        rows.append({"documents": 0, "resident_mb": round(server.resident_bytes() / 1e6, 1)})
        for step in range(_STEPS):
            cpu = server.cpu_seconds()
            for n in range(step * each, (step + 1) * each):
                fields = f"apiKeyId userId state role hint createdAt a{n}: name b{n}: expiresAt"
                document = f"query Q{n}($i: GetAPIKeyRequest!) {{ apiKey(input: $i) {{ {fields} }} }}"
                for _ in range(2):
                    _send(client, server, data, document, given)
            cpu_us = (server.cpu_seconds() - cpu) / (2 * each) * 1e6
            rows.append(
                {
                    "documents": (step + 1) * each,
                    "resident_mb": round(server.resident_bytes() / 1e6, 1),
                    "cpu_us": round(cpu_us),
                }
            )
            progress.step(f"{rows[-1]['documents']:6,} documents  {rows[-1]['resident_mb']:.0f} MB")
    return rows


def documents_table(rows: Rows) -> str:
    """Memory after each tenth of the documents."""
    table = [["different documents", "MB", "CPU µs a request"]]
    table += [[f"{row['documents']:,}", f"{row['resident_mb']:,.1f}", f"{row.get('cpu_us', '')}"] for row in rows]
    return text_table(table)


def grow_workers(plan: Plan, server_uri: str) -> Rows:
    """The operations with 1 to 4 worker processes."""
    progress = Progress(len(WORKERS) * len(plan.operations))
    rows: Rows = []
    with seeded(server_uri, plan.keys, plan.domains, progress.say) as data, scripts(data) as script:
        for workers in WORKERS:
            with running([replace(SYSTEMS["ours"], workers=workers)], data, OPERATIONS["G"]) as (server,):
                for operation in plan.operations:
                    size = check_equal([server], operation, data)[server]
                    run_load(server.url, script(server, operation), plan.clients, plan.warm_seconds)
                    measured = measure(server, operation, script, plan.clients, plan.seconds, size)
                    row = {"operation": operation.name, "workers": workers, "clients": plan.clients} | measured
                    rows.append(row | {"resident_mb": round(server.resident_bytes() / 1e6, 1)})
                    progress.step(
                        f"{operation.name:5}{workers} workers  {measured['requests_per_second']:9,.0f} requests/s"
                    )
    return rows


def workers_table(rows: Rows) -> str:
    """A row for each operation and number of workers."""
    table = [["", "workers", "requests/s", "p50 ms", "p99 ms", "CPU µs", "MB, all processes", ""]]
    for row in rows:
        times = [f"{row[name]:,.1f}" for name in ("p50_ms", "p99_ms")]
        cells = [row["operation"], str(row["workers"]), f"{row['requests_per_second']:,.0f}", *times]
        errors = f"{row['errors']} ERRORS" if row["errors"] else ""
        table.append([*cells, f"{row['cpu_us']:,.0f}", f"{row['resident_mb']:,.0f}", errors])
    return text_table(table)


# What `--growth` names, beside the keys of `measure.grow`: the measurement and its table.
PARTS: dict[str, tuple[Callable[[Plan, str], Rows], Callable[[Rows], str]]] = {
    "subscribers": (grow_subscribers, subscribers_table),
    "documents": (grow_documents, documents_table),
    "workers": (grow_workers, workers_table),
}
