"""Parsed and valid documents, and their operations."""

from typing import Any, NamedTuple, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_named_type,
    is_leaf_type,
    type_from_ast,
)

from .cost import Cost
from .outline import Definition, outline_of
from .plans import ExecutionPlan


class Operation:
    """One operation of a valid document.

    It is cached with its document, so its cost and its plan are computed once for all requests.
    """

    __slots__ = (
        "cost",
        "declared_variables",
        "document",
        "has_run",
        "is_mutation",
        "is_subscription",
        "leaf_variables",
        "name",
        "needs_no_key",
        "node",
        "plan",
        "root_fields",
        "text",
        "trusted_name",
        "type",
    )

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, text: str, node: OperationDefinitionNode) -> None:
        self.document = document
        self.text = text  # of the document
        self.node = node
        self.name = node.name.value if node.name else None
        self.trusted_name: str | None = None  # its name, if its document is a trusted one; the executor knows
        self.type: str = node.operation.value  # query, mutation or subscription
        self.is_mutation = node.operation is OperationType.MUTATION
        self.is_subscription = node.operation is OperationType.SUBSCRIPTION
        self.declared_variables = frozenset(
            definition.variable.name.value for definition in node.variable_definitions or ()
        )
        # Variables of scalars and enums, and lists of these: their values are read quickly, whatever they hold.
        self.leaf_variables = frozenset(
            definition.variable.name.value
            for definition in node.variable_definitions or ()
            if is_leaf_type(get_named_type(cast(Any, type_from_ast(schema, cast(Any, definition.type)))))
        )
        self.root_fields = _root_fields(document, node)
        self.needs_no_key = False  # until `valid_document` knows it of the whole document
        # The executor computes these on first use.
        self.cost: Cost | None = None
        self.plan: ExecutionPlan | None = None
        self.has_run = False


class ValidDocument(NamedTuple):
    """A document's operations by name, and the names of all fields that it selects."""

    operations: dict[str | None, Operation]
    field_names: frozenset[str]
    needs_no_key: bool  # every root field of all its operations is an open one


def valid_document(
    schema: GraphQLSchema, document: DocumentNode, text: str, open_fields: frozenset[str]
) -> ValidDocument:
    """The operations of a document that graphql-core's validation accepts, and whether they need a key."""
    operations = [
        Operation(schema, document, text, node)
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
    ]
    needs_no_key = all(field.name.value in open_fields for operation in operations for field in operation.root_fields)
    for operation in operations:
        operation.needs_no_key = needs_no_key
    names = {
        selection.name.value
        for definition in document.definitions
        if isinstance(definition, Definition)
        for selection, _ in outline_of(definition).selections
        if isinstance(selection, FieldNode)
    }
    return ValidDocument({operation.name: operation for operation in operations}, frozenset(names), needs_no_key)


def _root_fields(document: DocumentNode, operation: OperationDefinitionNode) -> list[FieldNode]:
    """The root fields that an operation selects, skipped ones too. The document may be invalid."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    found: list[FieldNode] = []
    waiting: list[Any] = [operation]
    while waiting:
        node = waiting.pop()
        if isinstance(node, FieldNode):
            found.append(node)
        elif isinstance(node, FragmentSpreadNode):
            # Each fragment once, so that a cycle ends.
            waiting.extend(filter(None, [fragments.pop(node.name.value, None)]))
        else:
            waiting.extend(reversed(node.selection_set.selections))
    return found
