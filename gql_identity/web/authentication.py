"""Authentication: the `Caller` of a credential (RFC 6750)."""

from typing import TYPE_CHECKING

from pydantic import SecretStr
from starlette.types import Scope

from ..errors import InvalidToken, Unauthenticated
from ..keys.access import Caller
from ..keys.credentials import INVALID_KEY, Credentials, caller_of
from ..keys.rates import Rates
from ..keys.uses import KeyUses
from ..keys.validity import code_from, end_of
from ..messages.usage import APIKeyVerificationCode
from ..metrics import REFUSED_CREDENTIALS
from ..settings import Settings
from .clients import Place, address_of

if TYPE_CHECKING:
    from ..tokens.exchange import Tokens
    from ..tokens.people import People

INVALID_TOKEN = "Invalid token: it is wrong or expired, or its key is disabled, expired or deleted."  # noqa: S105
INVALID_PERSON = "Invalid token: it is wrong, expired or not for this service. Get a new one from its issuer."


class Authenticator:
    """Finds the caller of a request, and counts the request."""

    def __init__(
        self,
        credentials: Credentials,
        uses: KeyUses,
        rates: Rates,
        settings: Settings,
        tokens: "Tokens | None" = None,
        people: "People | None" = None,
    ) -> None:
        self._credentials = credentials
        self._uses = uses
        self._rates = rates
        self._settings = settings
        self._tokens = tokens
        self._people = people

    async def authenticate(self, scope: Scope) -> Caller | None:
        """The caller that the Authorization header names (RFC 6750, section 2.1); None without such a header.

        Raises Unauthenticated for a header that is not `Bearer SECRET`; InvalidToken for a key or token that is wrong,
        disabled, expired or deleted; ResourceExhausted for a caller, or an address that sends wrong keys, above its
        rate limit, and for one that has too many requests under way; Unavailable where nobody can tell whether it is
        valid.
        """
        sent = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        # Several headers count as one invalid credential: a proxy may have checked another one than the service would.
        if sent:
            return await self.identify(", ".join(sent), scope)
        self.admit(scope)
        return None

    async def identify(self, authorization: str, scope: Scope) -> Caller:
        """As `authenticate`, for the value of an Authorization header that was sent outside the HTTP headers."""
        scheme, _, secret = authorization.strip().partition(" ")
        is_bearer, secret = scheme.lower() == "bearer", secret.strip()
        address = address_of(scope, self._settings)
        if is_bearer and self._people is not None and self._people.are_of(secret):
            return await self._person(self._people, secret, scope)
        invalid, key, caller = INVALID_KEY, None, None
        if is_bearer and self._tokens is not None and self._tokens.issuer.is_ours(secret):
            invalid = INVALID_TOKEN
            if (found := await self._tokens.find(secret, address)) and self._tokens.is_for_this_service(found):
                key, caller = found.key, found.caller
        elif is_bearer and (key := await self._credentials.find(secret)) is not None:
            caller = caller_of(key, SecretStr(secret), address)
        code = APIKeyVerificationCode.NOT_FOUND if key is None else code_from(key, address)
        if key is None or caller is None or code is not APIKeyVerificationCode.VALID:
            reason = code.name if is_bearer else "NOT_BEARER"
            by_token = caller is not None and caller.token_id is not None
            self._uses.refuse(key, code, address, reason, by_token=by_token)
            await self._count_refusal(reason, scope)
            raise _refusal(code, invalid) if is_bearer else Unauthenticated()
        if (end := end_of(key)) is not None:
            scope["caller_expires_at"] = end
        await self._count(caller, scope)
        self._uses.note(key, code, address)
        return caller

    async def _person(self, people: "People", token: str, scope: Scope) -> Caller:
        """As `identify`, for a token that says that it is of one of the OpenID issuers."""
        address = address_of(scope, self._settings)
        scope["caller"] = None
        found = await people.find(token, address)
        if isinstance(found, Caller):
            await self._count(found, scope)
            return found
        self._uses.refuse(None, APIKeyVerificationCode.NOT_FOUND, address, found.value)
        await self._count_refusal(found.value, scope)
        raise InvalidToken(INVALID_PERSON)

    async def _count(self, caller: Caller, scope: Scope) -> None:
        """Count a request for its caller's user. Raises ResourceExhausted."""
        scope["caller"] = caller  # for the log line, also of a request above its rate limit
        if (place := _place(scope)) is not None:
            place.move_to(caller)
        await self._rates.request(caller)

    async def _count_refusal(self, reason: str, scope: Scope) -> None:
        """Count a credential that is refused, for its address. Raises ResourceExhausted."""
        scope["caller"] = None  # a WebSocket's key was valid before
        if (place := _place(scope)) is not None:
            # Only now: a valid key counts for its user, whatever else comes from its address.
            place.check()
        REFUSED_CREDENTIALS.add(reason)
        # Only now: a valid key works whatever else its address sends.
        await self._rates.failed_credential(address_of(scope, self._settings))

    def admit(self, scope: Scope) -> None:
        """Raise ResourceExhausted for a request without a caller whose address has too many under way."""
        if (place := _place(scope)) is not None:
            place.check()

    async def require(self, scope: Scope) -> Caller:
        """As `authenticate`, but raises Unauthenticated without an Authorization header too."""
        if (caller := await self.authenticate(scope)) is None:
            raise Unauthenticated
        return caller


def _refusal(code: APIKeyVerificationCode, invalid: str) -> InvalidToken:
    if code is APIKeyVerificationCode.ADDRESS_NOT_ALLOWED:
        return InvalidToken("This key may not be used from this address.")
    return InvalidToken(invalid)


def _place(scope: Scope) -> Place | None:
    """The place of an HTTP request among those under way; None for a WebSocket."""
    place: Place | None = scope.get("place")
    return place
