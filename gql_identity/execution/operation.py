"""Parsed and valid documents, and their operations."""

from typing import Any, NamedTuple, cast

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    Visitor,
    get_named_type,
    is_leaf_type,
    type_from_ast,
    visit,
)

from .cost import Cost
from .plans import ExecutionPlan


class Operation:
    """One operation of a valid document.

    It is cached with its document, so its cost and its plan are computed once for all requests.
    """

    __slots__ = (
        "closed",
        "cost",
        "document",
        "has_run",
        "is_mutation",
        "is_subscription",
        "leaf_variables",
        "name",
        "node",
        "plan",
    )

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, node: OperationDefinitionNode) -> None:
        self.document = document
        self.node = node
        self.name = node.name.value if node.name else None
        self.is_mutation = node.operation is OperationType.MUTATION
        self.is_subscription = node.operation is OperationType.SUBSCRIPTION
        # Variables of scalars and enums, and lists of these: their values are read quickly, whatever they hold.
        self.leaf_variables = frozenset(
            definition.variable.name.value
            for definition in node.variable_definitions or ()
            if is_leaf_type(get_named_type(cast(Any, type_from_ast(schema, cast(Any, definition.type)))))
        )
        # The executor computes these on first use.
        self.closed: DocumentNode | None = None
        self.cost: Cost | None = None
        self.plan: ExecutionPlan | None = None
        self.has_run = False


class ValidDocument(NamedTuple):
    """A document's operations by name, and the names of all fields that it selects."""

    operations: dict[str | None, Operation]
    field_names: frozenset[str]


def valid_document(schema: GraphQLSchema, document: DocumentNode) -> ValidDocument:
    """The operations of a document that graphql-core's validation accepted."""
    operations = [
        Operation(schema, document, node) for node in document.definitions if isinstance(node, OperationDefinitionNode)
    ]
    names = _FieldNames()
    visit(document, names)
    return ValidDocument({operation.name: operation for operation in operations}, frozenset(names.seen))


class _FieldNames(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        self.seen.add(node.name.value)
