"""How many connections one address may have, and how many bytes wait for clients that do not read: on real sockets."""

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gql_identity.server import writing
from gql_identity.server.connections import Connections

from ..processes import Service, serving, wait_until

LIMIT = 20
SHARE = 15
PROBE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"

linux = pytest.mark.skipif(sys.platform != "linux", reason="connects from several addresses of the loopback network")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(
        tmp_path_factory.mktemp("connections") / "data",
        GQL_IDENTITY_MAX_CONNECTIONS=str(LIMIT),
        GQL_IDENTITY_TRUSTED_PROXIES="127.0.0.7",
    ) as service:
        time.sleep(0.5)  # the fixture's own connections have ended
        yield service


def connect(service: Service, source: str) -> socket.socket:
    address = urlsplit(service.url)
    return socket.create_connection((address.hostname, address.port), timeout=5, source_address=(source, 0))


def is_open(connection: socket.socket) -> bool:
    """Whether a connection without a request is still open."""
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


def held(service: Service, source: str, number: int, stack: ExitStack) -> list[socket.socket]:
    connections = [stack.enter_context(connect(service, source)) for _ in range(number)]
    time.sleep(0.5)
    return [connection for connection in connections if is_open(connection)]


@linux
def test_an_address_past_its_share_replaces_only_its_own_connections(service: Service) -> None:
    with ExitStack() as stack:
        others = held(service, "127.0.0.1", 3, stack)
        # The oldest of all are those of the others, and they stay.
        own = held(service, "127.0.0.2", 50, stack)
        assert len(own) == SHARE
        assert len([connection for connection in others if is_open(connection)]) == 3
        for connection in others:
            connection.settimeout(5)
            connection.sendall(PROBE)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
    time.sleep(0.5)


@linux
def test_silent_connections_are_replaced_before_those_that_wait_for_their_next_request(service: Service) -> None:
    with ExitStack() as stack:
        client = stack.enter_context(connect(service, "127.0.0.2"))
        client.sendall(PROBE)
        assert client.recv(1_000).startswith(b"HTTP/1.1 200")
        assert len(held(service, "127.0.0.2", 50, stack)) == SHARE - 1
        client.settimeout(5)
        client.sendall(PROBE)
        assert client.recv(1_000).startswith(b"HTTP/1.1 200")
    time.sleep(0.5)


@linux
def test_a_trusted_proxy_may_have_all_connections(service: Service) -> None:
    with ExitStack() as stack:
        assert len(held(service, "127.0.0.7", 50, stack)) == LIMIT
    time.sleep(0.5)
    with ExitStack() as stack:  # all are counted no more
        assert len(held(service, "127.0.0.2", 10, stack)) == 10
        assert len(held(service, "127.0.0.7", 10, stack)) == 10


def test_a_network_of_ipv6_is_one_client_and_a_trusted_proxy_within_it_is_not_that_client() -> None:
    connections = Connections(LIMIT, [ip_network("2001:db8::1/128"), ip_network("10.0.0.0/8")])
    one = connections.client_of("2001:db8::2")
    assert one == connections.client_of("2001:db8::ffff:0:1")
    assert one != connections.client_of("2001:db8:0:1::2")
    assert connections.client_of("::ffff:192.0.2.1") == connections.client_of("192.0.2.1")
    assert connections.client_of("192.0.2.1") != connections.client_of("192.0.2.2")
    proxy = connections.client_of("2001:db8::1")
    assert proxy == connections.client_of("::ffff:10.1.2.3") != one


@pytest.mark.slow
@pytest.mark.parametrize("leaves", [False, True])
def test_a_response_that_nobody_reads_ends_with_the_service_without_an_error_in_the_log(
    tmp_path: Path, leaves: bool
) -> None:
    with serving(tmp_path / "data") as service, socket.socket() as connection:
        body = json.dumps({"query": f"{{ {' '.join(f'a{n}: _service {{ sdl }}' for n in range(18))} }}"}).encode()
        head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        request = f"{head}Authorization: Bearer {service.admin_key}\r\n\r\n".encode() + body
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        address = urlsplit(service.url)
        connection.connect((address.hostname, address.port))
        connection.sendall(request * 12)
        time.sleep(1.5)
        if leaves:
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.5)
        assert service.stop(seconds=12) == 0
        assert [line for line in service.err.splitlines() if '"level":"error"' in line] == []


def test_an_event_stream_ends_when_its_client_leaves_with_a_request_behind_it(tmp_path: Path) -> None:
    with serving(tmp_path / "data", GQL_IDENTITY_MAX_CONCURRENT_REQUESTS="1") as service:
        address = urlsplit(service.url)
        body = json.dumps({"query": 'subscription { apiKeyChanged(input: {domainId: "d"}) { type } }'}).encode()
        head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
        length = f"Authorization: Bearer {service.admin_key}\r\nContent-Length: {len(body)}\r\n\r\n"
        request = f"{head}{length}".encode() + body

        def subscribed() -> bool:
            with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
                connection.sendall(request + PROBE)
                time.sleep(0.3)
                said = connection.recv(65_536)
                return said.startswith(b"HTTP/1.1 200") and b"RESOURCE_EXHAUSTED" not in said

        assert service.create()
        for _ in range(3):  # one stream at a time: each has ended when the next begins
            wait_until(subscribed, 5)


@asynccontextmanager
async def writers(number: int) -> AsyncIterator[list[tuple[asyncio.StreamWriter, asyncio.StreamReader]]]:
    """So many connections: the service's end, and the client's."""
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, writer: accepted.put_nowait(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pairs = []
    for _ in range(number):
        reader, client = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
        pairs.append((await accepted.get(), reader))
        reader._transport_of_test = client  # type: ignore[attr-defined] # kept open
    try:
        yield pairs
    finally:
        for writer, reader in pairs:
            writer.transport.abort()
            reader._transport_of_test.transport.abort()  # type: ignore[attr-defined]
        server.close()


async def test_past_the_bytes_that_may_wait_whoever_reads_stays_and_the_slowest_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "MAX_WAITING_BYTES", 25_000_000)
    unread = writing.Unread()
    loop = asyncio.get_running_loop()

    def write(writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(20_000_000))
        unread.add(writer.transport, loop)  # type: ignore[arg-type]

    async with writers(3) as ((quick, reader), (slow, _), (last, _)):
        write(quick)
        # It has taken all, and nothing has looked since.
        while quick.transport.get_write_buffer_size():
            await reader.read(1_000_000)
        write(slow)
        await asyncio.sleep(0)
        assert not quick.transport.is_closing()
        assert not slow.transport.is_closing()
        write(last)
        assert slow.transport.is_closing()
        assert not last.transport.is_closing()
        assert not quick.transport.is_closing()


async def test_a_client_that_is_written_to_again_and_again_and_reads_nothing_is_ended_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "MAX_WAITING_BYTES", 25_000_000)
    unread = writing.Unread()
    loop = asyncio.get_running_loop()
    async with writers(2) as ((slow, _), (other, _)):
        for writer, size in ((slow, 12_000_000), (other, 12_000_000), (slow, 12_000_000)):
            writer.write(bytes(size))
            unread.add(writer.transport, loop)  # type: ignore[arg-type]
        assert slow.transport.is_closing()
        assert not other.transport.is_closing()
