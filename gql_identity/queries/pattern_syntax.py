"""The syntax of a client's pattern, read token by token. Pure.

The grammar is what every supported database reads alike, and an engine without backtracking too. Nothing is compiled:
`re.compile` takes 300 ms for a pattern of 250 characters whose classes hold many letters in either case.
"""

import re
from typing import NamedTuple

from .inputs import quoted

MAX_REPETITIONS = 1_000
MAX_NAME = 32  # characters in a group's name, in MongoDB's engine
MAX_NESTING = 50  # groups within each other

# The work of a `.`, or of a set with characters beyond ASCII, whose UTF-8 has several forms: measured, 4 µs a document
# of 120 characters, where a letter takes 0.2.
_WIDE = 12

# Each character of a pattern is in a token, so that nothing is skipped unread.
_TOKEN = re.compile(
    r"(?P<set>\[\^?+(?:\]|(?!\]))(?:\\[dwsnrtf]|\\x[0-9a-fA-F]{2}|\\[^a-zA-Z0-9]|[^\]\\\[])*\])"
    r"|(?P<anchor>\^|\$|\\[bBA])"
    r"|(?P<class>\\[dDwWsS])"
    r"|(?P<literal>\\[nrtf]|\\x[0-9a-fA-F]{2}|\\[^a-zA-Z0-9]|[^\\^$.|?*+()\[{])"
    r"|(?P<any>\.)"
    r"|(?P<flags>\(\?[ims]+\))"
    r"|(?P<open>\(\?:|\(\?P<(?P<name>[^>]*)>|\(\?[ims]*(?:-[ims]+)?:|\((?!\?))"
    r"|(?P<close>\))"
    r"|(?P<bar>\|)"
    r"|(?P<repeat>(?:[*+?]|\{(?P<least>[0-9]+)(?P<comma>,)?(?P<most>[0-9]+)?\})\??(?![*+?]))"
    r"|(?P<brace>\{(?![0-9]*,?[0-9]*\}))"
    r"|(?P<refused>\\.?|\(\?.?|\{,[0-9]*\}|.[*+?]?)",
    re.DOTALL,
)
_ALLOWED = (
    r"classes (of no \D, \W or \S), groups, alternatives, repetition, anchors, \d \w \s \b and escaped characters"
)
# These are ASCII in MongoDB; in the embedded engine they are Unicode, and each takes a millisecond a document.
_CLASSES = {r"\d": "0-9", r"\w": "0-9A-Za-z_", r"\s": r"\t\n\x0b\f\r "}
_SET_ITEM = re.compile(r"\\x[0-9a-fA-F]{2}|\\.|.", re.DOTALL)
_ESCAPES = {r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\f": "\f"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class UnreadToken(ValueError):
    """A token that not every database reads alike."""


class Pattern(NamedTuple):
    """A pattern as it is sent to the database, and how many signs it matches, repetitions multiplied."""

    text: str
    work: int


class _Group:
    """A group that is not closed yet: its work, and that of its last part, None where none can be repeated."""

    def __init__(self) -> None:
        self.work = 0
        self.last: int | None = None

    def add(self, work: int, *, repeatable: bool = True) -> None:
        self.work += work
        self.last = work if repeatable else None

    def repeat(self, times: int) -> None:
        if self.last is None:
            raise ValueError("there is nothing to repeat")
        self.work += self.last * (max(times, 1) - 1) + 1
        self.last = None


def read_pattern(text: str) -> Pattern:
    """The pattern of a text. Raises ValueError, which says why, for one outside the grammar."""
    groups, names, written = [_Group()], set[str](), list[str]()
    for token in _TOKEN.finditer(text):
        part = token[0]
        match token.lastgroup:
            case "literal":
                groups[-1].add(1)
            case "any":
                groups[-1].add(_WIDE)
            case "set":
                part, work = _read_set(part)
                groups[-1].add(work)
            case "class":
                ranges = _CLASSES[part.lower()]
                groups[-1].add(1 if part.islower() else _WIDE)
                part = f"[{ranges}]" if part.islower() else f"[^{ranges}]"
            case "anchor":
                groups[-1].add(0, repeatable=False)
            case "bar":
                groups[-1].add(1, repeatable=False)
            case "repeat":
                groups[-1].repeat(_repetitions(token))
            case "open":
                _check_open(token, names, len(groups))
                groups.append(_Group())
            case "close":
                if len(groups) == 1:
                    raise ValueError("a ) has no ( before it")
                closed = groups.pop()
                groups[-1].add(closed.work + 1)
            case "flags":
                if token.start():
                    raise ValueError("flags stand at the start, or as (?i:...)")
                _check_flags(part[2:-1])
            case "brace":
                groups[-1].add(1)
                part = r"\{"  # some engines read a lone one as a repetition
            case _:
                raise UnreadToken(f"{quoted(part)} is not allowed in a pattern; use {_ALLOWED}")
        written.append(part)
    if len(groups) > 1:
        raise ValueError("a ( is not closed by a )")
    return Pattern("".join(written), groups[0].work)


def _repetitions(token: re.Match[str]) -> int:
    if token["least"] is None:
        return 1
    least, most = int(token["least"]), int(token["most"] or token["least"])
    if most > MAX_REPETITIONS or least > MAX_REPETITIONS:
        raise ValueError(f"a part is repeated at most {MAX_REPETITIONS} times")
    if token["most"] and most < least:
        raise ValueError(f"{token[0]} has a minimum above its maximum")
    return most


def _check_open(token: re.Match[str], names: set[str], nesting: int) -> None:
    if nesting > MAX_NESTING:
        raise ValueError(f"groups are nested at most {MAX_NESTING} deep")
    name = token["name"]
    if name is not None:
        if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
            raise ValueError(f"a group's name has 1 to {MAX_NAME} letters, digits and underscores")
        if name in names:
            raise ValueError("two groups have one name")
        names.add(name)
    elif token[0].startswith("(?") and token[0] != "(?:":
        _check_flags(token[0][2:-1])


def _check_flags(flags: str) -> None:
    letters = flags.replace("-", "")
    if len(set(letters)) != len(letters):
        raise ValueError("a flag is given twice")


def _read_set(text: str) -> tuple[str, int]:
    """A set with its `\\d`, `\\w` and `\\s` as ranges, and its work."""
    start = 2 if text.startswith("[^") else 1
    items = _SET_ITEM.findall(text, start, len(text) - 1)
    written = [_CLASSES.get(item, item) for item in items]
    wide = start == 2 or any(not item.isascii() for item in items)
    at = 0
    while at < len(items):
        item, after = items[at], items[at + 1 : at + 3]
        if item in ("-", "&", "~", "|") and after[:1] == [item]:
            raise ValueError(f"{item}{item} in a set means something else in other engines; write \\{item}")
        if len(after) == 2 and after[0] == "-":
            if after[1] == "-":
                raise ValueError("-- in a set means something else in other engines; write \\-")
            if item in _CLASSES or after[1] in _CLASSES or _character(item) > _character(after[1]):
                raise ValueError(f"{item}-{after[1]} is not a range")
            at += 3
        else:
            at += 1
    return f"{text[:start]}{''.join(written)}]", _WIDE if wide else 1


def _character(item: str) -> str:
    if item.startswith(r"\x"):
        return chr(int(item[2:], 16))
    return _ESCAPES.get(item, item[-1])
