"""Middleware for every HTTP request: its id, the limits of its body, security headers and its log line."""

import asyncio
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPMethod
from typing import Any

import structlog
import uuid_utils
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import traces
from ..deadlines import STOPPED_UNKNOWN, STOPPING, TIMER
from ..errors import Internal, ServiceError, Unavailable
from ..logs import RequestLog
from ..metrics import HTTP_DURATION
from ..secret import contains_secret
from ..server.writing import LINGER_SECONDS, MAX_TURN_BYTES
from ..settings import Settings
from .clients import Clients
from .cors import refused_preflight
from .incoming import Body
from .request_line import PROBES, request_line

log = structlog.get_logger()

# Every response has these headers; GraphiQL's page and scripts set their own values for some.
SAFE_HEADERS = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
SUNSET_WITHIN = timedelta(days=7)  # responses to a key that ends so soon have the header Sunset
_HEAD: str = HTTPMethod.HEAD.value  # a text compares in a sixth of the time of an enum's member
_BODY_REFUSED = {408, 413}
_METHODS = frozenset(method.value for method in HTTPMethod)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def note_errors(scope: Scope, *codes: str) -> None:
    """Add these error codes to the request's log line."""
    scope.setdefault("error_codes", set()).update(codes)


class Envelope:
    """Middleware for every HTTP request. Requests for a path of `direct` skip the router."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        requests: RequestLog,
        clients: Clients,
        direct: Mapping[str, Route],
        routes: frozenset[str] = frozenset(),
    ) -> None:
        self._app = app
        self._routes = routes
        self._direct = direct
        self._clients = clients
        self._requests = requests
        self._settings = settings
        self._varies_by = ["Accept", "Authorization", *(["Origin"] if settings.cors_origins else [])]
        self._safe_headers = [
            (name.lower().encode(), value.encode())
            for name, value in {**SAFE_HEADERS, "Vary": ", ".join(self._varies_by)}.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; a WebSocket or life span passes unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._requests.begin()
        request_id = _request_id(scope)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        traced = None
        if traces.is_on and scope["path"] not in PROBES:
            traced = traces.begin_request(scope["headers"], _method(scope), self._route(scope["path"]))
        if traced is not None:
            scope["trace_id"] = traced.trace_id
            structlog.contextvars.bind_contextvars(trace_id=traced.trace_id)
        status = 0
        sent = 0

        async def respond(message: Message) -> None:
            nonlocal status, sent
            sent += len(message.get("body", b""))
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(message, request_id, scope.get("caller_expires_at"))
            elif len(message.get("body", b"")) > MAX_TURN_BYTES and not message.get("more_body", False):
                # The end of a large response is sent when the client has taken nearly all: until then it is under way.
                await send({**message, "more_body": True})
                message = {"type": "http.response.body"}
            elif (status in _BODY_REFUSED and not body.is_complete) or body.is_given_up:
                # Closing a connection with unread input resets it, and the client loses the response. So the whole
                # response is sent first, then the rest of the body is read before the response ends.
                await send({**message, "more_body": True})
                await _discard(receive)
                message = {"type": "http.response.body"}
            await send(message)

        body = Body(scope, receive, self._settings.max_body_bytes, self._settings.body_timeout_seconds)
        place = scope["place"] = self._clients.enter(scope)
        try:
            if not self._clients.starts.begin():
                await self._clients.starts.wait(self._clients.likely_name(scope))
            direct = self._direct.get(scope["path"])
            if direct is None or not (direct.methods is None or scope["method"] in direct.methods):
                await self._app(scope, body, respond)
            else:
                await direct.app(scope, body, respond)
        except ClientDisconnect:
            pass  # the client disconnected while it was sending
        except Exception as error:
            log.error("unexpected error", exc_info=error)
            if status:
                raise
            await _refuse(Internal(request_id), scope, receive, respond)
        except asyncio.CancelledError:
            # The service is stopping, and the grace period of running requests is over.
            if not status:
                timer = TIMER.get()
                stopping = Unavailable(STOPPED_UNKNOWN if timer is not None and timer.writes else STOPPING)
                stopping.headers = {"Connection": "close"}
                await _refuse(stopping, scope, receive, respond)
        finally:
            body.end()
            place.leave()
            if HTTP_DURATION.is_on:
                route = self._route(scope["path"])
                HTTP_DURATION.observe(time.monotonic() - started, _method(scope), route, str(status))
            if traced is not None:
                structlog.contextvars.unbind_contextvars("trace_id")
                traced.end(status)
            if self._requests.are_logged and scope["path"] not in PROBES:
                self._requests.end(request_id, started, **self._line(scope, status, sent))
            else:
                self._requests.end_unlogged()
            structlog.contextvars.unbind_contextvars("request_id")

    def _route(self, path: str) -> str:
        """The route of a path, one of a few: a client may ask for any path."""
        if path in self._routes:
            return path
        mount, _, rest = path[1:].partition("/")
        return f"/{mount}" if rest and f"/{mount}" in self._routes else ""

    def _line(self, scope: Scope, status: int, sent: int) -> dict[str, Any]:
        # The server leaves out the body of a response to HEAD.
        method: str = scope["method"]
        line: dict[str, Any] = {"method": method, "status": status, "bytes": 0 if method == _HEAD else sent}
        if (operation := scope.get("operation_name")) is not None:
            line["operation"] = operation
        if (operation_type := scope.get("operation_type")) is not None:
            line["operation_type"] = operation_type
        if (codes := scope.get("error_codes")) is not None:
            line["codes"] = sorted(codes)
        if status >= 400 and method == HTTPMethod.OPTIONS:
            line |= refused_preflight(scope, self._settings)
        return line | request_line(scope, self._settings)

    def _add_headers(self, message: Message, request_id: str, caller_expires_at: datetime | None) -> None:
        present = dict(message["headers"])
        added = [header for header in self._safe_headers if header[0] not in present]
        message["headers"] = [*message["headers"], *added, (b"x-request-id", request_id.encode())]
        if caller_expires_at is not None and caller_expires_at - datetime.now(UTC) < SUNSET_WITHIN:
            instant = format_datetime(caller_expires_at.astimezone(UTC), usegmt=True)
            message["headers"].append((b"sunset", instant.encode()))  # RFC 8594
        if b"vary" in present:
            headers = MutableHeaders(scope=message)
            varies = {name.strip().lower() for name in headers["vary"].split(",")}
            for name in self._varies_by:
                if name.lower() not in varies:
                    headers.add_vary_header(name)


def _method(scope: Scope) -> str:
    """The request's method, one of a few: a client may send any."""
    return scope["method"] if scope["method"] in _METHODS else "_OTHER"


def _request_id(scope: Scope) -> str:
    """The client's X-Request-ID if it is short, plain and not a secret, else a new id."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(given) and not contains_secret(given):
                return given
            break
    return uuid_utils.uuid7().hex


async def _refuse(error: ServiceError, scope: Scope, receive: Receive, send: Send) -> None:
    note_errors(scope, error.code)
    body = {"errors": [{"message": error.message, "extensions": error.extensions}]}
    await JSONResponse(body, error.status, error.headers)(scope, receive, send)


async def _discard(receive: Receive) -> None:
    """Read and discard the rest of a request, for at most LINGER_SECONDS."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while (await receive()).get("more_body", False):
                pass
