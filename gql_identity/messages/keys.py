"""The returned types: keys, users and domains, with their pages and connections.

They stand in one file because they refer to one another: a key has its user, and a user its keys.
"""

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import strawberry
from strawberry import ID
from strawberry.federation.schema_directives import Cost
from strawberry.scalars import JSON
from strawberry.types import Info as StrawberryInfo

from .connections import CONNECTION_SIZE, ConnectionArguments, PageInfo, with_arguments
from .query import APIKeyStatisticsQuery
from .usage import APIKeyUsage, APIKeyUsageInterval, APIKeyVerificationCode
from .values import APIKeyRole, APIKeyState, DateTime


class ReadsKeys(Protocol):
    """The methods of the request context that fields of User and Domain call."""

    async def connection(
        self, info: "Info", owner: tuple[str, str | None], arguments: ConnectionArguments
    ) -> "APIKeyConnection | None":
        """A page of the keys of a domain, or of one of its users; None if the caller may not see the owner."""

    async def stats(self, info: "Info", domain_id: str, query: APIKeyStatisticsQuery) -> JSON | None:
        """A statistic of a domain's keys; None if the caller may not see it."""

    async def usage(self, info: "Info", key: "APIKeyInfo", *period: Any) -> "list[APIKeyUsage] | None":
        """How often a key was used since an instant, until another, per interval; None if the caller may not see it."""


if TYPE_CHECKING:
    Info = StrawberryInfo[ReadsKeys, None]
else:
    Info = StrawberryInfo


@strawberry.interface(name="Node", description="An object with a globally unique id (Relay).")
class Node:
    """Relay's `Node`."""

    id: ID = strawberry.field(description="An opaque id, unique among all objects of this service.")


@strawberry.federation.type(
    keys=["domainId userId"],
    description="A user. This service knows only its ids; other subgraphs may add fields.",
)
class User:
    """The owner of keys."""

    domain_id: ID = strawberry.field(description="The domain that the user belongs to.")
    user_id: ID = strawberry.field(description="The user's id within its domain.")

    @strawberry.field(description="The user's keys that the caller may see.", directives=[CONNECTION_SIZE])
    @with_arguments(ConnectionArguments)
    async def api_keys(self, info: Info, **arguments: Any) -> "APIKeyConnection | None":
        """Concurrent lookups are batched into one query."""
        return await info.context.connection(info, (self.domain_id, self.user_id), ConnectionArguments(**arguments))


@strawberry.federation.type(
    keys=["domainId"],
    description="A domain. This service knows only its id; other subgraphs may add fields.",
)
class Domain:
    """A domain, the owner of users and keys."""

    domain_id: ID = strawberry.field(description="The domain's id.")

    @strawberry.field(description="The domain's keys that the caller may see.", directives=[CONNECTION_SIZE])
    @with_arguments(ConnectionArguments)
    async def api_keys(self, info: Info, **arguments: Any) -> "APIKeyConnection | None":
        """Concurrent lookups are batched into one query."""
        return await info.context.connection(info, (self.domain_id, None), ConnectionArguments(**arguments))

    @strawberry.field(
        description="A statistic of the domain's keys that the caller may see, as `apiKeyStats` of Query.",
        directives=[Cost(weight=50)],
    )
    async def api_key_stats(
        self,
        info: Info,
        query: Annotated[APIKeyStatisticsQuery, strawberry.argument(description="The statistic.")],
    ) -> JSON | None:
        """Concurrent lookups are batched into one query."""
        return await info.context.stats(info, self.domain_id, query)


@strawberry.type(name="APIKeySecretInfo", description="One secret of a key, without its text.")
class APIKeySecretInfo:
    """A secret that is accepted; Cloudforet has one for each key."""

    hint: str = strawberry.field(description="The secret's prefix and last four characters.")
    created_at: DateTime = strawberry.field(description="The time of creation.")
    expires_at: DateTime | None = strawberry.field(description="The end of the secret; null if it ends with the key.")
    last_accessed_at: DateTime | None = strawberry.field(
        description="The time of the last use, precise to a minute; null if it was never used."
    )


@strawberry.type(name="APIKeyTag", description="A text of your own to find keys by.")
class APIKeyTag:
    """A tag; Cloudforet's keys have none."""

    name: str = strawberry.field(description="The tag's name, for example `team`; a key has each name at most once.")
    value: str = strawberry.field(description="The tag's value, for example `payments`.")


@strawberry.federation.type(name="APIKeyInfo", keys=["domainId apiKeyId"], description="An API key.")
class APIKeyInfo(Node):
    """Cloudforet's `APIKeyInfo`, which has the fields up to `created_at`; the others, and `id`, are this service's own.

    A field that was not read from the database is None, whatever its type says.
    """

    api_key_id: ID = strawberry.field(
        description="The key's public id, for example `api-key-0193...`; ids sort by age."
    )
    api_key: str | None = strawberry.field(
        default=None,
        description="The secret: returned once, by `createApiKey` or `rotateApiKey`; null everywhere else.",
    )
    state: APIKeyState = strawberry.field(description="Whether the key is enabled; an expired key keeps its state.")
    user_id: ID = strawberry.field(description="The user that the key belongs to.")
    domain_id: ID = strawberry.field(description="The domain that the key belongs to.")
    last_accessed_at: DateTime | None = strawberry.field(
        default=None, description="The time of the last use, precise to a minute; null if the key was never used."
    )
    created_at: DateTime = strawberry.field(description="The time of creation.")
    name: str | None = strawberry.field(default=None, description="The key's name.")
    role: APIKeyRole = strawberry.field(description="The key's role.")
    hint: str = strawberry.field(
        description="The newest secret's prefix and last four characters, to recognise the key; empty for an "
        "imported key that was not used or rotated yet."
    )
    created_by: ID | None = strawberry.field(
        default=None, description="The id of the key that created this one; null if a person or a command created it."
    )
    created_by_user_id: ID | None = strawberry.field(
        default=None,
        description="The person who created the key, as the OpenID issuer names them; null if no person did.",
    )
    expires_at: DateTime | None = strawberry.field(
        default=None, description="The end of the key: it is valid before this instant; null if it never ends."
    )
    expired: bool = strawberry.field(description="Whether the key has expired.")
    updated_at: DateTime | None = strawberry.field(
        default=None,
        description="The time of the last change; null if there was none. A use of the key is not a change.",
    )
    scopes: list[str] | None = strawberry.field(
        default=None, description="The key's scopes, as in OAuth; null: no restriction beyond its role."
    )
    secrets: list[APIKeySecretInfo] = strawberry.field(
        description="The secrets that are accepted now, the newest first: two during the overlap of a "
        "rotation, otherwise one; none for an imported key that was not used or rotated yet."
    )
    rotated_at: DateTime | None = strawberry.field(
        default=None, description="The time of the last rotation; null if there was none."
    )
    tags: list[APIKeyTag] = strawberry.field(description="Texts of your own to find the key by.")
    allowed_addresses: list[str] | None = strawberry.field(
        default=None, description="The networks from which the key may be used, in CIDR notation; null: any."
    )
    user: User = strawberry.field(description="The user that the key belongs to.")
    domain: Domain = strawberry.field(description="The domain that the key belongs to.")

    @strawberry.field(
        description="The number of uses and verifications of the key, per hour or day and outcome; up to a "
        "minute late. At most 400 hours or days; those without a use are left out. Null if uses "
        "are not counted, and for a key that the caller may verify but not see."
    )
    async def usage(
        self,
        info: Info,
        since: Annotated[
            DateTime | None,
            strawberry.argument(
                description="From the hour or day of this instant on. Default: 24 hours or 30 days before `until`."
            ),
        ] = None,
        until: Annotated[
            DateTime | None,
            strawberry.argument(description="Before this instant. Default: now, as which a later one counts."),
        ] = None,
        interval: Annotated[
            APIKeyUsageInterval, strawberry.argument(description="The length of the intervals.")
        ] = APIKeyUsageInterval.DAY,
    ) -> list[APIKeyUsage] | None:
        """Concurrent lookups are batched into one query."""
        return await info.context.usage(info, self, since, until, interval)


@strawberry.type(name="APIKeyEdge", description="A key and its cursor.")
class APIKeyEdge:
    """Relay's edge."""

    cursor: str = strawberry.field(
        description="The key's cursor for `after` and `before`; opaque, and valid only for the same order."
    )
    node: APIKeyInfo = strawberry.field(description="The key.")


@strawberry.type(name="APIKeyConnection", description="A page of API keys, as a Relay connection.")
class APIKeyConnection:
    """Relay's connection."""

    edges: list[APIKeyEdge] = strawberry.field(description="The keys of this page with their cursors.")
    nodes: list[APIKeyInfo] = strawberry.field(description="The keys of this page without their cursors.")
    page_info: PageInfo = strawberry.field(
        description="Whether there are pages before and after this one, and its cursors."
    )
    total_count: int | None = strawberry.field(description="The number of matching keys on all pages.")


@strawberry.type(name="APIKeysInfo", description="A page of API keys.")
class APIKeysInfo:
    """Cloudforet's `APIKeysInfo`."""

    results: list[APIKeyInfo] = strawberry.field(description="The keys of this page; none with `countOnly`.")
    total_count: int | None = strawberry.field(default=None, description="The number of matching keys on all pages.")


@strawberry.type(name="APIKeyViewer", description="The caller.")
class APIKeyViewer:
    """The caller; Cloudforet has no such message."""

    api_key_info: APIKeyInfo | None = strawberry.field(
        default=None,
        description="The caller's key; null if it was deleted a moment ago, and for a person with a token of an "
        "OpenID issuer.",
    )
    domain_id: ID = strawberry.field(description="The domain of that key, or of the person.")
    user_id: ID = strawberry.field(description="The user that the key belongs to, or the person.")
    role: APIKeyRole = strawberry.field(description="The caller's role.")
    scopes: list[str] | None = strawberry.field(
        description="The caller's scopes, as in OAuth; null: no restriction beyond its role."
    )
    issuer: str | None = strawberry.field(
        default=None, description="The OpenID issuer of a person's token; null for a key."
    )


@strawberry.type(
    name="DeletedAPIKey", description="The ids of a deleted key, so that clients can remove it from their cache."
)
class DeletedAPIKey:
    """Cloudforet's `Empty`, with the ids of the deleted key."""

    id: ID = strawberry.field(description="The opaque id that the key had.")
    api_key_id: ID = strawberry.field(description="The public id that the key had.")
    domain_id: ID = strawberry.field(description="The domain that the key belonged to.")


@strawberry.type(name="DisabledAPIKeys", description="The number of disabled keys, and whether there are more.")
class DisabledAPIKeys:
    """The response to `disableApiKeys`, which Cloudforet does not have."""

    count: int = strawberry.field(
        description="The number of changed keys: they are disabled now, or a lower role can no longer enable them."
    )
    more: bool = strawberry.field(description="Whether more keys match: send the same request again.")


@strawberry.enum(description="A kind of change of a key.")
class APIKeyChangeType(Enum):
    """The changes that subscribers receive; the use of a key is not one."""

    CREATED = strawberry.enum_value("CREATED", description="The key was created.")
    ENABLED = strawberry.enum_value("ENABLED", description="The key was enabled.")
    DISABLED = strawberry.enum_value("DISABLED", description="The key was disabled.")
    DELETED = strawberry.enum_value("DELETED", description="The key was deleted.")
    UPDATED = strawberry.enum_value(
        "UPDATED",
        description="The key's name, end, scopes, tags or addresses changed; also the end by a rotation, unless "
        "`ROTATED` is named too.",
    )
    ROTATED = strawberry.enum_value("ROTATED", description="The key got another secret.")
    EXPIRING = strawberry.enum_value("EXPIRING", description="The key's end is near: 30, 7 and 1 days before.")


@strawberry.type(
    name="APIKeyLeakReport", description="The response to a report: the same whether or not the text is a secret."
)
class APIKeyLeakReport:
    """The response to `reportLeakedApiKey`, which Cloudforet does not have."""

    received: bool = strawberry.field(description="Always true.")


@strawberry.type(name="APIKeyChange", description="A change of a key.")
class APIKeyChange:
    """An event of a subscription."""

    type: APIKeyChangeType = strawberry.field(description="The kind of change.")
    api_key_info: APIKeyInfo = strawberry.field(
        description="The key after the change; for a deleted key, its last state."
    )


@strawberry.type(
    name="APIKeyExchange",
    description="The result of an exchange: a token, or the reason why there is none. "
    "An invalid secret is a result, not an error.",
)
class APIKeyExchange:
    """The result of `exchangeApiKey`, which Cloudforet does not have."""

    code: APIKeyVerificationCode = strawberry.field(description="`VALID`, or the reason why there is no token.")
    access_token: str | None = strawberry.field(
        default=None, description="A JSON Web Token (RFC 9068); null if the code is not `VALID`."
    )
    token_type: str | None = strawberry.field(default=None, description="The scheme to send the token with: `Bearer`.")
    expires_at: DateTime | None = strawberry.field(default=None, description="The end of the token.")
    scopes: list[str] | None = strawberry.field(
        default=None, description="The token's scopes; null: no restriction beyond the key's role."
    )
    missing_scopes: list[str] | None = strawberry.field(
        default=None, description="With `INSUFFICIENT_SCOPE`: the requested scopes that the key does not have."
    )


@strawberry.type(
    name="APIKeyVerification", description="The result of a verification. An invalid secret is a result, not an error."
)
class APIKeyVerification:
    """The result of `verifyApiKey`."""

    valid: bool = strawberry.field(description="Whether the secret is valid.")
    code: APIKeyVerificationCode = strawberry.field(description="The reason.")
    api_key_id: ID | None = strawberry.field(
        default=None,
        description="The key's id, whether the secret is valid or not; null if there is no "
        "such key, or none that the caller may verify.",
    )
    api_key_info: APIKeyInfo | None = strawberry.field(default=None, description="The key, if the secret is valid.")
    secret_expires_at: DateTime | None = strawberry.field(
        default=None, description="The end of this secret; null if it has none."
    )
    missing_scopes: list[str] | None = strawberry.field(
        default=None, description="With `INSUFFICIENT_SCOPE`: the missing scopes of the list of which the key has most."
    )
