"""The values that messages share: instants, states and roles."""

import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, NewType

import orjson
import strawberry
from graphql import GraphQLError

# RFC 3339 in UTC with milliseconds and a Z, in GraphQL and REST alike.
DateTime = NewType("DateTime", datetime)


def enum_value(value: str, *, description: str) -> Any:
    """Strawberry's `enum_value`, typed as the plain value that a member has at run time."""
    return strawberry.enum_value(value, description=description)


def instant_text(instant: datetime) -> str:
    """An instant as RFC 3339 text, as in `2026-11-23T04:36:42.000Z`; a naive one is in UTC."""
    # orjson writes an instant five times as fast as `isoformat`, but with microseconds, so its text is cut.
    text = orjson.dumps(instant)
    if instant.tzinfo is not None and not text.endswith(b'+00:00"'):
        text = orjson.dumps(instant.astimezone(UTC))
    return f"{text[1:24].decode()}Z" if text[20] == _POINT else f"{text[1:20].decode()}.000Z"


_POINT = ord(".")


_RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}):([0-9]{2})(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-5][0-9])",
    re.IGNORECASE,
)


def read_instant(text: Any) -> datetime:
    """The instant of RFC 3339 text (section 5.6), in UTC and whole milliseconds, as the database stores it.

    Raises GraphQLError for any other text, those of ISO 8601 that RFC 3339 leaves out included.
    """
    try:
        return read_rfc_3339(text)
    except (TypeError, ValueError, OverflowError):
        raise GraphQLError("Give an instant with its offset, as in `2026-11-23T04:36:42.000Z`.") from None


def read_rfc_3339(text: str) -> datetime:
    """As `read_instant`, but raises TypeError, ValueError or OverflowError."""
    return utc_milliseconds(_aware(text))


def utc_milliseconds(instant: datetime) -> datetime:
    """An aware instant in UTC and whole milliseconds; raises OverflowError where UTC has it in no year."""
    instant = instant.astimezone(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def whole_number(stored: Any) -> int | None:
    """A stored whole number, also one that the Mongo shell wrote as a double; None for any other value."""
    if isinstance(stored, float):
        return int(stored) if stored.is_integer() and abs(stored) < 2**53 else None
    return stored if isinstance(stored, int) and not isinstance(stored, bool) else None


def _aware(text: str) -> datetime:
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise ValueError
    minute, second, _, offset = found.groups(default="")
    if second != "60":
        return datetime.fromisoformat(text.upper())
    # A leap second ends a day of UTC; Python has none, and reads the second after it.
    instant = datetime.fromisoformat(f"{minute}:59{offset}".upper()).astimezone(UTC) + timedelta(seconds=1)
    if instant.hour or instant.minute:
        raise ValueError
    return instant


DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="An instant: RFC 3339 in UTC with milliseconds, for example `2026-11-23T04:36:42.000Z`.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=instant_text,
    parse_value=read_instant,
)


@strawberry.enum(
    description="Whether a key is enabled.",
)
class APIKeyState(Enum):
    """Cloudforet's `State`."""

    ENABLED = strawberry.enum_value("ENABLED", description="The key is accepted.")
    DISABLED = strawberry.enum_value("DISABLED", description="The key is refused until it is enabled again.")


@strawberry.enum(
    description="The rights of a key, from fewest to most: `USER`, `VERIFIER`, `DOMAIN_OWNER`, `SYSTEM`.",
)
class APIKeyRole(Enum):
    """What a key may do; `rank` orders the roles."""

    USER = strawberry.enum_value("USER", description="Manages its own user's keys.")
    VERIFIER = strawberry.enum_value("VERIFIER", description="As USER, and may verify any key: for gateways.")
    DOMAIN_OWNER = strawberry.enum_value("DOMAIN_OWNER", description="Manages all keys of its domain.")
    SYSTEM = strawberry.enum_value("SYSTEM", description="Manages all keys of all domains.")

    @property
    def rank(self) -> int:
        """USER is 0, SYSTEM is 3."""
        return _RANKS[self]


_RANKS = {role: rank for rank, role in enumerate(APIKeyRole)}
