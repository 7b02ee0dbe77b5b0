"""Which key a secret belongs to; believed for a moment, so that one key's requests share a read."""

import asyncio
import time
from collections.abc import Sequence

from strawberry.dataloader import DataLoader

from .. import secret
from ..messages.keys import APIKeyInfo
from ..settings import Settings
from ..storage.database import DEADLINE, Database
from ..storage.uses import Uses
from .records import read_key
from .validity import is_valid

# A disabled or deleted key is refused everywhere within a second: this, and the time that a read takes.
KNOWN_SECONDS = 0.5  # how long a key once read is believed, counted from before its read
KNOWN_KEYS = 10_000
READ_AT_ONCE = 200  # secrets of one read


class Credentials:
    """The secrets of a database's keys, by their digests under the peppers."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.uses = Uses(database)
        self._database = database
        self._collection = database.api_keys
        self._pepper, *self._peppers_retired = settings.peppers
        self._known: dict[bytes, tuple[float, APIKeyInfo]] = {}
        self._forgot = 0.0
        self._reading: dict[bytes, tuple[float, asyncio.Future[APIKeyInfo | None]]] = {}
        self._loader: DataLoader[str, APIKeyInfo | None] = DataLoader(
            self._read_secrets, max_batch_size=READ_AT_ONCE, cache=False
        )

    def digest(self, text: str) -> bytes:
        """What is stored of a secret: its digest under today's pepper."""
        return secret.digest(text, self._pepper)

    async def find(self, text: str) -> APIKeyInfo | None:
        """The key that a secret belongs to, in any state; None where there is none.

        An enabled key is believed for half a second from before it was read, so that one key's requests share a read.
        """
        asked = time.monotonic()
        if (key := self._believed(text, asked)) is not None or not secret.is_well_formed(text):
            return key
        digest = self.digest(text)
        if (reading := self._reading.get(digest)) is not None:
            begun, read = reading
            key = await asyncio.shield(read)
            # What another request began to read is worth as much as what is believed: it must be good, and new.
            if key is not None and is_valid(key) and time.monotonic() - begun < KNOWN_SECONDS:
                return key
        return await asyncio.shield(self._begin_reading(text, digest))

    def _begin_reading(self, text: str, digest: bytes) -> "asyncio.Future[APIKeyInfo | None]":
        """Read a key together with all others that are asked for now.

        The read goes on for others should the request that began it end.
        """
        read = asyncio.ensure_future(self._loader.load(text))
        begun = self._reading[digest] = (time.monotonic(), read)

        def done(read: "asyncio.Future[APIKeyInfo | None]") -> None:
            if self._reading.get(digest) is begun:
                del self._reading[digest]
            if not read.cancelled():
                read.exception()  # told to those who wait, if any

        read.add_done_callback(done)
        return read

    async def find_all(self, texts: Sequence[str]) -> list[APIKeyInfo | None]:
        """As `find`, for each of several secrets, in their order; one read for all."""
        asked = time.monotonic()
        found = [self._believed(text, asked) for text in texts]
        if None not in found:
            return found
        different = dict.fromkeys(texts)
        keys = dict(zip(different, await asyncio.gather(*map(self.find, different)), strict=True))
        return [keys[text] for text in texts]

    def _believed(self, text: str, asked: float) -> APIKeyInfo | None:
        if len(text) != secret.LENGTH or not text.isascii():
            return None
        known = self._known.get(self.digest(text))
        return known[1] if known is not None and asked - known[0] < KNOWN_SECONDS else None

    async def _read_secrets(self, texts: list[str]) -> list[APIKeyInfo | None]:
        # Whoever asked waits no longer than its own deadline; the read itself has the database's.
        DEADLINE.set(None)
        asked = time.monotonic()
        peppers = (self._pepper, *self._peppers_retired)
        digests = {secret.digest(text, pepper): text for text in texts for pepper in peppers}
        if len(digests) == 1:
            document = await self._database.run(lambda: self._collection.find_one({"digest": next(iter(digests))}))
            documents = [] if document is None else [document]
        else:
            where = {"digest": {"$in": list(digests)}}
            documents = await self._database.read_all(lambda keys: keys.find(where, batch_size=len(digests) + 1))
        found: dict[str, APIKeyInfo] = {}
        for document in documents:
            text = digests[document["digest"]]
            key = found[text] = read_key(document)
            digest = self.digest(text)
            if document["digest"] != digest:
                self.uses.moves(key.api_key_id, key.domain_id, digest)
            if is_valid(key):
                self._believe(digest, key, asked)
        return [found.get(text) for text in texts]

    def _believe(self, digest: bytes, key: APIKeyInfo, asked: float) -> None:
        if asked <= self._forgot:
            return
        if len(self._known) >= KNOWN_KEYS:
            self._known = {d: known for d, known in self._known.items() if asked - known[0] < KNOWN_SECONDS}
        if len(self._known) < KNOWN_KEYS:
            self._known[digest] = (asked, key)

    def forget(self, key_id: str) -> None:
        """Believe nothing of a key that was just disabled or deleted, nor what is being read at this moment."""
        self._forgot = time.monotonic()
        self._reading.clear()
        self._known = {digest: known for digest, known in self._known.items() if known[1].api_key_id != key_id}
