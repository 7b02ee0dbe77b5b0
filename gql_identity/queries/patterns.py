"""`contain`, `regex` and their variants become patterns that every database reads alike. Pure."""

import re
import warnings
from typing import Any

from ..settings import Settings
from .fields import Document
from .inputs import check_count, invalid, quoted, read_items, read_text

PATTERN_BYTES = 1_000  # the embedded engine refuses longer patterns


def text_condition(path: str, operator: str, value: Any, at: str, settings: Settings) -> Document:
    """The condition of `contain`, `regex` or one of their variants. `at` is the path of the value in the query.

    Raises InvalidArgument for a value that is no text or no allowed pattern.
    """
    texts = read_items(value, at, settings) if operator.endswith("_in") else [(value, at)]
    if operator.startswith("regex"):
        patterns = [_pattern(text, text_at, settings) for text, text_at in texts]
    else:
        patterns = join_alternatives([escape_text(text, text_at, settings) for text, text_at in texts])
    found = [regex_condition(path, pattern) for pattern in dict.fromkeys(patterns)]
    found = found or [{path: {"$in": []}}]  # an empty list matches nothing
    if operator.startswith("not_"):
        return {"$nor": found}
    return found[0] if len(found) == 1 else {"$or": found}


def regex_condition(path: str, pattern: str) -> Document:
    """The condition that a field matches a pattern, ignoring case."""
    # Never a compiled pattern: with one, the embedded engine finds nothing on an indexed field.
    return {path: {"$regex": pattern, "$options": "i"}}


_META = re.compile(r"[\\^$.|?*+()\[\]{}]")


def escape_text(value: Any, path: str, settings: Settings) -> str:
    """A pattern that matches the text literally."""
    pattern = _META.sub(r"\\\g<0>", _bounded(value, path, settings))
    check_count(path, len(pattern.encode()), PATTERN_BYTES, "bytes in a text to look for")
    return pattern


def join_alternatives(patterns: list[str]) -> list[str]:
    """Join escaped texts into few patterns: each pattern costs one pass over the field, however many texts it holds."""
    joined: list[str] = []
    for pattern in dict.fromkeys(patterns):
        if joined and len(joined[-1].encode()) + len(pattern.encode()) < PATTERN_BYTES:
            joined[-1] += "|" + pattern
        else:
            joined.append(pattern)
    return joined


def _bounded(value: Any, path: str, settings: Settings) -> str:
    text = read_text(value, path)
    check_count(path, len(text), settings.max_pattern_length, "characters in a pattern or a text to look for")
    return text


# Tokens that every supported database reads alike; then, refused, other tokens of Python, and what needs backtracking.
_TOKEN = re.compile(
    r"\[\^?\]?(?:\\[dwsnrtf]|\\x[0-9a-fA-F]{2}|\\[^a-zA-Z0-9]|[^\]\\\[])*\]"
    r"|\\[dDwWsSbBAnrtf]|\\x[0-9a-fA-F]{2}|\\[^a-zA-Z0-9]"
    r"|\(\?:|\(\?P<|\(\?(?:[ims]+|[ims]*-[ims]+:|[ims]+:)"
    r"|(?P<refused>\\.|\(\?.|\[|[*+?}]\+|\{,)",
    re.DOTALL,
)
_ALLOWED = r"classes (of no \D, \W or \S), groups, alternatives, repetition, anchors, \d \w \s \b and escaped signs"
# These are ASCII in MongoDB; in the embedded engine they are Unicode, and each takes a millisecond a document.
_CLASSES = {r"\d": "0-9", r"\w": "0-9A-Za-z_", r"\s": r"\t\n\x0b\f\r "}


def _pattern(value: Any, path: str, settings: Settings) -> str:
    """A client's pattern, in the syntax that all databases read alike and the embedded one without backtracking.

    Raises InvalidArgument for other syntax.
    """
    pattern = _bounded(value, path, settings)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Python warns of what other engines read differently.
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise invalid(path, f"{quoted(pattern)} is not a pattern: {quoted(str(error))}") from None
    refused = [token[0] for token in _TOKEN.finditer(pattern) if token["refused"]]
    if refused:
        raise invalid(path, f"{quoted(refused[0])} is not read in a pattern; use {_ALLOWED}")
    pattern = _TOKEN.sub(_written_out, pattern)
    check_count(path, len(pattern.encode()), PATTERN_BYTES, r"bytes in a pattern, its \d, \w and \s written out")
    return pattern


def _written_out(token: re.Match[str]) -> str:
    """A token with its `\\d`, `\\w` and `\\s` as ranges."""
    text = token[0]
    if text.startswith("["):
        return re.sub(r"\\.", lambda escape: _CLASSES.get(escape[0], escape[0]), text, flags=re.DOTALL)
    ranges = _CLASSES.get(text.lower())
    return text if ranges is None else f"[{ranges}]" if text.islower() else f"[^{ranges}]"
