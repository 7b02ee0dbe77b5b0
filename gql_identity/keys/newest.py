"""Bounded memory of what was read or made last."""

from collections import OrderedDict
from typing import TypeVar

Name = TypeVar("Name")
Value = TypeVar("Value")


def keep_newest(kept: OrderedDict[Name, Value], name: Name, value: Value, most: int) -> Value | None:
    """Keep a value as the newest one; past so many the oldest is forgotten, and returned. It takes a constant time."""
    kept[name] = value
    kept.move_to_end(name)
    return kept.popitem(last=False)[1] if len(kept) > most else None
