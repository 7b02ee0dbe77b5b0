"""The bounds of a document, checked before it runs.

`check_document` needs no schema, and comes before graphql-core's own validation, some of whose rules take quadratic
time. It visits each fragment once, however often it is spread, and gives the numbers of the document with its fragments
written out.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    parse,
)

from ..metrics import LIMITS
from .error_text import tidy
from .outline import SATURATED, Definition, Outline, innermost_first, outline_of

# Fields, inline fragments and spreads within each other: many more would come near Python's bound on recursion. Only
# introspection and fragments can get there, `max_depth` bounds all else.
MAX_NESTING = 100
MAX_CHARACTERS_PER_TOKEN = 50  # on average: long texts belong into variables, which JSON reads a hundred times faster
INTROSPECTION = frozenset({"__schema", "__type"})
INTROSPECTION_LISTS = frozenset(
    {"types", "directives", "fields", "args", "inputFields", "enumValues", "interfaces", "possibleTypes"}
)


@dataclass(frozen=True)
class Bounds:
    """The bounds of documents and answers; each has the name of its setting."""

    max_tokens: int
    max_depth: int
    max_introspection_depth: int
    max_aliases: int
    max_root_fields: int
    max_directives: int
    max_repeated_fields: int
    max_cost: int
    max_values: int


_BROKEN = {
    "max_depth": "Fields are nested more than {} deep",
    "max_introspection_depth": "Introspection nests more than {} lists",
    "max_aliases": "There are more than {} aliases",
    "max_root_fields": "There are more than {} root fields",
    "max_directives": "There are more than {} directives",
    "max_repeated_fields": "One field of the response is selected more than {} times",
}


def parse_document(query: str, bounds: Bounds) -> DocumentNode:
    """The document that a text holds.

    Raises GraphQLError, with code GRAPHQL_PARSE_FAILED, where it is none, or is longer than may be.
    """
    most = bounds.max_tokens
    longest = most * MAX_CHARACTERS_PER_TOKEN
    if len(query) > longest:
        LIMITS.add("max_tokens")
        raise GraphQLError(
            f"The document has {len(query)} characters, and at most {longest} are allowed: {MAX_CHARACTERS_PER_TOKEN} "
            f"for each of the {most} tokens of the limit `max_tokens`. Send long texts as variables.",
            extensions={"code": "GRAPHQL_PARSE_FAILED"},
        )
    try:
        return parse(query, max_lexical_tokens=most, max_comments=most)
    except GraphQLSyntaxError as error:
        message = tidy(error.message).replace("Parsing aborted.", "").rstrip()
        if "contains more than" in message:
            LIMITS.add("max_tokens")
            message += " The limit is `max_tokens`."
        code = {"code": "GRAPHQL_PARSE_FAILED"}
        raise GraphQLError(message, source=error.source, positions=error.positions, extensions=code) from None


def check_document(document: DocumentNode, bounds: Bounds) -> list[GraphQLError]:
    """An error for each bound that a document breaks, valid or not, in time linear in its size.

    What is below `__schema` and `__type` has a bound of its own in place of the depth, as the query that every client
    reads a schema with is deeper than any other.
    """
    errors: dict[str, GraphQLError] = {}
    measures: dict[str, _Measure] = {}
    outlines = [outline_of(node) for node in document.definitions if isinstance(node, Definition)]
    for outline in innermost_first(outlines, outlines):
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
            if number > (bound := getattr(bounds, name)) and name not in errors:
                LIMITS.add(name)
                errors[name] = _broken(f"{_BROKEN[name].format(bound)}, fragments included: the limit `{name}`.", node)
        if measure.nesting > MAX_NESTING and "nesting" not in errors:
            LIMITS.add("nesting")
            errors["nesting"] = _broken(f"Selections are nested more than {MAX_NESTING} deep.", node)
    return list(errors.values())


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


def _measure(outline: Outline, measures: Mapping[str, _Measure]) -> _Measure:
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
