"""Request lines, audit events and redaction, with structlog.

Log lines never contain secrets, GraphQL variables or Authorization headers. Each logged field is chosen by name, and
`_redact` removes any secret that a field still contains.
"""

import asyncio
import io
import logging
import re
import sys
import time
from datetime import UTC, datetime
from typing import Any, Literal, TextIO
from urllib.parse import unquote

import orjson
import structlog

from .secret import JWT_PREFIX, PREFIX, RANDOM_CHARACTERS

WRITE_SECONDS = 0.05  # the longest time that a line is buffered while requests run

MAX_CHARACTERS = 1_000  # of one field; longer fields are cut, except tracebacks
MAX_ENCODINGS = 8  # layers of percent-encoding that are decoded to find a secret
_SECRET = re.compile(rf"{PREFIX}[0-9A-Za-z]{{8,}}")
# JavaScript's escape() writes `%u005f`, JSON `\\u005f`, HTML `&#95;` or `&#x5f;`.
_ESCAPE = re.compile(r"(?:%u|\\+u)([0-9a-fA-F]{4})|&#x([0-9a-fA-F]{1,6});|&#([0-9]{1,7});")
# In a path, so many characters in a row are a secret, in whatever way its prefix is encoded; ids have fewer.
_LONG = re.compile(rf"[0-9A-Za-z]{{{RANDOM_CHARACTERS},}}|[0-9A-Za-z]{{8,}}(?=\.\.\. \()")
# A JWT without its last part, which may be cut off, is no credential; with a part of it, it is hidden all the same.
_JWT = re.compile(rf"{JWT_PREFIX}[\w-]{{8,}}\.{JWT_PREFIX}[\w-]{{8,}}\.[\w-]*", re.ASCII)
_CUT_SECRET = re.compile(rf"{PREFIX}[0-9A-Za-z%]*$")
_CONTROL = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_URI_PASSWORD = re.compile(r"(mongodb(?:\+srv)?://[^:/@\s]*:)[^@\s]*@")

log = structlog.get_logger()


def configure_logs(level: str, style: Literal["auto", "console", "json"]) -> None:
    """Log to standard error: readable on a terminal, JSON lines elsewhere."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer: Any = _console() if console else structlog.processors.JSONRenderer(serializer=_to_json)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Any] = (
        [_redact, _escape, renderer] if console else [structlog.processors.format_exc_info, _redact, renderer]
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # Libraries log in the same format, from level warning up: below that, the driver logs its commands.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last], foreign_pre_chain=shared
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("pymongo.client").addFilter(_with_reason_alone)


def _with_reason_alone(record: logging.LogRecord) -> bool:
    """Say why a background task of the driver failed, such as the end of a cursor, without a traceback."""
    if record.exc_info and record.exc_info[1] is not None:
        record.msg = f"{record.msg} {type(record.exc_info[1]).__name__}"
        record.exc_info = None
    return True


def are_json() -> bool:
    """Whether log lines are JSON."""
    return isinstance(structlog.get_config()["processors"][-1], structlog.processors.JSONRenderer)


def lost_line(count: int) -> str:
    """The line that tells how many lines before it were lost, as standard error did not take them."""
    event = {"count": count, "event": "lines were lost", "level": "warning", "timestamp": datetime.now(UTC)}
    return f"{_to_json(event) if are_json() else f'lines were lost: {count}'}\n"


class RequestLog:
    """Writes the log lines of requests, several in one write while other requests run.

    A write releases Python's global interpreter lock. When many threads wait for the lock, getting it back costs more
    than the rest of a line. Requests that await nothing run one after the other, many in one turn of the event loop:
    the first of them is written at once, and the others when the turn has ended.
    """

    def __init__(self) -> None:
        self.follow_level()
        self._running = 0
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._has_written = False  # whether lines were written in this turn of the event loop

    def follow_level(self) -> None:
        """Write lines or not, as the level of the log says now."""
        self.are_logged = log.is_enabled_for(logging.INFO)
        self._gathers = are_json() and self.are_logged

    def begin(self) -> float:
        """Count a started request and return its start time, by `time.monotonic()`."""
        self._running += 1
        return time.monotonic()

    @property
    def running(self) -> int:
        """How many requests run."""
        return self._running

    def end_unlogged(self) -> None:
        """Count a finished request that has no line."""
        self._running -= 1
        if self._lines:
            self._write_later()

    def end(self, request_id: str, started: float, **line: Any) -> None:
        """Log a finished request, with its duration in milliseconds."""
        self._running -= 1
        line["duration_ms"] = round((time.monotonic() - started) * 1000, 1)
        if not self._gathers:
            log.info("request", **line)
            return
        self._lines.append(_line("request", line | {"request_id": request_id}))
        self._write_later()

    def _write_later(self) -> None:
        if self._running:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(WRITE_SECONDS, self._write)
        elif not self._has_written:
            self._has_written = True
            asyncio.get_running_loop().call_soon(self._end_turn)
            self._write()

    def _end_turn(self) -> None:
        self._has_written = False
        if self._lines:
            self._write_later()

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        _write_lines(lines)


_of_turn: list[str] = []


def log_in_turn(event: str, **fields: Any) -> None:
    """Log on level info when this turn of the event loop ends, in one write with the other such lines of the turn.

    A batch of creates ends in one turn, and each write releases Python's global lock.
    """
    if not log.is_enabled_for(logging.INFO) or not are_json():
        log.info(event, **fields)
        return
    _of_turn.append(_line(event, structlog.contextvars.get_contextvars() | fields))
    asyncio.get_running_loop().call_soon(_write_turn)


def _write_turn() -> None:
    if _of_turn:
        _write_lines(_of_turn)
        _of_turn.clear()


def _line(event: str, fields: dict[str, Any]) -> str:
    """The same line as structlog's processors would make, in a fifth of the time."""
    fields = {**fields, "event": event, "level": "info", "timestamp": datetime.now(UTC)}
    text = _to_json(fields)
    # Few lines contain a secret or a long field, so each field is checked only if the whole line fails this test.
    is_plain = len(text) < MAX_CHARACTERS and redact(text) is text and not _LONG.search(fields.get("path", ""))
    return text if is_plain else _to_json(_redact(log, "info", fields))


def _write_lines(lines: list[str]) -> None:
    sys.stderr.write("\n".join([*lines, ""]))
    sys.stderr.flush()


def _console() -> Any:
    # The default traceback shows the values of local variables, which may be secrets.
    render = structlog.dev.ConsoleRenderer(exception_formatter=_write_traceback)
    # The renderer adds the traceback after the fields were redacted, so its output is redacted too.
    return lambda logger, method, event: redact(render(logger, method, event))


def _write_traceback(to: TextIO, error: Any) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    to.write("\n".join(_printable(line) for line in text.getvalue().split("\n")))


def _redact(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    redacted = {
        name: value if not isinstance(value, str) else redact(value) if name == "exception" else _short(value)
        for name, value in event.items()
    }
    if isinstance(path := redacted.get("path"), str):
        redacted["path"] = _LONG.sub("[secret]", path)
    return redacted


def _short(text: str) -> str:
    """The text of a field, redacted and cut if it is too long."""
    if len(text) <= MAX_CHARACTERS:
        return redact(text)
    # The cut may leave the first part of a secret at the end.
    begin = _CUT_SECRET.sub(f"{PREFIX}[secret]", redact(text[:MAX_CHARACTERS]))
    return f"{begin}... ({len(text):,} characters)"


def _escape(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Escape control characters, so that a request cannot control the terminal that shows the log."""
    return {name: _printable(value) if isinstance(value, str) else value for name, value in event.items()}


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _to_json(event: Any, **_: Any) -> str:
    line = orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z).decode(errors="replace")
    # JSON does not escape all control characters that a terminal obeys: in ASCII, it leaves DEL.
    if line.isascii() and "\x7f" not in line:
        return line
    return line if line.isprintable() else _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _character(escape: re.Match[str]) -> str:
    number = int(escape[1] or escape[2] or "0", 16) or int(escape[3] or "0")
    return chr(number) if number < sys.maxunicode else escape[0]


def redact(text: str) -> str:
    """Replace secrets and the passwords of connection strings, also where they are encoded, even several times."""
    if "%" in text or "\\u" in text or "&#" in text:
        decoded = text
        for _ in range(MAX_ENCODINGS):
            decoded, before = _ESCAPE.sub(_character, unquote(decoded)), decoded
            if decoded == before:
                break
        if _SECRET.search(decoded) or _URI_PASSWORD.search(decoded) or _JWT.search(decoded):
            text = decoded
    if PREFIX not in text and "mongodb" not in text and JWT_PREFIX not in text:
        return text
    return _URI_PASSWORD.sub(r"\1[password]@", _SECRET.sub(f"{PREFIX}[secret]", _JWT.sub("[JWT]", text)))
