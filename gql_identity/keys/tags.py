"""Tags: texts of the customer's own by which to find a key; pure."""

from collections.abc import Sequence

from ..errors import InvalidArgument
from ..messages.connections import APIKeyTagInput
from ..messages.keys import APIKeyTag
from .checks import check_free_text

MAX_TAGS = 32  # of one key
MAX_TAG_CHARACTERS = 4_096  # of their names and values together: a page of a thousand keys has 16 MB of them at most


def check_tags(tags: Sequence[APIKeyTagInput]) -> list[dict[str, str]] | None:
    """The tags as they are stored; None for none. Raises InvalidArgument that names the one to change."""
    if len(tags) > MAX_TAGS:
        raise InvalidArgument(f"give at most {MAX_TAGS} tags, not {len(tags)}.", at="tags")
    stored: dict[str, str] = {}
    for at, tag in enumerate(tags):
        check_free_text(f"tags[{at}].name", tag.name)
        check_free_text(f"tags[{at}].value", tag.value)
        if tag.name in stored:
            raise InvalidArgument("two tags have this name. Leave one out.", at=f"tags[{at}].name")
        stored[tag.name] = tag.value
    if sum(len(name) + len(value) for name, value in stored.items()) > MAX_TAG_CHARACTERS:
        raise InvalidArgument(f"give at most {MAX_TAG_CHARACTERS} characters in all.", at="tags")
    return [{"name": name, "value": value} for name, value in stored.items()] or None


def read_tags(stored: Sequence[dict[str, str]] | None) -> list[APIKeyTag]:
    """The tags of a stored key."""
    return [APIKeyTag(name=tag["name"], value=tag["value"]) for tag in stored or ()]
