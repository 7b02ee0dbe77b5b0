"""HTTP/1.1 on raw sockets: upgrades that are not taken, framing, and connections that send or read nothing."""

import json
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect as connect_websocket
from websockets.typing import Subprotocol

from ..processes import WHO, Service, serving, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")

BODY = json.dumps({"query": "{ __typename }"}).encode()
ANSWER = b'{"data":{"__typename":"Query"}}'
SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
LAST_ID = b"x-request-id: the-last"
LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + LAST_ID + b"\r\n\r\n"
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
OFFERS = {
    "h2c as Java's HttpClient sends it": (
        b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c\r\n"
    ),
    "anything": b"Connection: upgrade\r\nUpgrade: TLS/1.0, x\r\n",
    "a WebSocket by POST": b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + KEY,
    "a WebSocket without a key": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("framing") / "data") as service:
        yield service


def connect(service: Service) -> socket.socket:
    address = urlsplit(service.url)
    return socket.create_connection((address.hostname, address.port), timeout=15)


def talk(service: Service, *segments: bytes) -> bytes:
    """All that the service says to these segments.

    One more request asks it to close the connection, so that no test waits to hear no more. Its answer is left out.
    """
    said = b""
    with connect(service) as connection:
        for segment in segments:
            connection.sendall(segment)
            time.sleep(0.05)
        with suppress(ConnectionError):  # it has closed the connection already
            connection.sendall(LAST)
        with suppress(ConnectionError):
            while more := connection.recv(65536):
                said += more
                if b"connection: close" in said.lower():
                    # After a refusal it waits for this, or for two seconds.
                    with suppress(OSError):  # it has closed the connection
                        connection.shutdown(socket.SHUT_WR)
    answers = re.split(rb"(?=HTTP/1.1 \d)", said)
    return b"".join(answer for answer in answers if LAST_ID not in answer)


def post(*headers: bytes, body: bytes = BODY, length: bool = True) -> bytes:
    framing = b"Content-Length: %d\r\n" % len(body) if length else b"Transfer-Encoding: chunked\r\n"
    head = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return head + framing + b"".join(headers) + b"\r\n"


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("offer", OFFERS)
class TestOffersThatAreNotTaken:
    def test_the_request_is_served_with_its_body_however_it_comes(self, service: Service, offer: str) -> None:
        head = post(OFFERS[offer])
        for segments in ([head + BODY], [head, BODY], [head[:60], head[60:] + BODY[:3], BODY[3:]]):
            said = talk(service, *segments)
            assert said.startswith(b"HTTP/1.1 200"), said
            assert len(re.findall(rb"HTTP/1.1 \d", said)) == 1
            assert said.endswith(ANSWER)
        head = post(OFFERS[offer], length=False)
        for segments in ([head + chunked(BODY)], [head, chunked(BODY)]):
            assert talk(service, *segments).endswith(ANSWER)

    def test_a_body_is_never_run_as_a_request(self, service: Service, offer: str) -> None:
        head = post(OFFERS[offer], body=SMUGGLED)
        for segments in ([head + SMUGGLED], [head, SMUGGLED]):
            said = talk(service, *segments)
            assert said.startswith(b"HTTP/1.1 400"), said
            assert len(re.findall(rb"HTTP/1.1 \d", said)) == 1
        head = b"GET /livez HTTP/1.1\r\nHost: x\r\n" + OFFERS[offer] + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
        assert talk(service, head, SMUGGLED).count(b"HTTP/1.1 ") == 1

    def test_what_follows_the_body_is_the_next_request(self, service: Service, offer: str) -> None:
        said = talk(service, post(OFFERS[offer]) + BODY + SMUGGLED, post(OFFERS[offer]) + BODY)
        assert said.count(b"HTTP/1.1 200") == 3
        assert said.count(ANSWER) == 2

    def test_without_a_body_too(self, service: Service, offer: str) -> None:
        get = b"GET /livez HTTP/1.1\r\nHost: x\r\n" + OFFERS[offer] + b"\r\n"
        assert talk(service, get + get, get).count(b"HTTP/1.1 200") == 3


@pytest.mark.parametrize("offer", OFFERS)
def test_a_client_of_http_1_0_is_served_too_as_nginx_passes_its_offer_on(service: Service, offer: str) -> None:
    older = post(OFFERS[offer]).replace(b"HTTP/1.1", b"HTTP/1.0") + BODY
    assert talk(service, older).endswith(ANSWER)
    head = post(OFFERS[offer]).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert talk(service, head, BODY).endswith(ANSWER)
    # Behind another request, whose response keeps its own framing.
    streamed = post(b"Accept: text/event-stream\r\n") + BODY
    said = talk(service, streamed + older)
    assert said.count(b"HTTP/1.1 200") == 2, said
    assert b"transfer-encoding: chunked" in said.lower()
    assert said.endswith(ANSWER)


def test_a_websocket_goes_only_where_there_is_one_and_carries_no_body(service: Service) -> None:
    handshake = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + KEY + b"%s\r\n"
    assert talk(service, handshake % (b"/livez", b"")).startswith(b"HTTP/1.1 200")
    assert talk(service, handshake % (b"/nowhere", b"")).startswith(b"HTTP/1.1 404")
    with_body = talk(service, handshake % (b"/graphql", b"Content-Length: 5\r\n") + b"hello")
    assert with_body.startswith(b"HTTP/1.1 400")
    url = service.url.replace("http", "ws") + "/graphql"
    with connect_websocket(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as socket:
        payload = {"Authorization": f"Bearer {service.admin_key}"}
        socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert json.loads(socket.recv(5))["type"] == "connection_ack"


@pytest.mark.parametrize(
    "wire",
    [
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET /livez HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/0.9\r\nHost: a\r\n\r\n",
        b"GET /livez HTTP/2.0\r\nHost: a\r\n\r\n",
        b"POST /graphql HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(BODY),
        post(b"Transfer-Encoding: chunked\r\n") + chunked(BODY),
        post(b"Transfer-Encoding: identity\r\n", length=False).replace(b"Transfer-Encoding: chunked\r\n", b"") + BODY,
        post(length=False).replace(b"chunked", b"x-chunked") + chunked(BODY),
        post(length=False).replace(b"chunked", b"gzip, chunked") + chunked(BODY),
        post(b"Content-Length: 4\r\n") + BODY,
        post(b"Content-Length: %d\r\n" % len(BODY)) + BODY,
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_a_head_against_the_rules_is_400_and_the_last_of_its_connection(service: Service, wire: bytes) -> None:
    for segments in ([wire + SMUGGLED], [wire, SMUGGLED]):
        said = talk(service, *segments)
        assert said.startswith(b"HTTP/1.1 400"), said
        assert len(re.findall(rb"HTTP/1.1 \d", said)) == 1


@pytest.mark.parametrize("offer", [b"", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"])
def test_a_path_past_its_bound_is_414(service: Service, offer: bytes) -> None:
    for path, status in (
        (b"%" * 8_001, b"414"),
        (b"http://a/" + b"%" * 8_000, b"414"),
        (b"%" * 60_000, b"414"),
        (b"x" * 7_999, b"404"),
        (b"livez?" + b"%" * 60_000, b"200"),
    ):
        target = path if path.startswith(b"http") else b"/" + path
        said = talk(service, b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (target, offer))
        assert said.startswith(b"HTTP/1.1 %b " % status), (path[:20], said)


@pytest.mark.parametrize("requests", [1, 2])
def test_whole_requests_before_a_fault_get_their_own_responses(service: Service, requests: int) -> None:
    in_a_body = post(length=False) + b"5\r\nabcde\r\nno length\r\n"
    for fault, status in (
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431"),
        (in_a_body, b"400"),
    ):
        said = talk(service, (post() + BODY) * requests + fault + SMUGGLED)
        assert said.count(ANSWER) == requests
        assert re.findall(rb"HTTP/1.1 (\d+)", said) == [b"200"] * requests + [status]


def test_a_host_is_one_name_or_address_with_or_without_a_port(service: Service) -> None:
    good = [b"", b"a", b"a.example:8000", b"a_b:", b"[::1]:80", b"1.2.3.4", b"%C3%A4"]
    bad = [b"a, b", b"a,b", b"a b", b"u@a", b"a/b", b"a:b", b"::1", b"[::1", b"\xc3\xa4", b"a:80:80"]
    for host in good + bad:
        with connect(service) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: %s\r\n\r\n" % host)
            said = connection.recv(65_536)
        assert said.startswith(b"HTTP/1.1 200" if host in good else b"HTTP/1.1 400"), (host, said)


def test_http_1_0_without_a_host_is_served(service: Service) -> None:
    assert talk(service, b"GET /livez HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")


def whole(service: Service, request: bytes) -> tuple[bytes, bytes]:
    """The head and the body of a response that ends with the connection."""
    with connect(service) as connection:
        connection.sendall(request)
        said = b""
        while more := connection.recv(65536):
            said += more
    head, _, body = said.partition(b"\r\n\r\n")
    return head.lower(), body


def test_a_stream_to_a_client_of_http_1_0_ends_with_its_connection(service: Service) -> None:
    key = f"Authorization: Bearer {service.admin_key}\r\n".encode()
    accept = b"Accept: text/event-stream\r\n"
    for method in (b"GET", b"HEAD"):
        request = b"%s /graphql?query={__typename} HTTP/1.0\r\n%b%b\r\n" % (method, key, accept)
        head, body = whole(service, request)
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head
        events = b"event: next\ndata: " + ANSWER + b"\n\nevent: complete\ndata:\n\n"
        assert body == (events if method == b"GET" else b"")
    newer = post(key, accept, b"Connection: close\r\n") + BODY
    assert b"transfer-encoding: chunked" in whole(service, newer)[0]


def test_a_client_of_http_1_0_gets_large_responses_whole(service: Service) -> None:
    key = f"Authorization: Bearer {service.admin_key}\r\n".encode()
    for path, accept in (
        (b"/graphql", b"text/html"),
        (b"/graphql?query={__schema{types{fields{description}}}}", b"*/*"),
    ):
        request = b"GET %s HTTP/1.0\r\nAccept: %s\r\n%s\r\n" % (path, accept, key)
        head, body = whole(service, request)
        found = re.search(rb"content-length: (\d+)", head)
        assert found is not None
        assert len(body) == int(found[1]) > 0
        assert b"transfer-encoding" not in head


@pytest.mark.parametrize("size", [1, 1_000, 70_000])
def test_a_head_past_its_bound_is_431_in_one_segment_or_many(service: Service, size: int) -> None:
    head = (
        b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 990) for n in range(71)) + b"\r\n"
    )
    assert len(head) > 70_000
    parts = [head[at : at + size] for at in range(0, len(head), size)] if size > 1 else [head[:69_000], head[69_000:]]
    said = b""
    with connect(service) as connection:
        for part in parts:
            connection.sendall(part)
        said = connection.recv(65536)
    assert said.startswith(b"HTTP/1.1 431"), said


def test_a_request_has_at_most_2000_headers(service: Service) -> None:
    most = 2_000 - 3  # of which `post` sends three
    assert talk(service, post(b"a:\r\n" * most) + BODY).endswith(ANSWER)
    for wire in (post(b"a:\r\n" * (most + 1)) + BODY, post(b"a:\r\n" * 10_000) + BODY):
        said = talk(service, wire)
        assert said.startswith(b"HTTP/1.1 431"), said
        assert b"more than 2000 headers" in said


@pytest.mark.parametrize(
    "start",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX",
        b"GET /",
        b"GET /livez?",
        post(length=False) + chunked(BODY)[:-2] + b"X: ",
        post(length=False) + chunked(BODY)[:-2] + b"X",
        post(length=False) + b"5;name=",
        post(length=False) + b"5\r\nhello\r\n5;name",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nX: ",
    ],
)
def test_a_header_a_trailer_or_a_chunk_without_an_end_is_431_at_once(service: Service, start: bytes) -> None:
    for parts in ([start + b"y" * 70_000], [start, b"y" * 70_000], [start + b"y" * 35_000, b"y" * 35_000]):
        said = b""
        with connect(service) as connection:
            for part in parts:
                connection.sendall(part)
            while b"HTTP/1.1 431" not in said and (more := connection.recv(65536)):
                said += more
        assert b"HTTP/1.1 431" in said, said
        assert said.count(b"HTTP/1.1 ") <= 1 + start.count(b"\r\n\r\nGET"), said


def test_a_trailer_is_no_header(service: Service) -> None:
    body = b"%x\r\n%s\r\n0\r\nAuthorization: Bearer wrong\r\n\r\n" % (len(BODY), BODY)
    assert talk(service, post(length=False) + body).endswith(ANSWER)


def test_trailers_count_towards_the_bound_on_headers(service: Service) -> None:
    few, many = (b"".join(b"X-%d: %s\r\n" % (n, b"y" * 990) for n in range(number)) for number in (50, 100))
    wire = post(length=False) + b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
    assert talk(service, wire + few + b"\r\n").endswith(ANSWER)
    wire += many
    for segments in ([wire + b"\r\n" + SMUGGLED], [wire[:40_000], wire[40_000:], b"\r\n" + SMUGGLED]):
        said = talk(service, *segments)
        assert said.startswith(b"HTTP/1.1 431"), said
        assert said.count(b"HTTP/1.1 ") == 1


def test_a_chunk_without_a_size_is_400_and_the_last_of_its_connection(service: Service) -> None:
    said = talk(service, post(length=False) + b"5\r\nhello\r\nworse\r\n", SMUGGLED)
    assert said.startswith(b"HTTP/1.1 400"), said
    assert said.count(b"HTTP/1.1 ") == 1


def test_a_pipelined_request_has_not_the_deadline_of_the_one_before(tmp_path: Path) -> None:
    with serving(tmp_path / "data", GQL_IDENTITY_OPERATION_TIMEOUT_SECONDS="1") as service:
        body = json.dumps({"query": WHO}).encode()
        head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.admin_key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ready = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        database = service.database
        with connect(service) as connection:
            database.signal(signal.SIGSTOP)
            connection.sendall(head.encode() + body + ready)
            time.sleep(1.5)  # the first one has used its time up, and the second one waits for the database
            database.signal(signal.SIGCONT)
            wire = b"".join(iter(lambda: connection.recv(65536), b""))
        assert re.findall(rb"HTTP/1.1 (\d+)", wire) == [b"504", b"200"]


@pytest.mark.slow
class TestConnectionsThatSendNothing:
    def test_one_without_a_whole_head_ends_after_ten_seconds(self, service: Service) -> None:
        begun = time.monotonic()
        with (
            connect(service) as silent,
            connect(service) as half,
            connect(service) as dribbling,
            connect(service) as later,
        ):
            half.sendall(b"GET /livez HTTP/1.1\r\nHo")
            dribbling.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
            later.sendall(SMUGGLED)
            assert later.recv(65536).startswith(b"HTTP/1.1 200")
            later.sendall(b"GET ")
            for _ in range(9):
                time.sleep(1)
                dribbling.sendall(b"y")
            assert silent.recv(100) == b""
            assert half.recv(1000).startswith(b"HTTP/1.1 408")
            assert dribbling.recv(1000).startswith(b"HTTP/1.1 408")
            assert later.recv(1000).startswith(b"HTTP/1.1 408")
        assert 9 < time.monotonic() - begun < 20

    def test_400_of_them_with_256_descriptors_keep_nobody_out(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data", descriptors=256) as service, ExitStack() as connections:
            made = service.create()
            for number in range(400):
                connection = connections.enter_context(connect(service))
                if number % 2:
                    connection.sendall(b"POST /graphql HTTP/1.1\r\nHo")
            for path in ("/livez", "/readyz"):
                begun = time.monotonic()
                assert service.status(path) == 200
                assert time.monotonic() - begun < 5  # the silent ones have ten
            assert service.get(made["apiKeyId"])["userId"] == "u"
            database = service.database
            database.signal(9)
            wait_until(lambda: service.status("/readyz") == 200 and service.database != database, 5)
            assert service.create()


@pytest.mark.slow
class TestAnswersThatNobodyReads:
    def test_many_large_ones_take_bounded_memory_and_end(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data", GQL_IDENTITY_KEEP_ALIVE_SECONDS="5") as service, ExitStack() as connections:
            body = json.dumps({"query": "{ _service { sdl } }"}).encode()
            request = post(body=body) + body
            size = len(talk(service, request))
            assert size > 10_000
            # Each asks for 90 answers and reads none.
            unread = [connections.enter_context(connect(service)) for _ in range(100)]
            for connection in unread:
                connection.setblocking(False)
                with suppress(BlockingIOError):
                    connection.send(request * 90)
            time.sleep(2)
            assert peak_memory(service) < 250_000_000
            wait_until(lambda: service.status("/readyz") == 200, 10)

            def are_all_ended() -> bool:
                return open_connections(service) < 20

            wait_until(are_all_ended, 180)  # a busy machine takes a minute and more for the 9,000 answers


def peak_memory(service: Service) -> int:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def open_connections(service: Service) -> int:
    folder = Path(f"/proc/{service.process.pid}/fd")
    count = 0
    for link in folder.iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            count += link.readlink().name.startswith("socket:")
    return count
