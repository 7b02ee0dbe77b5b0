"""What a query sends, checked: numbers, text, lists and names with an alias.

Every refusal starts with the path of the offending part, as in `query.filter[2].value`.
"""

import json
import math
from typing import Any

from strawberry import UNSET

from ..errors import InvalidArgument
from ..messages.query import APIKeyPage
from ..settings import Settings

LARGEST_NUMBER = 2**31 - 1  # GraphQL's Int, so that both protocols allow the same


def refusal(path: str, message: str) -> InvalidArgument:
    """The error for a part of a query, which its path names."""
    return InvalidArgument(f"{path}: {message}.")


def echo(text: str) -> str:
    """What a client sent, safe to send back: at most 40 characters, quoted."""
    shown = text[:40].encode("utf-8", "replace").decode()
    return json.dumps(shown + ("..." if len(text) > 40 else ""), ensure_ascii=False)


def check_count(path: str, number: int, bound: int, what: str) -> None:
    """Refuse more than the bound."""
    if number > bound:
        raise refusal(path, f"at most {bound} {what}; there are {number}")


def either(part: Any, name: str, path: str, *, required: bool = True) -> tuple[Any, str]:
    """The value of `key` or of its alias `k`, and the path of the one that was given; never of both."""
    null_is_given = name == "value"
    found: tuple[Any, str] | None = None
    for spelling in (name, name[0]):
        value = getattr(part, spelling)
        if value is UNSET or (value is None and not null_is_given):
            continue
        if found is not None:
            raise refusal(path, f"give {name} or {name[0]}, not both")
        found = (value, f"{path}.{spelling}")
    if found is None and required:
        raise refusal(path, f"{name} is missing")
    return found or (None, f"{path}.{name}")


def read_number(value: Any, path: str) -> int | float:
    """A number that the database can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal(path, f"a number is needed here, not {kind_of(value)}")
    if not (math.isfinite(value) if isinstance(value, float) else -(2**63) <= value < 2**63):
        raise refusal(path, "a number is finite here, and an integer fits 64 bits")
    return value


def read_text(value: Any, path: str) -> str:
    """Text that the database can hold."""
    if not isinstance(value, str):
        raise refusal(path, f"text is needed here, not {kind_of(value)}")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise refusal(path, "text here has no NUL character and no half of one (a lone surrogate); leave it out")
    return value


def kind_of(value: Any) -> str:
    """The kind of a JSON value; never its content, which may be as deep as its sender likes."""
    kinds = {bool: "a boolean", str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")


def read_items(value: Any, path: str, settings: Settings) -> list[tuple[Any, str]]:
    """The items of a list, each with its own path."""
    if not isinstance(value, list):
        raise refusal(path, f"this operator takes a list, not {kind_of(value)}")
    check_count(path, len(value), settings.max_list_values, "values in one list")
    return [(item, f"{path}[{position}]") for position, item in enumerate(value)]


def read_page(page: APIKeyPage | None, settings: Settings) -> tuple[int, int]:
    """How many to leave out, and how many to answer: 0 for all."""
    start, limit = (page.start or 1, page.limit or 0) if page else (1, 0)
    if start > LARGEST_NUMBER:
        raise refusal("query.page.start", f"it is at most {LARGEST_NUMBER}")
    if not 0 <= limit <= settings.max_page_size:
        raise refusal("query.page.limit", f"it is at most {settings.max_page_size}; 0 asks for all, up to that many")
    return max(start, 1) - 1, limit
