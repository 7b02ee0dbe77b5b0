"""GraphQL over WebSocket: the protocol graphql-transport-ws (github.com/enisdenjo/graphql-ws, PROTOCOL.md)."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext, suppress
from typing import Any, NamedTuple

import orjson
import structlog
import uuid_utils
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from .. import traces
from ..errors import BadRequest, ResourceExhausted, ServiceError, Unauthenticated
from ..execution.answer import Answer, RequestError
from ..execution.operation import Operation
from ..execution.request import Request, read_request
from ..keys.access import Caller
from ..logs import RequestLog
from ..metrics import LIMITS
from ..server.websocket import LONG_TEXT_BYTES, MUTATIONS
from ..settings import Settings
from .authentication import Authenticator
from .bodies import LONG_BODY_BYTES, parse_in_turn
from .clients import Client, Clients
from .deadline import in_time
from .graphql_operations import (
    GraphQLOperations,
    check_size,
    count_operation,
    error_codes,
    refused,
    status_of,
    unexpected,
)
from .handshake import may_connect
from .large_json import answer_json
from .request_line import request_line

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0  # how long a client may take to send connection_init
IDLE_SECONDS = 600.0  # how long a connection without an operation is kept
MAX_OPERATIONS = 100  # running at one time on one connection
MAX_OPERATION_CHARACTERS = 2_000_000  # of the messages that began them
MAX_WAITING_CHARACTERS = 4_000_000  # of one client, in messages whose operations have not begun
MAX_CONNECTIONS = 200  # of one client, in one worker

log = structlog.get_logger()


class _Closed(Exception):
    """Closes the connection with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Running(NamedTuple):
    task: asyncio.Task[None]
    characters: int  # of the message that began it


class _Waiting:
    """A message whose operation has not begun, among those of its client."""

    def __init__(self, client: Client, characters: int) -> None:
        self._client = client
        self._characters = characters
        client.waiting_characters += characters

    def end(self) -> None:
        self._client.waiting_characters -= self._characters
        self._characters = 0


class Connection:
    """One client's connection and the operations that run on it."""

    def __init__(
        self,
        websocket: WebSocket,
        operations: GraphQLOperations,
        authenticator: Authenticator,
        requests: RequestLog,
        settings: Settings,
        clients: Clients,
    ) -> None:
        self._websocket = websocket
        self._operations = operations
        self._authenticator = authenticator
        self._requests = requests
        self._settings = settings
        self._clients = clients
        self._client: Client | None = None  # once connection_init was acknowledged
        self._authorization: str | None = websocket.headers.get("authorization")
        self._wait_until = 0.0  # for connection_init, then for an operation, by `time.monotonic()`
        self._running: dict[str, _Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()  # a response becomes text when the client has taken those before it

    async def serve(self) -> None:
        """Exchange messages until either side closes the connection."""
        if not may_connect(self._websocket.scope, self._settings):
            await self._websocket.close()  # 403, as nothing was accepted
            return
        if PROTOCOL not in self._websocket.scope["subprotocols"]:
            self._log_close(4406, f"Speak {PROTOCOL}")
            await self._websocket.close(4406, f"Speak {PROTOCOL}")
            return
        await self._websocket.accept(PROTOCOL)
        self._wait_until = time.monotonic() + INIT_SECONDS
        try:
            while True:
                text = await self._receive_in_time()
                await self._take(await self._parsed(text), len(text))
        except _Closed as closed:
            self._log_close(closed.code, closed.reason)
            await self._close(closed.code, closed.reason)
        except WebSocketDisconnect:
            pass
        finally:
            if self._client is not None:
                self._client.connections -= 1
                self._clients.forget(self._client)
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _log_close(self, code: int, reason: str) -> None:
        log.info("websocket closed", code=code, reason=reason, **request_line(self._websocket.scope, self._settings))

    async def _receive_in_time(self) -> str:
        while True:
            left = IDLE_SECONDS if self._running else self._wait_until - time.monotonic()
            try:
                async with asyncio.timeout(max(0, left)):
                    return await self._receive()
            except TimeoutError:
                if self._client is None:
                    raise _Closed(4408, "Connection initialisation timeout") from None
                if not self._running and time.monotonic() >= self._wait_until:
                    raise _Closed(1001, "Idle") from None

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        return message.get("text") or ""

    async def _parsed(self, text: str) -> dict[str, Any]:
        body, most = text.encode(), self._settings.max_body_bytes
        if len(body) > most:
            LIMITS.add("max_body_bytes")
            raise _Closed(1009, f"Messages have at most {most} bytes")
        if self._client is None and len(body) > LONG_BODY_BYTES:  # nobody is counted for it yet
            raise _Closed(4400, f"Messages before connection_ack have at most {LONG_BODY_BYTES} bytes")
        try:
            owner = self._client.name if self._client else self._clients.likely_name(self._websocket.scope)
            parsed = await parse_in_turn(body, owner, "A message")
        except BadRequest as error:
            raise _Closed(4400, error.message) from None
        if not isinstance(parsed, dict):
            raise _Closed(4400, "A message is a JSON object.")
        return parsed

    async def _take(self, message: dict[str, Any], characters: int) -> None:
        match message:
            case {"type": "connection_init"}:
                await self._init(message.get("payload"))
            case {"type": "ping"}:
                await self._send({"type": "pong"})
            case {"type": "pong"}:
                pass
            case {"type": "subscribe", "id": str(operation_id), "payload": dict(payload)} if operation_id:
                await self._subscribe(operation_id, payload, characters)
            case {"type": "complete", "id": str(operation_id)}:
                # The id is free at once; a task that is cancelled before it began runs no `finally`.
                if running := self._running.pop(operation_id, None):
                    running.task.cancel()
                    self._ended()
            case _:
                raise _Closed(4400, "Unknown message")

    async def _init(self, payload: Any) -> None:
        if self._client is not None:
            raise _Closed(4429, "Too many initialisation requests")
        if not isinstance(payload, dict | None):
            raise _Closed(4400, "The payload of connection_init is an object")
        sent = [value for name, value in (payload or {}).items() if name.lower() == "authorization"]
        if len(sent) > 1:  # as two headers are refused: what checked the other one would be misled
            raise _Closed(4403, "Forbidden")
        if sent:
            if not isinstance(sent[0], str):  # without a credential it would get what anonymous clients get
                raise _Closed(4400, "Authorization in connection_init is a string: Bearer SECRET")
            self._authorization = sent[0]
        try:
            caller = await in_time(self._caller(), self._settings.operation_timeout_seconds)
            self._client = self._counted(caller)
        except Unauthenticated:
            raise _Closed(4403, "Forbidden") from None
        except ServiceError as error:
            raise _Closed(1013, error.message[:100]) from None
        self._ended()
        await self._send({"type": "connection_ack"})

    def _counted(self, caller: Caller | None) -> Client:
        client = self._clients.of_address(self._websocket.scope) if caller is None else self._clients.of_caller(caller)
        if client.connections >= MAX_CONNECTIONS:
            LIMITS.add("connections_of_a_client")
            raise _Closed(1013, f"More than {MAX_CONNECTIONS} connections at once")
        client.connections += 1
        return client

    async def _subscribe(self, operation_id: str, payload: dict[str, Any], characters: int) -> None:
        if (client := self._client) is None:
            raise _Closed(4401, "Unauthorized")
        if operation_id in self._running:
            raise _Closed(4409, f"Subscriber for {operation_id[:50]} already exists")
        held = characters + sum(running.characters for running in self._running.values())
        try:
            if len(self._running) >= MAX_OPERATIONS or held > MAX_OPERATION_CHARACTERS:
                LIMITS.add("operations_of_a_connection")
                raise ResourceExhausted(
                    f"A connection has at most {MAX_OPERATIONS} operations at one time, in messages of at most "
                    f"{MAX_OPERATION_CHARACTERS} characters together. End some, or open another connection."
                )
            if client.waiting_characters + characters > MAX_WAITING_CHARACTERS:
                LIMITS.add("waiting_characters")
                raise ResourceExhausted("Too many long operations of this client begin at once. Send it again.")
            if characters > LONG_BODY_BYTES:
                check_size(payload, self._settings.max_values)
            # The payload may hold more, which must not be kept while the operation runs.
            request = read_request(payload)
        except (RequestError, ServiceError) as error:
            await self._send({"type": "error", "id": operation_id, "payload": refused(error).errors})
            return
        waiting = _Waiting(client, characters)
        task = asyncio.create_task(self._run(operation_id, request, client, waiting))
        task.add_done_callback(lambda _: waiting.end())
        self._running[operation_id] = _Running(task, characters)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _count_mutations(self, more: int) -> None:
        scope = self._websocket.scope
        scope[MUTATIONS] = scope.get(MUTATIONS, 0) + more

    def _ended(self) -> None:
        self._wait_until = time.monotonic() + IDLE_SECONDS

    async def _caller(self) -> Caller | None:
        if self._authorization is None:
            return None
        return await self._authenticator.identify(self._authorization, self._websocket.scope)

    async def _run(self, operation_id: str, request: Request, client: Client, waiting: _Waiting) -> None:
        started = self._requests.begin()
        # The status is the one of its error's code; 0 if the operation ended before anything was known of it.
        line: dict[str, Any] = {"method": "WEBSOCKET", "status": 0, "bytes": 0}
        # Each operation has an id, as each HTTP request has, so that its lines in the log can be found.
        request_id = uuid_utils.uuid7().hex
        structlog.contextvars.bind_contextvars(request_id=request_id)
        traced = None
        if traces.is_on:
            traced = traces.begin_request(self._websocket.scope["headers"], "WEBSOCKET", self._websocket.scope["path"])
        if traced is not None:
            line["trace_id"] = traced.trace_id
            structlog.contextvars.bind_contextvars(trace_id=traced.trace_id)
        answer = None
        try:
            if not self._clients.starts.begin():
                await self._clients.starts.wait(client.name)
            async with aclosing(self._answers(request, client, waiting, line)) as answers:
                async for whole in answers:
                    answer = await self._answer(operation_id, whole, client.name, line)
                    if not answer.executed:  # the protocol's `error` ends the operation
                        return
            await self._send({"type": "complete", "id": operation_id})
        except WebSocketDisconnect:
            pass
        except Exception as error:  # in sending a response
            answer = unexpected(error)
            with suppress(WebSocketDisconnect):
                await self._answer(operation_id, answer, client.name, line)
        finally:
            running = self._running.get(operation_id)
            if running is not None and running.task is asyncio.current_task():  # else another has the id by now
                del self._running[operation_id]
                self._ended()
            if line.get("operation_type") == "mutation":
                self._count_mutations(-1)
            count_operation(line.get("operation_type"), answer)
            if traced is not None:
                traced.end(line["status"])
            if self._requests.are_logged:
                both = request_line(self._websocket.scope, self._settings) | line
                self._requests.end(request_id, started, **both)
            else:
                self._requests.end_unlogged()

    async def _answers(
        self, request: Request, client: Client, waiting: _Waiting, line: dict[str, Any]
    ) -> AsyncGenerator[Answer, None]:
        """The answers to one `subscribe` message; an error is the last of them."""
        try:
            operation, caller = await in_time(
                self._find(request, client.name), self._settings.operation_timeout_seconds
            )
            waiting.end()
            line |= {"status": 200, "operation_type": operation.type}
            if operation.is_mutation:
                self._count_mutations(1)
            if operation.name is not None:
                line["operation"] = operation.name
            # An answer is held until the client has taken those before it: so few are computed at one time.
            async with (
                nullcontext() if operation.is_subscription else client.answering,
                aclosing(self._operations.answers(operation, request, caller)) as answers,
            ):
                async for answer in answers:
                    yield answer
        except (RequestError, ServiceError) as error:
            yield refused(error)
        except Exception as error:
            yield unexpected(error)

    async def _find(self, request: Request, owner: str) -> tuple[Operation, Caller | None]:
        # The key is checked again for each operation: it may have been revoked since the connection was made.
        caller = await self._caller()
        return await self._operations.find(request, caller, self._websocket.scope, owner), caller

    async def _answer(self, operation_id: str, answer: Answer, owner: str, line: dict[str, Any]) -> Answer:
        """Send a response, and return it as it was sent. Raises WebSocketDisconnect."""
        async with self._sending:
            if answer.executed:
                kind = b"next"
                answer, text = await answer_json(answer, owner, self._settings.max_response_bytes)
            else:
                kind, text = b"error", bytearray(orjson.dumps(answer.errors))
            if answer.errors:
                line["codes"] = sorted({*line.get("codes", ()), *error_codes(answer)})
            line["status"] = status_of(answer)
            text[:0] = b'{"type":"%b","id":%b,"payload":' % (kind, orjson.dumps(operation_id))
            text += b"}"
            line["bytes"] += len(text)
            await self._send_text(text)
        return answer

    async def _send(self, message: dict[str, Any]) -> None:
        async with self._sending:
            await self._send_text(orjson.dumps(message))

    async def _send_text(self, text: bytes | bytearray) -> None:
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnect  # closed meanwhile, by the client or for a fault of another operation
        try:
            # To decode 20 MB here and encode them again in the protocol would hold up the event loop for 40 ms.
            sent = text if len(text) > LONG_TEXT_BYTES else text.decode()
            await self._websocket.send({"type": "websocket.send", "text": sent})
        except RuntimeError:
            # The client's close has been received but not read yet.
            raise WebSocketDisconnect from None

    async def _close(self, code: int, reason: str) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            with suppress(RuntimeError, WebSocketDisconnect):
                await self._websocket.close(code, reason)
