"""The audit log: its entries, and a page of them."""

from enum import Enum

import strawberry
from strawberry import ID
from strawberry.scalars import JSON

from .connections import PageInfo
from .values import APIKeyRole, DateTime


@strawberry.enum(description="A kind of change. Later versions may add values: treat an unknown one as UPDATED.")
class APIKeyAuditAction(Enum):
    """What the audit log records of a key; its use is not recorded."""

    CREATED = strawberry.enum_value("CREATED", description="The key was created.")
    UPDATED = strawberry.enum_value("UPDATED", description="The key's name, end, scopes, tags or addresses changed.")
    ENABLED = strawberry.enum_value("ENABLED", description="The key was enabled.")
    DISABLED = strawberry.enum_value(
        "DISABLED", description="The key was disabled, or a lower role can no longer enable it."
    )
    ROTATED = strawberry.enum_value("ROTATED", description="The key got another secret.")
    OVERLAP_ENDED = strawberry.enum_value("OVERLAP_ENDED", description="The older secret of a rotation was ended.")
    DELETED = strawberry.enum_value("DELETED", description="The key was deleted.")
    EXPIRING = strawberry.enum_value("EXPIRING", description="Its end is near: 30, 7 and 1 days before.")
    LEAK_REPORTED = strawberry.enum_value(
        "LEAK_REPORTED",
        description="A secret of the key was reported as leaked: the key was disabled, or a replaced secret was ended. "
        "`changes` has the URL, if it was given.",
    )
    STALE_SECRET_USED = strawberry.enum_value(
        "STALE_SECRET_USED",
        description="A secret that a rotation has ended was used, and refused; at most one entry an hour.",
    )


@strawberry.enum(description="The kind of author.")
class APIKeyAuditActorKind(Enum):
    """Who can change a key."""

    KEY = strawberry.enum_value("KEY", description="A caller with a key.")
    PERSON = strawberry.enum_value("PERSON", description="A person, with a token of an OpenID issuer.")
    COMMAND_LINE = strawberry.enum_value("COMMAND_LINE", description="A command of `gql-identity`.")
    SERVICE = strawberry.enum_value("SERVICE", description="The service itself, as when a key's end is near.")
    HOLDER = strawberry.enum_value(
        "HOLDER", description="The sender of a secret of the key that was refused, or that was reported as leaked."
    )
    UNKNOWN = strawberry.enum_value(
        "UNKNOWN", description="Unknown: somebody changed the entry in the database, and it is not intact."
    )


@strawberry.type(name="APIKeyAuditActor", description="The author of a change.")
class APIKeyAuditActor:
    """The actor of an entry."""

    kind: APIKeyAuditActorKind = strawberry.field(description="The kind of author.")
    api_key_id: ID | None = strawberry.field(default=None, description="The caller's key.")
    user_id: ID | None = strawberry.field(default=None, description="The user of that key, or the person.")
    domain_id: ID | None = strawberry.field(default=None, description="The domain of that key, or of the person.")
    issuer: str | None = strawberry.field(default=None, description="The OpenID issuer of the person's token.")
    role: APIKeyRole | None = strawberry.field(
        default=None, description="The role of that key, or of the person, at that time."
    )


@strawberry.type(name="APIKeyAuditChange", description="A field's value before and after a change.")
class APIKeyAuditChange:
    """What changed; never a secret, nor a digest of one."""

    field: str = strawberry.field(description="The field's name, for example `expiresAt`.")
    before: JSON | None = strawberry.field(default=None, description="The value before; null if there was none.")
    after: JSON | None = strawberry.field(default=None, description="The value after; null if there is none.")


@strawberry.type(name="APIKeyAuditEntry", description="An entry of the audit log: one change of a key.")
class APIKeyAuditEntry:
    """One change of a key."""

    id: ID = strawberry.field(description="The entry's id; ids sort by the time of the change.")
    at: DateTime = strawberry.field(description="The time of the change.")
    action: APIKeyAuditAction = strawberry.field(description="The kind of change.")
    api_key_id: ID = strawberry.field(description="The public id of the key.")
    domain_id: ID = strawberry.field(description="The domain of the key.")
    user_id: ID = strawberry.field(description="The user of the key.")
    actor: APIKeyAuditActor = strawberry.field(description="The author of a change.")
    changes: list[APIKeyAuditChange] = strawberry.field(description="The fields that changed.")
    request_id: str | None = strawberry.field(
        default=None, description="The id of the request, as in the log and in the header `X-Request-ID`."
    )
    client_address: str | None = strawberry.field(default=None, description="The client's address.")
    number: int = strawberry.field(
        description="The number of the entry among those of its key, from 1 without gaps: a gap means that "
        "entries were removed."
    )
    intact: bool | None = strawberry.field(
        default=None,
        description="Whether the entry is unchanged since the service wrote it; null if the service no "
        "longer has the pepper of that time.",
    )


@strawberry.type(name="APIKeyAuditEdge", description="An entry and its cursor.")
class APIKeyAuditEdge:
    """Relay's edge."""

    cursor: str = strawberry.field(description="The entry's cursor for `after` and `before`; opaque.")
    node: APIKeyAuditEntry = strawberry.field(description="The entry.")


@strawberry.type(name="APIKeyAuditConnection", description="A page of audit entries, as a Relay connection.")
class APIKeyAuditConnection:
    """Relay's connection."""

    edges: list[APIKeyAuditEdge] = strawberry.field(description="The entries of this page with their cursors.")
    nodes: list[APIKeyAuditEntry] = strawberry.field(description="The entries of this page without their cursors.")
    page_info: PageInfo = strawberry.field(
        description="Whether there are pages before and after this one, and its cursors."
    )
