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
    # A gateway may always read `_service`.
    return INTROSPECTION if role is not None and may_be_gateway(role) else ALL


def may_be_gateway(role: APIKeyRole) -> bool:
    """Whether gateways have keys of this role: VERIFIER and above."""
    return role.rank >= APIKeyRole.VERIFIER.rank
