"""The seed's `POST /identity/v1/api-key/*`, and their OpenAPI document."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, NamedTuple, get_type_hints

import orjson
import structlog
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send
from strawberry.utils.str_converters import to_snake_case

from ..errors import BadRequest, DeadlineExceeded, Internal, InvalidArgument, NotFound, ServiceError, Unauthenticated
from ..keys.access import Caller
from ..keys.api_keys import ApiKeys
from ..logs import redact
from ..messages.keys import APIKeyInfo, APIKeysInfo
from ..messages.requests import (
    APIKeyQuery,
    APIKeyRequest,
    APIKeyStatQuery,
    CreateAPIKeyRequest,
    GetAPIKeyRequest,
)
from ..queries.lists import MINIMAL, wanted_fields
from ..settings import Settings
from .authentication import Authenticator
from .json_messages import INFO_FIELDS, answer_model, json_schemas, message_of, plain, reader, request_model

PREFIX = "/identity/v1"
JSON = "application/json"
_TOLD = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such field",
    "model_type": "give an object",
    "string_type": "give a string",
    "int_type": "give an integer",
    "bool_type": "give true or false",
    "list_type": "give a list",
    "enum": "give {expected}",
    "less_than_equal": "give at most {le}",
    "greater_than_equal": "give at least {ge}",
}

log = structlog.get_logger()


# The operations. What stands in a docstring stands in the OpenAPI document.


async def _create(api_keys: ApiKeys, request: CreateAPIKeyRequest, caller: Caller) -> Any:
    """Make a key. Its secret, `api_key`, is in this answer alone: keep it now."""
    return message_of(await api_keys.create(request, caller))


async def _enable(api_keys: ApiKeys, request: APIKeyRequest, caller: Caller) -> Any:
    """Let a disabled key open things again."""
    return message_of(await api_keys.enable(request, caller))


async def _disable(api_keys: ApiKeys, request: APIKeyRequest, caller: Caller) -> Any:
    """Stop a key from opening anything, until it is enabled."""
    return message_of(await api_keys.disable(request, caller))


async def _delete(api_keys: ApiKeys, request: APIKeyRequest, caller: Caller) -> Any:
    """Remove a key for good."""
    await api_keys.delete(request, caller)
    return {}


async def _get(api_keys: ApiKeys, request: GetAPIKeyRequest, caller: Caller) -> Any:
    """Read one key; with `only`, those of its fields alone."""
    wanted = _wanted(request.only, "only")
    return message_of(await api_keys.get(request, caller, frozenset(wanted)), wanted)


async def _list(api_keys: ApiKeys, request: APIKeyQuery, caller: Caller) -> Any:
    """Read a page of a domain's keys; with `only` or `minimal`, those of their fields alone."""
    wanted = _wanted(request.query.only if request.query else None, "query.only")
    if request.query and request.query.minimal:
        wanted = tuple(name for name in wanted if name in MINIMAL)
    page = await api_keys.page(request, caller, frozenset(wanted), count=True)
    return {"results": [message_of(key, wanted) for key in page.results], "total_count": page.total_count}


async def _stat(api_keys: ApiKeys, request: APIKeyStatQuery, caller: Caller) -> Any:
    """Compute a statistic of a domain's keys."""
    return await api_keys.stats(request, caller)


def _wanted(only: list[str] | None, path: str) -> tuple[str, ...]:
    names = wanted_fields(only, path)
    if names is not None and (others := sorted(names.difference(INFO_FIELDS))):
        raise InvalidArgument(f"{path}: {', '.join(others)} is of GraphQL alone; use {', '.join(INFO_FIELDS)}.")
    return tuple(name for name in INFO_FIELDS if names is None or name in names)


_Statistic = create_model(
    "Statistic",
    __doc__="The rows of a statistic, or a field's different values.",
    results=(list[Any], Field(description="Objects with the names that the stages made; values with `distinct`.")),
    total_count=(int, Field(default_factory=int, description="How many rows there are; only when paged.")),
)
_Empty = create_model("Empty", __doc__="Nothing.")


class _Operation(NamedTuple):
    run: Callable[[ApiKeys, Any, Caller], Awaitable[Any]]
    request: type
    answer: type[BaseModel]
    reader: TypeAdapter[Any]


def _operation(run: Callable[[ApiKeys, Any, Caller], Awaitable[Any]], answer: type[BaseModel]) -> _Operation:
    request = get_type_hints(run)["request"]
    return _Operation(run, request, answer, TypeAdapter(reader(request)))


OPERATIONS = {
    "create": _operation(_create, answer_model(APIKeyInfo)),
    "enable": _operation(_enable, answer_model(APIKeyInfo)),
    "disable": _operation(_disable, answer_model(APIKeyInfo)),
    "delete": _operation(_delete, _Empty),
    "get": _operation(_get, answer_model(APIKeyInfo, selected=True)),
    "list": _operation(_list, answer_model(APIKeysInfo)),
    "stat": _operation(_stat, _Statistic),
}


# HTTP.


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

    async def _run(self, operation: _Operation, scope: Scope, receive: Receive) -> Any:
        _check_method(scope, "POST")
        scope["operation_name"] = self._name
        body = await _read(scope, receive)
        try:
            async with asyncio.timeout(self._settings.operation_timeout_seconds):
                # After the body, which may take its time: a key disabled meanwhile opens nothing.
                caller = await self._authenticator.require(scope)
                return await operation.run(self._authenticator.api_keys, _request(operation, body), caller)
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


def _request(operation: _Operation, body: bytes) -> Any:
    """The message in a body; raises BadRequest, or InvalidArgument that names the part to change."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not JSON in UTF-8.") from None
    if not isinstance(message, dict):
        raise BadRequest(f"Send one JSON object: the message {operation.request.__name__}.")
    try:
        return operation.reader.validate_python(message)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False)[0]
    told = _TOLD.get(mistake["type"], mistake["msg"]).format(**mistake.get("ctx", {}))
    raise InvalidArgument(f"{_path(mistake['loc'])}: {told}.")


def _path(places: tuple[int | str, ...]) -> str:
    """Where in a message, as in `query.filter[2].operator`; names that a client made up are shortened."""
    path = "".join(f"[{place}]" if isinstance(place, int) else f".{place[:40]}" for place in places)
    return path.removeprefix(".")


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


# The OpenAPI document (spec.openapis.org/oas/v3.1.1).


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routes."""
    models = {name: (request_model(operation.request), operation.answer) for name, operation in OPERATIONS.items()}
    schemas = json_schemas([model for both in models.values() for model in both], "#/components/schemas/")
    statuses: dict[int, list[type[ServiceError]]] = {}
    for kind in ServiceError.__subclasses__():
        for status in (400, 408, 413, 415) if kind is BadRequest else (kind.status,):
            statuses.setdefault(status, []).append(kind)

    def operation(name: str) -> dict[str, Any]:
        request, answer = (
            {JSON: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}} for model in models[name]
        )
        # Only what names one key can miss it.
        required = models[name][0].model_fields.get("api_key_id")
        errors = {str(status) for status in statuses if status != 404 or (required and required.is_required())}
        return {
            "operationId": f"{name}_api_key",
            "summary": OPERATIONS[name].run.__doc__,
            "tags": ["api-key"],
            "requestBody": {"required": True, "content": request},
            "responses": {"200": {"description": "Done.", "content": answer}}
            | {status: {"$ref": f"#/components/responses/{status}"} for status in sorted(errors)},
        }

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gql_identity",
            "version": "1",
            "description": "API keys: the service `APIKey` of the package `spaceone.api.identity.v1`.",
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": "api-key", "description": "API keys."}],
        "paths": {f"{PREFIX}/api-key/{name}": {"post": operation(name)} for name in OPERATIONS},
        "components": {
            "schemas": schemas,
            "responses": {str(status): _error_response(kinds) for status, kinds in sorted(statuses.items())},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The secret of an API key."}
            },
        },
    }


def _error_response(kinds: list[type[ServiceError]]) -> dict[str, Any]:
    members: dict[str, Any] = {
        "code": {"type": "string", "enum": [kind.code for kind in kinds]},
        "message": {"type": "string", "description": "For the person who sent the request."},
        "id": {"type": "string", "description": "With `INTERNAL`: what names the fault in the service's log."},
        "retry_after_seconds": {"type": "integer", "description": "With `RESOURCE_EXHAUSTED`: when to try again."},
        "api_key_id": {"type": "string", "description": "Of a `create` whose outcome is unknown: the key's id."},
    }
    error = {"type": "object", "required": ["code", "message"], "properties": members}
    schema = {"type": "object", "required": ["error"], "properties": {"error": error}}
    response: dict[str, Any] = {
        "description": " ".join((kind.__doc__ or "").partition("\n")[0] for kind in kinds),
        "content": {JSON: {"schema": schema}},
    }
    if Unauthenticated in kinds:
        response["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return response
