"""Cleans graphql-core's error messages for clients."""

import re
from collections.abc import Container

from ..errors import ServiceError, places

MAX_WORD = 60  # longest name or value, in characters, that a message repeats
MAX_MESSAGE = 300
# graphql-core writes values in Python's notation.
_AS_JSON = {"None": "null", "True": "true", "False": "false"}
_PYTHON_WORD = re.compile(r"(?<![\w'\"])(None|True|False)(?![\w'\"])")


def in_schema(error: ServiceError, arguments: Container[str]) -> tuple[str, list[str | int]]:
    """The message of an error with names as the schema spells them, and the path of the invalid part.

    A field with an argument `input` takes its message there, so the path starts with it; else with an argument's name.
    """
    found = places(error.at)
    if found and "input" in arguments and found[0] != "input":
        found.insert(0, "input")
    message = _API_NAME.sub(_camel, error.message.removeprefix(error.at))
    return _camel_path(error.at) + message, [part if isinstance(part, int) else _camel_path(part) for part in found]


# Settings stay as they are, as in "the limit `operation_timeout_seconds`"; most of them start with `max_`.
_API_NAME = re.compile(r"(?<!the limit )`(?!max_)[a-z_]+`")


def _camel(name: re.Match[str]) -> str:
    return _camel_path(name[0])


def _camel_path(path: str) -> str:
    return re.sub(r"(?<=[a-z0-9])_([a-z])", lambda part: part[1].upper(), path)


def path_of_variable(message: str) -> dict[str, list[str | int]]:
    """The extension `path` of graphql-core's error about a variable: its name, and where in its value."""
    found = re.match(r"Variable '\$(\w+)' has invalid value(?: at ((?:\.\w+|\[\d+\])+):)?", message)
    return {"path": [found[1], *places(found[2] or "")]} if found else {}


def tidy(message: str, *, suggests: bool = False) -> str:
    """A message of graphql-core without Python notation, and with long names and values cut.

    Suggestions are kept if `suggests`.
    """
    message = re.sub(rf"(\S{{{MAX_WORD}}})\S+?(['\"]?[.,:;?]?)(?=\s|$)", r"\1…\2", message)[: 4 * MAX_MESSAGE]
    if not suggests:
        message = re.sub(r" Did you mean .*?(\?|$)", "", message, flags=re.DOTALL)
    message = re.sub(r", but encountered error '.*?('(?=[;.]|$)|$)", "", message, flags=re.DOTALL)
    # What was found is the client's whole value, in Python's notation.
    if (short := re.sub("[,.]? found: [{[].*", "", message, flags=re.DOTALL | re.IGNORECASE)) != message:
        message = short if short.endswith("?") else f"{short}."
    message = re.sub(
        r"(cannot represent [a-z -]*value): [{[].*", r"\1: it is a list or an object.", message, flags=re.DOTALL
    )
    message = _PYTHON_WORD.sub(lambda word: _AS_JSON[word[0]], message)
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
