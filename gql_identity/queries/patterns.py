"""`contain`, `regex` and their variants become patterns that every database reads alike. Pure."""

import re
from typing import Any

from ..settings import Settings
from .fields import Document
from .inputs import check_count, invalid, quoted, read_items, read_text
from .pattern_syntax import UnreadToken, read_pattern

PATTERN_BYTES = 1_000  # the embedded engine refuses longer patterns
# Measured on the embedded engine: a document of 120 characters costs at most 0.3 µs for each unit of a pattern's work.
PATTERN_WORK = 500  # of all patterns of one query
TEXT_CHARACTERS = 20_000  # of all texts to look for of one query


class Work:
    """How much the patterns and texts of one query ask of the database."""

    def __init__(self) -> None:
        self._patterns = 0
        self._characters = 0

    def add_pattern(self, work: int, path: str) -> None:
        """Count a pattern. Raises InvalidArgument where all patterns of the query ask for too much."""
        self._patterns += work
        if self._patterns > PATTERN_WORK:
            raise invalid(
                path,
                f"the patterns of a query match at most {PATTERN_WORK} characters, repetitions multiplied; "
                "use smaller repetitions or fewer patterns",
            )

    def add_text(self, text: str, path: str) -> None:
        """Count a text to look for. Raises InvalidArgument where all texts of the query are too long."""
        self._characters += len(text)
        if self._characters > TEXT_CHARACTERS:
            raise invalid(
                path,
                f"the texts to search for in a query are too long; give at most {TEXT_CHARACTERS} characters together",
            )


def text_condition(path: str, operator: str, value: Any, at: str, settings: Settings, work: Work) -> Document:
    """The condition of `contain`, `regex` or one of their variants. `at` is the path of the value in the query.

    Raises InvalidArgument for a value that is no text or no allowed pattern.
    """
    texts = read_items(value, at, settings) if operator.endswith("_in") else [(value, at)]
    if operator.startswith("regex"):
        patterns = [_pattern(text, text_at, settings, work) for text, text_at in texts]
    else:
        patterns = join_alternatives([escape_text(text, text_at, settings, work) for text, text_at in texts])
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


def escape_text(value: Any, path: str, settings: Settings, work: Work) -> str:
    """A pattern that matches the text literally."""
    text = _bounded(value, path, settings)
    work.add_text(text, path)
    pattern = _META.sub(r"\\\g<0>", text)
    check_count(path, len(pattern.encode()), PATTERN_BYTES, "bytes in a text to search for")
    return pattern


def join_alternatives(patterns: list[str]) -> list[str]:
    """Join escaped texts into few patterns: each pattern costs one pass over the field, however many texts it holds."""
    joined: list[str] = []
    length = 0
    for pattern in dict.fromkeys(patterns):
        size = len(pattern.encode())
        if joined and length + size < PATTERN_BYTES:
            joined[-1] += "|" + pattern
            length += size + 1
        else:
            joined.append(pattern)
            length = size
    return joined


def _bounded(value: Any, path: str, settings: Settings) -> str:
    text = read_text(value, path)
    check_count(
        path,
        len(text),
        settings.max_pattern_length,
        "characters in a pattern or a text to search for",
        "max_pattern_length",
    )
    return text


def _pattern(value: Any, path: str, settings: Settings, work: Work) -> str:
    """A client's pattern, in the syntax that all databases read alike and the embedded one without backtracking.

    Raises InvalidArgument for other syntax.
    """
    text = _bounded(value, path, settings)
    try:
        pattern = read_pattern(text)
    except UnreadToken as error:
        raise invalid(path, str(error)) from None
    except ValueError as error:
        raise invalid(path, f"{quoted(text)} is not a pattern: {error}") from None
    work.add_pattern(max(pattern.work, len(text)), path)
    written = pattern.text
    check_count(path, len(written.encode()), PATTERN_BYTES, r"bytes in a pattern, its \d, \w and \s written out")
    return written
