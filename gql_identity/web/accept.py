"""The Accept header of a GraphQL request (RFC 9110, section 12.5.1)."""

from functools import lru_cache

from graphql import OperationDefinitionNode, OperationType

from ..errors import BadRequest

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
EVENTS = "text/event-stream"


def preferred_media_type(accept: str | None) -> str:
    """The media type of a GraphQL answer that an Accept header (RFC 9110, section 12.5.1) likes best.

    The newer one only where it is named: who accepts anything gets `application/json`.
    """
    best, best_quality = JSON, 0.0
    for name, quality in _accepted(accept):
        if name in (JSON, GRAPHQL_JSON) and quality > best_quality:
            best, best_quality = name, quality
    return best


def wants_html(accept: str | None) -> bool:
    """Whether a browser asks for a page: `text/html` is named, and no JSON is liked better."""
    qualities = dict(_accepted(accept))
    return qualities.get("text/html", 0) > max(qualities.get(JSON, 0), qualities.get(GRAPHQL_JSON, 0))


def wants_stream(accept: str | None, operation: OperationDefinitionNode) -> bool:
    """Whether to answer as a stream of events: only for subscriptions, or where nothing else is accepted.

    Some clients name `text/event-stream` for every request, after JSON.
    """
    if operation.operation is OperationType.SUBSCRIPTION:
        if EVENTS not in dict(_accepted(accept)):
            raise BadRequest(f"Send a subscription over WebSocket, or with `Accept: {EVENTS}`.")
        return True
    return takes_streams_alone(accept)


def takes_streams_alone(accept: str | None) -> bool:
    """Whether a client accepts a stream of events and nothing else."""
    return {name for name, _ in _accepted(accept)} == {EVENTS}


@lru_cache(1000)
def _accepted(accept: str | None) -> tuple[tuple[str, float], ...]:
    accepted = []
    for part in (accept or "").split(",")[:100]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            accepted.append((name, float(quality)))
        except ValueError:
            accepted.append((name, 0.0))
    return tuple(accepted)
