"""Who may read the schema."""

from ..messages.values import APIKeyRole
from ..settings import PublicTo

INTROSPECTION = frozenset({"__schema", "__type"})
# `_service` also returns the schema, for gateways.
ALL = INTROSPECTION | {"_service"}
NONE: frozenset[str] = frozenset()


def may_read_schema(introspection_for: PublicTo, *, authenticated: bool) -> bool:
    """Whether a request, authenticated or not, may read the schema and the OpenAPI document."""
    return introspection_for == "public" or (introspection_for == "authenticated" and authenticated)


def hidden_fields(introspection_for: PublicTo, role: APIKeyRole | None) -> frozenset[str]:
    """The schema fields that a caller of this role, or a client without a key, may not select."""
    if may_read_schema(introspection_for, authenticated=role is not None):
        return NONE
    # A gateway may always read `_service`, with a key of role VERIFIER or higher.
    return INTROSPECTION if role is not None and role.rank >= APIKeyRole.VERIFIER.rank else ALL
