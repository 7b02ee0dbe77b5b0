"""Request lines, audit events and redaction, by structlog.

A line has what happened and never a secret, a variable or an Authorization header: what is logged is named field by
field, and `_redact` is the net below.
"""

import asyncio
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
import structlog

from .secret import PREFIX

WRITE_SECONDS = 0.05  # how long a request's line waits for others while requests are under way

_SECRET = re.compile(rf"{PREFIX}[0-9A-Za-z]{{20,}}")
_URI_PASSWORD = re.compile(r"(mongodb(?:\+srv)?://[^:/@\s]*:)[^@\s]*@")

log = structlog.get_logger()


def configure_logs(level: str, style: Literal["auto", "console", "json"]) -> None:
    """Log to standard error: for a person on a terminal, as JSON lines elsewhere."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer: Any = _console() if console else structlog.processors.JSONRenderer(serializer=_to_json)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = [_redact, renderer] if console else [structlog.processors.format_exc_info, _redact, renderer]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # What libraries log goes the same way, from warnings up: at finer levels a driver prints its commands.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last], foreign_pre_chain=shared
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class RequestLog:
    """The lines of requests; while others are under way, several are written at once.

    A write lets go of Python's lock, and while many threads wait for it, to get it back costs more than all else about
    a line.
    """

    def __init__(self) -> None:
        as_json = isinstance(structlog.get_config()["processors"][-1], structlog.processors.JSONRenderer)
        self._gathers = as_json and log.is_enabled_for(logging.INFO)
        self._under_way = 0
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """A request is under way."""
        self._under_way += 1

    def end(self, request_id: str, **line: Any) -> None:
        """It is over, and this is its line."""
        self._under_way -= 1
        if not self._gathers:
            log.info("request", **line)
            return
        # As the processors would make it, at a fifth of their price.
        event = {**line, "event": "request", "request_id": request_id, "level": "info", "timestamp": datetime.now(UTC)}
        self._lines.append(_to_json(_redact(log, "info", event)))
        if not self._under_way:
            self._write()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._write)

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def _console() -> Any:
    # Not the default traceback: it shows the values of local variables, and a secret may be one.
    render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    # It writes the traceback itself, after all else was redacted.
    return lambda logger, method, event: redact(render(logger, method, event))


def _redact(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return {name: redact(value) if isinstance(value, str) else value for name, value in event.items()}


def _to_json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z).decode(errors="replace")


def redact(text: str) -> str:
    """A text without the secrets and passwords that stand in it."""
    if PREFIX not in text and "mongodb" not in text:
        return text
    return _URI_PASSWORD.sub(r"\1[password]@", _SECRET.sub(f"{PREFIX}[secret]", text))
