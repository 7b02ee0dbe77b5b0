"""Compiles functions that turn the values of a request into resolver arguments, as graphql-core and Strawberry would.

The functions cover valid values. They raise for all others, which graphql-core and Strawberry then handle.
"""

from collections.abc import Callable
from dataclasses import MISSING
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from graphql import (
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLScalarType,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_nullable_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
)
from graphql.type import is_required_argument, is_required_input_field
from graphql.utilities.coerce_input_value import coerce_default_value, coerce_input_literal
from strawberry.relay import GlobalID
from strawberry.schema.schema import Schema
from strawberry.types.base import StrawberryContainer, StrawberryMaybe

from .completion import DEFINITION, EXACT, NotCompilable, UnexpectedValue

Reader = Callable[[Any], Any]  # of a JSON value
Builder = Callable[[dict[str, Any]], Any]  # of a literal, from the values of the variables


class _Members(NamedTuple):
    """The fields of an input object, or the arguments of a field, by their GraphQL names."""

    python_names: dict[str, str]
    types: dict[str, Any]
    required: frozenset[str]  # Python names
    absent: dict[str, Any]  # by Python name: the values of fields that are left out


class ArgumentCompiler:
    """Compiles readers and builders for the arguments and input types of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._config = schema.config
        self._objects: dict[str, _InputObject | None] = {}

    def reader(self, type_: Any) -> Reader:
        """Compile a reader of JSON values of a type. Raises NotCompilable."""
        if is_non_null_type(type_):
            return self._reader_of_present(type_.of_type)
        read = self._reader_of_present(type_)
        return lambda value: None if value is None else read(value)

    def _reader_of_present(self, type_: Any) -> Reader:
        if is_list_type(type_):
            read_item = self.reader(type_.of_type)

            def read_list(value: Any) -> Any:
                if type(value) is not list:
                    raise UnexpectedValue
                return [read_item(item) for item in value]

            return read_list
        if is_input_object_type(type_):
            return self._object(type_).read
        if is_enum_type(type_):
            return {name: type_.coerce_input_value(name) for name in type_.values}.__getitem__
        return partial(_read_scalar, type_, EXACT.get(type_))

    def _object(self, type_: GraphQLInputObjectType) -> "_InputObject":
        if type_.name not in self._objects:
            self._objects[type_.name] = None  # a recursive type finds this and is NotCompilable
            self._objects[type_.name] = _InputObject(self, type_)
        found = self._objects[type_.name]
        if found is None:
            raise NotCompilable
        return found

    def builder(self, node: ValueNode, type_: Any) -> Builder:
        """Compile a builder of a literal, which may contain variables. Raises NotCompilable."""
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
            raise NotCompilable
        return lambda _: constant

    def builder_of_all(self, field: GraphQLField, node: FieldNode) -> Builder:
        """Compile a builder of a field's arguments, by the names of its resolver's parameters. Raises NotCompilable."""
        if not field.args:
            return lambda _: {}
        if DEFINITION not in field.extensions:
            raise NotCompilable
        named = {self._config.name_converter.from_argument(a): a for a in field.extensions[DEFINITION].arguments}
        members = self.members(field.args, {name: (a.python_name, a.type) for name, a in named.items()})
        return self.members_builder(members, {argument.name.value: argument.value for argument in node.arguments or ()})

    def members(
        self, members: dict[str, GraphQLArgument] | dict[str, GraphQLInputField], known: dict[str, tuple[str, Any]]
    ) -> _Members:
        """The members: a field's arguments or an input object's fields. Raises NotCompilable."""
        required, absent = set(), {}
        for name, member in members.items():
            if name not in known or member.out_name not in (None, name):
                raise NotCompilable
            python_name, type_ = known[name]
            while isinstance(type_, StrawberryContainer):
                if isinstance(type_, StrawberryMaybe):
                    raise NotCompilable
                type_ = type_.of_type
            if type_ is GlobalID:
                raise NotCompilable
            if is_required_argument(member) if isinstance(member, GraphQLArgument) else is_required_input_field(member):
                required.add(python_name)
            elif (default := coerce_default_value(member)) is not Undefined:
                if not isinstance(default, str | int | float | Enum | None):
                    raise NotCompilable
                absent[python_name] = default
        python_names = {name: known[name][0] for name in members}
        types = {name: member.type for name, member in members.items()}
        return _Members(python_names, types, frozenset(required), absent)

    def members_builder(self, members: _Members, nodes: dict[str, ValueNode]) -> Builder:
        """Compile a builder of the given members; absent members get their default values."""
        parts = []
        for name, node in nodes.items():
            variable = node.name.value if isinstance(node, VariableNode) else None
            parts.append((members.python_names[name], variable, self.builder(node, members.types[name])))
        required, absent = members.required, members.absent

        def build(values: dict[str, Any]) -> dict[str, Any]:
            given = {**absent}
            for python_name, variable, build_part in parts:
                # A member whose variable has no value counts as absent.
                if variable is None or variable in values:
                    given[python_name] = build_part(values)
            if not required <= given.keys():
                raise UnexpectedValue
            return given

        return build


class _InputObject:
    """Reads and builds one of Strawberry's input classes."""

    def __init__(self, arguments: ArgumentCompiler, type_: GraphQLInputObjectType) -> None:
        definition = type_.extensions.get(DEFINITION)
        if definition is None or definition.from_input is not None:
            raise NotCompilable
        self._arguments = arguments
        self._make = definition.origin
        self._one_of = definition.is_one_of
        fields = {arguments._config.name_converter.from_field(field): field for field in definition.fields}
        known = {name: (f.python_name, f.resolve_type(type_definition=definition)) for name, f in fields.items()}
        self._members = arguments.members(type_.fields, known)
        for field in fields.values():
            # As in Strawberry, an absent field without a default is None.
            has_default = field.default_value is not MISSING or field.default_factory is not MISSING
            if not has_default and field.python_name not in self._members.required:
                self._members.absent.setdefault(field.python_name, None)
        if self._one_of and self._members.absent:
            raise NotCompilable
        self._readers = {
            name: (python_name, arguments.reader(self._members.types[name]))
            for name, python_name in self._members.python_names.items()
        }

    def read(self, value: Any) -> Any:
        """Read a JSON object."""
        if type(value) is not dict:
            raise UnexpectedValue
        given = {**self._members.absent}
        for name, item in value.items():
            python_name, read = self._readers[name]
            given[python_name] = read(item)
        if not self._members.required <= given.keys():
            raise UnexpectedValue
        return self._made(given)

    def builder(self, node: ValueNode) -> Builder:
        """Compile a builder of a literal object. Raises NotCompilable."""
        if not isinstance(node, ObjectValueNode) or (self._one_of and len(node.fields) != 1):
            raise NotCompilable
        build = self._arguments.members_builder(self._members, {field.name.value: field.value for field in node.fields})
        return lambda values: self._made(build(values))

    def _made(self, given: dict[str, Any]) -> Any:
        if self._one_of and (len(given) != 1 or None in given.values()):
            raise UnexpectedValue
        return self._make(**given)


def _variable_value(name: str, present: bool, values: dict[str, Any]) -> Any:
    value = values[name]
    if value is None and present:
        raise UnexpectedValue
    return value


def _read_scalar(scalar: GraphQLScalarType, exact: type | None, value: Any) -> Any:
    if exact is not None:
        if type(value) is not exact:
            raise UnexpectedValue
        return value
    if value is None or (read := scalar.coerce_input_value(value)) is Undefined:
        raise UnexpectedValue
    return read
