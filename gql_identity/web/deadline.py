"""The timer of a request."""

import time
from collections.abc import Awaitable
from typing import TypeVar

from ..deadlines import DEADLINE, TIMER
from ..errors import DeadlineExceeded
from ..storage.scans import ANSWER_BYTES
from ..timeouts import Timeout

T = TypeVar("T")


async def in_time(work: Awaitable[T], seconds: float) -> T:
    """Await `work`, whose deadline is in so many seconds.

    Then cancels the work and raises DeadlineExceeded; a little later if the work calls `end_later`.
    """
    DEADLINE.set(time.monotonic() + seconds)
    ANSWER_BYTES.set([0])
    try:
        with Timeout(seconds) as timer:
            TIMER.set(timer)
            return await work
    except TimeoutError:
        raise DeadlineExceeded(
            "The request took too long. If the database is busy or down, try again; "
            "if only this request fails, select less."
        ) from None
