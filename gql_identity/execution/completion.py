"""Generates functions that complete the values of resolvers: objects, lists and leaves become JSON-ready values.

The functions cover the values that resolvers usually return. They raise for all others, which graphql-core then
completes.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from enum import Enum
from math import isfinite
from typing import Any

from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    is_abstract_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetails
from strawberry.types.field import StrawberryField

MAX_FIELDS = 500  # below the root fields of an operation; a root field that exceeds it is completed by graphql-core

DEFINITION = "strawberry-definition"  # key in the extensions of a GraphQL type or field: Strawberry's definition of it
EXACT = {GraphQLString: str, GraphQLID: str, GraphQLBoolean: bool}  # a value of exactly this class is JSON already
LONG_LIST = 200  # items; a longer list is completed in slices of several turns of the event loop
_INT = range(-(2**31), 2**31)
_PLAIN = frozenset({str, int, float, bool, dict, list, datetime})  # never awaitable, never an exception

# The function for each item, the items, and where their values go in order.
LeftList = tuple[Callable[[Any], Any], list[Any], list[Any]]
Collect = Callable[[GraphQLObjectType, list[FieldDetails]], dict[str, list[FieldDetails]]]


class NotCompilable(Exception):
    """Raised during compilation: plans do not cover this part of an operation."""


class UnexpectedValue(Exception):
    """Raised during a run: the plan does not cover this value."""


class CompletionCompiler:
    """Generates the functions that complete the values of an operation's fields.

    One function is generated for each selection set, as shown below. Any other exception means the same as
    UnexpectedValue:

        def complete_1(value):
            if type(value) is not class_1: raise UnexpectedValue
            field_0 = value.api_key_id
            if type(field_0) is not str: raise UnexpectedValue
            field_1 = value.last_accessed_at
            if field_1 is not None:
                field_1 = scalar_2(field_1)
            return {"apiKeyId": field_0, "lastAccessedAt": field_1}
    """

    def __init__(self, schema: GraphQLSchema, collect: Collect) -> None:
        self._schema = schema
        self._collect = collect
        self.fields = 0  # that were compiled so far, or tried
        # The long lists that the last call of a function has left: whoever called it completes them.
        self.left: list[LeftList] = []
        self._lines: list[str] = []
        self._names: dict[str, Any] = {
            "UnexpectedValue": UnexpectedValue,
            "INT": _INT,
            "PLAIN": _PLAIN,
            "isfinite": isfinite,
            "complete_list": self._complete_list,
        }

    def function(self, type_: Any, details: list[FieldDetails]) -> Callable[[Any], Any]:
        """Generate the function that completes a value of a type. Raises NotCompilable."""
        self._lines = []
        name = self._function(type_, details)
        # The source has only names from the schema and the response names of fields, which repr escapes.
        exec(compile("\n".join(self._lines), "<plan>", "exec"), self._names)  # noqa: S102
        function: Callable[[Any], Any] = self._names[name]
        return function

    def _complete_list(self, function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        if len(items) <= LONG_LIST:
            return [function(item) for item in items]
        completed: list[Any] = []
        self.left.append((function, items, completed))
        return completed

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
        """Statements that complete the value of a variable or raise."""
        if not is_non_null_type(type_):
            return [f"if {v} is not None:", *_indented(self._steps_of_present(v, type_, details))]
        return self._steps_of_present(v, type_.of_type, details)

    def _steps_of_present(self, v: str, type_: Any, details: list[FieldDetails]) -> list[str]:
        if is_list_type(type_):
            item = self._function(type_.of_type, details)
            return [f"if type({v}) is not list: raise UnexpectedValue", f"{v} = complete_list({item}, {v})"]
        if is_object_type(type_):
            return [f"{v} = {self._object(type_, details)}({v})"]
        if is_abstract_type(type_):
            return [f"{v} = {self._by_class(type_, details)}[type({v})]({v})"]
        if type_ in EXACT:
            return [f"if type({v}) is not {EXACT[type_].__name__}: raise UnexpectedValue"]
        if type_ is GraphQLInt:
            return [f"if type({v}) is not int or {v} not in INT: raise UnexpectedValue"]
        if type_ is GraphQLFloat:
            return [f"if type({v}) is not float or not isfinite({v}): raise UnexpectedValue"]
        if isinstance(type_, GraphQLEnumType):
            enum: type[Enum] | None = getattr(type_, "wrapped_cls", None)
            if enum is None:
                raise NotCompilable
            names = {member._name_: type_.coerce_output_value(member) for member in enum}
            return [
                f"if type({v}) is not {self._name('enum', enum)}: raise UnexpectedValue",
                f"{v} = {self._name('names', names)}[{v}._name_]",  # hashing an enum member is slow
            ]
        return [
            f"if type({v}) not in PLAIN: raise UnexpectedValue",
            f"{v} = {self._name('scalar', type_.coerce_output_value)}({v})",
            f"if type({v}) not in PLAIN: raise UnexpectedValue",
        ]

    def _object(self, type_: GraphQLObjectType, details: list[FieldDetails]) -> str:
        definition = type_.extensions.get(DEFINITION)
        if definition is None or definition.is_type_of:
            raise NotCompilable
        lines, entries = [], []
        for name, below in self._collect(type_, details).items():
            self.fields += 1
            if self.fields > MAX_FIELDS:
                raise NotCompilable
            field_name = below[0].node.name.value
            if field_name == "__typename":
                entries.append(f"{name!r}: {type_.name!r}")
                continue
            field = type_.fields[field_name]
            v = f"field_{len(entries)}"
            lines += [f"{v} = value.{_attribute(field)}", *self._steps(v, field.type, below)]
            entries.append(f"{name!r}: {v}")
        class_ = self._name("class", (definition.concrete_of or definition).origin)
        check = f"if type(value) is not {class_}: raise UnexpectedValue"
        return self._define(["def {}(value):", *_indented([check, *lines, f"return {{{', '.join(entries)}}}"])])

    def _by_class(self, type_: Any, details: list[FieldDetails]) -> str:
        """The name of a dictionary from the classes of a union or an interface to functions; classes may be missing."""
        entries = []
        for possible in self._schema.get_possible_types(type_):
            definition = possible.extensions.get(DEFINITION)
            if definition is None or definition.name != possible.name or definition.concrete_of:
                continue
            with suppress(NotCompilable):
                function = self._object(possible, details)
                entries.append(f"{self._name('class', definition.origin)}: {function}")
        return self._define(["{} = {{" + ", ".join(entries) + "}}"])


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _attribute(field: GraphQLField) -> str:
    """The attribute that a field without a resolver returns. Raises NotCompilable for other fields."""
    definition = field.extensions.get(DEFINITION)
    if (
        definition is None
        or not definition.is_basic_field
        or not getattr(field.resolve, "_is_default", False)  # not Strawberry's: somebody replaced it
        or definition.default_resolver is not getattr
        or type(definition).get_result is not StrawberryField.get_result
    ):
        raise NotCompilable
    return str(definition.python_name)
