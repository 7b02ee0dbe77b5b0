"""All errors of the service.

    ServiceError                       has a code, an HTTP status and extensions
    ├── InvalidArgument                INVALID_ARGUMENT     400
    ├── Unauthenticated                UNAUTHENTICATED      401
    │   └── InvalidToken               UNAUTHENTICATED      401
    ├── PermissionDenied               PERMISSION_DENIED    403
    │   └── InsufficientScope          PERMISSION_DENIED    403
    ├── FailedPrecondition             FAILED_PRECONDITION  409
    ├── NotFound                       NOT_FOUND            404
    ├── ResourceExhausted              RESOURCE_EXHAUSTED   429
    ├── Internal                       INTERNAL             500
    ├── Unavailable                    UNAVAILABLE          503
    ├── DeadlineExceeded               DEADLINE_EXCEEDED    504
    └── BadRequest                     BAD_REQUEST          400, 405, 406, 408, 413, 415
    StartError                         the process cannot start; the command line prints it and exits 1

The codes are gRPC's names, as in Cloudforet. GraphQL has codes of its own for requests that fail before a resolver
runs. graphql-core copies an exception's `extensions` into the response, so no layer maps errors to codes.

The first line of an error's docstring is its description in the OpenAPI document.
"""

import re
from typing import Any, ClassVar


class ServiceError(Exception):
    """An expected failure. Its message is for the sender of the request and reveals no internals."""

    code: ClassVar[str]
    status: int
    headers: dict[str, str]  # of the HTTP response
    reason: str | None = None  # what operators are told beside the message, and clients are not; without secrets

    def __init__(self, message: str, *, at: str = "", **extensions: Any) -> None:
        """`at` is the invalid part of the input, as in `query.filter[2].value`; the whole message starts with it.

        Names of the API stand in `message` between backticks, spelled as in REST; GraphQL respells them.
        """
        self.message = f"{at}: {message}" if at else message
        super().__init__(self.message)
        self.at = at
        self.headers = {}
        self.extensions: dict[str, Any] = {"code": self.code, **extensions}
        if at:
            self.extensions["path"] = places(at)


def places(at: str) -> list[str | int]:
    """The names and positions in a path, as in `query.filter[2].value`."""
    return [int(position) if position else name for name, position in re.findall(r"([^.\[\]]+)|\[(\d+)\]", at)]


class InvalidArgument(ServiceError):
    """The request is invalid; the message says what to change."""

    code = "INVALID_ARGUMENT"
    status = 400


class Unauthenticated(ServiceError):
    """No credential, or an invalid one."""

    code = "UNAUTHENTICATED"
    status = 401

    def __init__(self, message: str = "Send the header `Authorization: Bearer SECRET`.") -> None:
        super().__init__(message)
        self.headers = {"WWW-Authenticate": 'Bearer realm="gql_identity"'}


class InvalidToken(Unauthenticated):
    """A key or token that is refused: `error` tells OAuth clients to get another one (RFC 6750, section 3.1).

    A request without a Bearer credential is told nothing of an error.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers = {"WWW-Authenticate": 'Bearer realm="gql_identity", error="invalid_token"'}


class PermissionDenied(ServiceError):
    """The key is valid, and does not allow this."""

    code = "PERMISSION_DENIED"
    status = 403


class InsufficientScope(PermissionDenied):
    """The key is valid, its role allows this, and its scopes do not (RFC 6750, section 3.1)."""

    def __init__(self, message: str, *missing: str) -> None:
        super().__init__(message, missingScopes=list(missing))
        challenge = f'Bearer realm="gql_identity", error="insufficient_scope", scope="{" ".join(missing)}"'
        self.headers = {"WWW-Authenticate": challenge}


class FailedPrecondition(ServiceError):
    """The key is in a state that does not allow this; the message says what to do first."""

    code = "FAILED_PRECONDITION"
    status = 409


class NotFound(ServiceError):
    """There is no such key, or the caller may not see it: both cases look the same."""

    code = "NOT_FOUND"
    status = 404


class ResourceExhausted(ServiceError):
    """Too many requests, or one that asks for too much."""

    code = "RESOURCE_EXHAUSTED"
    status = 429

    def __init__(self, message: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        if retry_after_seconds is not None:
            self.headers = {"Retry-After": str(retry_after_seconds)}
            self.extensions["retryAfterSeconds"] = retry_after_seconds


class Internal(ServiceError):
    """A bug in the service: search its log for the `id` of the response to find the cause."""

    code = "INTERNAL"
    status = 500

    def __init__(self, request_id: str | None) -> None:
        super().__init__("Internal error: a bug in the service. Search its log for this `id`.", id=request_id)


class Unavailable(ServiceError):
    """The database, or a token's issuer, cannot be reached; the same request may succeed later."""

    code = "UNAVAILABLE"
    status = 503


class DeadlineExceeded(ServiceError):
    """The deadline has passed; whether a write took place is unknown."""

    code = "DEADLINE_EXCEEDED"
    status = 504


class BadRequest(ServiceError):
    """An invalid HTTP request: its method, media type, body or length."""

    code = "BAD_REQUEST"

    def __init__(self, message: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class StartError(Exception):
    """The service cannot start; the message says what to change."""
