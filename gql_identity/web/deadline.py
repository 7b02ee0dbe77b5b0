"""The deadline of an operation."""

import time
from collections.abc import Awaitable
from typing import TypeVar

from ..errors import DeadlineExceeded
from ..storage.database import DEADLINE
from ..storage.scans import ANSWER_BYTES
from ..timeouts import Timeout

T = TypeVar("T")


async def in_time(work: Awaitable[T], seconds: float) -> T:
    """Await `work`, whose database calls get the same deadline.

    After this many seconds, cancels the work and raises DeadlineExceeded.
    """
    DEADLINE.set(time.monotonic() + seconds)
    ANSWER_BYTES.set([0])
    try:
        with Timeout(seconds):
            return await work
    except TimeoutError:
        raise DeadlineExceeded(
            "The request took too long. If the database is busy or down, try again; "
            "if only this request fails, select less."
        ) from None
