"""Tokens for keys: JSON Web Tokens by RFC 9068, made here and accepted here again."""

import time
import uuid
from typing import Any, NamedTuple

from joserfc import jwt

from ..keys.access import Caller
from ..keys.checks import is_text
from ..settings import Settings
from .jwt_parts import CLAIMS, HEADER, read_part
from .signing_keys import SigningKey, SigningKeys

TYPE = "at+jwt"  # RFC 9068, section 2.1: so that no other JWT of this issuer is taken for an access token


class Token(NamedTuple):
    """A token that was made."""

    text: str
    token_id: str
    expires_at: int  # seconds since 1970
    life_seconds: int
    audience: str

    @property
    def half_life_at(self) -> float:
        """When half of its life is over, in seconds since 1970."""
        return self.expires_at - self.life_seconds / 2


class Claims(NamedTuple):
    """What a token of ours says, once its signature has been checked."""

    issuer: str
    domain_id: str
    key_id: str
    user_id: str
    role: str
    secret_number: int  # of the secret that it was made for
    scopes: frozenset[str] | None
    audience: str
    issued_at: int
    expires_at: int
    token_id: str

    @property
    def is_over(self) -> bool:
        """Whether its end has come."""
        return time.time() >= self.expires_at


class Issuer:
    """Makes and checks tokens in the name of `GQL_IDENTITY_ISSUER`."""

    def __init__(self, keys: SigningKeys, settings: Settings) -> None:
        assert settings.issuer is not None  # noqa: S101 - made only where it is set
        self.name = settings.issuer
        self.audiences = settings.audiences or (settings.issuer,)
        self.keys = keys

    def mint(
        self, caller: Caller, lifetime_seconds: int, scopes: frozenset[str] | None, audience: str | None = None
    ) -> Token | None:
        """A token for a caller's key, which ends no later than the key and the secret that was sent.

        `scopes` must be within the key's; None where it has no list. None where the key ends within a second. Raises
        Unavailable before the signing keys were read.
        """
        now = int(time.time())
        ends = [end.timestamp() for end in (caller.expires_at, caller.secret.expires_at) if end is not None]
        expires_at = int(min([now + lifetime_seconds, *ends]))
        if expires_at <= now:
            return None
        audience, token_id = audience or self.audiences[0], uuid.uuid4().hex
        claims: dict[str, Any] = {
            "iss": self.name,
            "sub": caller.user_id,
            "aud": audience,
            "client_id": caller.key_id,
            "iat": now,
            "exp": expires_at,
            "jti": token_id,
            "domain_id": caller.domain_id,
            "role": caller.role.name,
            "secret_number": caller.secret.number,
        }
        if scopes is not None:
            claims["scope"] = " ".join(sorted(scopes))
        signing = self.keys.current
        header = {"typ": TYPE, "alg": signing.algorithm, "kid": signing.kid}
        text = jwt.encode(header, claims, signing.key, algorithms=[signing.algorithm])
        return Token(text, token_id, expires_at, expires_at - now, audience)

    def is_ours(self, text: str) -> bool:
        """Whether a text says that it is a token of this issuer; nothing of it is checked."""
        claims = read_part(text, CLAIMS)
        return claims is not None and claims.get("iss") == self.name

    async def check(self, text: str) -> Claims | None:
        """As `read`, for a token that is not over; None for one that is."""
        claims = await self.read(text)
        return None if claims is None or claims.is_over else claims

    async def read(self, text: str) -> Claims | None:
        """The claims of a token of ours that is signed and typed; None for any other text.

        Whether its key is still valid is another question. Raises what `SigningKeys.find` does.
        """
        header = read_part(text, HEADER)
        if header is None or not _is_our_header(header) or (key := await self.keys.find(header["kid"])) is None:
            return None
        claims = _verified(text, key)
        if claims is None or claims.get("iss") != self.name or claims.get("aud") not in self.audiences:
            return None
        return _read(claims, self.name)


def _is_our_header(header: dict[str, Any]) -> bool:
    # `crit`, `jku`, `jwk`, `x5c`, `x5u` and the like: no token of ours has them.
    if header.keys() != {"typ", "alg", "kid"} or not isinstance(header["kid"], str):
        return False
    return isinstance(header["typ"], str) and header["typ"].lower() in (TYPE, f"application/{TYPE}")


def _verified(text: str, key: SigningKey) -> dict[str, Any] | None:
    try:
        return jwt.decode(text, key.key, algorithms=[key.algorithm]).claims
    except Exception:  # the text is a stranger's, and whatever cannot be verified is refused
        return None


def _read(claims: dict[str, Any], issuer: str) -> Claims | None:
    texts: list[Any] = [claims.get(name) for name in ("domain_id", "client_id", "sub", "role", "aud", "jti")]
    numbers: list[Any] = [claims.get(name) for name in ("secret_number", "iat", "exp")]
    scope = claims.get("scope")
    if not all(isinstance(text, str) and is_text(text) for text in texts[:4]) or not isinstance(scope, str | None):
        return None
    if not all(type(number) is int for number in numbers):
        return None
    domain_id, key_id, user_id, role, audience, token_id = texts
    number, issued_at, expires_at = numbers
    scopes = None if scope is None else frozenset(scope.split())
    return Claims(
        issuer, domain_id, key_id, user_id, role, number, scopes, audience, issued_at, expires_at, str(token_id)
    )
