"""Work that goes on beside requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from .errors import ServiceError

log = structlog.get_logger()


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a task until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def repeat(work: Callable[[], Awaitable[object]], seconds: float, failure: str) -> None:
    """Do this work until cancelled, with a pause of so many seconds. `failure` is logged with an unexpected error."""
    while True:
        try:
            await work()
        except ServiceError:
            pass  # the log says why the database failed
        except Exception:
            log.exception(failure)
        await asyncio.sleep(seconds)
