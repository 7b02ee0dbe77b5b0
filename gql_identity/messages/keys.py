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
from .values import APIKeyRole, APIKeyState, DateTime


class ReadsKeys(Protocol):
    """The methods of the request context that fields of User and Domain call."""

    async def connection(
        self, info: "Info", owner: tuple[str, str | None], arguments: ConnectionArguments
    ) -> "APIKeyConnection | None":
        """A page of the keys of a domain, or of one of its users; None if the caller may not see the owner."""

    async def stats(self, info: "Info", domain_id: str, query: APIKeyStatisticsQuery) -> JSON | None:
        """A statistic of a domain's keys; None if the caller may not see it."""


if TYPE_CHECKING:
    Info = StrawberryInfo[ReadsKeys, None]
else:
    Info = StrawberryInfo


@strawberry.interface(name="Node", description="Whatever has an id that is its own among all objects (Relay).")
class Node:
    """Relay's `Node`."""

    id: ID = strawberry.field(description="An opaque id, unique among all objects of this service.")


@strawberry.federation.type(
    keys=["domainId userId"],
    description="A user, known here by its ids alone: another service of the supergraph may tell the rest.",
)
class User:
    """The owner of keys."""

    domain_id: ID = strawberry.field(description="The domain that the user belongs to.")
    user_id: ID = strawberry.field(description="The user's id within its domain.")

    @strawberry.field(description="The user's keys, those that you may see.", directives=[CONNECTION_SIZE])
    @with_arguments(ConnectionArguments)
    async def api_keys(self, info: Info, **arguments: Any) -> "APIKeyConnection | None":
        """Concurrent lookups are batched into one query."""
        return await info.context.connection(info, (self.domain_id, self.user_id), ConnectionArguments(**arguments))


@strawberry.federation.type(
    keys=["domainId"],
    description="A domain, known here by its id alone: another service of the supergraph may tell the rest.",
)
class Domain:
    """A domain, the owner of users and keys."""

    domain_id: ID = strawberry.field(description="The domain's id.")

    @strawberry.field(description="The domain's keys, those that you may see.", directives=[CONNECTION_SIZE])
    @with_arguments(ConnectionArguments)
    async def api_keys(self, info: Info, **arguments: Any) -> "APIKeyConnection | None":
        """Concurrent lookups are batched into one query."""
        return await info.context.connection(info, (self.domain_id, None), ConnectionArguments(**arguments))

    @strawberry.field(
        description="A statistic of the domain's keys, those that you may see; as `apiKeyStats` of Query.",
        directives=[Cost(weight=50)],
    )
    async def api_key_stats(
        self,
        info: Info,
        query: Annotated[APIKeyStatisticsQuery, strawberry.argument(description="What to count, and how.")],
    ) -> JSON | None:
        """Concurrent lookups are batched into one query."""
        return await info.context.stats(info, self.domain_id, query)


@strawberry.type(name="APIKeySecretInfo", description="One of a key's secrets: what tells it apart, never its text.")
class APIKeySecretInfo:
    """A secret that is accepted; Cloudforet has one for each key."""

    hint: str = strawberry.field(description="The secret's prefix and last four characters.")
    created_at: DateTime = strawberry.field(description="When it was made.")
    expires_at: DateTime | None = strawberry.field(description="When it ends; null where it ends with the key.")
    last_accessed_at: DateTime | None = strawberry.field(
        description="When it was last used, to within a minute; null where it never was."
    )


@strawberry.type(name="APIKeyTag", description="A text of your own by which to find a key.")
class APIKeyTag:
    """A tag; Cloudforet's keys have none."""

    name: str = strawberry.field(description="What it tells, as in `team`; a key has each name once.")
    value: str = strawberry.field(description="Its value, as in `payments`.")


@strawberry.federation.type(name="APIKeyInfo", keys=["domainId apiKeyId"], description="An API key.")
class APIKeyInfo(Node):
    """Cloudforet's `APIKeyInfo`, with a name, a role, a hint and the id of the key that made it.

    A field that was not read from the database is None, whatever its type says.
    """

    api_key_id: ID = strawberry.field(description="The key's public id, as in `api-key-0193...`; ids sort by age.")
    api_key: str | None = strawberry.field(
        default=None,
        description="The secret: in the answer to `createApiKey` alone, null everywhere else. Keep it there.",
    )
    state: APIKeyState = strawberry.field(description="Whether the key is enabled; an expired key keeps its state.")
    user_id: ID = strawberry.field(description="The user that the key belongs to.")
    domain_id: ID = strawberry.field(description="The domain that the key belongs to.")
    last_accessed_at: DateTime | None = strawberry.field(
        default=None, description="When the key was last used, to within a minute; null where it never was."
    )
    created_at: DateTime = strawberry.field(description="When the key was made.")
    name: str | None = strawberry.field(default=None, description="What its maker called it.")
    role: APIKeyRole = strawberry.field(description="What the key may do.")
    hint: str = strawberry.field(
        description="The newest secret's prefix and last four characters, to tell keys apart; empty for an imported "
        "key that was not used or rotated yet."
    )
    created_by: ID | None = strawberry.field(
        default=None, description="The id of the key that made this one; null for one made from the command line."
    )
    expires_at: DateTime | None = strawberry.field(
        default=None, description="When the key ends: it is valid before this instant; null where it never ends."
    )
    expired: bool = strawberry.field(description="Whether that instant has come.")
    updated_at: DateTime | None = strawberry.field(
        default=None, description="When the key was last changed; null where it never was. Its use is no change."
    )
    scopes: list[str] | None = strawberry.field(
        default=None, description="What the key may be used for, as OAuth's scopes; null: what its role says."
    )
    secrets: list[APIKeySecretInfo] = strawberry.field(
        description="The secrets that are accepted now, the newest first: two while a rotation overlaps, otherwise "
        "one; none of an imported key that was not used or rotated yet."
    )
    rotated_at: DateTime | None = strawberry.field(
        default=None, description="When the key last got another secret; null where it never did."
    )
    tags: list[APIKeyTag] = strawberry.field(description="Texts of your own by which to find the key.")
    allowed_addresses: list[str] | None = strawberry.field(
        default=None, description="From where it may be used, as networks in CIDR notation; null: from anywhere."
    )
    user: User = strawberry.field(description="The user that the key belongs to.")
    domain: Domain = strawberry.field(description="The domain that the key belongs to.")


@strawberry.type(name="APIKeyEdge", description="A key and its place in a connection.")
class APIKeyEdge:
    """Relay's edge."""

    cursor: str = strawberry.field(description="The key's place, for `after` and `before`; opaque, bound to the order.")
    node: APIKeyInfo = strawberry.field(description="The key.")


@strawberry.type(name="APIKeyConnection", description="A page of API keys, as Relay's connections are.")
class APIKeyConnection:
    """Relay's connection."""

    edges: list[APIKeyEdge] = strawberry.field(description="The keys of this page and their places.")
    nodes: list[APIKeyInfo] = strawberry.field(description="The keys of this page, where their places don't matter.")
    page_info: PageInfo = strawberry.field(description="Where this page lies among all.")
    total_count: int | None = strawberry.field(description="How many keys match, whatever the page.")


@strawberry.type(name="APIKeysInfo", description="A page of API keys.")
class APIKeysInfo:
    """Cloudforet's `APIKeysInfo`."""

    results: list[APIKeyInfo] = strawberry.field(description="The keys of this page; none with `countOnly`.")
    total_count: int | None = strawberry.field(default=None, description="How many keys match, whatever the page.")


@strawberry.type(name="APIKeyViewer", description="Who sends the request.")
class APIKeyViewer:
    """The caller; Cloudforet has no such message."""

    api_key_info: APIKeyInfo | None = strawberry.field(
        default=None, description="The key that the request was sent with; null if it was deleted a moment ago."
    )
    domain_id: ID = strawberry.field(description="The domain of that key.")
    user_id: ID = strawberry.field(description="The user that the key belongs to.")
    role: APIKeyRole = strawberry.field(description="What the key may do.")
    scopes: list[str] | None = strawberry.field(
        description="What the key may be used for, as OAuth's scopes; null: what its role says."
    )


@strawberry.type(name="DeletedAPIKey", description="The ids of a key that is no more, so that a cache can drop it.")
class DeletedAPIKey:
    """Cloudforet's `Empty`, with the ids of the deleted key."""

    id: ID = strawberry.field(description="The opaque id that the key had.")
    api_key_id: ID = strawberry.field(description="The public id that the key had.")
    domain_id: ID = strawberry.field(description="The domain that the key belonged to.")


@strawberry.type(name="DisabledAPIKeys", description="How many keys were disabled, and whether there are more.")
class DisabledAPIKeys:
    """The response to `disableApiKeys`, which Cloudforet does not have."""

    count: int = strawberry.field(
        description="How many keys changed: they are disabled now, or a lower role can no longer enable them."
    )
    more: bool = strawberry.field(description="Whether more keys match: send the same request again.")


@strawberry.enum(description="What became of a key.")
class APIKeyChangeType(Enum):
    """The changes that subscribers receive; the use of a key is not one."""

    CREATED = strawberry.enum_value("CREATED", description="The key was made.")
    ENABLED = strawberry.enum_value("ENABLED", description="The key is valid again.")
    DISABLED = strawberry.enum_value("DISABLED", description="The key is no longer valid.")
    DELETED = strawberry.enum_value("DELETED", description="The key is no more.")
    UPDATED = strawberry.enum_value("UPDATED", description="The key's name, end, scopes, tags or addresses changed.")
    ROTATED = strawberry.enum_value("ROTATED", description="The key has another secret.")
    EXPIRING = strawberry.enum_value("EXPIRING", description="The key's end is near: 30, 7 and 1 days before.")


@strawberry.type(name="APIKeyChange", description="A change of a key.")
class APIKeyChange:
    """An event of a subscription."""

    type: APIKeyChangeType = strawberry.field(description="What became of the key.")
    api_key_info: APIKeyInfo = strawberry.field(description="The key as it then was; a deleted one as it last was.")


@strawberry.enum(description="What became of a verification.")
class APIKeyVerificationCode(Enum):
    """Why a secret is valid or invalid."""

    VALID = strawberry.enum_value("VALID", description="The key is good.")
    NOT_FOUND = strawberry.enum_value("NOT_FOUND", description="There is no such key, or none that you may ask about.")
    DISABLED = strawberry.enum_value("DISABLED", description="The key is disabled.")
    ROTATED = strawberry.enum_value(
        "ROTATED", description="The secret was replaced and its overlap is over: somebody still uses the old one."
    )
    EXPIRED = strawberry.enum_value("EXPIRED", description="The key's end has come.")
    ADDRESS_NOT_ALLOWED = strawberry.enum_value(
        "ADDRESS_NOT_ALLOWED", description="The key may not be used from this address, or none was given."
    )
    INSUFFICIENT_SCOPE = strawberry.enum_value(
        "INSUFFICIENT_SCOPE", description="The key is good, and lacks scopes that are needed."
    )
    MALFORMED = strawberry.enum_value("MALFORMED", description="The text cannot be a key: a typo, or something else.")


@strawberry.type(
    name="APIKeyVerification", description="Whether a secret is good. A bad one is an answer, not an error."
)
class APIKeyVerification:
    """The result of `verifyApiKey`."""

    valid: bool = strawberry.field(description="Whether the key is good.")
    code: APIKeyVerificationCode = strawberry.field(description="Why.")
    api_key_id: ID | None = strawberry.field(
        default=None, description="The key's id, if there is one that you may ask about, valid or not."
    )
    api_key_info: APIKeyInfo | None = strawberry.field(default=None, description="The key, when it is valid.")
    secret_expires_at: DateTime | None = strawberry.field(
        default=None, description="When this very secret ends; null where it does not."
    )
    missing_scopes: list[str] | None = strawberry.field(
        default=None, description="With `INSUFFICIENT_SCOPE`: what the key lacks of the list that it is nearest to."
    )
