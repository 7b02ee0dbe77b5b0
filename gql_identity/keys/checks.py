"""Checks of what a request gives: ids, names and selected fields."""

import re

from ..errors import InvalidArgument
from ..queries.fields import listed
from ..secret import contains_secret

MAX_CHARACTERS = 255  # of an id or a name
HOLDS_SECRET = "it contains the secret of a key. Leave it out: anybody who reads it can use it."  # noqa: S105
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # Unicode's categories Cc and Cs


def check_selected(fields: frozenset[str], wanted: frozenset[str] | None, path: str) -> None:
    """Raise InvalidArgument, at the path of `only` or `minimal`, where it leaves out a selected field."""
    if wanted is not None and (left_out := sorted(fields - wanted)):
        raise InvalidArgument(
            f"it leaves out {listed(left_out)}, which is selected. Change this, or do not select it.", at=path
        )


def is_text(text: str) -> bool:
    """Whether a text may be stored as an id or a name."""
    # Printable texts have no control characters; a gateway may send a thousand ids at once.
    printable = text.isprintable() or not _CONTROL.search(text)
    return printable and 1 <= len(text) <= MAX_CHARACTERS and text == text.strip()


def check_text(field: str, text: str) -> None:
    """Raise InvalidArgument, naming the field, for an id or a name that may not be stored."""
    if not 1 <= len(text) <= MAX_CHARACTERS:
        raise InvalidArgument(f"give 1 to {MAX_CHARACTERS} characters, not {len(text)}.", at=field)
    if text != text.strip():
        raise InvalidArgument("white space at either end is not allowed; remove it.", at=field)
    if _CONTROL.search(text):
        raise InvalidArgument("control characters are not allowed; remove them.", at=field)


def check_free_text(field: str, text: str) -> None:
    """As `check_text`, for a text that is stored: it may not contain a secret, which all who see the key could use."""
    check_text(field, text)
    if contains_secret(text):
        raise InvalidArgument(HOLDS_SECRET, at=field)
