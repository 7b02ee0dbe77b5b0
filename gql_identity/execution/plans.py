"""Compiled plans: an operation is compiled once, and its runs then use almost nothing of graphql-core.

A plan reads variables and arguments, calls the resolvers of the root fields as Strawberry would, and completes their
values with functions generated for the operation's selections. It covers ordinary values only. In all other cases (a
variable of another type, an error, a null in a non-null place, a field with a resolver below the root) graphql-core
takes over at that point. A resolved root field is not resolved again, so a mutation runs once. The response is always
the one that graphql-core would give. Of a subscription, graphql-core makes the stream, and a plan completes its events.

Two root fields with the same variable get the same object, so a resolver must not change its arguments.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    is_non_null_type,
    type_from_ast,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.execute import (
    create_source_event_stream,
    execute_subscription_event,
    map_source_to_response_event,
)
from graphql.execution.values import VariableValues
from graphql.pyutils import is_awaitable
from strawberry.schema.schema import Schema

from .arguments import ArgumentCompiler, Builder, Reader
from .completion import CompletionCompiler, NotCompilable, UnexpectedValue
from .core import CoreExecution
from .outline import innermost_first, nodes_of, outline_of
from .root_fields import RootField, Run, run_concurrently, run_serially

log = structlog.get_logger()

# Measured for a variant: a field, a root field, and a node of the root fields' arguments.
FIELD_BYTES = 1_000
ROOT_BYTES = 2_500
ARGUMENT_BYTES = 250
MAX_VARIANTS = 16  # compiled combinations of `@skip` and `@include` for each operation
MayKeep = Callable[[int], bool]  # counts so many bytes, unless they are too many


class PlanCompiler:
    """Compiles the plans of one schema."""

    def __init__(self, schema: Schema, max_errors: int) -> None:
        self.schema = schema
        self.arguments = ArgumentCompiler(schema)
        self.max_errors = max_errors
        self.runs_left = 0  # runs that left the compiled path, for graphql-core to continue

    def compile(self, document: DocumentNode, operation: OperationDefinitionNode, may_keep: MayKeep) -> "ExecutionPlan":
        """Make the plan of an operation of a valid document, which asks `may_keep` before it keeps a variant."""
        return ExecutionPlan(self, document, operation, may_keep)


class ExecutionPlan:
    """One operation of a document, compiled."""

    def __init__(
        self,
        compiler: PlanCompiler,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        may_keep: MayKeep,
    ) -> None:
        self._compiler = compiler
        self._may_keep = may_keep
        self._document = document
        self._operation = operation
        self._serial = operation.operation is OperationType.MUTATION
        self._conditions = _conditions(document, operation)
        self._variants: dict[tuple[bool, ...], tuple[RootField, ...] | None] = {}
        try:
            self._variables: list[_Variable] | None = [
                self._variable(node) for node in operation.variable_definitions or ()
            ]
        except NotCompilable:
            self._variables = None

    async def run(self, context: Any, inputs: dict[str, Any]) -> ExecutionResult:
        """Run the operation with these variables, as graphql-core would."""
        run = Run(self.build, context, inputs)
        try:
            return await self._run(run, inputs)
        finally:
            if run.left:
                self._compiler.runs_left += 1
                name = self._operation.name.value if self._operation.name else None
                log.debug("a run left the compiled path", operation=name, count=self._compiler.runs_left)

    async def _run(self, run: Run, inputs: dict[str, Any]) -> ExecutionResult:
        try:
            run.values = self._read(inputs)
        except Exception:
            run.left = True
            built = self.build(run.context, inputs)
            if isinstance(built, list):
                return ExecutionResult(None, built)
            run.core = built
        roots = self._root_fields(run)
        if roots is None:
            run.left = True
            whole: Any = run.core.execute_operation()
            result: ExecutionResult = await whole if is_awaitable(whole) else whole
            return result
        try:
            data = await (run_serially(run, roots) if self._serial else run_concurrently(run, roots))
        except GraphQLError as error:
            run.core.collected_errors.add(error, None)
            data = None
        return ExecutionResult(data, run.errors)

    async def follow(self, context: Any, inputs: dict[str, Any]) -> AsyncIterator[ExecutionResult] | ExecutionResult:
        """The results of a subscription's events, or the one that refuses it."""
        core = self.build(context, inputs)
        if isinstance(core, list):
            return ExecutionResult(None, core)
        stream: Any = create_source_event_stream(core)
        if is_awaitable(stream):
            stream = await stream
        if isinstance(stream, ExecutionResult):
            return stream
        run = Run(self.build, context, inputs)
        run.core = core
        roots = self._root_fields(run)

        def result_of(core_of_event: Any) -> Any:
            if roots is not None:
                try:
                    return ExecutionResult({root.name: root.of_event(core_of_event.root_value) for root in roots}, None)
                except Exception:
                    self._compiler.runs_left += 1
            return execute_subscription_event(core_of_event)

        return map_source_to_response_event(core, stream, result_of)

    def build(self, context: Any, inputs: dict[str, Any]) -> Any:
        """Make graphql-core's executor for one run, or a list of errors if its variables are invalid."""
        name = self._operation.name
        return CoreExecution.build(
            self._compiler.schema._schema,
            self._document,
            context_value=context,
            raw_variable_values=inputs,
            operation_name=name.value if name else None,
            max_coercion_errors=self._compiler.max_errors,
        )

    def _variable(self, node: Any) -> "_Variable":
        type_: Any = type_from_ast(self._compiler.schema._schema, node.type)
        inputs = self._compiler.arguments
        default = inputs.builder(node.default_value, type_) if node.default_value else None
        return _Variable(node.variable.name.value, inputs.reader(type_), default, is_non_null_type(type_))

    def _read(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if self._variables is None:
            raise UnexpectedValue
        values = {}
        for name, read, default, required in self._variables:
            if name in inputs:
                values[name] = read(inputs[name])
            elif default is not None:
                values[name] = default(values)
            elif required:
                raise UnexpectedValue
        return values

    def _root_fields(self, run: "Run") -> "tuple[RootField, ...] | None":
        """The root fields to run; None if graphql-core must run the whole operation."""
        values: Any = run.core.variable_values.coerced if run.values is None else run.values
        key = tuple([values.get(name) for name in self._conditions])
        if key and not all(isinstance(part, bool) for part in key):
            return None
        if key not in self._variants:
            if len(self._variants) >= MAX_VARIANTS:
                return None
            self._variants[key] = self._compile(dict(zip(self._conditions, key, strict=True)))
        return self._variants[key]

    def _compile(self, conditions: dict[str, bool]) -> "tuple[RootField, ...] | None":
        schema, operation = self._compiler.schema._schema, self._operation
        values = VariableValues({}, conditions)
        fragments = {
            node.name.value: FragmentDetails(node)
            for node in self._document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        parent = schema.get_root_type(operation.operation)
        if parent is None:
            return None

        def collect(type_: GraphQLObjectType, details: list[FieldDetails]) -> dict[str, list[FieldDetails]]:
            return collect_subfields(schema, fragments, values, operation, type_, details, True).grouped_field_set

        try:
            collected = collect_fields(schema, fragments, values, parent, operation, True).grouped_field_set
            completion = CompletionCompiler(schema, collect)
            arguments = self._compiler.arguments
            roots = tuple(
                RootField(self._compiler.schema, arguments, parent, name, details, completion)
                for name, details in collected.items()
            )
            return roots if self._may_keep(_size(collected, completion)) else None
        except (GraphQLError, RecursionError, NotCompilable):
            return None


class _Variable(NamedTuple):
    name: str
    read: Reader
    default: Builder | None
    required: bool


def _size(collected: dict[str, list[FieldDetails]], completion: CompletionCompiler) -> int:
    """About how many bytes a variant takes."""
    arguments = [argument for details in collected.values() for argument in details[0].node.arguments or ()]
    return (
        FIELD_BYTES * completion.fields
        + ROOT_BYTES * len(collected)
        + ARGUMENT_BYTES * sum(1 for _ in nodes_of(arguments))
    )


def _conditions(document: DocumentNode, operation: OperationDefinitionNode) -> tuple[str, ...]:
    """The variables in `@skip` and `@include` of an operation and of the fragments that it spreads."""
    outline = outline_of(operation)
    fragments = [outline_of(node) for node in document.definitions if isinstance(node, FragmentDefinitionNode)]
    found = {
        argument.value.name.value: None  # a dictionary, for the order
        for part in innermost_first([outline], [outline, *fragments])
        for selection, _ in part.selections
        for directive in selection.directives or ()
        for argument in directive.arguments or ()
        if isinstance(argument.value, VariableNode)
    }
    return tuple(found)
