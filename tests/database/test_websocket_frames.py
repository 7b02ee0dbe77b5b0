"""WebSocket on raw sockets (RFC 6455): handshakes, frames that break a rule, and clients that leave."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from ..processes import Service, serving, wait_until

HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n%s\r\n"
)
CLOSE, TEXT, PING, PONG = 0x88, 0x81, 0x89, 0x8A


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("websocket") / "data") as service:
        yield service
        assert service.stop() == 0
        lines = [json.loads(line) for line in service.err.splitlines()]
        assert [line for line in lines if line["level"] != "info"] == []


def frame(first: int, payload: bytes = b"") -> bytes:
    """A frame of a client, with a mask of zeros."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack("!H", len(payload))
    return bytes([first]) + size + bytes(4) + payload


def message(**fields: object) -> bytes:
    return frame(TEXT, json.dumps(fields).encode())


def connected(service: Service, target: bytes = b"/graphql", headers: bytes = b"", more: bytes = b"") -> socket.socket:
    address = urlsplit(service.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=15)
    connection.sendall(HANDSHAKE % (target, headers) + more)
    return connection


def accepted(connection: socket.socket) -> socket.socket:
    said = b""
    while b"\r\n\r\n" not in said:
        said += connection.recv(1)
    assert said.startswith(b"HTTP/1.1 101"), said
    return connection


def next_frame(connection: socket.socket) -> tuple[int, bytes]:
    first, size = exactly(connection, 2)
    if size == 126:
        (size,) = struct.unpack("!H", exactly(connection, 2))
    return first, exactly(connection, size)


def exactly(connection: socket.socket, size: int) -> bytes:
    """So many bytes. With a timeout, MSG_WAITALL does not wait for all."""
    said = b""
    while len(said) < size:
        more = connection.recv(size - len(said))
        assert more, said
        said += more
    return said


def close_code(connection: socket.socket) -> int:
    """The code of the close frame that comes next."""
    first, payload = next_frame(connection)
    assert first == CLOSE, payload
    return int(struct.unpack("!H", payload[:2])[0])


AGAINST_THE_RULES = {
    "text that is not UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "a character that no fragment completes": (frame(0x01, b"\xe2") + frame(0x80, b"\x28\xa1"), 1007),
    "a reason that is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007),
    "a reserved opcode": (frame(0x83, b"x"), 1002),
    "a reserved opcode of control frames": (frame(0x8B, b"x"), 1002),
    "the first reserved bit": (frame(0xC1, b"x"), 1002),
    "the second reserved bit": (frame(0xA1, b"x"), 1002),
    "the third reserved bit": (frame(0x91, b"x"), 1002),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "a close of 132 bytes": (frame(CLOSE, b"\x03\xe8" + b"x" * 130), 1002),
    "a fragmented ping": (frame(0x09, b"x"), 1002),
    "a fragmented close": (frame(0x08, b"\x03\xe8"), 1002),
    "a close of one byte": (frame(CLOSE, b"x"), 1002),
    "a close code that no endpoint may send": (frame(CLOSE, struct.pack("!H", 1005)), 1002),
    "no mask": (b"\x81\x02{}", 1002),
    "a fragment of nothing": (frame(0x80, b"x"), 1002),
    "a message within a message": (frame(0x01, b"a") + frame(TEXT, b"b"), 1002),
    "a message without an end": (frame(0x01) + frame(0x00) * 10_000, 1009),
    "2^63 bytes": (b"\x81\xff" + struct.pack("!Q", 2**63) + bytes(4), 1009),
}


@pytest.mark.parametrize("fault", AGAINST_THE_RULES)
@pytest.mark.parametrize("when", ["with the handshake", "before connection_init", "after it"])
def test_a_frame_against_the_rules_closes_its_connection_with_the_code_for_it(
    service: Service, fault: str, when: str
) -> None:
    wire, code = AGAINST_THE_RULES[fault]
    with connected(service, more=wire if when == "with the handshake" else b"") as connection:
        accepted(connection)
        if when == "after it":
            connection.sendall(message(type="connection_init"))
            assert b"connection_ack" in next_frame(connection)[1]
        if when != "with the handshake":
            connection.sendall(wire)
        assert close_code(connection) == code
        assert connection.recv(1) == b""


@pytest.mark.parametrize("character", ["a", "é", "€", "🔑"])
def test_the_reason_of_a_close_is_cut_to_what_a_frame_holds(service: Service, character: str) -> None:
    query = 'subscription { apiKeyChanged(input: {domainId: "default"}) { type } }'
    twice = message(type="subscribe", id=character * 60, payload={"query": query}) * 2
    with connected(service) as connection:
        hello = message(type="connection_init", payload={"Authorization": f"Bearer {service.admin_key}"})
        accepted(connection).sendall(hello)
        assert b"connection_ack" in next_frame(connection)[1]
        connection.sendall(twice)
        first, payload = next_frame(connection)
        assert (first, payload[:2]) == (CLOSE, struct.pack("!H", 4409))
        assert payload[2:].decode().startswith(f"Subscriber for {character * 20}")


def test_text_may_be_cut_within_a_character(service: Service) -> None:
    with connected(service) as connection:
        text = json.dumps({"type": "ping", "payload": {"a": "€"}}, ensure_ascii=False).encode()
        at = text.index("€".encode()) + 1
        accepted(connection).sendall(frame(0x01, text[:at]) + frame(PING, b"x") + frame(0x80, text[at:]))
        assert next_frame(connection) == (0x8A, b"x")
        assert next_frame(connection)[1] == b'{"type":"pong"}'


@pytest.mark.parametrize("how", ["it closes", "it resets", "it stops sending"])
@pytest.mark.parametrize("sent", [20, 150, -1, None])
def test_a_client_that_leaves_within_the_handshake_leaves_no_line(service: Service, how: str, sent: int | None) -> None:
    address = urlsplit(service.url)
    for more in (b"", frame(CLOSE, b"\x03\xe8"), frame(0x83)):
        with socket.create_connection((address.hostname, address.port), timeout=15) as connection:
            connection.sendall((HANDSHAKE % (b"/graphql", b""))[:sent] + (more if sent is None else b""))
            if how == "it resets":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif how == "it stops sending":
                connection.shutdown(socket.SHUT_WR)
    assert service.status("/livez") == 200  # the fixture reads the log


@pytest.mark.parametrize("target", [b"http://x/graphql", b"http://x:80/graphql?a=b", b"/%67raphql", b"/graphql?a#b"])
def test_every_form_of_the_target_that_http_takes_opens_a_websocket(service: Service, target: bytes) -> None:
    with connected(service, target) as connection:
        accepted(connection).sendall(message(type="ping"))
        assert next_frame(connection)[1] == b'{"type":"pong"}'


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (b"/graphql", b"Cookie: %s\r\n" % (b"c" * 50_000)),
        (b"/graphql?%s" % (b"a" * 50_000), b""),
        (b"/graphql", b"".join(b"X-%d: y\r\n" % number for number in range(1_000))),
    ],
)
def test_a_handshake_may_be_as_long_as_any_head(service: Service, target: bytes, headers: bytes) -> None:
    with connected(service, target, headers) as connection:
        accepted(connection).sendall(message(type="ping"))
        assert next_frame(connection)[1] == b'{"type":"pong"}'


def test_a_handshake_that_cannot_be_read_is_refused_and_keeps_no_connection(service: Service) -> None:
    for headers in (b"Sec-WebSocket-Version: 12\r\n", b'Sec-WebSocket-Protocol: ,;,"\r\n', b"X(: y\r\n"):
        with connected(service, headers=headers) as connection:
            said = b""
            while more := connection.recv(65_536):
                said += more
            assert said.startswith(b"HTTP/1.1 400"), said


@pytest.mark.parametrize("value", [5, None, True, [], {"a": 1}, ["Bearer x"]])
def test_a_credential_that_is_no_text_is_refused(service: Service, value: object) -> None:
    with connected(service) as connection:
        accepted(connection).sendall(message(type="connection_init", payload={"Authorization": value}))
        assert close_code(connection) == 4400


def test_a_message_nested_too_deeply_is_refused(service: Service) -> None:
    for depth, expected in ((300, None), (1_025, 4400), (2_000, 4400)):
        with connected(service) as connection:
            text = b'{"type":"ping","payload":{"a":%s}}' % (b"[" * depth + b"]" * depth)
            accepted(connection).sendall(frame(TEXT, text))  # what nobody reads may be as deep as JSON is read
            if expected is None:
                assert next_frame(connection)[1] == b'{"type":"pong"}'
            else:
                assert close_code(connection) == expected


def test_variables_nested_too_deeply_and_too_many_values_are_errors_of_their_operation(service: Service) -> None:
    query = "query($v: String!) { __type(name: $v) { name } }"
    deep = json.dumps({"query": query, "variables": {"v": 0}}).replace("0}", "[" * 300 + "]" * 300 + "}")
    many = json.dumps({"query": "{ __typename }", "variables": {"v": [{}] * 15_000}})
    with connected(service) as connection:
        accepted(connection).sendall(message(type="connection_init"))
        assert json.loads(next_frame(connection)[1])["type"] == "connection_ack"
        for payload, told in ((deep, "BAD_REQUEST"), (many, "BAD_USER_INPUT")):
            connection.sendall(frame(TEXT, b'{"type":"subscribe","id":"1","payload":%s}' % payload.encode()))
            answer = json.loads(next_frame(connection)[1])
            assert answer["type"] == "error"
            assert answer["payload"][0]["extensions"]["code"] == told
        connection.sendall(message(type="ping"))
        assert next_frame(connection)[1] == b'{"type":"pong"}'


def test_a_long_response_comes_in_fragments_that_pings_may_come_between(service: Service) -> None:
    types = "types { name description fields { name description args { name description } } }"
    query = " ".join(["{", *(f"s{n}: __schema {{ {types} }}" for n in range(4)), "}"])
    with connected(service) as connection:
        accepted(connection).sendall(message(type="connection_init"))
        assert json.loads(next_frame(connection)[1])["type"] == "connection_ack"
        for number in ("1", "2"):
            connection.sendall(message(type="subscribe", id=number, payload={"query": query}))
        connection.sendall(frame(PING, b"x"))
        texts: list[dict[str, str]] = []
        parts, kinds = b"", list[int]()
        while len(texts) < 4:
            first, payload = next_frame(connection)
            kinds.append(first)
            if first & 0x0F == PONG & 0x0F:
                continue
            assert (first & 0x0F == 0) == bool(parts)  # a message begins when the one before it is whole
            parts += payload
            if first & 0x80:
                texts.append(json.loads(parts))
                parts = b""
    assert sorted(text["type"] for text in texts) == ["complete", "complete", "next", "next"]
    assert 0x01 in kinds
    assert kinds.count(PONG) == 1


def test_the_service_stops_at_once_beside_a_handshake_that_is_not_complete(tmp_path: object) -> None:
    with serving(tmp_path / "data") as service, connected(service) as connection:  # type: ignore[operator]
        accepted(connection)
        begun = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - begun < 8
        wait_until(lambda: connection.recv(1000) == b"", 5)
        assert '"level":"error"' not in service.err


@pytest.mark.slow
def test_a_quiet_connection_stays_open_and_is_pinged_before_a_proxy_gives_it_up(service: Service) -> None:
    with accepted(connected(service)) as connection:
        connection.sendall(message(type="connection_init"))
        assert json.loads(next_frame(connection)[1]) == {"type": "connection_ack"}
        begun = time.monotonic()
        connection.settimeout(45)
        # Longer than a head may take to come, and sooner than the 60 s of a proxy's read timeout.
        assert next_frame(connection)[0] == PING
        assert time.monotonic() - begun > 10


def test_frames_behind_a_long_handshake_are_read_in_their_order(service: Service) -> None:
    pings = [frame(PING, b"%04d" % n) for n in range(2_000)]
    padding = b"X: " + b"a" * 5_000 + b"\r\n"
    for _ in range(5):
        with connected(service, headers=padding, more=b"".join(pings[:1_000])) as connection:
            connection.sendall(b"".join(pings[1_000:]))
            accepted(connection)
            assert [next_frame(connection) for _ in pings] == [(PONG, b"%04d" % n) for n in range(len(pings))]
