"""HTTP and WebSocket as bytes: an attacker who shares two cores with the service must cost little itself."""

import asyncio
import json
import os
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

PROTOCOL = "graphql-transport-ws"
ANSWER_SECONDS = 20.0  # longer than the service may take for any answer
_TEXT_FRAME, _COMPRESSED = 0x81, 0x40


@dataclass(frozen=True)
class Target:
    """The service under attack, and the means of its attacker: one USER key in a domain of its own."""

    host: str
    port: int
    secret: str
    domain_id: str
    user_id: str
    data_dir: str
    engine_pid: int
    key_ids: list[str] = field(default_factory=list)  # some of the attacker's keys

    def request(self, query: str, variables: Any = None, *, key: bool = True, headers: str = "") -> bytes:
        """A GraphQL request, with the attacker's key or without one."""
        body = json.dumps({"query": query, "variables": variables}, separators=(",", ":"), ensure_ascii=False).encode()
        return self.post(body, headers + (f"Authorization: Bearer {self.secret}\r\n" if key else ""))

    def post(self, body: bytes, headers: str = "") -> bytes:
        """A POST of JSON to `/graphql`."""
        head = f"POST /graphql HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n{headers}"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection:
    """One HTTP connection, opened when it is first needed and again after a failure."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes, seconds: float = ANSWER_SECONDS) -> tuple[int, bytes]:
        """The status and the body of the answer; raises OSError, EOFError or TimeoutError where there is none."""
        try:
            async with asyncio.timeout(seconds):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(*self._address)
                reader, writer = self._streams
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
                body = await reader.readexactly(length)
        except BaseException:
            self.close()
            raise
        if b"connection: close" in head:
            self.close()
        return int(head[9:12]), body

    def close(self) -> None:
        """Close at once; the next request opens it anew."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class WebSocket:
    """A WebSocket that speaks graphql-transport-ws and, where the server agrees, sends compressed messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, compresses: bool) -> None:
        self.reader = reader
        self.writer = writer
        self.compresses = compresses

    @classmethod
    async def open(
        cls, target: Target, *, key: bool, headers: str = "", compresses: bool = True, limit: int = 65_536
    ) -> "WebSocket":
        """Connect and be acknowledged; raises OSError, EOFError or TimeoutError where that is refused."""
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(target.host, target.port, limit=limit)
            offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if compresses else ""
            writer.write(
                f"GET /graphql HTTP/1.1\r\nHost: {target.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                f"Sec-WebSocket-Protocol: {PROTOCOL}\r\n{offer}{headers}\r\n".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b" 101 " not in head:
                writer.close()
                raise ConnectionRefusedError(head[:40])
            made = cls(reader, writer, compresses=b"permessage-deflate" in head)
            payload = {"Authorization": f"Bearer {target.secret}"} if key else {}
            made.send({"type": "connection_init", "payload": payload})
            code, _ = await made.receive()
            if code != 1:
                writer.close()
                raise ConnectionRefusedError("not acknowledged")
            return made

    def send(self, message: Any) -> None:
        """Send a message; compressed where it gains anything."""
        self.writer.write(frame(json.dumps(message, separators=(",", ":")).encode(), compressed=self.compresses))

    async def receive(self) -> tuple[int, bytes]:
        """The next frame's kind (1 a text, 8 a close) and what it holds, inflated."""
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
        data = await self.reader.readexactly(length)
        if first & _COMPRESSED:
            # Compressed with the context of earlier messages, it may not be readable alone: then it stays as it is.
            with suppress(zlib.error):
                data = zlib.decompressobj(-15).decompress(data + b"\0\0\xff\xff")
        return first & 0x0F, data

    def close(self) -> None:
        """Close at once."""
        self.writer.transport.abort()


def frame(data: bytes, *, compressed: bool) -> bytes:
    """A client's frame; its mask is zero, so that nothing need be computed."""
    first = _TEXT_FRAME
    if compressed and len(data) > 200:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        first |= _COMPRESSED
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + b"\0\0\0\0" + data


def nonce() -> str:
    """A text that no cache has seen."""
    return "n" + os.urandom(6).hex()
