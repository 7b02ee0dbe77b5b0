"""GraphQL over WebSocket: the protocol graphql-transport-ws (github.com/enisdenjo/graphql-ws, PROTOCOL.md)."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import orjson
import structlog
import uuid_utils
from graphql import GraphQLError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ..errors import ServiceError, Unauthenticated
from ..execution.executor import Answer, Executor, RequestError, read_request, refusal
from ..keys.changes import Changes
from ..schema.context import Context
from ..settings import Settings
from ..storage.database import DEADLINE
from .authentication import Authenticator

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0  # how long a client may take to introduce itself
MAX_OPERATIONS = 100  # at once on one connection

log = structlog.get_logger()


class _Closed(Exception):
    """The connection is to be closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection:
    """One client's connection and the operations that run on it."""

    def __init__(
        self,
        websocket: WebSocket,
        executor: Executor,
        authenticator: Authenticator,
        changes: Changes,
        settings: Settings,
    ) -> None:
        self._websocket = websocket
        self._executor = executor
        self._authenticator = authenticator
        self._changes = changes
        self._settings = settings
        self._authorization: str | None = websocket.headers.get("authorization")
        self._acknowledged = False
        self._operations: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Talk until either side ends it."""
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
            for task in list(self._operations.values()):
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
                if task := self._operations.get(operation_id):
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
            await self._authenticator.identify(self._authorization, self._websocket.scope)
        except Unauthenticated:
            raise _Closed(4403, "Forbidden") from None
        except ServiceError as error:
            raise _Closed(1013, error.message[:100]) from None
        self._acknowledged = True
        await self._send({"type": "connection_ack"})

    def _subscribe(self, operation_id: str, payload: dict[str, Any]) -> None:
        if not self._acknowledged:
            raise _Closed(4401, "Unauthorized")
        if operation_id in self._operations:
            raise _Closed(4409, f"Subscriber for {operation_id[:50]} already exists")
        if len(self._operations) >= MAX_OPERATIONS:
            raise _Closed(4429, f"More than {MAX_OPERATIONS} operations at once")
        task = asyncio.create_task(self._run(operation_id, payload))
        self._operations[operation_id] = task

    async def _run(self, operation_id: str, payload: dict[str, Any]) -> None:
        started = time.monotonic()
        name = None
        # Each operation has an id, as each request has: a line in the log is found by it.
        structlog.contextvars.bind_contextvars(request_id=uuid_utils.uuid7().hex)
        try:
            DEADLINE.set(started + self._settings.operation_timeout_seconds)
            # Asked again for each operation: the key may have been revoked since the connection was opened.
            caller = await self._authenticator.identify(self._authorization, self._websocket.scope)
            request = read_request(payload)
            prepared, operation = self._executor.operation(request, caller)
            name = operation.name.value if operation.name else None
            context = Context(self._authenticator.api_keys, self._changes, caller)
            async for answer in self._executor.stream(request, prepared, operation, context):
                await self._answer(operation_id, answer)
                if not answer.executed:  # an error is the last word
                    return
            await self._send({"type": "complete", "id": operation_id})
        except RequestError as error:
            await self._refuse(operation_id, *error.errors)
        except ServiceError as error:
            await self._refuse(operation_id, GraphQLError(error.message, extensions=error.extensions))
        except WebSocketDisconnect:
            pass
        finally:
            self._operations.pop(operation_id, None)
            log.info(
                "request",
                method="WEBSOCKET",
                path=self._websocket.scope["path"],
                operation=name,
                duration_ms=round((time.monotonic() - started) * 1000, 1),
            )

    async def _refuse(self, operation_id: str, *errors: GraphQLError) -> None:
        with suppress(WebSocketDisconnect):
            await self._answer(operation_id, refusal(*errors))

    async def _answer(self, operation_id: str, answer: Answer) -> None:
        if answer.executed:
            await self._send({"type": "next", "id": operation_id, "payload": answer.to_json()})
        else:
            await self._send({"type": "error", "id": operation_id, "payload": answer.errors})

    async def _send(self, message: dict[str, Any]) -> None:
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            raise WebSocketDisconnect  # closed meanwhile, by another operation's or the client's fault
        await self._websocket.send_text(orjson.dumps(message).decode())

    async def _close(self, code: int, reason: str) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            with suppress(RuntimeError, WebSocketDisconnect):
                await self._websocket.close(code, reason)
