"""Executing documents."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from inspect import isawaitable
from typing import Any, NamedTuple

import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    Visitor,
    execute,
    subscribe,
    validate,
    visit,
)
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext

from ..errors import BadRequest, DeadlineExceeded, InvalidArgument, ServiceError
from ..keys.access import Caller
from ..logs import redact
from ..schema.context import Context
from ..settings import Settings
from .bounds import Cost, check_document, parse_document, tidy
from .documents import Documents
from .plans import Plan, PlanCompiler

log = structlog.get_logger()

CACHED_DOCUMENTS = 1_000
CACHED_CHARACTERS = 20_000  # a longer document is not kept
MAX_ERRORS = 10


class Answer(NamedTuple):
    """A GraphQL response (GraphQL over HTTP, section 6): its `data` and `errors` as JSON-ready values."""

    data: dict[str, Any] | None
    errors: list[dict[str, Any]]
    executed: bool  # False for a request error: then there is no `data` at all
    extensions: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The response's map."""
        response: dict[str, Any] = {"data": self.data} if self.executed else {}
        if self.errors:
            response["errors"] = self.errors
        if self.extensions is not None:
            response["extensions"] = self.extensions
        return response


class Request(NamedTuple):
    """A GraphQL request (GraphQL over HTTP, section 5), read and checked for its form."""

    query: str | None
    document_id: str | None  # of a persisted document: its SHA-256, or its id in the manifest
    operation_name: str | None
    variables: dict[str, Any]
    wants_cost: bool = False


def read_request(fields: Any) -> Request:
    """The request that a JSON object has; raises BadRequest."""
    if not isinstance(fields, dict):
        raise BadRequest("Send one JSON object: {query, variables, operationName}.")
    query, name, document_id = fields.get("query"), fields.get("operationName"), fields.get("documentId")
    variables, extensions = fields.get("variables"), fields.get("extensions")
    for part, value, kind in (
        ("query", query, str),
        ("operationName", name, str),
        ("documentId", document_id, str),
        ("variables", variables, dict),
        ("extensions", extensions, dict),
    ):
        if not isinstance(value, kind | None):
            raise BadRequest(f"`{part}` is {'a string' if kind is str else 'an object'} or null.")
    if persisted := (extensions or {}).get("persistedQuery"):
        match persisted:
            case {"version": 1, "sha256Hash": str(document_id)}:
                pass
            case _:
                raise BadRequest("`extensions.persistedQuery` is {version: 1, sha256Hash: ...}.")
    if query is None and document_id is None:
        raise BadRequest("`query` is missing: give the document as a string.")
    return Request(query, document_id, name or None, variables or {}, (extensions or {}).get("cost") is True)


class Prepared(NamedTuple):
    """A document, parsed and valid."""

    document: DocumentNode
    operations: dict[str | None, OperationDefinitionNode]
    costs: dict[str | None, Cost]  # of the operations run so far, by name
    introspects: bool
    tells_schema: bool  # asks for `_service`
    plans: dict[str | None, Plan | None]  # those compiled so far, by the operation's name


class RequestError(Exception):
    """A request that is refused before any of it runs."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__()
        self.errors = errors


class Executor:
    """Runs requests against a schema."""

    def __init__(self, schema: Schema, settings: Settings) -> None:
        self._schema = schema._schema
        self._settings = settings
        self._documents = Documents(settings.trusted_documents)
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._compiler = PlanCompiler(schema, MAX_ERRORS) if settings.compiled_execution else None

    def operation(self, request: Request, caller: Caller | None) -> tuple[Prepared, OperationDefinitionNode]:
        """The operation that a request names, parsed, validated and open to the caller.

        Raises RequestError.
        """
        try:
            text = self._documents.find(request.document_id, request.query)
        except GraphQLError as error:
            raise RequestError(error) from None
        prepared = self._prepare(text)
        if caller is not None and request.document_id is not None and request.query is not None:
            self._documents.store(request.document_id, text)
        self._check_introspection(prepared, caller)
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

    def _check_introspection(self, prepared: Prepared, caller: Caller | None) -> None:
        to = self._settings.introspection_for
        open_to_caller = to == "public" or (to == "authenticated" and caller is not None)
        # A gateway with a credential composes, whatever others may see.
        if (prepared.introspects and not open_to_caller) or (
            prepared.tells_schema and not open_to_caller and caller is None
        ):
            raise RequestError(
                GraphQLError(
                    "The schema is not open to this request.", extensions={"code": "GRAPHQL_VALIDATION_FAILED"}
                )
            )

    async def stream(
        self, request: Request, prepared: Prepared, operation: OperationDefinitionNode, context: Context
    ) -> AsyncGenerator[Answer, None]:
        """The answers of an operation: one of a query or mutation, as many as there are of a subscription."""
        if operation.operation is not OperationType.SUBSCRIPTION:
            yield await self._in_time(request, prepared, context)
            return
        try:
            self._check_cost(request, prepared)
        except RequestError as error:
            yield refusal(*error.errors)
            return
        source: Any = subscribe(**self._for_core(request, prepared, context))
        if isawaitable(source):
            source = await source
        if isinstance(source, ExecutionResult):
            yield self._answer(source)
            return
        try:
            async for result in source:
                yield self._answer(result)
        except ServiceError as error:
            # What ends a subscription that had begun.
            yield refusal(GraphQLError(error.message, extensions=error.extensions))
        except GraphQLError as error:
            yield refusal(error)
        except Exception as error:
            yield refusal(GraphQLError(str(error), original_error=error))

    async def _in_time(self, request: Request, prepared: Prepared, context: Context) -> Answer:
        """As `execute`, for those that have nobody to raise to."""
        try:
            async with asyncio.timeout(self._settings.operation_timeout_seconds):
                return await self.execute(request, prepared, context)
        except RequestError as error:
            return refusal(*error.errors)
        except TimeoutError:
            late = DeadlineExceeded("The request took too long. Ask for less, or try again.")
            return refusal(GraphQLError(late.message, extensions=late.extensions))

    async def execute(self, request: Request, prepared: Prepared, context: Context) -> Answer:
        """Run the operation that a request names; `prepared` is what `operation` answered.

        Raises RequestError for one that costs too much.
        """
        cost = self._check_cost(request, prepared)
        answer = await self._execute(request, prepared, context)
        return answer._replace(extensions={"cost": cost}) if request.wants_cost else answer

    def _check_cost(self, request: Request, prepared: Prepared) -> int:
        name = request.operation_name
        if (cost := prepared.costs.get(name)) is None:
            operation = prepared.operations.get(name) or next(iter(prepared.operations.values()))
            cost = prepared.costs[name] = Cost(self._schema, prepared.document, operation, self._settings)
        try:
            return cost.of(request.variables)
        except GraphQLError as error:
            raise RequestError(error) from None

    async def _execute(self, request: Request, prepared: Prepared, context: Context) -> Answer:
        if (plan := self._plan(prepared, request.operation_name)) is not None:
            return self._answer(await plan.run(context, request.variables))
        result: Any = execute(**self._for_core(request, prepared, context))
        if isawaitable(result):
            result = await result
        return self._answer(result)

    def _for_core(self, request: Request, prepared: Prepared, context: Context) -> dict[str, Any]:
        return {
            "schema": self._schema,
            "document": prepared.document,
            "context_value": context,
            "variable_values": request.variables,
            "operation_name": request.operation_name,
            "executor_class": StrawberryGraphQLCoreExecutionContext,
            "max_coercion_errors": MAX_ERRORS,
            "hide_suggestions": True,
        }

    def _plan(self, prepared: Prepared, name: str | None) -> Plan | None:
        if self._compiler is None:
            return None
        if name not in prepared.plans:
            # What runs but once, as a document without variables may, is not worth compiling.
            prepared.plans[name] = None
        elif prepared.plans[name] is None:
            operation = prepared.operations.get(name) or next(iter(prepared.operations.values()))
            prepared.plans[name] = self._compiler.compile(prepared.document, operation)
        return prepared.plans[name]

    def _answer(self, result: ExecutionResult) -> Answer:
        # Errors without a path come before the first resolver: a variable could not be read.
        if result.data is None and result.errors and all(error.path is None for error in result.errors):
            return refusal(*(_with_code(error, "BAD_USER_INPUT") for error in result.errors[:MAX_ERRORS]))
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
            document = parse_document(query, self._settings)
        except GraphQLError as error:
            raise RequestError(error) from None
        # First what a document may ask for at all, in time linear in its size: then graphql-core's rules are bounded.
        if errors := check_document(document, self._settings):
            raise RequestError(*errors[:MAX_ERRORS])
        errors = validate(self._schema, document, max_errors=MAX_ERRORS, hide_suggestions=True)
        if errors:
            # What is wrong many times is told once.
            told = {error.message: error for error in reversed(errors)}
            different = [error for error in errors if told[error.message] is error]
            raise RequestError(*(_with_code(error, "GRAPHQL_VALIDATION_FAILED") for error in different[:MAX_ERRORS]))
        operations = {
            node.name.value if node.name else None: node
            for node in document.definitions
            if isinstance(node, OperationDefinitionNode)
        }
        names = _FieldNames()
        visit(document, names)
        return Prepared(
            document,
            operations,
            {},
            not names.seen.isdisjoint({"__schema", "__type"}),
            "_service" in names.seen,
            {},
        )


class _FieldNames(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        self.seen.add(node.name.value)


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
    formatted["message"] = redact(tidy(error.message))
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
