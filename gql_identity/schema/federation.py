"""The schema as a federated subgraph: its entities, and the SDL that a gateway composes."""

from dataclasses import replace
from functools import cache
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    Visitor,
    get_named_type,
    parse,
    print_ast,
    visit,
)
from strawberry.federation import Schema
from strawberry.federation.schema import FederationAny
from strawberry.schema.config import StrawberryConfig

from ..errors import InvalidArgument
from ..keys.access import may_see
from ..keys.checks import check_text, is_text
from ..messages.keys import APIKeyInfo, Domain, User
from ..messages.values import DATE_TIME, DateTime
from ..metrics import LIMITS
from .context import Info
from .json_literals import read_json_literals
from .operations import Mutation, Query, Subscription
from .required_scopes import with_required_scopes
from .selection import selected


class FederatedSchema(Schema):
    """Strawberry's federated schema, except that all entity references of a request are resolved together."""

    async def entities_resolver(  # type: ignore[override]
        self, info: Info, representations: list[FederationAny]
    ) -> list[FederationAny]:
        """The entities of these representations, null for each that does not exist or that the caller may not see.

        An invalid representation gives an InvalidArgument in its place; the others still resolve. All keys are one
        read. Raises InvalidArgument for too many representations.
        """
        caller, most = info.context.caller, info.context.api_keys.max_page_size
        if len(representations) > most:
            LIMITS.add("max_page_size")
            raise InvalidArgument(
                f"give at most {most}, not {len(representations)}: the limit `max_page_size`.", at="representations"
            )
        found: list[Any] = [None] * len(representations)
        keys: dict[int, tuple[str, str]] = {}
        for index, representation in enumerate(representations):
            try:
                kind, values = _read_reference(index, representation)
            except InvalidArgument as error:
                found[index] = error  # graphql-core takes it for the error of this place
                continue
            if kind is APIKeyInfo:
                keys[index] = (values["domain_id"], values["api_key_id"])
            elif may_see(caller, **values):
                found[index] = kind(**values)
        if keys:
            fields = selected(info)
            read = await info.context.api_keys.reads.find_many(list(keys.values()), caller, fields)
            for index, key in zip(keys, read, strict=True):
                found[index] = key
        return found


# By name, each with the fields of its key and their names in Python.
_ENTITIES: dict[str, tuple[type, dict[str, str]]] = {
    "APIKeyInfo": (APIKeyInfo, {"domainId": "domain_id", "apiKeyId": "api_key_id"}),
    "User": (User, {"domainId": "domain_id", "userId": "user_id"}),
    "Domain": (Domain, {"domainId": "domain_id"}),
}


def _read_reference(index: int, representation: Any) -> tuple[type, dict[str, str]]:
    """The type and the key, by Python's names, of a representation; raises InvalidArgument where it names none."""
    name = representation.get("__typename") if isinstance(representation, dict) else None
    if not isinstance(name, str) or name not in _ENTITIES:
        raise InvalidArgument("give APIKeyInfo, User or Domain.", at=f"representations[{index}].__typename")
    type_, fields = _ENTITIES[name]
    values: dict[str, str] = {}
    for field, python_name in fields.items():
        value = representation.get(field)
        if type(value) is not str or not is_text(value):
            value = _read_id(f"representations[{index}].{field}", value)
        values[python_name] = value
    return type_, values


def _read_id(path: str, value: Any) -> str:
    """A value as the type ID reads it; raises InvalidArgument."""
    try:
        text: str = GraphQLID.coerce_input_value(value)
    except GraphQLError:
        raise InvalidArgument("give a string.", at=path) from None
    check_text(path, text)
    return text


_read_plain_id = GraphQLID.coerce_input_value
_MOST_EXACT = 2**53  # a float beyond is no certain integer (IEEE 754)


def _coerce_id(value: Any) -> str:
    """A variable's value as the type ID reads it, but for integers so large that JSON's reader has rounded them."""
    if type(value) is float and abs(value) > _MOST_EXACT:
        raise GraphQLError("ID cannot represent a number with so many digits: give it as a string.")
    text: str = _read_plain_id(value)
    return text


def _make_schema() -> FederatedSchema:
    made = FederatedSchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[APIKeyInfo, User, Domain],
        federation_version="2.9",  # some composers refuse later versions
        config=StrawberryConfig(scalar_map={DateTime: DATE_TIME}),
    )
    # A default of None in Python only makes a field optional: the schema must not show `= null`.
    for type_ in made._schema.type_map.values():
        inputs: list[GraphQLArgument | GraphQLInputField] = []
        if isinstance(type_, GraphQLInputObjectType):
            inputs = [*type_.fields.values()]
        elif isinstance(type_, GraphQLObjectType):
            inputs = [argument for field in type_.fields.values() for argument in field.args.values()]
        for input_ in inputs:
            if input_.default_value is None:
                input_.default_value = Undefined
            # An argument without a description, as `input`, takes that of its type.
            input_.description = input_.description or get_named_type(input_.type).description
    made._schema.type_map["ID"].coerce_input_value = _coerce_id  # type: ignore[attr-defined]
    read_json_literals(made._schema)
    _describe_federation(made._schema)
    made._schema.type_map["_Service"].fields["sdl"].resolve = (  # type: ignore[attr-defined]
        lambda _, info: _service_sdl(scopes=info.context.api_keys.scopes_in_sdl)
    )
    return made


@cache
def _service_sdl(*, scopes: bool) -> str:
    """The SDL for gateways: made when the first of them asks for it, as it takes an eighth of the time of the start."""
    return subgraph_sdl(schema, scopes=scopes)


def subgraph_sdl(made: Schema, *, scopes: bool = False) -> str:
    """The SDL for gateways, as `_service { sdl }` returns it; with `scopes`, fields have `@requiresScopes`."""
    sdl = print_ast(visit(parse(made.as_str()), _ForGateways()))
    return with_required_scopes(sdl) if scopes else sdl


def _describe_federation(made: GraphQLSchema) -> None:
    """Add descriptions to the fields and types that Strawberry adds for gateways."""
    types: dict[str, Any] = made.type_map
    for name, description in {
        "_Any": "A reference to an entity: its type as `__typename`, and the fields of its key.",
        "_Entity": "The entities of this subgraph.",
        "_Service": "This service as a subgraph.",
    }.items():
        types[name].description = description
    fields = types["Query"].fields
    fields[
        "_entities"
    ].description = "For gateways: entities by their keys; null if there is none that the caller may see."
    fields["_entities"].args["representations"].description = "The entities wanted."
    fields["_service"].description = "For gateways: this service as a subgraph."
    types["_Service"].fields["sdl"].description = "The subgraph's schema as SDL."


# Types that other subgraphs have too, each with its fields that they have too.
_SHARED: dict[str, tuple[str, ...]] = {
    "Query": (),
    "Mutation": (),
    "Subscription": (),
    "DateTime": (),
    "JSON": (),
    "User": ("domainId", "userId"),
    "Domain": ("domainId",),
    "PageInfo": ("hasNextPage", "hasPreviousPage", "startCursor", "endCursor"),
}


class _ForGateways(Visitor):
    """Removes from the schema what does not compose with other subgraphs.

    Two subgraphs that have Relay's `Node` do not compose: it removes the interface, the field of Query and each type's
    `implements`. Two descriptions of one type give a hint, and the wrong one may win, as do two `@specifiedBy`: it
    removes those of types that other subgraphs have too.
    """

    def enter_object_type_definition(self, node: Any, *_: Any) -> Any:
        if (shared := _SHARED.get(node.name.value)) is None:
            return None
        fields = [replace(field, description=None) if field.name.value in shared else field for field in node.fields]
        return replace(node, description=None, fields=tuple(fields))

    def enter_scalar_type_definition(self, node: Any, *_: Any) -> Any:
        return replace(node, description=None, directives=()) if node.name.value in _SHARED else None

    def enter_interface_type_definition(self, node: Any, *_: Any) -> Any:
        return self.REMOVE if node.name.value == "Node" else None

    def enter_field_definition(self, node: Any, *_: Any) -> Any:
        return self.REMOVE if node.name.value == "node" and print_ast(node.type) == "Node" else None

    def enter_named_type(self, node: Any, key: Any, parent: Any, path: Any, *_: Any) -> Any:
        return self.REMOVE if "interfaces" in path and node.name.value == "Node" else None


schema = _make_schema()
