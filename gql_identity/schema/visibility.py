"""Who may read the schema."""

from ..settings import PublicTo

INTROSPECTION = frozenset({"__schema", "__type"})
# `_service` has the schema too, for a gateway that composes.
ALL = INTROSPECTION | {"_service"}
NONE: frozenset[str] = frozenset()


def may_read_schema(introspection_for: PublicTo, *, authenticated: bool) -> bool:
    """Whether a caller, or somebody without a key, may read the schema or the OpenAPI document."""
    return introspection_for == "public" or (introspection_for == "authenticated" and authenticated)


def hidden_fields(introspection_for: PublicTo, *, authenticated: bool) -> frozenset[str]:
    """The fields that hold the schema, and that a request may not select."""
    if may_read_schema(introspection_for, authenticated=authenticated):
        return NONE
    # A gateway with a credential composes, whatever others may see.
    return INTROSPECTION if authenticated else ALL
