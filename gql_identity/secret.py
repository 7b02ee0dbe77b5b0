"""Make, check and digest secrets. Pure.

A secret is `gqlid_`, 43 base62 characters (256 random bits), and 6 base62 characters of a CRC-32 over the characters
before. With the checksum a scanner can tell a leaked key from other text, and a typo costs no look-up.
"""

import hmac
import re
import secrets
import string
import zlib
from functools import cache

PREFIX = "gqlid_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_CHARACTERS = 43
CHECKSUM_CHARACTERS = 6
JWT_PREFIX = "eyJ"  # of a JSON object in base64
MAX_JWT = 4096  # characters
LENGTH = len(PREFIX) + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS
_ALPHABET = frozenset(ALPHABET)
_JWT = re.compile(rf"{JWT_PREFIX}[\w-]+\.{JWT_PREFIX}[\w-]+\.[\w-]+", re.ASCII)


def make_secret() -> str:
    """A new secret of 256 random bits."""
    return _secret(secrets.randbits(256))


def derive_secret(own: str, request_id: str, salt: bytes) -> str:
    """The secret that a request makes: 256 bits by HKDF-SHA256 (RFC 5869) from the sender's own secret and a salt."""
    extracted = hmac.digest(salt, own.encode(), "sha256")
    expanded = hmac.digest(extracted, f"a secret for the request {request_id}".encode() + b"\x01", "sha256")
    return _secret(int.from_bytes(expanded))


def _secret(number: int) -> str:
    body = PREFIX + _base62(number, RANDOM_CHARACTERS)
    return body + _checksum(body)


def is_well_formed(secret: str) -> bool:
    """Whether the prefix, length, alphabet and checksum of a text are those of a secret."""
    if len(secret) != LENGTH or not secret.startswith(PREFIX) or not _ALPHABET.issuperset(secret[len(PREFIX) :]):
        return False
    return hmac.compare_digest(_checksum(secret[:-CHECKSUM_CHARACTERS]), secret[-CHECKSUM_CHARACTERS:])


def is_jwt(text: str) -> bool:
    """Whether a text has the form of a signed JWT (RFC 7519), as keys of Cloudforet have."""
    return text.startswith(JWT_PREFIX) and len(text) <= MAX_JWT and _JWT.fullmatch(text) is not None


def contains_secret(text: str) -> bool:
    """Whether a text contains a well-formed secret."""
    if PREFIX not in text:
        return False
    begins = [place for place in range(len(text)) if text.startswith(PREFIX, place)]
    return any(is_well_formed(text[place : place + LENGTH]) for place in begins)


def digest(secret: str, pepper: str) -> bytes:
    """The digest that is stored instead of a secret: 32 bytes of HMAC-SHA256 (RFC 2104), keyed with a pepper."""
    return _digest(_keyed(pepper), secret.encode())


def audit_mac(entry: bytes, pepper: str) -> bytes:
    """The MAC of an audit entry: HMAC-SHA256 (RFC 2104) under a key that is derived from a pepper."""
    return _digest(_keyed_for_audit(pepper), entry)


def _digest(keyed: hmac.HMAC, text: bytes) -> bytes:
    # Not `hmac.digest`: it releases Python's lock for a microsecond's work, and under load waits long to acquire it.
    keyed = keyed.copy()
    keyed.update(text)
    return keyed.digest()


@cache
def _keyed(pepper: str) -> hmac.HMAC:
    return hmac.new(pepper.encode(), digestmod="sha256")


@cache
def _keyed_for_audit(pepper: str) -> hmac.HMAC:
    return hmac.new(digest("the key of audit entries' MACs", pepper), digestmod="sha256")


def hint(secret: str) -> str:
    """The prefix and the last four characters of a secret, to tell keys apart; no credential."""
    return f"{JWT_PREFIX if secret.startswith(JWT_PREFIX) else PREFIX}...{secret[-4:]}"


@cache
def pepper_fingerprint(pepper: str) -> str:
    """16 hex digits that tell peppers apart and are stored: the beginning of an HMAC of a constant under the pepper.

    They help nobody to find a pepper of 128 random bits or more, and no secret has such a digest: each begins with its
    prefix.
    """
    return digest("the fingerprint of a pepper", pepper).hex()[:16]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_CHARACTERS)


def _base62(number: int, length: int) -> str:
    characters = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        characters.append(ALPHABET[digit])
    return "".join(reversed(characters))
