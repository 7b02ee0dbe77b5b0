"""Long work gives way: it takes a few milliseconds of each turn of the event loop, and the rest is for everybody else.

All long work of an event loop shares one slice of each turn, however many requests it is for. Work that finds the slice
used up waits for a later turn; those who wait are woken one after another, each owner in its turn.

    for item in items:
        if turns.is_over():
            await turns.wait(owner)
        ...
"""

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from time import perf_counter

SLICE_SECONDS = 0.004  # of a turn: a request needs three or four turns, each may hold one slice
LONG_SECONDS = 0.01  # work in one piece that took longer is followed by as long a rest
LONGEST_REST_SECONDS = 0.1
WOKEN = 32  # how many are woken in a turn at most; those for whom nothing is left come first in the next


class Turns:
    """The slices of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._began: float | None = None  # when long work first ran in this turn; None if none did
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._left: deque[asyncio.Future[None]] = deque()  # those who come before all owners
        self._woken = 1  # how many were woken last

    def is_over(self) -> bool:
        """Whether the slice of this turn is used up. The first who asks in a turn begins it."""
        now = perf_counter()
        if self._began is None:
            self._began = now
            self.loop.call_soon(self._end)
            return False
        return now - self._began >= SLICE_SECONDS

    async def wait(self, owner: Hashable) -> None:
        """Wait for a turn whose slice is not used up. Owners take turns, however much each of them has to do."""
        queue = self._waiting.setdefault(owner, deque()) if self.is_over() else None
        while queue is not None:
            woken = self.loop.create_future()
            queue.append(woken)
            await woken
            queue = self._left if self.is_over() else None

    async def wait_first(self) -> None:
        """As `wait`, but before all owners: for what must end in time whatever others do, as checks of many keys do."""
        while self.is_over():
            woken = self.loop.create_future()
            self._left.append(woken)
            await woken

    def _end(self) -> None:
        """Begin another turn; after a long piece of work, only when others had as long."""
        took = perf_counter() - (self._began or 0)
        if took > LONG_SECONDS:
            self.loop.call_later(min(took, LONGEST_REST_SECONDS), self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        self._began = None
        # As many as found room in the last turn, so that an owner who comes now is behind few.
        self._woken = max(1, self._woken - len(self._left)) if self._left else min(2 * self._woken, WOKEN)
        for _ in range(self._woken):
            if self._left:
                woken = self._left.popleft()
            elif self._waiting:
                owner, queue = self._waiting.popitem(last=False)
                woken = queue.popleft()
                if queue:
                    self._waiting[owner] = queue  # behind the other owners
            else:
                return
            if not woken.done():  # not cancelled meanwhile
                woken.set_result(None)
        self.loop.call_soon(self._begin_unless_begun)

    def _begin_unless_begun(self) -> None:
        if self._began is None:  # nobody who was woken wants a turn any more
            self._begin()


def turns_of_this_loop() -> Turns:
    """The slices of the running event loop."""
    loop, turns = asyncio.get_running_loop(), _THREAD.turns
    if turns is None or turns.loop is not loop:
        turns = _THREAD.turns = Turns(loop)
    return turns


class _Thread(threading.local):
    """What a thread keeps of the event loop that it runs, or ran last."""

    turns: Turns | None = None


_THREAD = _Thread()
