"""The deadline of a request.

All calls of the database end at the deadline, and so does a query. A mutation's earlier fields may have made secrets,
which are returned once, and an answer that is thrown away would lose them. So each field of a mutation ends by itself,
and the timer of the whole request ends it only later, if something hangs.
"""

import time
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import TypeVar

from .errors import DeadlineExceeded
from .timeouts import Timeout

FIELD_SECONDS = 0.5  # after the deadline, for a field to end with its own error, which names what it wrote
LAST_SECONDS = 1.0  # after the deadline, for the answer to be complete when the last field has ended

DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)  # of the request, by time.monotonic()
TIMER: ContextVar[Timeout | None] = ContextVar("timer", default=None)  # of the request

T = TypeVar("T")


def check_time() -> None:
    """Raise DeadlineExceeded for what would begin after the deadline."""
    deadline = DEADLINE.get()
    if deadline is not None and time.monotonic() >= deadline:
        raise DeadlineExceeded(
            "The time of this request (`operation_timeout_seconds`) was over before this began, so nothing was done. "
            "Send it again, by itself."
        )


async def until_deadline(work: Awaitable[T], more_seconds: float = 0.0) -> T:
    """Await `work` until the deadline, or so much longer. Raises DeadlineExceeded when it is over."""
    deadline = DEADLINE.get()
    if deadline is None:
        return await work
    try:
        with Timeout(max(0.0, deadline - time.monotonic()) + more_seconds):
            return await work
    except TimeoutError:
        raise DeadlineExceeded(
            "It took too long, and whether a write took place is unknown. If the database is busy or down, try again."
        ) from None


def end_later() -> None:
    """Have the request's timer end LAST_SECONDS after the deadline: all that it does ends by itself before."""
    timer, deadline = TIMER.get(), DEADLINE.get()
    if timer is not None and deadline is not None:
        timer.deadline = deadline + LAST_SECONDS
