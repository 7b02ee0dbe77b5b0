"""Every series that the service counts, and how it counts: nothing until `begin`, which only `serve` calls.

Values are kept by prometheus_client in files that all processes of a service share, one set for each process: a sum
over the workers is right, and stays so when one is killed. A write to such a file costs as much as ten additions, so
counts are added up in memory and written four times a second. Labels have few values, none of which a client chooses.
Names and labels are those of OpenTelemetry's semantic conventions where these have one, spelled as Prometheus does.
"""

import os
import sys
import threading
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus_client looks for it
MAX_PROCESSES = 1_000  # of one service at one time


class Series:
    """One series. Without `begin`, a call costs as much as a call."""

    kind: ClassVar[str]

    def __init__(self, name: str, text: str, *labels: str, of_service: bool = False, **options: Any) -> None:
        """`of_service` is for what the process that starts the workers counts."""
        self.name = name
        self.text = text
        self.labels = labels
        self.of_service = of_service
        self.is_on = False
        self._lock = threading.Lock()  # the driver's threads count too
        self._options = options
        self._metric: Any = None
        self._children: dict[tuple[str, ...], Any] = {}
        SERIES.append(self)

    def begin(self, client: Any) -> None:
        """Count from now on. `client` is the module prometheus_client."""
        self._children = {}
        self._metric = getattr(client, self.kind)(self.name, self.text, self.labels, registry=None, **self._options)
        if not self.labels:
            self._children[()] = self._metric
        self.is_on = True

    def write(self) -> None:
        """Write what was counted since the last write."""

    def end(self) -> None:
        """Write the last counts, and count no longer."""
        if self.is_on:
            self.write()
        self.is_on = False

    def _child(self, labels: tuple[str, ...]) -> Any:
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._metric.labels(*labels)
        return child


class Counter(Series):
    """A number that only grows."""

    kind = "Counter"

    def __init__(self, name: str, text: str, *labels: str, of_service: bool = False) -> None:
        super().__init__(name, text, *labels, of_service=of_service)
        self._counts: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str, amount: int = 1) -> None:
        """Count one more, or `amount`."""
        if self.is_on:
            with self._lock:
                self._counts[labels] = self._counts.get(labels, 0) + amount

    def write(self) -> None:
        """Write what was counted since the last write."""
        with self._lock:
            counts, self._counts = self._counts, {}
        for labels, count in counts.items():
            self._child(labels).inc(count)


class Histogram(Series):
    """How many values there were up to each of some bounds, and their sum."""

    kind = "Histogram"

    def __init__(self, name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> None:
        super().__init__(name, text, *labels, buckets=buckets)
        self._bounds = buckets
        self._counts: dict[tuple[str, ...], list[float]] = {}  # for each bucket, one above all, and the sum

    def observe(self, value: float, *labels: str) -> None:
        """Count a value."""
        if self.is_on:
            with self._lock:
                counts = self._counts.get(labels)
                if counts is None:
                    counts = self._counts[labels] = [0] * (len(self._bounds) + 2)
                counts[bisect_left(self._bounds, value)] += 1
                counts[-1] += value

    def write(self) -> None:
        """Write what was counted since the last write."""
        with self._lock:
            found, self._counts = self._counts, {}
        for labels, (*counts, total) in found.items():
            # What `observe` of prometheus_client does for one value.
            child = self._child(labels)
            child._sum.inc(total)
            for bucket, count in zip(child._buckets, counts, strict=True):
                if count:
                    bucket.inc(count)


class Gauge(Series):
    """A number of this moment; all workers' are added up."""

    kind = "Gauge"

    def __init__(self, name: str, text: str, *labels: str, mode: str = "livesum") -> None:
        super().__init__(name, text, *labels, multiprocess_mode=mode)

    def set(self, value: float, *labels: str) -> None:
        """Replace the number."""
        if self.is_on:
            self._child(labels).set(value)

    def end(self) -> None:
        """Forget the numbers, which were of a moment, and count no longer."""
        for labels in self._children:
            self.set(0, *labels)
        super().end()


SERIES: list[Series] = []

BUILD_INFO = Gauge(
    "gql_identity_build_info",
    "The version that runs, as labels; always 1.",
    "version",
    "python_version",
    mode="livemax",
)
WORKERS = Gauge("gql_identity_workers", "Worker processes that serve.")
WORKER_RESTARTS = Counter(
    "gql_identity_worker_restarts_total", "Worker processes that ended and were replaced.", of_service=True
)
EMBEDDED_RESTARTS = Counter(
    "gql_identity_embedded_restarts_total", "How often the embedded database ended and was started again.",
    of_service=True,
)  # fmt: skip
EVENT_LOOP_LAG = Histogram(
    "gql_identity_event_loop_lag_seconds", "How much later than asked a worker's event loop came back.",
    buckets=SECONDS,
)  # fmt: skip

HTTP_DURATION = Histogram(
    "http_server_request_duration_seconds", "Duration of HTTP requests; of a stream, how long it was open.",
    "http_request_method", "http_route", "http_response_status_code", buckets=SECONDS,
)  # fmt: skip
HTTP_ACTIVE = Gauge("http_server_active_requests", "HTTP requests, and operations over WebSocket, under way.")

OPERATIONS = Counter(
    "gql_identity_operations_total", "GraphQL operations that ended; the outcome is OK or the code of the first error.",
    "graphql_operation_type", "outcome",
)  # fmt: skip
COST = Histogram(
    "gql_identity_operation_cost", "Computed cost of GraphQL operations, before they run.",
    buckets=(10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
)  # fmt: skip
LIMITS = Counter("gql_identity_limit_refusals_total", "What was refused for a limit, by the limit's name.", "limit")
DOCUMENTS_CACHED = Gauge("gql_identity_documents_cached", "Documents that are kept parsed and validated.")
DOCUMENTS_COMPILED = Counter("gql_identity_documents_compiled_total", "Operations that were compiled.")

VERIFICATIONS = Counter(
    "gql_identity_verifications_total", "Secrets that were verified for others, by the result and by where they asked.",
    "code", "door",
)  # fmt: skip
REFUSED_CREDENTIALS = Counter(
    "gql_identity_refused_credentials_total", "Requests and operations with a credential that was refused.", "reason"
)
RATE_LIMITED = Counter("gql_identity_rate_limited_total", "What was refused for a rate limit.", "rate")
CREDENTIAL_LOOKUPS = Counter(
    "gql_identity_credential_lookups_total",
    "Look-ups of secrets: in the cache, in a read that another request began, or in the database.",
    "source",
)
ISSUER_READ_FAILURES = Counter(
    "gql_identity_issuer_read_failures_total",
    "Reads of an OpenID issuer's keys or metadata that failed; the keys of before stay in use.",
)
CALLS_PER_ROUND_TRIP = Histogram(
    "gql_identity_calls_per_round_trip", "Look-ups or creates that one round trip to the database served.", "kind",
    buckets=(1, 2, 3, 5, 10, 20, 50, 100, 200),
)  # fmt: skip

DATABASE_DURATION = Histogram(
    "db_client_operation_duration_seconds", "Duration of the driver's commands, those that fail included.",
    "db_operation_name", buckets=SECONDS,
)  # fmt: skip
DATABASE_COMMAND_FAILURES = Counter(
    "gql_identity_database_command_failures_total", "Commands that failed, by MongoDB's code or the driver's error.",
    "db_operation_name", "error_type",
)  # fmt: skip
DATABASE_FAILURES = Counter(
    "gql_identity_database_failures_total",
    "Calls of the database that failed after the driver's own retries, by the code that clients get.",
    "code",
)
DATABASE_PREPARED = Gauge("gql_identity_database_prepared", "Workers whose database is prepared: all, if all is well.")
THREADS_WAITING = Gauge(
    "gql_identity_database_threads_waiting",
    "Database calls that wait for a thread, or for a connection of a pool.",
    "pool",
)
SCANS_WAITING = Gauge("gql_identity_scans_waiting", "Lists, counts and statistics that wait for a slot.")
USES_UNWRITTEN = Gauge("gql_identity_uses_unwritten", "Last uses of keys that are not written yet.")

SUBSCRIPTIONS_OPEN = Gauge("gql_identity_subscriptions_open", "Subscriptions to changes of keys.")
SUBSCRIPTIONS_ENDED = Counter(
    "gql_identity_subscriptions_ended_total", "Subscriptions that ended, by who or what ended them.", "reason"
)
CHANGE_STREAM_FAILURES = Counter(
    "gql_identity_change_stream_failures_total", "Change streams that failed; the next subscriber starts another."
)

_lock: int | None = None  # of this process's slot, held until the process ends


def begin(directory: Path, *, is_service: bool, is_worker: bool, version: str) -> None:
    """Count from now on, in files of this directory, which all processes of the service have in common.

    Raises ImportError without prometheus_client, and OSError.
    """
    import prometheus_client
    from prometheus_client import values

    process = "service" if is_service else _take_slot(directory)
    # A replaced worker goes on with the files of the one before: counters go on, and there are few files.
    _forget_gauges(directory, process)
    os.environ[_DIRECTORY] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: process)  # type: ignore[no-untyped-call]
    for series in SERIES:
        if series.of_service if is_service and not is_worker else is_worker and (is_service or not series.of_service):
            series.begin(prometheus_client)
    if is_worker:
        BUILD_INFO.set(1, version, f"{sys.version_info.major}.{sys.version_info.minor}")
        WORKERS.set(1)


def write() -> None:
    """Write what this process counted since the last write."""
    for series in SERIES:
        if series.is_on:
            series.write()


def end() -> None:
    """Write the last counts, and count no longer."""
    for series in SERIES:
        series.end()


def are_on() -> bool:
    """Whether this process counts."""
    return WORKERS.is_on


def lines(directory: Path, accept: str) -> tuple[bytes, str]:
    """What all processes have written, as Prometheus or OpenMetrics text, and its media type; this one writes first."""
    from prometheus_client import CollectorRegistry, exposition, multiprocess

    write()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]
    encode, media_type = exposition.choose_encoder(accept)
    return encode(registry), media_type


def _take_slot(directory: Path) -> str:
    """The name of the first slot that no running process has; the system frees it when the process ends."""
    global _lock
    if sys.platform == "win32":
        return str(os.getpid())
    import fcntl

    for number in range(MAX_PROCESSES):
        lock = os.open(directory / f"worker-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        _lock = lock
        return f"worker-{number}"
    raise OSError("too many worker processes")


def _forget_gauges(directory: Path, process: str) -> None:
    files: Iterable[Path] = directory.glob(f"gauge_*_{process}.db")
    for file in files:
        file.unlink()
