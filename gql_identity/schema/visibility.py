"""Who may read the schema."""

from ..settings import PublicTo

INTROSPECTION = frozenset({"__schema", "__type"})
# `_service` also returns the schema, for gateways.
ALL = INTROSPECTION | {"_service"}
NONE: frozenset[str] = frozenset()


def may_read_schema(introspection_for: PublicTo, *, authenticated: bool) -> bool:
    """Whether a request, authenticated or not, may read the schema and the OpenAPI document."""
    return introspection_for == "public" or (introspection_for == "authenticated" and authenticated)


def hidden_fields(introspection_for: PublicTo, *, authenticated: bool) -> frozenset[str]:
    """The schema fields that a request may not select."""
    if may_read_schema(introspection_for, authenticated=authenticated):
        return NONE
    # A gateway with a credential may always read `_service`, to compose the supergraph.
    return INTROSPECTION if authenticated else ALL
