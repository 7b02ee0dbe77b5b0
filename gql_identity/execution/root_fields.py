"""The root fields of a compiled operation: each calls its resolver and completes the value that it returns."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from graphql import GraphQLError, GraphQLField, GraphQLObjectType
from graphql.execution.collect_fields import FieldDetails
from graphql.execution.values import get_argument_values
from graphql.pyutils import Path, gather_with_cancel, is_awaitable
from strawberry.schema.schema import Schema
from strawberry.types import Info
from strawberry.types.field import StrawberryField

from .arguments import ArgumentCompiler, Builder
from .completion import DEFINITION, CompletionCompiler, LeftList, NotCompilable, UnexpectedValue
from .turns import turns_of_this_loop

ITEMS_AT_ONCE = 16  # of a long list, without a look at the clock


class Run:
    """One run of a plan. `build` makes graphql-core's executor when the run first needs it."""

    left = False  # whether graphql-core did a part of it that plans do not cover

    def __init__(self, build: Callable[[Any, dict[str, Any]], Any], context: Any, inputs: dict[str, Any]) -> None:
        self.context = context
        self.values: dict[str, Any] | None = None  # of the variables; None if graphql-core reads them
        self._build = build
        self._inputs = inputs
        self._core: Any = None

    @property
    def core(self) -> Any:
        """graphql-core's executor for this run."""
        if self._core is None:
            self._core = self._build(self.context, self._inputs)
        return self._core

    @core.setter
    def core(self, core: Any) -> None:
        self._core = core

    @property
    def errors(self) -> list[GraphQLError] | None:
        """The errors so far; None without any."""
        return None if self._core is None else (self._core.collected_errors.errors or None)


class CompiledInfo(Info[Any, None]):
    """A resolver's `info`. Its graphql-core part is made only if the resolver reads it."""

    def __init__(self, run: Run, root: "RootField") -> None:
        self._run = run
        self._root = root
        self._field = root.definition
        self.selections = root.selections  # a cache across runs, for what resolvers find in the document

    @property
    def context(self) -> Any:
        """The request's context."""
        return self._run.context

    @property
    def _raw_info(self) -> Any:  # type: ignore[override]
        return self._root.raw_info(self._run)


class RootField:
    """One root field of an operation."""

    def __init__(
        self,
        schema: Schema,
        arguments: ArgumentCompiler,
        parent: GraphQLObjectType,
        name: str,
        details: list[FieldDetails],
        completion: CompletionCompiler,
    ) -> None:
        self.name = name
        self.selections: dict[tuple[str, ...], frozenset[str]] = {}
        self._parent = parent
        self._details = details
        self._nodes = [detail.node for detail in details]
        self._path = Path(None, name, parent.name)
        field = schema._schema.get_field(parent, self._nodes[0].name.value)
        if field is None:
            raise NotCompilable
        self._field: GraphQLField = field
        self.definition: Any = field.extensions.get(DEFINITION)
        self._info_name: str | None = None
        self._call: Callable[..., Any] | None = None
        try:
            self._arguments: Builder = arguments.builder_of_all(field, self._nodes[0])
            self._call = self._resolver(schema)
        except NotCompilable:
            pass
        self._left = completion.left
        try:
            self._generated = completion.function(field.type, details)
        except NotCompilable:
            self._generated = _unexpected

    def start(self, run: Run) -> Any:
        """Run the field; returns its completed value or an awaitable of it."""
        try:
            resolved = self._resolve(run)
            if is_awaitable(resolved):
                return self._finish(run, resolved)
            try:
                value = self._generated(resolved)
            except Exception:
                completed = self._complete(run, resolved)
                return self._finish(run, completed, completed=True) if is_awaitable(completed) else completed
            if self._left:
                return self._finish(run, self._complete_left(run, resolved, value, self._take_left()), completed=True)
            return value
        except Exception as error:
            return run.core.handle_field_error(error, self._field.type, self._details, self._path)

    def of_event(self, event: Any) -> Any:
        """The completed value of a subscription's event. Raises any error where graphql-core must complete it."""
        if self.definition is None or self.definition.extensions:
            raise UnexpectedValue  # the event may not be the field's value
        try:
            value = self._generated(event)
        finally:
            left = self._take_left()
        if left:
            raise UnexpectedValue
        return value

    async def _finish(self, run: Run, pending: Any, *, completed: bool = False) -> Any:
        try:
            value = await pending
            if completed:
                return value
            try:
                made = self._generated(value)
            except Exception:
                made = self._complete(run, value)
                return await made if is_awaitable(made) else made
            return await self._complete_left(run, value, made, self._take_left()) if self._left else made
        except Exception as error:
            return run.core.handle_field_error(error, self._field.type, self._details, self._path)

    def _take_left(self) -> list[LeftList]:
        left = self._left[:]
        self._left.clear()
        return left

    async def _complete_left(self, run: Run, resolved: Any, value: Any, left: list[LeftList]) -> Any:
        """Complete the long lists of a value in slices of several turns of the event loop; returns the value."""
        turns = turns_of_this_loop()
        try:
            while left:
                function, items, completed = left.pop()
                for start in range(0, len(items), ITEMS_AT_ONCE):
                    if turns.is_over():
                        await turns.wait(run)
                    completed.extend(map(function, items[start : start + ITEMS_AT_ONCE]))
                    left += self._take_left()  # the long lists within these
            return value
        except Exception:
            value = self._complete(run, resolved)
        return await value if is_awaitable(value) else value

    def _complete(self, run: Run, resolved: Any) -> Any:
        """Let graphql-core complete a value that the generated function does not cover, or report its error."""
        run.left = True
        self._left.clear()
        return run.core.complete_value(self._field.type, self._details, self.raw_info(run), self._path, resolved, None)

    def _resolve(self, run: Run) -> Any:
        if self._call is not None and run.values is not None:
            try:
                arguments = self._arguments(run.values)
            except Exception:
                arguments = None  # graphql-core reports the error
            if arguments is not None:
                if self._info_name is not None:
                    arguments[self._info_name] = CompiledInfo(run, self)
                return self._call(**arguments)
        run.left = True
        resolve = self._field.resolve or run.core.field_resolver
        values = get_argument_values(self._field, self._nodes[0], run.core.variable_values, None, True)
        return resolve(None, self.raw_info(run), **values)

    def raw_info(self, run: Run) -> Any:
        """graphql-core's `GraphQLResolveInfo`."""
        return run.core.build_resolve_info(self._field, self._nodes, self._parent, self._path)

    def _resolver(self, schema: Schema) -> Callable[..., Any]:
        """The function that Strawberry would call. Raises NotCompilable if it would do more than call it."""
        if self._nodes[0].name.value == "__typename":
            return lambda: self._parent.name
        field = self.definition
        resolver = field and field.base_resolver
        if (
            resolver is None
            or not hasattr(self._field.resolve, "_is_default")  # not Strawberry's: somebody replaced it
            or field.extensions
            or schema.schema_converter.exception_handlers
            or type(field).get_result is not StrawberryField.get_result
            or resolver.parent_parameter
            or resolver.root_parameter
        ):
            raise NotCompilable
        self._info_name = resolver.info_parameter and resolver.info_parameter.name
        return partial(resolver, None) if resolver.self_parameter else resolver


def _unexpected(_: Any) -> Any:
    raise UnexpectedValue


async def run_serially(run: Run, roots: Iterable[RootField]) -> dict[str, Any]:
    """Run the root fields of a mutation one after the other; returns the values by response name."""
    data = {}
    for root in roots:
        value = root.start(run)
        data[root.name] = await value if is_awaitable(value) else value
    return data


async def run_concurrently(run: Run, roots: Iterable[RootField]) -> dict[str, Any]:
    """Run the root fields of a query concurrently; returns the values by response name.

    As in graphql-core they start in their order, and an error that fails the whole operation cancels the others.
    """
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
