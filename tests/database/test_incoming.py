"""Bodies that arrive slowly: how many bytes of them a process holds, and whose give way. On real sockets."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gql_identity.server.incoming import MAX_INCOMING_BYTES

from ..processes import Service, serving, wait_until

SIZE = 250_000
HEAD = f"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {SIZE}\r\n\r\n".encode()
QUERY = json.dumps({"query": "{ __typename }"}).encode()
BODY = QUERY + b" " * (SIZE - len(QUERY))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("incoming") / "data", GQL_IDENTITY_BODY_TIMEOUT_SECONDS="60") as service:
        yield service


def begin(service: Service, stack: ExitStack) -> socket.socket:
    """A request whose body lacks its last byte."""
    address = urlsplit(service.url)
    connection = stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=20))
    connection.sendall(HEAD + BODY[:-1])
    return connection


def is_answered(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return False


def answer(connection: socket.socket) -> bytes:
    connection.settimeout(20)
    return connection.recv(65_536)


def memory(service: Service) -> int:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def test_past_the_bound_the_oldest_are_refused_and_the_others_are_served(service: Service) -> None:
    room = MAX_INCOMING_BYTES // (SIZE - 1)
    with ExitStack() as stack:
        held = [begin(service, stack) for _ in range(room)]
        assert service.create()  # a body that arrives at once is never refused
        assert not any(map(is_answered, held))
        more = [begin(service, stack) for _ in range(10)]
        wait_until(lambda: sum(map(is_answered, held)) >= 10, 20)
        refused = [connection for connection in held if is_answered(connection)]
        assert len(refused) <= 11
        for connection in refused:
            told = answer(connection)
            assert told.startswith(b"HTTP/1.1 503")
            assert b"\r\nretry-after: 1\r\n" in told.lower()
            assert b'"UNAVAILABLE"' in told
        # Those whose turn to be given up has not come end as if nothing had been.
        for connection in [*held[-5:], *more]:
            connection.setblocking(True)
            connection.sendall(BODY[-1:])
            assert answer(connection).startswith(b"HTTP/1.1 200")


def test_bodies_of_clients_that_left_are_not_counted(service: Service) -> None:
    room = MAX_INCOMING_BYTES // (SIZE - 1)
    for _ in range(2):
        with ExitStack() as stack:
            for _ in range(room - 5):
                begin(service, stack)
    with ExitStack() as stack:
        held = [begin(service, stack) for _ in range(room - 5)]
        assert service.create()
        assert not any(map(is_answered, held))
    assert memory(service) < 250_000_000


def test_websocket_messages_that_have_come_in_part_are_bounded_as_bodies_are(service: Service) -> None:
    lines = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Host: x")
    protocol = "Sec-WebSocket-Protocol: graphql-transport-ws"
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    handshake = "\r\n".join(["GET /graphql HTTP/1.1", *lines, protocol, key, "\r\n"]).encode()
    address, size = urlsplit(service.url), 900_000
    first_half = b"\x01\xff" + struct.pack("!Q", size // 2) + bytes(4) + b"x" * (size // 2)
    with ExitStack() as stack:
        sockets = []
        for _ in range(MAX_INCOMING_BYTES // size + 5):
            connection = stack.enter_context(socket.create_connection((address.hostname, address.port), timeout=20))
            connection.sendall(handshake)
            said = b""
            while not said.endswith(b"\r\n\r\n"):
                said += connection.recv(1)
            # A fragment, and all but the last byte of another.
            connection.sendall(first_half + b"\x80" + first_half[1:-1])
            sockets.append(connection)
        wait_until(lambda: sum(map(is_answered, sockets)) >= 4, 20)
        assert answer(sockets[0])[2:4] == struct.pack("!H", 1013)
        assert not is_answered(sockets[-1])
        assert memory(service) < 250e6
        sockets[-1].setblocking(True)
        sockets[-1].sendall(b"x")
        assert answer(sockets[-1])[2:4] == struct.pack("!H", 1009)  # whole, and larger than it may be
