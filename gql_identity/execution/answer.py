"""GraphQL responses, and the errors in them."""

from typing import Any, NamedTuple

import structlog
from graphql import GraphQLError

from ..errors import Internal, InvalidArgument, ServiceError
from ..logs import redact
from .error_text import tidy

log = structlog.get_logger()


class Answer(NamedTuple):
    """A GraphQL response (GraphQL over HTTP, section 6): its `data` and `errors` as JSON-ready values."""

    data: dict[str, Any] | None
    errors: list[dict[str, Any]]
    executed: bool  # False for a request error: then there is no `data` at all
    extensions: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The response as a JSON object."""
        response: dict[str, Any] = {"data": self.data} if self.executed else {}
        if self.errors:
            response["errors"] = self.errors
        if self.extensions is not None:
            response["extensions"] = self.extensions
        return response


class RequestError(Exception):
    """A request that is refused before any of it runs."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__()
        self.errors = errors


def refusal(*errors: GraphQLError) -> Answer:
    """The response to a request that did not run."""
    return Answer(None, [format_error(error) for error in errors], False)


def format_error(error: GraphQLError) -> dict[str, Any]:
    """An error as the client sees it. An unexpected one is logged, and the client gets INTERNAL with the request id."""
    formatted: dict[str, Any] = {**error.formatted}
    # graphql-core's messages repeat values, and one may be a secret that was sent in the wrong place.
    formatted["message"] = redact(tidy(error.message))
    original = error.original_error
    if isinstance(original, ServiceError) or (error.extensions and "code" in error.extensions):
        return formatted
    if isinstance(original, GraphQLError) or original is None:
        # An error of graphql-core itself, for example on an invalid argument.
        formatted["extensions"] = {"code": InvalidArgument.code}
        return formatted
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    log.error("unexpected error", path=error.path, exc_info=original)
    internal = Internal(request_id)
    formatted["message"], formatted["extensions"] = internal.message, internal.extensions
    return formatted
