"""The keys that sign tokens: made, published a day before their first token, used for 30 days, and withdrawn."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import ECKey, RSAKey, import_key

from ..errors import ServiceError, StartError, Unavailable
from ..keys.records import now
from ..settings import Settings
from ..storage.database import Database, Document
from ..storage.signing_keys import (
    delete_signing_keys,
    insert_signing_key,
    read_signing_keys,
    reseal_signing_key,
)
from .sealing import open_sealed, seal
from .shared_reads import SharedRead

LONGEST_TOKEN = timedelta(hours=1)
USED_FOR = timedelta(days=30)
# Verifiers may keep the published set for so long: a key is published that much before its first token, and after the
# last token of the key before it has ended.
PUBLISHED_FOR = timedelta(days=1)
MADE_AHEAD = PUBLISHED_FOR + timedelta(hours=1)
READ_SECONDS = 10.0  # between reads of the collection: other workers make and withdraw keys too
READ_AGAIN_SECONDS = 1.0  # at least between reads for tokens of an unknown key
RSA_BITS = 2048
MAX_FILE_BYTES = 65_536
ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}
# The members of a private JSON Web Key that are the key itself (RFC 7518, sections 6.2 and 6.3).
_PARAMETERS = {"RSA": ("kty", "n", "e", "d", "p", "q", "dp", "dq", "qi"), "EC": ("kty", "crv", "x", "y", "d")}

log = structlog.get_logger()

Key = RSAKey | ECKey


class SigningKey(NamedTuple):
    """A key that is published, with its private part."""

    kid: str  # its thumbprint (RFC 7638)
    algorithm: str
    key: Key
    signs_from: datetime

    @property
    def published(self) -> dict[str, Any]:
        """Its JSON Web Key (RFC 7517), without the private part."""
        return {**self.key.as_dict(private=False), "kid": self.kid, "alg": self.algorithm, "use": "sig"}


class SigningKeys:
    """The signing keys of a database, or those of a file."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._algorithm = settings.signing_algorithm
        self._peppers = settings.peppers
        self._from_file = settings.signing_key_file is not None
        self._keys: tuple[SigningKey, ...] = ()  # the oldest first
        self._by_id: dict[str, SigningKey] = {}
        self._read = SharedRead(self._read_all)
        if settings.signing_key_file is not None:
            self._take(read_file(settings.signing_key_file))

    def use_peppers(self, peppers: tuple[str, ...]) -> None:
        """Use other peppers from now on, today's first."""
        self._peppers = peppers

    @property
    def published(self) -> tuple[SigningKey, ...]:
        """The keys of the JWKS. Raises Unavailable before they were read."""
        if not self._keys:
            raise Unavailable("The signing keys are not read yet. Try again.")
        return self._keys

    @property
    def current(self) -> SigningKey:
        """The key that signs now: of those that may, the newest. Raises Unavailable before they were read."""
        at = now()
        may_sign = [key for key in self.published if key.signs_from <= at]
        if not may_sign:
            raise Unavailable("No signing key is in use yet. Try again.")
        return may_sign[-1]

    async def find(self, kid: str) -> SigningKey | None:
        """A published key, by its id. An unknown one is looked for in the database, at most once a second.

        Raises Unavailable where the keys cannot be read, so that nobody knows, and what `Database.run` does.
        """
        if kid in self._by_id or self._from_file:
            return self._by_id.get(kid)
        if self._read.is_under_way or time.monotonic() - self._read.tried_at >= READ_AGAIN_SECONDS:
            await self._read.wait()
        if (found := self._by_id.get(kid)) is None and self._read.failed:
            raise Unavailable("The signing keys cannot be read now. Try again.")
        return found

    async def wait_until_read(self) -> bool:
        """Wait for the first read while it is under way, as at the start; whether it was.

        Raises what `Database.run` does.
        """
        if self._keys or not self._read.is_under_way:
            return False
        await self._read.wait()
        return True

    async def keep_current(self) -> None:
        """Read the keys every few seconds and make the next one in time, until cancelled."""
        try:
            while True:
                try:
                    await self.read()
                except ServiceError:
                    pass  # the log says why the database cannot be used
                except Exception as error:
                    log.error("the signing keys cannot be read", reason=type(error).__name__)
                await asyncio.sleep(READ_SECONDS if self._keys else READ_AGAIN_SECONDS)
        finally:
            await self._read.stop()

    async def read(self) -> None:
        """Read the keys, make the one that is due, and remove those that are over; a read under way is shared.

        Raises what `Database.run` does; then those that were read before stay.
        """
        if not self._from_file:
            await self._read.wait()

    async def _read_all(self) -> None:
        while True:
            documents = await read_signing_keys(self._database)
            at = now()
            keys, refused = await self._opened(documents)
            number = _next_number(documents)
            if not keys:
                await self._make(number, at)
            elif at >= keys[-1].signs_from + USED_FOR - MADE_AHEAD:
                await self._make(number, max(keys[-1].signs_from + USED_FOR, at + PUBLISHED_FOR))
            else:
                break
        if refused:
            log.warning("signing keys that the pepper does not open are not published", count=refused)
        over = {key.kid for key, next_ in pairwise(keys) if next_.signs_from + LONGEST_TOKEN + PUBLISHED_FOR <= at}
        if over:
            await delete_signing_keys(self._database, [one["_id"] for one in documents if one.get("kid") in over])
        self._take([key for key in keys if key.kid not in over])

    async def rotate(self, *, at_once: bool) -> SigningKey:
        """Make the next key, which signs in a day.

        `at_once`, for a key that was stolen: it signs from now on, and all others are withdrawn. Their tokens are
        refused here within seconds, and elsewhere once a verifier reads the keys again. Raises what `Database.run`
        does, and StartError for keys from a file.
        """
        if self._from_file:
            raise StartError("The signing key is that of GQL_IDENTITY_SIGNING_KEY_FILE: change the file, then restart.")
        while True:
            documents = await read_signing_keys(self._database)
            made = await self._make(_next_number(documents), now() if at_once else now() + PUBLISHED_FOR)
            if made is not None:
                break
        if at_once:
            await delete_signing_keys(self._database, [document["_id"] for document in documents])
        return made

    async def _make(self, number: int, signs_from: datetime) -> SigningKey | None:
        """Make and store a key; None where another worker was first."""
        key = await asyncio.to_thread(_generate, self._algorithm)
        kid = key.thumbprint()
        document: Document = {
            "_id": number,
            "kid": kid,
            "algorithm": self._algorithm,
            "public": key.as_dict(private=False),
            "signs_from": signs_from,
        }
        if not await insert_signing_key(self._database, seal(document, key.as_dict(private=True), self._peppers[0])):
            return None
        log.info("a signing key was made", kid=kid, signs_from=signs_from.isoformat())
        return SigningKey(kid, self._algorithm, key, signs_from)

    async def _opened(self, documents: list[Document]) -> tuple[list[SigningKey], int]:
        keys, refused = list[SigningKey](), 0
        for document in documents:
            if (opened := open_sealed(document, self._peppers)) is None:
                refused += 1
                continue
            private, pepper = opened
            if pepper != self._peppers[0]:
                await reseal_signing_key(self._database, document, seal(document, private, self._peppers[0]))
            known = self._by_id.get(document["kid"])
            key = known.key if known is not None else _import(private)
            keys.append(SigningKey(document["kid"], document["algorithm"], key, document["signs_from"]))
        return sorted(keys, key=lambda key: key.signs_from), refused

    def _take(self, keys: list[SigningKey]) -> None:
        self._keys, self._by_id = tuple(keys), {key.kid: key for key in keys}


def read_file(path: Path) -> list[SigningKey]:
    """The keys of a file: a JSON Web Key, a set of them, or a private key in PEM. The first one signs.

    Raises StartError that says what is wrong and shows nothing of the file.
    """
    name = "GQL_IDENTITY_SIGNING_KEY_FILE"
    try:
        content = path.read_bytes()
        if len(content) > MAX_FILE_BYTES:
            raise StartError(f"{name}: {path} has more than {MAX_FILE_BYTES} bytes.")
    except OSError as error:
        raise StartError(f"{name}: {path} cannot be read: {error.strerror}.") from None
    try:
        if content.lstrip().startswith(b"{"):
            read = json.loads(content)
            keys = [_import_signing(one) for one in read.get("keys", [read])]
        else:
            keys = [_import_pem(content)]
        if not keys:
            raise ValueError
    except Exception:  # the libraries raise errors of many kinds, which may show a part of the file
        raise StartError(
            f"{name}: {path} has no private key that signs tokens: give an RSA key of 2048 to 4096 bits, or an EC key "
            "of the curve P-256, in PEM or as a JSON Web Key. If the JSON Web Key has `use`, `key_ops` or `alg`, these "
            'must be "sig", contain "sign", and be "RS256" (RSA) or "ES256" (EC).'
        ) from None
    long_ago = datetime.min.replace(tzinfo=UTC)
    signs_from = [now(), *[long_ago] * (len(keys) - 1)]
    taken = [
        SigningKey(key.thumbprint(), ALGORITHMS[key.key_type], key, since)
        for key, since in zip(keys, signs_from, strict=True)
    ]
    return taken[::-1]


def _next_number(documents: list[Document]) -> int:
    return max((one["_id"] for one in documents if isinstance(one["_id"], int)), default=0) + 1


def _generate(algorithm: str) -> Key:
    return RSAKey.generate_key(RSA_BITS, private=True) if algorithm == "RS256" else ECKey.generate_key("P-256")


def _import(private: Any) -> Key:
    """A private key. Raises ValueError for one that does not sign tokens."""
    return _checked(import_key(private))


def _import_signing(entry: Any) -> Key:
    """As `_import`, for a JSON Web Key of others: of what it says of its use nothing is published, but it must fit."""
    # The library refuses to verify with a key whose `key_ops` are those of a private key, as browsers export them.
    key = _import({name: entry[name] for name in _PARAMETERS[entry["kty"]] if name in entry})
    fits = entry.get("use", "sig") == "sig" and entry.get("alg", ALGORITHMS[key.key_type]) == ALGORITHMS[key.key_type]
    operations = entry.get("key_ops", ["sign"])
    if not fits or not isinstance(operations, list) or "sign" not in operations:
        raise ValueError
    return key


def _import_pem(content: bytes) -> Key:
    """As `_import`, for PEM."""
    is_rsa = isinstance(load_pem_private_key(content, None), RSAPrivateKey)
    return _checked(RSAKey.import_key(content) if is_rsa else ECKey.import_key(content))


def _checked(key: Any) -> Key:
    if not isinstance(key, RSAKey | ECKey) or not key.is_private:
        raise ValueError
    if isinstance(key, RSAKey) and not 2048 <= key.private_key.key_size <= 4096:  # type: ignore[union-attr]
        raise ValueError
    if isinstance(key, ECKey) and key.curve_name != "P-256":
        raise ValueError
    return key
