"""Request lines, audit events and redaction, by structlog.

A line has what happened and never a secret, a variable or an Authorization header: what is logged is named field by
field, and `_redact` is the net below.
"""

import logging
import re
import sys
from typing import Any, Literal

import orjson
import structlog

from .secret import PREFIX

_SECRET = re.compile(rf"{PREFIX}[0-9A-Za-z]{{20,}}")
_URI_PASSWORD = re.compile(r"(mongodb(?:\+srv)?://[^:/@\s]*:)[^@\s]*@")


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


def _console() -> Any:
    # Not the default traceback: it shows the values of local variables, and a secret may be one.
    render = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    # It writes the traceback itself, after all else was redacted.
    return lambda logger, method, event: redact(render(logger, method, event))


def _redact(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return {name: redact(value) if isinstance(value, str) else value for name, value in event.items()}


def _to_json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode(errors="replace")


def redact(text: str) -> str:
    """A text without the secrets and passwords that stand in it."""
    if PREFIX not in text and "mongodb" not in text:
        return text
    return _URI_PASSWORD.sub(r"\1[password]@", _SECRET.sub(f"{PREFIX}[secret]", text))
