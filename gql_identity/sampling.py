"""The metrics that are numbers of a moment: each worker looks at them four times a second."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from . import metrics
from .keys.changes import Changes
from .keys.credentials import Credentials
from .logs import RequestLog
from .storage.database import Database
from .web.graphql_operations import GraphQLOperations

SAMPLE_SECONDS = 0.25


@asynccontextmanager
async def sampling(
    database: Database,
    credentials: Credentials,
    changes: Changes,
    operations: GraphQLOperations,
    requests: RequestLog,
) -> AsyncIterator[None]:
    """Until the block ends, keep the gauges as they are, and how late the event loop comes. Nothing without metrics."""
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
            asked = time.monotonic()
            await asyncio.sleep(SAMPLE_SECONDS)
            metrics.EVENT_LOOP_LAG.observe(max(0.0, time.monotonic() - asked - SAMPLE_SECONDS))

    task = asyncio.create_task(keep_sampling())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        metrics.end()
