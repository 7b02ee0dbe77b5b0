"""Compiled plans: what an operation asks for, worked out once and then run with next to no GraphQL.

A plan reads variables and arguments, calls the resolvers of the root fields as Strawberry would, and completes what they
answer by functions generated for the operation's selections. It covers ordinary values only. Whatever else turns up
(a variable of another type, an error, a null that may not be, a field with a resolver below the root) is left to
graphql-core, which takes over at that very point: a root field once resolved is not resolved again, so that a mutation
runs once, and the answer is in every case the one that graphql-core gives.

Two root fields that are given one variable get one object: a resolver must not change its arguments.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import MISSING
from datetime import datetime
from enum import Enum
from functools import partial
from math import isfinite
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLString,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    ValueNode,
    VariableNode,
    Visitor,
    get_nullable_type,
    is_abstract_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    type_from_ast,
    visit,
)
from graphql.execution.collect_fields import FieldDetails, FragmentDetails, collect_fields, collect_subfields
from graphql.execution.values import VariableValues, get_argument_values
from graphql.pyutils import Path, gather_with_cancel, is_awaitable
from graphql.type import is_required_argument, is_required_input_field
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_literal
from strawberry.relay import GlobalID
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext
from strawberry.types import Info
from strawberry.types.base import StrawberryContainer, StrawberryMaybe
from strawberry.types.field import StrawberryField

MAX_FIELDS = 1_000  # a selection of more fields is not compiled
MAX_VARIANTS = 16  # ways that `@skip` and `@include` fall out; of more, the rest is not compiled

DEFINITION = "strawberry-definition"
_EXACT = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}
_INT = range(-(2**31), 2**31)
_PLAIN = frozenset({str, int, float, bool, dict, list, datetime})  # never awaitable, never an exception

# A JSON value, or the values of the variables, become an argument; raise whatever they do not expect.
Reader = Callable[[Any], Any]
Builder = Callable[[dict[str, Any]], Any]


class Uncovered(Exception):
    """What plans do not cover, found when one is compiled."""


class Surprise(Exception):
    """A value that a plan does not cover, found when it runs."""


class PlanCompiler:
    """Compiles the plans of one schema."""

    def __init__(self, schema: Schema, max_errors: int) -> None:
        self.schema = schema
        self.inputs = _Inputs(schema)
        self.max_errors = max_errors

    def compile(self, document: DocumentNode, operation: OperationDefinitionNode) -> "Plan | None":
        """The plan of a valid document's operation; None for a subscription."""
        return None if operation.operation is OperationType.SUBSCRIPTION else Plan(self, document, operation)


class Plan:
    """One operation of a document, compiled."""

    def __init__(self, compiler: PlanCompiler, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self._compiler = compiler
        self._document = document
        self._operation = operation
        self._serial = operation.operation is OperationType.MUTATION
        finder = _ConditionFinder()
        visit(document, finder)
        self._conditions = tuple(sorted(finder.found))
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
        inputs = self._compiler.inputs
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
            return tuple(_Root(self._compiler, parent, name, details, collect) for name, details in collected.items())
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


class _VariableFinder(Visitor):
    found = False

    def enter_variable(self, *_: Any) -> None:
        self.found = True


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
        collect: "_Collect",
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
            self._arguments: Builder = compiler.inputs.arguments(field, self._nodes[0])
            self._call = self._resolver(compiler.schema)
        except Uncovered:
            pass
        try:
            self._generated = _Writer(compiler.schema, collect).function(field.type, details)
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


_Collect = Callable[[GraphQLObjectType, list[FieldDetails]], dict[str, list[FieldDetails]]]


class _Writer:
    """Writes the functions that complete the values of one field.

    One function is generated for each selection set, and looks like this; an expression that fails is a surprise too:

        def complete_1(value):
            if type(value) is not class_1: raise Surprise
            field_0 = value.api_key_id
            if type(field_0) is not str: raise Surprise
            field_1 = value.last_accessed_at
            if field_1 is not None:
                field_1 = scalar_2(field_1)
            return {"apiKeyId": field_0, "lastAccessedAt": field_1}
    """

    def __init__(self, schema: Schema, collect: _Collect) -> None:
        self._schema = schema
        self._collect = collect
        self._fields = 0
        self._lines: list[str] = []
        self._names: dict[str, Any] = {"Surprise": Surprise, "INT": _INT, "PLAIN": _PLAIN, "isfinite": isfinite}

    def function(self, type_: Any, details: list[FieldDetails]) -> Reader:
        """The function that completes a value of a type; raises Uncovered."""
        name = self._function(type_, details)
        # Nothing of a request is in the source but names of the schema and, by repr, the names of an answer's fields.
        exec(compile("\n".join(self._lines), "<plan>", "exec"), self._names)  # noqa: S102
        function: Reader = self._names[name]
        return function

    def _function(self, type_: Any, details: list[FieldDetails]) -> str:
        if is_non_null_type(type_) and is_object_type(type_.of_type):
            return self._object(type_.of_type, details)
        steps = self._steps("value", type_, details)
        return self._define(["def {}(value):", *_indented(steps), "    return value"])

    def _define(self, lines: list[str]) -> str:
        name = self._name("complete", None)
        self._lines += [lines[0].format(name), *lines[1:]]
        return name

    def _name(self, kind: str, value: Any) -> str:
        name = f"{kind}_{len(self._names)}"
        self._names[name] = value
        return name

    def _steps(self, v: str, type_: Any, details: list[FieldDetails]) -> list[str]:
        """Statements that complete the value of a variable, or raise."""
        if not is_non_null_type(type_):
            return [f"if {v} is not None:", *_indented(self._steps_of_present(v, type_, details))]
        return self._steps_of_present(v, type_.of_type, details)

    def _steps_of_present(self, v: str, type_: Any, details: list[FieldDetails]) -> list[str]:
        if is_list_type(type_):
            item = self._function(type_.of_type, details)
            return [f"if type({v}) is not list: raise Surprise", f"{v} = [{item}(item) for item in {v}]"]
        if is_object_type(type_):
            return [f"{v} = {self._object(type_, details)}({v})"]
        if is_abstract_type(type_):
            return [f"{v} = {self._by_class(type_, details)}[type({v})]({v})"]
        if type_ in _EXACT:
            return [f"if type({v}) is not {_EXACT[type_].__name__}: raise Surprise"]
        if type_ is GraphQLInt:
            return [f"if type({v}) is not int or {v} not in INT: raise Surprise"]
        if type_ is GraphQLFloat:
            return [f"if type({v}) is not float or not isfinite({v}): raise Surprise"]
        if isinstance(type_, GraphQLEnumType):
            enum: type[Enum] | None = getattr(type_, "wrapped_cls", None)
            if enum is None:
                raise Uncovered
            names = {member._name_: type_.coerce_output_value(member) for member in enum}
            return [
                f"if type({v}) is not {self._name('enum', enum)}: raise Surprise",
                f"{v} = {self._name('names', names)}[{v}._name_]",  # a member's hash is slow
            ]
        return [
            f"if type({v}) not in PLAIN: raise Surprise",
            f"{v} = {self._name('scalar', type_.coerce_output_value)}({v})",
            f"if type({v}) not in PLAIN: raise Surprise",
        ]

    def _object(self, type_: GraphQLObjectType, details: list[FieldDetails]) -> str:
        definition = type_.extensions.get(DEFINITION)
        if definition is None or definition.is_type_of or definition.concrete_of:
            raise Uncovered
        lines, entries = [], []
        for name, below in self._collect(type_, details).items():
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise Uncovered
            field_name = below[0].node.name.value
            if field_name == "__typename":
                entries.append(f"{name!r}: {type_.name!r}")
                continue
            field = type_.fields[field_name]
            v = f"field_{len(entries)}"
            lines += [f"{v} = value.{_attribute(field)}", *self._steps(v, field.type, below)]
            entries.append(f"{name!r}: {v}")
        class_ = self._name("class", definition.origin)
        check = f"if type(value) is not {class_}: raise Surprise"
        return self._define(["def {}(value):", *_indented([check, *lines, f"return {{{', '.join(entries)}}}"])])

    def _by_class(self, type_: Any, details: list[FieldDetails]) -> str:
        """The name of what completes each class of a union or an interface; a class that isn't there is a surprise."""
        entries = []
        for possible in self._schema._schema.get_possible_types(type_):
            definition = possible.extensions.get(DEFINITION)
            if definition is None or definition.name != possible.name:
                continue
            with suppress(Uncovered):
                function = self._object(possible, details)
                entries.append(f"{self._name('class', definition.origin)}: {function}")
        return self._define(["{} = {{" + ", ".join(entries) + "}}"])


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _attribute(field: GraphQLField) -> str:
    """The attribute that a field without a resolver shows; raises Uncovered for any other field."""
    definition = field.extensions.get(DEFINITION)
    if (
        definition is None
        or not definition.is_basic_field
        or definition.default_resolver is not getattr
        or type(definition).get_result is not StrawberryField.get_result
    ):
        raise Uncovered
    return str(definition.python_name)


class _Members(NamedTuple):
    """The fields of an input object, or the arguments of a field, by their GraphQL names."""

    python_names: dict[str, str]
    types: dict[str, Any]
    required: frozenset[str]  # Python names
    absent: dict[str, Any]  # by Python name, the values of those that are left out


class _Inputs:
    """Turns JSON and literals straight into what resolvers are given: graphql-core's coercion and Strawberry's in one."""

    def __init__(self, schema: Schema) -> None:
        self._config = schema.config
        self._objects: dict[str, _InputObject | None] = {}

    def reader(self, type_: Any) -> Reader:
        """What reads a JSON value of a type; raises Uncovered."""
        if is_non_null_type(type_):
            return self._reader_of_present(type_.of_type)
        read = self._reader_of_present(type_)
        return lambda value: None if value is None else read(value)

    def _reader_of_present(self, type_: Any) -> Reader:
        if is_list_type(type_):
            read_item = self.reader(type_.of_type)

            def read_list(value: Any) -> Any:
                if type(value) is not list:
                    raise Surprise
                return [read_item(item) for item in value]

            return read_list
        if is_input_object_type(type_):
            return self._object(type_).read
        if is_enum_type(type_):
            return {name: type_.coerce_input_value(name) for name in type_.values}.__getitem__
        return partial(_read_scalar, type_, _EXACT.get(type_))

    def _object(self, type_: GraphQLInputObjectType) -> "_InputObject":
        if type_.name not in self._objects:
            self._objects[type_.name] = None  # so that a type within itself is Uncovered
            self._objects[type_.name] = _InputObject(self, type_)
        found = self._objects[type_.name]
        if found is None:
            raise Uncovered
        return found

    def builder(self, node: ValueNode, type_: Any) -> Builder:
        """What builds the value of a literal with variables in it; raises Uncovered."""
        present = is_non_null_type(type_)
        bare: Any = get_nullable_type(type_)
        if isinstance(node, VariableNode):
            return partial(_variable_value, node.name.value, present)
        if isinstance(node, NullValueNode):
            return lambda _: None
        if is_list_type(bare):
            nodes = node.values if isinstance(node, ListValueNode) else (node,)
            items = [self.builder(item, bare.of_type) for item in nodes]
            return lambda values: [build(values) for build in items]
        if is_input_object_type(bare):
            return self._object(bare).builder(node)
        constant = coerce_input_literal(node, bare)
        if constant is Undefined or isinstance(node, ListValueNode | ObjectValueNode):
            raise Uncovered
        return lambda _: constant

    def arguments(self, field: GraphQLField, node: Any) -> Builder:
        """What builds the arguments of a field, by the names of its resolver's parameters; raises Uncovered."""
        if not field.args:
            return lambda _: {}
        named = {self._config.name_converter.from_argument(a): a for a in field.extensions[DEFINITION].arguments}
        members = self.members(field.args, {name: (a.python_name, a.type) for name, a in named.items()})
        return self.members_builder(members, {argument.name.value: argument.value for argument in node.arguments})

    def members(
        self, members: dict[str, GraphQLArgument] | dict[str, GraphQLInputField], known: dict[str, tuple[str, Any]]
    ) -> _Members:
        """What is known of a field's arguments or an input object's fields; raises Uncovered."""
        required, absent = set(), {}
        for name, member in members.items():
            if name not in known or member.out_name not in (None, name):
                raise Uncovered
            python_name, type_ = known[name]
            while isinstance(type_, StrawberryContainer):
                if isinstance(type_, StrawberryMaybe):
                    raise Uncovered
                type_ = type_.of_type
            if type_ is GlobalID:
                raise Uncovered
            if is_required_argument(member) if isinstance(member, GraphQLArgument) else is_required_input_field(member):
                required.add(python_name)
            elif (default := coerce_default_value(member)) is not Undefined:
                if not isinstance(default, str | int | float | Enum | None):
                    raise Uncovered
                absent[python_name] = default
        python_names = {name: known[name][0] for name in members}
        types = {name: member.type for name, member in members.items()}
        return _Members(python_names, types, frozenset(required), absent)

    def members_builder(self, members: _Members, nodes: dict[str, ValueNode]) -> Builder:
        """What builds the members that are given, and those absent that have a value."""
        parts = []
        for name, node in nodes.items():
            variable = node.name.value if isinstance(node, VariableNode) else None
            parts.append((members.python_names[name], variable, self.builder(node, members.types[name])))
        required, absent = members.required, members.absent

        def build(values: dict[str, Any]) -> dict[str, Any]:
            given = {**absent}
            for python_name, variable, build_part in parts:
                # One that is given a variable without a value counts as left out.
                if variable is None or variable in values:
                    given[python_name] = build_part(values)
            if not required <= given.keys():
                raise Surprise
            return given

        return build


class _InputObject:
    """Reads and builds one of Strawberry's input classes."""

    def __init__(self, inputs: _Inputs, type_: GraphQLInputObjectType) -> None:
        definition = type_.extensions.get(DEFINITION)
        if definition is None or definition.from_input is not None:
            raise Uncovered
        self._inputs = inputs
        self._make = definition.origin
        self._one_of = type_.is_one_of
        fields = {inputs._config.name_converter.from_field(field): field for field in definition.fields}
        known = {name: (f.python_name, f.resolve_type(type_definition=definition)) for name, f in fields.items()}
        self._members = inputs.members(type_.fields, known)
        for field in fields.values():
            # As Strawberry does it: what has no default of its own, and may be left out, is None then.
            has_default = field.default_value is not MISSING or field.default_factory is not MISSING
            if not has_default and field.python_name not in self._members.required:
                self._members.absent.setdefault(field.python_name, None)
        self._readers = {
            name: (python_name, inputs.reader(self._members.types[name]))
            for name, python_name in self._members.python_names.items()
        }

    def read(self, value: Any) -> Any:
        """Read a JSON object."""
        if type(value) is not dict:
            raise Surprise
        given = {**self._members.absent}
        for name, item in value.items():
            python_name, read = self._readers[name]
            given[python_name] = read(item)
        if not self._members.required <= given.keys():
            raise Surprise
        if self._one_of and (len(value) != 1 or None in value.values()):
            raise Surprise
        return self._make(**given)

    def builder(self, node: ValueNode) -> Builder:
        """What builds the value of a literal object; raises Uncovered."""
        if not isinstance(node, ObjectValueNode) or self._one_of:
            raise Uncovered
        build = self._inputs.members_builder(self._members, {field.name.value: field.value for field in node.fields})
        return lambda values: self._make(**build(values))


def _variable_value(name: str, present: bool, values: dict[str, Any]) -> Any:
    value = values[name]
    if value is None and present:
        raise Surprise
    return value


def _read_scalar(scalar: GraphQLScalarType, exact: type | None, value: Any) -> Any:
    if exact is not None:
        if type(value) is not exact:
            raise Surprise
        return value
    if value is None or (read := scalar.coerce_input_value(value)) is Undefined:
        raise Surprise
    return read
