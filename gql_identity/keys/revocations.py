"""Tokens that were revoked before their end: a record of each is kept until then."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Collection
from datetime import UTC, datetime

from ..storage.batches import Batches
from ..storage.database import Database
from ..storage.request_records import find_records, store_record
from .newest import keep_newest

MAX_KNOWN = 10_000  # tokens
MAX_BATCH = 200  # tokens of one read


class Revocations:
    """The revoked tokens of all workers; what was read of one is used for so many seconds from before the read."""

    def __init__(self, database: Database, cache_seconds: float) -> None:
        self._database = database
        self._cache_seconds = cache_seconds
        # By the token's id: when it was looked up, and the answer.
        self._known: OrderedDict[str, tuple[float, bool]] = OrderedDict()
        self._batches: Batches[str, bool] = Batches(self._read, "revocations", MAX_BATCH)

    async def revoke(self, token_id: str, end: datetime) -> None:
        """End a token that would last until then: here at once. Raises what `Database.run` does."""
        await store_record(self._database, {"_id": _record_id(token_id), "expires_at": end})
        keep_newest(self._known, token_id, (time.monotonic(), True), MAX_KNOWN)

    async def is_revoked(self, token_id: str) -> bool:
        """Whether a token was revoked. Raises what `Database.run` does."""
        known = self._known.get(token_id)
        if known is not None and time.monotonic() - known[0] < self._cache_seconds:
            return known[1]
        return await self._batches.load(token_id)

    async def revoked(self, token_ids: Collection[str]) -> set[str]:
        """Those of these tokens that were revoked, read now. Raises what `Database.run` does."""
        ids = {_record_id(token_id): token_id for token_id in token_ids}
        return {ids[record["_id"]] for record in await find_records(self._database, list(ids), datetime.now(UTC))}

    async def _read(self, token_ids: list[str]) -> list[bool]:
        asked = time.monotonic()
        revoked = await self.revoked(token_ids)
        for token_id in token_ids:
            known = self._known.get(token_id)
            if known is not None and known[0] >= asked:  # revoked here meanwhile
                revoked |= {token_id} if known[1] else set()
            else:
                keep_newest(self._known, token_id, (asked, token_id in revoked), MAX_KNOWN)
        return [token_id in revoked for token_id in token_ids]


def _record_id(token_id: str) -> bytes:
    """The id of the record that a token was revoked; those of requests are digests of other texts."""
    return hashlib.sha256(f"revoked token {token_id}".encode()).digest()
