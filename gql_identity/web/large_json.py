"""JSON of large responses, written in slices of several turns of the event loop, with a bound on its bytes."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import orjson

from ..errors import InvalidArgument
from ..execution.answer import Answer
from ..execution.turns import turns_of_this_loop
from ..metrics import LIMITS

PART_BYTES = 64_000  # are written before it is asked whether the slice is used up: about 0.1 ms
MOST_ITEMS = 500  # of a list, written at once
# A list of no more items may hold most of a response in one of them, so each is written in parts itself.
FEW_ITEMS = 10


async def answer_json(answer: Answer, owner: Hashable, most: int) -> tuple[Answer, bytearray]:
    """A GraphQL response and its JSON. One with more bytes than `most` becomes an error; clients take turns."""
    if not answer.is_large:
        return answer, bytearray(orjson.dumps(answer.to_json()))
    try:
        return answer, await large_json(answer.to_json(), owner, most)
    except InvalidArgument as error:
        told = {"message": error.message, "extensions": error.extensions}
        answer = Answer(None, [told], executed=True, extensions=answer.extensions)
        return answer, bytearray(orjson.dumps(answer.to_json()))


async def large_json(
    value: Any, owner: Hashable, most: int, default: Callable[[Any], Any] | None = None, option: int = 0
) -> bytearray:
    """The JSON of a value, as orjson writes it. Raises InvalidArgument where it has more bytes than `most`."""
    turns = turns_of_this_loop()
    text = bytearray()
    asked = 0
    for part in _parts(value, lambda some: orjson.dumps(some, default, option)):
        text += part
        if len(text) > most:
            LIMITS.add("max_response_bytes")
            raise InvalidArgument(
                f"The response has more than {most} bytes: the limit `max_response_bytes`. Ask for smaller pages "
                "(`page.limit`, `first`) or fewer fields."
            )
        if len(text) - asked > PART_BYTES:
            asked = len(text)
            if turns.is_over():
                await turns.wait(owner)
    return text


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
