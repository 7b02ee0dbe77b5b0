"""The driver's commands, counted for the metrics and as spans of traces."""

from collections.abc import Sequence
from typing import Any

import pymongo.errors as driver
from opentelemetry.trace import Span
from pymongo import monitoring

from .. import metrics, traces
from ..metrics import DATABASE_COMMAND_FAILURES, DATABASE_DURATION


def listeners() -> Sequence[monitoring.CommandListener]:
    """What a client of the database is to be listened to with; nothing where nobody wants to know."""
    return [_Commands()] if metrics.are_on() or traces.is_on else []


class _Commands(monitoring.CommandListener):
    """Counts commands, and makes spans. The driver calls it in the thread that a command runs in."""

    def __init__(self) -> None:
        self._spans: dict[int, Span] = {}  # by the driver's number of the command

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        """A command was sent."""
        if not traces.is_traced():
            return
        name = event.command_name
        collection = event.command.get("collection" if name == "getMore" else name)
        host, port = event.connection_id
        attributes: dict[str, str | int] = {
            "db.system.name": "mongodb",
            "db.namespace": event.database_name,
            "db.operation.name": name,
            "server.address": host,
            **({"server.port": port} if port else {}),
            **({"db.collection.name": collection} if isinstance(collection, str) else {}),
        }
        self._spans[event.request_id] = traces.begin_command(name, attributes)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """The database has replied."""
        DATABASE_DURATION.observe(event.duration_micros / 1_000_000, event.command_name)
        if (span := self._spans.pop(event.request_id, None)) is not None:
            span.end()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """The database has refused, or did not reply."""
        DATABASE_DURATION.observe(event.duration_micros / 1_000_000, event.command_name)
        kind = error_type(event.failure)
        DATABASE_COMMAND_FAILURES.add(event.command_name, kind)
        if (span := self._spans.pop(event.request_id, None)) is not None:
            traces.failed(span, kind)
            span.end()


def error_type(failure: Any) -> str:
    """MongoDB's code, or the name of the driver's error: one of a few hundred."""
    code = failure.get("code") if isinstance(failure, dict) else None
    if code is not None:
        return str(code)
    name = failure.get("errtype") if isinstance(failure, dict) else type(failure).__name__
    return name if isinstance(name, str) and hasattr(driver, name) else "_OTHER"
