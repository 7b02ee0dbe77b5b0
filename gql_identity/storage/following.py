"""Which keys change while all of them are read, so that what was read of these can be read again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from pymongo.errors import PyMongoError

from ..errors import Unavailable
from .change_stream import changes_of_keys
from .database import Database

POLL_MS = 100  # how long the database waits for a change before it returns none
CATCH_UP_SECONDS = 60.0
# What only a use of a key sets: not worth a second read.
_OF_USES = frozenset({"last_accessed_at", "secret_uses"})


_LOST = "The database does not tell changes of keys: it must be a replica set, and its user may need more rights."


class Changes:
    """The ids of the keys that were made, changed or deleted since `following` began."""

    def __init__(self, database: Database) -> None:
        self.ids: set[str] = set()
        self._database = database
        self._opened = asyncio.Event()
        self._seen_until: Any = None  # the database's time of the last change that was seen
        self._idle_since = 0.0  # the start of the last wait in which no change came, by the event loop's time
        self._following = asyncio.create_task(self._follow())

    async def open(self) -> None:
        """Wait until no change is missed any more. Raises Unavailable."""
        await self._wait_until(self._opened.is_set)

    async def catch_up(self) -> None:
        """Wait until `ids` has all changes that were acknowledged before this call. Raises Unavailable."""
        asked = asyncio.get_running_loop().time()
        reply = await self._database.run(lambda: self._database.meta.database.client.admin.command("ping"))
        time = reply["operationTime"]
        # Under constant writes there is never a wait without a change; then the time of a later change tells it.
        await self._wait_until(
            lambda: self._idle_since > asked or (self._seen_until is not None and self._seen_until > time)
        )

    async def close(self) -> None:
        """Follow no longer."""
        self._following.cancel()
        with suppress(asyncio.CancelledError, Unavailable):
            await self._following

    async def _wait_until(self, holds: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while not holds():
                    if self._following.done():
                        await self._following  # raises what ended it
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise Unavailable(_LOST) from None

    async def _follow(self) -> None:
        fields = {"$project": {"operationType": 1, "documentKey": 1, "clusterTime": 1, "updateDescription": 1}}
        loop = asyncio.get_running_loop()
        try:
            async with changes_of_keys(self._database, [fields], max_await_time_ms=POLL_MS) as stream:
                while True:
                    began = loop.time()
                    event = await stream.try_next()
                    if event is None and not stream.alive:
                        raise Unavailable(_LOST)
                    self._opened.set()
                    if event is None:
                        self._idle_since = began
                    else:
                        key_id = event["documentKey"]["_id"]
                        # Something else may have stored another kind of id: no read finds that key by it.
                        if isinstance(key_id, str) and not _is_use(event):
                            self.ids.add(key_id)
                        self._seen_until = event["clusterTime"]
        except (PyMongoError, KeyError) as error:  # without `documentKey` the collection was dropped
            raise Unavailable(_LOST) from error


def _is_use(event: Mapping[str, Any]) -> bool:
    # A field of a list or object stands with its path, as in `secret_uses.2`.
    update = event.get("updateDescription") or {}
    names = {name.partition(".")[0] for name in update.get("updatedFields") or ()}
    others = update.get("removedFields") or update.get("truncatedArrays")
    return event["operationType"] == "update" and names <= _OF_USES and not others


@asynccontextmanager
async def following(database: Database) -> AsyncIterator[Changes]:
    """A block that knows which keys change from its start on. Raises Unavailable."""
    changes = Changes(database)
    try:
        await changes.open()
        yield changes
    finally:
        await changes.close()
