"""`@requiresScopes` on the fields of the subgraph's schema, for gateways that enforce it."""

import json
from dataclasses import replace
from typing import Any

from graphql import StringValueNode, Visitor, parse, print_ast, visit
from graphql.language import ConstDirectiveNode, FieldDefinitionNode

from ..keys.scopes import AUDIT, READ, ROTATE, VERIFY, WRITE

# What every caller of a field needs, whatever the arguments: all scopes of at least one list. Fields that a key may
# use for itself without a scope, as `disableApiKey`, are not among them.
REQUIRED = {
    "Query.apiKey": [[READ]],
    "Query.apiKeys": [[READ]],
    "Query.apiKeysConnection": [[READ]],
    "Query.apiKeyStats": [[READ]],
    "Query.apiKeyAudit": [[AUDIT]],
    "Query.viewer": [[READ]],
    "Mutation.createApiKey": [[WRITE]],
    "Mutation.updateApiKey": [[WRITE], [ROTATE]],
    "Mutation.rotateApiKey": [[WRITE], [ROTATE]],
    "Mutation.endApiKeyOverlap": [[WRITE]],
    "Mutation.enableApiKey": [[WRITE]],
    "Mutation.disableApiKeys": [[WRITE, READ]],  # it tells how many match
    "Mutation.verifyApiKey": [[VERIFY]],
    "Mutation.verifyApiKeys": [[VERIFY]],
    "Subscription.apiKeyChanged": [[READ]],
    "User.apiKeys": [[READ]],
    "Domain.apiKeys": [[READ]],
    "Domain.apiKeyStats": [[READ]],
}


def with_required_scopes(sdl: str) -> str:
    """The SDL of the subgraph with the directive."""
    return print_ast(visit(parse(sdl), _AddScopes()))


class _AddScopes(Visitor):
    def enter_directive(self, node: Any, *_: Any) -> Any:
        """Import the directive where the schema links Federation."""
        if node.name.value != "link" or "specs.apollo.dev/federation" not in print_ast(node):
            return None
        arguments = [
            replace(argument, value=replace(argument.value, values=(*argument.value.values, _IMPORT)))
            if argument.name.value == "import"
            else argument
            for argument in node.arguments
        ]
        return replace(node, arguments=tuple(arguments))

    def enter_object_type_definition(self, node: Any, *_: Any) -> Any:
        fields = tuple(_required(node.name.value, field) for field in node.fields)
        return None if fields == node.fields else replace(node, fields=fields)


_IMPORT = StringValueNode(value="@requiresScopes")


def _required(type_name: str, field: FieldDefinitionNode) -> FieldDefinitionNode:
    groups = REQUIRED.get(f"{type_name}.{field.name.value}")
    return field if groups is None else replace(field, directives=(*(field.directives or ()), _directive(groups)))


def _directive(groups: list[list[str]]) -> ConstDirectiveNode:
    definition: Any = parse(f"type T {{ f: ID @requiresScopes(scopes: {json.dumps(groups)}) }}").definitions[0]
    directive: ConstDirectiveNode = definition.fields[0].directives[0]
    return directive
