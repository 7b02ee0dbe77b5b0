"""The deadline of a request."""

import time
from collections.abc import Awaitable
from typing import TypeVar

from ..deadlines import DEADLINE, until_deadline
from ..storage.scans import ANSWER_BYTES

T = TypeVar("T")


def in_time(work: Awaitable[T], seconds: float) -> Awaitable[T]:
    """Await `work`, which begins now, until its deadline in so many seconds; raises what `until_deadline` does."""
    DEADLINE.set(time.monotonic() + seconds)
    ANSWER_BYTES.set([0])
    return until_deadline(work)
