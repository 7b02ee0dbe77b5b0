"""Limits: what is refused before it runs, and that refusing takes no longer than reading."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    get_introspection_query,
    get_named_type,
    parse,
    validate,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from gql_identity.execution.bounds import check_document, parse_document
from gql_identity.execution.cost import Cost
from gql_identity.execution.error_text import tidy
from gql_identity.schema.costs import LENGTH_ARGUMENTS, cost_rules
from gql_identity.schema.executor import bounds_of
from gql_identity.schema.federation import schema as OUR_SCHEMA
from gql_identity.settings import Settings

SETTINGS = Settings()
BOUNDS = bounds_of(SETTINGS)
LENGTHS = replace(cost_rules(SETTINGS), weights={}, values={})  # the lengths of lists alone
SCHEMA = build_schema(
    """
    scalar JSON
    scalar _Any
    directive @mark repeatable on FIELD | FRAGMENT_SPREAD | INLINE_FRAGMENT | QUERY | VARIABLE_DEFINITION
    type Query {
      apiKey: Key
      apiKeys(input: Input!): Keys
      apiKeyStats(input: Input!): JSON
      _entities(representations: [_Any!]!): [_Entity]!
      connection(first: Int, last: Int): Connection
      tags: [String!]!
    }
    type Mutation { verifyApiKeys(input: [Input!]!): [Key!]! }
    input Input { domainId: ID query: ListQuery }
    input ListQuery { page: Page }
    input Page { limit: Int }
    type Keys { results: [Key!]! totalCount: Int }
    type Key { id: ID! name: String state: String user: User! }
    type User { id: ID! key: Key! keys(first: Int): Connection }
    type Connection { edges: [Edge!]! }
    type Edge { cursor: String node: Key! }
    union _Entity = Key | User
    """
)
CLIENTS_INTROSPECTION = {
    # graphql-js, GraphiQL and codegen ask for less and more, down to seven or nine levels of `ofType`.
    "least": get_introspection_query(descriptions=False),
    "graphql-js 16": get_introspection_query(specified_by_url=True, input_value_deprecation=True, type_depth=7),
    "most": get_introspection_query(True, True, True, True, True, False, True, type_depth=9),
}


def broken(text: str, **bounds: int) -> list[str]:
    errors = check_document(parse(text), replace(BOUNDS, **bounds))
    assert all((error.extensions or {})["code"] == "GRAPHQL_VALIDATION_FAILED" for error in errors)
    return sorted(error.message.rpartition("the limit `")[2].rstrip("`.") for error in errors)


def cost(text: str, variables: dict[str, Any] | None = None) -> int:
    document = parse(text)
    assert validate(SCHEMA, document) == []
    (operation,) = (node for node in document.definitions if isinstance(node, OperationDefinitionNode))
    return Cost(SCHEMA, document, operation, LENGTHS, SETTINGS.max_cost).of(variables or {})[0]


def calls(work: Callable[[], Any]) -> int:
    """How many functions, of Python and C, a piece of work calls: a measure of its time that no machine changes."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


# Bounds of a document


@pytest.mark.parametrize(
    ("text", "setting", "number"),
    [
        ("{a{b{c}}}", "max_depth", 3),
        ("{a{...F}} fragment F on T{b{...on T{c}}}", "max_depth", 3),
        ("{a:x b:x c{d:x}}", "max_aliases", 3),
        ("{...F ...F a:x} fragment F on T{b:x}", "max_aliases", 3),
        ("{a b ...{c ...F}} fragment F on T{d{e f}}", "max_root_fields", 4),
        ("query ($v:Int @b) @a {x @c ...F @d} fragment F on T @e {x @f ...@g{x @h}}", "max_directives", 8),
        ("{a a a}", "max_repeated_fields", 3),
        ("{a ...{a ...on T{a}}}", "max_repeated_fields", 3),
        ("{b:a ...F ...F} fragment F on T{b:c}", "max_repeated_fields", 3),
        ("{x{y{a a}}}", "max_repeated_fields", 2),
        ("{x{y{a a}} x{y{a}}}", "max_repeated_fields", 3),
        ("{x{...F} x{...F}} fragment F on T{y{a a}}", "max_repeated_fields", 4),
        ("{__schema{types{fields{args{name}}}}}", "max_introspection_depth", 3),
        (
            "{...A} fragment A on Q{__type{...B}} fragment B on __Type{fields{type{fields{name}}}}",
            *["max_introspection_depth", 2],
        ),
    ],
)
def test_a_bound_holds_at_its_own_edge(text: str, setting: str, number: int) -> None:
    assert setting not in broken(text, **{setting: number})
    assert setting in broken(text, **{setting: number - 1})


def test_every_broken_bound_is_named_once() -> None:
    nested = "{" + "a{" * 20 + "b:c" + "}" * 21
    document = " ".join([nested.replace("b:c", "b:c " * 40), "query A{x}", nested])
    assert broken(document) == ["max_aliases", "max_depth", "max_repeated_fields"]
    (error,) = check_document(parse("{a{b}}"), replace(BOUNDS, max_depth=1))
    assert error.message == "Fields are nested more than 1 deep, fragments included: the limit `max_depth`."
    assert error.locations is not None


@pytest.mark.parametrize("text", CLIENTS_INTROSPECTION.values(), ids=CLIENTS_INTROSPECTION.keys())
def test_what_clients_read_a_schema_with_passes(text: str) -> None:
    document = parse_document(text, BOUNDS)
    assert check_document(document, BOUNDS) == []
    assert cost(text) < SETTINGS.max_cost / 2


def test_circular_introspection_is_refused() -> None:
    circle = "{__schema{types{fields{type{fields{type{fields{type{fields{type{name}}}}}}}}}}}"
    assert broken(circle) == ["max_introspection_depth"]


def test_fields_named_as_introspection_names_them_are_ordinary_elsewhere() -> None:
    assert broken("{types{fields{args{inputFields{enumValues{name}}}}}}") == []
    assert broken("{types{fields{args{inputFields{enumValues{name}}}}}}", max_depth=5) == ["max_depth"]


@pytest.mark.parametrize(
    "text",
    [
        "{...A} fragment A on Q{...A}",
        "{...A} fragment A on Q{x ...B} fragment B on Q{y{...A}}",
        "fragment A on Q{a{...B}} fragment B on Q{b{...C}} fragment C on Q{c{...A ...B}}",
        "{...Missing a{...Missing}}",
        "{a{}}",
        "type T{a:Int}",
    ],
)
def test_what_graphql_core_refuses_anyway_is_left_to_it(text: str) -> None:
    assert broken(text) == []


def test_all_fragments_of_one_name_are_checked() -> None:
    assert broken("{...F} fragment F on T{" + "a{" * 20 + "b" + "}" * 21 + " fragment F on T{a}") == ["max_depth"]


def test_no_nesting_reaches_the_bound_on_recursion() -> None:
    chain = "".join(f" fragment F{i} on Q{{...{{...F{i + 1}}}}}" for i in range(300))
    assert "nested more than 100 deep" in check_document(parse("{...F0}" + chain), BOUNDS)[0].message
    assert "nested more than 100 deep" in check_document(parse("{" + "...{" * 150 + "a" + "}" * 151), BOUNDS)[0].message


def doubling(levels: int) -> str:
    fragments = "".join(f" fragment F{i} on Q{{a:x ...F{i + 1} ...F{i + 1}}}" for i in range(levels))
    return "{...F0}" + fragments + f" fragment F{levels} on Q{{a:x @mark}}"


def test_fragments_that_double_at_each_level_are_refused_in_the_time_of_their_text() -> None:
    assert set(broken(doubling(40))) >= {"max_aliases", "max_root_fields", "max_directives", "max_repeated_fields"}
    short, long = parse(doubling(50)), parse(doubling(500))
    assert calls(lambda: check_document(long, BOUNDS)) < 12 * calls(lambda: check_document(short, BOUNDS))


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "{" + "__typename " * n + "}",
        lambda n: "{" + " ".join(f"a{i}:b" for i in range(n)) + "}",
        lambda n: "{" + "a{b " * 100 + "}" * 101 + " query A{...F}" * n + " fragment F on Q{x}",
        lambda n: (
            "{...F0}" + "".join(f" fragment F{i} on Q{{...F{(i + 1) % n} ...F{(i * 7 + 3) % n}}}" for i in range(n))
        ),
        lambda n: (
            "".join(f"{{a{{...F}} ...{{b{{...F}}}}}} query A{i}" for i in range(n))
            + "{x} fragment F on Q{"
            + " ".join(f"f{i}" for i in range(n))
            + "}"
        ),
        lambda n: "{" + ("...{" * 90 + "a " * 5 + "}" * 90) * (n // 50) + "}",
    ],
    ids=["repeated", "aliases", "operations", "cycles", "wide fragment", "inline"],
)
def test_a_document_ten_times_as_long_takes_ten_times_as_long_to_refuse(make: Callable[[int], str]) -> None:
    short, long = parse(make(100)), parse(make(1000))
    assert calls(lambda: check_document(long, BOUNDS)) < 13 * calls(lambda: check_document(short, BOUNDS))


# The same numbers, by writing the fragments out


@st.composite
def documents(draw: st.DrawFn) -> str:
    """An operation and fragments that spread only later ones, each selection of any kind."""
    count = draw(st.integers(0, 4))

    def selection(first: int, depth: int) -> str:
        kinds = ["leaf", "alias", "marked"] + ["field", "inline"] * (depth < 3) + ["spread"] * 2 * (first < count)
        name = draw(st.sampled_from(["apiKey", "user", "key", "keys"]))
        match draw(st.sampled_from(kinds)):
            case "alias":
                return f"{draw(st.sampled_from('ab'))}:{name}"
            case "marked":
                return f"{name} @mark"
            case "field":
                return f"{name}{selections(first, depth + 1)}"
            case "inline":
                return f"...@mark{selections(first, depth + 1)}"
            case "spread":
                return f"...F{draw(st.integers(first, count - 1))}"
        return name

    def selections(first: int, depth: int) -> str:
        return "{" + " ".join(selection(first, depth) for _ in range(draw(st.integers(1, 3)))) + "}"

    return selections(0, 0) + "".join(f" fragment F{i} on T{selections(i + 1, 0)}" for i in range(count))


def written_out(document: DocumentNode) -> Counter[str]:
    """The greatest numbers of a document's definitions, by going through a fragment at each of its spreads."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    greatest: Counter[str] = Counter()
    for definition in document.definitions:
        assert isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode)
        numbers: Counter[str] = Counter()
        paths: Counter[tuple[str, ...]] = Counter()

        def walk(selections: SelectionSetNode | None, path: tuple[str, ...]) -> None:
            for node in selections.selections if selections else ():
                numbers["max_directives"] += len(node.directives or ())  # noqa: B023
                if isinstance(node, FieldNode):
                    below = (*path, (node.alias or node.name).value)
                    paths[below] += 1  # noqa: B023
                    numbers["max_aliases"] += node.alias is not None  # noqa: B023
                    walk(node.selection_set, below)
                elif isinstance(node, FragmentSpreadNode):
                    walk(fragments[node.name.value].selection_set, path)
                elif isinstance(node, InlineFragmentNode):
                    walk(node.selection_set, path)

        walk(definition.selection_set, ())
        numbers["max_depth"] = max(map(len, paths))
        numbers["max_repeated_fields"] = max(paths.values())
        if isinstance(definition, OperationDefinitionNode):
            numbers["max_root_fields"] = sum(number for path, number in paths.items() if len(path) == 1)
        greatest |= numbers
    return greatest


@settings(deadline=None)
@given(documents())
def test_the_numbers_are_those_of_the_document_with_its_fragments_written_out(text: str) -> None:
    for setting, number in written_out(parse(text)).items():
        if number > 1:
            assert setting in broken(text, **{setting: number - 1})
        # Repeats within repeats, or in several fragments, are taken for the same: that can only be too careful.
        exact = setting != "max_repeated_fields" or (number == 1 and "fragment" not in text)
        if exact and number <= 50:
            assert setting not in broken(text, **{setting: number})


# Cost


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("{__typename}", 1),
        ("{apiKey{id name}}", 3),
        ("{a:apiKey{id} b:apiKey{id}}", 4),
        ("{apiKeys(input:{query:{page:{limit:10}}}){totalCount results{id name}}}", 2 + 10 * 3),
        ("{apiKeys(input:{}){results{id}}}", 1 + 1000 * 2),
        ("{apiKeys(input:{query:{page:{limit:0}}}){results{id}}}", 1 + 1000 * 2),
        ("{apiKeys(input:{query:{page:{limit:2000000000}}}){results{id}}}", 1 + 1000 * 2),
        ("{apiKeys(input:{query:{page:{limit:10}}}){...F}} fragment F on Keys{results{id}}", 1 + 10 * 2),
        (
            "{a:apiKeys(input:{query:{page:{limit:10}}}){...F} b:apiKeys(input:{query:{page:{limit:20}}}){...F}}"
            "fragment F on Keys{totalCount ...{results{...G}}} fragment G on Key{id}",
            4 + 10 * 2 + 20 * 2,
        ),
        ("{connection(first:5){edges{cursor node{id}}}}", 1 + 5 * 4),
        ("{connection(last:5){edges{cursor}}}", 1 + 5 * 2),
        ("{connection{edges{cursor}}}", 1 + 20 * 2),
        ("{connection(first:3){edges{node{user{keys(first:4){edges{cursor}}}}}}}", 1 + 3 * (3 + (1 + 4 * 2))),
        ("{_entities(representations:[1,2,3]){...on Key{id} ...on User{id}}}", 3 * 3),
        ("mutation{verifyApiKeys(input:[{},{}]){id}}", 2 * 2),
        ("mutation{verifyApiKeys(input:{}){id}}", 2),
        ("{tags}", 3),
        ('{__type(name:"Key"){name}}', 2),
        ("{apiKeys(input:{query:{page:{limit:10}}}){results{id}} tags}", 1 + 10 * 2 + 3),
    ],
)
def test_a_cost_is_the_most_values_that_an_answer_holds(text: str, number: int) -> None:
    assert cost(text) == number


@pytest.mark.parametrize(
    ("text", "variables", "number"),
    [
        ("query($n:Int){apiKeys(input:{query:{page:{limit:$n}}}){results{id}}}", {"n": 4}, 9),
        ("query($n:Int){apiKeys(input:{query:{page:{limit:$n}}}){results{id}}}", {"n": 4.0}, 9),
        ("query($n:Int){apiKeys(input:{query:{page:{limit:$n}}}){results{id}}}", {"n": 10**400}, 2001),
        ("query($n:Int){apiKeys(input:{query:{page:{limit:$n}}}){results{id}}}", {"n": None}, 2001),
        ("query($n:Int){apiKeys(input:{query:{page:{limit:$n}}}){results{id}}}", {}, 2001),
        ("query($n:Int=4){apiKeys(input:{query:{page:{limit:$n}}}){results{id}}}", {}, 9),
        ("query($p:Page){apiKeys(input:{query:{page:$p}}){results{id}}}", {"p": {"limit": 4}}, 9),
        ("query($p:Page={limit:4}){apiKeys(input:{query:{page:$p}}){results{id}}}", {}, 9),
        ("query($i:Input!){apiKeys(input:$i){results{id}}}", {"i": {"query": {"page": {"limit": 4}}}}, 9),
        ("query($i:Input!){apiKeys(input:$i){results{id}}}", {"i": {"query": [1]}}, 2001),
        ("query($i:Input!){apiKeys(input:$i){results{id}}}", {"i": {"query": {"page": {"limit": "x"}}}}, 2001),
        ("query($f:Int,$l:Int){connection(first:$f,last:$l){edges{cursor}}}", {"l": 4}, 9),
        ("query($r:[_Any!]!){_entities(representations:$r){...on Key{id}}}", {"r": [{}] * 5}, 10),
        ("query($r:[_Any!]!){_entities(representations:$r){...on Key{id}}}", {"r": []}, 0),
        ("query($r:[_Any!]!){_entities(representations:$r){...on Key{id}}}", {"r": {}}, 2),
        ("query($r:_Any!){_entities(representations:[$r,$r]){...on Key{id}}}", {"r": [1] * 9}, 4),
        ("query($n:Int){...F} fragment F on Query{connection(first:$n){edges{cursor}}}", {"n": 4}, 9),
    ],
)
def test_a_variable_tells_how_long_a_list_is(text: str, variables: dict[str, Any], number: int) -> None:
    assert cost(text, variables) == number


def test_a_cost_is_reckoned_anew_for_other_variables() -> None:
    document = parse("query($n:Int){connection(first:$n){edges{cursor}}}")
    operation = document.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    reckoned = Cost(SCHEMA, document, operation, LENGTHS, SETTINGS.max_cost)
    for number in (*range(1, 100), 5):
        assert reckoned.of({"n": number})[0] == 1 + 2 * number


def test_one_largest_page_passes_and_twenty_do_not() -> None:
    page = "apiKeys(input:{query:{page:{limit:1000}}}){totalCount results{id name state user{id}}}"
    assert cost(f"{{{page}}}") == 2 + 1000 * 6
    with pytest.raises(GraphQLError) as told:
        cost("{" + " ".join(f"a{i}:{page}" for i in range(20)) + "}")
    assert told.value.extensions == {"code": "RESOURCE_EXHAUSTED", "cost": 120_040, "maxCost": 100_000}
    assert "120040" in told.value.message
    assert "`max_cost`" in told.value.message


def test_a_cost_that_doubles_at_each_level_is_reckoned_in_the_time_of_its_text() -> None:
    def document(levels: int) -> str:
        return (
            "{apiKey{user{...F0}}}"
            + "".join(
                f" fragment F{i} on User{{a:key{{user{{...F{i + 1}}}}} b:key{{user{{...F{i + 1}}}}}}}"
                for i in range(levels)
            )
            + f" fragment F{levels} on User{{id}}"
        )

    def reckon(levels: int) -> int:
        parsed = parse(document(levels))
        operation = parsed.definitions[0]
        assert isinstance(operation, OperationDefinitionNode)
        return calls(
            lambda: (
                Cost(SCHEMA, parsed, operation, LENGTHS, 10**8).of({}) if levels < 20 else refused(parsed, operation)
            )
        )

    def refused(parsed: DocumentNode, operation: OperationDefinitionNode) -> None:
        with pytest.raises(GraphQLError, match="costs 1000000000"):
            Cost(SCHEMA, parsed, operation, LENGTHS, SETTINGS.max_cost).of({})

    assert cost(document(3)) == 2 + 2 * (2 + 2 * (2 + 2 * (2 + 1)))
    assert reckon(150) < 13 * reckon(15) + 500


def test_each_argument_that_tells_a_length_is_one_of_our_schema() -> None:
    for coordinate, paths in LENGTH_ARGUMENTS.items():
        type_name, field_name = coordinate.split(".")
        field = OUR_SCHEMA._schema.get_type(type_name).fields[field_name]  # type: ignore[union-attr]
        for path in paths:
            first, *rest = path.split(".")
            type_ = field.args[first].type
            for name in rest:
                type_ = get_named_type(type_).fields[name].type


# Words


def test_a_document_too_long_is_refused_with_the_name_of_the_limit() -> None:
    too_many = "contains more than 1500 {}. The limit is `max_tokens`."
    too_long = (
        "The document has 80003 characters, and at most 75000 are allowed: 50 for each of the 1500 tokens of the limit "
        "`max_tokens`. Send long texts as variables."
    )
    for text, end in (
        ("{" + "a " * 1500 + "}", too_many.format("tokens")),
        ("#\n" * 1501 + "{a}", too_many.format("comments")),
        ("{a}" + " " * 80_000, too_long),
    ):
        with pytest.raises(GraphQLError) as told:
            parse_document(text, BOUNDS)
        assert told.value.message.endswith(end)
        assert told.value.extensions == {"code": "GRAPHQL_PARSE_FAILED"}
    assert parse_document("{" + "a " * 998 + "}", BOUNDS)


def test_a_syntax_error_tells_where() -> None:
    with pytest.raises(GraphQLError) as told:
        parse_document("{a(", BOUNDS)
    assert told.value.formatted == {
        "message": "Syntax Error: Expected Name, found <EOF>.",
        "locations": [{"line": 1, "column": 4}],
        "extensions": {"code": "GRAPHQL_PARSE_FAILED"},
    }
    with pytest.raises(GraphQLError, match="nested too deeply"):
        parse_document("{a" * 400, BOUNDS)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Cannot query field 'a' on type 'Query'.", "Cannot query field 'a' on type 'Query'."),
        (
            "Cannot query field 'a' on type 'Query'. Did you mean 'apiKey' or 'b'?",
            "Cannot query field 'a' on type 'Query'.",
        ),
        (f"Cannot query field '{'x' * 10_000}' on type 'Query'.", f"Cannot query field '{'x' * 59}…' on type 'Query'."),
        (
            "Expected value of type 'Int', but encountered error 'Exceeds the limit (4300 digits) for integer string "
            "conversion; use sys.set_int_max_str_digits()'; found: 9.",
            "Expected value of type 'Int'; found: 9.",
        ),
        ("Int cannot represent " + "a b " * 10_000, "Int cannot represent " + ("a b " * 70)[:278] + "…"),
    ],
)
def test_words_are_cut_and_cleaned(message: str, told: str) -> None:
    assert tidy(message) == told
    assert len(tidy(message)) <= 300
