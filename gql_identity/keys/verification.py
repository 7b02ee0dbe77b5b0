"""Verify secrets for a caller, such as a gateway."""

from collections.abc import Sequence

from .. import secret
from ..addresses import read_address
from ..errors import InvalidArgument
from ..messages.keys import APIKeyInfo, APIKeyVerification
from ..messages.requests import VerifyAPIKeyRequest
from ..messages.usage import APIKeyVerificationCode
from ..metrics import VERIFICATIONS
from .access import Caller, may_verify, require_scope
from .credentials import Credentials
from .scopes import MAX_SCOPES, VERIFY, missing_scopes
from .uses import KeyUses
from .validity import code_from, end_of

MAX_VERIFIED = 100


class Verification:
    """Verification of secrets that somebody else received."""

    def __init__(self, credentials: Credentials, uses: KeyUses) -> None:
        self._credentials = credentials
        self._uses = uses

    async def verify(self, request: VerifyAPIKeyRequest, caller: Caller, door: str) -> APIKeyVerification:
        """Whether a secret is valid. A valid one counts as used.

        `door` is where the request came in, for the metrics.
        """
        (verification,) = await self._verify({"input": request}, caller, door)
        return verification

    async def verify_all(
        self, requests: Sequence[VerifyAPIKeyRequest], caller: Caller, door: str
    ) -> list[APIKeyVerification]:
        """As `verify` for many secrets, in their order; one read for all.

        Raises InvalidArgument for more than a hundred at once.
        """
        if len(requests) > MAX_VERIFIED:
            raise InvalidArgument(f"give at most {MAX_VERIFIED} secrets at once, not {len(requests)}.", at="input")
        return await self._verify({f"input[{at}]": request for at, request in enumerate(requests)}, caller, door)

    async def _verify(
        self, requests: dict[str, VerifyAPIKeyRequest], caller: Caller, door: str
    ) -> list[APIKeyVerification]:
        """As `verify_all`; each request has its place in the input."""
        require_scope(caller, VERIFY)
        addresses = list[str | None]()
        for at, request in requests.items():
            _check_required(request.required_scopes, f"{at}.required_scopes")
            addresses.append(plain_address(request.client_address, f"{at}.client_address"))
        await self._credentials.check_caller(caller)
        keys = await self._credentials.find_many([request.api_key for request in requests.values()])
        given = zip(requests.values(), addresses, keys, strict=True)
        verified = [self._verification(request, address, key, caller) for request, address, key in given]
        if VERIFICATIONS.is_on:
            for one in verified:
                VERIFICATIONS.add(one.code.name, door)
        return verified

    def _verification(
        self, request: VerifyAPIKeyRequest, address: str | None, key: APIKeyInfo | None, caller: Caller
    ) -> APIKeyVerification:
        if key is None and not secret.is_well_formed(request.api_key) and not secret.is_jwt(request.api_key):
            return APIKeyVerification(valid=False, code=APIKeyVerificationCode.MALFORMED)
        if key is None or not may_verify(caller, key.domain_id, key.user_id, key.role):
            return APIKeyVerification(valid=False, code=APIKeyVerificationCode.NOT_FOUND)
        code, missing = code_from(key, address), None
        if code is APIKeyVerificationCode.VALID and request.required_scopes is not None:
            missing = missing_scopes(key.scopes, request.required_scopes) or None
            code = code if missing is None else APIKeyVerificationCode.INSUFFICIENT_SCOPE
        self._uses.note(key, code, address)
        if code is not APIKeyVerificationCode.VALID:
            return APIKeyVerification(valid=False, code=code, api_key_id=key.api_key_id, missing_scopes=missing)
        return APIKeyVerification(
            valid=True, code=code, api_key_id=key.api_key_id, api_key_info=key, secret_expires_at=end_of(key)
        )


def plain_address(given: str | None, at: str) -> str | None:
    """A client's address as the audit log keeps it: without a zone or a port. Raises InvalidArgument."""
    if given is None:
        return None
    try:
        return str(read_address(given))
    except ValueError:
        raise InvalidArgument("give an IPv4 or IPv6 address, as in `203.0.113.7`.", at=at) from None


def _check_required(required: list[list[str]] | None, at: str) -> None:
    if required is None:
        return
    if not 1 <= len(required) <= MAX_SCOPES:
        raise InvalidArgument(f"give 1 to {MAX_SCOPES} lists, of which one must be met.", at=at)
    for position, group in enumerate(required):
        if len(group) > MAX_SCOPES:
            raise InvalidArgument(f"give at most {MAX_SCOPES} scopes in a list.", at=f"{at}[{position}]")
