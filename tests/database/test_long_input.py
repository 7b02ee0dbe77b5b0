"""Long input is parsed in slices of several turns of the event loop."""

import asyncio
import socket

from ..conftest import Api
from .test_large_responses import speaking
from .test_turns import assert_turns_are_short
from .test_websocket_frames import HANDSHAKE

CONNECTIONS = 20
HEAD = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
BODY = b'{"query":"{ __typename }"}'
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 40_000
CHUNKS += b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


async def test_chunks_of_one_byte_from_many_connections_take_no_long_turn(api: Api) -> None:
    async with speaking(api) as port:

        async def together() -> None:
            clients = [socket.socket() for _ in range(CONNECTIONS)]
            for client in clients:  # before the event loop goes on: it finds the input of all at once
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
                client.connect(("127.0.0.1", port))
                client.sendall(CHUNKS)
                client.setblocking(False)
            for answer in await asyncio.gather(*map(all_of, clients)):
                assert answer.endswith(b'{"data":{"__typename":"Query"}}'), answer[-300:]

        await assert_turns_are_short(together)


async def all_of(client: socket.socket) -> bytes:
    """What is received until the connection ends."""
    received = b""
    with client:
        while part := await asyncio.get_running_loop().sock_recv(client, 100_000):
            received += part
    return received


async def test_pings_from_many_websockets_take_no_long_turn(api: Api) -> None:
    pings = b"\x89\x80\0\0\0\0" * 2_000
    async with speaking(api) as port:

        async def together() -> None:
            clients = [socket.socket() for _ in range(150)]
            loop = asyncio.get_running_loop()
            for client in clients:
                client.setblocking(False)
                await loop.sock_connect(client, ("127.0.0.1", port))
                await loop.sock_sendall(client, HANDSHAKE % (b"/graphql", b""))
                assert b"101 Switching" in await loop.sock_recv(client, 10_000)
            for client in clients:  # before the event loop goes on: it finds the input of all at once
                client.send(pings)
            for client in clients:
                pongs = 0
                while pongs < len(pings) // 3:  # a pong has no mask: two bytes
                    pongs += len(await loop.sock_recv(client, 100_000))
                client.close()

        await assert_turns_are_short(together)
