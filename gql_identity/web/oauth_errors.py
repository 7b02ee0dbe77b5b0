"""Errors as OAuth tells them (RFC 6749, section 5.2; RFC 6750, section 3.1), for proxies and OAuth clients."""

from starlette.responses import JSONResponse
from starlette.types import Scope

from ..errors import (
    BadRequest,
    DeadlineExceeded,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    PermissionDenied,
    ServiceError,
)
from .envelope import note_errors
from .oauth_clients import InvalidClient

_CODES: dict[type[ServiceError], str] = {
    InvalidToken: "invalid_token",
    InvalidClient: "invalid_client",
    InsufficientScope: "insufficient_scope",
    PermissionDenied: "access_denied",
    BadRequest: "invalid_request",
    InvalidArgument: "invalid_request",
}


def error_response(error: ServiceError, scope: Scope, code: str | None = None) -> JSONResponse:
    """The response of an error, by default with the code that fits its type; our own is in the request's log line."""
    note_errors(scope, error.code)
    code = code or _CODES.get(type(error)) or ("temporarily_unavailable" if error.status >= 500 else error.code.lower())
    # A gateway must not mistake a failure of the database for an invalid key, so a timeout is 503 too.
    status = 503 if isinstance(error, DeadlineExceeded) else error.status
    return JSONResponse({"error": code, "error_description": error.message}, status, error.headers)
