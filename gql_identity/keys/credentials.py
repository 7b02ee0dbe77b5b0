"""Find the key of a secret; cached for half a second, so that one key's requests share a read."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextvars import Context
from typing import NamedTuple

from pydantic import SecretStr

from .. import secret
from ..errors import DeadlineExceeded, InvalidToken, PermissionDenied, ServiceError, Unavailable
from ..messages.keys import APIKeyInfo
from ..metrics import CREDENTIAL_LOOKUPS
from ..settings import Settings
from ..storage.batches import Batches
from ..storage.database import Database, Document
from ..storage.last_uses import LastUses
from .access import COMMAND_LINE, Caller
from .addresses import is_allowed
from .credential_reads import Parent, find_by_digests, find_parents
from .digests import stored_secret, with_digest
from .imported_jwts import ImportedJwts
from .newest import keep_newest
from .records import makers_of
from .revocations import Revocations
from .rotation import is_superseded_in
from .validity import VALIDITY_FIELDS, has_ended, is_valid, is_valid_document, used_secret

# A key that was disabled, deleted or given an earlier end is refused everywhere within a second: this, and the time
# that a read takes.
CACHE_SECONDS = 0.5  # how long an entry is used, counted from before its read
CACHE_KEYS = 10_000
AHEAD_SECONDS = 0.3  # the age at which a key that is in use is read again, so that no request waits when its entry ends
GATHER_SECONDS = 0.02  # for keys of that age to be read in one batch
CHANGED_KEYS = 10_000  # changes that are remembered one by one
EXPIRED_TOKEN = "Your token has expired. Get a new one from its issuer."  # noqa: S105
INVALID_KEY = "Invalid API key: it is wrong, disabled, expired or deleted."
REPLACED_SECRET = "This secret was replaced, and the newer one is in use. Send that one."  # noqa: S105
MAX_BATCH = 200  # secrets of one read
ATTEMPTS = 20  # to read a caller's key while others change it


class _Validity(NamedTuple):
    """When a read began that found a key valid, and what it found of it."""

    at: float
    scopes: list[str] | None
    networks: list[str] | None
    is_superseded: bool  # whether a newer secret than this one was used

    def covers(self, caller: Caller) -> bool:
        """Whether the key still has the caller's scopes, and may be used from its address."""
        if self.scopes is not None and (caller.scopes is None or not caller.scopes.issubset(self.scopes)):
            return False
        return is_allowed(self.networks, caller.address)


class Credentials:
    """The secrets of a database's keys, by their digests under the peppers."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.last_uses = LastUses(database, self.invalidate)
        self.revocations = Revocations(database, CACHE_SECONDS)
        self._database = database
        self._jwts = ImportedJwts(database, settings)
        self._database_seconds = settings.database_timeout_seconds
        self._pepper, *self._peppers_retired = settings.peppers
        # By a digest, or what a token names.
        self._cache: OrderedDict[bytes | Parent, tuple[float, APIKeyInfo]] = OrderedDict()
        # By key id and number of the secret: the last read that found them valid.
        self._valid: OrderedDict[tuple[str, int], _Validity] = OrderedDict()
        self._ageing: set[bytes] = set()  # digests that are read again ahead, or soon will be
        self._due: list[bytes] = []  # those of them whose read has not begun
        self._ahead: set[asyncio.Task[None]] = set()
        self._changed_at: OrderedDict[str, float] = OrderedDict()  # key id: when it was changed or deleted here
        self._forgotten_at = 0.0  # the latest of the changes that are no longer among those
        self._reading: dict[bytes, tuple[float, asyncio.Future[APIKeyInfo | None]]] = {}
        self._batches: Batches[str, APIKeyInfo | None] = Batches(self._read_secrets, "secrets", MAX_BATCH)
        self._parents: Batches[Parent, APIKeyInfo | None] = Batches(self._read_parents, "parents", MAX_BATCH)

    def use_peppers(self, peppers: tuple[str, ...]) -> None:
        """Use other peppers from now on, today's first."""
        self._pepper, *self._peppers_retired = peppers
        self._jwts.use_peppers(peppers)
        self._cache.clear()  # its digests are those under the pepper before

    def digest(self, text: str) -> bytes:
        """The digest of a secret under today's pepper."""
        return secret.digest(text, self._pepper)

    def stored(self, text: str) -> Document:
        """What is stored of a secret, under today's pepper."""
        return stored_secret(text, self._pepper)

    async def accepts_jwts(self, domain_id: str) -> bool:
        """Whether JWTs of Cloudforet are accepted as secrets of a domain's imported keys."""
        return await self._jwts.are_accepted(domain_id)

    async def find(self, text: str) -> APIKeyInfo | None:
        """The key that a secret belongs to, in any state; None where there is none.

        A valid key is cached for half a second from before its read, so that one key's requests share a read.
        """
        asked = time.monotonic()
        if (key := self._cached(text, asked)) is not None:
            if CREDENTIAL_LOOKUPS.is_on:
                CREDENTIAL_LOOKUPS.add("cache")
            return key
        if not secret.is_jwt(text) and not secret.is_well_formed(text):
            return None
        digest = self.digest(text)
        # A read that has just ended may still be there: one that failed would be awaited without end.
        while (reading := self._reading.get(digest)) is not None and not reading[1].done():
            begun, read = reading
            try:
                key = await asyncio.shield(read)
            except DeadlineExceeded:
                if time.monotonic() - begun >= self._database_seconds:
                    raise  # of the database: others that each begin another read would wait one after the other
                continue  # of the request that began it: this one may have more time
            # A read that began before this look-up is held to the same rule as the cache: a valid key, and no older.
            if begun > asked or (key and is_valid(key) and self._is_fresh(key.api_key_id, begun, time.monotonic())):
                CREDENTIAL_LOOKUPS.add("shared")
                return await self._or_first_use(key, text)
        CREDENTIAL_LOOKUPS.add("database")
        return await self._or_first_use(await asyncio.shield(self._begin_read(text, digest)), text)

    async def _or_first_use(self, key: APIKeyInfo | None, text: str) -> APIKeyInfo | None:
        """This key; where there is none, that of a JWT which is used for the first time."""
        return await self._jwts.first_use(text) if key is None and secret.is_jwt(text) else key

    async def find_parent(self, domain_id: str, key_id: str, number: int) -> APIKeyInfo | None:
        """The key that a token names, by the secret of this number, in any state; None where there is none.

        A valid key is cached as by `find`.
        """
        asked, parent = time.monotonic(), (domain_id, key_id, number)
        entry = self._cache.get(parent)
        if entry is not None and self._is_fresh(key_id, entry[0], asked):
            return entry[1]
        return await self._parents.load(parent)

    def recently_valid(self, text: str) -> APIKeyInfo | None:
        """The key that a secret belonged to when it was last valid, if that is remembered; it may have ended since."""
        digest = self._digest_if_formed(text)
        entry = None if digest is None else self._cache.get(digest)
        return entry[1] if entry is not None and self._is_unchanged(entry[1].api_key_id, entry[0]) else None

    def _begin_read(self, text: str, digest: bytes) -> "asyncio.Future[APIKeyInfo | None]":
        """Read a key in one batch with all others of this moment.

        The read continues for others when the request that began it ends.
        """
        read = asyncio.ensure_future(self._batches.load(text))
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
            if CREDENTIAL_LOOKUPS.is_on:
                CREDENTIAL_LOOKUPS.add("cache", amount=len(found))
            return found
        different = dict.fromkeys(texts)
        keys = dict(zip(different, await asyncio.gather(*map(self.find, different)), strict=True))
        return [keys[text] for text in texts]

    def _cached(self, text: str, asked: float) -> APIKeyInfo | None:
        if (digest := self._digest_if_formed(text)) is None or (entry := self._cache.get(digest)) is None:
            return None
        at, key = entry
        if not self._is_fresh(key.api_key_id, at, asked):
            return None
        if asked - at >= AHEAD_SECONDS and digest not in self._ageing:
            self._read_ahead(digest)
        return key

    def _digest_if_formed(self, text: str) -> bytes | None:
        if (len(text) != secret.LENGTH or not text.isascii()) and not secret.is_jwt(text):
            return None
        return self.digest(text)

    def _read_ahead(self, digest: bytes) -> None:
        """Read a cached key again soon, in one batch with others; for no request, and so in a context of its own."""
        if not self._due:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._begin_ahead, context=Context())
        self._ageing.add(digest)
        self._due.append(digest)

    def _begin_ahead(self) -> None:
        due, self._due = self._due, []
        for start in range(0, len(due), MAX_BATCH):
            task = asyncio.ensure_future(self._renew(due[start : start + MAX_BATCH]))
            self._ahead.add(task)
            task.add_done_callback(self._ahead.discard)

    def stop(self) -> None:
        """End the reads ahead, also those that have not begun: no request waits for them."""
        self._due = []
        for task in self._ahead:
            task.cancel()

    async def _renew(self, digests: list[bytes]) -> None:
        try:
            asked = time.monotonic()
            for digest, *_, key in await find_by_digests(self._database, digests):
                if is_valid(key):
                    self._cache_key(digest, key, asked)
        except ServiceError:
            pass  # a request that comes after the entry's end reads the key itself, and says so
        finally:
            self._ageing.difference_update(digests)

    async def _read_parents(self, parents: list[Parent]) -> list[APIKeyInfo | None]:
        asked = time.monotonic()
        keys = await find_parents(self._database, parents)
        for parent, key in zip(parents, keys, strict=True):
            if key is not None and is_valid(key):
                self._cache_key(parent, key, asked)
        return keys

    async def _read_secrets(self, texts: list[str]) -> list[APIKeyInfo | None]:
        asked = time.monotonic()
        peppers = (self._pepper, *self._peppers_retired)
        digests = {secret.digest(text, pepper): text for text in texts for pepper in peppers}
        found: dict[str, APIKeyInfo] = {}
        for digest, pepper, place, document, key in await find_by_digests(self._database, list(digests)):
            text = digests[digest]
            found[text] = key
            current = self.stored(text)
            if {"digest": digest, "pepper": pepper} != current:
                self.last_uses.move_digest(document, with_digest(document, place, current))
            if is_valid(key):
                self._cache_key(current["digest"], key, asked)
        return [found.get(text) for text in texts]

    def _cache_key(self, name: bytes | Parent, key: APIKeyInfo, asked: float) -> None:
        if not self._is_unchanged(key.api_key_id, asked):
            return  # the read began before the key was changed or deleted
        keep_newest(self._cache, name, (asked, key), CACHE_KEYS)
        sent = used_secret(key)
        found = _Validity(asked, key.scopes, key.allowed_addresses, sent.is_superseded)
        self._note_valid((key.api_key_id, sent.number), found)

    def _note_valid(self, secret_: tuple[str, int], found: "_Validity") -> None:
        keep_newest(self._valid, secret_, found, CACHE_KEYS)

    async def check_caller(self, caller: Caller) -> None:
        """Raise InvalidToken unless a read that began at most half a second ago found the caller's key valid.

        For every write: a request may have fields before it that take long, and its key may end meanwhile, or lose
        scopes or addresses, and its token may be revoked. Nothing is read for a request that was authenticated at most
        half a second ago. Raises Unavailable where the database is too slow to tell.
        """
        if caller is COMMAND_LINE:
            return
        if has_ended(caller.expires_at) or has_ended(caller.secret.expires_at):
            raise InvalidToken(EXPIRED_TOKEN if caller.is_person else INVALID_KEY)
        if caller.is_person:
            return
        if caller.token_id is not None and await self.revocations.is_revoked(caller.token_id):
            raise InvalidToken(INVALID_KEY)
        sent, slow = (caller.key_id, caller.secret.number), 0
        for _ in range(ATTEMPTS):
            begun = time.monotonic()
            found = self._valid.get(sent)
            if found is not None and self._is_fresh(caller.key_id, found.at, begun) and found.covers(caller):
                return
            where = {"domain_id": caller.domain_id, "_id": caller.key_id}
            document = await self._database.find_one(where, VALIDITY_FIELDS | {"secret_uses"})
            if document is None or not is_valid_document(document, caller.secret, caller.address):
                raise InvalidToken(INVALID_KEY)
            if not self._is_unchanged(caller.key_id, begun):
                continue  # changed meanwhile, perhaps by itself
            found = _Validity(
                begun,
                document.get("scopes"),
                document.get("allowed_addresses"),
                is_superseded_in(document, caller.secret.number),
            )
            if not found.covers(caller):
                raise PermissionDenied("This key has just lost scopes. Send the request again.")
            self._note_valid(sent, found)
            if time.monotonic() - begun < CACHE_SECONDS:
                return
            slow += 1
            if slow > 1:
                break
        raise Unavailable("The database is too slow to tell whether this key is still valid. Try again.")

    async def check_manager(self, caller: Caller) -> None:
        """As `check_caller`, for each write of keys: also raises what `check_newest` does, by the same read."""
        await self.check_caller(caller)
        self.check_newest(caller)
        found = self._valid.get((caller.key_id, caller.secret.number))
        if found is not None and found.is_superseded:
            raise PermissionDenied(REPLACED_SECRET)

    def check_newest(self, caller: Caller) -> None:
        """Raise PermissionDenied for a secret whose successor is in use: a thief must not lock the owner out."""
        if self.is_superseded(caller):
            raise PermissionDenied(REPLACED_SECRET)

    def is_superseded(self, caller: Caller) -> bool:
        """Whether a newer secret of the caller's key was in use when it was read, or has been used here since."""
        return caller.secret.is_superseded or self.last_uses.newest_used(caller.key_id) > caller.secret.number

    def invalidate(self, *key_ids: str) -> None:
        """Forget what was read of keys that were just changed or deleted, also by reads that are under way now."""
        now = time.monotonic()
        for key_id in key_ids:
            if (forgotten := keep_newest(self._changed_at, key_id, now, CHANGED_KEYS)) is not None:
                self._forgotten_at = forgotten

    def _is_fresh(self, key_id: str, asked: float, now: float) -> bool:
        """Whether a read that began then still counts: it is new enough, and read the key as it is now."""
        # The condition of `_is_unchanged`, not a call of it: each cached request comes here.
        return now - asked < CACHE_SECONDS and asked > self._changed_at.get(key_id, self._forgotten_at)

    def _is_unchanged(self, key_id: str, asked: float) -> bool:
        """Whether a read that began then read the key as it is now; no where that is not remembered."""
        return asked > self._changed_at.get(key_id, self._forgotten_at)


def caller_of(key: APIKeyInfo, credential: SecretStr | None = None, address: str = "") -> Caller:
    """The caller that a key is, with the secret that was sent and the address that it came from."""
    return Caller(
        key.api_key_id,
        key.domain_id,
        key.user_id,
        key.role,
        makers_of(key),
        key.expires_at,
        None if key.scopes is None else frozenset(key.scopes),
        None if key.allowed_addresses is None else tuple(key.allowed_addresses),
        used_secret(key),
        credential,
        address,
    )
