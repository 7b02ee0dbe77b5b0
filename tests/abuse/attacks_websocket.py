"""Attacks over WebSocket: what compression and subscriptions cost."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from .attacks import Attack, attack
from .attacks_http import BIG_PAGE, COERCED
from .wire import WebSocket, frame

SUBSCRIBE = "subscription($d: ID!) { apiKeyChanged(input: {domainId: $d}) { type } }"
LOST = (OSError, EOFError, TimeoutError)


async def again(run: Attack, connections: int, talk: Callable[[], Awaitable[None]]) -> None:
    """Have so many connections talk, each anew when it was closed."""

    async def one() -> None:
        while run.goes_on:
            try:
                async with asyncio.timeout_at(run.until):
                    await talk()
            except LOST as error:
                run.answers[type(error).__name__] += 1
                await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(connections)))


def _subscribe(place: int, query: str, variables: object) -> dict[str, object]:
    return {"id": str(place), "type": "subscribe", "payload": {"query": query, "variables": variables}}


@attack("variables-websocket", "13.9")
async def variables(run: Attack) -> None:
    """80,000 empty filters a message, 400 bytes where the server inflates them; without a key."""
    await _coerced(run, "")


@attack("websocket-origin", "21.5", settings={"GQL_IDENTITY_CORS_ORIGINS": "https://page.example"})
async def other_origin(run: Attack) -> None:
    """The same from a page of an origin that may not call the service, and two Authorization headers."""
    two = "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"
    for headers, words in (("Origin: https://evil.example\r\n", "another origin"), (two, "two Authorization headers")):
        try:
            (await WebSocket.open(run.target, key=True, headers=headers)).close()
        except LOST:
            continue
        run.broken = f"{run.broken}; " * bool(run.broken) + f"a socket with {words} is accepted"
    await _coerced(run, "Origin: https://evil.example\r\n")


async def _coerced(run: Attack, headers: str) -> None:
    text = json.dumps(_subscribe(1, COERCED, {"f": {"or": [{}] * 80_000}}), separators=(",", ":")).encode()
    messages = {compressed: frame(text, compressed=compressed) for compressed in (True, False)}

    async def talk() -> None:
        websocket = await WebSocket.open(run.target, key=False, headers=headers)
        try:
            while run.goes_on:
                websocket.writer.write(messages[websocket.compresses])
                kind, _ = await websocket.receive()
                run.answers["closed" if kind == 8 else "answered"] += 1
                if kind == 8:
                    return
        finally:
            websocket.close()

    await again(run, 4, talk)


@attack("inflated-messages", "13.10")
async def inflated_messages(run: Attack) -> None:
    """Messages of 1,000 bytes that become 1,000,000, without a key."""
    text = b'{"type":"ping","payload":{"x":"' + b"x" * 990_000 + b'"}}'
    small = b'{"type":"ping","payload":{"x":[' + b",".join([b"{}"] * 80_000) + b"]}}"
    pings = frame(small, compressed=True) * 30

    async def talk() -> None:
        websocket = await WebSocket.open(run.target, key=False)
        try:
            if not websocket.compresses:
                run.answers["not compressed"] += 1
                await asyncio.sleep(0.2)
                return
            websocket.writer.write(pings + frame(text, compressed=True))
            while (await websocket.receive())[0] != 8:
                pass
            run.answers["closed"] += 1
        finally:
            websocket.close()

    await again(run, 8, talk)


@attack("kept-variables", "13.10")
async def kept_variables(run: Attack) -> None:
    """60 subscriptions of 385 bytes, each with 250 KB of variables that it does not need."""

    async def talk() -> None:
        websocket = await WebSocket.open(run.target, key=True)
        try:
            for place in range(60):
                websocket.send(_subscribe(place, SUBSCRIBE, {"d": run.target.domain_id, "x": [{}] * 80_000}))
                await asyncio.sleep(0.01)
            run.answers["subscribed"] += 60
            while (await websocket.receive())[0] != 8:
                run.answers["answered"] += 1
        finally:
            websocket.close()

    await again(run, 1, talk)


@attack("unread-answers-websocket", "13.11", keys=1_100)
async def unread_answers(run: Attack) -> None:
    """20 queries of 30 MB each on one WebSocket that reads nothing."""
    await again(run, 1, lambda: _ask_and_read_nothing(run, 20))


@attack("unread-answers-websockets", "13.11", keys=1_100)
async def unread_answers_of_many(run: Attack) -> None:
    """Three queries of 30 MB each on 20 WebSockets that read nothing."""
    await again(run, 20, lambda: _ask_and_read_nothing(run, 3))


async def _ask_and_read_nothing(run: Attack, queries: int) -> None:
    target = run.target
    websocket = await WebSocket.open(target, key=True, compresses=False)
    websocket.writer.transport.pause_reading()  # type: ignore[attr-defined]
    try:
        which = {"domainId": target.domain_id, "userId": target.user_id, "query": {"page": {"limit": 1000}}}
        for place in range(queries):
            websocket.send(_subscribe(place, BIG_PAGE, {"i": which}))
        run.answers["asked"] += queries
        # It learns of a close only by writing.
        while run.goes_on and not websocket.writer.is_closing():
            await asyncio.sleep(0.5)
            websocket.send({"type": "pong"})
    finally:
        websocket.close()


@attack("messages-in-part", "13.10")
async def messages_in_part(run: Attack) -> None:
    """100 WebSockets that send all but the last byte of a message of 900 KB, without a key."""
    part = frame(b"x" * 900_000, compressed=False)[:-1]

    async def talk() -> None:
        websocket = await WebSocket.open(run.target, key=False, compresses=False)
        try:
            websocket.writer.write(part)
            kind, _ = await websocket.receive()
            run.answers["closed" if kind == 8 else "answered"] += 1
        finally:
            websocket.close()

    await again(run, 100, talk)


@attack("tiny-frames", "13.10")
async def tiny_frames(run: Attack) -> None:
    """100 WebSockets that send pings of no byte without pause, without a key, and read no pong."""
    pings = b"\x89\x80\0\0\0\0" * 10_000

    async def talk() -> None:
        websocket = await WebSocket.open(run.target, key=False, compresses=False)
        try:
            while run.goes_on and not websocket.writer.is_closing():
                websocket.writer.write(pings)
                run.answers["sent 10,000"] += 1
                await websocket.writer.drain()
        finally:
            websocket.close()

    await again(run, 100, talk)
