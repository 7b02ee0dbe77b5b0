"""GraphQL responses, and the errors in them."""

from typing import Any, NamedTuple

import structlog
from graphql import GraphQLError

from ..errors import Internal, InvalidArgument, ServiceError
from ..logs import redact
from .error_text import in_schema, tidy

log = structlog.get_logger()


class Answer(NamedTuple):
    """A GraphQL response (GraphQL over HTTP, section 6): its `data` and `errors` as JSON-ready values."""

    data: dict[str, Any] | None
    errors: list[dict[str, Any]]
    executed: bool  # False for a request error: then there is no `data` at all
    extensions: dict[str, Any] | None = None
    is_large: bool = False  # whether its JSON may have more than a megabyte

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


def refusal(*errors: GraphQLError, suggests: bool = False) -> Answer:
    """The response to a request that did not run; errors keep suggestions from the schema if `suggests`."""
    return Answer(None, [format_error(error, suggests) for error in errors], False)


def format_error(error: GraphQLError, suggests: bool = False) -> dict[str, Any]:
    """An error as the client sees it. An unexpected one is logged, and the client gets INTERNAL with the request id."""
    formatted: dict[str, Any] = {**error.formatted}
    # graphql-core's messages repeat values, and one may be a secret that was sent in the wrong place.
    original = error.original_error
    if isinstance(original, ServiceError):
        arguments = {
            argument.name.value for node in error.nodes or () for argument in getattr(node, "arguments", None) or ()
        }
        message, places = in_schema(original, arguments)
        formatted["message"] = redact(message)
        if places:
            formatted["extensions"] = original.extensions | {"path": places}
        return formatted
    told = error.extensions or {}
    formatted["message"] = redact(
        tidy(error.message, suggests=suggests or told.get("code") == "GRAPHQL_VALIDATION_FAILED")
    )
    if "code" in told:
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
