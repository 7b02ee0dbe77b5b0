"""Batches the reads of resolvers at the same place in a document."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from strawberry.types import Info

from ..errors import ServiceError
from ..execution.turns import turns_of_this_loop

MAX_BATCH_SIZE = 500  # MongoDB allows 1,000 stages, so a union has at most this many pipelines
# A long list starts its resolvers in several turns of the event loop, one or two apart: after so many without another
# load there are no more.
QUIET_TURNS = 3


class Load(NamedTuple):
    """One value to load."""

    info: Info[Any, None]
    key: Any
    # From info, keys and arguments; a ServiceError among the values is raised to those who load this one.
    read: Callable[[Any, list[Any], Any], Awaitable[list[Any]]]
    arguments: Any


class Loader:
    """Loads values: one read for all loads of the same place in the document, which come at about the same time."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Load, asyncio.Future[Any]]] = []
        self._gathers = False
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self, load: Load) -> asyncio.Future[Any]:
        """The value, when it is read; or the ServiceError of its read."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((load, future))
        if not self._gathers:
            self._gathers = True
            self._start(self._gather())
        return future

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _gather(self) -> None:
        """Wait until no load comes any more, and read all that came."""
        turns, known, quiet = turns_of_this_loop(), 0, 0
        while quiet < QUIET_TURNS and len(self._waiting) < MAX_BATCH_SIZE:
            quiet = quiet + 1 if len(self._waiting) == known else 0
            known = len(self._waiting)
            await asyncio.sleep(0)
            if turns.is_over():
                await turns.wait(self)
        batch, self._waiting = self._waiting[:MAX_BATCH_SIZE], self._waiting[MAX_BATCH_SIZE:]
        self._gathers = bool(self._waiting)
        if self._gathers:
            self._start(self._gather())
        await _read_batch([one for one in batch if not one[1].cancelled()])


async def _read_batch(batch: list[tuple[Load, asyncio.Future[Any]]]) -> None:
    # Loads of one place differ only in their keys: selection, variables and arguments are the same.
    places: dict[tuple[int, ...], list[tuple[Load, asyncio.Future[Any]]]] = defaultdict(list)
    for load, future in batch:
        places[tuple(map(id, load.info._raw_info.field_nodes))].append((load, future))
    await asyncio.gather(*map(_read_place, places.values()))


async def _read_place(loads: list[tuple[Load, asyncio.Future[Any]]]) -> None:
    info, _, read, arguments = loads[0][0]
    found: list[Any]
    error: Exception | None = None
    try:
        found = await read(info, [load.key for load, _ in loads], arguments)
    except Exception as caught:
        error, found = caught, [None] * len(loads)
    for (_, future), value in zip(loads, found, strict=True):
        if future.cancelled():
            continue
        if failed := error or (value if isinstance(value, ServiceError) else None):
            future.set_exception(failed)
        else:
            future.set_result(value)
