"""Bounded memory of what was read or made last."""

from collections import OrderedDict
from typing import TypeVar

Name = TypeVar("Name")
Value = TypeVar("Value")


def keep_newest(kept: OrderedDict[Name, Value], name: Name, value: Value, most: int) -> None:
    """Keep a value as the newest one; past so many the oldest is forgotten. The time that it takes is constant."""
    kept[name] = value
    kept.move_to_end(name)
    if len(kept) > most:
        kept.popitem(last=False)
