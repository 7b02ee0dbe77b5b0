"""`POST /introspect`: OAuth token introspection (RFC 7662) of keys and tokens, for gateways and proxies."""

from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..errors import BadRequest, ServiceError
from ..keys.verification import Verification, plain_address
from ..messages.keys import APIKeyInfo
from ..messages.requests import VerifyAPIKeyRequest
from ..settings import Settings
from .authentication import Authenticator
from .bodies import JSON, read_form
from .deadline import in_time
from .oauth_clients import authenticate_client, names_client, sent_once
from .oauth_errors import error_response

if TYPE_CHECKING:
    from ..tokens.exchange import FoundToken, Tokens


class IntrospectionEndpoint:
    """The ASGI application at `/introspect`.

    The caller authenticates with its own key, as Bearer or as an OAuth client; the role VERIFIER exists for this.
    """

    def __init__(
        self,
        verification: Verification,
        authenticator: Authenticator,
        settings: Settings,
        tokens: "Tokens | None",
    ) -> None:
        self._tokens = tokens
        self._verification = verification
        self._authenticator = authenticator
        self._timeout_seconds = settings.operation_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one introspection request (RFC 7662, section 2).

        A key that the caller may not see is not active. While the database is unavailable the service returns 503,
        never `active: false`.
        """
        response: Response
        try:
            form = await read_form(scope, receive)
            claims = await in_time(self._introspect(form, scope), self._timeout_seconds)
            response = Response(orjson.dumps(claims), media_type=JSON)
        except ClientDisconnect:
            return
        except ServiceError as error:
            response = error_response(error, scope)
        await response(scope, receive, send)

    async def _introspect(self, form: dict[str, list[str]], scope: Scope) -> dict[str, Any]:
        request = _request(form)
        if names_client(form, scope):
            caller = await authenticate_client(sent_once(form), scope, self._authenticator)
        else:
            caller = await self._authenticator.require(scope)
        if self._tokens is not None and self._tokens.issuer.is_ours(request.api_key):
            active = await self._tokens.introspect(request.api_key, request.client_address, caller)
            return {"active": False} if active is None else {"active": True, **_token_claims(active)}
        verification = await self._verification.verify(request, caller, "introspect")
        key, end = verification.api_key_info, verification.secret_expires_at
        if key is None:
            return {"active": False}
        return {"active": True, **_claims(key), **({} if end is None else {"exp": int(end.timestamp())})}


def _request(form: dict[str, list[str]]) -> VerifyAPIKeyRequest:
    # `client_address` is an extension: RFC 7662, section 2.1, allows parameters of one's own.
    match form.get("token"), form.get("client_address", [None]):
        case [secret], [address]:
            return VerifyAPIKeyRequest(api_key=secret, client_address=plain_address(address, "client_address"))
        case None, _:
            raise BadRequest("`token` is missing: give the secret to verify.")
        case _:
            raise BadRequest("Give `token` and `client_address` once.")


def _claims(key: APIKeyInfo) -> dict[str, str | int]:
    scope = {} if key.scopes is None else {"scope": " ".join(key.scopes)}
    return {
        "sub": key.user_id,
        "client_id": key.api_key_id,
        "iat": int(key.created_at.timestamp()),
        "domain_id": key.domain_id,
        "role": key.role.name,
        **scope,
    }


def _token_claims(active: "FoundToken") -> dict[str, str | int]:
    claims, scopes = active.claims, active.caller.scopes
    return {
        "iss": claims.issuer,
        "sub": claims.user_id,
        "aud": claims.audience,
        "client_id": claims.key_id,
        "iat": claims.issued_at,
        "exp": claims.expires_at,
        "jti": claims.token_id,
        "token_type": "Bearer",
        "domain_id": claims.domain_id,
        "role": claims.role,
        **({} if scopes is None else {"scope": " ".join(sorted(scopes))}),
    }
