"""`create_app`: routes, middleware and life span."""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from math import inf
from types import FrameType
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from .background import in_background
from .deadlines import DEADLINE, is_over
from .environment import load_settings
from .errors import ServiceError, StartError
from .keys.api_keys import ApiKeys
from .keys.changes import Changes
from .logs import RequestLog, configure_logs
from .reloading import reloading
from .schema.executor import make_executor
from .settings import Settings
from .storage.database import Database
from .telemetry import begin_traces, sampling, tracing
from .timeouts import end_all_by
from .web.authentication import Authenticator
from .web.clients import Clients
from .web.cors import cors_middleware
from .web.envelope import Envelope, note_errors
from .web.forward_auth import forward_auth_routes
from .web.graphql import GraphQLEndpoint
from .web.graphql_operations import GraphQLOperations
from .web.introspection import IntrospectionEndpoint
from .web.pages import page_routes
from .web.proxies import is_forwarded
from .web.rest import rest_routes
from .web.revocation import RevocationEndpoint
from .web.tokens import token_routes

if TYPE_CHECKING:
    from .tokens.exchange import Tokens
    from .tokens.people import People

LAST_WRITE_SECONDS = 1.5  # for the last write of keys' uses when the service stops
LAST_WRITE_ATTEMPTS = 5  # where another worker writes the same documents, or the database fails
LAST_WRITE_PAUSE_SECONDS = 0.02  # between two attempts
PREPARE_SECONDS = 1.0  # between attempts to prepare a database that does not respond


def create_app(settings: Settings | None = None, read_again: Callable[[Settings], Settings] | None = None) -> Starlette:
    """Make the ASGI application. Without settings, read them from the environment.

    `read_again` reads them again on SIGHUP; without it the application leaves SIGHUP to its server. Raises StartError
    for invalid settings.
    """
    if settings is None:
        settings = load_settings()
        configure_logs(settings.log_level, settings.log_format)
    begin_traces(settings)
    database = Database(settings)
    api_keys = ApiKeys(database, settings)
    tokens = _tokens(database, api_keys, settings)
    people = _people(settings)
    authenticator = Authenticator(api_keys.credentials, api_keys.uses, api_keys.rates, settings, tokens, people)
    changes = Changes(database, api_keys.credentials.revocations)
    operations = GraphQLOperations(make_executor(settings), api_keys, changes, settings, tokens)
    requests = RequestLog()
    stopping = asyncio.Event()
    clients = Clients(api_keys.credentials, settings)
    graphql = GraphQLEndpoint(operations, authenticator, requests, clients, settings)
    routes: list[BaseRoute] = [
        Route("/graphql", graphql),
        WebSocketRoute("/graphql", graphql),
        Route(
            "/introspect",
            IntrospectionEndpoint(api_keys.verification, authenticator, settings, tokens),
            methods=["POST"],
        ),
        Route("/revoke", RevocationEndpoint(api_keys.leaks, authenticator, settings, tokens), methods=["POST"]),
        *forward_auth_routes(authenticator, settings, tokens),
        *([] if tokens is None else token_routes(tokens, authenticator, settings)),
        *rest_routes(api_keys, authenticator, settings),
        *_health_routes(database, stopping),
        *page_routes(database, settings),
    ]
    app = Starlette(
        routes=routes,
        middleware=_middleware(settings, requests, clients, routes),
        lifespan=lambda _: life_span(),
        exception_handlers={HTTPException: _no_route},
    )

    async def take(new: Settings) -> None:
        """Use what was read again of the settings. Raises StartError or ServiceError before anything has changed."""
        executor = await asyncio.to_thread(make_executor, new) if new.trusted_documents is not None else None
        await database.use_peppers(new.peppers)
        api_keys.use_peppers(new.peppers)
        if tokens is not None:
            tokens.keys.use_peppers(new.peppers)
        if executor is not None:
            operations.use(executor)
        configure_logs(new.log_level, new.log_format)
        requests.follow_level()
        graphql.use_settings(new)
        # Requests that are under way end in the middleware in which they began.
        app.user_middleware = _middleware(new, requests, clients, routes)
        app.middleware_stack = app.build_middleware_stack()

    @asynccontextmanager
    async def life_span() -> AsyncIterator[None]:
        async with (
            tracing(),
            _life_span(database, api_keys, changes, stopping, settings.shutdown_delay_seconds),
            reloading(settings, read_again, take),
            sampling(database, api_keys.credentials, changes, operations, requests),
            nullcontext() if tokens is None else in_background(tokens.keys.keep_current()),
            nullcontext() if people is None else people.reading(),
        ):
            yield

    # A redirect would repeat the Host header, which the client chooses.
    app.router.redirect_slashes = False
    app.state.api_keys = api_keys
    app.state.tokens = tokens
    return app


def check_app(settings: Settings) -> None:
    """Raise StartError where `create_app` would: a worker process that fails at its start is replaced without end."""
    create_app(settings.model_copy(update={"traces_endpoint": None}))  # spans are not sent twice


@asynccontextmanager
async def _life_span(
    database: Database, api_keys: ApiKeys, changes: Changes, stopping: asyncio.Event, delay_seconds: float
) -> AsyncIterator[None]:
    """Start and stop the database and the background tasks of a worker process.

    `stopping` is set as soon as a signal to stop arrives, and the stop itself begins `delay_seconds` after a SIGTERM.
    """
    async with database:
        database.failures.are_logged = True
        with suppress(ServiceError, StartError, OSError, RuntimeError):  # `_prepare` tries again, and logs why
            await database.prepare()
        with _on_stop_signal(stopping, delay_seconds, changes.end_soon):
            async with (
                in_background(_prepare(database)),
                in_background(database.keep_checking_schema()),
                in_background(api_keys.credentials.last_uses.keep_writing()),
                in_background(api_keys.uses.counts.keep_writing()),
                in_background(api_keys.uses.stale_secrets.keep_writing()),
                in_background(api_keys.expiry_notices.keep_giving()),
                in_background(api_keys.system_keys.keep_removing_marks()),
            ):
                yield
        end_all_by(inf)  # the last writes have a deadline of their own
        await changes.stop()
        api_keys.credentials.stop()
        # The deadline is short, so that a database that does not respond cannot delay the stop.
        DEADLINE.set(time.monotonic() + LAST_WRITE_SECONDS)
        await _write_last(
            lambda: api_keys.credentials.last_uses.write(everything=True),
            api_keys.uses.counts.write,
            api_keys.uses.stale_secrets.write,
            api_keys.system_keys.remove_marks,
        )


async def _write_last(*writes: Callable[[], Awaitable[bool | None]]) -> None:
    """Do these writes, which return whether something is kept. One that keeps something or fails is repeated."""
    waiting = list(writes)
    for _ in range(LAST_WRITE_ATTEMPTS):
        again = []
        for write in waiting:
            try:
                if await write():
                    again.append(write)
            except ServiceError:  # the log says why the database failed
                again.append(write)
        if not again or is_over():
            return
        waiting = again
        await asyncio.sleep(LAST_WRITE_PAUSE_SECONDS)


def _tokens(database: Database, api_keys: ApiKeys, settings: Settings) -> "Tokens | None":
    """The tokens of a service that has an issuer; without one, nothing that they need is imported."""
    if settings.issuer is None:
        return None
    try:
        from .tokens.exchange import Tokens
    except ImportError:
        raise StartError("GQL_IDENTITY_ISSUER needs a library that signs: install gql-identity[tokens].") from None
    return Tokens(database, api_keys, settings)


def _people(settings: Settings) -> "People | None":
    """The people of OpenID issuers; without such an issuer, nothing that they need is imported."""
    if not settings.issuers:
        return None
    try:
        from .tokens.people import People
    except ImportError:
        raise StartError(
            "GQL_IDENTITY_ISSUERS needs a library that checks signatures: install gql-identity[tokens]."
        ) from None
    return People(settings)


def _health_routes(database: Database, stopping: asyncio.Event) -> list[BaseRoute]:
    async def livez(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> JSONResponse:
        if stopping.is_set():
            return JSONResponse({"status": "unavailable", "reason": "The service is stopping."}, 503)
        try:
            await database.check_ready()
        except ServiceError as error:
            # The cause names hosts and files: it is for those who run the service, and they ask without a proxy.
            cause = {"cause": error.reason} if error.reason and not is_forwarded(request.scope) else {}
            return JSONResponse({"status": "unavailable", "reason": error.message, **cause}, 503)
        return JSONResponse({"status": "ok"})

    return [Route("/livez", livez), Route("/readyz", readyz)]


def _middleware(
    settings: Settings, requests: RequestLog, clients: Clients, routes: Sequence[BaseRoute]
) -> list[Middleware]:
    plain = [route for route in routes if isinstance(route, Route | Mount) and "{" not in route.path]
    # Whole applications, which have a response for each of their errors, need no router.
    direct = {route.path: route for route in plain if isinstance(route, Route) and route.app is route.endpoint}
    envelope = Middleware(
        Envelope,
        settings=settings,
        requests=requests,
        clients=clients,
        direct={} if settings.cors_origins else direct,
        routes=frozenset(route.path for route in plain),
    )
    return [envelope, cors_middleware(settings)] if settings.cors_origins else [envelope]


async def _no_route(request: Request, error: Exception) -> JSONResponse:
    """The JSON response for a path or a method that has no route."""
    assert isinstance(error, HTTPException)  # noqa: S101 - Starlette's types say less than it does
    message, code = ("There is nothing at this path.", "NOT_FOUND")
    if error.status_code != 404:
        allowed = (error.headers or {}).get("Allow")
        methods = sorted({*allowed.split(", ")} - {"HEAD"}) if allowed else ()
        message = f"Send this request by {' or '.join(methods)}." if methods else f"{error.detail}."
        code = "BAD_REQUEST"
    note_errors(request.scope, code)
    return JSONResponse(
        {"errors": [{"message": message, "extensions": {"code": code}}]}, error.status_code, error.headers
    )


async def _prepare(database: Database) -> None:
    """Prepare the database, retrying until it responds. Until then `/readyz` returns 503."""
    while not database.prepared:
        try:
            await database.prepare()
            database.failures.end()
            return
        except ServiceError:
            pass  # the log says why
        except (StartError, OSError, RuntimeError) as error:  # the system may lack a thread or a descriptor for now
            database.failures.note(str(error), "the database is not ready")
        await asyncio.sleep(PREPARE_SECONDS)


@contextmanager
def _on_stop_signal(stopping: asyncio.Event, delay_seconds: float, do: Callable[[], None]) -> Iterator[None]:
    """Set `stopping` on SIGINT or SIGTERM, and call `do`: on SIGINT at once, on SIGTERM after the delay.

    uvicorn waits for open streams before it stops, so they must end as soon as the stop begins.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()
        delay = delay_seconds if number == signal.SIGTERM else 0.0
        loop.call_soon_threadsafe(loop.call_later, delay, do)
        if callable(before[number]):
            before[number](number, frame)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
