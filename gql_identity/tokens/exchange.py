"""`Tokens`: secrets are exchanged for tokens, and tokens are accepted as their keys' credentials."""

import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from ..errors import InvalidArgument, PermissionDenied
from ..keys.access import Caller, may_verify, require_scope
from ..keys.api_keys import ApiKeys
from ..keys.credentials import caller_of
from ..keys.newest import keep_newest
from ..keys.scopes import VERIFY, check_scopes, missing_scopes
from ..keys.validity import UsedSecret, code_from
from ..messages.keys import APIKeyExchange, APIKeyInfo
from ..messages.requests import ExchangeAPIKeyRequest
from ..messages.usage import APIKeyVerificationCode
from ..messages.values import DateTime
from ..metrics import VERIFICATIONS
from ..settings import Settings
from ..storage.database import Database
from .issuer import Claims, Issuer, Token
from .signing_keys import SigningKeys

LIFETIMES = range(60, 3_601)  # seconds
DEFAULT_SECONDS = 300
MAX_KEPT = 10_000  # tokens that proxies pass on

log = structlog.get_logger()


class FoundToken(NamedTuple):
    """A token of ours, and its key in any state."""

    claims: Claims
    key: APIKeyInfo
    caller: Caller


class Tokens:
    """The tokens of a service with an issuer."""

    def __init__(self, database: Database, api_keys: ApiKeys, settings: Settings) -> None:
        self.keys = SigningKeys(database, settings)
        self.issuer = Issuer(self.keys, settings)
        self._credentials = api_keys.credentials
        self._uses = api_keys.uses
        self._revocations = api_keys.credentials.revocations
        self._kept: OrderedDict[tuple[object, ...], Token] = OrderedDict()

    async def exchange(self, request: ExchangeAPIKeyRequest, caller: Caller) -> APIKeyExchange:
        """A token for the secret of the request, or for the caller's own. A bad secret is an answer, not an error.

        Another's secret may be exchanged by whoever may verify it. Raises InvalidArgument, InsufficientScope, and
        PermissionDenied for a caller with a token, which must not become a longer one.
        """
        if request.lifetime_seconds not in LIFETIMES:
            raise InvalidArgument(f"give {LIFETIMES[0]} to {LIFETIMES[-1]}.", at="lifetime_seconds")
        if request.audience is not None and request.audience not in self.issuer.audiences:
            raise InvalidArgument("the service makes no tokens for this audience.", at="audience")
        scopes = None if request.scopes is None else check_scopes(request.scopes)
        await self.keys.wait_until_read()  # before the key is checked, as it may take seconds
        holder = caller
        if request.api_key is not None:
            require_scope(caller, VERIFY)
            await self._credentials.check_caller(caller)
            key = await self._credentials.find(request.api_key)
            if key is None or not may_verify(caller, key.domain_id, key.user_id, key.role):
                return APIKeyExchange(code=APIKeyVerificationCode.NOT_FOUND)
            code = code_from(key, None)
            self._uses.note(key, code, None)
            if code is not APIKeyVerificationCode.VALID:
                return APIKeyExchange(code=code)
            holder = caller_of(key)
        elif caller.credential is None:
            raise PermissionDenied("A token cannot be exchanged for another token. Send the secret of the key.")
        else:
            await self._credentials.check_caller(caller)
        if scopes is not None and (missing := missing_scopes(holder.scopes, [scopes])):
            return APIKeyExchange(code=APIKeyVerificationCode.INSUFFICIENT_SCOPE, missing_scopes=missing)
        wanted = holder.scopes if scopes is None else frozenset(scopes)
        token = self.issuer.mint(holder, request.lifetime_seconds, wanted, request.audience)
        if token is None:
            return APIKeyExchange(code=APIKeyVerificationCode.EXPIRED)
        return APIKeyExchange(
            code=APIKeyVerificationCode.VALID,
            access_token=token.text,
            token_type="Bearer",  # noqa: S106 - how to send it (RFC 6750)
            expires_at=DateTime(datetime.fromtimestamp(token.expires_at, UTC)),
            scopes=None if wanted is None else sorted(wanted),
        )

    async def kept_token(self, caller: Caller) -> str | None:
        """A token for a caller's key that a proxy passes on, the same one until half of its life is over.

        One that was revoked, here or at another worker, is replaced within a second. None where the key ends within a
        second. Raises Unavailable where the signing keys were never read, InvalidToken for a key that ended while they
        were, and what `Database.run` does.
        """
        if await self.keys.wait_until_read():
            await self._credentials.check_caller(caller)  # as it may have taken seconds
        # Whatever a token says of its key is in the name of the kept one.
        ends = (caller.expires_at, caller.secret.expires_at)
        name = (caller.key_id, caller.domain_id, caller.secret.number, caller.scopes, ends, self.keys.current.kid)
        now = time.time()
        kept = self._kept.get(name)
        if kept is not None and now < kept.half_life_at and not await self._revocations.is_revoked(kept.token_id):
            return kept.text
        token = self.issuer.mint(caller, DEFAULT_SECONDS, caller.scopes)
        if token is None:
            return None
        keep_newest(self._kept, name, token, MAX_KEPT)
        return token.text

    def is_for_this_service(self, found: FoundToken) -> bool:
        """Whether a token opens this service: those for other audiences are shown to others, who must not use them."""
        return found.claims.audience == self.issuer.audiences[0]

    async def revoke(self, text: str) -> bool:
        """End a token of ours (RFC 7009): here at once, by other workers within a second. Its key stays as it is.

        Returns whether the text is a token of ours, and does nothing for any other. Raises what `SigningKeys.find` and
        `Database.run` do.
        """
        if (claims := await self.issuer.read(text)) is None:
            return False
        if claims.is_over:
            return True
        await self._revocations.revoke(claims.token_id, datetime.fromtimestamp(claims.expires_at, UTC))
        log.info("a token was revoked", api_key_id=claims.key_id, domain_id=claims.domain_id)
        return True

    async def introspect(self, text: str, address: str | None, caller: Caller) -> FoundToken | None:
        """A token that somebody else received from this address, if its key is valid and the caller may ask; else None.

        It counts as a verification of the token's key. Raises InsufficientScope, and what `find` does.
        """
        require_scope(caller, VERIFY)
        await self._credentials.check_caller(caller)
        found = await self.find(text)
        if found is not None and not may_verify(caller, found.key.domain_id, found.key.user_id, found.key.role):
            found = None
        code = APIKeyVerificationCode.NOT_FOUND if found is None else code_from(found.key, address)
        if found is not None:
            self._uses.note(found.key, code, address, by_token=True)
        VERIFICATIONS.add(code.name, "introspect")
        return found if code is APIKeyVerificationCode.VALID else None

    async def find(self, text: str, address: str = "") -> FoundToken | None:
        """A token of ours and its key in any state, by a read of at most half a second ago; None for any other text.

        Raises what `SigningKeys.find` and `Database.run` do.
        """
        if (claims := await self.issuer.check(text)) is None:
            return None
        key = await self._credentials.find_parent(claims.domain_id, claims.key_id, claims.secret_number)
        if key is None or key.user_id != claims.user_id:
            return None
        if await self._revocations.is_revoked(claims.token_id):
            return None
        caller = caller_of(key, address=address)
        end = datetime.fromtimestamp(claims.expires_at, UTC)
        secret = UsedSecret(caller.secret.number, end, caller.secret.is_superseded)
        scopes = _narrowed(caller.scopes, claims.scopes)
        return FoundToken(claims, key, caller._replace(scopes=scopes, secret=secret, token_id=claims.token_id))


def _narrowed(of_key: frozenset[str] | None, of_token: frozenset[str] | None) -> frozenset[str] | None:
    """What a token may be used for: what it says, and no more than its key has by now."""
    if of_key is None or of_token is None:
        return of_token if of_key is None else of_key
    return of_key & of_token
