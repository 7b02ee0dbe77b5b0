"""Begin and end of metrics and traces.

Four times a second each worker looks at the metrics that are numbers of a moment, and writes what it counted.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from . import metrics, traces
from .background import in_background
from .errors import StartError
from .keys.changes import Changes
from .keys.credentials import Credentials
from .logs import RequestLog
from .settings import Settings
from .storage.database import Database
from .version import version
from .web.graphql_operations import GraphQLOperations

SAMPLE_SECONDS = 0.25


def begin_metrics(directory: Path, *, is_service: bool, is_worker: bool) -> None:
    """Count from now on, in files of this directory. Raises StartError without the library."""
    try:
        metrics.begin(directory, is_service=is_service, is_worker=is_worker, version=version())
    except ImportError:
        raise _missing_library("METRICS_PORT") from None


def begin_traces(settings: Settings) -> None:
    """Send spans from now on, if the settings name a collector. Raises StartError where that cannot be."""
    if settings.traces_endpoint is not None:
        with _traces_errors():
            traces.begin(settings.traces_endpoint, version())


def check_traces(settings: Settings) -> None:
    """Raise StartError where workers could not send spans."""
    if settings.traces_endpoint is not None:
        with _traces_errors():
            traces.check(settings.traces_endpoint, version())


@contextmanager
def _traces_errors() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise _missing_library("TRACES_ENDPOINT") from None
    except ValueError as error:
        raise StartError(f"A variable OTEL_... for traces is wrong: {error}") from None


def _missing_library(setting: str) -> StartError:
    return StartError(
        f"GQL_IDENTITY_{setting} needs a library that is missing: "
        "install gql-identity with its extra `otel` (README, Install)."
    )


@asynccontextmanager
async def tracing() -> AsyncIterator[None]:
    """When the block has ended, send the last spans."""
    try:
        yield
    finally:
        await traces.end()


@asynccontextmanager
async def sampling(
    database: Database,
    credentials: Credentials,
    changes: Changes,
    operations: GraphQLOperations,
    requests: RequestLog,
) -> AsyncIterator[None]:
    """Until the block ends, keep gauges and written counts up to date, and count how late the event loop comes.

    Nothing without metrics.
    """
    if not metrics.are_on():
        yield
        return

    def sample() -> None:
        waiting = database.waiting()
        metrics.HTTP_ACTIVE.set(requests.running)
        metrics.DOCUMENTS_CACHED.set(operations.documents)
        metrics.DATABASE_PREPARED.set(database.prepared)
        metrics.SCANS_WAITING.set(waiting.pop("scans"))
        for pool, number in waiting.items():
            metrics.THREADS_WAITING.set(number, pool)
        metrics.USES_UNWRITTEN.set(len(credentials.last_uses))
        metrics.SUBSCRIPTIONS_OPEN.set(changes.subscribers)

    async def keep_sampling() -> None:
        while True:
            sample()
            metrics.write()
            asked = time.monotonic()
            await asyncio.sleep(SAMPLE_SECONDS)
            metrics.EVENT_LOOP_LAG.observe(max(0.0, time.monotonic() - asked - SAMPLE_SECONDS))

    try:
        async with in_background(keep_sampling()):
            yield
    finally:
        metrics.end()
