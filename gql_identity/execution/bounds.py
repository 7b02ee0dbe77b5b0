"""What one operation may ask for, decided before it runs.

`check_document` needs no schema, and comes before graphql-core's own validation, some of whose rules take quadratic
time. `Cost` needs a valid document: it is the most values that the answer may hold. Both go through each fragment once,
however often it is spread, and give the numbers of the document with its fragments written out.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
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
    GraphQLSyntaxError,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionNode,
    TypeMetaFieldDef,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    parse,
)

from ..errors import ResourceExhausted
from ..settings import Settings

# Fields, inline fragments and spreads within each other: many more would come near Python's bound on recursion. Only
# introspection and fragments can get there, `max_depth` bounds all else.
MAX_NESTING = 100
MAX_CHARACTERS_PER_TOKEN = 50  # on average: long texts belong into variables, which JSON reads a hundred times faster
SATURATED = 1_000_000_000  # fragments spread twice a level double a number with each: it stops here
INTROSPECTION = frozenset({"__schema", "__type"})
INTROSPECTION_LISTS = frozenset(
    {"types", "directives", "fields", "args", "inputFields", "enumValues", "interfaces", "possibleTypes"}
)

# Which argument tells how long a list may be: a number is a page, a list is as long as it is. It holds for the field
# itself where that is a list or JSON, else for the lists directly below it, as in a connection.
LENGTH_ARGUMENTS = {
    "Query.apiKeys": ("input.query.page.limit",),
    "Query.apiKeyStats": ("input.query.page.limit",),
    "Domain.apiKeyStats": ("query.page.limit",),
    "Query._entities": ("representations",),
    "Mutation.verifyApiKeys": ("input",),
}
CONNECTION_ARGUMENTS = ("first", "last")
USUAL_PAGE = 20  # how long a connection is where none of them tells it
# How long a list is whose length no argument tells; in introspection, the average of our own schema.
USUAL_LENGTHS = {"__Schema.types": 60, "__Type.fields": 2, "__Field.args": 1, "__Type.inputFields": 3}
USUAL_LENGTH = 3

MAX_WORD = 60  # characters of a name or a value that a message repeats
MAX_MESSAGE = 300
# graphql-core writes values as Python does.
_AS_JSON = {"None": "null", "True": "true", "False": "false"}
_PYTHON_WORD = re.compile(r"(?<![\w'\"])(None|True|False)(?![\w'\"])")

_BROKEN = {
    "max_depth": "Fields are nested more than {} deep",
    "max_introspection_depth": "Introspection goes through more than {} lists within each other",
    "max_aliases": "There are more than {} aliases",
    "max_root_fields": "There are more than {} root fields",
    "max_directives": "There are more than {} directives",
    "max_repeated_fields": "One field of the answer is asked for more than {} times",
}

Definition = OperationDefinitionNode | FragmentDefinitionNode


def parse_document(query: str, settings: Settings) -> DocumentNode:
    """The document that a text holds.

    Raises GraphQLError, with code GRAPHQL_PARSE_FAILED, where it is none, or is longer than may be.
    """
    most = settings.max_tokens
    try:
        return parse(
            query, max_lexical_tokens=most, max_comments=most, max_source_length=most * MAX_CHARACTERS_PER_TOKEN
        )
    except GraphQLSyntaxError as error:
        message = tidy(error.message).replace("Parsing aborted.", "").rstrip()
        if "contains more than" in message:
            message += " The limit is `max_tokens`."
        code = {"code": "GRAPHQL_PARSE_FAILED"}
        raise GraphQLError(message, source=error.source, positions=error.positions, extensions=code) from None


def check_document(document: DocumentNode, settings: Settings) -> list[GraphQLError]:
    """An error for each bound that a document breaks, valid or not, in time linear in its size.

    What is below `__schema` and `__type` has a bound of its own in place of the depth, as the query that every client
    reads a schema with is deeper than any other.
    """
    errors: dict[str, GraphQLError] = {}
    measures: dict[str, _Measure] = {}
    outlines = [_outline(node) for node in document.definitions if isinstance(node, Definition)]
    for outline in _innermost_first(outlines, outlines):
        node = outline.definition
        measure = _measure(outline, measures)
        numbers = {
            "max_depth": 0 if outline.introspects else measure.depth,
            "max_introspection_depth": measure.lists if outline.introspects else measure.introspection,
            "max_aliases": measure.aliases,
            "max_root_fields": measure.fields if isinstance(node, OperationDefinitionNode) else 0,
            "max_directives": measure.directives,
            "max_repeated_fields": measure.repeats,
        }
        if isinstance(node, FragmentDefinitionNode):
            measures[node.name.value] = measure
        for name, number in numbers.items():
            if number > (bound := getattr(settings, name)) and name not in errors:
                errors[name] = _broken(f"{_BROKEN[name].format(bound)}, fragments included: the limit `{name}`.", node)
        if measure.nesting > MAX_NESTING and "nesting" not in errors:
            errors["nesting"] = _broken(f"Selections are nested more than {MAX_NESTING} deep.", node)
    return list(errors.values())


class Cost:
    """The most values that the answer to an operation may hold: made once for an operation, asked for each request.

    Each field counts one, and as often as the lists that it is in may be long. Fields that answer as one count apart,
    and a field that a directive leaves out counts too.
    """

    def __init__(
        self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, settings: Settings
    ) -> None:
        self._max_page = settings.max_page_size
        self._max_cost = settings.max_cost
        self._lengths: list[tuple[int, _Told]] = []  # how long where nothing tells it, and what tells it
        self._known: dict[tuple[int, ...], int] = {}
        declared = operation.variable_definitions or ()
        self._defaults = {node.variable.name.value: node.default_value for node in declared if node.default_value}
        outline = _outline(operation)
        fragments = [_outline(node) for node in document.definitions if isinstance(node, FragmentDefinitionNode)]
        self._steps = [
            (part.name, self._compile(schema, part)) for part in _innermost_first([outline], [outline, *fragments])
        ]

    def of(self, variables: dict[str, Any]) -> int:
        """The cost with these variables, as they were sent.

        Raises GraphQLError, with code RESOURCE_EXHAUSTED, where it is over the bound.
        """
        if self._defaults:
            variables = self._defaults | variables
        lengths = tuple([self._length(*length, variables) for length in self._lengths])
        if (cost := self._known.get(lengths)) is None:
            if len(self._known) >= 32:
                self._known.clear()
            cost = self._known[lengths] = self._add_up(lengths)
        if cost > self._max_cost:
            raise GraphQLError(
                f"The answer could hold {cost} values, and {self._max_cost} is the most: the limit `max_cost`. "
                "Ask for smaller pages (`page.limit`, `first`) or fewer fields.",
                extensions={"code": ResourceExhausted.code, "cost": cost, "maxCost": self._max_cost},
            )
        return cost

    def _compile(self, schema: GraphQLSchema, outline: "_Outline") -> list["_Step"]:
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
        told = LENGTH_ARGUMENTS.get(coordinate) or [name for name in CONNECTION_ARGUMENTS if name in field.args]
        is_list = is_list_type(get_nullable_type(field.type))
        if not told:
            if is_list and coordinate not in USUAL_LENGTHS:
                return _Step(parent, "list of the field above")
            return _Step(parent, "field", times=USUAL_LENGTHS[coordinate] if is_list else 1)
        arguments = {argument.name.value: argument.value for argument in node.arguments or ()}
        paths = [path.split(".") for path in told]
        usual = self._max_page if coordinate in LENGTH_ARGUMENTS else USUAL_PAGE
        self._lengths.append((usual, [(arguments.get(path[0]), path[1:]) for path in paths]))
        length = -len(self._lengths)
        if is_list or is_leaf_type(get_named_type(field.type)):
            return _Step(parent, "field", times=length)
        return _Step(parent, "field", below=length)

    def _length(self, usual: int, told: "_Told", variables: Mapping[str, Any]) -> int:
        found = [_number(_at(value, path, variables), self._max_page) for value, path in told]
        return max([number for number in found if number is not None], default=usual)

    def _add_up(self, lengths: tuple[int, ...]) -> int:
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
                    alone, each = times * (1 + alone + each * below), 0
                    if step.kind == "list of the field above":
                        alone, each = 0, alone
                sums_alone[into] += alone
                sums_each[into] += each
            alone, each = min(sums_alone[-1], SATURATED), min(sums_each[-1], SATURATED)
            known[name] = alone, each
        return min(alone + each * USUAL_LENGTH, SATURATED)


def tidy(message: str) -> str:
    """graphql-core's words as a client may see them: no suggestion, nothing of Python, what they repeat cut short."""
    message = re.sub(rf"(\S{{{MAX_WORD}}})\S+?(['\"]?[.,:;?]?)(?=\s|$)", r"\1…\2", message)[: 4 * MAX_MESSAGE]
    message = re.sub(r" Did you mean .*?(\?|$)", "", message, flags=re.DOTALL)
    message = re.sub(r", but encountered error '.*?('(?=[;.]|$)|$)", "", message, flags=re.DOTALL)
    message = _PYTHON_WORD.sub(lambda word: _AS_JSON[word[0]], message)
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"


class _Outline(NamedTuple):
    """A definition's selections in one list, each with the place of the one that it stands in, which comes before."""

    definition: Definition
    selections: list[tuple[SelectionNode, int | None]]

    @property
    def name(self) -> str:
        return self.definition.name.value if isinstance(self.definition, FragmentDefinitionNode) else ""

    @property
    def introspects(self) -> bool:
        """Whether it is a fragment for what is below `__schema` or `__type`."""
        node = self.definition
        return isinstance(node, FragmentDefinitionNode) and node.type_condition.name.value.startswith("__")


def _outline(definition: Definition) -> _Outline:
    selections: list[tuple[SelectionNode, int | None]] = []
    waiting: list[tuple[Any, int | None]] = [(definition, None)]
    while waiting:
        node, place = waiting.pop()
        for selection in node.selection_set.selections:
            if getattr(selection, "selection_set", None) is not None:
                waiting.append((selection, len(selections)))
            selections.append((selection, place))
    return _Outline(definition, selections)


def _innermost_first(wanted: Iterable[_Outline], among: Iterable[_Outline]) -> list[_Outline]:
    """What is wanted and what it spreads, each after what it spreads itself; a cycle is cut anywhere."""
    fragments = {outline.name: outline for outline in among if outline.name}
    ordered: list[_Outline] = []
    seen: set[int] = set()
    waiting = [(outline, False) for outline in wanted]
    while waiting:
        outline, entered = waiting.pop()
        if entered:
            ordered.append(outline)
        elif id(outline) not in seen:
            seen.add(id(outline))
            waiting.append((outline, True))
            spreads = (node.name.value for node, _ in outline.selections if isinstance(node, FragmentSpreadNode))
            waiting.extend((fragments[name], False) for name in spreads if name in fragments)
    return ordered


class _Measure:
    """The numbers of a selection: those of a field, of a fragment or of an operation."""

    def __init__(self) -> None:
        self.depth = self.nesting = self.aliases = self.directives = self.fields = 0
        # Introspection's lists within each other: `lists` if this is below `__schema`, `introspection` if it is not.
        self.lists = self.introspection = 0
        self.repeats = 0  # how many fields are merged into one of the answer, at worst

    def add(self, other: "_Measure") -> None:
        self.depth = max(self.depth, other.depth)
        self.nesting = max(self.nesting, other.nesting + 1)
        self.lists = max(self.lists, other.lists)
        self.introspection = max(self.introspection, other.introspection)
        self.aliases = min(self.aliases + other.aliases, SATURATED)
        self.directives = min(self.directives + other.directives, SATURATED)
        self.fields = min(self.fields + other.fields, SATURATED)
        self.repeats = min(self.repeats + other.repeats, SATURATED)


def _measure(outline: _Outline, measures: Mapping[str, _Measure]) -> _Measure:
    selections = outline.selections
    inner = [_Measure() for _ in selections]
    whole = _Measure()
    # Inline fragments don't count for names: these are merged within the field that they are in, however deep.
    fields: list[int | None] = []
    for place, (node, parent) in enumerate(selections):
        field = None if parent is None else fields[parent]
        fields.append(place if isinstance(node, FieldNode) else field)
    names: defaultdict[int | None, Counter[str]] = defaultdict(Counter)
    for place in range(len(selections) - 1, -1, -1):
        node, parent = selections[place]
        measure = inner[place]
        into = whole if parent is None else inner[parent]
        if isinstance(node, FieldNode):
            name = node.name.value
            repeats = measure.repeats + max(names.pop(place, {}).values(), default=0)
            names[None if parent is None else fields[parent]][(node.alias or node.name).value] += max(repeats, 1)
            if name in INTROSPECTION:
                measure.introspection = max(measure.introspection, measure.lists)
                measure.depth = measure.lists = 0
            measure.depth += 1
            measure.lists += name in INTROSPECTION_LISTS
            measure.aliases += node.alias is not None
            measure.fields, measure.repeats = 1, 0
        elif isinstance(node, FragmentSpreadNode):
            measure.add(measures.get(node.name.value) or _Measure())
            measure.repeats = max(measure.repeats, 1)  # the empty ones take time to validate too
        into.add(measure)
        into.directives += len(node.directives or ())
    # What is most repeated in each fragment could be the same, as `__typename` and `id` are, and so all are added up.
    # To compare names instead would go through a fragment again at each of its spreads.
    whole.repeats += max(names[None].values(), default=0)
    definition = outline.definition
    whole.directives += len(definition.directives or ())
    whole.directives += sum(len(node.directives or ()) for node in definition.variable_definitions or ())
    return whole


def _broken(message: str, node: Definition) -> GraphQLError:
    return GraphQLError(message, node, extensions={"code": "GRAPHQL_VALIDATION_FAILED"})


class _Step(NamedTuple):
    """One selection in the sum of a cost; a number below 0 is a place among the lengths that variables tell."""

    parent: int | None
    kind: str  # "field", "list of the field above", "inline" or "spread"
    times: int = 1  # how often it comes
    below: int = USUAL_LENGTH  # how long the lists directly below it are
    spread: str = ""


_Told = list[tuple[ValueNode | None, list[str]]]  # arguments, and where in each a length may stand


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
