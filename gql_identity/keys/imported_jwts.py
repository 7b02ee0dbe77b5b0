"""JWTs of Cloudforet, accepted as secrets of imported keys until a date.

At a JWT's first use its signature and claims are checked, and its digest is stored: from then on it is a secret like
any other, also after the date. A key has one JWT: where a digest is stored, no other one is accepted.
"""

import hmac
import json
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeGuard

import structlog

from .. import secret
from ..errors import InvalidArgument
from ..messages.keys import APIKeyInfo
from ..settings import Settings
from ..storage.database import Database, Document
from ..storage.jwt_issuers import find_issuer, store_jwt
from .checks import is_text
from .digests import digests_of, stored_secret
from .documents import DECISIVE, tell_unreadable, unreadable
from .records import read_key
from .rotation import note_used_secret, with_jwt
from .validity import is_valid

ALGORITHM = "RS256"
RSA_BITS = range(2048, 8193)
ATTEMPTS = 5  # where others change the key at the same time, or store its JWT first
EXTRA = "gql-identity[jwt]"  # which brings the library

log = structlog.get_logger()


class Claims(NamedTuple):
    """What a JWT of Cloudforet says: `did`, `aud` and `api_key_id`."""

    domain_id: str
    user_id: str
    key_id: str


class ImportedJwts:
    """The JWTs of imported keys, at their first use."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._peppers = settings.peppers

    def use_peppers(self, peppers: tuple[str, ...]) -> None:
        """Use other peppers from now on, today's first."""
        self._peppers = peppers

    async def first_use(self, text: str) -> APIKeyInfo | None:
        """The key of a JWT whose digest is not stored yet; it is stored now, if the key is valid.

        None for a JWT that is wrong, or of a domain whose JWTs are not accepted now.
        """
        if (claims := read_claims(text)) is None:
            return None
        issuer = await find_issuer(self._database, claims.domain_id)
        if not self._is_accepted(issuer) or not _is_signed(text, issuer["public_key"]):
            return None
        made, hint = stored_secret(text, self._peppers[0]), secret.hint(text)
        where = {"domain_id": claims.domain_id, "_id": claims.key_id}
        for _ in range(ATTEMPTS):
            document = await self._database.find_one(where)
            if document is None or document.get("user_id") != claims.user_id:
                return None
            if names := unreadable(document, DECISIVE):
                tell_unreadable(document, names)
                return None
            changes = _with_jwt(document, made, hint)
            if changes is None:
                return None
            key = read_key(document | changes)
            note_used_secret(key, document | changes, made["digest"])
            if not changes or not is_valid(key):
                return key
            if await store_jwt(self._database, document, changes):
                log.info("a JWT of Cloudforet was used for the first time", api_key_id=key.api_key_id)
                return key
        return None

    async def are_accepted(self, domain_id: str) -> bool:
        """Whether JWTs of a domain are accepted now. Raises what `Database.run` does."""
        return self._is_accepted(await find_issuer(self._database, domain_id))

    def _is_accepted(self, issuer: Document | None) -> TypeGuard[Document]:
        if issuer is None:
            return False
        try:
            if issuer["until"] <= datetime.now(UTC):
                return False
            return any(hmac.compare_digest(issuer["seal"], _seal(issuer, pepper)) for pepper in self._peppers)
        except (KeyError, TypeError, AttributeError):  # something else wrote it
            return False


def sealed_issuer(domain_id: str, public_key: Any, until: datetime, pepper: str) -> Document:
    """What is stored of a domain whose JWTs are accepted until an instant.

    Raises InvalidArgument for a key that is no RSA key of 2048 to 8192 bits.
    """
    stored = _public_rsa_key(public_key)
    issuer: Document = {"_id": domain_id, "public_key": stored, "until": until}
    return issuer | {"seal": _seal(issuer, pepper)}


def has_library() -> bool:
    """Whether the library that checks signatures is installed."""
    return find_spec("joserfc") is not None


def read_claims(text: str) -> Claims | None:
    """The claims of a JWT, which are not verified; None where they are not those of Cloudforet's keys.

    Those have no end: a JWT with `exp` is another, and none that may become a secret for good.
    """
    payload = text.split(".")[1]
    try:
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(claims, dict) or claims.get("cat") != "API_KEY" or "exp" in claims:
        return None
    values: list[Any] = [claims.get(name) for name in ("did", "aud", "api_key_id")]
    if not all(isinstance(value, str) and is_text(value) for value in values):
        return None
    return Claims(*values)


def _is_signed(text: str, public_key: Any) -> bool:
    try:
        from joserfc import jws
        from joserfc.jwk import RSAKey
    except ImportError:
        log.warning(f"a JWT of Cloudforet was refused: install {EXTRA}, which checks its signature")
        return False
    try:
        jws.deserialize_compact(text, RSAKey.import_key(public_key), algorithms=[ALGORITHM])
    except Exception:  # the text is a stranger's, and whatever cannot be verified is refused
        return False
    return True


def _public_rsa_key(public_key: Any) -> dict[str, str]:
    """The public members of a JSON Web Key (RFC 7518, section 6.3.1) and nothing else."""
    members: dict[str, Any] = (
        {name: public_key.get(name) for name in ("kty", "n", "e")} if isinstance(public_key, dict) else {}
    )
    if members.get("kty") != "RSA" or not all(isinstance(value, str) for value in members.values()):
        raise InvalidArgument("it is not a public RSA key.", at="pub_jwk")
    try:
        number = urlsafe_b64decode(members["n"] + "=" * (-len(members["n"]) % 4))
        bits = int.from_bytes(number).bit_length()
        from joserfc.jwk import RSAKey

        RSAKey.import_key(members)
    except Exception:  # the library raises errors of several libraries
        raise InvalidArgument("it cannot be read as an RSA key.", at="pub_jwk") from None
    if bits not in RSA_BITS:
        raise InvalidArgument(f"it has {bits} bits, and must have {RSA_BITS[0]} to {RSA_BITS[-1]}.", at="pub_jwk")
    return members


def _seal(issuer: Document, pepper: str) -> bytes:
    # So whoever can only write to the database cannot add a key of their own, or move the date.
    key = issuer["public_key"]
    return secret.digest(json.dumps([issuer["_id"], key["n"], key["e"], issuer["until"].isoformat()]), pepper)


def _with_jwt(document: Document, made: Document, hint: str) -> Document | None:
    """The fields to set so that a key has the digest of its JWT, none where it has it.

    None for a key that has another one, or none that is a JWT's.
    """
    digests = digests_of(document)
    if made["digest"] in digests:
        return {}
    if None not in digests:
        return None
    return with_jwt(document, digests.index(None), made, hint)
