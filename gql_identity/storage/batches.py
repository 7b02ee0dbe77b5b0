"""Calls that are made at one moment share one round trip to the database."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from strawberry.dataloader import DataLoader

from .database import DEADLINE

Call = TypeVar("Call")
Outcome = TypeVar("Outcome")


def batch_loader(
    run_batch: Callable[[list[Call]], Awaitable[Any]], max_batch_size: int | None = None
) -> "DataLoader[Call, Outcome]":
    """A loader that gathers the calls of one turn of the event loop; nothing is cached.

    `run_batch` returns an outcome for each call, in their order; an exception among them is raised to its call. Each
    caller waits no longer than the deadline of its own request; the batch itself has the database's.
    """

    async def run(calls: list[Call]) -> Any:
        DEADLINE.set(None)
        return await run_batch(calls)

    return DataLoader(run, max_batch_size=max_batch_size, cache=False)
