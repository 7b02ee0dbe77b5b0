"""Scopes: what a key may be used for, as exact texts (RFC 6749, section 3.3); pure.

A scope narrows a role and never widens it. A key without a list (None) may do what its role says and has none of the
customer's scopes; a key with an empty list may do nothing but disable or delete itself.
"""

import re
from collections.abc import Collection, Sequence

from ..errors import InvalidArgument
from ..secret import contains_secret
from .checks import HOLDS_SECRET

READ, WRITE, VERIFY, ROTATE, AUDIT = (f"identity:{name}" for name in ("read", "write", "verify", "rotate", "audit"))
OURS = frozenset({READ, WRITE, VERIFY, ROTATE, AUDIT})
# What a key without a list has: all of ours but to move its own end, which must be given outright.
IMPLIED = OURS - {ROTATE}
MAX_SCOPES = 100  # of one key, in one list of a verification, and lists in one verification
MAX_CHARACTERS = 4_096  # of all scopes of a key together
_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")


def is_scope(text: str) -> bool:
    """Whether a key may have this scope."""
    return _fault(text) is None


def _fault(scope: str) -> str | None:
    """Why a key may not have this scope, and what to do; None where it may."""
    if not _TOKEN.fullmatch(scope):
        return "give 1 to 128 printable ASCII characters, without a blank, a quote or a backslash."
    if contains_secret(scope):
        return HOLDS_SECRET
    if scope in OURS or not scope.lower().startswith("identity:"):
        return None
    one = f"use one of {', '.join(sorted(OURS))}."
    if not scope.startswith("identity:"):
        return f"this service's scopes are written in lower case; {one}"
    return f"there is no such scope of this service; {one}"


def check_scopes(scopes: Sequence[str], at: str = "scopes") -> list[str]:
    """The scopes, each once. Raises InvalidArgument that names the one to change, of the list at `at`."""
    if len(scopes) > MAX_SCOPES:
        raise InvalidArgument(f"give at most {MAX_SCOPES} scopes, not {len(scopes)}.", at=at)
    for position, scope in enumerate(scopes):
        if (fault := _fault(scope)) is not None:
            raise InvalidArgument(fault, at=f"{at}[{position}]")
    if sum(map(len, scopes)) > MAX_CHARACTERS:
        raise InvalidArgument(f"give at most {MAX_CHARACTERS} characters in all.", at=at)
    return list(dict.fromkeys(scopes))


def read_scopes(text: str) -> list[str]:
    """The scopes of a text in which blanks separate them (RFC 6749, section 3.3). Raises InvalidArgument."""
    if not text.strip(" "):
        raise InvalidArgument("name a scope, or leave it out.", at="scope")
    return check_scopes([scope for scope in text.split(" ") if scope], "scope")


def missing_scopes(scopes: Collection[str] | None, required: Sequence[Sequence[str]]) -> list[str] | None:
    """None if a key with these scopes has all of at least one list; else what it lacks of the list it is nearest to."""
    has = IMPLIED if scopes is None else scopes
    lacking = [[scope for scope in dict.fromkeys(group) if scope not in has] for group in required]
    return min(lacking, key=len) or None
