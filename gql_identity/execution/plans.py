"""Compiled plans: what an operation asks for, worked out once and then run with next to no GraphQL.

A plan reads variables and arguments, calls the resolvers of the root fields as Strawberry would, and completes what
they answer by functions generated for the operation's selections. It covers ordinary values only. Whatever else turns
up (a variable of another type, an error, a null that may not be, a field with a resolver below the root) is left to
graphql-core, which takes over at that very point: a root field once resolved is not resolved again, so that a mutation
runs once, and the answer is in every case the one that graphql-core gives.

Two root fields that are given one variable get one object: a resolver must not change its arguments.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    is_non_null_type,
    type_from_ast,
    visit,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues, get_argument_values
from graphql.pyutils import Path, gather_with_cancel, is_awaitable
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext
from strawberry.types import Info
from strawberry.types.field import StrawberryField

from .arguments import Arguments, Builder, Reader
from .completion import DEFINITION, Surprise, Uncovered, Writer

MAX_VARIANTS = 16  # ways that `@skip` and `@include` fall out; of more, the rest is not compiled


class PlanCompiler:
    """Compiles the plans of one schema."""

    def __init__(self, schema: Schema, max_errors: int) -> None:
        self.schema = schema
        self.arguments = Arguments(schema)
        self.max_errors = max_errors

    def compile(self, document: DocumentNode, operation: OperationDefinitionNode) -> "Plan":
        """The plan of a query or mutation of a valid document."""
        return Plan(self, document, operation)


class Plan:
    """One operation of a document, compiled."""

    def __init__(self, compiler: PlanCompiler, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self._compiler = compiler
        self._document = document
        self._operation = operation
        self._serial = operation.operation is OperationType.MUTATION
        finder = _ConditionFinder()
        visit(document, finder)
        declared = [node.variable.name.value for node in operation.variable_definitions or ()]
        self._conditions = tuple(name for name in declared if name in finder.found)
        self._variants: dict[tuple[Any, ...], tuple[_Root, ...] | None] = {}
        try:
            self._variables: list[_Variable] | None = [
                self._variable(node) for node in operation.variable_definitions or ()
            ]
        except Uncovered:
            self._variables = None

    async def run(self, context: Any, inputs: dict[str, Any]) -> ExecutionResult:
        """Run the operation with these variables, as graphql-core would."""
        run = _Run(self, context, inputs)
        try:
            run.values = self._read(inputs)
        except Exception:
            built = self.build(context, inputs)
            if isinstance(built, list):
                return ExecutionResult(None, built)
            run.core = built
        roots = self._roots(run)
        if roots is None:
            whole: Any = run.core.execute_operation()
            result: ExecutionResult = await whole if is_awaitable(whole) else whole
            return result
        try:
            data = await (_serially(run, roots) if self._serial else _together(run, roots))
        except GraphQLError as error:
            run.core.collected_errors.add(error, None)
            data = None
        return ExecutionResult(data, run.errors)

    def build(self, context: Any, inputs: dict[str, Any]) -> Any:
        """graphql-core's executor for one run, or the errors of its variables."""
        name = self._operation.name
        return StrawberryGraphQLCoreExecutionContext.build(
            self._compiler.schema._schema,
            self._document,
            context_value=context,
            raw_variable_values=inputs,
            operation_name=name.value if name else None,
            max_coercion_errors=self._compiler.max_errors,
            hide_suggestions=True,
        )

    def _variable(self, node: Any) -> "_Variable":
        type_: Any = type_from_ast(self._compiler.schema._schema, node.type)
        inputs = self._compiler.arguments
        default = inputs.builder(node.default_value, type_) if node.default_value else None
        return _Variable(node.variable.name.value, inputs.reader(type_), default, is_non_null_type(type_))

    def _read(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if self._variables is None:
            raise Surprise
        values = {}
        for name, read, default, required in self._variables:
            if name in inputs:
                values[name] = read(inputs[name])
            elif default is not None:
                values[name] = default(values)
            elif required:
                raise Surprise
        return values

    def _roots(self, run: "_Run") -> "tuple[_Root, ...] | None":
        """The root fields to run; None where it is all graphql-core's."""
        values: Any = run.core.variable_values.coerced if run.values is None else run.values
        key = tuple([values.get(name) for name in self._conditions])
        if key in self._variants:
            return self._variants[key]
        roots = None
        if len(self._variants) < MAX_VARIANTS and all(isinstance(part, bool) for part in key):
            roots = self._compile(dict(zip(self._conditions, key, strict=True)))
            self._variants[key] = roots
        return roots

    def _compile(self, conditions: dict[str, bool]) -> "tuple[_Root, ...] | None":
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
            writer = Writer(schema, collect)
            return tuple(_Root(self._compiler, parent, name, details, writer) for name, details in collected.items())
        except (GraphQLError, RecursionError, Uncovered):
            return None


class _Variable(NamedTuple):
    name: str
    read: Reader
    default: Builder | None
    required: bool


class _ConditionFinder(Visitor):
    """Finds the variables that decide what is selected."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def enter_directive(self, node: Any, *_: Any) -> None:
        for argument in node.arguments:
            if isinstance(argument.value, VariableNode):
                self.found.add(argument.value.name.value)


class _Run:
    """One run of a plan. graphql-core's executor is made when it is first needed."""

    def __init__(self, plan: Plan, context: Any, inputs: dict[str, Any]) -> None:
        self.context = context
        self.values: dict[str, Any] | None = None
        self._plan = plan
        self._inputs = inputs
        self._core: Any = None

    @property
    def core(self) -> Any:
        if self._core is None:
            self._core = self._plan.build(self.context, self._inputs)
        return self._core

    @core.setter
    def core(self, core: Any) -> None:
        self._core = core

    @property
    def errors(self) -> list[GraphQLError] | None:
        return None if self._core is None else (self._core.collected_errors.errors or None)


class PlanInfo(Info[Any, None]):
    """What a resolver is told of its field, worked out when it asks."""

    def __init__(self, run: _Run, root: "_Root") -> None:
        self._run = run
        self._root = root
        self._field = root.definition
        self.selections = root.selections  # what `selected` found in an earlier run

    @property
    def context(self) -> Any:
        """The request's context."""
        return self._run.context

    @property
    def _raw_info(self) -> Any:  # type: ignore[override]
        return self._root.raw_info(self._run)


class _Root:
    """One root field of an operation."""

    def __init__(
        self,
        compiler: PlanCompiler,
        parent: GraphQLObjectType,
        name: str,
        details: list[FieldDetails],
        writer: Writer,
    ) -> None:
        self.name = name
        self.selections: dict[tuple[str, ...], frozenset[str]] = {}
        self._parent = parent
        self._details = details
        self._nodes = [detail.node for detail in details]
        self._path = Path(None, name, parent.name)
        field = compiler.schema._schema.get_field(parent, self._nodes[0].name.value)
        if field is None:
            raise Uncovered
        self._field: GraphQLField = field
        self.definition: Any = field.extensions.get(DEFINITION)
        self._info_name: str | None = None
        self._call: Callable[..., Any] | None = None
        try:
            self._arguments: Builder = compiler.arguments.builder_of_all(field, self._nodes[0])
            self._call = self._resolver(compiler.schema)
        except Uncovered:
            pass
        try:
            self._generated = writer.function(field.type, details)
        except Uncovered:
            self._generated = _surprised

    def start(self, run: _Run) -> Any:
        """The field's completed value, or what to await for it."""
        try:
            resolved = self._resolve(run)
            if is_awaitable(resolved):
                return self._finish(run, resolved)
            try:
                return self._generated(resolved)
            except Exception:
                completed = self._complete(run, resolved)
            return self._finish(run, completed, completed=True) if is_awaitable(completed) else completed
        except Exception as error:
            return run.core.handle_field_error(error, self._field.type, self._details, self._path)

    async def _finish(self, run: _Run, pending: Any, *, completed: bool = False) -> Any:
        try:
            value = await pending
            if completed:
                return value
            try:
                return self._generated(value)
            except Exception:
                value = self._complete(run, value)
            return await value if is_awaitable(value) else value
        except Exception as error:
            return run.core.handle_field_error(error, self._field.type, self._details, self._path)

    def _complete(self, run: _Run, resolved: Any) -> Any:
        """What no generated function covers: graphql-core completes it, or says what is wrong with it."""
        return run.core.complete_value(self._field.type, self._details, self.raw_info(run), self._path, resolved, None)

    def _resolve(self, run: _Run) -> Any:
        if self._call is not None and run.values is not None:
            try:
                arguments = self._arguments(run.values)
            except Exception:
                arguments = None  # graphql-core says what is wrong with it
            if arguments is not None:
                if self._info_name is not None:
                    arguments[self._info_name] = PlanInfo(run, self)
                return self._call(**arguments)
        resolve = self._field.resolve or run.core.field_resolver
        values = get_argument_values(self._field, self._nodes[0], run.core.variable_values, None, True)
        return resolve(None, self.raw_info(run), **values)

    def raw_info(self, run: _Run) -> Any:
        return run.core.build_resolve_info(self._field, self._nodes, self._parent, self._path)

    def _resolver(self, schema: Schema) -> Callable[..., Any]:
        """The function that Strawberry's resolver comes down to; raises Uncovered where it does more than call it."""
        if self._nodes[0].name.value == "__typename":
            return lambda: self._parent.name
        field = self.definition
        resolver = field and field.base_resolver
        if (
            resolver is None
            or not hasattr(self._field.resolve, "_is_default")  # not Strawberry's: somebody put another in its place
            or field.extensions
            or schema.schema_converter.exception_handlers
            or type(field).get_result is not StrawberryField.get_result
            or resolver.parent_parameter
            or resolver.root_parameter
        ):
            raise Uncovered
        self._info_name = resolver.info_parameter and resolver.info_parameter.name
        return partial(resolver, None) if resolver.self_parameter else resolver


def _surprised(_: Any) -> Any:
    raise Surprise


async def _serially(run: _Run, roots: Iterable[_Root]) -> dict[str, Any]:
    data = {}
    for root in roots:
        value = root.start(run)
        data[root.name] = await value if is_awaitable(value) else value
    return data


async def _together(run: _Run, roots: Iterable[_Root]) -> dict[str, Any]:
    """As graphql-core does it: all are started in their order, and one error too many cancels those under way."""
    data: dict[str, Any] = {}
    pending = []
    try:
        for root in roots:
            value = data[root.name] = root.start(run)
            if is_awaitable(value):
                pending.append(root.name)
    except Exception:
        if pending:
            run.core.settle_in_background([data[name] for name in pending])
        raise
    if len(pending) == 1:
        data[pending[0]] = await data[pending[0]]
    elif pending:
        data.update(zip(pending, await gather_with_cancel(*(data[name] for name in pending)), strict=True))
    return data
