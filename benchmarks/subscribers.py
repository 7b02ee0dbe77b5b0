"""The subscribers' process: many WebSockets that follow the changes of one domain, and when the last of them knew.

It reads its task from standard input's first line. It prints a line when all have subscribed, one for each change that
all have received, and at the end of standard input a last one with what is missing.
"""

import asyncio
import gc
import json
import re
import struct
import sys
import time
from collections import Counter
from typing import Any

import uvloop

PREFIX = "change-"  # with a number, the name that a change gives its key
_AT_ONCE = 50  # connections that open at one time
_OPEN_SECONDS = 30.0
_DOCUMENT = "subscription($i: APIKeyChangedRequest!) { apiKeyChanged(input: $i) { type apiKeyInfo { apiKeyId name } } }"
_NUMBER = re.compile(rb'"change-(\d+)"')
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA


def main() -> None:
    """Subscribe, and count until standard input ends."""
    given = json.loads(sys.stdin.readline())
    gc.disable()
    uvloop.run(_follow(**given))


async def _follow(host: str, port: int, domain_id: str, secrets: list[str], number: int) -> None:
    received: Counter[int] = Counter()
    opening = asyncio.Semaphore(_AT_ONCE)
    loop = asyncio.get_running_loop()

    def count(change: int) -> None:
        received[change] += 1
        if received[change] == number:
            _print({"change": change, "at": time.monotonic()})

    async def subscribe(n: int) -> _Subscriber:
        async with opening, asyncio.timeout(_OPEN_SECONDS):
            messages = _messages(secrets[n % len(secrets)], domain_id)
            _, made = await loop.create_connection(lambda: _Subscriber(messages, count), host, port)
            await made.acknowledged
            return made

    subscribers = await asyncio.gather(*map(subscribe, range(number)))
    _print({"subscribed": number})
    await loop.run_in_executor(None, sys.stdin.read)
    _print({"open": sum(one.is_open for one in subscribers), "received": received})


def _messages(secret: str, domain_id: str) -> tuple[bytes, bytes]:
    payload = {"query": _DOCUMENT, "variables": {"i": {"domainId": domain_id, "types": ["UPDATED"]}}}
    begin = {"type": "connection_init", "payload": {"Authorization": f"Bearer {secret}"}}
    subscribe = {"type": "subscribe", "id": "1", "payload": payload}
    return _frame(json.dumps(begin).encode()), _frame(json.dumps(subscribe).encode())


def _frame(data: bytes, kind: int = _TEXT) -> bytes:
    # The mask is zero, so that nothing need be computed.
    head = struct.pack("!BB", 0x80 | kind, 0x80 | len(data)) if len(data) < 126 else b""
    return (head or struct.pack("!BBH", 0x80 | kind, 0x80 | 126, len(data))) + b"\0\0\0\0" + data


class _Subscriber(asyncio.Protocol):
    def __init__(self, messages: tuple[bytes, bytes], count: Any) -> None:
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_open = False
        self._messages = messages
        self._count = count
        self._upgraded = False
        self._data = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.is_open = True
        transport.write(
            b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._upgraded:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head:
                self._fail(head)
                return
            self._upgraded = True
            self._data = rest
            self._transport.write(self._messages[0])
        while (frame := self._next_frame()) is not None:
            self._take(*frame)

    def connection_lost(self, _: Exception | None) -> None:
        self.is_open = False
        self._fail(b"the connection ended")

    def _next_frame(self) -> tuple[int, bytes] | None:
        data = self._data
        if len(data) < 2:
            return None
        begin, size = 2, data[1]
        if size == 126:
            begin, size = 4, int.from_bytes(data[2:4])
        if len(data) < begin + size:
            return None
        self._data = data[begin + size :]
        return data[0] & 0xF, data[begin : begin + size]

    def _take(self, kind: int, data: bytes) -> None:
        if kind == _PING:
            self._transport.write(_frame(data, _PONG))
        elif kind == _CLOSE or b'"error"' in data or b'"complete"' in data:
            self.is_open = False
            self._fail(data)
        elif found := _NUMBER.search(data):
            self._count(int(found[1]))
        elif b'"connection_ack"' in data:
            self._transport.write(self._messages[1])
            self.acknowledged.set_result(None)

    def _fail(self, why: bytes) -> None:
        if not self.acknowledged.done():
            self.acknowledged.set_exception(ConnectionRefusedError(why[:200].decode(errors="replace")))


def _print(said: dict[str, Any]) -> None:
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
