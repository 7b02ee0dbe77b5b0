"""Traces by OpenTelemetry: from a gateway's `traceparent` (W3C Trace Context) to the commands of MongoDB.

Names and attributes of spans are those of OpenTelemetry's semantic conventions. None has a value that a client chose:
no path, no id, no variable and no document. Nothing is done until `begin`, which `create_app` calls by a setting.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import structlog
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

SERVICE = "gql-identity"
LAST_EXPORT_SECONDS = 1.5  # for the last spans when the service stops
_PATH = "/v1/traces"  # OTLP over HTTP, "Request"

log = structlog.get_logger()

T = TypeVar("T")

is_on = False  # whether spans are made
_tracer: Tracer | None = None
_provider: Any = None
_propagator = TraceContextTextMapPropagator()
# The spans of other requests that the work of this context is also done for.
_also_for: ContextVar[tuple[SpanContext, ...]] = ContextVar("also_for", default=())


class _Told(logging.Filter):
    """Lets one line of the SDK through, in its words, until the collector takes spans again."""

    has_failed = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is logged."""
        before, self.has_failed = self.has_failed, True
        return not before

    def end(self) -> None:
        """Note that the collector takes spans."""
        if self.has_failed:
            self.has_failed = False
            log.info("the collector of traces responds again")


class _WithoutValue(logging.Filter):
    """Hides what the SDK quotes of a variable that has credentials."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is logged."""
        record.msg, record.args = "a header of OTEL_EXPORTER_OTLP_HEADERS is not used: give name=value, URL-encoded", ()
        return True


_told = _Told()
logging.getLogger("opentelemetry.util.re").addFilter(_WithoutValue())
for _name in ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal"):
    logging.getLogger(_name).addFilter(_told)


def begin(collector: str, version: str) -> None:
    """Send spans to this OTLP collector from now on. All else the SDK reads from OpenTelemetry's own variables.

    Raises ImportError without the SDK, and ValueError for some of its variables.
    """
    global is_on, _tracer, _provider
    _provider = _make_provider(collector, version)
    _tracer, is_on = _provider.get_tracer(SERVICE, version), True


def check(collector: str, version: str) -> None:
    """Raise what `begin` would raise; it is left to `begin` to log what the SDK says."""
    logger = logging.getLogger("opentelemetry")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        _make_provider(collector, version).shutdown()
    finally:
        logger.setLevel(level)


def _make_provider(collector: str, version: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

    class Exporter(OTLPSpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            result = super().export(spans)
            if result is SpanExportResult.SUCCESS:
                _told.end()
            return result

    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": SERVICE}
    # `end` shuts it down: at the interpreter's exit it would wait for a collector that does not answer.
    provider = TracerProvider(resource=Resource.create({**named, "service.version": version}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Exporter(f"{collector.rstrip('/')}{_PATH}")))
    return provider


async def end() -> None:
    """Send what is left, and trace no longer; waits at most `LAST_EXPORT_SECONDS` for the collector."""
    global is_on, _tracer, _provider
    provider, _tracer, _provider, is_on = _provider, None, None, False
    if provider is not None:
        closing = threading.Thread(target=provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, LAST_EXPORT_SECONDS)


class Request:
    """The span of an HTTP request, or of an operation over WebSocket; the current one until `end`."""

    def __init__(self, span: Span) -> None:
        self._span = span
        # One that is not sampled is nobody's parent: where no span is current, none is made.
        self._token = context.attach(trace.set_span_in_context(span)) if span.is_recording() else None
        self.trace_id = trace.format_trace_id(span.get_span_context().trace_id)

    def end(self, status: int) -> None:
        """End with this HTTP status; 0 is a client that disconnected."""
        if self._token is None:
            return
        if status:
            self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()
        context.detach(self._token)


def begin_request(headers: Iterable[tuple[bytes, bytes]], method: str, route: str) -> Request | None:
    """The span of a request with these headers, in the trace that its `traceparent` names; None if traces are off.

    `tracestate` is not read: it would be a text of a client in each span.
    """
    if _tracer is None:
        return None
    sent = [value.decode("latin-1") for name, value in headers if name == b"traceparent"]
    # Several are as good as none (Trace Context, section 3.2).
    parent = _propagator.extract({"traceparent": sent[0]}, Context()) if len(sent) == 1 else Context()
    attributes = {"http.request.method": method, **({"http.route": route} if route else {})}
    span = _tracer.start_span(f"{method} {route}".rstrip(), parent, SpanKind.SERVER, attributes)
    return Request(span)


@contextmanager
def operation(type_: str, name: str | None) -> Iterator[Span]:
    """The span of a GraphQL operation. Its name is given only if no client chose it."""
    if _tracer is None or not is_traced():
        yield trace.INVALID_SPAN
        return
    # The text of an exception may have a value that a client sent.
    with _tracer.start_as_current_span(
        _named(type_, name), attributes=_operation(type_, name), record_exception=False, set_status_on_exception=False
    ) as span:
        yield span


def begin_subscription(type_: str, name: str | None) -> Span | None:
    """The span of an operation that may last, which is not the current one; whoever gets it ends it."""
    if _tracer is None or not is_traced():
        return None
    return _tracer.start_span(_named(type_, name), attributes=_operation(type_, name))


def is_traced() -> bool:
    """Whether what runs here does so for a request that is traced, and sampled."""
    return trace.get_current_span().is_recording()


def _named(type_: str, name: str | None) -> str:
    return type_ if name is None else f"{type_} {name}"


def _operation(type_: str, name: str | None) -> dict[str, str]:
    return {"graphql.operation.type": type_, **({} if name is None else {"graphql.operation.name": name})}


def begin_command(command: str, attributes: dict[str, str | int]) -> Span:
    """The span of a command of the database, sent for a request that is traced; whoever gets it ends it."""
    assert _tracer is not None  # noqa: S101 - nothing is traced before `begin`
    collection = attributes.get("db.collection.name")
    name = f"{command} {collection}" if collection else command
    links = [Link(one) for one in _also_for.get()]
    return _tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, links=links)


def failed(span: Span, error_type: str) -> None:
    """Note that what a span stands for has failed, without the error's text, which may have a value."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))


def current() -> SpanContext | None:
    """The span for which work is done here; None if traces are off, or it is not sampled."""
    if _tracer is None:
        return None
    span = trace.get_current_span()
    return span.get_span_context() if span.is_recording() else None


def share(spans: Iterable[SpanContext | None]) -> None:
    """Note that the work of this context is done for the requests of all these spans.

    The context is that of one of them, whose trace has what follows; spans of the others are linked to.
    """
    own = current()
    others = {span.span_id: span for span in spans if span is not None and (own is None or span.span_id != own.span_id)}
    _also_for.set(tuple(others.values()))


def carried(work: Callable[[], T]) -> Callable[[], T]:
    """The same work for another thread, which knows there the span that is current here, and nothing else of here."""
    if _tracer is None or not (span := trace.get_current_span()).is_recording():
        return work

    def run() -> T:
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            return work()

    return run
