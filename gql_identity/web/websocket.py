"""GraphQL over WebSocket: the protocol graphql-transport-ws (github.com/enisdenjo/graphql-ws, PROTOCOL.md)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import orjson
import structlog
import uuid_utils
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ..errors import Internal, ServiceError, Unauthenticated
from ..execution.answer import Answer, RequestError
from ..execution.operation import Operation
from ..execution.request import Request, read_request
from ..keys.access import Caller
from ..logs import RequestLog
from ..settings import Settings
from .authentication import Authenticator
from .deadline import in_time
from .graphql_operations import GraphQLOperations, error_codes, refused

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0  # how long a client may take to send connection_init
MAX_OPERATIONS = 100  # running at one time on one connection

log = structlog.get_logger()


class _Closed(Exception):
    """Closes the connection with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection:
    """One client's connection and the operations that run on it."""

    def __init__(
        self,
        websocket: WebSocket,
        operations: GraphQLOperations,
        authenticator: Authenticator,
        requests: RequestLog,
        settings: Settings,
    ) -> None:
        self._websocket = websocket
        self._operations = operations
        self._authenticator = authenticator
        self._requests = requests
        self._settings = settings
        self._authorization: str | None = websocket.headers.get("authorization")
        self._acknowledged = False
        self._running: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Exchange messages until either side closes the connection."""
        if PROTOCOL not in self._websocket.scope["subprotocols"]:
            await self._websocket.close(4406, f"Speak {PROTOCOL}")
            return
        await self._websocket.accept(PROTOCOL)
        try:
            async with asyncio.timeout(INIT_SECONDS) as until_init:
                while True:
                    await self._take(await self._receive())
                    if self._acknowledged:
                        until_init.reschedule(None)
        except TimeoutError:
            await self._close(4408, "Connection initialisation timeout")
        except _Closed as closed:
            await self._close(closed.code, closed.reason)
        except WebSocketDisconnect:
            pass
        finally:
            for task in list(self._running.values()):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _receive(self) -> dict[str, Any]:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        text = message.get("text") or ""
        if len(text) > self._settings.max_body_bytes:
            raise _Closed(1009, f"Messages have at most {self._settings.max_body_bytes} characters")
        try:
            parsed = orjson.loads(text)
        except orjson.JSONDecodeError:
            raise _Closed(4400, "Messages are JSON text") from None
        if not isinstance(parsed, dict):
            raise _Closed(4400, "Messages are JSON objects")
        return parsed

    async def _take(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "connection_init"}:
                await self._init(message.get("payload"))
            case {"type": "ping"}:
                await self._send({"type": "pong"})
            case {"type": "pong"}:
                pass
            case {"type": "subscribe", "id": str(operation_id), "payload": dict(payload)} if operation_id:
                self._subscribe(operation_id, payload)
            case {"type": "complete", "id": str(operation_id)}:
                if task := self._running.get(operation_id):
                    task.cancel()
            case _:
                raise _Closed(4400, "Unknown message")

    async def _init(self, payload: Any) -> None:
        if self._acknowledged:
            raise _Closed(4429, "Too many initialisation requests")
        if not isinstance(payload, dict | None):
            raise _Closed(4400, "The payload of connection_init is an object")
        for name, value in (payload or {}).items():
            if name.lower() == "authorization" and isinstance(value, str):
                self._authorization = value
        try:
            await self._caller()
        except Unauthenticated:
            raise _Closed(4403, "Forbidden") from None
        except ServiceError as error:
            raise _Closed(1013, error.message[:100]) from None
        self._acknowledged = True
        await self._send({"type": "connection_ack"})

    def _subscribe(self, operation_id: str, payload: dict[str, Any]) -> None:
        if not self._acknowledged:
            raise _Closed(4401, "Unauthorized")
        if operation_id in self._running:
            raise _Closed(4409, f"Subscriber for {operation_id[:50]} already exists")
        if len(self._running) >= MAX_OPERATIONS:
            raise _Closed(4429, f"More than {MAX_OPERATIONS} operations at once")
        task = asyncio.create_task(self._run(operation_id, payload))
        self._running[operation_id] = task

    async def _caller(self) -> Caller | None:
        if self._authorization is None:
            return None
        return await self._authenticator.identify(self._authorization, self._websocket.scope)

    async def _run(self, operation_id: str, payload: dict[str, Any]) -> None:
        started = self._requests.begin()
        line: dict[str, Any] = {"method": "WEBSOCKET", "path": self._websocket.scope["path"], "operation": None}
        # Each operation has an id, as each HTTP request has, so that its lines in the log can be found.
        request_id = uuid_utils.uuid7().hex
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            async for answer in self._answers(payload, line):
                if answer.errors:
                    line["codes"] = sorted({*line.get("codes", ()), *error_codes(answer)})
                await self._answer(operation_id, answer)
                if not answer.executed:  # the protocol's `error` ends the operation
                    return
            await self._send({"type": "complete", "id": operation_id})
        except WebSocketDisconnect:
            pass
        finally:
            self._running.pop(operation_id, None)
            self._requests.end(request_id, started, **line)

    async def _answers(self, payload: dict[str, Any], line: dict[str, Any]) -> AsyncGenerator[Answer, None]:
        """The answers to one `subscribe` message; an error is the last of them."""
        try:
            request = read_request(payload)
            operation, caller = await in_time(self._find(request), self._settings.operation_timeout_seconds)
            line["operation"] = operation.name
            async for answer in self._operations.answers(operation, request, caller):
                yield answer
        except (RequestError, ServiceError) as error:
            yield refused(error)
        except Exception as error:
            log.error("unexpected error", exc_info=error)
            yield refused(Internal(structlog.contextvars.get_contextvars().get("request_id")))

    async def _find(self, request: Request) -> tuple[Operation, Caller | None]:
        # The key is checked again for each operation: it may have been revoked since the connection was made.
        caller = await self._caller()
        return self._operations.find(request, caller), caller

    async def _answer(self, operation_id: str, answer: Answer) -> None:
        if answer.executed:
            await self._send({"type": "next", "id": operation_id, "payload": answer.to_json()})
        else:
            await self._send({"type": "error", "id": operation_id, "payload": answer.errors})

    async def _send(self, message: dict[str, Any]) -> None:
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnect  # closed meanwhile, by the client or for a fault of another operation
        await self._websocket.send_text(orjson.dumps(message).decode())

    async def _close(self, code: int, reason: str) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            with suppress(RuntimeError, WebSocketDisconnect):
                await self._websocket.close(code, reason)
