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


@strawberry.federation.type(name="PageInfo", shareable=True, description="Where a page lies among all (Relay).")
class PageInfo:
    """Relay's `PageInfo`, which must be the same in every subgraph."""

    has_next_page: bool = strawberry.field(description="Whether there are more after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there are more before this page.")
    start_cursor: str | None = strawberry.field(description="The first edge's cursor, for `before`.")
    end_cursor: str | None = strawberry.field(description="The last edge's cursor, for `after`.")


@strawberry.enum(description="What to order keys by; ids break ties. Keys without a value come first in `ASC`.")
class APIKeyOrderField(Enum):
    """The fields that order a connection; each value is a name of `queries.fields.FIELDS`."""

    API_KEY_ID = strawberry.enum_value("api_key_id", description="The key's id, which sorts by age: the usual order.")
    CREATED_AT = strawberry.enum_value("created_at", description="When the key was made.")
    LAST_ACCESSED_AT = strawberry.enum_value(
        "last_accessed_at",
        description="When the key was last used. It changes as you page: a key in use may come twice, or never.",
    )
    EXPIRES_AT = strawberry.enum_value(
        "expires_at", description="When the key ends; keys without an end come first in `ASC`."
    )
    NAME = strawberry.enum_value("name", description="What its maker called it: capitals before small letters.")


@strawberry.enum(description="Whether the least or the greatest comes first.")
class APIKeyOrderDirection(Enum):
    """The two directions."""

    ASC = strawberry.enum_value("asc", description="The least, or oldest, comes first.")
    DESC = strawberry.enum_value("desc", description="The greatest, or latest, comes first.")


@strawberry.input(
    name="APIKeyOrder", description="The order of a connection, as in `{field: CREATED_AT, direction: DESC}`."
)
class APIKeyOrder:
    """A field and a direction."""

    field: APIKeyOrderField = strawberry.field(description="What to order by.")
    direction: APIKeyOrderDirection = strawberry.field(
        default=APIKeyOrderDirection.ASC, description="Whether the least or the greatest comes first."
    )


@strawberry.input(name="APIKeyTagInput", description="A tag; name and value have 1 to 255 characters.")
class APIKeyTagInput:
    """A tag of a request."""

    name: str = strawberry.field(description="What it tells, as in `team`.")
    value: str = strawberry.field(description="Its value, as in `payments`.")


@strawberry.input(
    name="APIKeyFilter",
    description="Which keys are wanted: all that is given must hold. Never used, or not since May: "
    '`{or: [{accessed: false}, {lastAccessedBefore: "2026-05-01T00:00:00Z"}]}`.',
)
class APIKeyFilter:
    """The filter of connections: a typed alternative to the conditions of the query language."""

    name_contains: str | None = strawberry.field(
        default=None, description="A text that the name contains, in any case."
    )
    role: APIKeyRole | None = strawberry.field(default=None, description="What the key may do.")
    created_by: ID | None = strawberry.field(default=None, description="The id of the key that made it.")
    made_by: ID | None = strawberry.field(
        default=None,
        description="The id of a key that made it, directly or through keys that it made, deleted ones included.",
    )
    created_after: DateTime | None = strawberry.field(default=None, description="It was made after this instant.")
    created_before: DateTime | None = strawberry.field(default=None, description="It was made before this instant.")
    accessed: bool | None = strawberry.field(default=None, description="Whether it was ever used.")
    last_accessed_after: DateTime | None = strawberry.field(
        default=None, description="It was last used after this instant."
    )
    last_accessed_before: DateTime | None = strawberry.field(
        default=None, description="It was last used before this instant; a key that never was is not among these."
    )
    has_scope: str | None = strawberry.field(default=None, description="A scope that it has.")
    has_tag: APIKeyTagInput | None = strawberry.field(default=None, description="A tag that it has.")
    expired: bool | None = strawberry.field(default=None, description="Whether its end has come.")
    expires_before: DateTime | None = strawberry.field(
        default=None, description="It ends before this instant; a key without an end is not among these."
    )
    expires_after: DateTime | None = strawberry.field(
        default=None, description="It ends after this instant; a key without an end is not among these."
    )
    and_: list["APIKeyFilter"] | None = strawberry.field(
        name="and", default=None, description="Filters that must all hold; an empty list is as none."
    )
    or_: list["APIKeyFilter"] | None = strawberry.field(
        name="or", default=None, description="Filters of which at least one must hold; an empty list is as none."
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
    filter: Annotated[APIKeyFilter | None, _argument("Only keys for which this holds.")] = None
    order_by: Annotated[APIKeyOrder | None, _argument("The order; without it by id, oldest first.")] = None
    first: Annotated[
        int | None, _argument("How many from the start; 20 where neither `first` nor `last` is given.")
    ] = None
    after: Annotated[str | None, _argument("Start behind the place of this cursor, of the same domain and order.")] = (
        None
    )
    last: Annotated[int | None, _argument("How many from the end.")] = None
    before: Annotated[str | None, _argument("End before the place of this cursor, of the same domain and order.")] = (
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
