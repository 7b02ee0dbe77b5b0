"""The one-time code in the link to GraphiQL that `serve` prints, so that no secret is in a URL."""

import secrets
from datetime import UTC, datetime, timedelta

from ..secret import digest
from .database import Database

VALID_FOR = timedelta(hours=1)
_ID = "sign-in-code"  # of its document in `meta`, so at most one code exists


class SignInCodes:
    """The valid code, if any. The database stores only its digest."""

    def __init__(self, database: Database, pepper: str) -> None:
        self._database = database
        self._pepper = pepper

    async def replace(self) -> str:
        """Make a new code of 128 random bits, valid for an hour. Earlier codes become invalid.

        Raises what `Database.run` does.
        """
        code = secrets.token_urlsafe(16)
        document = {"_id": _ID, "digest": digest(code, self._pepper), "expires_at": datetime.now(UTC) + VALID_FOR}
        await self._database.run(lambda: self._database.meta.replace_one({"_id": _ID}, document, upsert=True))
        return code

    async def redeem(self, code: str) -> bool:
        """Use up a code; returns whether it was valid. Atomic: only one of several workers can redeem it.

        Raises what `Database.run` does.
        """
        valid = {"_id": _ID, "digest": digest(code, self._pepper), "expires_at": {"$gt": datetime.now(UTC)}}
        redeemed = await self._database.run(lambda: self._database.meta.delete_one(valid))
        return bool(redeemed.deleted_count)
