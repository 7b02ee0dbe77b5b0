"""`POST /revoke` (RFC 7009): whoever holds a secret may disable its key, whoever holds a token may end it."""

from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..deadlines import ends_in_time
from ..errors import BadRequest, DeadlineExceeded, ServiceError, Unavailable
from ..keys.leaks import REPORT_FAILED, Leaks
from ..messages.requests import ReportLeakedAPIKeyRequest
from ..settings import Settings
from .authentication import Authenticator
from .bodies import read_form
from .clients import address_of
from .deadline import in_time
from .oauth_errors import error_response

if TYPE_CHECKING:
    from ..tokens.exchange import Tokens


class RevocationEndpoint:
    """The ASGI application at `/revoke`. It needs no other credential than what is revoked."""

    def __init__(self, leaks: Leaks, authenticator: Authenticator, settings: Settings, tokens: "Tokens | None") -> None:
        self._leaks = leaks
        self._authenticator = authenticator
        self._settings = settings
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 200, also for what is no secret (RFC 7009, section 2.2), and 503 while the database is unavailable."""
        try:
            form = await read_form(scope, receive)
            self._authenticator.admit(scope)
            response = Response()
            await in_time(self._revoke(form, scope), self._settings.operation_timeout_seconds)
        except ClientDisconnect:
            return
        except (Unavailable, DeadlineExceeded) as error:
            response = error_response(type(error)(REPORT_FAILED), scope)
        except ServiceError as error:
            response = error_response(error, scope)
        await response(scope, receive, send)

    @ends_in_time
    async def _revoke(self, form: dict[str, list[str]], scope: Scope) -> None:
        match form.get("token"):
            case [text]:
                pass
            case _:
                raise BadRequest("Send `token` once: the secret or the token to revoke.")
        if self._tokens is not None and self._tokens.issuer.is_ours(text) and await self._tokens.revoke(text):
            return
        await self._leaks.report(ReportLeakedAPIKeyRequest(api_key=text), address_of(scope, self._settings))
