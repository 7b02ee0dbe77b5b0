"""The cost of an operation: how much work it may be at most, known before it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    TypeMetaFieldDef,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    print_ast,
)
from graphql.utilities import value_from_ast_untyped

from ..errors import ResourceExhausted
from ..metrics import LIMITS
from .outline import SATURATED, Outline, innermost_first, outline_of

# Measured: a step, and a length with its share of the costs that are known.
STEP_BYTES = 130
LENGTH_BYTES = 1_200
TYPICAL_LENGTH = 3  # of a list whose length neither an argument nor `CostRules.typical` gives


@dataclass(frozen=True)
class CostRules:
    """What is known of the fields of a schema."""

    max_page: int  # no list is longer
    # By a field's coordinate, the arguments that give its length: a number is a page, a list is as long as it is. It
    # holds for the field itself where that is a list, else for the lists directly below it.
    arguments: Mapping[str, tuple[str, ...]]
    connection_arguments: tuple[str, ...]  # as `arguments`, for each other field that has one of them
    connection_default: int  # the length where none of those is given
    typical: Mapping[str, int]  # by coordinate, the lengths of lists that no argument changes
    weights: Mapping[str, int]  # by coordinate, what the resolver of a field adds
    # By coordinate of a field of JSON, how many values it holds at most, from its arguments, which nobody checked.
    values: Mapping[str, Callable[[dict[str, Any]], int]]
    # Those of them that depend on the time of the request, too: they are asked each time.
    timed: frozenset[str] = frozenset()
    # By coordinate, about how many KB a value may have, or an item of a list of values; 1 where it is not given.
    kilobytes: Mapping[str, int] = field(default_factory=dict)
    advice: str = "Ask for fewer fields, or for shorter lists."  # of the error about an operation that costs too much


class Cost:
    """The cost of an operation: made once for an operation, asked for each request.

    Each value of the answer counts 1, as often as the lists that it is in may be long, and a resolver adds its weight
    each time. Fields that answer as one count apart, and a field that a directive leaves out counts too.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        rules: CostRules,
        max_cost: int,
    ) -> None:
        self._rules = rules
        self._max_cost = max_cost
        self._lengths: list[Callable[[Mapping[str, Any]], int]] = []  # those that variables may change
        self._known: dict[tuple[int, ...], tuple[int, int]] = {}
        declared = operation.variable_definitions or ()
        self._defaults = {node.variable.name.value: node.default_value for node in declared if node.default_value}
        outline = outline_of(operation)
        fragments = [outline_of(node) for node in document.definitions if isinstance(node, FragmentDefinitionNode)]
        self._steps = [
            (part.name, self._compile(schema, part)) for part in innermost_first([outline], [outline, *fragments])
        ]
        # About how many bytes it takes: the steps of a fragment are made for each operation that spreads it.
        self.size = STEP_BYTES * sum(len(steps) for _, steps in self._steps) + LENGTH_BYTES * len(self._lengths)

    def of(self, variables: dict[str, Any]) -> tuple[int, int]:
        """The cost with these variables, as they were sent, and about how many KB the response may have.

        Raises GraphQLError, with code RESOURCE_EXHAUSTED, where it is over the bound.
        """
        if self._defaults:
            variables = self._defaults | variables
        lengths = tuple([length(variables) for length in self._lengths])
        if (known := self._known.get(lengths)) is None:
            if len(self._known) >= 32:
                self._known.clear()
            known = self._known[lengths] = self._add_up(lengths), self._add_up(lengths, in_kilobytes=True)
        cost, _ = known
        if cost > self._max_cost:
            LIMITS.add("max_cost")
            raise GraphQLError(
                f"The operation costs {cost}, more than {self._max_cost}: the limit `max_cost`. {self._rules.advice}",
                extensions={"code": ResourceExhausted.code, "cost": cost, "maxCost": self._max_cost},
            )
        return known

    def _compile(self, schema: GraphQLSchema, outline: Outline) -> list["_Step"]:
        definition = outline.definition
        if isinstance(definition, OperationDefinitionNode):
            root: GraphQLNamedType | None = schema.get_root_type(definition.operation)
        else:
            root = schema.get_type(definition.type_condition.name.value)
        steps: list[_Step] = []
        types: list[GraphQLNamedType | None] = []
        for node, parent in outline.selections:
            above = root if parent is None else types[parent]
            type_ = above
            if isinstance(node, FieldNode):
                field = _field(above, node.name.value)
                type_ = None if field is None else get_named_type(field.type)
                steps.append(self._step(node, parent, f"{above.name if above else ''}.{node.name.value}", field))
            elif isinstance(node, FragmentSpreadNode):
                steps.append(_Step(parent, "spread", spread=node.name.value))
            elif isinstance(node, InlineFragmentNode):
                type_ = schema.get_type(node.type_condition.name.value) if node.type_condition else above
                steps.append(_Step(parent, "inline"))
            types.append(type_)
        return steps

    def _step(self, node: FieldNode, parent: int | None, coordinate: str, field: GraphQLField | None) -> "_Step":
        if field is None:
            return _Step(parent, "field")
        known = self._rules
        weight = known.weights.get(coordinate, 0)
        kilobytes = known.kilobytes.get(coordinate, 1)
        arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
        if (count := known.values.get(coordinate)) is not None:
            return _Step(
                parent,
                "field",
                times=self._changing(_values(count, arguments, is_timed=coordinate in known.timed)),
                weight=weight,
            )
        by_argument = known.arguments.get(coordinate)
        names = by_argument or [name for name in known.connection_arguments if name in field.args]
        is_list = is_list_type(get_nullable_type(field.type))
        if not names:
            if is_list and coordinate not in known.typical:
                return _Step(parent, "list of the field above", kilobytes=kilobytes)
            return _Step(
                parent, "field", times=known.typical[coordinate] if is_list else 1, weight=weight, kilobytes=kilobytes
            )
        default = known.connection_default if by_argument is None else known.max_page
        paths = [path.split(".") for path in names]
        length = self._changing(
            _length(default, known.max_page, [(arguments.get(path[0]), path[1:]) for path in paths])
        )
        if is_list or is_leaf_type(get_named_type(field.type)):
            return _Step(parent, "field", times=length, weight=weight)
        return _Step(parent, "field", below=length, weight=weight)

    def _changing(self, length: Callable[[Mapping[str, Any]], int]) -> int:
        """The number that stands for a length in a step."""
        self._lengths.append(length)
        return -len(self._lengths)

    def _add_up(self, lengths: tuple[int, ...], *, in_kilobytes: bool = False) -> int:
        # A cost is `alone + each * length`: how long the lists of a fragment are is told where it is spread.
        known: dict[str, tuple[int, int]] = {}
        alone = each = 0
        for name, steps in self._steps:
            sums_alone, sums_each = [0] * (len(steps) + 1), [0] * (len(steps) + 1)
            for index in range(len(steps) - 1, -1, -1):
                step = steps[index]
                into = -1 if step.parent is None else step.parent
                alone, each = sums_alone[index], sums_each[index]
                if step.kind == "spread":
                    alone, each = known.get(step.spread, (0, 0))
                elif step.kind != "inline":
                    times = lengths[-step.times - 1] if step.times < 0 else step.times
                    below = lengths[-step.below - 1] if step.below < 0 else step.below
                    weight, value = (0, step.kilobytes) if in_kilobytes else (step.weight, 1)
                    alone, each = weight + times * (value + alone + each * below), 0
                    if step.kind == "list of the field above":
                        alone, each = 0, alone
                sums_alone[into] += alone
                sums_each[into] += each
            alone, each = min(sums_alone[-1], SATURATED), min(sums_each[-1], SATURATED)
            known[name] = alone, each
        return min(alone + each * TYPICAL_LENGTH, SATURATED)


class _Step(NamedTuple):
    """One selection in the sum of a cost; a number below 0 is a place among the lengths that variables tell."""

    parent: int | None
    kind: str  # "field", "list of the field above", "inline" or "spread"
    times: int = 1  # how often it comes
    below: int = TYPICAL_LENGTH  # how long the lists directly below it are
    spread: str = ""
    weight: int = 0  # what its resolver adds
    kilobytes: int = 1  # that a value of it may have


def _length(
    default: int, max_page: int, arguments: list[tuple[ValueNode | None, list[str]]]
) -> Callable[[Mapping[str, Any]], int]:
    """How long the lists of a field are: the longest that an argument gives, each with the path in it."""

    def length(variables: Mapping[str, Any]) -> int:
        found = [_number(_at(value, path, variables), max_page) for value, path in arguments]
        return max([number for number in found if number is not None], default=default)

    return length


def _values(
    count: Callable[[dict[str, Any]], int], arguments: Mapping[str, ValueNode], *, is_timed: bool
) -> Callable[[Mapping[str, Any]], int]:
    """How many values a field of JSON holds."""
    if not any("$" in print_ast(node) for node in arguments.values()):
        literals = {name: _json(node, {}) for name, node in arguments.items()}
        if is_timed:
            return lambda _: count(literals)
        number = count(literals)
        return lambda _: number

    def values(variables: Mapping[str, Any]) -> int:
        plain = {name: _json(value, {}) for name, value in variables.items()}
        return count({name: _json(node, plain) for name, node in arguments.items()})

    return values


def _json(value: Any, variables: dict[str, Any]) -> Any:
    """A literal as JSON; None for one that holds a number too long to be read. JSON stays as it is."""
    if isinstance(value, VariableNode):
        return variables.get(value.name.value)
    if not isinstance(value, ValueNode):
        return value
    try:
        return value_from_ast_untyped(value, variables)
    except ValueError:
        return None


def _at(value: Any, path: list[str], variables: Mapping[str, Any]) -> Any:
    """What stands at a path of a value, which is JSON or a literal that may have variables in it."""
    for name in path:
        if isinstance(value, VariableNode):
            value = variables.get(value.name.value)
        if isinstance(value, ObjectValueNode):
            value = next((field.value for field in value.fields if field.name.value == name), None)
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return variables.get(value.name.value) if isinstance(value, VariableNode) else value


def _number(value: Any, max_page: int) -> int | None:
    """How many values an argument asks for; None where it doesn't say, or asks for all."""
    if isinstance(value, (list, ListValueNode)):
        return len(value if isinstance(value, list) else value.values)
    if isinstance(value, (dict, ObjectValueNode)):
        return 1  # GraphQL reads one value as a list of one
    if isinstance(value, IntValueNode):
        # A longer number is no Int, and can have more digits than Python reads.
        value = int(value.value) if len(value.value) <= 10 else None
    return int(min(value, max_page)) if isinstance(value, (int, float)) and value > 0 else None


def _field(type_: GraphQLNamedType | None, name: str) -> GraphQLField | None:
    if name == "__schema":
        return SchemaMetaFieldDef
    if name == "__type":
        return TypeMetaFieldDef
    return type_.fields.get(name) if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)) else None
