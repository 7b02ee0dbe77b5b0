"""The `meta` document: the number of the schema, and the fingerprints of the peppers."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo import ReturnDocument

from ..errors import StartError
from ..secret import pepper_fingerprint

# The number of the schema that this code reads and writes; `meta` has the database's. 2: keys may have an end.
SCHEMA = 2
_META = {"_id": "meta"}


class MetaDocument:
    """What a database says of itself; `run` runs a driver's call and converts its errors."""

    def __init__(
        self,
        collection: AsyncIOMotorCollection[dict[str, Any]],
        peppers: tuple[str, ...],
        run: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]],
    ) -> None:
        self._collection = collection
        self._peppers = peppers
        self._run = run

    @property
    def accepted_peppers(self) -> list[str]:
        """The fingerprints of the settings' peppers, the current one first."""
        return [pepper_fingerprint(pepper) for pepper in self._peppers]

    async def check(self) -> None:
        """Raise StartError where this code must not use the database; record the current pepper."""
        fingerprints = self.accepted_peppers
        # An upsert, so that two services that start at once on an empty database agree.
        meta = await self._run(
            lambda: self._collection.find_one_and_update(
                _META,
                {"$setOnInsert": {"schema": SCHEMA, "peppers": fingerprints[:1]}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        )
        _check_schema(meta)
        if missing := [known for known in meta["peppers"] if known not in fingerprints]:
            raise StartError(
                f"Keys of this database were made with the pepper of fingerprint {', '.join(missing)}, which is not "
                f"among those given (GQL_IDENTITY_PEPPER is {fingerprints[0]}). Set GQL_IDENTITY_PEPPER to it, or to "
                "a new one with the old one in GQL_IDENTITY_PEPPERS_RETIRED."
            )
        if fingerprints[0] not in meta["peppers"]:
            await self.add_peppers(fingerprints[:1])

    async def use_peppers(self, peppers: tuple[str, ...], *, check: bool) -> None:
        """Use other peppers from now on. With `check`, raises what `check` does, and then keeps those of before."""
        before, self._peppers = self._peppers, peppers
        if check:
            try:
                await self.check()
            except BaseException:
                self._peppers = before
                raise

    async def upgrade(self) -> None:
        """Set the schema's number to this code's; versions that know a lower one refuse the database from then on."""
        await self._run(lambda: self._collection.update_one(_META, {"$max": {"schema": SCHEMA}}))

    async def check_schema(self) -> None:
        """Raise StartError where a newer version has upgraded the database."""
        meta = await self._run(lambda: self._collection.find_one(_META))
        if meta is not None:
            _check_schema(meta)

    async def peppers(self) -> list[str]:
        """The fingerprints of the peppers that keys were made with, in the order of their first use; none forgotten."""
        return await self._fingerprints("peppers")

    async def forgotten_peppers(self) -> list[str]:
        """The fingerprints of the peppers that are no longer required, in the order in which they were forgotten."""
        return await self._fingerprints("forgotten")

    async def _fingerprints(self, field: str) -> list[str]:
        meta = await self._run(lambda: self._collection.find_one(_META))
        return list((meta or {}).get(field, ()))

    async def add_peppers(self, fingerprints: Sequence[str]) -> None:
        """Require these peppers from now on, for keys that were made with them elsewhere."""
        fingerprints = list(fingerprints)
        added = {"$addToSet": {"peppers": {"$each": fingerprints}}, "$pull": {"forgotten": {"$in": fingerprints}}}
        await self._run(lambda: self._collection.update_one(_META, added))

    async def forget_pepper(self, fingerprint: str) -> None:
        """Stop asking for a retired pepper: keys that are left under it are lost once the settings lack it.

        Raises StartError for the pepper that digests are made with, and one that the database does not require.
        """
        await self.check_forgettable(fingerprint)
        forgotten = {"$pull": {"peppers": fingerprint}, "$addToSet": {"forgotten": fingerprint}}
        await self._run(lambda: self._collection.update_one(_META, forgotten))

    async def check_forgettable(self, fingerprint: str) -> None:
        """Raise what `forget_pepper` does, and change nothing."""
        if fingerprint == pepper_fingerprint(self._peppers[0]):
            raise StartError("This is the fingerprint of GQL_IDENTITY_PEPPER itself, which is in use: retire it first.")
        if fingerprint not in await self.peppers():
            raise StartError("The database requires no pepper with this fingerprint.")


def _check_schema(meta: dict[str, Any]) -> None:
    if meta["schema"] > SCHEMA:
        raise StartError(
            f"The database has schema {meta['schema']}, and this version of gql-identity knows {SCHEMA}. "
            "Start a newer version."
        )
