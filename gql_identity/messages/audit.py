"""The audit log: its entries, and a page of them."""

from enum import Enum

import strawberry
from strawberry import ID
from strawberry.scalars import JSON

from .connections import PageInfo
from .values import APIKeyRole, DateTime


@strawberry.enum(
    description="What was done to a key. Later versions may add some: treat one that you do not know as UPDATED."
)
class APIKeyAuditAction(Enum):
    """What the audit log records of a key; its use is not recorded."""

    CREATED = strawberry.enum_value("CREATED", description="It was made.")
    UPDATED = strawberry.enum_value("UPDATED", description="Its name, end, scopes, tags or addresses changed.")
    ENABLED = strawberry.enum_value("ENABLED", description="It became valid again.")
    DISABLED = strawberry.enum_value(
        "DISABLED", description="It became invalid, or a lower role can no longer enable it."
    )
    ROTATED = strawberry.enum_value("ROTATED", description="It got another secret.")
    OVERLAP_ENDED = strawberry.enum_value("OVERLAP_ENDED", description="The older secret of a rotation was ended.")
    DELETED = strawberry.enum_value("DELETED", description="It was removed for good.")
    EXPIRING = strawberry.enum_value("EXPIRING", description="Its end is near: 30, 7 and 1 days before.")
    STALE_SECRET_USED = strawberry.enum_value(
        "STALE_SECRET_USED",
        description="A secret that a rotation has ended was used, and refused; at most one entry an hour.",
    )


@strawberry.enum(description="What sort of actor it was.")
class APIKeyAuditActorKind(Enum):
    """Who can change a key."""

    KEY = strawberry.enum_value("KEY", description="A caller with a key.")
    COMMAND_LINE = strawberry.enum_value("COMMAND_LINE", description="A command of `gql-identity`.")
    SERVICE = strawberry.enum_value("SERVICE", description="The service itself, as when a key's end is near.")
    HOLDER = strawberry.enum_value("HOLDER", description="Whoever sent a secret of the key, which was refused.")
    UNKNOWN = strawberry.enum_value(
        "UNKNOWN", description="Nobody can tell: somebody changed the entry in the database, and it is not intact."
    )


@strawberry.type(name="APIKeyAuditActor", description="Who did it.")
class APIKeyAuditActor:
    """The actor of an entry."""

    kind: APIKeyAuditActorKind = strawberry.field(description="What sort of actor it was.")
    api_key_id: ID | None = strawberry.field(default=None, description="The key that the request was sent with.")
    user_id: ID | None = strawberry.field(default=None, description="The user of that key.")
    domain_id: ID | None = strawberry.field(default=None, description="The domain of that key.")
    role: APIKeyRole | None = strawberry.field(default=None, description="What that key could do.")


@strawberry.type(name="APIKeyAuditChange", description="A field before and after.")
class APIKeyAuditChange:
    """What changed; never a secret, nor a digest of one."""

    field: str = strawberry.field(description="The field's name, as in `expiresAt`.")
    before: JSON | None = strawberry.field(default=None, description="Its value before; null where it had none.")
    after: JSON | None = strawberry.field(default=None, description="Its value after; null where it has none.")


@strawberry.type(name="APIKeyAuditEntry", description="What was done to a key, when and by whom.")
class APIKeyAuditEntry:
    """One change of a key."""

    id: ID = strawberry.field(description="The entry's id; ids sort by time.")
    at: DateTime = strawberry.field(description="When it was done.")
    action: APIKeyAuditAction = strawberry.field(description="What was done.")
    api_key_id: ID = strawberry.field(description="The public id of the key.")
    domain_id: ID = strawberry.field(description="The domain of the key.")
    user_id: ID = strawberry.field(description="The user of the key.")
    actor: APIKeyAuditActor = strawberry.field(description="Who did it.")
    changes: list[APIKeyAuditChange] = strawberry.field(description="The fields that changed.")
    request_id: str | None = strawberry.field(
        default=None, description="The id of the request, as in the log and in `X-Request-ID`."
    )
    client_address: str | None = strawberry.field(default=None, description="The address that sent the request.")
    number: int = strawberry.field(
        description="Counts the entries of the key from 1, without gaps: one that is missing was removed."
    )
    intact: bool | None = strawberry.field(
        default=None,
        description="Whether the entry is as the service wrote it; null where the service no longer has the pepper "
        "that it was written with.",
    )


@strawberry.type(name="APIKeyAuditEdge", description="An entry and its place.")
class APIKeyAuditEdge:
    """Relay's edge."""

    cursor: str = strawberry.field(description="The entry's place, for `after` and `before`; opaque.")
    node: APIKeyAuditEntry = strawberry.field(description="The entry.")


@strawberry.type(name="APIKeyAuditConnection", description="A page of audit entries, as Relay's connections are.")
class APIKeyAuditConnection:
    """Relay's connection."""

    edges: list[APIKeyAuditEdge] = strawberry.field(description="The entries of this page and their places.")
    nodes: list[APIKeyAuditEntry] = strawberry.field(
        description="The entries of this page, where their places don't matter."
    )
    page_info: PageInfo = strawberry.field(description="Where this page lies among all.")
