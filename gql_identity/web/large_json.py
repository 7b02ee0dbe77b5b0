"""JSON of large responses, written in slices of several turns of the event loop, with a bound on its bytes."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import orjson

from ..errors import InvalidArgument
from ..execution.answer import Answer
from ..execution.turns import turns_of_this_loop
from ..metrics import LIMITS

LARGE_BYTES = 1_000_000  # a response with more is one of the few that a client may have at one time
PART_BYTES = 64_000  # are written before it is asked whether the slice is used up: about 0.1 ms
MOST_ITEMS = 500  # of a list, written at once
# A list of no more items may hold most of a response in one of them, so each is written in parts itself.
FEW_ITEMS = 10


async def answer_json(answer: Answer, owner: Hashable, most: int, before: int = 0) -> tuple[Answer, bytearray]:
    """A GraphQL response and its JSON; clients take turns.

    One that has more bytes than `most`, with those of a batch `before` it, becomes an error.
    """
    try:
        if answer.is_large:
            return answer, await large_json(answer.to_json(), owner, most, before)
        text = bytearray(orjson.dumps(answer.to_json()))
        if before and before + len(text) > most:
            raise response_too_large(most, in_batch=True)
        return answer, text
    except InvalidArgument as error:
        told = {"message": error.message, "extensions": error.extensions}
        answer = Answer(None, [told], executed=True, extensions=answer.extensions)
        return answer, bytearray(orjson.dumps(answer.to_json()))


async def large_json(
    value: Any,
    owner: Hashable,
    most: int,
    before: int = 0,
    *,
    default: Callable[[Any], Any] | None = None,
    option: int = 0,
) -> bytearray:
    """The JSON of a value, as orjson writes it.

    Raises InvalidArgument where it has more bytes than `most`, with those of a batch `before` it.
    """
    turns = turns_of_this_loop()
    text = bytearray()
    asked = 0
    for part in _parts(value, lambda some: orjson.dumps(some, default, option)):
        text += part
        if before + len(text) > most:
            raise response_too_large(most, in_batch=before > 0)
        if len(text) - asked > PART_BYTES:
            asked = len(text)
            if turns.is_over():
                await turns.wait(owner)
    return text


def response_too_large(most: int, *, in_batch: bool = False) -> InvalidArgument:
    """The error for a response, or those of a batch together, with more bytes than this."""
    LIMITS.add("max_response_bytes")
    what = "responses of this batch have" if in_batch else "response has"
    advice = "send fewer requests in one batch" if in_batch else "fewer fields"
    return InvalidArgument(
        f"The {what} more than {most} bytes: the limit `max_response_bytes`. Ask for smaller pages (`page.limit`, "
        f"`first`) or {advice}."
    )


def _parts(value: Any, dumps: Callable[[Any], bytes]) -> Iterator[bytes]:
    if type(value) is dict and any(type(held) in (dict, list) for held in value.values()):
        for place, (name, held) in enumerate(value.items()):
            yield (b"," if place else b"{") + dumps(name) + b":"
            yield from _parts(held, dumps)
        yield b"}"
    elif type(value) is not list:
        yield dumps(value)
    elif 0 < len(value) <= FEW_ITEMS:
        for place, item in enumerate(value):
            yield b"," if place else b"["
            yield from _parts(item, dumps)
        yield b"]"
    else:
        yield from _parts_of_list(value, dumps)


def _parts_of_list(items: list[Any], dumps: Callable[[Any], bytes]) -> Iterator[bytes]:
    start, number = 0, 1
    yield b"["
    while start < len(items):
        if start:
            yield b","
        some = dumps(items[start : start + number])
        yield some[1:-1]
        start += number
        number = max(1, min(MOST_ITEMS, number * PART_BYTES // len(some)))  # as many bytes as fit, if all are alike
    yield b"]"
