"""A credential becomes a `Caller`."""

from starlette.datastructures import Headers
from starlette.types import Scope

from ..errors import Unauthenticated
from ..keys.access import Caller
from ..keys.api_keys import ApiKeys
from ..keys.rates import client_address
from ..messages.values import APIKeyState
from ..settings import Settings

_REFUSED = "This key opens nothing: it is wrong, disabled or deleted."


class Authenticator:
    """Tells who sends a request."""

    def __init__(self, api_keys: ApiKeys, settings: Settings) -> None:
        self.api_keys = api_keys
        self._rates = api_keys.rates
        self._settings = settings

    async def authenticate(self, scope: Scope) -> Caller | None:
        """Who sends a request (RFC 6750, section 2.1); None where it has no Authorization header.

        Raises Unauthenticated for a header that is not `Bearer SECRET` and for a key that is wrong, disabled or
        deleted, these three alike; ResourceExhausted for a caller, or an address of wrong keys, over its rate.
        """
        sent = Headers(scope=scope).getlist("authorization")
        # Several make one that opens nothing: a proxy before us may have looked at another than we would.
        return await self.identify(", ".join(sent) if sent else None, scope)

    async def identify(self, authorization: str | None, scope: Scope) -> Caller | None:
        """As `authenticate`, for a credential that came another way than in the request's headers."""
        if authorization is None:
            return None
        scheme, _, secret = authorization.strip().partition(" ")
        key = await self.api_keys.credentials.find(secret.strip()) if scheme.lower() == "bearer" else None
        if key is None or key.state is not APIKeyState.ENABLED:
            # Only now is the address asked about: a good key passes whatever came from there.
            peer = scope["client"][0] if scope.get("client") else ""
            # A proxy may add a line of its own below the client's.
            forwarded_for = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
            await self._rates.failed_credential(client_address(peer, forwarded_for, self._settings))
            raise Unauthenticated(_REFUSED) if scheme.lower() == "bearer" else Unauthenticated()
        caller = Caller(key.api_key_id, key.domain_id, key.user_id, key.role)
        await self._rates.request(caller)
        self.api_keys.credentials.uses.used(key.api_key_id, key.domain_id)
        return caller

    async def require(self, scope: Scope) -> Caller:
        """As `authenticate`, but raises Unauthenticated where there is no Authorization header too."""
        if (caller := await self.authenticate(scope)) is None:
            raise Unauthenticated
        return caller
