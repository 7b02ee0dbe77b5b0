"""Reports of leaked secrets: whoever holds a secret may have its key disabled."""

from contextlib import nullcontext
from datetime import datetime

import structlog
from strawberry import ID

from .. import secret
from ..errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, Unavailable
from ..messages.keys import APIKeyInfo, APIKeyLeakReport
from ..messages.requests import APIKeyRequest, ReportLeakedAPIKeyRequest
from ..messages.usage import APIKeyVerificationCode
from ..storage.database import Document
from .access import Caller
from .credentials import Credentials, caller_of
from .disabling import disable_rule
from .rates import Rates
from .rotation import is_live, is_superseded_in, overlap_ended
from .system_keys import SystemKeys
from .uses import KeyUses
from .validity import code_of
from .writes import Writes

MAX_URL = 2_000  # characters
REPORT_FAILED = "Whether the report was taken is unknown. Send it again."

log = structlog.get_logger()


class Leaks:
    """Disables keys whose secrets are reported."""

    def __init__(
        self, credentials: Credentials, writes: Writes, system_keys: SystemKeys, uses: KeyUses, rates: Rates
    ) -> None:
        self._credentials = credentials
        self._writes = writes
        self._system_keys = system_keys
        self._uses = uses
        self._rates = rates

    async def report_by(self, request: ReportLeakedAPIKeyRequest, caller: Caller) -> APIKeyLeakReport:
        """As `report`, for any caller with a key."""
        await self._credentials.check_caller(caller)
        return await self.report(request, caller.address)

    async def report(self, request: ReportLeakedAPIKeyRequest, address: str) -> APIKeyLeakReport:
        """Disable the key of a secret, at the key's own rank, so that its owner's role enables it again.

        The response is the same for a text that is no secret. Of an older secret whose successor is in use, this alone
        is ended: whoever stole it must not throw the owner out. The last valid SYSTEM key that may change keys stays,
        and the log says so. Raises InvalidArgument for a `url` that is too long or has a secret, ResourceExhausted for
        an address that sends many texts that are no secrets, and Unavailable or DeadlineExceeded without the key's id.
        """
        _check_url(request.url)
        try:
            await self._take(request, address)
        except (Unavailable, DeadlineExceeded) as error:
            # Another one: it may name the key, and tell to read it, which whoever reports it may not be able to.
            raise type(error)(REPORT_FAILED) from error
        return APIKeyLeakReport(received=True)

    async def _take(self, request: ReportLeakedAPIKeyRequest, address: str) -> None:
        key = await self._credentials.find(request.api_key)
        if key is None:
            await self._rates.failed_credential(address)
        elif (code := code_of(key)) is APIKeyVerificationCode.ROTATED:
            self._uses.note(key, code, address)
        else:
            await self._end(key, caller_of(key, address=address), request.url)

    async def _end(self, key: APIKeyInfo, holder: Caller, url: str | None) -> None:
        named = APIKeyRequest(api_key_id=ID(holder.key_id), domain_id=ID(holder.domain_id))

        def ends_alone(document: Document) -> bool:
            return self._credentials.is_superseded(holder) or is_superseded_in(document, holder.secret.number)

        def rule(document: Document, at: datetime) -> Document:
            # Since the key was read by this secret, it may have been ended, or the newer one used, also elsewhere.
            if not is_live(document, holder.secret.number):
                return {}
            return (overlap_ended if ends_alone(document) else disable_rule(holder))(document, at)

        try:
            # As it is stored now: another worker may have seen the use of the newer one.
            document = await self._writes.read(named, holder, None)
            async with nullcontext() if ends_alone(document) else self._system_keys.ending(named, holder):
                await self._writes.change_by_holder(named, holder, rule, url)
        except NotFound:
            pass  # deleted meanwhile
        except (PermissionDenied, FailedPrecondition) as error:
            log.error("a leaked key stays valid", api_key_id=key.api_key_id, reason=error.message)


def _check_url(url: str | None) -> None:
    if url is None:
        return
    if not 1 <= len(url) <= MAX_URL or not url.isprintable():
        raise InvalidArgument(f"give 1 to {MAX_URL} printable characters.", at="url")
    if secret.contains_secret(url):
        raise InvalidArgument("it contains a secret, and would be kept in the audit log. Leave it out.", at="url")
