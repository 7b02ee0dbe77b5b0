"""Cloudforet's `POST /identity/v1/api-key/*` over HTTP."""

from typing import Any

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send
from strawberry.utils.str_converters import to_snake_case

from ..errors import BadRequest, Internal, NotFound, ServiceError, Unauthenticated
from ..keys.api_keys import ApiKeys
from ..logs import redact
from ..schema.visibility import may_read_schema
from ..settings import Settings
from .authentication import Authenticator
from .bodies import JSON, parse_in_turn, read_json_body
from .clients import Place
from .deadline import in_time
from .envelope import note_errors
from .json_messages import plain
from .large_json import large_json
from .openapi import PREFIX, openapi
from .proxies import is_forwarded
from .rest_operations import OPERATIONS, Operation, read_message

# A response may contain a secret and depends on the caller.
_HEADERS = {"Cache-Control": "private, no-store", "Vary": "Authorization"}
_OPTION = orjson.OPT_PASSTHROUGH_DATETIME

log = structlog.get_logger()


def rest_routes(api_keys: ApiKeys, authenticator: Authenticator, settings: Settings) -> list[BaseRoute]:
    """The routes of all paths under `/identity/v1`."""
    paths = {f"api-key/{name}": name for name in OPERATIONS} | {"openapi.json": "openapi", "{path:path}": None}
    return [
        Route(f"{PREFIX}/{path}", _Endpoint(name, api_keys, authenticator, settings)) for path, name in paths.items()
    ]


class _Endpoint:
    """The ASGI application at one path: an operation, the OpenAPI document, or 404."""

    def __init__(self, name: str | None, api_keys: ApiKeys, authenticator: Authenticator, settings: Settings) -> None:
        self._name = name
        self._operation = OPERATIONS.get(name or "")
        self._api_keys = api_keys
        self._authenticator = authenticator
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; all errors have the same JSON shape."""
        try:
            if self._operation is not None:
                response = await self._respond(self._operation, scope, receive)
            else:
                response = await self._document(scope)
        except ClientDisconnect:
            return
        except ServiceError as error:
            response = _refusal(scope, error)
        except Exception as error:
            log.error("unexpected error", path=scope["path"], exc_info=error)
            response = _refusal(scope, Internal(structlog.contextvars.get_contextvars().get("request_id")))
        await response(scope, receive, send)

    async def _respond(self, operation: Operation, scope: Scope, receive: Receive) -> Response:
        _check_method(scope, "POST")
        scope["operation_name"] = self._name
        body = await read_json_body(Headers(scope=scope), receive)
        text = await in_time(self._run(operation, scope, body), self._settings.operation_timeout_seconds)
        return Response(text, 200, _HEADERS, JSON)

    async def _run(self, operation: Operation, scope: Scope, body: bytes) -> memoryview:
        # Authenticate after reading the body, which may be slow, so that a key disabled meanwhile is refused.
        caller = await self._authenticator.require(scope)
        place: Place = scope["place"]
        if self._name in ("list", "stat", "audit"):
            await place.hold_answer()
        owner, settings = place.client.name, self._settings
        sent = await parse_in_turn(body, owner)
        content = await operation.run(self._api_keys, read_message(operation, sent, settings.max_values), caller)
        return memoryview(await large_json(content, owner, settings.max_response_bytes, default=plain, option=_OPTION))

    async def _document(self, scope: Scope) -> Response:
        settings = self._settings
        readers = settings.introspection_through_proxies if is_forwarded(scope) else settings.introspection_for
        if self._name is None or readers == "off":
            raise NotFound("There is nothing at this path.")
        _check_method(scope, "GET", "HEAD")
        caller = await self._authenticator.authenticate(scope)
        if not may_read_schema(readers, authenticated=caller is not None):
            raise Unauthenticated
        return _json(openapi())


def _check_method(scope: Scope, *allowed: str) -> None:
    if scope["method"] not in allowed:
        raise BadRequest(f"Send this request by {allowed[0]}.", 405, {"Allow": ", ".join(allowed)})


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, _HEADERS, JSON)


def _refusal(scope: Scope, error: ServiceError) -> Response:
    note_errors(scope, error.code)
    extensions = {to_snake_case(name): value for name, value in error.extensions.items()}
    # A message may repeat a name from the request, where a client may have put a secret by mistake.
    message = redact(error.message)
    if "path" in extensions:
        extensions["path"] = [redact(part) if isinstance(part, str) else part for part in extensions["path"]]
    response = _json({"error": {"code": error.code, "message": message, **extensions}}, error.status)
    response.headers.update(error.headers)
    return response
