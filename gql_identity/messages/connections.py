"""The arguments of Relay's connections, and its `PageInfo`."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, NamedTuple, TypeVar, cast, get_type_hints

import strawberry
from strawberry import ID
from strawberry.federation.schema_directives import ListSize

from .values import APIKeyRole, APIKeyState, DateTime


@strawberry.federation.type(
    name="PageInfo",
    shareable=True,
    description="Whether there are pages before and after this one, and its cursors (Relay).",
)
class PageInfo:
    """Relay's `PageInfo`, which must be the same in every subgraph."""

    has_next_page: bool = strawberry.field(description="Whether there is a page after this one.")
    has_previous_page: bool = strawberry.field(description="Whether there is a page before this one.")
    start_cursor: str | None = strawberry.field(description="The first edge's cursor, for `before`.")
    end_cursor: str | None = strawberry.field(description="The last edge's cursor, for `after`.")


@strawberry.enum(description="A field to order keys by; ids break ties. Keys without a value come first in `ASC`.")
class APIKeyOrderField(Enum):
    """The fields that order a connection; each value is a name of `queries.fields.FIELDS`."""

    API_KEY_ID = strawberry.enum_value("api_key_id", description="The key's id, which sorts by age: the default order.")
    CREATED_AT = strawberry.enum_value("created_at", description="The time of creation.")
    LAST_ACCESSED_AT = strawberry.enum_value(
        "last_accessed_at",
        description="The time of the last use. It changes while you page: a key in use may appear twice, or never.",
    )
    EXPIRES_AT = strawberry.enum_value(
        "expires_at", description="The end of the key; keys without an end come first in `ASC`."
    )
    NAME = strawberry.enum_value("name", description="The key's name: capital letters before small ones.")


@strawberry.enum(description="Ascending or descending.")
class APIKeyOrderDirection(Enum):
    """The two directions."""

    ASC = strawberry.enum_value("asc", description="The smallest or oldest first.")
    DESC = strawberry.enum_value("desc", description="The largest or newest first.")


@strawberry.input(
    name="APIKeyOrder", description="The order of a connection, for example `{field: CREATED_AT, direction: DESC}`."
)
class APIKeyOrder:
    """A field and a direction."""

    field: APIKeyOrderField = strawberry.field(description="The field to order by.")
    direction: APIKeyOrderDirection = strawberry.field(
        default=APIKeyOrderDirection.ASC, description="Ascending or descending."
    )


@strawberry.input(name="APIKeyTagInput", description="A tag; name and value have 1 to 255 characters.")
class APIKeyTagInput:
    """A tag of a request."""

    name: str = strawberry.field(description="The tag's name, for example `team`.")
    value: str = strawberry.field(description="The tag's value, for example `payments`.")


@strawberry.input(
    name="APIKeyFilter",
    description="A filter of keys: all fields that are given must match. Keys that were not used since May, "
    'or never: `{or: [{accessed: false}, {lastAccessedBefore: "2026-05-01T00:00:00Z"}]}`.',
)
class APIKeyFilter:
    """The filter of connections: a typed alternative to the conditions of the query language."""

    name_contains: str | None = strawberry.field(
        default=None, description="A text that the name contains, ignoring case."
    )
    role: APIKeyRole | None = strawberry.field(default=None, description="The key's role.")
    created_by: ID | None = strawberry.field(default=None, description="The id of the key that created it.")
    created_by_user_id: ID | None = strawberry.field(
        default=None, description="The person who created it, as the OpenID issuer names them."
    )
    made_by: ID | None = strawberry.field(
        default=None,
        description="The id of a key that created it, directly or through other keys that it created, "
        "including deleted ones.",
    )
    created_after: DateTime | None = strawberry.field(default=None, description="Only keys created after this instant.")
    created_before: DateTime | None = strawberry.field(
        default=None, description="Only keys created before this instant."
    )
    accessed: bool | None = strawberry.field(default=None, description="Whether the key was ever used.")
    last_accessed_after: DateTime | None = strawberry.field(
        default=None, description="Only keys last used after this instant."
    )
    last_accessed_before: DateTime | None = strawberry.field(
        default=None, description="Only keys last used before this instant; this excludes keys that were never used."
    )
    has_scope: str | None = strawberry.field(default=None, description="Only keys with this scope.")
    has_tag: APIKeyTagInput | None = strawberry.field(default=None, description="Only keys with this tag.")
    expired: bool | None = strawberry.field(default=None, description="Whether the key has expired.")
    expires_before: DateTime | None = strawberry.field(
        default=None, description="Only keys that end before this instant; this excludes keys without an end."
    )
    expires_after: DateTime | None = strawberry.field(
        default=None, description="Only keys that end after this instant; this excludes keys without an end."
    )
    and_: list["APIKeyFilter"] | None = strawberry.field(
        name="and", default=None, description="Filters that must all match; an empty list has no effect."
    )
    or_: list["APIKeyFilter"] | None = strawberry.field(
        name="or", default=None, description="Filters of which at least one must match; an empty list has no effect."
    )


def _argument(description: str) -> Any:
    return strawberry.argument(description=description)


Resolver = TypeVar("Resolver", bound=Callable[..., Any])

DEFAULT_PAGE_SIZE = 20  # if neither `first` nor `last` is given

# For gateways that limit what an operation may cost: how many keys each connection returns.
CONNECTION_SIZE = ListSize(
    assumed_size=DEFAULT_PAGE_SIZE,
    slicing_arguments=["first", "last"],
    sized_fields=["edges", "nodes"],
    require_one_slicing_argument=False,
)


class ConnectionArguments(NamedTuple):
    """The arguments of every connection, by the names of their Python parameters."""

    state: Annotated[APIKeyState | None, _argument("Only keys in this state.")] = None
    filter: Annotated[APIKeyFilter | None, _argument("Only keys that match.")] = None
    order_by: Annotated[APIKeyOrder | None, _argument("The order. Default: by id, the oldest first.")] = None
    first: Annotated[
        int | None, _argument("The number of results from the start. Default: 20, unless `last` is given.")
    ] = None
    after: Annotated[str | None, _argument("Start after this cursor, which must be of the same domain and order.")] = (
        None
    )
    last: Annotated[int | None, _argument("The number of results from the end.")] = None
    before: Annotated[str | None, _argument("End before this cursor, which must be of the same domain and order.")] = (
        None
    )


def with_arguments(arguments: type) -> Callable[[Resolver], Resolver]:
    """Replace a resolver's parameter `**arguments` by those that a class has as its fields."""

    def decorated(resolver: Resolver) -> Resolver:
        # Strawberry takes a field's arguments from its resolver's signature.
        signature = inspect.signature(resolver)
        own = [part for part in signature.parameters.values() if part.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, default, annotation in _fields(arguments)
        ]
        resolver.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        return resolver

    return decorated


def _fields(arguments: Any) -> Iterator[tuple[str, Any, Any]]:
    """The name, default and annotation of each field of a NamedTuple or of an input type."""
    hints = get_type_hints(arguments, include_extras=True)
    if not is_dataclass(arguments):
        yield from ((name, None, hint) for name, hint in hints.items())
        return
    for field in fields(arguments):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        description = cast(Any, field).description
        yield field.name, default, Annotated[hints[field.name], _argument(description)]
