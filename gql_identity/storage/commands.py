"""The driver's commands, counted for the metrics."""

from collections.abc import Sequence
from typing import Any

import pymongo.errors as driver
from pymongo import monitoring

from .. import metrics
from ..metrics import DATABASE_COMMAND_FAILURES, DATABASE_DURATION


def listeners() -> Sequence[monitoring.CommandListener]:
    """What a client of the database is to be listened to with; nothing where nobody wants to know."""
    return [_Commands()] if metrics.are_on() else []


class _Commands(monitoring.CommandListener):
    """Counts commands. The driver calls it in the thread that a command runs in."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """A command was sent."""

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """The database has replied."""
        DATABASE_DURATION.observe(event.duration_micros / 1_000_000, event.command_name)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """The database has refused, or did not reply."""
        DATABASE_DURATION.observe(event.duration_micros / 1_000_000, event.command_name)
        DATABASE_COMMAND_FAILURES.add(event.command_name, error_type(event.failure))


def error_type(failure: Any) -> str:
    """MongoDB's code, or the name of the driver's error: one of a few hundred."""
    code = failure.get("code") if isinstance(failure, dict) else None
    if code is not None:
        return str(code)
    name = failure.get("errtype") if isinstance(failure, dict) else type(failure).__name__
    return name if isinstance(name, str) and hasattr(driver, name) else "_OTHER"
