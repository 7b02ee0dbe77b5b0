"""GraphQL over server-sent events (github.com/enisdenjo/graphql-sse, PROTOCOL.md, distinct connections)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
import structlog
from starlette.responses import Response, StreamingResponse
from starlette.types import Scope, Send

from ..execution.answer import Answer
from .accept import EVENTS
from .envelope import note_errors
from .graphql_operations import count_operation, error_codes

KEEP_ALIVE_SECONDS = 12.0  # between two comments on a stream that has nothing to send
_HEADERS = {"Cache-Control": "private, no-store", "X-Accel-Buffering": "no"}

log = structlog.get_logger()


def event_stream(answers: AsyncGenerator[Answer, None], scope: Scope, status: int = 200) -> Response:
    """A response that sends each answer as an event `next`, and `complete` after the last."""
    return _EventStream(_events(answers, scope), status, media_type=EVENTS, headers=_HEADERS)


async def only(answer: Answer) -> AsyncGenerator[Answer, None]:
    """A stream of one answer. A client that accepts only streams gets its errors in one (PROTOCOL.md)."""
    yield answer


class _EventStream(StreamingResponse):
    """A streaming response that ends its events with itself, also where it is cancelled while it sends."""

    body_iterator: AsyncGenerator[bytes, None]

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self.body_iterator):
            await super().stream_response(send)


async def _events(answers: AsyncGenerator[Answer, None], scope: Scope) -> AsyncGenerator[bytes, None]:
    waiting: asyncio.Queue[bytes | None] = asyncio.Queue(1)

    # A task of its own: a wait that a keep-alive interrupts would end the answers.
    async def fill() -> None:
        answer = None
        try:
            async with aclosing(answers):
                async for answer in answers:
                    if answer.errors:
                        note_errors(scope, *error_codes(answer))
                    await waiting.put(b"event: next\ndata: " + orjson.dumps(answer.to_json()) + b"\n\n")
        except Exception as error:
            log.error("unexpected error", exc_info=error)
        finally:
            count_operation(scope.get("operation_type"), answer)
        # Not in a `finally`: when this is cancelled nobody takes it, and it would wait for ever.
        await waiting.put(None)

    filling = asyncio.create_task(fill())
    try:
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    event = await waiting.get()
            except TimeoutError:
                yield b":\n\n"
                continue
            if event is None:
                break
            yield event
        yield b"event: complete\ndata:\n\n"
    finally:
        filling.cancel()
        await asyncio.wait((filling,))
