"""Query, Mutation, the entities and the federated schema; each resolver a line or two."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import strawberry
from graphql import (
    GraphQLArgument,
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
from strawberry import ID
from strawberry.federation import Schema
from strawberry.federation.schema import FederationAny
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig

from ..errors import InvalidArgument
from ..keys.access import may_see
from ..messages.entities import Domain, User
from ..messages.keys import (
    DATE_TIME,
    APIKeyChange,
    APIKeyChangedRequest,
    APIKeyInfo,
    APIKeyQuery,
    APIKeyRequest,
    APIKeysInfo,
    APIKeyStatQuery,
    APIKeyVerification,
    CreateAPIKeyRequest,
    DateTime,
    DeletedAPIKey,
    GetAPIKeyRequest,
    Node,
    VerifyAPIKeyRequest,
)
from ..queries.connections import After, APIKeyConnection, Arguments, Before, First, Last, OrderBy, State, Where
from .context import Info, selected, selected_parts


@strawberry.type(description="What can be read.")
class Query:
    """The seed's get, list and stat."""

    @strawberry.field(description="One key; null where there is none that you may see.")
    async def api_key(self, info: Info, input: GetAPIKeyRequest) -> APIKeyInfo | None:
        """The seed's `get`."""
        return await info.context.api_keys.find(input, info.context.caller, selected(info))

    @strawberry.field(description="A page of a domain's keys.")
    async def api_keys(self, info: Info, input: APIKeyQuery) -> APIKeysInfo | None:
        """The seed's `list`."""
        count = "total_count" in selected(info)
        fields = selected(info, "results")
        return await info.context.api_keys.page(input, info.context.caller, fields, count=count)

    @strawberry.field(
        description="A statistic of a domain's keys: `{results: [...]}`, with `total_count` when paged. "
        'Keys per state: `aggregate: [{group: {keys: [{key: "state", name: "state"}], '
        'fields: [{operator: COUNT, name: "count"}]}}]`.'
    )
    async def api_key_stats(self, info: Info, input: APIKeyStatQuery) -> JSON | None:
        """The seed's `stat`."""
        return JSON(await info.context.api_keys.stats(input, info.context.caller))

    @strawberry.field(description="The object of an opaque id; null where there is none that you may see (Relay).")
    async def node(
        self, info: Info, id: Annotated[ID, strawberry.argument(description="The `id` of an object.")]
    ) -> Node | None:
        """Relay's `node`."""
        return await info.context.api_keys.find_node(id, info.context.caller, selected(info))

    @strawberry.field(description="A domain's keys as a connection: for Relay, and for lists that are scrolled.")
    async def api_keys_connection(
        self,
        info: Info,
        domain_id: Annotated[ID, strawberry.argument(description="The domain whose keys are listed.")],
        user_id: Annotated[ID | None, strawberry.argument(description="Only keys of this user.")] = None,
        state: State = None,
        where: Where = None,
        order_by: OrderBy = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> APIKeyConnection | None:
        """As `apiKeys`, by cursors."""
        arguments = Arguments(state, where, order_by, first, after, last, before)
        parts, caller = selected_parts(info), info.context.caller
        return await info.context.api_keys.connection(domain_id, user_id, arguments, parts, caller)


@strawberry.type(description="What can be changed.")
class Mutation:
    """The seed's create, enable, disable and delete."""

    @strawberry.mutation(description="Make a key. Its secret, `apiKey`, is in this answer alone: keep it now.")
    async def create_api_key(self, info: Info, input: CreateAPIKeyRequest) -> APIKeyInfo | None:
        """The seed's `create`."""
        return await info.context.api_keys.create(input, info.context.caller)

    @strawberry.mutation(description="Let a disabled key open things again.")
    async def enable_api_key(self, info: Info, input: APIKeyRequest) -> APIKeyInfo | None:
        """The seed's `enable`."""
        return await info.context.api_keys.enable(input, info.context.caller)

    @strawberry.mutation(description="Stop a key from opening anything, until it is enabled.")
    async def disable_api_key(self, info: Info, input: APIKeyRequest) -> APIKeyInfo | None:
        """The seed's `disable`."""
        return await info.context.api_keys.disable(input, info.context.caller)

    @strawberry.mutation(
        description="Whether a secret is good; a valid one counts as used. A mutation, so that no secret is in a URL."
    )
    async def verify_api_key(self, info: Info, input: VerifyAPIKeyRequest) -> APIKeyVerification | None:
        """One gateway's question."""
        (verification,) = await info.context.api_keys.verify([input], info.context.caller)
        return verification

    @strawberry.mutation(description="Whether each of up to 100 secrets is good, in their order.")
    async def verify_api_keys(self, info: Info, input: list[VerifyAPIKeyRequest]) -> list[APIKeyVerification] | None:
        """Many questions at once."""
        return await info.context.api_keys.verify(input, info.context.caller)

    @strawberry.mutation(description="Remove a key for good.")
    async def delete_api_key(self, info: Info, input: APIKeyRequest) -> DeletedAPIKey | None:
        """The seed's `delete`."""
        return await info.context.api_keys.delete(input, info.context.caller)


@strawberry.type(description="What can be followed.")
class Subscription:
    """Not in the seed: changes as they happen."""

    @strawberry.subscription(
        description="Keys within your reach as they are created, enabled, disabled and deleted, from now on."
    )
    async def api_key_changed(self, info: Info, input: APIKeyChangedRequest) -> AsyncGenerator[APIKeyChange, None]:
        """Ends when the service stops, or with an error that says why."""
        async for change in info.context.changes.subscribe(input, info.context.caller):
            yield change


class FederatedSchema(Schema):
    """Strawberry's federated schema, with references resolved as one list."""

    async def entities_resolver(  # type: ignore[override]
        self, info: Info, representations: list[FederationAny]
    ) -> list[FederationAny]:
        """The entities that a gateway names, each null where there is none that the caller may see.

        Keys are read at once. Raises InvalidArgument for a representation that names no entity, and for too many.
        """
        caller, most = info.context.caller, info.context.api_keys.max_page_size
        if len(representations) > most:
            raise InvalidArgument(f"representations: give at most {most}, not {len(representations)}.")
        found: list[Any] = [None] * len(representations)
        keys: dict[int, tuple[str, str]] = {}
        for index, representation in enumerate(representations):
            kind = representation.get("__typename") if isinstance(representation, dict) else None
            match kind:
                case "APIKeyInfo":
                    keys[index] = _reference(index, representation, "domainId", "apiKeyId")
                case "User":
                    domain_id, user_id = _reference(index, representation, "domainId", "userId")
                    if may_see(caller, domain_id, user_id):
                        found[index] = User(domain_id=domain_id, user_id=user_id)
                case "Domain":
                    (domain_id,) = _reference(index, representation, "domainId")
                    if may_see(caller, domain_id):
                        found[index] = Domain(domain_id=domain_id)
                case _:
                    raise InvalidArgument(f"representations[{index}].__typename: give APIKeyInfo, User or Domain.")
        if keys:
            fields = selected(info)
            read = await info.context.api_keys.find_many(list(keys.values()), caller, fields)
            for index, key in zip(keys, read, strict=True):
                found[index] = key
        return found


def _reference(index: int, representation: Any, *fields: str) -> Any:
    values = tuple(map(representation.get, fields))
    if {*map(type, values)} != {str}:
        field = next(field for field, value in zip(fields, values, strict=True) if not isinstance(value, str))
        raise InvalidArgument(f"representations[{index}].{field}: give a string.")
    return values


def _make_schema() -> FederatedSchema:
    made = FederatedSchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[APIKeyInfo, User, Domain],
        federation_version="2.9",  # a later one is refused by some composers
        config=StrawberryConfig(scalar_map={DateTime: DATE_TIME}),
    )
    # A Python default of None says that a field may be left out, not that leaving it out means null.
    for type_ in made._schema.type_map.values():
        inputs: list[GraphQLArgument | GraphQLInputField] = []
        if isinstance(type_, GraphQLInputObjectType):
            inputs = [*type_.fields.values()]
        elif isinstance(type_, GraphQLObjectType):
            inputs = [argument for field in type_.fields.values() for argument in field.args.values()]
        for input_ in inputs:
            if input_.default_value is None:
                input_.default_value = Undefined
            # A root field's `input` is what the type of it says.
            input_.description = input_.description or get_named_type(input_.type).description
    _describe_federation(made._schema)
    sdl = print_ast(visit(parse(made.as_str()), _WithoutNode()))
    made._schema.type_map["_Service"].fields["sdl"].resolve = lambda *_: sdl  # type: ignore[attr-defined]
    return made


def _describe_federation(made: GraphQLSchema) -> None:
    """Say what a gateway's own fields and types are, which are in the schema that people read too."""
    for name, description in {
        "_Any": "What names an entity: its type as `__typename` and its key's fields.",
        "_Entity": "What a gateway may ask for by its key.",
        "_Service": "This service as a subgraph.",
    }.items():
        made.type_map[name].description = description
    fields = made.query_type.fields  # type: ignore[union-attr]
    fields["_entities"].description = "For gateways: entities by their keys, null where there is none that you may see."
    fields["_entities"].args["representations"].description = "The entities wanted."
    fields["_service"].description = "For gateways: this service as a subgraph."
    sdl = made.type_map["_Service"].fields["sdl"]  # type: ignore[attr-defined]
    sdl.description = "Its schema, in the schema definition language of federation."


class _WithoutNode(Visitor):
    """Takes Relay's `node` out of what a gateway composes: two subgraphs that have it do not compose."""

    def enter_interface_type_definition(self, node: Any, *_: Any) -> Any:
        return self.REMOVE if node.name.value == "Node" else None

    def enter_field_definition(self, node: Any, *_: Any) -> Any:
        return self.REMOVE if node.name.value == "node" and print_ast(node.type) == "Node" else None

    def enter_named_type(self, node: Any, key: Any, parent: Any, path: Any, *_: Any) -> Any:
        return self.REMOVE if "interfaces" in path and node.name.value == "Node" else None


schema = _make_schema()
