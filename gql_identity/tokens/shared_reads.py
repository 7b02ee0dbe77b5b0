"""A read that is shared: those who need what it reads wait for it together."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextvars import Context


class SharedRead:
    """A read of keys, at most one at a time, which goes on when the request that began it ends."""

    def __init__(self, read: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        self._task: asyncio.Task[None] | None = None
        self.tried_at = -math.inf  # when the last one began, by `time.monotonic()`
        self.failed = True  # none has succeeded, or the last one that ended did not

    @property
    def is_under_way(self) -> bool:
        """Whether a read has begun and not ended."""
        return self._task is not None

    def begin(self) -> asyncio.Task[None]:
        """The read that is under way, or a new one."""
        if self._task is None:
            # In a context of its own: it belongs to no request, nor to its deadline.
            self._task = asyncio.create_task(self._run(), context=Context())
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may wait for it
        return self._task

    async def wait(self) -> None:
        """Wait for the read that is under way, or for a new one. Raises what it does."""
        await asyncio.shield(self.begin())

    async def stop(self) -> None:
        """Give up the read that is under way."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def _run(self) -> None:
        self.tried_at = time.monotonic()
        try:
            await self._read()
        except Exception:
            self.failed = True
            raise
        else:
            self.failed = False
        finally:
            self._task = None
