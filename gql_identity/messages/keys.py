"""The seed's messages as Strawberry types, in the seed's order; the only record classes.

GraphQL and the seed's own routes read and write the same classes. Types of our own bear the prefix `APIKey`, because
composers refuse a supergraph where two subgraphs define an enum or an input of one name differently.
"""

from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, NewType

import orjson
import strawberry
from graphql import GraphQLError
from strawberry import ID

from .query import APIKeyListQuery, APIKeyStatisticsQuery

if TYPE_CHECKING:
    from .entities import Domain, User

# RFC 3339 in UTC with milliseconds and a Z, in GraphQL and REST alike.
DateTime = NewType("DateTime", datetime)


def instant_text(instant: datetime) -> str:
    """An aware instant as RFC 3339 text, as in `2026-11-23T04:36:42.000Z`."""
    # orjson writes an instant five times as fast as `isoformat`, but not with milliseconds: so what it wrote is cut.
    text = orjson.dumps(instant)
    if not text.endswith(b'+00:00"'):
        text = orjson.dumps(instant.astimezone(UTC))
    return f"{text[1:24].decode()}Z" if text[20] == _POINT else f"{text[1:20].decode()}.000Z"


_POINT = ord(".")


def read_instant(text: Any) -> datetime:
    """The instant of RFC 3339 text, in UTC and whole milliseconds, as the database has it.

    Raises GraphQLError.
    """
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ValueError
        instant = instant.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise GraphQLError("Give an instant with its offset, as in `2026-11-23T04:36:42.000Z`.") from None
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="An instant: RFC 3339 in UTC with milliseconds, as in `2026-11-23T04:36:42.000Z`.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
    serialize=instant_text,
    parse_value=read_instant,
)


@strawberry.enum(
    description="Whether a key opens anything.",
)
class APIKeyState(Enum):
    """The seed's `State`."""

    ENABLED = strawberry.enum_value("ENABLED", description="The key is accepted.")
    DISABLED = strawberry.enum_value("DISABLED", description="The key is refused until it is enabled again.")


@strawberry.enum(
    description="What a key may do, from least to most: `USER`, `VERIFIER`, `DOMAIN_OWNER`, `SYSTEM`.",
)
class APIKeyRole(Enum):
    """What a key may do; `rank` orders the roles."""

    USER = strawberry.enum_value("USER", description="Manages its own user's keys.")
    VERIFIER = strawberry.enum_value(
        "VERIFIER", description="As USER, and may ask whether any key is good: for gateways."
    )
    DOMAIN_OWNER = strawberry.enum_value("DOMAIN_OWNER", description="Manages all keys of its domain.")
    SYSTEM = strawberry.enum_value("SYSTEM", description="Manages all keys of all domains.")

    @property
    def rank(self) -> int:
        """USER is 0, SYSTEM is 3."""
        return _RANKS[self]


_RANKS = {role: rank for rank, role in enumerate(APIKeyRole)}


@strawberry.interface(name="Node", description="Whatever has an id that is its own among all objects (Relay).")
class Node:
    """Relay's `Node`."""

    id: ID = strawberry.field(description="An opaque id, unique among all objects of this service.")


@strawberry.federation.type(name="APIKeyInfo", keys=["domainId apiKeyId"], description="An API key.")
class APIKeyInfo(Node):
    """The seed's `APIKeyInfo`, with what it lacks: name, role, hint and who made it.

    A field that was not read from the database is None, whatever its type says.
    """

    api_key_id: ID = strawberry.field(description="The key's public id, as in `api-key-0193...`; ids sort by age.")
    api_key: str | None = strawberry.field(
        default=None,
        description="The secret: in the answer to `createApiKey` alone, null everywhere else. Keep it there.",
    )
    state: APIKeyState = strawberry.field(description="Whether the key opens anything.")
    user_id: ID = strawberry.field(description="The user that the key belongs to.")
    domain_id: ID = strawberry.field(description="The domain that the key belongs to.")
    last_accessed_at: DateTime | None = strawberry.field(
        default=None, description="When the key was last used, to within a minute; null where it never was."
    )
    created_at: DateTime = strawberry.field(description="When the key was made.")
    name: str | None = strawberry.field(default=None, description="What its maker called it.")
    role: APIKeyRole = strawberry.field(description="What the key may do.")
    hint: str = strawberry.field(description="The secret's prefix and last four characters, to tell keys apart.")
    created_by: ID | None = strawberry.field(
        default=None, description="The id of the key that made this one; null for one made from the command line."
    )
    user: Annotated["User", strawberry.lazy(".entities")] = strawberry.field(
        description="The user that the key belongs to."
    )
    domain: Annotated["Domain", strawberry.lazy(".entities")] = strawberry.field(
        description="The domain that the key belongs to."
    )


@strawberry.type(name="APIKeysInfo", description="A page of API keys.")
class APIKeysInfo:
    """The seed's `APIKeysInfo`."""

    results: list[APIKeyInfo] = strawberry.field(description="The keys of this page; none with `countOnly`.")
    total_count: int | None = strawberry.field(default=None, description="How many keys match, whatever the page.")


@strawberry.type(name="DeletedAPIKey", description="The ids of a key that is no more, so that a cache can drop it.")
class DeletedAPIKey:
    """The seed's `Empty`, with the ids."""

    id: ID = strawberry.field(description="The opaque id that the key had.")
    api_key_id: ID = strawberry.field(description="The public id that the key had.")
    domain_id: ID = strawberry.field(description="The domain that the key belonged to.")


@strawberry.input(name="APIKeyChangedRequest", description="Whose keys to follow.")
class APIKeyChangedRequest:
    """Not in the seed: a subscriber's question."""

    domain_id: ID = strawberry.field(description="The domain whose keys are followed.")
    user_id: ID | None = strawberry.field(default=None, description="Only keys of this user.")


@strawberry.enum(description="What became of a key.")
class APIKeyChangeType(Enum):
    """The four changes that are told; a use is not one."""

    CREATED = strawberry.enum_value("CREATED", description="The key was made.")
    ENABLED = strawberry.enum_value("ENABLED", description="The key opens things again.")
    DISABLED = strawberry.enum_value("DISABLED", description="The key opens nothing any more.")
    DELETED = strawberry.enum_value("DELETED", description="The key is no more.")


@strawberry.type(name="APIKeyChange", description="A change of a key.")
class APIKeyChange:
    """What a subscriber is told."""

    type: APIKeyChangeType = strawberry.field(description="What became of the key.")
    api_key_info: APIKeyInfo = strawberry.field(description="The key as it then was; a deleted one as it last was.")


@strawberry.input(name="CreateAPIKeyRequest", description="What a new key is to be.")
class CreateAPIKeyRequest:
    """The seed's `CreateAPIKeyRequest`, with a name and a role."""

    user_id: ID = strawberry.field(description="The user that the key is for; 1 to 255 characters.")
    domain_id: ID = strawberry.field(description="The domain of that user; 1 to 255 characters.")
    name: str | None = strawberry.field(
        default=None, description="What to call it, as in `ci`; at most 255 characters."
    )
    role: APIKeyRole = strawberry.field(default=APIKeyRole.USER, description="What it may do.")


@strawberry.input(name="APIKeyRequest", description="Which key to enable, disable or delete.")
class APIKeyRequest:
    """The seed's `APIKeyRequest`."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID = strawberry.field(description="The domain that it belongs to.")


@strawberry.input(name="VerifyAPIKeyRequest", description="A secret to ask about.")
class VerifyAPIKeyRequest:
    """Not in the seed: a gateway's question."""

    api_key: str = strawberry.field(description="The secret that somebody sent.")


@strawberry.enum(description="What became of a verification.")
class APIKeyVerificationCode(Enum):
    """Why a secret is good, or is not."""

    VALID = strawberry.enum_value("VALID", description="The key is good.")
    NOT_FOUND = strawberry.enum_value("NOT_FOUND", description="There is no such key, or none that you may ask about.")
    DISABLED = strawberry.enum_value("DISABLED", description="The key is disabled.")
    MALFORMED = strawberry.enum_value("MALFORMED", description="The text cannot be a key: a typo, or something else.")


@strawberry.type(
    name="APIKeyVerification", description="Whether a secret is good. A bad one is an answer, not an error."
)
class APIKeyVerification:
    """The answer to a gateway's question."""

    valid: bool = strawberry.field(description="Whether the key is good.")
    code: APIKeyVerificationCode = strawberry.field(description="Why.")
    api_key_info: APIKeyInfo | None = strawberry.field(default=None, description="The key, when it is valid.")


@strawberry.input(name="GetAPIKeyRequest", description="Which key to read.")
class GetAPIKeyRequest:
    """The seed's `GetAPIKeyRequest`."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID = strawberry.field(description="The domain that it belongs to.")
    only: list[str] | None = strawberry.field(
        default=None, description="The fields wanted; selecting another is an error. Without it all may be selected."
    )


@strawberry.input(name="APIKeyQuery", description="Which keys to list.")
class APIKeyQuery:
    """The seed's `APIKeyQuery`."""

    query: APIKeyListQuery | None = strawberry.field(default=None, description="Conditions, order, page and fields.")
    api_key_id: ID | None = strawberry.field(default=None, description="Only the key of this id.")
    state: APIKeyState | None = strawberry.field(default=None, description="Only keys in this state.")
    user_id: ID | None = strawberry.field(default=None, description="Only keys of this user.")
    domain_id: ID = strawberry.field(description="The domain whose keys are listed.")


@strawberry.input(name="APIKeyStatQuery", description="Which statistic of a domain's keys.")
class APIKeyStatQuery:
    """The seed's `APIKeyStatQuery`."""

    query: APIKeyStatisticsQuery = strawberry.field(description="What to count, and how.")
    domain_id: ID = strawberry.field(description="The domain whose keys are counted.")
