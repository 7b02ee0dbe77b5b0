"""`POST /token` of OAuth clients (RFC 6749, section 4.4), and what verifiers of tokens read: keys and metadata."""

import time
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..errors import BadRequest, InvalidArgument, ServiceError
from ..keys.scopes import read_scopes
from ..messages.requests import ExchangeAPIKeyRequest
from ..messages.usage import APIKeyVerificationCode
from ..settings import Settings
from .authentication import Authenticator
from .bodies import read_form
from .deadline import in_time
from .oauth_clients import InvalidClient, authenticate_client, sent_once
from .oauth_errors import error_response

if TYPE_CHECKING:
    from ..tokens.exchange import Tokens

JWKS = "/.well-known/jwks.json"
# Verifiers keep keys for so long. A key is published a day before its first token.
CACHED = {"Cache-Control": "public, max-age=300"}
_GRANT = "client_credentials"
_AUDIENCES = ("audience", "resource")  # the second one is RFC 8707's


class _Refused(BadRequest):
    """A request that OAuth has a code of its own for (RFC 6749, section 5.2)."""

    def __init__(self, oauth_code: str, message: str) -> None:
        super().__init__(message)
        self.oauth_code = oauth_code


class TokenEndpoint:
    """The ASGI application at `/token`: a key is an OAuth client, with its id and its secret."""

    def __init__(self, tokens: "Tokens", authenticator: Authenticator, settings: Settings) -> None:
        self._tokens = tokens
        self._authenticator = authenticator
        self._timeout_seconds = settings.operation_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one token request; errors have OAuth's codes."""
        try:
            form = await read_form(scope, receive)
            response = JSONResponse(await in_time(self._issue(form, scope), self._timeout_seconds))
        except ClientDisconnect:
            return
        except _Refused as error:
            response = error_response(error, scope, error.oauth_code)
        except ServiceError as error:
            response = error_response(error, scope)
        await response(scope, receive, send)

    async def _issue(self, form: dict[str, list[str]], scope: Scope) -> dict[str, Any]:
        sent = sent_once(form)
        caller = await authenticate_client(sent, scope, self._authenticator)
        if (grant := sent.get("grant_type")) != _GRANT:
            code = "invalid_request" if grant is None else "unsupported_grant_type"
            raise _Refused(code, f"Send `grant_type={_GRANT}`.")
        try:
            scopes = read_scopes(sent["scope"]) if "scope" in sent else None
            made = await self._tokens.exchange(ExchangeAPIKeyRequest(audience=_audience(sent), scopes=scopes), caller)
        except InvalidArgument as error:
            raise _Refused("invalid_target" if error.at == "audience" else "invalid_scope", error.message) from None
        if made.code is APIKeyVerificationCode.INSUFFICIENT_SCOPE:
            raise _Refused("invalid_scope", f"The key lacks {' and '.join(made.missing_scopes or ())}.")
        if made.access_token is None or made.expires_at is None:
            raise InvalidClient("The key ends within a second.")
        return {
            "access_token": made.access_token,
            "token_type": made.token_type,
            "expires_in": max(0, int(made.expires_at.timestamp() - time.time())),
            **({} if made.scopes is None else {"scope": " ".join(made.scopes)}),
        }


def token_routes(tokens: "Tokens", authenticator: Authenticator, settings: Settings) -> list[Route]:
    """The routes that only a service with an issuer has."""

    async def jwks(request: Request) -> JSONResponse:
        try:
            await tokens.keys.wait_until_read()
            keys = [key.published for key in tokens.keys.published]
        except ServiceError as error:
            return error_response(error, request.scope)
        return JSONResponse({"keys": keys}, headers=CACHED)

    issuer = tokens.issuer.name
    as_client = ["client_secret_basic", "client_secret_post"]
    server = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}{JWKS}",
        "introspection_endpoint": f"{issuer}/introspect",
        "introspection_endpoint_auth_methods_supported": [*as_client, "Bearer"],
        "revocation_endpoint": f"{issuer}/revoke",
        "revocation_endpoint_auth_methods_supported": ["none", *as_client],
        "grant_types_supported": [_GRANT],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": as_client,
    }

    async def authorization_server(_: Request) -> JSONResponse:
        return JSONResponse(server, headers=CACHED)

    async def openid_configuration(request: Request) -> JSONResponse:
        try:
            await tokens.keys.wait_until_read()
            # Keys of a file, and those made before the setting changed, may have another algorithm than the setting's.
            algorithms = sorted({settings.signing_algorithm, *(key.algorithm for key in tokens.keys.published)})
        except ServiceError as error:
            return error_response(error, request.scope)
        openid = {"subject_types_supported": ["public"], "id_token_signing_alg_values_supported": algorithms}
        return JSONResponse(server | openid, headers=CACHED)

    return [
        Route("/token", TokenEndpoint(tokens, authenticator, settings), methods=["POST"]),
        Route(JWKS, jwks),
        Route("/.well-known/oauth-authorization-server", authorization_server),
        Route("/.well-known/openid-configuration", openid_configuration),
    ]


def _audience(form: dict[str, str]) -> str | None:
    """The audience that a client asks for, by either parameter. Raises InvalidArgument for two different ones."""
    given = {form[name] for name in _AUDIENCES if name in form}
    if len(given) > 1:
        raise InvalidArgument("`audience` and `resource` differ. Send one of them.", at="audience")
    return next(iter(given), None)
