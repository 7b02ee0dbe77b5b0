"""Calls that are made in the same turn of the event loop share one round trip to the database."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from strawberry.dataloader import DataLoader

from ..metrics import CALLS_PER_ROUND_TRIP
from .database import DEADLINE

Call = TypeVar("Call")
Outcome = TypeVar("Outcome")


def batch_loader(
    run_batch: Callable[[list[Call]], Awaitable[Any]], kind: str, max_batch_size: int | None = None
) -> "DataLoader[Call, Outcome]":
    """A loader that batches the calls of one turn of the event loop. It caches nothing.

    `run_batch` returns an outcome for each call, in order; an exception among them is raised to its caller. A caller
    waits until the deadline of its own request at most; the batch itself has the database's timeout. `kind` is its name
    in the metrics.
    """

    async def run(calls: list[Call]) -> Any:
        DEADLINE.set(None)
        CALLS_PER_ROUND_TRIP.observe(len(calls), kind)
        return await run_batch(calls)

    return DataLoader(run, max_batch_size=max_batch_size, cache=False)
