"""Executing documents."""

from collections import OrderedDict
from inspect import isawaitable
from typing import Any, NamedTuple

import structlog
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    Visitor,
    execute,
    parse,
    validate,
    visit,
)
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext

from .context import Context
from .errors import InvalidArgument, ServiceError
from .logs import redact

log = structlog.get_logger()

CACHED_DOCUMENTS = 1_000
CACHED_CHARACTERS = 20_000  # a longer document is not kept
MAX_ERRORS = 10
MAX_MESSAGE = 500  # characters


class Answer(NamedTuple):
    """A GraphQL response (GraphQL over HTTP, section 6): its `data` and `errors` as JSON-ready values."""

    data: dict[str, Any] | None
    errors: list[dict[str, Any]]
    executed: bool  # False for a request error: then there is no `data` at all

    def to_json(self) -> dict[str, Any]:
        """The response's map."""
        return ({"data": self.data} if self.executed else {}) | ({"errors": self.errors} if self.errors else {})


class Request(NamedTuple):
    """A GraphQL request (GraphQL over HTTP, section 5), read and checked for its form."""

    query: str
    operation_name: str | None
    variables: dict[str, Any]


class Prepared(NamedTuple):
    """A document, parsed and valid."""

    document: DocumentNode
    operations: dict[str | None, OperationDefinitionNode]
    introspects: bool


class RequestError(Exception):
    """A request that is refused before any of it runs."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__()
        self.errors = errors


class Executor:
    """Runs requests against a schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema._schema
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()

    def operation(self, request: Request) -> tuple[Prepared, OperationDefinitionNode]:
        """The operation that a request names, parsed and validated.

        Raises RequestError.
        """
        prepared = self._prepare(request.query)
        if request.operation_name is None and len(prepared.operations) == 1:
            return prepared, next(iter(prepared.operations.values()))
        if (operation := prepared.operations.get(request.operation_name)) is None:
            message = (
                "The document has several operations: name one in `operationName`."
                if request.operation_name is None
                else "The document has no operation of the name in `operationName`."
            )
            raise RequestError(GraphQLError(message, extensions={"code": "OPERATION_RESOLUTION_FAILURE"}))
        return prepared, operation

    async def execute(self, request: Request, prepared: Prepared, context: Context) -> Answer:
        """Run the operation that a request names; `prepared` is what `operation` answered."""
        result: Any = execute(
            self._schema,
            prepared.document,
            context_value=context,
            variable_values=request.variables,
            operation_name=request.operation_name,
            executor_class=StrawberryGraphQLCoreExecutionContext,
            max_coercion_errors=MAX_ERRORS,
            hide_suggestions=True,
        )
        if isawaitable(result):
            result = await result
        # Errors without a path come before the first resolver: a variable could not be read.
        if result.data is None and result.errors and all(error.path is None for error in result.errors):
            return refusal(*(_with_code(error, "BAD_USER_INPUT") for error in result.errors))
        return Answer(result.data, [format_error(error) for error in (result.errors or ())[:MAX_ERRORS]], True)

    def _prepare(self, query: str) -> Prepared:
        if (prepared := self._prepared.get(query)) is not None:
            self._prepared.move_to_end(query)
            return prepared
        prepared = self._parse_and_validate(query)
        # What is refused is not kept: it would push out what runs.
        if len(query) <= CACHED_CHARACTERS:
            self._prepared[query] = prepared
            if len(self._prepared) > CACHED_DOCUMENTS:
                self._prepared.popitem(last=False)
        return prepared

    def _parse_and_validate(self, query: str) -> Prepared:
        try:
            document = parse(query)
        except GraphQLSyntaxError as error:
            raise RequestError(_with_code(error, "GRAPHQL_PARSE_FAILED")) from None
        errors = validate(self._schema, document, max_errors=MAX_ERRORS, hide_suggestions=True)
        if errors:
            raise RequestError(*(_with_code(error, "GRAPHQL_VALIDATION_FAILED") for error in errors[:MAX_ERRORS]))
        operations = {
            node.name.value if node.name else None: node
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
        }
        finder = _IntrospectionFinder()
        visit(document, finder)
        return Prepared(document, operations, finder.found)


class _IntrospectionFinder(Visitor):
    found = False

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        if node.name.value in ("__schema", "__type"):
            self.found = True


def refusal(*errors: GraphQLError) -> Answer:
    """The answer to a request that did not run."""
    return Answer(None, [format_error(error) for error in errors], False)


def is_query(operation: OperationDefinitionNode) -> bool:
    """Whether an operation only reads."""
    return operation.operation is OperationType.QUERY


def format_error(error: GraphQLError) -> dict[str, Any]:
    """An error as the client sees it; what is not ours is logged, and answered as INTERNAL with the log line's id."""
    formatted: dict[str, Any] = {**error.formatted}
    # graphql-core repeats values, and one may be a secret sent in the wrong place.
    formatted["message"] = redact(error.message)[:MAX_MESSAGE]
    original = error.original_error
    if isinstance(original, ServiceError) or (error.extensions and "code" in error.extensions):
        return formatted
    if isinstance(original, GraphQLError) or original is None:
        # graphql-core's own words, as on an argument that cannot be read.
        formatted["extensions"] = {"code": InvalidArgument.code}
        return formatted
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    log.error("unexpected error", path=error.path, exc_info=original)
    formatted["message"] = "Something went wrong on our side. The id names it in our log."
    formatted["extensions"] = {"code": "INTERNAL", "id": request_id}
    return formatted


def _with_code(error: GraphQLError, code: str) -> GraphQLError:
    error.extensions = {"code": code}
    return error
