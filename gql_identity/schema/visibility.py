"""Who may read the schema."""

from ..settings import PublicTo

INTROSPECTION = frozenset({"__schema", "__type"})
# `_service` has the schema too, for a gateway that composes.
ALL = INTROSPECTION | {"_service"}
NONE: frozenset[str] = frozenset()


def hidden_fields(introspection_for: PublicTo, *, authenticated: bool) -> frozenset[str]:
    """The fields that hold the schema, and that a request may not select."""
    if introspection_for == "public" or (introspection_for == "authenticated" and authenticated):
        return NONE
    # A gateway with a credential composes, whatever others may see.
    return INTROSPECTION if authenticated else ALL
