"""The two measurements: this service beside the others, and how it grows."""

import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from load import Load, run_load, write_script
from operations import OPERATIONS, Operation, WrongAnswer
from seed import Seeded, seeded
from servers import SYSTEMS, Server, System, running

SIZES = (1_000, 10_000, 100_000, 1_000_000)
DOMAINS = (1, 100)
CLIENTS = (1, 8, 32, 128)
GROWING = ("G", "L", "L100", "V", "S")
_MATCHING = ("L", "L100", "S")  # the embedded engine reads all that match
_MANY_IN_ONE_DOMAIN = 100_000
OF_TOKENS = ("A", "X", "K")
_CHECKED = 3  # requests whose responses must be equal
_SIZE_TOLERANCE = 0.03
_LONGER = 10

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long."""

    systems: tuple[System, ...]
    operations: tuple[Operation, ...]
    keys: int
    domains: int
    clients: int
    rounds: int
    seconds: int
    warm_seconds: int
    subscribers: int = 5_000  # at most
    documents: int = 10_000

    def parameters(self) -> dict[str, Any]:
        """The parameters for the JSON file."""
        names = {"systems": [one.name for one in self.systems], "operations": [one.name for one in self.operations]}
        return asdict(replace(self, systems=(), operations=())) | names


class Progress:
    """Progress lines on standard error, so that standard output has only the results."""

    def __init__(self, steps: int) -> None:
        self._began = time.monotonic()
        self._steps = itertools.count(1)
        self._all = steps

    def say(self, text: str) -> None:
        """Print a line with the elapsed time."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"{minutes:3d}:{seconds:02d}  {text}", file=sys.stderr, flush=True)

    def step(self, text: str) -> None:
        """Print that one measurement is done."""
        self.say(f"[{next(self._steps)}/{self._all}] {text}")


def compare(plan: Plan, server_uri: str) -> tuple[Rows, dict[str, Any]]:
    """Measure every round of every system and operation, and each system's start time and memory."""
    pairs = sum(serves(system, operation) for operation in plan.operations for system in plan.systems)
    progress = Progress(pairs * (1 + plan.rounds))
    with (
        seeded(server_uri, plan.keys, plan.domains, progress.say) as data,
        running(plan.systems, data, OPERATIONS["G"]) as servers,
        scripts(data) as script,
    ):
        progress.say("started " + ", ".join(f"{one.system.name} ({one.start_seconds:.1f} s)" for one in servers))
        rows: Rows = []
        for operation in plan.operations:
            able = [server for server in servers if serves(server.system, operation)]
            sizes = check_equal(able, operation, data)
            for server in able:
                load = run_load(server.url, script(server, operation), plan.clients, plan.warm_seconds)
                progress.step(f"{operation.name:5}{server.system.name:12}warm     {load.rate:9,.0f} requests/s")
            for number in range(1, plan.rounds + 1):
                for server in able:
                    measured = measure(server, operation, script, plan.clients, plan.seconds, sizes[server])
                    rows.append({"operation": operation.name, "system": server.system.name, "round": number} | measured)
                    progress.step(f"{operation.name:5}{server.system.name:12}round {number}  {_told(measured)}")
            check_equal(able, operation, data)
        systems = {
            server.system.name: {
                "title": server.system.title,
                "start_seconds": round(server.start_seconds, 2),
                "resident_mb": round(server.resident_bytes() / 1e6, 1),
            }
            for server in servers
        }
    return rows, systems


def grow(plan: Plan, server_uri: str, *, embedded: bool) -> Rows:
    """Measure this service over GraphQL, with each number of keys, domains and clients."""
    steps = [
        (keys, domains, operation, clients)
        for keys in SIZES
        if keys <= plan.keys
        for domains in DOMAINS
        for operation in plan.operations
        for clients in CLIENTS
        # On the embedded engine several clients would only wait for each other, beyond any deadline.
        if clients == 1 or not (embedded and operation.name in _MATCHING and keys // domains >= _MANY_IN_ONE_DOMAIN)
    ]
    progress = Progress(len(steps))
    rows: Rows = []
    for (keys, domains), group in itertools.groupby(steps, key=lambda step: step[:2]):
        with (
            seeded(server_uri, keys, domains, progress.say) as data,
            running([SYSTEMS["ours"]], data, OPERATIONS["G"]) as (server,),
            scripts(data) as script,
        ):
            for operation, of_operation in itertools.groupby(group, key=lambda step: step[2]):
                run_load(server.url, script(server, operation), 1, plan.warm_seconds)
                for *_, clients in of_operation:
                    where = {"operation": operation.name, "keys": keys, "domains": domains, "clients": clients}
                    of = f"{operation.name:5}{keys:7,} keys {domains:3} domains {clients:3} clients"
                    try:
                        size = check_equal([server], operation, data)[server]
                        measured = measure(server, operation, script, clients, plan.seconds, size)
                    except (WrongAnswer, RuntimeError) as error:
                        rows.append(where | {"failed": True})
                        progress.step(f"{of}  fails: {str(error).splitlines()[0]}")
                        # Abandoned requests still keep the database busy. If the service itself ended, this raises.
                        server.wait_until_ready(data, OPERATIONS["G"])
                    else:
                        rows.append(where | measured)
                        progress.step(f"{of}  {_told(measured)}")
    return rows


def serves(system: System, operation: Operation) -> bool:
    """Whether a system has the operation.

    Of the others only the baseline has V, and none has R. REST has no entities or types. Only V is measured with and
    without tokens.
    """
    if system.interface == "tokens" or operation.name in OF_TOKENS:
        return system.interface == "tokens" and operation.name in (*OF_TOKENS, "V")
    if operation.name in ("V", "R"):
        return system.file is None or (system.interface == "baseline" and operation.baseline_path is not None)
    return system.interface != "rest" or operation.rest_path is not None


def check_equal(servers: Sequence[Server], operation: Operation, data: Seeded) -> dict[Server, float]:
    """The mean size of each system's responses. Raises WrongAnswer if their data differ."""
    sizes: dict[Server, float] = dict.fromkeys(servers, 0.0)
    for variant in range(_CHECKED):
        first: Any = None
        for server in servers:
            answer, size = server.ask(operation, data, variant)
            sizes[server] += size / _CHECKED
            first = answer if first is None else first
            if answer != first:
                raise WrongAnswer(f"{operation.name}: {server.system.title} says {answer}, another {first}"[:2000])
    return sizes


@contextmanager
def scripts(data: Seeded) -> Iterator[Callable[[Server, Operation], Path]]:
    """Yield what writes the wrk script of a system's operation."""
    with tempfile.TemporaryDirectory(prefix="gql-identity-bench-scripts-") as directory:

        def script(server: Server, operation: Operation) -> Path:
            interface = server.system.interface
            file = Path(directory) / f"{interface}-{operation.name}.lua"
            if not file.exists():
                write_script(file, operation.requests(interface, data), data.caller_secret)
            return file

        yield script


def measure(
    server: Server,
    operation: Operation,
    script: Callable[[Server, Operation], Path],
    clients: int,
    seconds: int,
    answer_bytes: float,
) -> dict[str, Any]:
    """The figures of one load. Raises WrongAnswer, or RuntimeError where nothing was answered."""
    for longer in (1, _LONGER):  # on a busy machine a second may be too short for a first response
        cpu = server.cpu_seconds()
        load: Load = run_load(server.url, script(server, operation), clients, longer * seconds)
        cpu = server.cpu_seconds() - cpu
        if load.requests:
            break
    else:
        raise RuntimeError(f"{server.system.title} returned no response to {operation.name}:\n{server.log_end()}")
    check_size(server, operation.name, load, clients, answer_bytes)
    return {
        "requests": load.requests,
        "requests_per_second": round(load.rate, 2),
        "p50_ms": load.p50_ms,
        "p99_ms": load.p99_ms,
        "cpu_us": round(cpu / load.requests * 1e6, 1),
        "answer_bytes": round(load.answer_bytes),
        "errors": load.errors,
    }


def check_size(
    server: Server, what: str, load: Load, clients: int, answer_bytes: float, *, are_equal: bool = True
) -> None:
    """Raise WrongAnswer where the responses of a load have another mean size than those that were checked.

    GraphQL reports errors with status 200, but such a response has another size. `are_equal` is whether all responses
    have about the same size.
    """
    if not load.requests:
        raise WrongAnswer(f"{server.system.title}, {what}: no response. Its log ends:\n{server.log_end()}")
    # Responses that are under way at the end count in part, and large ones are more often among them.
    under_way = 2 * clients / load.requests
    larger = load.answer_bytes / answer_bytes - 1
    if larger > _SIZE_TOLERANCE + under_way or larger < -_SIZE_TOLERANCE - (0 if are_equal else under_way):
        raise WrongAnswer(
            f"{server.system.title}, {what}: responses under load have {load.answer_bytes:.0f} bytes, "
            f"those that were checked {answer_bytes:.0f}. Its log ends:\n{server.log_end()}"
        )


def _told(measured: dict[str, Any]) -> str:
    text = f"{measured['requests_per_second']:9,.0f} requests/s  p99 {measured['p99_ms']:8.1f} ms"
    errors = f"  {measured['errors']} ERRORS" if measured["errors"] else ""
    return f"{text}  CPU {measured['cpu_us']:7,.0f} µs{errors}"
