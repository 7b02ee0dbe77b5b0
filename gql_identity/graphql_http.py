"""GraphQL over HTTP: what is read, refused and answered (graphql.github.io/graphql-over-http)."""

import asyncio
from http import HTTPMethod
from pathlib import Path
from typing import Any

import orjson
import structlog
from graphql import GraphQLError
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request as HTTPRequest
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from .api_keys import ApiKeys
from .auth import CHALLENGE, authenticate
from .context import Context
from .errors import BadRequest, DeadlineExceeded, ServiceError, Unauthenticated
from .executor import Answer, Executor, Request, RequestError, is_query, refusal
from .settings import Settings

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
GRAPHIQL = Path(__file__).parent / "graphiql" / "index.html"

log = structlog.get_logger()


class GraphQLEndpoint:
    """The ASGI application at `/graphql`."""

    def __init__(self, executor: Executor, api_keys: ApiKeys, settings: Settings) -> None:
        self._executor = executor
        self._api_keys = api_keys
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; an expected failure is a GraphQL-shaped JSON answer."""
        headers = Headers(scope=scope)
        method = scope["method"]
        media_type = preferred_media_type(headers.get("accept"))
        response: Response
        if method == HTTPMethod.GET and self._settings.shows_graphiql and wants_html(headers.get("accept")):
            response = FileResponse(GRAPHIQL, media_type="text/html")
        else:
            try:
                answer = await self._answer(scope, receive, headers)
                # Under the older media type, clients expect 200 whatever became of the request.
                status = 400 if media_type == GRAPHQL_JSON and not answer.executed else 200
                response = _json(answer, status, media_type)
            except ServiceError as error:
                extra = {"WWW-Authenticate": CHALLENGE} if isinstance(error, Unauthenticated) else {}
                extra |= error.headers if isinstance(error, BadRequest) else {}
                response = _json(
                    refusal(GraphQLError(error.message, extensions=error.extensions)), error.status, media_type
                )
                response.headers.update(extra)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, headers: Headers) -> Answer:
        request = await _read(scope, receive, headers)
        caller = await authenticate(headers.get("authorization"), self._api_keys)
        try:
            prepared, operation = self._executor.operation(request)
        except RequestError as error:
            return refusal(*error.errors)
        scope["operation_name"] = operation.name.value if operation.name else None
        if scope["method"] == HTTPMethod.GET and not is_query(operation):
            raise BadRequest("GET runs queries only: send a mutation by POST.", 405, {"Allow": "POST"})
        if prepared.introspects and not self._may_introspect(signed_in=caller is not None):
            return refusal(
                GraphQLError(
                    "Introspection is not open to this request.", extensions={"code": "GRAPHQL_VALIDATION_FAILED"}
                )
            )
        try:
            async with asyncio.timeout(self._settings.operation_timeout_seconds):
                return await self._executor.execute(request, prepared, Context(self._api_keys, caller))
        except TimeoutError:
            raise DeadlineExceeded("The request took too long. Ask for less, or try again.") from None

    def _may_introspect(self, *, signed_in: bool) -> bool:
        to = self._settings.introspection_for
        return to == "public" or (to == "authenticated" and signed_in)


def preferred_media_type(accept: str | None) -> str:
    """The media type of a GraphQL answer that an Accept header (RFC 9110, section 12.5.1) likes best.

    The newer one only where it is named: who accepts anything gets `application/json`.
    """
    best, best_quality = JSON, 0.0
    for name, quality in _accepted(accept):
        if name in (JSON, GRAPHQL_JSON) and quality > best_quality:
            best, best_quality = name, quality
    return best


def wants_html(accept: str | None) -> bool:
    """Whether a browser asks for a page: `text/html` is named, and no JSON is liked better."""
    qualities = dict(_accepted(accept))
    return qualities.get("text/html", 0) > max(qualities.get(JSON, 0), qualities.get(GRAPHQL_JSON, 0))


def _accepted(accept: str | None) -> list[tuple[str, float]]:
    accepted = []
    for part in (accept or "").split(",")[:100]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            accepted.append((name, float(quality)))
        except ValueError:
            accepted.append((name, 0.0))
    return accepted


async def _read(scope: Scope, receive: Receive, headers: Headers) -> Request:
    """The GraphQL request of an HTTP request; raises BadRequest."""
    match scope["method"]:
        case HTTPMethod.GET:
            fields: Any = dict(QueryParams(scope["query_string"]))
            for part in ("variables", "extensions"):
                if part in fields:
                    fields[part] = _from_json(fields[part].encode(), f"`{part}`")
        case HTTPMethod.POST:
            media_type, _, parameters = headers.get("content-type", "").partition(";")
            if media_type.strip().lower() != JSON or parameters.strip().lower().replace('"', "") not in (
                "",
                "charset=utf-8",
            ):
                raise BadRequest(
                    "Send the request as `Content-Type: application/json`, in UTF-8.", 415, {"Accept-Post": JSON}
                )
            fields = _from_json(await HTTPRequest(scope, receive).body(), "The body")
        case _:
            raise BadRequest("Send GraphQL requests by GET or POST.", 405, {"Allow": "GET, POST"})
    if not isinstance(fields, dict):
        raise BadRequest("Send one JSON object: {query, variables, operationName}.")
    document, name = fields.get("query"), fields.get("operationName")
    variables, extensions = fields.get("variables"), fields.get("extensions")
    if not isinstance(document, str):
        raise BadRequest("`query` is missing: give the document as a string.")
    if not isinstance(name, str | None):
        raise BadRequest("`operationName` is a string or null.")
    if not isinstance(variables, dict | None):
        raise BadRequest("`variables` is an object or null.")
    if not isinstance(extensions, dict | None):
        raise BadRequest("`extensions` is an object or null.")
    return Request(document, name or None, variables or {})


def _from_json(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadRequest(f"{what} is not JSON in UTF-8.") from None


def _json(answer: Answer, status: int, media_type: str) -> Response:
    return Response(
        orjson.dumps(answer.to_json()), status, {"Vary": "Accept, Authorization"}, f"{media_type}; charset=utf-8"
    )
