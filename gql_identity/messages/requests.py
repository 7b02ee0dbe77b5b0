"""The request messages: those of Cloudforet's API keys, and those of added operations."""

from enum import Enum
from typing import Protocol

import strawberry
from strawberry import ID, UNSET

from .audit import APIKeyAuditAction
from .connections import APIKeyFilter, APIKeyTagInput
from .keys import APIKeyChangeType
from .query import APIKeyListQuery, APIKeyStatisticsQuery
from .usage import APIKeyUsageInterval
from .values import APIKeyRole, APIKeyState, DateTime


@strawberry.input(name="CreateAPIKeyRequest", description="The properties of a new key.")
class CreateAPIKeyRequest:
    """Cloudforet's `CreateAPIKeyRequest`, which has the first two fields; the others are this service's own."""

    user_id: ID = strawberry.field(description="The user that the key belongs to; 1 to 255 characters.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of that user; 1 to 255 characters. Default: the caller's domain."
    )
    name: str | None = strawberry.field(
        default=None, description="The key's name, for example `ci`; at most 255 characters."
    )
    role: APIKeyRole = strawberry.field(default=APIKeyRole.USER, description="The key's role.")
    expires_at: DateTime | None = strawberry.field(
        default=None,
        description="The end of the key. Default: set by the service's policy. A caller of role USER or "
        "VERIFIER cannot create a key that ends later than its own.",
    )
    scopes: list[str] | None = strawberry.field(
        default=None,
        description="The key's scopes, at most those of the caller. Null: no restriction beyond its role, "
        "and none of your own scopes. An empty list: no rights.",
    )
    tags: list[APIKeyTagInput] | None = strawberry.field(
        default=None,
        description="Texts of your own to find the key by: at most 32, with different names, "
        "of 4,096 characters in all.",
    )
    allowed_addresses: list[str] | None = strawberry.field(
        default=None,
        description="The networks from which the key may be used: up to 100 addresses or networks in CIDR "
        "notation, for example `10.0.0.0/8`. Default: those of the caller's key.",
    )
    request_id: ID | None = strawberry.field(
        default=None,
        description="A text of your own: 16 to 64 letters, digits and `._~-`, preferably random. If the same "
        "key sends the request again within ten minutes, the response has the same key and the "
        "same secret.",
    )


class InOneDomain(Protocol):
    """A request about one domain: the caller's own if it names none."""

    domain_id: ID | None


class APIKeyReference(InOneDomain, Protocol):
    """A request that names one key."""

    api_key_id: ID


@strawberry.input(name="APIKeyRequest", description="Names one key.")
class APIKeyRequest:
    """Cloudforet's `APIKeyRequest`."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of the key. Default: the caller's domain."
    )


@strawberry.input(
    name="UpdateAPIKeyRequest", description="The changes of a key: absent fields stay, null removes a value."
)
class UpdateAPIKeyRequest:
    """The request of `updateApiKey`, which Cloudforet does not have."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of the key. Default: the caller's domain."
    )
    name: str | None = strawberry.field(default=UNSET, description="The key's name; at most 255 characters.")
    expires_at: DateTime | None = strawberry.field(
        default=UNSET,
        description="The end of the key. A caller of role USER or VERIFIER cannot set an end later than its "
        "own. It can postpone its own end only with the scope `identity:rotate`, to at most the lifetime that it was "
        "created with, counted from now.",
    )
    scopes: list[str] | None = strawberry.field(
        default=UNSET,
        description="The key's scopes: those that it has can be kept or removed, and those that the caller "
        "has can be added.",
    )
    tags: list[APIKeyTagInput] | None = strawberry.field(
        default=UNSET,
        description="Texts of your own to find the key by: at most 32, with different names, "
        "of 4,096 characters in all.",
    )
    allowed_addresses: list[str] | None = strawberry.field(
        default=UNSET,
        description="The networks from which the key may be used: up to 100 addresses or networks in CIDR "
        "notation, for example `10.0.0.0/8`. Null: any.",
    )


@strawberry.enum(
    name="APIKeyOverlapChoice",
    description="The choice for a rotation of a key that has two accepted secrets already; it never has three.",
)
class APIKeyOverlapChoice(Enum):
    """What becomes of an earlier overlap."""

    REFUSE = strawberry.enum_value(
        "REFUSE", description="Refuse with `FAILED_PRECONDITION`: both secrets stay accepted."
    )
    END_OLDER = strawberry.enum_value(
        "END_OLDER", description="The older secret ends now; the newer one is accepted during the overlap."
    )
    REPLACE_NEWER = strawberry.enum_value(
        "REPLACE_NEWER",
        description="The newer secret ends now, for example because it was lost; the older "
        "one is accepted during the overlap.",
    )


@strawberry.input(name="RotateAPIKeyRequest", description="Names the key to rotate, and sets the overlap.")
class RotateAPIKeyRequest:
    """The request of `rotateApiKey`, which Cloudforet does not have."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of the key. Default: the caller's domain."
    )
    overlap_seconds: int = strawberry.field(
        default=86_400,
        description="How long the present secret is still accepted: up to 2592000 seconds, and never past "
        "the key's end. 0 ends every older secret immediately; a key that rotates itself must "
        "leave at least 60, and cannot end the secret that it sends.",
    )
    if_overlapping: APIKeyOverlapChoice = strawberry.field(
        default=APIKeyOverlapChoice.REFUSE, description="The choice if the key has two accepted secrets already."
    )
    expires_at: DateTime | None = strawberry.field(
        default=UNSET, description="Another end of the key, as in `updateApiKey`. Default: the end stays."
    )
    request_id: ID | None = strawberry.field(default=None, description="As in `createApiKey`.")


@strawberry.input(
    name="DisableAPIKeysRequest", description="Selects the keys to disable; give `userId`, `filter` or both."
)
class DisableAPIKeysRequest:
    """The request of `disableApiKeys`, which Cloudforet does not have."""

    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of the keys. Default: the caller's domain."
    )
    user_id: ID | None = strawberry.field(default=None, description="Only keys of this user.")
    filter: APIKeyFilter | None = strawberry.field(
        default=None,
        description="Only keys that match; `nameContains` must not be empty. All keys that a stolen key created: "
        '`{madeBy: "api-key-..."}`.',
    )


@strawberry.input(name="GetAPIKeyRequest", description="Names the key to read.")
class GetAPIKeyRequest:
    """Cloudforet's `GetAPIKeyRequest`."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of the key. Default: the caller's domain."
    )
    only: list[str] | None = strawberry.field(
        default=None, description="The fields that may be selected; selecting another one is an error. Default: all."
    )


@strawberry.input(name="APIKeyQuery", description="Selects the keys to list.")
class APIKeyQuery:
    """Cloudforet's `APIKeyQuery`."""

    query: APIKeyListQuery | None = strawberry.field(default=None, description="Conditions, order, page and fields.")
    api_key_id: ID | None = strawberry.field(default=None, description="Only the key with this id.")
    state: APIKeyState | None = strawberry.field(default=None, description="Only keys in this state.")
    user_id: ID | None = strawberry.field(default=None, description="Only keys of this user.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of the keys. Default: the caller's domain."
    )


@strawberry.input(name="APIKeyStatQuery", description="A statistic of the keys of one domain.")
class APIKeyStatQuery:
    """Cloudforet's `APIKeyStatQuery`."""

    query: APIKeyStatisticsQuery = strawberry.field(description="The statistic.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of the keys. Default: the caller's domain."
    )


@strawberry.input(name="APIKeyAuditQuery", description="Which entries of the audit log to read, the oldest first.")
class APIKeyAuditQuery:
    """The arguments of `apiKeyAudit`, which Cloudforet does not have."""

    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of the keys. Default: the caller's domain."
    )
    api_key_id: ID | None = strawberry.field(default=None, description="Only entries of this key.")
    user_id: ID | None = strawberry.field(default=None, description="Only entries of this user's keys.")
    actor_id: ID | None = strawberry.field(default=None, description="Only changes that this key or person made.")
    actions: list[APIKeyAuditAction] | None = strawberry.field(default=None, description="Only these kinds of changes.")
    since: DateTime | None = strawberry.field(default=None, description="Only entries from this instant on.")
    until: DateTime | None = strawberry.field(default=None, description="Only entries before this instant.")
    first: int | None = strawberry.field(
        default=None, description="The number of results from the start. Default: 20, unless `last` is given."
    )
    after: str | None = strawberry.field(default=None, description="Start after this cursor.")
    last: int | None = strawberry.field(default=None, description="The number of results from the end.")
    before: str | None = strawberry.field(default=None, description="End before this cursor.")


@strawberry.input(name="APIKeyUsageQuery", description="Selects the uses of a key to count.")
class APIKeyUsageQuery:
    """The arguments of `usage` over REST, which Cloudforet does not have."""

    api_key_id: ID = strawberry.field(description="The key's public id.")
    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of the key. Default: the caller's domain."
    )
    since: DateTime | None = strawberry.field(
        default=None,
        description="From the hour or day of this instant on. Default: 24 hours or 30 days before `until`.",
    )
    until: DateTime | None = strawberry.field(
        default=None, description="Before this instant. Default: now, as which a later one counts."
    )
    interval: APIKeyUsageInterval = strawberry.field(
        default=APIKeyUsageInterval.DAY, description="The length of the intervals. Default: days."
    )


@strawberry.input(name="VerifyAPIKeyRequest", description="A secret to verify.")
class VerifyAPIKeyRequest:
    """The request of `verifyApiKey`, which Cloudforet does not have."""

    api_key: str = strawberry.field(description="The secret that a client sent.")
    required_scopes: list[list[str]] | None = strawberry.field(
        default=None, description="The required scopes: all of at least one of these lists, as in `@requiresScopes`."
    )
    client_address: str | None = strawberry.field(
        default=None,
        description="The address of the client that sent the secret; required for a key that "
        "is restricted to addresses.",
    )


@strawberry.input(name="ReportLeakedAPIKeyRequest", description="A secret that was found where it should not be.")
class ReportLeakedAPIKeyRequest:
    """The request of `reportLeakedApiKey`, which Cloudforet does not have."""

    api_key: str = strawberry.field(description="The secret.")
    url: str | None = strawberry.field(
        default=None, description="Where it was found, up to 2,000 characters; the audit log keeps it."
    )


@strawberry.input(
    name="ExchangeAPIKeyRequest", description="Names the secret to exchange, and the properties of the token."
)
class ExchangeAPIKeyRequest:
    """The request of `exchangeApiKey`, which Cloudforet does not have."""

    api_key: str | None = strawberry.field(default=None, description="The secret. Default: the caller's own.")
    audience: str | None = strawberry.field(
        default=None, description="The token's audience: one of the service's audiences. Default: the first one."
    )
    scopes: list[str] | None = strawberry.field(
        default=None, description="The token's scopes. Default: those of the key."
    )
    lifetime_seconds: int = strawberry.field(
        default=300, description="The token's lifetime: 60 to 3600 seconds, and never longer than its secret."
    )


# Clients of earlier versions know only these.
USUAL_CHANGES = (
    APIKeyChangeType.CREATED,
    APIKeyChangeType.ENABLED,
    APIKeyChangeType.DISABLED,
    APIKeyChangeType.DELETED,
)


@strawberry.input(name="APIKeyChangedRequest", description="Selects the changes to follow.")
class APIKeyChangedRequest:
    """The request of `apiKeyChanged`, which Cloudforet does not have."""

    domain_id: ID | None = strawberry.field(
        default=None, description="The domain of the keys. Default: the caller's domain."
    )
    user_id: ID | None = strawberry.field(default=None, description="Only keys of this user.")
    types: list[APIKeyChangeType] | None = strawberry.field(
        default_factory=lambda: list(USUAL_CHANGES),
        description="The kinds of changes to send; `UPDATED`, `ROTATED` and `EXPIRING` are only sent if named.",
    )
