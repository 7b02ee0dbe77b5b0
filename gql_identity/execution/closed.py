"""Executing an operation for somebody who may see only the open root fields, such as `__typename`."""

from collections.abc import Callable
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLSchema,
    OperationDefinitionNode,
    get_named_type,
    is_leaf_type,
    is_list_type,
    type_from_ast,
)

from .core import CoreExecution


class ClosedExecution(CoreExecution):
    """graphql-core's executor, which refuses the closed root fields before it reads their arguments."""

    def __init__(
        self, *arguments: Any, open_fields: frozenset[str], refuse: Callable[[], Exception], **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._open_fields = open_fields
        self._refuse = refuse

    def execute_field(
        self, parent_type: Any, source: Any, field_details_list: Any, path: Any, position_context: Any
    ) -> Any:
        """As graphql-core; a closed root field is the error of `refuse`."""
        node: FieldNode = field_details_list[0].node
        if path.prev is None and node.name.value not in self._open_fields:
            field = self.schema.get_field(parent_type, node.name.value)
            if field is not None:
                return self.handle_field_error(self._refuse(), field.type, field_details_list, path)
        return super().execute_field(parent_type, source, field_details_list, path, position_context)


def closed_document(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> DocumentNode:
    """The operation with its fragments, without the variables that only closed fields take.

    Open fields and directives take single leaf values: no list and no input object is read, however large it is.
    """
    variables = tuple(
        node for node in operation.variable_definitions or () if _is_leaf(type_from_ast(schema, cast(Any, node.type)))
    )
    parts = {key: getattr(operation, key) for key in operation.keys}
    closed = OperationDefinitionNode(**{**parts, "variable_definitions": variables})
    definitions = [node for node in document.definitions if not isinstance(node, OperationDefinitionNode)]
    return DocumentNode(definitions=(closed, *definitions))


def _is_leaf(type_: Any) -> bool:
    bare = getattr(type_, "of_type", type_)
    return not is_list_type(type_) and not is_list_type(bare) and is_leaf_type(get_named_type(bare))
