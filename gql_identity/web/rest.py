"""The seed's `POST /identity/v1/api-key/*` over HTTP."""

import asyncio
from typing import Any

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send
from strawberry.utils.str_converters import to_snake_case

from ..errors import BadRequest, DeadlineExceeded, Internal, NotFound, ServiceError
from ..logs import redact
from ..settings import Settings
from .authentication import Authenticator
from .json_messages import plain
from .openapi import JSON, PREFIX, openapi
from .rest_operations import OPERATIONS, Operation, read_message

log = structlog.get_logger()


def rest_routes(authenticator: Authenticator, settings: Settings) -> list[BaseRoute]:
    """Every path under `/identity/v1`."""
    paths = {f"api-key/{name}": name for name in OPERATIONS} | {"openapi.json": "openapi", "{path:path}": None}
    return [Route(f"{PREFIX}/{path}", _Endpoint(name, authenticator, settings)) for path, name in paths.items()]


class _Endpoint:
    """The ASGI application of one path: an operation, the document, or nothing."""

    def __init__(self, name: str | None, authenticator: Authenticator, settings: Settings) -> None:
        self._name = name
        self._authenticator = authenticator
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every failure is a JSON answer of one shape."""
        try:
            if (operation := OPERATIONS.get(self._name or "")) is not None:
                response = _json(await self._run(operation, scope, receive))
            else:
                response = await self._document(scope)
        except ClientDisconnect:
            return
        except ServiceError as error:
            response = _refusal(error)
        except Exception as error:
            log.error("unexpected error", path=scope["path"], exc_info=error)
            request_id = structlog.contextvars.get_contextvars().get("request_id")
            response = _refusal(
                Internal("Something went wrong on our side. The id names it in our log.", id=request_id)
            )
        await response(scope, receive, send)

    async def _run(self, operation: Operation, scope: Scope, receive: Receive) -> Any:
        _check_method(scope, "POST")
        scope["operation_name"] = self._name
        body = await _read(scope, receive)
        try:
            async with asyncio.timeout(self._settings.operation_timeout_seconds):
                # After the body, which may take its time: a key disabled meanwhile opens nothing.
                caller = await self._authenticator.require(scope)
                return await operation.run(self._authenticator.api_keys, read_message(operation, body), caller)
        except TimeoutError:
            raise DeadlineExceeded("The request took too long. Ask for less, or try again.") from None

    async def _document(self, scope: Scope) -> Response:
        to = self._settings.introspection_for
        if self._name is None or to == "off":
            raise NotFound("There is nothing at this path.")
        _check_method(scope, "GET", "HEAD")
        await (self._authenticator.authenticate if to == "public" else self._authenticator.require)(scope)
        return _json(openapi())


def _check_method(scope: Scope, *allowed: str) -> None:
    if scope["method"] not in allowed:
        raise BadRequest(f"Send this request by {allowed[0]}.", 405, {"Allow": ", ".join(allowed)})


async def _read(scope: Scope, receive: Receive) -> bytes:
    media_type, _, parameters = Headers(scope=scope).get("content-type", "").lower().partition(";")
    if media_type.strip() != JSON or parameters.strip().replace('"', "") not in ("", "charset=utf-8"):
        raise BadRequest(f"Send the request as `Content-Type: {JSON}`, in UTF-8.", 415, {"Accept-Post": JSON})
    return await Request(scope, receive).body()


def _json(answer: Any, status: int = 200) -> Response:
    # An answer may hold a secret, and differs from caller to caller.
    headers = {"Cache-Control": "private, no-store", "Vary": "Authorization"}
    text = orjson.dumps(answer, default=plain, option=orjson.OPT_PASSTHROUGH_DATETIME)
    return Response(text, status, headers, JSON)


def _refusal(error: ServiceError) -> Response:
    extensions = {to_snake_case(name): value for name, value in error.extensions.items()}
    # A message may repeat a name that the client sent, and that may be a secret in the wrong place.
    message = redact(error.message)
    response = _json({"error": {"code": error.code, "message": message, **extensions}}, error.status)
    response.headers.update(error.headers)
    return response
