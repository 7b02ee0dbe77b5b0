"""Calls that are made in the same turn of the event loop share one round trip to the database."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from opentelemetry.trace import SpanContext
from strawberry.dataloader import DataLoader

from .. import traces
from ..metrics import CALLS_PER_ROUND_TRIP
from .database import DEADLINE

Call = TypeVar("Call")
Outcome = TypeVar("Outcome")


class Batches(Generic[Call, Outcome]):
    """Batches the calls of one turn of the event loop. It caches nothing.

    A caller waits until the deadline of its own request at most; the batch itself has the database's timeout. Its
    spans are in the trace of the first call's request, and have links to those of the others.
    """

    def __init__(
        self, run_batch: Callable[[list[Call]], Awaitable[Any]], kind: str, max_batch_size: int | None = None
    ) -> None:
        """`run_batch` returns an outcome for each call, in order; an exception among them is raised to its caller.

        `kind` is the name of the batches in the metrics.
        """
        self._run_batch = run_batch
        self._kind = kind
        self._loader: DataLoader[tuple[Call, SpanContext | None], Outcome] = DataLoader(
            self._run, max_batch_size=max_batch_size, cache=False
        )

    def load(self, call: Call) -> Awaitable[Outcome]:
        """The outcome of a call, which is made with the others of this turn."""
        return self._loader.load((call, traces.current() if traces.is_on else None))

    async def _run(self, calls: list[tuple[Call, SpanContext | None]]) -> Any:
        DEADLINE.set(None)
        if CALLS_PER_ROUND_TRIP.is_on:
            CALLS_PER_ROUND_TRIP.observe(len(calls), self._kind)
        if traces.is_on:
            traces.share(span for _, span in calls)
        return await self._run_batch([call for call, _ in calls])
