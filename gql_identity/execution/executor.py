"""Executing GraphQL requests."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import aclosing
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    execute,
    is_non_null_type,
    located_error,
    subscribe,
    validate,
)
from strawberry.schema.schema import Schema

from ..errors import BadRequest, Internal, Unauthenticated
from ..metrics import COST, DOCUMENTS_COMPILED, LIMITS
from .answer import Answer, RequestError, format_error, refusal
from .bounds import Bounds, check_document, parse_document
from .core import CoreExecution
from .cost import Cost, CostRules
from .document_cache import DocumentCache, drop_tokens
from .documents import Documents
from .error_text import path_of_variable
from .literals import RULES
from .operation import Operation, ValidDocument, valid_document
from .plans import ExecutionPlan, PlanCompiler
from .request import Request
from .turns import turns_of_this_loop
from .values import OBJECT_VALUES, count_values

MAX_ERRORS = 10
# Such an operation is compiled at once: graphql-core would take longer than both together.
LARGE_COST = 1_000
LARGE_KILOBYTES = 1_000  # a response that may have more is written in parts, and its bytes are bounded
NOTHING_HIDDEN: frozenset[str] = frozenset()
NOTHING_OPEN = frozenset({"__typename"})
WhenLarge = Callable[[], Awaitable[None]]


class Executor:
    """Executes requests against a schema."""

    def __init__(
        self,
        schema: Schema,
        bounds: Bounds,
        cost_rules: CostRules,
        *,
        trusted_documents: Path | None = None,
        open_fields: frozenset[str] = NOTHING_OPEN,
        compiles: bool = True,
    ) -> None:
        """`open_fields` are the root fields that need no credential.

        Raises StartError where the manifest cannot be read.
        """
        self._schema = schema._schema
        self._bounds = bounds
        self._cost_rules = cost_rules
        self._open_fields = open_fields
        self._documents = Documents(trusted_documents)
        self._cached = DocumentCache()
        self._compiler = PlanCompiler(schema, MAX_ERRORS) if compiles else None

    async def operation(
        self,
        request: Request,
        hidden_fields: frozenset[str] = NOTHING_HIDDEN,
        *,
        owner: Hashable | None = None,
        may_store: bool = False,
        any_document: bool = False,
    ) -> Operation:
        """The operation that a request names.

        The request's variables that it does not declare are dropped. A document that selects one of `hidden_fields`, in
        any of its operations, is refused. A document that must be parsed waits for a slice of a turn, and owners take
        turns; `owner` None does not wait. `may_store` is whether the request may register its document as a persisted
        one, and have it cached; `any_document`, whether it may send one that is not among the trusted documents. A
        document that `execute_without_key` refuses may be one that was not validated. Raises RequestError.
        """
        try:
            text = self._documents.get(request.document_id, request.query, any_text=any_document)
        except GraphQLError as error:
            raise RequestError(error) from None
        caches, suggests = may_store or self._documents.are_trusted, "__schema" not in hidden_fields
        if (document := self._cached.find(text)) is None:
            document = await self._new_document(text, owner, caches=caches, suggests=suggests)
        if may_store and request.document_id is not None and request.query is not None:
            self._documents.store(request.document_id, text)
        if hidden_fields and not hidden_fields.isdisjoint(document.field_names):
            raise _refused(
                "GRAPHQL_VALIDATION_FAILED",
                "The schema is not public: leave out introspection and `_service`, or send a key.",
            )
        operations, name = document.operations, request.operation_name
        operation = next(iter(operations.values())) if name is None and len(operations) == 1 else operations.get(name)
        if operation is not None:
            # Others would be held as long as the operation lasts.
            for undeclared in request.variables.keys() - operation.declared_variables:
                del request.variables[undeclared]
            return operation
        raise _refused(
            "OPERATION_RESOLUTION_FAILURE",
            "The document has several operations: name one in `operationName`."
            if name is None
            else "The document has no operation with the name in `operationName`.",
        )

    async def execute(
        self,
        operation: Operation,
        request: Request,
        context: Any,
        when_large: WhenLarge | None = None,
        *,
        suggests: bool = False,
    ) -> Answer:
        """Run a query or mutation, which `operation` found for this request.

        `when_large` is awaited before an operation whose response may be large; what it raises is raised. Errors of
        variables have suggestions from the schema if `suggests`. Raises RequestError for an operation that costs too
        much.
        """
        cost, is_large = self._check(operation, request)
        if is_large and when_large is not None:
            await when_large()
        if operation.plan is not None:
            result = await operation.plan.run(context, request.variables)
        else:
            result = await self._execute_first(operation, request, context, cost)
        answer = _answer(result, suggests, is_large=is_large)
        return answer._replace(extensions={"cost": cost}) if request.wants_cost else answer

    async def _execute_first(self, operation: Operation, request: Request, context: Any, cost: int) -> ExecutionResult:
        # An operation that runs only once, as one without variables may, is not worth compiling, unless it is large.
        if (operation.has_run or cost >= LARGE_COST) and self._compiler is not None:
            return await self._compile(operation, self._compiler).run(context, request.variables)
        operation.has_run = True
        result: Any = execute(**self._for_core(operation, request, context))
        return await result if isawaitable(result) else result  # type: ignore[no-any-return]

    def _compile(self, operation: Operation, compiler: PlanCompiler) -> ExecutionPlan:
        """Make the plan that an operation runs from now on."""
        may_keep = partial(self._cached.grow, operation.text)
        operation.plan = compiler.compile(operation.document, operation.node, may_keep)
        DOCUMENTS_COMPILED.add()
        return operation.plan

    async def stream(self, operation: Operation, request: Request, context: Any) -> AsyncGenerator[Answer, None]:
        """The answers of a subscription, which `operation` found for this request; an error is the last of them.

        Raises RequestError, before the first, for a subscription that costs too much.
        """
        _, is_large = self._check(operation, request)
        source: Any
        if self._compiler is not None:
            plan = operation.plan or self._compile(operation, self._compiler)  # at once: each event runs it
            source = await plan.follow(context, request.variables)
        else:
            source = subscribe(**self._for_core(operation, request, context))
            if isawaitable(source):
                source = await source
        if isinstance(source, ExecutionResult):
            yield _answer(source)
            return
        try:
            async with aclosing(source):  # the subscriber leaves with its client, not with the garbage collector
                async for result in source:
                    yield _answer(result, is_large=is_large)
        except GraphQLError as error:
            yield refusal(error)
        except Exception as error:
            yield refusal(GraphQLError(str(error), original_error=error))

    @property
    def documents(self) -> int:
        """How many documents are kept parsed and validated."""
        return len(self._cached)

    async def execute_without_key(
        self, operation: Operation, request: Request, context: Any, when_large: WhenLarge | None = None
    ) -> Answer:
        """Run an operation of a document that selects only open root fields; refuse all root fields of any other.

        Raises RequestError as `execute` does.
        """
        if operation.needs_no_key:
            return await self.execute(operation, request, context, when_large)
        nodes = {node.alias.value if node.alias else node.name.value: node for node in operation.root_fields}
        errors = [located_error(Unauthenticated(), [node], [key]) for key, node in nodes.items()]
        root: Any = self._schema.get_root_type(operation.node.operation)
        fields = [self._schema.get_field(root, node.name.value) for node in nodes.values()]
        nullable = not any(field and is_non_null_type(field.type) for field in fields)
        return _answer(ExecutionResult(dict.fromkeys(nodes) if nullable else None, errors))

    def _check(self, operation: Operation, request: Request) -> tuple[int, bool]:
        """The operation's cost with the request's variables, and whether its response may be large.

        Raises RequestError, also for too many values.
        """
        self._check_values(operation, request.variables)
        return self._check_cost(operation, request)

    def _check_values(self, operation: Operation, variables: dict[str, Any]) -> None:
        """Raise RequestError where there are more values than may be."""
        most = self._bounds.max_values
        try:
            if count_values(variables.values(), most) <= most:
                return  # and fewer still, as objects in leaf values count less
            leaves = [value for name, value in variables.items() if name in operation.leaf_variables]
            others = [value for name, value in variables.items() if name not in operation.leaf_variables]
            count = count_values(others, most) + (count_values(leaves, most, 1) if leaves else 0)
        except BadRequest as error:
            raise _refused(error.code, error.message) from None
        if count > most:
            raise too_many_values(most)

    def _check_cost(self, operation: Operation, request: Request) -> tuple[int, bool]:
        if (cost := operation.cost) is None:
            cost = Cost(self._schema, operation.document, operation.node, self._cost_rules, self._bounds.max_cost)
            if self._cached.grow(operation.text, cost.size):
                operation.cost = cost
        try:
            computed, kilobytes = cost.of(request.variables)
        except GraphQLError as error:
            raise RequestError(error) from None
        if COST.is_on:
            COST.observe(computed)
        return computed, computed >= LARGE_COST or kilobytes >= LARGE_KILOBYTES

    def _for_core(self, operation: Operation, request: Request, context: Any) -> dict[str, Any]:
        """The arguments of graphql-core's `execute` and `subscribe`."""
        return {
            "schema": self._schema,
            "document": operation.document,
            "context_value": context,
            "variable_values": request.variables,
            "operation_name": operation.name,
            "executor_class": CoreExecution,
            "max_coercion_errors": MAX_ERRORS,
        }

    async def _new_document(self, text: str, owner: Hashable | None, *, caches: bool, suggests: bool) -> ValidDocument:
        """The document of a text, which is cached if `caches`; raises RequestError."""
        turns = turns_of_this_loop()
        if turns.is_over() and owner is not None:
            await turns.wait(owner)
            if (found := self._cached.find(text)) is not None:  # parsed for another request meanwhile
                return found
        document = self._parse(text)
        valid = valid_document(self._schema, document, text, self._open_fields)
        # Without a key most of a document is refused: validating it first would be work that anybody can ask for.
        if caches or valid.needs_no_key:
            if turns.is_over() and owner is not None:
                await turns.wait(owner)
                if (found := self._cached.find(text)) is not None:
                    return found
            self._validate(document, suggests)
        # A refused document is not cached: it would push out those that run.
        if self._documents.trusts(text):
            for operation in valid.operations.values():
                operation.trusted_name = operation.name
        if caches:
            self._cached.add(text, valid, drop_tokens(document))
        return valid

    def _parse(self, text: str) -> DocumentNode:
        """The document of a text, within its bounds; raises RequestError."""
        try:
            document = parse_document(text, self._bounds)
        except GraphQLError as error:
            raise RequestError(error) from None
        # The bounds come first, checked in linear time: then graphql-core's rules have little to do.
        if errors := check_document(document, self._bounds):
            raise RequestError(*errors)
        return document

    def _validate(self, document: DocumentNode, suggests: bool) -> None:
        """Raise RequestError for a document that is not valid; its errors have suggestions if `suggests`."""
        errors = validate(self._schema, document, RULES, max_errors=MAX_ERRORS, hide_suggestions=not suggests)
        if errors:
            # Of several errors with one message, only the first is in the answer.
            first = {error.message: error for error in reversed(errors)}
            different = [error for error in errors if first[error.message] is error]
            raise RequestError(*_told([_with_code(error, "GRAPHQL_VALIDATION_FAILED") for error in different]))


def _answer(result: ExecutionResult, suggests: bool = False, *, is_large: bool = False) -> Answer:
    # Errors without a path come before the first resolver: a variable could not be read.
    if result.data is None and result.errors and all(error.path is None for error in result.errors):
        for error in result.errors:
            error.extensions = {"code": "BAD_USER_INPUT", **path_of_variable(error.message)}
        return refusal(*_told(result.errors), suggests=suggests)
    errors = [format_error(error) for error in _told(result.errors or [])]
    return Answer(result.data, errors, executed=True, is_large=is_large)


def _told(errors: list[GraphQLError]) -> list[GraphQLError]:
    """The errors that the response has; if some are left out, the last one says so, with the code of the next."""
    if len(errors) <= MAX_ERRORS:
        return errors
    told = errors[: MAX_ERRORS - 1]
    code = (errors[len(told)].extensions or {}).get("code", Internal.code)
    return [*told, GraphQLError("There are more errors; they are left out.", extensions={"code": code})]


def too_many_values(most: int) -> RequestError:
    """The error for variables that hold more values than may be."""
    LIMITS.add("max_values")
    return _refused(
        "BAD_USER_INPUT",
        f"The variables hold more than {most} values, of which an input object counts as {OBJECT_VALUES}: "
        "the limit `max_values`.",
    )


def _refused(code: str, message: str) -> RequestError:
    return RequestError(GraphQLError(message, extensions={"code": code}))


def _with_code(error: GraphQLError, code: str) -> GraphQLError:
    error.extensions = {"code": code, **(error.extensions or {})}
    return error
