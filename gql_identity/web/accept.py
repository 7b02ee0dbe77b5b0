"""The Accept header of a GraphQL request (RFC 9110, section 12.5.1), parsed once a request."""

from functools import lru_cache
from typing import NamedTuple

from .bodies import JSON

GRAPHQL_JSON = "application/graphql-response+json"
EVENTS = "text/event-stream"
HTML = "text/html"


class Accept(NamedTuple):
    """What a client accepts."""

    media_type: str  # of a GraphQL response: the preferred one of JSON and GRAPHQL_JSON
    wants_html: bool  # `text/html` is named with a higher quality than JSON, as browsers do
    takes_streams: bool  # `text/event-stream` is named, and not with the quality 0, which refuses a type
    takes_only_streams: bool  # nothing else is named


CACHED_CHARACTERS = 200  # browsers send some 130; a header may have 60,000


def read_accept(header: str) -> Accept:
    """What an Accept header says; an empty one accepts JSON."""
    return _read_cached(header) if len(header) <= CACHED_CHARACTERS else _read(header)


def _read(header: str) -> Accept:
    ranges = _media_ranges(header)
    # The newer media type must be named: `*/*` gets `application/json`.
    media_type, best_quality = JSON, 0.0
    for name, quality in ranges:
        if name in (JSON, GRAPHQL_JSON) and quality > best_quality:
            media_type, best_quality = name, quality
    qualities = dict(ranges)
    accepted = {name for name, quality in ranges if quality > 0}
    if best_quality == 0 and JSON in qualities and GRAPHQL_JSON not in qualities:
        # JSON is refused, and by a wildcard the newer type may be accepted.
        media_type = GRAPHQL_JSON if qualities.get("application/*", qualities.get("*/*", 0)) > 0 else JSON
    return Accept(
        media_type,
        wants_html=qualities.get(HTML, 0) > max(qualities.get(JSON, 0), qualities.get(GRAPHQL_JSON, 0)),
        takes_streams=EVENTS in accepted,
        takes_only_streams=accepted == {EVENTS},
    )


_read_cached = lru_cache(1000)(_read)


def _media_ranges(header: str) -> list[tuple[str, float]]:
    """The media ranges of a header and their qualities; an invalid quality counts as 0."""
    ranges = []
    for part in header.split(",")[:100]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";", 20))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            ranges.append((name, float(quality)))
        except ValueError:
            ranges.append((name, 0.0))
    return ranges
