"""Reads and checks the values of a query: numbers, text, lists, pages and fields with an alias.

Every error message starts with the path of the invalid part, as in `query.filter[2].value`.
"""

import json
import math
import re
from typing import Any

from strawberry import UNSET

from ..errors import InvalidArgument
from ..messages.query import APIKeyPage
from ..metrics import LIMITS
from ..settings import Settings

LARGEST_NUMBER = 2**31 - 1  # GraphQL's Int, so that both protocols allow the same


_NOT_STORED = re.compile("[\0\ud800-\udfff]")


def invalid(path: str, message: str) -> InvalidArgument:
    """The error for the part of a query at this path."""
    return InvalidArgument(f"{message}.", at=path)


def quoted(text: str) -> str:
    """A client's text, safe to repeat in an error: at most 40 characters, in quotation marks."""
    shown = text[:40].encode("utf-8", "replace").decode()
    return json.dumps(shown + ("..." if len(text) > 40 else ""), ensure_ascii=False)


def check_count(path: str, number: int, bound: int, what: str, setting: str = "") -> None:
    """Raise InvalidArgument if `number` is above the limit, which this setting gives."""
    if number > bound:
        if setting:
            LIMITS.add(setting)
        raise invalid(path, f"give at most {bound} {what}, not {number}{setting and f': the limit `{setting}`'}")


def read_aliased(part: Any, name: str, path: str, *, required: bool = True) -> tuple[Any, str]:
    """The value of a field such as `key`, or of its alias `k`, and the path of the one that was given.

    Only for `value` does null count as given. Raises InvalidArgument if both are given or a required one is missing;
    an optional one is None then.
    """
    null_is_given = name == "value"
    found: tuple[Any, str] | None = None
    for spelling in (name, name[0]):
        value = getattr(part, spelling)
        if value is UNSET or (value is None and not null_is_given):
            continue
        if found is not None:
            raise invalid(path, f"give `{name}` or `{name[0]}`, not both")
        found = (value, f"{path}.{spelling}")
    if found is None and required:
        raise invalid(path, f"`{name}` is missing; give it")
    return found or (None, f"{path}.{name}")


def read_number(value: Any, path: str) -> int | float:
    """A number that the database can store. Raises InvalidArgument for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(path, f"give a number, not {json_type(value)}")
    if not (math.isfinite(value) if isinstance(value, float) else -(2**63) <= value < 2**63):
        raise invalid(path, "give a finite number; an integer must fit 64 bits")
    return value


def read_text(value: Any, path: str) -> str:
    """Text that the database can store. Raises InvalidArgument for anything else."""
    if not isinstance(value, str):
        raise invalid(path, f"give text, not {json_type(value)}")
    if _NOT_STORED.search(value):
        raise invalid(path, "text must not contain NUL or a lone surrogate; remove it")
    return value


def read_items(value: Any, path: str, settings: Settings) -> list[tuple[Any, str]]:
    """The items of a list, each with its own path. Raises InvalidArgument for any other value or too many items."""
    if not isinstance(value, list):
        raise invalid(path, f"give a list, which this operator takes, not {json_type(value)}")
    check_count(path, len(value), settings.max_list_values, "values in one list", "max_list_values")
    return [(item, f"{path}[{position}]") for position, item in enumerate(value)]


def read_page(page: APIKeyPage | None, settings: Settings) -> tuple[int, int]:
    """How many rows to skip, and how many to return: 0 for all. Raises InvalidArgument for a number out of range.

    Without a limit `start` has no effect, as in Cloudforet.
    """
    start, limit = (page.start or 1, page.limit or 0) if page else (1, 0)
    if start > LARGEST_NUMBER:
        raise invalid("query.page.start", f"{start} is too large; give at most {LARGEST_NUMBER}")
    most = settings.max_page_size
    if not 0 <= limit <= most:
        if limit > most:
            LIMITS.add("max_page_size")
        size, bound = ("small", "") if limit < 0 else ("large", ": the limit `max_page_size`")
        raise invalid("query.page.limit", f"{limit} is too {size}; give 0 to {most}, where 0 means all{bound}")
    return (max(start, 1) - 1 if limit else 0), limit


def too_many_rows(what: str, settings: Settings, otherwise: str = "") -> InvalidArgument:
    """The error for a query without a limit that has more rows than the largest page."""
    most = settings.max_page_size
    LIMITS.add("max_page_size")
    return invalid(
        "query.page",
        f"there are more than {most} {what}: the limit `max_page_size`. Read them in pages: give start 1 and "
        f"limit {most}, then start {most + 1} and so on{otherwise}",
    )


def json_type(value: Any) -> str:
    """The type of a JSON value, for an error; never the value itself, which may be nested to any depth."""
    kinds = {bool: "a boolean", str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")
