"""Documents as JSON: MongoDB's Extended JSON v2, relaxed, as its own tools read and write it."""

from datetime import UTC
from typing import Any

from bson import encode
from bson.json_util import RELAXED_JSON_OPTIONS, dumps, loads

Document = dict[str, Any]

_OPTIONS = RELAXED_JSON_OPTIONS.with_options(tz_aware=True, tzinfo=UTC)


def to_json(document: Document) -> str:
    """A document as one line."""
    return dumps(document, json_options=_OPTIONS, separators=(",", ":"))


def from_json(text: str) -> Any:
    """What a line holds. Raises ValueError for what is not Extended JSON, or cannot be stored."""
    try:
        value = loads(text, json_options=_OPTIONS)
        encode({"value": value})  # refuses half a character, and integers of more than 64 bits
        return value
    except Exception as error:  # the library raises many, for a `$date` that is a list and the like
        raise ValueError(f"no Extended JSON: {type(error).__name__}") from None
