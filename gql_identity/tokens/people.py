"""`People`: callers with a token of an OpenID issuer (RFC 9068 and its kin), as `GQL_IDENTITY_ISSUERS` maps them.

The signature is checked by the issuer's published key alone: where a header says that its key is (`jku`, `x5u`, `jwk`,
`x5c`) is never looked at.
"""

import json
import math
import ssl
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from joserfc.jws import JWSRegistry, deserialize_compact

from ..issuers import OpenIDIssuer, claim
from ..keys.access import Caller
from ..keys.checks import is_text
from ..keys.scopes import MAX_CHARACTERS, MAX_SCOPES, is_scope
from ..keys.validity import UsedSecret
from ..messages.values import APIKeyRole
from ..secret import contains_secret
from ..settings import Settings
from .jwt_parts import CLAIMS, HEADER, MAX_TOKEN, read_part
from .key_sets import ALGORITHMS, Key, KeySet, reading

LEEWAY_SECONDS = 60
TYPES = frozenset({"at+jwt", "application/at+jwt", "jwt", "application/jwt"})
# An id token says who signed in somewhere, a logout token that somebody left, and `cnf` that the sender must prove to
# have a key, which nobody checks here: none of them opens anything.
_OF_OTHER_TOKENS = ("nonce", "at_hash", "c_hash", "s_hash", "events", "cnf")
_OTHER_USES = {"typ": ("ID", "Refresh", "Offline", "Logout"), "token_use": ("id",)}  # Keycloak's, and Cognito's


class Refusal(Enum):
    """Why a token is refused, for the log: who sent it is told nothing of it."""

    HEADER = "TOKEN_HEADER"
    KEY = "TOKEN_KEY"
    SIGNATURE = "TOKEN_SIGNATURE"
    ISSUER = "TOKEN_ISSUER"
    AUDIENCE = "TOKEN_AUDIENCE"
    TIME = "TOKEN_TIME"
    KIND = "TOKEN_KIND"
    PERSON = "TOKEN_PERSON"


class People:
    """The callers of OpenID issuers."""

    def __init__(self, settings: Settings) -> None:
        tls = ssl.create_default_context()
        self._issuers = {one.issuer: (one, KeySet(one, tls)) for one in settings.issuers}

    def reading(self) -> AbstractAsyncContextManager[None]:
        """A block in which the issuers' keys are read."""
        return reading([key_set for _, key_set in self._issuers.values()])

    def are_of(self, text: str) -> bool:
        """Whether a text says that it is a token of one of the issuers; nothing of it is checked."""
        claims = read_part(text, CLAIMS)
        return claims is not None and isinstance(issuer := claims.get("iss"), str) and issuer in self._issuers

    async def find(self, text: str, address: str = "") -> Caller | Refusal:
        """The person whose token this is, or why it is refused; for a text of which `are_of` is true.

        Raises Unavailable where the issuer's keys cannot be read.
        """
        header, named = read_part(text, HEADER), read_part(text, CLAIMS)
        if header is None or named is None or not _is_accepted(header):
            return Refusal.HEADER
        issuer, key_set = self._issuers[named["iss"]]
        if (key := await key_set.find(header["kid"], header["alg"])) is None:
            return Refusal.KEY
        claims = _verified(text, key, header["alg"])
        return Refusal.SIGNATURE if claims is None else _person(claims, issuer, address)


def _is_accepted(header: dict[str, Any]) -> bool:
    texts: list[Any] = [header.get("alg"), header.get("kid"), header.get("typ", "JWT")]
    if not all(isinstance(text, str) for text in texts) or "crit" in header:
        return False
    return texts[0] in ALGORITHMS and texts[2].lower() in TYPES


class _Registry(JWSRegistry):
    """Signatures by the one algorithm of the header, whatever else the header has."""

    max_header_length = MAX_TOKEN

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm], strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        # The library warns of each use of the old name. A key of this name has the curve Ed25519.
        return self.algorithms["Ed25519"] if name == "EdDSA" and name in (self.allowed or ()) else super().get_alg(name)


def _verified(text: str, key: Key, algorithm: str) -> dict[str, Any] | None:
    try:
        claims = json.loads(deserialize_compact(text, key, registry=_Registry(algorithm)).payload)
    except Exception:  # the text is a stranger's, and whatever cannot be verified is refused
        return None
    return claims if isinstance(claims, dict) else None


def _person(claims: dict[str, Any], issuer: OpenIDIssuer, address: str) -> Caller | Refusal:
    if claims.get("iss") != issuer.issuer:
        return Refusal.ISSUER
    audience = claims.get("aud")
    if issuer.audience not in (audience if isinstance(audience, list) else [audience]):
        return Refusal.AUDIENCE
    if any(name in claims for name in _OF_OTHER_TOKENS):
        return Refusal.KIND
    if any(claims.get(name) in uses for name, uses in _OTHER_USES.items() if isinstance(claims.get(name), str)):
        return Refusal.KIND
    expires_at, now = _instant(claims.get("exp")), time.time()
    not_before = _instant(claims["nbf"]) if "nbf" in claims else 0.0
    if expires_at is None or now >= expires_at + LEEWAY_SECONDS:
        return Refusal.TIME
    if not_before is None or now < not_before - LEEWAY_SECONDS:
        return Refusal.TIME
    domain_id: Any = issuer.domain if issuer.domain_claim is None else claim(claims, issuer.domain_claim)
    user_id = claim(claims, issuer.user_claim)
    if not all(isinstance(text, str) and is_text(text) and not contains_secret(text) for text in (domain_id, user_id)):
        return Refusal.PERSON
    end = datetime.fromtimestamp(expires_at + LEEWAY_SECONDS, UTC)
    return Caller(
        key_id="",
        domain_id=domain_id,
        user_id=user_id,
        role=_role(claims, issuer),
        scopes=_scopes(claims, issuer),
        # The token ends, and not the person: keys that they make do not end with it.
        secret=UsedSecret(0, end),
        address=address,
        issuer=issuer.issuer,
    )


def _instant(value: Any) -> float | None:
    """Seconds since 1970 as a token has them (RFC 7519, section 2: they may have a fraction); None for others."""
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value < _YEAR_9999:
        return None
    return float(value)


_YEAR_9999 = 253_370_764_800


def _role(claims: dict[str, Any], issuer: OpenIDIssuer) -> APIKeyRole:
    """The highest of the roles that the setting gives for values of the claim; USER where it gives none."""
    roles = [APIKeyRole.USER]
    if issuer.roles_claim is not None:
        value = claim(claims, issuer.roles_claim)
        values = value if isinstance(value, list) else [value]
        roles += [APIKeyRole[issuer.roles[one]] for one in values if isinstance(one, str) and one in issuer.roles]
    return max(roles, key=lambda role: role.rank)


def _scopes(claims: dict[str, Any], issuer: OpenIDIssuer) -> frozenset[str] | None:
    """The scopes that the claim lists; without a claim, or with one that cannot be read, none at all.

    None if the setting names no claim: the person may do what the role may.
    """
    if issuer.scopes_claim is None:
        return None
    value = claim(claims, issuer.scopes_claim)
    listed = value.split(" ") if isinstance(value, str) else value
    if not isinstance(listed, list):
        return frozenset()
    scopes = [one for one in listed if isinstance(one, str) and is_scope(one)][:MAX_SCOPES]
    return frozenset(scopes) if sum(map(len, scopes)) <= MAX_CHARACTERS else frozenset()
