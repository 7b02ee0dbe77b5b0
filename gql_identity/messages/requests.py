"""The request messages: those of Cloudforet's API keys, and those of added operations."""

from enum import Enum
from typing import Protocol

import strawberry
from strawberry import ID, UNSET

from .audit import APIKeyAuditAction
from .connections import APIKeyFilter, APIKeyTagInput
from .keys import APIKeyChangeType
from .query import APIKeyListQuery, APIKeyStatisticsQuery
from .values import APIKeyRole, APIKeyState, DateTime


@strawberry.input(name="CreateAPIKeyRequest", description="What a new key is to be.")
class CreateAPIKeyRequest:
    """Cloudforet's `CreateAPIKeyRequest`, with a name and a role."""

    user_id: ID = strawberry.field(description="The user that the key is for; 1 to 255 characters.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of that user; 1 to 255 characters. Without it: your own."
    )
    name: str | None = strawberry.field(
        default=None, description="What to call it, as in `ci`; at most 255 characters."
    )
    role: APIKeyRole = strawberry.field(default=APIKeyRole.USER, description="What it may do.")
    expires_at: DateTime | None = strawberry.field(
        default=None,
        description="When it ends. Without it the service's policy decides; a key of role USER or VERIFIER makes none "
        "that ends later than itself.",
    )
    scopes: list[str] | None = strawberry.field(
        default=None,
        description="What it may be used for, at most what you may. Without a list: what its role says, and none of "
        "your own scopes. An empty list: nothing.",
    )
    tags: list[APIKeyTagInput] | None = strawberry.field(
        default=None, description="Texts of your own by which to find it: at most 32, of different names."
    )
    allowed_addresses: list[str] | None = strawberry.field(
        default=None,
        description="From where it may be used: up to 100 addresses or networks in CIDR notation, as in `10.0.0.0/8`. "
        "Without a list: from where you may.",
    )
    request_id: ID | None = strawberry.field(
        default=None,
        description="A text of your own, 16 to 64 letters, digits and `._~-`, at best random: sent again by the same "
        "key within ten minutes, the request gives the same key and the same secret.",
    )


class InOneDomain(Protocol):
    """A request about one domain: the caller's own if it names none."""

    domain_id: ID | None


class APIKeyReference(InOneDomain, Protocol):
    """A request that names one key."""

    api_key_id: ID


@strawberry.input(name="APIKeyRequest", description="Which key to enable, disable or delete.")
class APIKeyRequest:
    """Cloudforet's `APIKeyRequest`."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain that it belongs to. Without it: your own."
    )


@strawberry.input(
    name="UpdateAPIKeyRequest", description="What to change of a key: what is absent stays, what is null is removed."
)
class UpdateAPIKeyRequest:
    """The request of `updateApiKey`, which Cloudforet does not have."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain that it belongs to. Without it: your own."
    )
    name: str | None = strawberry.field(default=UNSET, description="What to call it; at most 255 characters.")
    expires_at: DateTime | None = strawberry.field(
        default=UNSET,
        description="When it ends. A key of role USER or VERIFIER gives no key an end later than its own, and does not "
        "move its own end further ahead.",
    )
    scopes: list[str] | None = strawberry.field(
        default=UNSET,
        description="What it may be used for: it may keep and lose what it has, and gain what you have.",
    )
    tags: list[APIKeyTagInput] | None = strawberry.field(
        default=UNSET, description="Texts of your own by which to find it: at most 32, of different names."
    )
    allowed_addresses: list[str] | None = strawberry.field(
        default=UNSET,
        description="From where it may be used: up to 100 addresses or networks in CIDR notation, as in `10.0.0.0/8`. "
        "Null: from anywhere.",
    )


@strawberry.enum(
    name="APIKeyOverlapChoice",
    description="What a rotation does where two secrets are accepted already: never three are.",
)
class APIKeyOverlapChoice(Enum):
    """What becomes of an earlier overlap."""

    REFUSE = strawberry.enum_value(
        "REFUSE", description="Refuse with `FAILED_PRECONDITION`: nobody loses a secret that was promised."
    )
    END_OLDER = strawberry.enum_value("END_OLDER", description="The older one ends now, the newer one overlaps.")
    REPLACE_NEWER = strawberry.enum_value(
        "REPLACE_NEWER", description="The newer one ends now, for it was lost; the older one overlaps."
    )


@strawberry.input(
    name="RotateAPIKeyRequest", description="Which key gets another secret, and how long the present one is accepted."
)
class RotateAPIKeyRequest:
    """The request of `rotateApiKey`, which Cloudforet does not have."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain that it belongs to. Without it: your own."
    )
    overlap_seconds: int = strawberry.field(
        default=86_400,
        description="How long the present secret is still accepted, up to 2592000 seconds and the key's end. 0 ends "
        "every older secret at once; a key that rotates itself leaves 60.",
    )
    if_overlapping: APIKeyOverlapChoice = strawberry.field(
        default=APIKeyOverlapChoice.REFUSE, description="What to do where two secrets are accepted already."
    )
    expires_at: DateTime | None = strawberry.field(
        default=UNSET, description="Another end for the key, as in `updateApiKey`; without it the end stays."
    )
    request_id: ID | None = strawberry.field(default=None, description="As in `createApiKey`.")


@strawberry.input(
    name="DisableAPIKeysRequest", description="Which keys to disable; give `userId` or `filter`, or both."
)
class DisableAPIKeysRequest:
    """The request of `disableApiKeys`, which Cloudforet does not have."""

    domain_id: ID | None = strawberry.field(
        default=None, description="The domain whose keys are disabled. Without it: your own."
    )
    user_id: ID | None = strawberry.field(default=None, description="Only keys of this user.")
    filter: APIKeyFilter | None = strawberry.field(
        default=None, description='Only keys that match. All that a stolen key made: `{madeBy: "api-key-..."}`.'
    )


@strawberry.input(name="GetAPIKeyRequest", description="Which key to read.")
class GetAPIKeyRequest:
    """Cloudforet's `GetAPIKeyRequest`."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain that it belongs to. Without it: your own."
    )
    only: list[str] | None = strawberry.field(
        default=None, description="The fields wanted; selecting another is an error. Without it all may be selected."
    )


@strawberry.input(name="APIKeyQuery", description="Which keys to list.")
class APIKeyQuery:
    """Cloudforet's `APIKeyQuery`."""

    query: APIKeyListQuery | None = strawberry.field(default=None, description="Conditions, order, page and fields.")
    api_key_id: ID | None = strawberry.field(default=None, description="Only the key of this id.")
    state: APIKeyState | None = strawberry.field(default=None, description="Only keys in this state.")
    user_id: ID | None = strawberry.field(default=None, description="Only keys of this user.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain whose keys are listed. Without it: your own."
    )


@strawberry.input(name="APIKeyStatQuery", description="Which statistic of a domain's keys.")
class APIKeyStatQuery:
    """Cloudforet's `APIKeyStatQuery`."""

    query: APIKeyStatisticsQuery = strawberry.field(description="What to count, and how.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain whose keys are counted. Without it: your own."
    )


@strawberry.input(name="APIKeyAuditQuery", description="Which entries of the audit log to read, the oldest first.")
class APIKeyAuditQuery:
    """The arguments of `apiKeyAudit`, which Cloudforet does not have."""

    domain_id: ID | None = strawberry.field(default=None, description="The domain of the keys. Without it: your own.")
    api_key_id: ID | None = strawberry.field(default=None, description="Only entries of this key.")
    user_id: ID | None = strawberry.field(default=None, description="Only entries of this user's keys.")
    actor_id: ID | None = strawberry.field(default=None, description="Only what this key did.")
    actions: list[APIKeyAuditAction] | None = strawberry.field(default=None, description="Only these actions.")
    since: DateTime | None = strawberry.field(default=None, description="Only entries from this instant on.")
    until: DateTime | None = strawberry.field(default=None, description="Only entries before this instant.")
    first: int | None = strawberry.field(
        default=None, description="How many from the start; 20 where neither `first` nor `last` is given."
    )
    after: str | None = strawberry.field(default=None, description="Start behind the place of this cursor.")
    last: int | None = strawberry.field(default=None, description="How many from the end.")
    before: str | None = strawberry.field(default=None, description="End before the place of this cursor.")


@strawberry.input(name="VerifyAPIKeyRequest", description="A secret to ask about.")
class VerifyAPIKeyRequest:
    """The request of `verifyApiKey`, which Cloudforet does not have."""

    api_key: str = strawberry.field(description="The secret that somebody sent.")
    required_scopes: list[list[str]] | None = strawberry.field(
        default=None, description="The scopes needed: all of at least one of these lists, as in `@requiresScopes`."
    )
    client_address: str | None = strawberry.field(
        default=None, description="The address of whoever sent the secret: a key that is bound to addresses needs it."
    )


# Clients of earlier versions know only these.
USUAL_CHANGES = (
    APIKeyChangeType.CREATED,
    APIKeyChangeType.ENABLED,
    APIKeyChangeType.DISABLED,
    APIKeyChangeType.DELETED,
)


@strawberry.input(name="APIKeyChangedRequest", description="Whose keys to follow.")
class APIKeyChangedRequest:
    """The request of `apiKeyChanged`, which Cloudforet does not have."""

    domain_id: ID | None = strawberry.field(
        default=None, description="The domain whose keys are followed. Without it: your own."
    )
    user_id: ID | None = strawberry.field(default=None, description="Only keys of this user.")
    types: list[APIKeyChangeType] | None = strawberry.field(
        default_factory=lambda: list(USUAL_CHANGES),
        description="Which changes to tell. Others are told only to those who name them.",
    )
