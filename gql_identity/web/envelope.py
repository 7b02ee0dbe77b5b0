"""What every request has: an id, a bounded body, a deadline, safe headers, a line in the log."""

import asyncio
import re
import time
from contextlib import suppress
from typing import Any

import structlog
import uuid_utils
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import BadRequest
from ..logs import RequestLog
from ..secret import contains_secret
from ..settings import Settings
from ..storage.database import DEADLINE

log = structlog.get_logger()

# On every answer; the page and its scripts, which need more, say so themselves.
SAFE_HEADERS = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LINGER_SECONDS = 2.0  # for a client to read why its body is refused
_BODY_REFUSED = {408, 413}
_STOPPING = {"errors": [{"message": "The service is stopping. Try again.", "extensions": {"code": "UNAVAILABLE"}}]}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Envelope:
    """What every request has: an id, a bounded body, a deadline, a line in the log."""

    def __init__(self, app: ASGIApp, settings: Settings, graphql: ASGIApp | None) -> None:
        self._app = app
        self._graphql = graphql
        self._settings = settings
        self._requests = RequestLog()
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
        started = time.monotonic()
        self._requests.begin()
        given = Headers(scope=scope).get("x-request-id", "")
        may_keep = _REQUEST_ID.fullmatch(given) and not contains_secret(given)
        request_id = given if may_keep else uuid_utils.uuid7().hex
        structlog.contextvars.bind_contextvars(request_id=request_id)
        DEADLINE.set(started + self._settings.operation_timeout_seconds)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(message, request_id)
            elif status in _BODY_REFUSED:
                # With what the client still sends unread, the close would reset the connection and take the answer
                # with it: so the answer goes out whole, and its end waits for the client.
                await send({**message, "more_body": True})
                await _discard(receive)
                message = {"type": "http.response.body"}
            await send(message)

        try:
            app = self._graphql if self._graphql is not None and scope["path"] == "/graphql" else self._app
            await app(scope, self._bounded(receive), answer)
        except ClientDisconnect:
            pass  # it went away while it was sending
        except Exception as error:
            log.error("unexpected error", exc_info=error)
            if status:
                raise
            await JSONResponse(_internal(request_id), 500)(scope, receive, answer)
        except asyncio.CancelledError:
            # The service stops, and what it gives to requests in flight is over; who has no answer yet is told.
            if not status:
                await JSONResponse(_STOPPING, 503, {"Connection": "close"})(scope, receive, answer)
        finally:
            self._requests.end(
                request_id,
                method=scope["method"],
                path=scope["path"],
                operation=scope.get("operation_name"),
                status=status,
                duration_ms=round((time.monotonic() - started) * 1000, 1),
            )
            structlog.contextvars.unbind_contextvars("request_id")

    def _add_headers(self, message: Message, request_id: str) -> None:
        there = dict(message["headers"])
        added = [header for header in self._safe_headers if header[0] not in there]
        message["headers"] = [*message["headers"], *added, (b"x-request-id", request_id.encode())]
        if b"vary" in there:
            headers = MutableHeaders(scope=message)
            varies = {name.strip().lower() for name in headers["vary"].split(",")}
            for name in self._varies_by:
                if name.lower() not in varies:
                    headers.add_vary_header(name)

    def _bounded(self, receive: Receive) -> Receive:
        """`receive`, raising BadRequest for a body that is too large or comes too slowly."""
        read = 0
        complete = False
        limit = self._settings.max_body_bytes
        deadline = time.monotonic() + self._settings.body_timeout_seconds

        async def receive_bounded() -> Message:
            nonlocal read, complete
            if complete:  # what comes now is that the client goes away
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


async def _discard(receive: Receive) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while (await receive()).get("more_body", False):
                pass


def _internal(request_id: str) -> dict[str, Any]:
    message = "Something went wrong on our side. The id names it in our log."
    return {"errors": [{"message": message, "extensions": {"code": "INTERNAL", "id": request_id}}]}
