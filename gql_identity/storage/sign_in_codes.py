"""The one-time codes in the links that `serve` prints, to GraphiQL and the console, so that no secret is in a URL."""

import secrets
from datetime import UTC, datetime, timedelta

from ..deadlines import note_write
from ..secret import digest
from .database import Database, Document

VALID_FOR = timedelta(hours=1)
_IDS = {
    "graphql": "sign-in-code",
    "console": "sign-in-code-console",
}  # of the documents in `meta`: a code for each page


class SignInCodes:
    """The valid codes, at most one for each page. The database stores only their digests."""

    def __init__(self, database: Database, pepper: str) -> None:
        self._database = database
        self._pepper = pepper

    async def replace(self, page: str = "graphql") -> str:
        """Make a new code of 128 random bits for a page, `graphql` or `console`, valid for an hour.

        Earlier codes of that page become invalid.

        Raises what `Database.run` does.
        """
        code = secrets.token_urlsafe(16)
        document = {
            "_id": _IDS[page],
            "digest": digest(code, self._pepper),
            "expires_at": datetime.now(UTC) + VALID_FOR,
        }
        await self._database.run(lambda: self._database.meta.replace_one({"_id": _IDS[page]}, document, upsert=True))
        return code

    async def is_valid(self, code: str) -> bool:
        """Whether a code is valid; it is not used up. Raises what `Database.run` does."""
        found = await self._database.run(lambda: self._database.meta.find_one(self._valid(code), {"_id": 1}))
        return found is not None

    async def redeem(self, code: str) -> bool:
        """Use up a code; returns whether it was valid. Atomic: only one of several workers can redeem it.

        Raises what `Database.run` does.
        """
        note_write()
        redeemed = await self._database.run(lambda: self._database.meta.delete_one(self._valid(code)))
        return bool(redeemed.deleted_count)

    def _valid(self, code: str) -> Document:
        return {
            "_id": {"$in": list(_IDS.values())},
            "digest": digest(code, self._pepper),
            "expires_at": {"$gt": datetime.now(UTC)},
        }
