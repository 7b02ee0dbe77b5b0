"""A document that is parsed and valid, and its operations."""

from typing import Any, NamedTuple

from graphql import DocumentNode, FieldNode, OperationDefinitionNode, OperationType, Visitor, visit

from .cost import Cost
from .plans import ExecutionPlan


class Operation:
    """One operation of a valid document.

    It is cached with its document: its cost and its plan are made once and serve every request for it.
    """

    __slots__ = ("cost", "document", "has_run", "is_query", "is_subscription", "name", "node", "plan")

    def __init__(self, document: DocumentNode, node: OperationDefinitionNode) -> None:
        self.document = document
        self.node = node
        self.name = node.name.value if node.name else None
        self.is_query = node.operation is OperationType.QUERY
        self.is_subscription = node.operation is OperationType.SUBSCRIPTION
        # The executor makes these when they are first needed.
        self.cost: Cost | None = None
        self.plan: ExecutionPlan | None = None
        self.has_run = False


class ValidDocument(NamedTuple):
    """A document's operations by name, and the names of all fields that it selects."""

    operations: dict[str | None, Operation]
    field_names: frozenset[str]


def valid_document(document: DocumentNode) -> ValidDocument:
    """The operations of a document that graphql-core's validation accepted."""
    operations = [
        Operation(document, node) for node in document.definitions if isinstance(node, OperationDefinitionNode)
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
