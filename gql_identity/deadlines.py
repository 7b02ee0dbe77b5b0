"""The deadline of a request, and the timer that ends it.

All calls of the database end at the deadline, and so does a request that has not begun to write. A mutation's earlier
fields may have made secrets, which are returned once, and an answer that is thrown away would lose them. So each field
of a mutation ends by itself, and the timer of its request ends it only later, if something hangs.

When the service stops, the deadlines of all requests that run are brought forward, so that each has its response, which
tells what was written, before the server ends its task.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

from .errors import DeadlineExceeded, ServiceError, Unavailable
from .timeouts import Timeout, all_end_by

LATE_SECONDS = 0.05  # after the deadline, for a call of the database to end with an error that says why
FIELD_SECONDS = 0.5  # after the deadline, for a field to end with its own error, which names what it wrote
LAST_SECONDS = 1.0  # after the deadline, for the answer to be complete when the last field has ended

DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)  # of the request, by time.monotonic()
TIMER: ContextVar["Timer | None"] = ContextVar("timer", default=None)  # of the request, or of one in a batch

TOO_LONG = (
    "The request took too long, and nothing was changed. If the database is busy or down, try again; "
    "if only this request fails, select less."
)
_UNKNOWN = "whether a write took place is unknown: read the keys before you send it again."
_SEND_AGAIN = " A create or a rotation that has a `request_id` can be sent again as it is."
UNKNOWN = f"It took too long, and {_UNKNOWN}{_SEND_AGAIN}"
STOPPING = "The service is stopping, and nothing was changed. Try again."
STOPPED_UNKNOWN = f"The service is stopping, and {_UNKNOWN}"

T = TypeVar("T")
Resolver = Callable[..., Coroutine[Any, Any, Any]]


class Timer(Timeout):
    """The timer of a request, or of one request of a batch: it ends it at the deadline, or soon after a write."""

    writes = 0  # how many have begun, those of earlier requests of the batch included
    ends_at: float  # the deadline of the request; `deadline` is when this timer ends it, which is later after a write
    is_of_stop = False  # whether the deadline is there because the service stops

    def end_for_stop(self, at: float) -> None:
        """Bring the deadline forward: the service stops."""
        ends_at = at - LAST_SECONDS
        if ends_at < self.ends_at:
            self.move(self.deadline - (self.ends_at - ends_at))  # by as much as the deadline
            self.ends_at, self.is_of_stop = ends_at, True

    def error(self, writes_before: int = 0) -> ServiceError:
        """The error for what this timer has ended, which began after so many writes."""
        if self.is_of_stop:
            return Unavailable(STOPPED_UNKNOWN + _SEND_AGAIN if self.writes > writes_before else STOPPING)
        return DeadlineExceeded(UNKNOWN if self.writes > writes_before else TOO_LONG)


class CallTimeout(Timeout):
    """The timeout of a call of the database, also of one for several requests: their errors name what they wrote."""

    __slots__ = ()

    def end_for_stop(self, at: float) -> None:
        """End it at the deadline of the stop, if it does not end before."""
        late = at - LAST_SECONDS + LATE_SECONDS
        if late < self.deadline:
            self.move(late)


def is_over() -> bool:
    """Whether the time of this request is over."""
    deadline = DEADLINE.get()
    return deadline is not None and time.monotonic() >= min(deadline, stop_deadline())


def check_time() -> None:
    """Raise DeadlineExceeded, or Unavailable if the service stops, for what would begin after the deadline."""
    if is_over():
        if time.monotonic() >= stop_deadline():
            raise Unavailable("The service is stopping: this had not begun, so nothing was done. Try again.")
        raise DeadlineExceeded(
            "The time of this request was over before this began, so nothing was done: the limit "
            "`operation_timeout_seconds`. Send it again; if there are other fields or operations in the request, "
            "send fewer of them."
        )


def stop_deadline() -> float:
    """The deadline of all requests; `inf` unless the service stops."""
    return all_end_by() - LAST_SECONDS


async def until_deadline(work: Awaitable[T]) -> T:
    """Await a request, or one of a batch, until its deadline; a little longer if it is a write.

    Then cancels it and raises DeadlineExceeded, or Unavailable if the service stops.
    """
    deadline = DEADLINE.get()
    if deadline is None:
        return await work
    timer = Timer(deadline - time.monotonic())
    timer.ends_at = deadline
    writes = 0
    if (before := TIMER.get()) is not None:  # of a batch, or of an earlier request of it
        timer.writes = writes = before.writes
    TIMER.set(timer)
    try:
        with timer:
            return await work
    except TimeoutError:
        raise timer.error(writes) from None


def stop_timer() -> None:
    """Stop the timer of a batch, which would end all of it: each of its requests has its own."""
    if (timer := TIMER.get()) is not None:
        timer.stop()


def note_write() -> None:
    """Note that the request begins to write: if it is ended now, the outcome is unknown."""
    if (timer := TIMER.get()) is not None:
        timer.writes += 1


def ends_in_time(resolver: Resolver) -> Resolver:
    """Have a write, such as a field of a mutation, end by itself, so that its neighbours keep their values.

    It does not begin after the deadline, and ends soon after it. Raises DeadlineExceeded, or Unavailable if the service
    stops.
    """

    # The request's own timer ends it: one for each field would take more than a microsecond.
    @wraps(resolver)
    async def ending(*arguments: Any, **named: Any) -> Any:
        timer = TIMER.get()
        if timer is None:
            check_time()
            return await resolver(*arguments, **named)
        if time.monotonic() >= timer.ends_at:
            check_time()
        writes = timer.writes
        timer.move(timer.ends_at + FIELD_SECONDS)
        try:
            return await resolver(*arguments, **named)
        except asyncio.CancelledError:
            if not timer.catches():
                raise
            raise timer.error(writes) from None
        finally:
            timer.move(timer.ends_at + LAST_SECONDS)

    return ending
