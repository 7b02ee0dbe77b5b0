"""Find the key of a secret; cached for half a second, so that one key's requests share a read."""

import asyncio
import time
from collections.abc import Sequence

from strawberry.dataloader import DataLoader

from .. import secret
from ..messages.keys import APIKeyInfo
from ..settings import Settings
from ..storage.batches import batch_loader
from ..storage.database import Database
from ..storage.last_uses import LastUses
from .records import read_key
from .validity import is_valid

# A disabled or deleted key is refused everywhere within a second: this, and the time that a read takes.
CACHE_SECONDS = 0.5  # how long an entry is used, counted from before its read
CACHE_KEYS = 10_000
MAX_BATCH = 200  # secrets of one read


class Credentials:
    """The secrets of a database's keys, by their digests under the peppers."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.last_uses = LastUses(database)
        self._database = database
        self._collection = database.api_keys
        self._pepper, *self._peppers_retired = settings.peppers
        self._cache: dict[bytes, tuple[float, APIKeyInfo]] = {}
        self._invalidated_at = 0.0
        self._reading: dict[bytes, tuple[float, asyncio.Future[APIKeyInfo | None]]] = {}
        self._loader: DataLoader[str, APIKeyInfo | None] = batch_loader(self._read_secrets, MAX_BATCH)

    def digest(self, text: str) -> bytes:
        """What is stored of a secret: its digest under today's pepper."""
        return secret.digest(text, self._pepper)

    async def find(self, text: str) -> APIKeyInfo | None:
        """The key that a secret belongs to, in any state; None where there is none.

        A valid key is cached for half a second from before its read, so that one key's requests share a read.
        """
        asked = time.monotonic()
        if (key := self._cached(text, asked)) is not None or not secret.is_well_formed(text):
            return key
        digest = self.digest(text)
        if (reading := self._reading.get(digest)) is not None:
            begun, read = reading
            key = await asyncio.shield(read)
            # A read that another request began is held to the same rule as the cache: a valid key, and no older.
            if key is not None and is_valid(key) and time.monotonic() - begun < CACHE_SECONDS:
                return key
        return await asyncio.shield(self._begin_read(text, digest))

    def _begin_read(self, text: str, digest: bytes) -> "asyncio.Future[APIKeyInfo | None]":
        """Read a key in one batch with all others of this moment.

        The read continues for others when the request that began it ends.
        """
        read = asyncio.ensure_future(self._loader.load(text))
        begun = self._reading[digest] = (time.monotonic(), read)

        def done(read: "asyncio.Future[APIKeyInfo | None]") -> None:
            if self._reading.get(digest) is begun:
                del self._reading[digest]
            if not read.cancelled():
                read.exception()  # those who wait, if any, get it

        read.add_done_callback(done)
        return read

    async def find_many(self, texts: Sequence[str]) -> list[APIKeyInfo | None]:
        """As `find`, for each of several secrets, in their order; one read for all."""
        asked = time.monotonic()
        found = [self._cached(text, asked) for text in texts]
        if None not in found:
            return found
        different = dict.fromkeys(texts)
        keys = dict(zip(different, await asyncio.gather(*map(self.find, different)), strict=True))
        return [keys[text] for text in texts]

    def _cached(self, text: str, asked: float) -> APIKeyInfo | None:
        if len(text) != secret.LENGTH or not text.isascii():
            return None
        entry = self._cache.get(self.digest(text))
        return entry[1] if entry is not None and asked - entry[0] < CACHE_SECONDS else None

    async def _read_secrets(self, texts: list[str]) -> list[APIKeyInfo | None]:
        asked = time.monotonic()
        peppers = (self._pepper, *self._peppers_retired)
        digests = {secret.digest(text, pepper): text for text in texts for pepper in peppers}
        if len(digests) == 1:
            document = await self._database.run(lambda: self._collection.find_one({"digest": next(iter(digests))}))
            documents = [] if document is None else [document]
        else:
            where = {"digest": {"$in": list(digests)}}
            documents = await self._database.to_list(lambda keys: keys.find(where, batch_size=len(digests) + 1))
        found: dict[str, APIKeyInfo] = {}
        for document in documents:
            text = digests[document["digest"]]
            key = found[text] = read_key(document)
            digest = self.digest(text)
            if document["digest"] != digest:
                self.last_uses.move_digest(key.api_key_id, key.domain_id, digest)
            if is_valid(key):
                self._cache_key(digest, key, asked)
        return [found.get(text) for text in texts]

    def _cache_key(self, digest: bytes, key: APIKeyInfo, asked: float) -> None:
        if asked <= self._invalidated_at:
            return
        if len(self._cache) >= CACHE_KEYS:
            self._cache = {d: entry for d, entry in self._cache.items() if asked - entry[0] < CACHE_SECONDS}
        if len(self._cache) < CACHE_KEYS:
            self._cache[digest] = (asked, key)

    def invalidate(self, key_id: str) -> None:
        """Evict a key that was just disabled or deleted; reads that are under way now are not cached either."""
        self._invalidated_at = time.monotonic()
        self._reading.clear()
        self._cache = {digest: entry for digest, entry in self._cache.items() if entry[1].api_key_id != key_id}
