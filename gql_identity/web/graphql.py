"""GraphQL over HTTP: what is read, refused and answered (graphql.github.io/graphql-over-http)."""

import asyncio
from http import HTTPMethod
from pathlib import Path
from typing import Any

import orjson
import structlog
from graphql import GraphQLError, OperationType
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from ..errors import BadRequest, DeadlineExceeded, ServiceError
from ..execution.executor import Answer, Executor, RequestError, is_query, read_request, refusal
from ..keys.changes import Changes
from ..schema.context import Context
from ..settings import Settings
from .accept import GRAPHQL_JSON, JSON, preferred_media_type, takes_streams_alone, wants_html, wants_stream
from .authentication import Authenticator
from .events import alone, streamed
from .websocket import Connection

GRAPHIQL = Path(__file__).parent.parent / "graphiql" / "index.html"
GRAPHIQL_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; worker-src 'self'; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}

log = structlog.get_logger()


class GraphQLEndpoint:
    """The ASGI application at `/graphql`."""

    def __init__(self, executor: Executor, authenticator: Authenticator, changes: Changes, settings: Settings) -> None:
        self._executor = executor
        self._authenticator = authenticator
        self._changes = changes
        self._settings = settings
        self._shows_graphiql = settings.shows_graphiql and GRAPHIQL.exists()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an expected failure is a GraphQL-shaped JSON answer."""
        if scope["type"] == "websocket":
            websocket = WebSocket(scope, receive, send)
            await Connection(websocket, self._executor, self._authenticator, self._changes, self._settings).serve()
            return
        headers = Headers(scope=scope)
        method = scope["method"]
        accept = ", ".join(headers.getlist("accept"))
        response: Response
        if method == HTTPMethod.GET and self._shows_graphiql and wants_html(accept):
            response = FileResponse(GRAPHIQL, media_type="text/html", headers=GRAPHIQL_HEADERS)
        else:
            try:
                response = await self._respond(scope, receive, headers, accept)
            except ServiceError as error:
                answer = refusal(GraphQLError(error.message, extensions=error.extensions))
                response = _json(answer, error.status, preferred_media_type(accept))
                response.headers.update(error.headers)
            except ClientDisconnect:
                return  # the client went away while it was sending, so there is nobody to answer
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, headers: Headers, accept: str) -> Response:
        media_type = preferred_media_type(accept)
        fields = await _read(scope, receive, headers)
        if isinstance(fields, list):
            return _json(await self._answer_batch(fields, scope), 200, media_type)
        request = read_request(fields)
        caller = await self._authenticator.authenticate(scope)
        context = Context(self._authenticator.api_keys, self._changes, caller)
        try:
            prepared, operation = self._executor.operation(request, caller)
            scope["operation_name"] = operation.name.value if operation.name else None
            if scope["method"] == HTTPMethod.GET and not is_query(operation):
                raise BadRequest("GET runs queries only: send a mutation by POST.", 405, {"Allow": "POST"})
            if wants_stream(accept, operation):
                return streamed(self._executor.stream(request, prepared, operation, context))
            async with asyncio.timeout(self._settings.operation_timeout_seconds):
                answer = await self._executor.execute(request, prepared, context)
        except RequestError as error:
            answer = refusal(*error.errors)
            if takes_streams_alone(accept):
                return streamed(alone(answer))
        except TimeoutError:
            raise DeadlineExceeded("The request took too long. Ask for less, or try again.") from None
        # Under the older media type, clients expect 200 whatever became of the request.
        return _json(answer, 400 if media_type == GRAPHQL_JSON and not answer.executed else 200, media_type)

    async def _answer_batch(self, batch: list[Any], scope: Scope) -> list[Answer]:
        """The answers of several requests in one, which run one after the other; raises BadRequest."""
        most = self._settings.max_batch
        if not 1 <= len(batch) <= most:
            allowed = f"1 to {most} requests" if most else "one request, as a JSON object"
            raise BadRequest(f"Send {allowed}: the limit `max_batch`.")
        requests = [read_request(fields) for fields in batch]
        caller = await self._authenticator.authenticate(scope)
        context = Context(self._authenticator.api_keys, self._changes, caller)
        answers = []
        try:
            async with asyncio.timeout(self._settings.operation_timeout_seconds):
                for request in requests:
                    try:
                        prepared, operation = self._executor.operation(request, caller)
                        if operation.operation is OperationType.SUBSCRIPTION:
                            raise BadRequest("Send a subscription by itself.")
                        answers.append(await self._executor.execute(request, prepared, context))
                    except RequestError as error:
                        answers.append(refusal(*error.errors))
        except TimeoutError:
            raise DeadlineExceeded("The requests took too long. Send fewer, or try again.") from None
        return answers


async def _read(scope: Scope, receive: Receive, headers: Headers) -> Any:
    """The JSON that an HTTP request carries; raises BadRequest."""
    match scope["method"]:
        case HTTPMethod.GET:
            parameters = QueryParams(scope["query_string"]).multi_items()
            fields: Any = dict(parameters)
            if len(fields) < len(parameters):
                raise BadRequest("Give each parameter once.")
            for part in ("variables", "extensions"):
                if part in fields:
                    fields[part] = _from_json(fields[part].encode(), f"`{part}`")
        case HTTPMethod.POST:
            media_type, _, parameter = headers.get("content-type", "").lower().partition(";")
            if media_type.strip() != JSON or parameter.strip().replace('"', "") not in ("", "charset=utf-8"):
                raise BadRequest(
                    "Send the request as `Content-Type: application/json`, in UTF-8.", 415, {"Accept-Post": JSON}
                )
            fields = _from_json(await _read_body(receive), "The body")
        case _:
            raise BadRequest("Send GraphQL requests by GET or POST.", 405, {"Allow": "GET, POST"})
    return fields


async def _read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _from_json(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadRequest(f"{what} is not JSON in UTF-8.") from None


def _json(answer: Answer | list[Answer], status: int, media_type: str) -> Response:
    content = [one.to_json() for one in answer] if isinstance(answer, list) else answer.to_json()
    return Response(orjson.dumps(content), status, media_type=f"{media_type}; charset=utf-8")
