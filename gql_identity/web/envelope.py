"""The envelope of every HTTP request: its id, the bounds of its body, safe headers and its line in the log."""

import asyncio
import re
import time
from contextlib import suppress

import structlog
import uuid_utils
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import BadRequest, Internal, ServiceError, Unavailable
from ..logs import RequestLog
from ..secret import contains_secret
from ..settings import Settings

log = structlog.get_logger()

# Every response has these; GraphiQL's page and scripts set some of them otherwise.
SAFE_HEADERS = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LINGER_SECONDS = 2.0  # how long a connection stays open for a client to read why its body is refused
_BODY_REFUSED = {408, 413}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def note_errors(scope: Scope, *codes: str) -> None:
    """Have the request's line in the log name these error codes."""
    scope.setdefault("error_codes", set()).update(codes)


class Envelope:
    """Middleware around every HTTP request; it passes `/graphql` on to its endpoint, the rest to the router."""

    def __init__(self, app: ASGIApp, settings: Settings, requests: RequestLog, graphql: ASGIApp | None) -> None:
        self._app = app
        self._graphql = graphql
        self._requests = requests
        self._max_body_bytes = settings.max_body_bytes
        self._body_timeout_seconds = settings.body_timeout_seconds
        self._varies_by = ["Accept", "Authorization", *(["Origin"] if settings.cors_origins else [])]
        self._safe_headers = [
            (name.lower().encode(), value.encode())
            for name, value in {**SAFE_HEADERS, "Vary": ", ".join(self._varies_by)}.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._requests.begin()
        request_id = _request_id(scope)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(message, request_id)
            elif status in _BODY_REFUSED:
                # Closing with unread input would reset the connection, and the client would lose the response. So
                # the response is sent whole, and its end waits for the client.
                await send({**message, "more_body": True})
                await _discard(receive)
                message = {"type": "http.response.body"}
            await send(message)

        try:
            app = self._graphql if self._graphql is not None and scope["path"] == "/graphql" else self._app
            await app(scope, self._bounded(receive), respond)
        except ClientDisconnect:
            pass  # the client went away while it was sending
        except Exception as error:
            log.error("unexpected error", exc_info=error)
            if status:
                raise
            await _refuse(Internal(request_id), scope, receive, respond)
        except asyncio.CancelledError:
            # The service stops, and the time that running requests get is over.
            if not status:
                stopping = Unavailable("The service is stopping. Try again.")
                stopping.headers = {"Connection": "close"}
                await _refuse(stopping, scope, receive, respond)
        finally:
            line = {"codes": sorted(scope["error_codes"])} if "error_codes" in scope else {}
            self._requests.end(
                request_id,
                started,
                method=scope["method"],
                path=scope["path"],
                operation=scope.get("operation_name"),
                status=status,
                **line,
            )
            structlog.contextvars.unbind_contextvars("request_id")

    def _add_headers(self, message: Message, request_id: str) -> None:
        present = dict(message["headers"])
        added = [header for header in self._safe_headers if header[0] not in present]
        message["headers"] = [*message["headers"], *added, (b"x-request-id", request_id.encode())]
        if b"vary" in present:
            headers = MutableHeaders(scope=message)
            varies = {name.strip().lower() for name in headers["vary"].split(",")}
            for name in self._varies_by:
                if name.lower() not in varies:
                    headers.add_vary_header(name)

    def _bounded(self, receive: Receive) -> Receive:
        """`receive`, raising BadRequest for a body that is too large or comes too slowly."""
        read = 0
        complete = False
        limit = self._max_body_bytes
        deadline = time.monotonic() + self._body_timeout_seconds

        async def receive_bounded() -> Message:
            nonlocal read, complete
            if complete:  # the only message left to come says that the client went away
                return await receive()
            try:
                async with asyncio.timeout(max(0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise BadRequest("The body came too slowly.", 408, {"Connection": "close"}) from None
            complete = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > limit:
                raise BadRequest(f"The body is larger than {limit} bytes.", 413, {"Connection": "close"})
            return message

        return receive_bounded


def _request_id(scope: Scope) -> str:
    """The client's X-Request-ID where it is short, plain and no secret; else a new one."""
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
    """Read what a client still sends, until its end or until it had its time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while (await receive()).get("more_body", False):
                pass
