"""Lines of the log for refused credentials and refused writes; so many at most that a flood of them floods no log."""

import asyncio
import time
from collections import Counter
from contextvars import Context
from typing import Any

import structlog

WINDOW_SECONDS = 60.0
LINES_OF_A_KEY = 30  # in a window: refused writes of a key, and refusals of the key itself
LINES_OF_AN_ADDRESS = 1  # in a window: credentials that belong to no key
LINES = 600  # in a window, of all

log = structlog.get_logger()


class Refusals:
    """The lines of one worker. Those above the limits are counted, and the count is a line when the window ends."""

    def __init__(self) -> None:
        self._ends_at = 0.0  # by time.monotonic()
        self._lines: Counter[str] = Counter()
        self._written = self._left_out = 0

    def tell(self, who: str, most: int, **line: Any) -> None:
        """Log a refusal, unless `who` has its `most` lines of this window already, or all together have theirs."""
        at = time.monotonic()
        if at >= self._ends_at:
            self._ends_at = at + WINDOW_SECONDS
            self._lines.clear()
            self._written = 0
        if self._written < LINES and self._lines[who] < most:
            self._lines[who] += 1
            self._written += 1
            log.info("audit", **line)
            return
        if not self._left_out:
            # In a context of its own, as the line is not about this request.
            seconds = max(0.0, self._ends_at - at)
            asyncio.get_running_loop().call_later(seconds, self._tell_left_out, context=Context())
        self._left_out += 1

    def _tell_left_out(self) -> None:
        log.info("refusals were left out of the log", count=self._left_out)
        self._left_out = 0
