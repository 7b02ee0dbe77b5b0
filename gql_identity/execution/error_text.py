"""Cleans graphql-core's error messages for clients."""

import re

MAX_WORD = 60  # longest name or value, in characters, that a message repeats
MAX_MESSAGE = 300
# graphql-core writes values in Python's notation.
_AS_JSON = {"None": "null", "True": "true", "False": "false"}
_PYTHON_WORD = re.compile(r"(?<![\w'\"])(None|True|False)(?![\w'\"])")


def tidy(message: str) -> str:
    """A message of graphql-core without suggestions and Python notation, and with long names and values cut."""
    message = re.sub(rf"(\S{{{MAX_WORD}}})\S+?(['\"]?[.,:;?]?)(?=\s|$)", r"\1…\2", message)[: 4 * MAX_MESSAGE]
    message = re.sub(r" Did you mean .*?(\?|$)", "", message, flags=re.DOTALL)
    message = re.sub(r", but encountered error '.*?('(?=[;.]|$)|$)", "", message, flags=re.DOTALL)
    message = _PYTHON_WORD.sub(lambda word: _AS_JSON[word[0]], message)
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
