"""GraphQL over server-sent events (github.com/enisdenjo/graphql-sse, PROTOCOL.md, distinct connections)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from starlette.responses import Response, StreamingResponse
from starlette.types import Scope, Send

from ..execution.answer import Answer
from .accept import EVENTS
from .clients import Place
from .graphql_operations import count_operation, end_operation, note_answer, unexpected
from .large_json import answer_json

KEEP_ALIVE_SECONDS = 12.0  # between two comments on a stream that has nothing to send
_NEXT, _COMPLETE = b"event: next\ndata: ", b"event: complete\ndata:\n\n"
_HEADERS = {"Cache-Control": "private, no-store", "X-Accel-Buffering": "no"}


def event_stream(answers: AsyncGenerator[Answer, None], scope: Scope, most: int) -> Response:
    """A response that sends each answer as an event `next`, and `complete` after the last.

    Large answers have at most so many bytes.
    """
    return _EventStream(_events(answers, scope, most), media_type=EVENTS, headers=_HEADERS)


def only_event(answer: Answer, scope: Scope, status: int = 200) -> Response:
    """A whole stream of one short answer. A client that accepts only streams gets its errors in one (PROTOCOL.md)."""
    end_operation(scope, scope.get("operation_type"), answer)
    return Response(bytes(_short_event(answer)) + _COMPLETE, status, _HEADERS, EVENTS)


class _EventStream(StreamingResponse):
    """A streaming response that ends its events with itself, also where it is cancelled while it sends."""

    body_iterator: AsyncGenerator[bytes | memoryview, None]

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self.body_iterator):
            await super().stream_response(send)


async def _events(
    answers: AsyncGenerator[Answer, None], scope: Scope, most: int
) -> AsyncGenerator[bytes | memoryview, None]:
    waiting: asyncio.Queue[memoryview | None] = asyncio.Queue(1)
    place: Place = scope["place"]

    # A task of its own: a wait that a keep-alive interrupts would end the answers.
    async def fill() -> None:
        answer = None
        try:
            async with aclosing(answers):
                async for whole in answers:
                    answer, text = await answer_json(whole, place.client.name, most)
                    note_answer(scope, answer)
                    await waiting.put(_next(text))
        except Exception as error:
            answer = unexpected(error)
            note_answer(scope, answer)
            await waiting.put(_short_event(answer))
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
        yield _COMPLETE
    finally:
        filling.cancel()
        await asyncio.wait((filling,))


def _short_event(answer: Answer) -> memoryview:
    return _next(bytearray(orjson.dumps(answer.to_json())))


def _next(text: bytearray) -> memoryview:
    """The event of a response's JSON."""
    text[:0] = _NEXT
    text += b"\n\n"
    return memoryview(text)
