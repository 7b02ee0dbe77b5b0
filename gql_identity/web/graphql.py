"""GraphQL over HTTP (graphql.github.io/graphql-over-http): reads requests and returns responses."""

import asyncio
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from ..deadlines import check_time, is_over, stop_timer, until_deadline
from ..errors import BadRequest, ServiceError
from ..execution.answer import Answer, RequestError
from ..execution.operation import Operation
from ..execution.request import Request, read_request
from ..execution.turns import turns_of_this_loop
from ..keys.access import Caller
from ..logs import RequestLog
from ..metrics import LIMITS
from ..settings import Settings
from .accept import EVENTS, GRAPHQL_JSON, Accept, read_accept
from .authentication import Authenticator
from .bodies import JSON, LONG_BODY_BYTES, parse_in_turn, parse_json, read_json_body, read_query_string
from .clients import Clients, Place
from .deadline import in_time
from .events import event_stream, only_event
from .graphql_operations import GraphQLOperations, check_size, end_operation, refused, unexpected
from .large_json import LARGE_BYTES, answer_json, response_too_large
from .pages import GRAPHIQL, PAGE_HEADERS
from .proxies import is_forwarded
from .websocket import Connection

_CONTENT_TYPES = {name: f"{name}; charset=utf-8".encode() for name in (JSON, GRAPHQL_JSON)}
_STREAM_METHODS = {"Allow": "GET, POST"}
# Texts, not members of HTTPMethod: comparing those takes six times as long. HEAD has GET's headers.
_SAFE = frozenset({"GET", "HEAD"})


class GraphQLEndpoint:
    """The ASGI application at `/graphql`."""

    def __init__(
        self,
        operations: GraphQLOperations,
        authenticator: Authenticator,
        requests: RequestLog,
        clients: Clients,
        settings: Settings,
    ) -> None:
        self._operations = operations
        self._authenticator = authenticator
        self._requests = requests
        self._settings = settings
        self._clients = clients
        self._shows_graphiql = settings.shows_graphiql and GRAPHIQL.exists()
        self._shows_graphiql_through_proxies = settings.shows_graphiql_through_proxies and GRAPHIQL.exists()

    def use_settings(self, settings: Settings) -> None:
        """Use other settings from now on: the origins that may open a WebSocket."""
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; an expected error becomes a GraphQL response."""
        if scope["type"] == "websocket":
            websocket = WebSocket(scope, receive, send)
            await Connection(
                websocket, self._operations, self._authenticator, self._requests, self._settings, self._clients
            ).serve()
            return
        headers = Headers(scope=scope)
        accept = read_accept(", ".join(headers.getlist("accept")))
        response: Response
        if accept.wants_html and scope["method"] in _SAFE and self._shows_page(scope):
            response = FileResponse(GRAPHIQL, media_type="text/html", headers=PAGE_HEADERS)
        else:
            try:
                sent = await _read(scope, receive, headers)
                response = await in_time(self._respond(sent, scope, accept), self._settings.operation_timeout_seconds)
                del sent  # a stream must not keep what its subscription does not need
            except ServiceError as error:
                response = _refusal(error, scope, accept)
            except ClientDisconnect:
                return  # the client disconnected while it was sending
        await response(scope, receive, send)

    def _shows_page(self, scope: Scope) -> bool:
        return self._shows_graphiql_through_proxies if is_forwarded(scope) else self._shows_graphiql

    async def _respond(self, sent: bytes | dict[str, Any], scope: Scope, accept: Accept) -> Response:
        # Before the body is parsed: nothing is done for a credential that is wrong.
        caller = await self._authenticator.authenticate(scope)
        place: Place = scope["place"]
        owner = place.client.name
        try:
            fields = await parse_in_turn(sent, owner) if isinstance(sent, bytes) else sent
            is_long = len(sent) > LONG_BODY_BYTES
            if is_long:
                check_size(fields, self._settings.max_values)
            if isinstance(fields, list):
                return await self._respond_to_batch(fields, caller, scope, accept)
            request = read_request(fields)
            del fields, sent
            operation = await self._operations.find(request, caller, scope, None if is_long else owner)
            scope["operation_name"], scope["operation_type"] = operation.name, operation.type
            if scope["method"] in _SAFE and operation.is_mutation:
                raise BadRequest("GET does not run mutations: send them by POST.", 405, {"Allow": "POST"})
            if scope["method"] == "HEAD" and operation.is_subscription:  # a stream without bytes
                raise BadRequest("HEAD does not run subscriptions: send them by GET or POST.", 405, _STREAM_METHODS)
            if operation.is_subscription and not accept.takes_streams:
                raise BadRequest(f"Send a subscription over WebSocket, or with `Accept: {EVENTS}`.")
            if operation.is_subscription:
                place.become_stream()
            # Some clients accept event streams, after JSON, for every request; only a subscription needs one.
            if operation.is_subscription or accept.takes_only_streams:
                answers = self._operations.answers(operation, request, caller, place.hold_answer)
                return event_stream(answers, scope, self._settings.max_response_bytes)
            answer = await self._operations.answer(operation, request, caller, place.hold_answer)
        except RequestError as error:
            answer = refused(error)
            if accept.takes_only_streams:
                return only_event(answer, scope)
        # Clients that ask for `application/json` expect status 200 even for a request error.
        status = 400 if not answer.executed and accept.media_type == GRAPHQL_JSON else 200
        answer, text = await answer_json(answer, owner, self._settings.max_response_bytes)
        end_operation(scope, scope.get("operation_type"), answer)
        return _JSONResponse(memoryview(text), status, accept.media_type)

    async def _respond_to_batch(
        self, batch: list[Any], caller: Caller | None, scope: Scope, accept: Accept
    ) -> Response:
        """Run the requests of a batch one after the other. Raises BadRequest."""
        most = self._settings.max_batch
        if not 1 <= len(batch) <= most:
            allowed = f"1 to {most} requests" if most else "one request, as a JSON object"
            LIMITS.add("max_batch")
            raise BadRequest(f"Send {allowed}: the limit `max_batch`.")
        requests = [read_request(fields) for fields in batch]
        stop_timer()
        turns = turns_of_this_loop()
        text = bytearray(b"[")
        for request in requests:
            type_, answer, one = await self._one_of_batch(request, caller, scope, len(text))
            text += (b"," if len(text) > 1 else b"") + one
            end_operation(scope, type_, answer)
            # Others get their turn between two operations, whatever these take; what is too late takes little.
            if not is_over() or turns.is_over():
                await asyncio.sleep(0)
        text += b"]"
        return _JSONResponse(memoryview(text), 200, accept.media_type)

    async def _one_of_batch(
        self, request: Request, caller: Caller | None, scope: Scope, bytes_before: int
    ) -> tuple[str | None, Answer, bytes | bytearray]:
        """Run a request of a batch: its type, its response, and the JSON of that. An error is a response, too.

        Responses of others may have secrets, which are returned once.
        """
        type_, place = None, scope["place"]
        most = self._settings.max_response_bytes
        try:
            check_time()
            if bytes_before >= most:
                raise response_too_large(most, in_batch=True)
            operation = await until_deadline(self._operations.find(request, caller, scope, place.client.name))
            type_ = operation.type
            if operation.is_subscription:
                raise BadRequest("A batch runs no subscriptions: send each by itself.")
            return type_, *await until_deadline(self._run_one(operation, request, caller, place, bytes_before))
        except (RequestError, ServiceError) as error:
            answer = refused(error)
        except Exception as error:
            answer = unexpected(error)
        return type_, answer, orjson.dumps(answer.to_json())

    async def _run_one(
        self, operation: Operation, request: Request, caller: Caller | None, place: Place, bytes_before: int
    ) -> tuple[Answer, bytearray]:
        if bytes_before > LARGE_BYTES:  # the batch is a large response by now, whatever this request adds
            await place.hold_answer()
        answer = await self._operations.answer(operation, request, caller, place.hold_answer)
        # A mutation has run: its response has the bound for itself, so that no secret is lost.
        before = 0 if operation.is_mutation else bytes_before
        return await answer_json(answer, place.client.name, self._settings.max_response_bytes, before)


async def _read(scope: Scope, receive: Receive, headers: Headers) -> bytes | dict[str, Any]:
    """A request's body, or the fields of its query string; raises BadRequest, and ClientDisconnect."""
    if scope["method"] == "POST":
        return await read_json_body(headers, receive)
    if scope["method"] in _SAFE:
        return await _read_query_string(scope)
    raise BadRequest("Send GraphQL requests by GET or POST.", 405, {"Allow": "GET, HEAD, POST"})


async def _read_query_string(scope: Scope) -> dict[str, Any]:
    fields: dict[str, Any] = {**await read_query_string(scope)}
    for name in ("variables", "extensions"):
        # An empty parameter is one that is not given: forms and URL builders send it so.
        if fields.get(name) == "":
            del fields[name]
        elif name in fields:
            fields[name] = parse_json(fields[name].encode(), f"`{name}`")
    return fields


def _refusal(error: ServiceError, scope: Scope, accept: Accept) -> Response:
    """The response to a request that failed before it ran."""
    answer = refused(error)
    response: Response
    if not accept.takes_only_streams:
        end_operation(scope, scope.get("operation_type"), answer)
        response = _JSONResponse(orjson.dumps(answer.to_json()), error.status, accept.media_type)
    else:
        # PROTOCOL.md of graphql-sse: such a client cannot read a response with another status than 200. Only if the
        # rest of the body is not read the connection must end, and the status says so.
        status = error.status if error.headers.get("Connection") == "close" else 200
        response = only_event(answer, scope, status)
    response.headers.update(error.headers)
    return response


class _JSONResponse(Response):
    """A response with its two headers: Starlette's own takes longer to make them than orjson to write the body."""

    def __init__(self, body: bytes | memoryview, status: int, media_type: str) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", _CONTENT_TYPES[media_type])]
