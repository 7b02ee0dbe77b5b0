"""The outcomes of verifications, and how often a key was used with each."""

from enum import Enum

import strawberry

from .values import DateTime


@strawberry.enum(description="The result of a verification.")
class APIKeyVerificationCode(Enum):
    """Why a secret is valid or invalid."""

    VALID = strawberry.enum_value("VALID", description="The secret is valid.")
    NOT_FOUND = strawberry.enum_value(
        "NOT_FOUND", description="There is no such key, or none that the caller may verify."
    )
    DISABLED = strawberry.enum_value("DISABLED", description="The key is disabled.")
    ROTATED = strawberry.enum_value(
        "ROTATED",
        description="The secret was replaced and its overlap has ended: a client still uses the old one. "
        "It is told for 30 days, of the last ten such secrets of a key.",
    )
    EXPIRED = strawberry.enum_value("EXPIRED", description="The key has expired.")
    ADDRESS_NOT_ALLOWED = strawberry.enum_value(
        "ADDRESS_NOT_ALLOWED", description="The key may not be used from this address, or no address was given."
    )
    INSUFFICIENT_SCOPE = strawberry.enum_value(
        "INSUFFICIENT_SCOPE", description="The secret is valid, but required scopes are missing."
    )
    MALFORMED = strawberry.enum_value(
        "MALFORMED", description="The text is not a secret of this service: a typo, or another kind of credential."
    )


@strawberry.enum(description="The interval in which uses are counted.")
class APIKeyUsageInterval(Enum):
    """Hours and days of UTC."""

    HOUR = strawberry.enum_value("HOUR", description="Hours.")
    DAY = strawberry.enum_value("DAY", description="Days, in UTC.")


@strawberry.type(name="APIKeyUsage", description="The number of uses of a key in an hour or a day, with one outcome.")
class APIKeyUsage:
    """A count; Cloudforet has none."""

    start: DateTime = strawberry.field(description="The start of the hour or the day.")
    code: APIKeyVerificationCode = strawberry.field(
        description="The outcome: `VALID`, or the reason why the key was refused."
    )
    count: int = strawberry.field(description="The number of uses.")
