"""GraphQL over server-sent events (github.com/enisdenjo/graphql-sse, PROTOCOL.md, distinct connections)."""

import asyncio
from collections.abc import AsyncGenerator

import orjson
from starlette.responses import Response, StreamingResponse

from ..execution.executor import Answer
from .accept import EVENTS

KEEP_ALIVE_SECONDS = 12.0  # between two signs of life on a stream


async def alone(answer: Answer) -> AsyncGenerator[Answer, None]:
    """A stream of one answer: a stream, too, tells why a request does not run (PROTOCOL.md)."""
    yield answer


def streamed(answers: AsyncGenerator[Answer, None]) -> Response:
    """Server-sent events, one a connection (github.com/enisdenjo/graphql-sse, PROTOCOL.md, distinct connections)."""

    async def events() -> AsyncGenerator[bytes, None]:
        waiting: asyncio.Queue[bytes | None] = asyncio.Queue(1)

        async def fill() -> None:
            try:
                async for answer in answers:
                    await waiting.put(b"event: next\ndata: " + orjson.dumps(answer.to_json()) + b"\n\n")
            finally:
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

    return StreamingResponse(
        events(), media_type=EVENTS, headers={"Cache-Control": "private, no-store", "X-Accel-Buffering": "no"}
    )
