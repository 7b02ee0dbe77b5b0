"""The attacks by name: each is one function that attacks until it is told to stop."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from .wire import Connection, Target


class Attack:
    """What an attack function is given: its target, until when it lasts, and what it finds."""

    def __init__(self, target: Target, seconds: float) -> None:
        self.target = target
        self.until = time.monotonic() + seconds
        self.answers: Counter[str] = Counter()
        self.broken = ""  # a promise of its own that does not hold, in words

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.until

    async def flood(self, connections: int, make: Callable[[], bytes]) -> None:
        """Send requests without pause over so many connections, each after the answer to the one before."""

        async def one() -> None:
            connection = Connection(self.target.host, self.target.port)
            try:
                while self.goes_on:
                    try:
                        status, body = await connection.send(make(), max(0.05, self.until - time.monotonic()))
                    except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
                        self.answers[type(error).__name__] += 1
                        await asyncio.sleep(0.05)
                    else:
                        self.answers[f"{status} {code(body)}".strip()] += 1
            finally:
                connection.close()

        await asyncio.gather(*(one() for _ in range(connections)))


def code(body: bytes) -> str:
    """The first error's code in an answer's body, or nothing."""
    _, found, rest = body[:100_000].partition(b'"code":"')
    return rest.split(b'"')[0].decode() if found else ""


@dataclass(frozen=True)
class Kind:
    """An attack, what the service is started with for it, and the numbers of the issues that tell it."""

    name: str
    number: str
    run: Callable[[Attack], Awaitable[None]]
    keys: int = 1_000
    descriptors: int = 4_096
    seconds: float | None = None  # where a shorter one shows nothing
    stops: bool = False  # the service is told to stop while the attack lasts
    victim_counts: bool = True  # False where the attack itself takes the database away
    settings: dict[str, str] = field(default_factory=dict)


KINDS: dict[str, Kind] = {}


def attack(
    name: str, number: str, **more: object
) -> Callable[[Callable[[Attack], Awaitable[None]]], Callable[[Attack], Awaitable[None]]]:
    """Enter a function under a name."""

    def enter(run: Callable[[Attack], Awaitable[None]]) -> Callable[[Attack], Awaitable[None]]:
        KINDS[name] = Kind(name, number, run, **more)  # type: ignore[arg-type]
        return run

    return enter
