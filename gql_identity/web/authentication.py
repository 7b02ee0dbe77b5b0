"""Authentication: the `Caller` of a credential (RFC 6750)."""

from pydantic import SecretStr
from starlette.types import Scope

from ..errors import Unauthenticated
from ..keys.access import Caller
from ..keys.addresses import is_allowed
from ..keys.credentials import INVALID_KEY, Credentials
from ..keys.rates import Rates
from ..keys.records import makers_of
from ..keys.validity import code_of, end_of, is_valid, used_secret
from ..messages.keys import APIKeyInfo
from ..metrics import REFUSED_CREDENTIALS
from ..settings import Settings
from .clients import Place, address_of


class Authenticator:
    """Finds the caller of a request, and counts the request."""

    def __init__(self, credentials: Credentials, rates: Rates, settings: Settings) -> None:
        self._credentials = credentials
        self._rates = rates
        self._settings = settings

    async def authenticate(self, scope: Scope) -> Caller | None:
        """The caller that the Authorization header names (RFC 6750, section 2.1); None without such a header.

        Raises Unauthenticated for a header that is not `Bearer SECRET`, and for a key that is wrong, disabled,
        expired or deleted; ResourceExhausted for a caller, or an address that sends wrong keys, above its rate limit,
        and for one that has too many requests under way.
        """
        sent = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        # Several headers count as one invalid credential: a proxy may have checked another one than the service would.
        if sent:
            return await self.identify(", ".join(sent), scope)
        if (place := _place(scope)) is not None:
            place.check()
        return None

    async def identify(self, authorization: str, scope: Scope) -> Caller:
        """As `authenticate`, for the value of an Authorization header that was sent outside the HTTP headers."""
        scheme, _, secret = authorization.strip().partition(" ")
        is_bearer, secret = scheme.lower() == "bearer", secret.strip()
        place = _place(scope)
        key = await self._credentials.find(secret) if is_bearer else None
        address, refused = address_of(scope, self._settings), None
        if key is None or not is_valid(key):
            refused = Unauthenticated(INVALID_KEY) if is_bearer else Unauthenticated()
        elif not is_allowed(key.allowed_addresses, address):
            refused = Unauthenticated("This key may not be used from this address.")
        if key is None or refused is not None:
            scope["caller"] = None  # a WebSocket's key was valid before
            if place is not None:
                # Only now: a valid key counts for its user, whatever else comes from its address.
                place.check()
            REFUSED_CREDENTIALS.add(_reason(key) if is_bearer else "NOT_BEARER")
            await self._count_failure(scope)
            raise refused or Unauthenticated()
        scopes = None if key.scopes is None else frozenset(key.scopes)
        secret_sent = used_secret(key)
        caller = Caller(
            key.api_key_id,
            key.domain_id,
            key.user_id,
            key.role,
            makers_of(key),
            key.expires_at,
            scopes,
            None if key.allowed_addresses is None else tuple(key.allowed_addresses),
            secret_sent,
            SecretStr(secret),
            address,
        )
        scope["caller"] = caller  # for the log line, also of a request above its rate limit
        if (end := end_of(key)) is not None:
            scope["caller_expires_at"] = end
        if place is not None:
            place.move_to(caller)
        await self._rates.request(caller)
        self._credentials.last_uses.record(key.api_key_id, key.domain_id, secret_sent.number)
        return caller

    async def require(self, scope: Scope) -> Caller:
        """As `authenticate`, but raises Unauthenticated without an Authorization header too."""
        if (caller := await self.authenticate(scope)) is None:
            raise Unauthenticated
        return caller

    async def _count_failure(self, scope: Scope) -> None:
        # Addresses are limited only after a failure: a valid key works whatever else its address sends.
        await self._rates.failed_credential(address_of(scope, self._settings))


def _reason(key: APIKeyInfo | None) -> str:
    """Why a secret is refused, in the words of verification."""
    if key is None:
        return "NOT_FOUND"
    return "ADDRESS_NOT_ALLOWED" if is_valid(key) else code_of(key).name


def _place(scope: Scope) -> Place | None:
    """The place of an HTTP request among those under way; None for a WebSocket."""
    place: Place | None = scope.get("place")
    return place
