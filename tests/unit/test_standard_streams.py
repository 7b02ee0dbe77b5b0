"""The streams of a service, without one."""

import os
import select

from gql_identity.server.standard_streams import MAX_WAITING_BYTES, _Stream


def lost_line(count: int) -> str:
    return f"lost {count}\n"


def read(reader: int) -> bytes:
    """What comes within a moment: the thread of a stream may have written its last just before this is called."""
    return os.read(reader, 1_000_000) if select.select([reader], [], [], 0.05)[0] else b""


def test_what_a_stuck_reader_does_not_take_is_kept_up_to_a_bound_and_then_counted() -> None:
    reader, writer = os.pipe()
    stream = _Stream(writer, lost_line)
    line = b"x" * 999 + b"\n"
    written = 3 * MAX_WAITING_BYTES // len(line)
    for _ in range(written):
        assert stream.write(line) == len(line)
    taken = b""
    while not taken.endswith(b"last\n"):
        taken += read(reader)
        if stream._thread is None and not taken.endswith(b"last\n"):
            stream.write(b"last\n")
    told = [int(line.split()[1]) for line in taken.splitlines() if line.startswith(b"lost")]
    kept = taken.count(line)
    assert sum(told) == written - kept  # told in parts where the thread begins while lines are lost
    assert MAX_WAITING_BYTES <= kept * len(line) <= MAX_WAITING_BYTES + 100_000
    os.close(reader)
    os.close(writer)


def test_long_lines_keep_their_place_and_are_whole() -> None:
    reader, writer = os.pipe()
    stream = _Stream(writer, lost_line)
    lines = [b"%d" % number * 30 * number + b"\n" for number in range(1_000)]
    taken = bytearray()
    for line in lines:
        stream.write(line)
        while stream._waiting_bytes > MAX_WAITING_BYTES // 4:
            taken += read(reader)
    expected = b"".join(lines)
    while len(taken) < len(expected):
        taken += read(reader)
    assert bytes(taken) == expected
    os.close(reader)
    os.close(writer)


def test_a_nonblocking_descriptor_loses_nothing() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    stream = _Stream(writer, lost_line)
    line = b"y" * 99 + b"\n"
    for _ in range(5_000):
        stream.write(line)
    taken = 0
    while taken < 5_000 * len(line):
        taken += len(read(reader))
    assert taken == 5_000 * len(line)
    os.close(reader)
    os.close(writer)


def test_an_error_loses_the_line_and_raises_nothing() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    stream = _Stream(full, lost_line)
    assert stream.write(b"one\ntwo\n") == 8
    assert stream._lost == 2
    os.close(full)
