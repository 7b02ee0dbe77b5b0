"""How many values are sent with a request: counted before they are read as the types that a schema gives them."""

from collections.abc import Iterable
from typing import Any

from ..errors import BadRequest

OBJECT_VALUES = 10  # what an input object counts: graphql-core takes 12 µs to read one, 1.5 µs for a leaf
MAX_DEPTH = 250  # of lists and objects within one another: what reads them calls itself for each level


def count_values(values: Iterable[Any], most: int, object_values: int = OBJECT_VALUES) -> int:
    """The number of JSON values in these, with those inside; some number over `most` where there are more.

    An object counts as `object_values`. Raises BadRequest for values that are nested too deep.
    """
    count = depth = 0
    waiting = list(values)
    while waiting:
        if (depth := depth + 1) > MAX_DEPTH:
            raise BadRequest(f"There are more than {MAX_DEPTH} nested lists and objects.")
        below: list[Any] = []
        for value in waiting:
            if type(value) is dict:
                count += object_values - 1
                below.extend(value.values())
            elif type(value) is list:
                below.extend(value)
        count += len(waiting)
        if count + len(below) > most:
            return count + len(below)
        waiting = below
    return count
