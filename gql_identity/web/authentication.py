"""Authentication: the `Caller` of a credential (RFC 6750)."""

from starlette.datastructures import Headers
from starlette.types import Scope

from ..errors import Unauthenticated
from ..keys.access import Caller
from ..keys.credentials import INVALID_KEY, Credentials
from ..keys.rates import Rates, client_address
from ..keys.records import makers_of
from ..keys.validity import end_of, is_valid, used_secret
from ..settings import Settings
from .proxies import peer_of


class Authenticator:
    """Finds the caller of a request, and counts the request."""

    def __init__(self, credentials: Credentials, rates: Rates, settings: Settings) -> None:
        self._credentials = credentials
        self._rates = rates
        self._settings = settings

    async def authenticate(self, scope: Scope) -> Caller | None:
        """The caller that the Authorization header names (RFC 6750, section 2.1); None without such a header.

        Raises Unauthenticated for a header that is not `Bearer SECRET`, and for a key that is wrong, disabled,
        expired or deleted; ResourceExhausted for a caller, or an address that sends wrong keys, above its rate limit.
        """
        sent = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        # Several headers count as one invalid credential: a proxy may have checked another one than the service would.
        return await self.identify(", ".join(sent), scope) if sent else None

    async def identify(self, authorization: str, scope: Scope) -> Caller:
        """As `authenticate`, for the value of an Authorization header that was sent outside the HTTP headers."""
        scheme, _, secret = authorization.strip().partition(" ")
        is_bearer = scheme.lower() == "bearer"
        key = await self._credentials.find(secret.strip()) if is_bearer else None
        if key is None or not is_valid(key):
            scope["caller"] = None  # a WebSocket's key was valid before
            await self._count_failure(scope)
            raise Unauthenticated(INVALID_KEY) if is_bearer else Unauthenticated()
        scopes = None if key.scopes is None else frozenset(key.scopes)
        secret_sent = used_secret(key)
        caller = Caller(
            key.api_key_id, key.domain_id, key.user_id, key.role, makers_of(key), key.expires_at, scopes, secret_sent
        )
        scope["caller"] = caller  # for the log line, also of a request above its rate limit
        if (end := end_of(key)) is not None:
            scope["caller_expires_at"] = end
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


def address_of(scope: Scope, settings: Settings) -> str:
    """The address that a request or a WebSocket comes from, as `client_address` finds it."""
    if not settings.trusted_proxies:
        return peer_of(scope)
    # A proxy may add its own header below the client's.
    forwarded_for = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
    return client_address(peer_of(scope), forwarded_for, settings)
