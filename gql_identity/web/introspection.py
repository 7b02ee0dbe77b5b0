"""`POST /introspect`: whether a key is good, for gateways and proxies that speak OAuth (RFC 7662)."""

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse

from ..errors import BadRequest, DeadlineExceeded, ServiceError, Unauthenticated
from ..messages.keys import APIKeyInfo
from ..messages.requests import VerifyAPIKeyRequest
from .authentication import Authenticator

FORM = "application/x-www-form-urlencoded"


async def introspect(request: Request) -> JSONResponse:
    """Answer one introspection request (RFC 7662, section 2); a key out of the caller's reach is not active.

    The caller is a key itself, sent as Bearer; VERIFIER is the role for it. Where the database is away the answer is
    503, never `active: false`.
    """
    try:
        secret = await _read(request)
        authenticator: Authenticator = request.app.state.authenticator
        caller = await authenticator.require(request.scope)
        (verification,) = await authenticator.api_keys.verify([VerifyAPIKeyRequest(api_key=secret)], caller)
    except ServiceError as error:
        return JSONResponse(
            {"error": _error_code(error), "error_description": error.message}, _status(error), error.headers
        )
    if verification.api_key_info is None:
        return JSONResponse({"active": False})
    return JSONResponse({"active": True} | _claims(verification.api_key_info))


async def _read(request: Request) -> str:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise BadRequest(f"Send `Content-Type: {FORM}`.", 415)
    try:
        form = parse_qs((await request.body()).decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise BadRequest("The body is not a form in UTF-8.") from None
    match form.get("token"):
        case [secret]:
            return secret
        case None:
            raise BadRequest("`token` is missing.")
        case _:
            raise BadRequest("`token` is given more than once.")


def _claims(key: APIKeyInfo) -> dict[str, str | int]:
    return {
        "sub": key.user_id,
        "client_id": key.api_key_id,
        "iat": int(key.created_at.timestamp()),
        "domain_id": key.domain_id,
        "role": key.role.name,
    }


def _error_code(error: ServiceError) -> str:
    """The code of RFC 6750, section 3.1, or of RFC 6749 for what it has none for."""
    if isinstance(error, Unauthenticated):
        return "invalid_token"
    if isinstance(error, BadRequest):
        return "invalid_request"
    return "temporarily_unavailable" if error.status >= 500 else error.code.lower()


def _status(error: ServiceError) -> int:
    # A gateway must never take a database that is away for an answer about the key: every kind of that is 503.
    return 503 if isinstance(error, DeadlineExceeded) else error.status
