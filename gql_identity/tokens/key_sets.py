"""The public keys of OpenID issuers (JWKS, RFC 7517): read when a token needs them, and kept for a while.

Reads are bounded in time, bytes and number, and belong to no request: those who need them wait for them together.
"""

import asyncio
import ssl
import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import structlog
from joserfc.jwk import ECKey, OKPKey, RSAKey

from ..errors import Unavailable
from ..issuers import OpenIDIssuer, check_url
from ..metrics import ISSUER_READ_FAILURES
from .shared_reads import SharedRead
from .web_reads import WebReadError, read_json

KEPT_SECONDS = 600.0
# Between reads for keys that are not known, and after one that failed. Without any keys it is tried again sooner.
AGAIN_SECONDS = 30.0
FIRST_AGAIN_SECONDS = 5.0
MAX_KEYS = 100
RSA_BITS = range(2_048, 8_193)
MAX_EXPONENT_BITS = 64  # with a longer one, to check a signature takes as long as to make one
DISCOVERY = "/.well-known/openid-configuration"
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
RSA_ALGORITHMS = frozenset({f"{kind}{bits}" for kind in ("RS", "PS") for bits in (256, 384, 512)})
# Ed25519's name of before RFC 9864, which most issuers still give; other curves have that name too.
ED25519 = frozenset({"Ed25519", "EdDSA"})
ALGORITHMS = RSA_ALGORITHMS | ED25519 | frozenset(CURVES.values())

log = structlog.get_logger()

Key = RSAKey | ECKey | OKPKey


class VerifyingKey(NamedTuple):
    """A public key of an issuer, and the algorithms that it may be used with."""

    key: Key
    algorithms: frozenset[str]


class KeySet:
    """The keys of one issuer."""

    def __init__(self, issuer: OpenIDIssuer, tls: ssl.SSLContext) -> None:
        self._issuer = issuer
        self._tls = tls
        self._keys: dict[str, list[VerifyingKey]] | None = None  # by their ids
        self._read_at = 0.0  # when the last read that succeeded began
        self.read = SharedRead(self._read_all)

    async def find(self, kid: str, algorithm: str) -> Key | None:
        """The key of this id, if it may be used with the algorithm; None where the issuer has no such key.

        Raises Unavailable where the issuer's keys cannot be read, so that nobody knows.
        """
        if self._is_due(kid):
            with suppress(Exception):  # the log says why
                await self.read.wait()
        if (found := (self._keys or {}).get(kid)) is None and self.read.failed:
            raise Unavailable("The keys of the issuer of this token cannot be read now. Try again.")
        return next((one.key for one in found or () if algorithm in one.algorithms), None)

    def _is_due(self, kid: str) -> bool:
        now = time.monotonic()
        if self.read.is_under_way:
            # Whoever has its key does not wait for a read that began for another one.
            return self._keys is None or kid not in self._keys or now - self._read_at >= KEPT_SECONDS
        if self._keys is None:
            return now - self.read.tried_at >= FIRST_AGAIN_SECONDS
        if now - self.read.tried_at < AGAIN_SECONDS:
            return False
        return kid not in self._keys or now - self._read_at >= KEPT_SECONDS

    async def _read_all(self) -> None:
        began = time.monotonic()
        try:
            read = await read_json(await self._find_uri(), self._tls)
            # Many large keys take long to read, and the event loop must not wait.
            keys = await asyncio.to_thread(_keys_of, read)
        except Exception as error:  # what a stranger sends may raise anything
            reason = str(error) if isinstance(error, WebReadError) else type(error).__name__
            log.warning("the keys of an OpenID issuer cannot be read", issuer=self._issuer.issuer, reason=reason)
            ISSUER_READ_FAILURES.add()
            raise
        self._keys, self._read_at = keys, began

    async def _find_uri(self) -> str:
        """Where the keys are: by the setting, or by the issuer's metadata (OpenID Connect Discovery, section 4)."""
        if self._issuer.jwks_uri is not None:
            return self._issuer.jwks_uri
        metadata = await read_json(self._issuer.issuer.rstrip("/") + DISCOVERY, self._tls)
        if metadata.get("issuer") != self._issuer.issuer:
            raise WebReadError("its metadata name another `issuer`")
        uri = metadata.get("jwks_uri")
        try:
            if not isinstance(uri, str):
                raise ValueError("there is none")
            check_url(uri, may_be_http=self._issuer.is_on_loopback, may_have_query=True)
        except ValueError as error:
            raise WebReadError(f"the `jwks_uri` of its metadata: {error}") from None
        return uri


@asynccontextmanager
async def reading(key_sets: list[KeySet]) -> AsyncIterator[None]:
    """A block at whose beginning the keys are first read: nobody waits for it, and the log tells of failures."""
    for one in key_sets:
        one.read.begin()
    try:
        yield
    finally:
        for one in key_sets:
            await one.read.stop()


def _keys_of(read: dict[str, Any]) -> dict[str, list[VerifyingKey]]:
    """The keys of a set that sign tokens, by their ids. Others are left out (RFC 7517, section 5)."""
    entries = read.get("keys")
    if not isinstance(entries, list):
        raise WebReadError("it is no set of keys")
    if len(entries) > MAX_KEYS:
        raise WebReadError(f"it has more than {MAX_KEYS} keys")
    keys: dict[str, list[VerifyingKey]] = {}
    for entry in entries:
        if isinstance(entry, dict) and isinstance(kid := entry.get("kid"), str):
            try:
                key = _key_of(entry)
            except Exception:  # the libraries raise errors of many kinds
                key = None
            if key is not None:
                keys.setdefault(kid, []).append(key)
    if not keys:
        raise WebReadError("it has no key that is accepted")
    return keys


def _key_of(entry: dict[str, Any]) -> VerifyingKey | None:
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        return None
    key: Key
    match entry:
        case {"kty": "RSA", "n": str(n), "e": str(e)}:
            if _bits(n) not in RSA_BITS or _bits(e) > MAX_EXPONENT_BITS:
                return None
            key, algorithms = RSAKey.import_key({"kty": "RSA", "n": n, "e": e}), RSA_ALGORITHMS
        case {"kty": "EC", "crv": str(curve), "x": str(x), "y": str(y)} if curve in CURVES:
            key, algorithms = ECKey.import_key({"kty": "EC", "crv": curve, "x": x, "y": y}), frozenset({CURVES[curve]})
        case {"kty": "OKP", "crv": "Ed25519", "x": str(x)}:
            key, algorithms = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x}), ED25519
        case _:
            return None
    if (algorithm := entry.get("alg")) is not None:
        # A key of curve Ed25519 may be used under both names, whichever of them it has.
        algorithms = algorithms if algorithm in algorithms & ED25519 else algorithms & {algorithm}
    return VerifyingKey(key, algorithms) if algorithms else None


def _bits(text: str) -> int:
    return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4))).bit_length()
