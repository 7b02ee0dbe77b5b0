"""Long input: parsed in slices of the event loop's turns, one connection after another."""

import asyncio
from collections import deque
from time import perf_counter
from typing import Any, Protocol

import structlog

from .incoming import INCOMING

# Of one turn, for all connections together. A new connection is accepted in each turn: with 4 ms those of a neighbour
# waited 300 ms behind those that an attacker opened.
SLICE_SECONDS = 0.002
PART_BYTES = 4_000  # parsed at once: what is counted lacks at most as many, where a part ends within a header
PAUSE_BYTES = 64_000  # with more that waits no more is read

log = structlog.get_logger()


class Parser(Protocol):
    """A connection with input that is not parsed yet."""

    def parse_some(self) -> None:
        """Parse a part of it, and have what is left parsed later."""

    def abort(self) -> None:
        """Close the connection at once."""


class Parsing:
    """The connections of one process with long input.

    A read may hold 40,000 chunks of one byte, or frames of none: 40 ms to parse, or 500.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Parser] = deque()
        self._is_scheduled = False

    def add(self, parser: Parser) -> None:
        """Have a part of its input parsed in a later turn."""
        self._waiting.append(parser)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._parse)

    def _parse(self) -> None:
        ends = perf_counter() + SLICE_SECONDS
        while self._waiting and perf_counter() < ends:
            parser = self._waiting.popleft()
            try:
                parser.parse_some()
            except Exception as error:  # the others go on
                log.error("unexpected error", exc_info=error)
                parser.abort()
        self._is_scheduled = bool(self._waiting)
        if self._is_scheduled:
            self._loop.call_soon(self._parse)


class Input:
    """What one connection has sent and is not parsed yet; while that is much, no more is read from it."""

    def __init__(self, protocol: Any, parsing: Parsing) -> None:
        self._protocol = protocol
        self._parsing = parsing
        self._unparsed = bytearray()  # its beginning is dropped without a copy of the rest
        self._is_paused = False

    def __bool__(self) -> bool:
        return bool(self._unparsed)

    def add(self, data: bytes) -> None:
        """Have this parsed in turn."""
        if not self._unparsed:
            self._parsing.add(self)
        self._unparsed += data
        if len(self._unparsed) > PAUSE_BYTES:
            self._is_paused = True
            self._protocol.transport.pause_reading()
        INCOMING.hold(self, len(self._unparsed))

    def parse_some(self) -> None:
        """Parse a part; meanwhile what is left waits for another turn."""
        part = bytes(self._unparsed[:PART_BYTES])
        del self._unparsed[:PART_BYTES]
        if part:
            self._protocol.parse_part(part)
        if self._unparsed:
            INCOMING.hold(self, len(self._unparsed))
            self._parsing.add(self)
        else:
            self._read_on()

    def _read_on(self) -> None:
        """Read from the connection again, unless its request has enough."""
        INCOMING.end(self)
        if self._is_paused:
            self._is_paused = False
            if not self._protocol.flow.read_paused and not self._protocol.transport.is_closing():
                self._protocol.transport.resume_reading()

    def take(self) -> bytes:
        """What is not parsed, for another who parses it."""
        taken = bytes(self._unparsed)
        self._unparsed.clear()
        self._read_on()
        return taken

    def give_up(self) -> None:
        """Close the connection: the process holds too much that has arrived in part."""
        self.abort()

    def abort(self) -> None:
        """Close the connection at once."""
        self._unparsed.clear()
        self._protocol.transport.abort()
