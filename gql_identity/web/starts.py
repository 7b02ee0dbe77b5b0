"""When requests start: client after client, where more come than fit into one turn of the event loop."""

import asyncio
from collections import OrderedDict, deque
from time import perf_counter

STARTS = 32  # requests in one turn of the event loop; where more come, they wait
START_SECONDS = 0.004  # of one turn, after which no more start: a slow machine takes 30 ms for 32 of them
WOKEN = 4  # of those that wait, in each later turn: 6 ms of work for requests without a compiled plan


class Starts:
    """When requests start: some at once, and where more come in one turn of the event loop, client after client.

    A flood of requests that are cheap one by one would else fill each turn, and others would wait for several turns.
    """

    def __init__(self) -> None:
        self._started = 0  # in this turn
        self._began = 0.0  # when the first of these started, by `perf_counter`
        self._is_scheduled = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def begin(self) -> bool:
        """Count a request that starts in this turn; False where it must `wait`."""
        now = perf_counter()
        if self._started == 0:
            self._began = now
        if self._waiting or self._started >= STARTS or now - self._began > START_SECONDS:
            return False
        self._started += 1
        self._schedule()
        return True

    async def wait(self, name: str) -> None:
        """Wait for the turn of a request of this client; one client waits for the requests of another only in turn."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(turn)
        self._schedule()
        await turn

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._is_scheduled = False
        self._started = 0
        while self._waiting and self._started < WOKEN:
            name, queue = self._waiting.popitem(last=False)
            turn = queue.popleft()
            if queue:
                self._waiting[name] = queue  # behind the other clients
            if not turn.done():  # not cancelled meanwhile
                turn.set_result(None)
                self._started += 1
        self._began = perf_counter()
        if self._started:
            self._schedule()
