"""Batches the reads of resolvers at the same place in a document."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from strawberry.dataloader import DataLoader
from strawberry.types import Info

from ..errors import ServiceError

MAX_BATCH_SIZE = 500  # MongoDB allows 1,000 stages, so a union has at most this many pipelines


class Load(NamedTuple):
    """One value to load."""

    info: Info[Any, None]
    key: Any
    read: Callable[[Any, list[Any], Any], Awaitable[list[Any]]]  # from info, keys and arguments
    arguments: Any


def make_loader() -> DataLoader[Load, Any]:
    """A loader with one read for all loads of the same place in the document."""
    return DataLoader(_load_batch, max_batch_size=MAX_BATCH_SIZE, cache=False)


async def _load_batch(loads: list[Load]) -> list[Any]:
    # Loads of one place differ only in their keys: selection, variables and arguments are the same.
    places: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, load in enumerate(loads):
        places[tuple(map(id, load.info._raw_info.field_nodes))].append(index)
    values: list[Any] = [None] * len(loads)

    async def read_place(indexes: list[int]) -> None:
        info, _, read, arguments = loads[indexes[0]]
        try:
            found = await read(info, [loads[index].key for index in indexes], arguments)
        except ServiceError as error:
            found = [error] * len(indexes)
        for index, value in zip(indexes, found, strict=True):
            values[index] = value

    await asyncio.gather(*map(read_place, places.values()))
    return values
