"""One attack measured: the service started and seeded, the victim alone, under attack, and until it is served again."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import uuid_utils

from gql_identity.storage.embedded import running_uri

from ..processes import ROOT, Service, serving, surroundings
from .attacks import Kind
from .victim import PATIENCE_SECONDS
from .wire import Target

P99_MS = 100.0
MEMORY_MB = 250.0
RECOVERY_SECONDS = 5.0
ENGINE_BUSY_SECONDS = 10.0  # the time limit of an operation: the embedded engine does not stop a read that has begun
STOP_SECONDS = 10.0
LONGEST_RECOVERY_SECONDS = 12.0  # what is not back by then counts as never
PER_SECOND = 50
BUSY_SHARE = 0.4  # of a core; the victim's own reads take a tenth
SAMPLE_SECONDS = 0.1
LONG_NAME = "\N{GRINNING FACE}" * 255  # the most bytes that a name may have


@dataclass
class Row:
    """What one attack did."""

    attack: str
    issue: str
    workers: int
    alone_p50_ms: float = 0
    alone_p99_ms: float = 0
    attack_p50_ms: float = 0
    attack_p99_ms: float = 0
    requests: int = 0
    errors: int = 0
    idle_mb: float = 0
    process_mb: float = 0
    engine_mb: float = 0
    recovery_seconds: float | None = None  # None where it was not back in time
    engine_busy_seconds: float = 0  # how long after the end the embedded engine still worked on what nobody waits for
    stop_seconds: float | None = None
    broken: list[str] = field(default_factory=list)  # the promises that don't hold, in words
    answers: dict[str, int] = field(default_factory=dict)  # what the attacker got

    @property
    def holds(self) -> bool:
        return not self.broken


def measure(
    kind: Kind, *, workers: int = 1, seconds: float = 8.0, alone_seconds: float = 4.0, slack: float = 1.0
) -> Row:
    """Run one attack on a fresh service. `slack` is how many times the promised durations still hold the promise."""
    row = Row(kind.name, kind.number, workers)
    with (
        tempfile.TemporaryDirectory(prefix="gql-identity-abuse-") as directory,
        _started(kind, Path(directory) / "data", workers) as service,
    ):
        attacker, victim = _seed(service, kind)
        with _Victim(victim) as reader, _Memory(service) as memory:
            time.sleep(min(1, alone_seconds))  # the first ones meet an empty cache
            began = time.monotonic()
            time.sleep(alone_seconds)
            row.alone_p50_ms, row.alone_p99_ms = _percentiles(reader.times(began, time.monotonic()))
            row.idle_mb = memory.process_mb
            _attack(kind, attacker, service, reader, row, max(seconds, kind.seconds or 0), slack)
            row.process_mb, row.engine_mb = memory.process_mb, memory.engine_mb
    _judge(kind, row, slack)
    return row


def _attack(
    kind: Kind, target: Target, service: Service, victim: "_Victim", row: Row, seconds: float, slack: float
) -> None:
    with _process("attacker", target, kind.name, str(seconds)) as attacker:
        if kind.stops:
            time.sleep(5)
            service.process.terminate()
            began = time.monotonic()
            with suppress(subprocess.TimeoutExpired):
                service.process.wait(STOP_SECONDS)
                row.stop_seconds = round(time.monotonic() - began, 1)
            if row.stop_seconds is None:
                row.broken.append(f"the service still runs {STOP_SECONDS:.0f} s after SIGTERM")
            return
        began = time.monotonic()
        time.sleep(seconds)
        ended = time.monotonic()
        assert attacker.stdout is not None
        with suppress(subprocess.TimeoutExpired):
            attacker.wait(4)
        if attacker.poll() is None:
            attacker.kill()
        found = json.loads(attacker.stdout.read() or "{}")
        row.answers = found.get("answers", {"attack did not end": 1})
        if found.get("broken"):
            row.broken.append(found["broken"])
    row.recovery_seconds = victim.recovery(ended)
    row.engine_busy_seconds = _engine_busy(service, ended, ENGINE_BUSY_SECONDS * slack)
    times = victim.times(began, ended)
    row.attack_p50_ms, row.attack_p99_ms = _percentiles(times)
    row.requests, row.errors = len(times), sum(not ok for _, ok in times)


def _percentiles(times: list[tuple[float, bool]]) -> tuple[float, float]:
    """The median and the 99th percentile of what requests took, in milliseconds."""
    took = sorted(ms for ms, _ in times)
    return round(took[len(took) // 2], 1), round(took[int(len(took) * 0.99)], 1)


def _judge(kind: Kind, row: Row, slack: float) -> None:
    if row.process_mb > MEMORY_MB:
        row.broken.append(f"the process had {row.process_mb:.0f} MB")
    if kind.stops:
        return
    if kind.victim_counts:
        if row.attack_p99_ms > P99_MS * slack:
            row.broken.append(f"the victim's p99 was {row.attack_p99_ms:.0f} ms")
        if row.errors > row.requests / 100:
            row.broken.append(f"{row.errors} of the victim's {row.requests} requests failed")
    if row.recovery_seconds is None:
        row.broken.append(f"the victim was not served {LONGEST_RECOVERY_SECONDS:.0f} s after the end")
    elif row.recovery_seconds > RECOVERY_SECONDS * slack:
        row.broken.append(f"recovery took {row.recovery_seconds:.1f} s")
    if row.engine_busy_seconds > ENGINE_BUSY_SECONDS * slack:
        row.broken.append(f"the engine was busy for {row.engine_busy_seconds:.0f} s after the end, or longer")


def _started(kind: Kind, data_dir: Path, workers: int) -> AbstractContextManager[Service]:
    """The service, with as many descriptors as the attack is about."""
    environment: Any = {"GQL_IDENTITY_LOG_LEVEL": "warning", **kind.settings}
    return serving(data_dir, "--workers", str(workers), descriptors=kind.descriptors, **environment)


def _seed(service: Service, kind: Kind) -> tuple[Target, Target]:
    """The attacker's and the victim's means: a USER key each, the attacker's among many with long names."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    uri = running_uri(service.data_dir)
    assert uri is not None
    targets = []
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        collection = client.get_default_database()["api_keys"]
        for who, number in (("attacker", kind.keys), ("victim", 100)):
            key = service.create(user_id=who, domain_id=f"domain-{who}")
            documents = [_document(f"domain-{who}", who, n) for n in range(number)]
            for start in range(0, number, 2_000):
                collection.insert_many(documents[start : start + 2_000], ordered=False)
            targets.append(
                Target(
                    host,
                    int(port),
                    key["apiKey"],
                    f"domain-{who}",
                    who,
                    str(service.data_dir),
                    service.database.pid,
                    [document["_id"] for document in documents[:10]],
                )
            )
    return targets[0], targets[1]


def _document(domain_id: str, user_id: str, n: int) -> dict[str, Any]:
    return {
        "_id": f"api-key-{uuid_utils.uuid7().hex}",
        "domain_id": domain_id,
        "user_id": user_id,
        "state": "ENABLED",
        "role": "USER",
        "name": LONG_NAME if n % 2 or n < 10 else "abcdefghijklmnopqrstuvwxyz" * 9,
        "digest": n.to_bytes(32, "big") if domain_id == "domain-attacker" else bytes([255]) + n.to_bytes(31, "big"),
        "hint": "gqlid_...0000",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n % 192),
        "created_by": None,
        "last_accessed_at": None,
    }


@contextmanager
def _process(module: str, target: Target, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of this package, with its target on standard input; killed at the end where it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.abuse.{module}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=surroundings(),
        cwd=ROOT,
    )
    try:
        with process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(asdict(target)) + "\n")
            process.stdin.flush()
            try:
                yield process
            finally:
                process.kill()
    finally:
        process.wait()


class _Victim:
    """The victim's process and the times that it told."""

    def __init__(self, target: Target) -> None:
        self._running = _process("victim", target)
        self._told: list[tuple[float, float, bool]] = []

    def __enter__(self) -> "_Victim":
        process = self._running.__enter__()
        self._thread = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.__exit__(None, None, None)
        self._thread.join(5)

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with suppress(ValueError):  # closed meanwhile, or a line cut short by the end
            for line in process.stdout:
                at, milliseconds, ok = json.loads(line)
                self._told.append((at, milliseconds, ok))

    def times(self, began: float, ended: float) -> list[tuple[float, bool]]:
        """How long each request took that was planned between these instants, and whether it was answered well.

        Call it once all can have been told: the victim itself tells each after its patience at the latest.
        """
        planned = int((ended - began) * PER_SECOND)
        until = time.monotonic() + PATIENCE_SECONDS + 1
        while True:
            told = [(ms, ok) for at, ms, ok in list(self._told) if began <= at < ended]
            if len(told) >= planned - 1 or time.monotonic() > until:
                return told + [(PATIENCE_SECONDS * 1000, False)] * (planned - 1 - len(told))
            time.sleep(0.05)

    def recovery(self, ended: float) -> float | None:
        """Wait until the victim's p99 has been good for a second, and tell how long after the end that second began."""
        while (now := time.monotonic()) < ended + LONGEST_RECOVERY_SECONDS + 1.2:
            time.sleep(0.1)
            for start in range(int((now - ended - 1.1) * 10)):
                begin = ended + start / 10
                second = [one for one in list(self._told) if begin <= one[0] < begin + 1]
                # Of 50 requests one may be late: the machine has other work.
                if len(second) >= 0.9 * PER_SECOND and sum(not ok or ms > P99_MS for _, ms, ok in second) <= 1:
                    return round(start / 10, 1)
        return None


class _Memory:
    """The most resident memory so far: of the largest process of the service, and of the embedded engine."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.process_mb = self.engine_mb = 0.0

    def __enter__(self) -> "_Memory":
        self._pids = [self._service.process.pid, *(worker.pid for worker in self._service.workers)]
        self._engine = self._service.database.pid
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._end.wait(SAMPLE_SECONDS):
            self.process_mb = max([self.process_mb, *map(_resident_mb, self._pids)])
            self.engine_mb = max(self.engine_mb, _resident_mb(self._engine))


def _engine_busy(service: Service, ended: float, longest: float) -> float:
    """How long after the end the engine's processor time grew by more than the victim needs; 0 where it is idle now.

    Given up once that was longer than `longest` seconds.
    """
    busy_until = 0.0
    # After a failure there may be no engine at all: then nothing is busy.
    pids = [process.pid for process in service.family() if "secantusd-rs" in process.command.split(" -")[0]]
    while pids and busy_until <= ended + longest:
        before = _processor_seconds(pids[0])
        time.sleep(0.5)
        if _processor_seconds(pids[0]) - before < BUSY_SHARE * 0.5:
            break
        busy_until = time.monotonic()
    return round(max(0.0, busy_until - ended), 1)


def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return round(pages * resource.getpagesize() / 1e6, 1)
