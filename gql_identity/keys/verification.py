"""Verify secrets for a caller, such as a gateway."""

from collections.abc import Sequence

from .. import secret
from ..errors import InvalidArgument
from ..messages.keys import APIKeyInfo, APIKeyVerification, APIKeyVerificationCode
from ..messages.requests import VerifyAPIKeyRequest
from .access import Caller, may_verify
from .credentials import Credentials
from .validity import code_of

MAX_VERIFIED = 100


class Verification:
    """Verification of secrets that somebody else received."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def verify(self, requests: Sequence[VerifyAPIKeyRequest], caller: Caller) -> list[APIKeyVerification]:
        """Whether each secret is valid, in their order; one read for all. A valid one counts as used.

        Raises InvalidArgument for more than a hundred at once.
        """
        if len(requests) > MAX_VERIFIED:
            raise InvalidArgument(f"input: give at most {MAX_VERIFIED} secrets at once, not {len(requests)}.")
        await self._credentials.check_caller(caller)
        keys = await self._credentials.find_many([request.api_key for request in requests])
        return [self._verification(request.api_key, key, caller) for request, key in zip(requests, keys, strict=True)]

    def _verification(self, text: str, key: APIKeyInfo | None, caller: Caller) -> APIKeyVerification:
        if key is None and not secret.is_well_formed(text):
            return APIKeyVerification(valid=False, code=APIKeyVerificationCode.MALFORMED)
        if key is None or not may_verify(caller, key.domain_id, key.user_id, key.role):
            return APIKeyVerification(valid=False, code=APIKeyVerificationCode.NOT_FOUND)
        if (code := code_of(key)) is not APIKeyVerificationCode.VALID:
            return APIKeyVerification(valid=False, code=code)
        self._credentials.last_uses.record(key.api_key_id, key.domain_id)
        return APIKeyVerification(valid=True, code=APIKeyVerificationCode.VALID, api_key_info=key)
