"""Statistics against a real database: each equals a plain reading of the same keys."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.collection import Collection

from gql_identity.messages.query import (
    APIKeyCondition,
    APIKeyCount,
    APIKeyGroup,
    APIKeyGroupField,
    APIKeyGroupKey,
    APIKeyGroupOperator,
    APIKeyOperator,
    APIKeyProject,
    APIKeyProjectField,
    APIKeyProjectOperator,
    APIKeyPushField,
    APIKeySort,
    APIKeySortKey,
    APIKeyStage,
    APIKeyStatisticsQuery,
    APIKeyUnwind,
)
from gql_identity.queries.fields import FIELDS
from tests.database.plain_reading import (
    COMPARED,
    ELEMENTS,
    FILTERS,
    INSTANTS,
    KINDS,
    PAGES,
    QUICK,
    ROWS,
    Row,
    in_sequence,
    matching,
    paged,
    told,
    unwound,
)

# A table of rows to which stages are added, while a plain reading follows.


@dataclass(frozen=True)
class Table:
    """Rows, the kind of each column, the names of the group's keys, and whether these tell each row from the others."""

    rows: list[Row]
    kinds: dict[str, str]
    keys: tuple[str, ...] = ()
    ordered: bool = False
    distinct: bool = True

    def names(self, *kinds: str) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def sorted(self, keys: list[tuple[str, bool]]) -> "Table":
        """Sorted by the keys; ties fall to the id, or to a group's keys and then its other columns."""
        names = ["api_key_id"] if self.kinds is KINDS else [*self.keys, *self.kinds]
        ties = [(name, keys[-1][1] if keys else False) for name in names if name in self.names(*SINGLE)]
        return replace(self, rows=in_sequence(self.rows, [*keys, *ties]), ordered=True)

    def in_order(self) -> "Table":
        return self if self.ordered else self.sorted([])


# A fraction is a number whose digits may depend on the order of a sum: it is compared, but not summed or grouped by.
SINGLE = ("text", "enum", "instant", "number", "fraction")
NAMES = st.sampled_from(["n", "N", "Year", "_id", "__proto__", "c0", "state", "createdAt", "user_id", "x" * 64])
PARTS: dict[str, Callable[[datetime], Any]] = {
    "year": lambda at: at.year,
    "month": lambda at: at.month,
    "day": lambda at: at.day,
}
FORMATS = ["%Y", "%m", "%d", "%Y-%m-%dT%H:%M:%S", "day %j", "%G-W%V-%u", "%U", "é.b", "%L%%"]


def number_total(values: list[Any]) -> Any:
    return sum(value for value in values if isinstance(value, int | float))


def average(values: list[Any]) -> Any:
    numbers = [value for value in values if isinstance(value, int | float)]
    return sum(numbers) / len(numbers) if numbers else None


def known(values: list[Any]) -> list[Any]:
    return [value for value in values if value is not None]


ACCUMULATED: dict[str, Callable[[list[Any]], Any]] = {
    "sum": number_total,
    "average": average,
    "max": lambda values: max(known(values), default=None),
    "min": lambda values: min(known(values), default=None),
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
    "push": list,
    "add_to_set": lambda values: [value for at, value in enumerate(values) if value not in values[:at]],
}
CALCULATED: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda one, other: one + other,
    "subtract": lambda one, other: one - other,
    "multiply": lambda one, other: one * other,
    "divide": lambda one, other: one / other if other else None,
}


def drawn_test(draw: st.DrawFn, table: Table) -> tuple[APIKeyCondition, Callable[[Row], bool]]:
    """A condition of a group's field, and what it says of a row."""
    name = draw(st.sampled_from(table.names(*SINGLE)))
    operator = draw(st.sampled_from(list(COMPARED)))
    seen = sorted({row[name] for row in table.rows if row[name] is not None}) if table.kinds[name] != "fraction" else []
    values = st.sampled_from(seen) if seen else st.none()
    if operator in ("eq", "not") or not seen:
        operator, values = draw(st.sampled_from(["eq", "not"])), values | st.none()
    value = draw(values)
    sent: Any = value.isoformat() if isinstance(value, datetime) else value
    condition = APIKeyCondition(key=name, operator=APIKeyOperator(operator), value=sent)
    return condition, lambda row: COMPARED[operator](row[name], value)


@dataclass
class Made:
    """What a stage computes: how, and of which kind, for each name."""

    computed: dict[str, Callable[[Any], Any]]
    kinds: dict[str, str]

    def add(self, name: str, kind: str, compute: Callable[[Any], Any]) -> None:
        self.computed[name], self.kinds[name] = compute, kind


def drawn_keys(draw: st.DrawFn, table: Table, made: Made) -> list[APIKeyGroupKey]:
    keys = []
    names = table.names("text", "enum", "number") + 3 * table.names("instant")
    for name in draw(st.lists(st.sampled_from(names), max_size=2)) if names else []:
        new = draw(st.none() | NAMES)
        if (new or name) in made.kinds:
            continue
        form = draw(st.sampled_from([None, *PARTS, *FORMATS])) if table.kinds[name] == "instant" else None
        keys.append(APIKeyGroupKey(key=name, name=new, date_format=form))
        kind = table.kinds[name] if form is None else "number" if form in PARTS else "text"
        made.add(new or name, kind, partial(formatted, name, form))
    return keys


def formatted(name: str, form: str | None, row: Row) -> Any:
    value = row[name]
    if value is None or form is None:
        return value
    if form in PARTS:
        return PARTS[form](value)
    return value.strftime(form.replace("%L", f"{value.microsecond // 1000:03}"))


def drawn_field(draw: st.DrawFn, table: Table, new: str, made: Made) -> APIKeyGroupField:
    """A field of a group, whose reading is added to what is made."""
    singles, numbers = table.names(*SINGLE), table.names("number")
    operator = draw(st.sampled_from(["count", "count", "push", "push", *ACCUMULATED])) if singles else "count"
    field = APIKeyGroupField(name=new, operator=APIKeyGroupOperator(operator))
    tests = []
    if operator in ("count", "sum", "average") and singles and draw(st.booleans()):
        tests = [drawn_test(draw, table) for _ in range(draw(st.integers(1, 2)))]
        field.conditions = [condition for condition, _ in tests]

    def rows_of(rows: list[Row]) -> list[Row]:
        return [row for row in rows if all(test(row) for _, test in tests)]

    if operator == "count":
        made.add(new, "number", lambda rows: len(rows_of(rows)))
    elif operator == "push" and draw(st.booleans()):
        names = draw(st.lists(st.sampled_from(singles), min_size=1, max_size=2, unique=True))
        shown = dict(zip(["k", "v"] if draw(st.booleans()) else names, names, strict=False))
        field.fields = [APIKeyPushField(key=name, name=inner) for inner, name in shown.items()]
        is_pairs = list(shown) == ["k", "v"] and table.kinds[names[0]] in ("text", "enum")
        made.add(new, "pairs" if is_pairs else "objects", lambda rows: [picked(row, shown) for row in rows])
    else:
        usable = numbers or table.names("text", "enum", "instant") or singles
        field.key = name = draw(st.sampled_from(singles if operator not in ("sum", "average") else usable))
        if operator in ("sum", "average") and table.kinds[name] == "fraction":
            return drawn_field(draw, table, new, made)
        kinds = {"sum": "number", "average": "fraction", "push": "list", "add_to_set": "set"}
        kind = kinds.get(operator, table.kinds[name])
        made.add(new, kind, lambda rows: ACCUMULATED[operator]([row[name] for row in rows_of(rows)]))
    return field


def picked(row: Row, shown: dict[str, str]) -> Row:
    return {inner: row[name] for inner, name in shown.items()}


def grouped(draw: st.DrawFn, table: Table) -> tuple[APIKeyStage, Table]:
    by, made = Made({}, {}), Made({}, {})
    keys = drawn_keys(draw, table, by)
    names = [new for new in draw(st.lists(NAMES, max_size=3, unique=True)) if new not in by.kinds]
    if not keys and not names:
        names = ["n"]
    fields = [drawn_field(draw, table, new, made) for new in names]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in table.in_order().rows:
        groups.setdefault(tuple(compute(row) for compute in by.computed.values()), []).append(row)
    rows = [
        dict(zip(by.kinds, key, strict=True)) | {name: compute(group) for name, compute in made.computed.items()}
        for key, group in groups.items()
    ]
    return APIKeyStage(group=APIKeyGroup(keys=keys, fields=fields)), Table(rows, by.kinds | made.kinds, tuple(by.kinds))


def drawn_projection(draw: st.DrawFn, table: Table, new: str, made: Made) -> APIKeyProjectField:
    """A field of a projection, whose reading is added to what is made."""
    compound = [name for name, kind in table.kinds.items() if kind not in SINGLE]
    name = draw(st.sampled_from([*table.kinds, *4 * compound, *2 * table.names("number")]))
    kind = table.kinds[name]
    field = APIKeyProjectField(key=name, name=new)
    if kind == "number" and draw(st.booleans()):
        operator = draw(st.sampled_from(list(CALCULATED)))
        value: Any = draw(st.sampled_from([0, 2, -1, 0.5, *table.names("number")]))
        field.value = value
        made.add(new, "fraction" if operator == "divide" else "number", partial(calculated, operator, name, value))
    elif kind in ("list", "set", "objects", "pairs", "entries") and draw(st.integers(0, 2)) == 0:
        operator = draw(st.sampled_from(["size", "sum"]))
        # The sum of a list of averages is a fraction too.
        made.add(new, "fraction", lambda row: len(row[name]) if operator == "size" else number_total(row[name]))
    elif kind == "pairs":
        operator = "array_to_object"
        made.add(new, "object", lambda row: {pair["k"]: pair["v"] for pair in row[name] if pair["k"] is not None})
    elif kind == "object":
        operator = "object_to_array"
        made.add(new, "entries", lambda row: [{"k": k, "v": v} for k, v in row[name].items()])
    else:
        made.add(new, kind, lambda row: row[name])
        return field
    field.operator = APIKeyProjectOperator(operator)
    return field


def calculated(operator: str, name: str, value: Any, row: Row) -> Any:
    one, other = row[name], row[value] if isinstance(value, str) else value
    return None if one is None or other is None else CALCULATED[operator](one, other)


def projected(draw: st.DrawFn, table: Table) -> tuple[APIKeyStage, Table]:
    table = table.in_order()
    made = Made({}, {})
    fields: list[APIKeyProjectField] = []
    copied: set[str] = set()
    for new in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        field = drawn_projection(draw, table, new, made)
        is_copy = made.kinds[new] not in SINGLE
        if is_copy and str(field.key) in copied:  # a stage keeps a list once
            del made.kinds[new], made.computed[new]
            continue
        copied |= {str(field.key)} if is_copy else set()
        fields.append(field)
    drops = draw(st.booleans())
    keys = () if drops else tuple(key for key in table.keys if key not in made.kinds)
    kept = Made({}, {})
    for key in keys:
        kept.add(key, table.kinds[key], partial(formatted, key, None))
    computed = kept.computed | made.computed
    rows = [{name: compute(row) for name, compute in computed.items()} for row in table.rows]
    distinct = table.distinct and bool(keys) and keys == table.keys
    stage = APIKeyStage(project=APIKeyProject(fields=fields, exclude_keys=drops))
    return stage, Table(rows, kept.kinds | made.kinds, keys, True, distinct)


def next_stage(draw: st.DrawFn, table: Table) -> tuple[APIKeyStage, Table]:
    """A stage that is right for the table, and the table after it."""
    compound = [name for name, kind in table.kinds.items() if kind not in SINGLE]
    possible = ["group", "group", "project", "count", "limit", "skip"]
    possible += ["project"] * 4 if compound or table.names("number") else []
    if table.names(*SINGLE) and (table.distinct or not compound):
        possible += ["sort", "sort"]
    if len(compound) == 1 and table.kinds[compound[0]] in ("list", "objects", "pairs", "entries"):
        possible += ["unwind"] * 5
    possible += ["unwind a key"] * 3 if table.kinds is KINDS else []
    kind = draw(st.sampled_from(possible))
    if kind == "unwind a key":
        path = draw(st.sampled_from(list(ELEMENTS)))
        kinds = {**table.kinds, **dict.fromkeys(ELEMENTS[path], "text")}
        stage = APIKeyStage(unwind=APIKeyUnwind(path=path))
        return stage, replace(table, rows=unwound(table.rows, path), kinds=kinds, distinct=False)
    if kind == "group":
        return grouped(draw, table)
    if kind == "project":
        return projected(draw, table)
    if kind == "sort":
        names = draw(st.lists(st.sampled_from(table.names(*SINGLE)), min_size=1, max_size=2, unique=True))
        keys = [(name, draw(st.booleans())) for name in names]
        sort = APIKeySort(keys=[APIKeySortKey(key=name, desc=desc) for name, desc in keys])
        return APIKeyStage(sort=sort), table.sorted(keys)
    if kind == "count":
        name = draw(NAMES)
        return APIKeyStage(count=APIKeyCount(name=name)), Table([{name: len(table.rows)}], {name: "number"}, (), True)
    table = table.in_order()
    if kind == "unwind":
        (name,) = compound
        rows = [{**row, name: item} for row in table.rows for item in row[name]]
        # What the elements are is left open here, so nothing but a projection or a count reads them.
        kinds = {**table.kinds, name: "element"}
        return APIKeyStage(unwind=APIKeyUnwind(path=name)), replace(table, rows=rows, kinds=kinds, distinct=False)
    number = draw(st.integers(1, 12))
    if kind == "limit":
        return APIKeyStage(limit=number), replace(table, rows=table.rows[:number])
    return APIKeyStage(skip=number), replace(table, rows=table.rows[number:])


@st.composite
def statistics(draw: st.DrawFn) -> tuple[APIKeyStatisticsQuery, Table]:
    """A valid statistic, and the table that it is to answer a page of."""
    filters = {name: draw(strategy) for name, strategy in FILTERS.items()} if draw(st.booleans()) else {}
    query = APIKeyStatisticsQuery(**filters, aggregate=[], page=draw(PAGES))
    table = Table(matching(query), KINDS)
    for _ in range(draw(st.integers(1, 5))):
        stage, table = next_stage(draw, table)
        query.aggregate = [*(query.aggregate or []), stage]
    return query, table.in_order()


def plain(value: Any) -> Any:
    """A value as it is compared: instants as text, numbers rounded."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return float(f"{value:.9g}") if isinstance(value, int | float) else value


def unordered(rows: list[Row], names: list[str]) -> list[Row]:
    """The rows with the lists of these names in an order of their own: a set has none."""
    return [row | {name: sorted(map(repr, row[name])) for name in names} for row in rows]


@settings(QUICK, max_examples=250)
@given(statistic=statistics())
def test_a_statistic_equals_a_plain_reading(
    stored: Collection[Any], statistic: tuple[APIKeyStatisticsQuery, Table]
) -> None:
    query, table = statistic
    answer = told(stored, query)
    sets = table.names("set")
    assert unordered(answer["results"] and plain(answer["results"]), sets) == unordered(
        plain(paged(table.rows, query.page)), sets
    )
    counted = {"total_count": len(table.rows)} if query.page and query.page.limit else {}
    assert {name: value for name, value in answer.items() if name != "results"} == counted


COLUMNS = {column: name for name, columns in ELEMENTS.items() for column in columns}


@QUICK
@given(
    query=st.builds(
        APIKeyStatisticsQuery, distinct=st.sampled_from([*KINDS, *COLUMNS, "createdAt"]), page=PAGES, **FILTERS
    )
)
def test_distinct_values_are_sorted(stored: Collection[Any], query: APIKeyStatisticsQuery) -> None:
    name = re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), query.distinct or "")
    rows = unwound(matching(query), COLUMNS[name]) if name in COLUMNS else matching(query)
    values = sorted({row[name] for row in rows if row[name] is not None})
    answer = told(stored, query)
    assert answer["results"] == plain(paged(values, query.page))
    assert answer.get("total_count", len(values)) == len(values)


def test_the_plain_reading_knows_each_field_of_the_query_language() -> None:
    assert {name: column.kind.name for name, column in FIELDS.items()} == KINDS


def test_keys_made_per_day_most_first(stored: Collection[Any]) -> None:
    """Cloudforet's own worked example."""
    parts = [("Year", "%Y"), ("Month", "%m"), ("Day", "%d")]
    keys = [APIKeyGroupKey(key="created_at", name=name, date_format=form) for name, form in parts]
    fields = [APIKeyGroupField(operator=APIKeyGroupOperator.COUNT, name="Count")]
    sort = APIKeyStage(sort=APIKeySort(key="Count", desc=True))
    answer = told(
        stored, APIKeyStatisticsQuery(aggregate=[APIKeyStage(group=APIKeyGroup(keys=keys, fields=fields)), sort])
    )
    assert answer == {
        "results": [
            {"Year": "2026", "Month": "11", "Day": "25", "Count": 14},
            {"Year": "2026", "Month": "11", "Day": "23", "Count": 7},
            {"Year": "2026", "Month": "11", "Day": "17", "Count": 7},
            {"Year": "2026", "Month": "10", "Day": "16", "Count": 6},
            {"Year": "2025", "Month": "12", "Day": "30", "Count": 6},
        ]
    }


def test_objects_are_merged(stored: Collection[Any]) -> None:
    group = APIKeyGroupField(
        operator=APIKeyGroupOperator.PUSH,
        name="rows",
        fields=[APIKeyPushField(key="state"), APIKeyPushField(key="user_id", name="user")],
    )
    merge = APIKeyGroupField(operator=APIKeyGroupOperator.MERGE_OBJECTS, key="rows", name="merged")
    stages = [
        APIKeyStage(group=APIKeyGroup(fields=[group])),
        APIKeyStage(unwind=APIKeyUnwind(path="rows")),
        APIKeyStage(group=APIKeyGroup(fields=[merge])),
    ]
    last = ROWS[-1]
    answer = told(stored, APIKeyStatisticsQuery(aggregate=stages))
    assert answer == {"results": [{"merged": {"state": last["state"], "user": last["user_id"]}}]}


@pytest.mark.parametrize("operator", list(COMPARED))
@pytest.mark.parametrize(("name", "value"), [("name", "bob"), ("last_accessed_at", INSTANTS[0]), ("state", "ENABLED")])
def test_a_condition_of_a_group_compares_as_a_filter_does(
    stored: Collection[Any], name: str, value: Any, operator: str
) -> None:
    sent: Any = value.isoformat() if isinstance(value, datetime) else value
    condition = APIKeyCondition(key=name, operator=APIKeyOperator(operator), value=sent)
    count = APIKeyGroupField(operator=APIKeyGroupOperator.COUNT, name="n", conditions=[condition])
    answer = told(stored, APIKeyStatisticsQuery(aggregate=[APIKeyStage(group=APIKeyGroup(fields=[count]))]))
    assert answer == {"results": [{"n": len(matching(APIKeyStatisticsQuery(filter=[condition])))}]}


def test_pairs_become_an_object_and_an_object_pairs(stored: Collection[Any]) -> None:
    """A null is no name, so its pair is left out; of two pairs with one name the last stays."""
    pairs = [APIKeyPushField(key="name", name="k"), APIKeyPushField(key="created_at", name="v")]
    push = APIKeyGroupField(operator=APIKeyGroupOperator.PUSH, name="pairs", fields=pairs)
    to_object = APIKeyProjectField(key="pairs", name="o", operator=APIKeyProjectOperator.ARRAY_TO_OBJECT)
    to_pairs = APIKeyProjectField(key="o", name="p", operator=APIKeyProjectOperator.OBJECT_TO_ARRAY)
    stages = [
        APIKeyStage(group=APIKeyGroup(fields=[push])),
        APIKeyStage(project=APIKeyProject(fields=[to_object])),
    ]
    expected = {row["name"]: plain(row["created_at"]) for row in ROWS if row["name"] is not None}
    assert told(stored, APIKeyStatisticsQuery(aggregate=stages)) == {"results": [{"o": expected}]}
    stages += [APIKeyStage(project=APIKeyProject(fields=[to_pairs])), APIKeyStage(unwind=APIKeyUnwind(path="p"))]
    answer = told(stored, APIKeyStatisticsQuery(aggregate=stages))
    assert answer == {"results": [{"p": {"k": name, "v": value}} for name, value in expected.items()]}
