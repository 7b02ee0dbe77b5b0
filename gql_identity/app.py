"""`create_app`: routes, middleware and life span."""

import asyncio
import os
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType
from typing import Any

import structlog
import uuid_utils
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import BadRequest, ServiceError, StartError
from .execution.executor import Executor
from .keys.api_keys import ApiKeys
from .keys.changes import Changes
from .logs import RequestLog, configure_logs
from .schema.federation import schema
from .secret import contains_secret
from .settings import RESOLVED, Settings, load_settings
from .storage.database import DEADLINE, Database
from .web.authentication import Authenticator
from .web.graphql import GRAPHIQL, GraphQLEndpoint
from .web.introspection import introspect
from .web.rest import rest_routes

log = structlog.get_logger()

LAST_WRITE_SECONDS = 1.5  # what the last uses of keys get to be written when the service stops
PREPARE_SECONDS = 1.0  # between two attempts to prepare a database that does not answer
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


def create_app(settings: Settings | None = None) -> Starlette:
    """The ASGI application; without settings, those that `serve` handed to its workers, else the environment's.

    Raises StartError where they are wrong.
    """
    if settings is None:
        resolved = os.environ.get(RESOLVED)
        settings = load_settings() if resolved is None else Settings.model_validate_json(resolved)
        configure_logs(settings.log_level, settings.log_format)
    database = Database(settings)
    api_keys = ApiKeys(database, settings)
    authenticator = Authenticator(api_keys, settings)
    changes = Changes(database)
    endpoint = GraphQLEndpoint(Executor(schema, settings), authenticator, changes, settings)

    async def livez(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> JSONResponse:
        try:
            await database.check_ready()
        except ServiceError as error:
            return JSONResponse({"status": "unavailable", "reason": error.message}, 503)
        return JSONResponse({"status": "ok"})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with database:
            with suppress(ServiceError, StartError):  # `_prepare` tries again, and tells why
                await database.prepare()
            with _on_stop_signal(changes.end_soon):
                async with _background(_prepare(database)), _background(api_keys.credentials.uses.keep_writing()):
                    yield
            await changes.stop()
            # The time is short: a database that does not answer now must not hold the stop up.
            DEADLINE.set(time.monotonic() + LAST_WRITE_SECONDS)
            with suppress(ServiceError):
                await api_keys.credentials.uses.write(everything=True)

    routes: list[BaseRoute] = [
        Route("/graphql", endpoint),
        WebSocketRoute("/graphql", endpoint),
        Route("/introspect", introspect, methods=["POST"]),
        Route("/livez", livez),
        Route("/readyz", readyz),
        *rest_routes(authenticator, settings),
    ]
    if settings.shows_graphiql and GRAPHIQL.exists():
        routes.append(Mount("/graphiql", _PageFiles(directory=GRAPHIQL.parent)))
    # The API's own requests need no router; with CORS they take the long way, past its middleware.
    middleware = [Middleware(Envelope, settings=settings, graphql=None if settings.cors_origins else endpoint)]
    if settings.cors_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
                expose_headers=["Retry-After", "X-Request-ID"],
            )
        )
    app = Starlette(
        routes=routes, middleware=middleware, lifespan=lifespan, exception_handlers={HTTPException: _no_route}
    )
    # A redirect would name whatever host the client made up.
    app.router.redirect_slashes = False
    app.state.authenticator = authenticator
    return app


async def _no_route(_: Request, error: Exception) -> JSONResponse:
    """The answer where no route is: in JSON, as everywhere."""
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette's types say less than it does
    message, code = ("There is nothing at this path.", "NOT_FOUND")
    if error.status_code != 404:
        message, code = (f"{error.detail}.", "BAD_REQUEST")
    return JSONResponse(
        {"errors": [{"message": message, "extensions": {"code": code}}]}, error.status_code, error.headers
    )


async def _prepare(database: Database) -> None:
    """Prepare the database as soon as it answers; until then the service is not ready."""
    told = None
    while not database.prepared:
        try:
            await database.prepare()
            return
        except (ServiceError, StartError) as error:
            if told != str(error):
                told = str(error)
                log.warning("the database is not ready", reason=told)
        await asyncio.sleep(PREPARE_SECONDS)


class _PageFiles(StaticFiles):
    """The scripts and styles of the page, whose names change with their content."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


@asynccontextmanager
async def _background(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@contextmanager
def _on_stop_signal(do: Callable[[], None]) -> Iterator[None]:
    """Do something as soon as the server is told to stop: it waits for open streams, so they must end by then."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(do)
        if callable(before[number]):
            before[number](number, frame)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for stopping, handler in before.items():
            signal.signal(stopping, handler)


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
