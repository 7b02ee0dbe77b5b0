"""Forty awkward keys, the query language read in plain Python, and valid queries of it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from pymongo.collection import Collection
from strawberry import ID

from gql_identity.messages.query import (
    APIKeyCondition,
    APIKeyListQuery,
    APIKeyOperator,
    APIKeyPage,
    APIKeySort,
    APIKeySortKey,
    APIKeyStatisticsQuery,
)
from gql_identity.messages.requests import APIKeyQuery, APIKeyStatQuery
from gql_identity.queries.lists import list_plan
from gql_identity.queries.statistics import stat_answer, stat_plan
from gql_identity.settings import Settings

Row = dict[str, Any]

SETTINGS = Settings()
NOW = datetime(2026, 11, 25, 4, 36, 42, 123000, UTC)
DOMAIN = "d.1*$"
TEXTS = [
    "alice", "Alice", "ALICE@example.com", "bob", "a.b", "a*b", "aXb", "$where", "$user_id", '"quoted"', "it's",
    "(a+)+$", "[x]", "back\\slash", "É cole",
    "école", "Жук", "жУК", "日本", "😀", "a b", "a|b", "^a", "{}", "-", "", "__proto__",
]  # fmt: skip
STATES, ROLES = ["ENABLED", "DISABLED"], ["USER", "VERIFIER", "DOMAIN_OWNER", "SYSTEM"]
INSTANTS = [NOW - timedelta(hours=hours, milliseconds=hours) for hours in (0, 1, 30, 24 * 8, 24 * 40, 24 * 330)]
KINDS = dict.fromkeys(["api_key_id", "user_id", "domain_id", "name", "created_by"], "text") | {
    "state": "enum",
    "role": "enum",
    "last_accessed_at": "instant",
    "created_at": "instant",
    "expires_at": "instant",
    "updated_at": "instant",
    "rotated_at": "instant",
}


def made_keys() -> list[Row]:
    """Forty keys: names and instants that are equal, differ in case alone, are null or absent."""
    keys = []
    for number in range(40):
        text = TEXTS[number % len(TEXTS)]
        key: Row = {
            "_id": f"api-key-{number:02}{text if number < 27 else ''}",
            "domain_id": DOMAIN,
            "user_id": TEXTS[number % 7],
            "state": STATES[number % 3 == 0],
            "role": ROLES[number % 4],
            "name": text,
            "digest": f"secret{number}".encode(),
            "disabled_rank": 3,
            "created_at": INSTANTS[number % 6],
            "created_by": None if number % 5 else "api-key-00alice",
            "last_accessed_at": INSTANTS[number % 4],
        }
        if number % 5:
            key |= {
                "expires_at": INSTANTS[number % 5],
                "updated_at": INSTANTS[number % 3],
                "rotated_at": INSTANTS[number % 2],
            }
        for name, period in (("name", 6), ("last_accessed_at", 4)):
            if number % period == 1:
                key[name] = None
            if number % period == 2:
                del key[name]
        if number % 8:
            key["scopes"] = ["a", "b", "identity:read"][: number % 4]
        if number % 7:
            pairs = [("team", "a"), ("team", "A b"), ("env", "a"), ("$x.y", "")]
            key["tags"] = [{"name": name, "value": value} for name, value in pairs[number % 3 : number % 5]]
        keys.append(key)
    return keys


KEYS = made_keys()
ROWS = [{name: key.get("_id" if name == "api_key_id" else name) for name in KINDS} for key in KEYS]
LISTS = {key["_id"]: {name: key.get(name) for name in ("scopes", "tags")} for key in KEYS}
ELEMENTS = {"scopes": ("scope",), "tags": ("tag_name", "tag_value")}  # the columns of unwound lists


def listed(stored: Collection[Any], query: APIKeyListQuery | None, now: datetime = NOW, **own: Any) -> list[str]:
    plan = list_plan(APIKeyQuery(domain_id=ID(DOMAIN), query=query, **own), SETTINGS, now)
    part: list[Row] = [
        {"$sort": plan.sort},
        {"$skip": plan.skip},
        {"$limit": plan.limit},
        {"$project": {"_id": 1, "digest": 1}},
    ]
    found = list(stored.aggregate([{"$match": {"domain_id": DOMAIN}}, {"$match": plan.filter}, *part]))
    return [key["_id"] for key in found]


def told(stored: Collection[Any], query: APIKeyStatisticsQuery) -> Row:
    plan = stat_plan(APIKeyStatQuery(domain_id=ID(DOMAIN), query=query), SETTINGS, NOW)
    stages = [{"$match": {"domain_id": DOMAIN}}, {"$match": plan.filter}, *plan.pipeline]
    return stat_answer(plan, list(stored.aggregate(stages)), SETTINGS)


# The same in plain Python.


def in_order(value: Any) -> tuple[bool, Any]:
    """Null comes first, as in the database."""
    return (value is not None, value)


def instant(text: str) -> datetime:
    read = datetime.fromisoformat(text)
    read = read if read.tzinfo else read.replace(tzinfo=UTC)
    return read.replace(microsecond=read.microsecond // 1000 * 1000)


TIMES = {
    "now": NOW,
    "now/d": datetime(2026, 11, 25, tzinfo=UTC),
    "now/w": datetime(2026, 11, 23, tzinfo=UTC),
    "now/m": datetime(2026, 11, 1, tzinfo=UTC),
    "now-1h": NOW - timedelta(hours=1),
    "now/d-2d": datetime(2026, 11, 23, tzinfo=UTC),
    "now-1w": NOW - timedelta(days=7),
}
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda field, value: field == value,
    "not": lambda field, value: field != value,
    "lt": lambda field, value: field is not None and field < value,
    "lte": lambda field, value: field is not None and field <= value,
    "gt": lambda field, value: field is not None and field > value,
    "gte": lambda field, value: field is not None and field >= value,
}


def holds(row: Row, condition: APIKeyCondition) -> bool:
    """Whether a row meets a condition, by the words of the document."""
    assert condition.operator is not None
    name = re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), condition.key or "")
    operator: str = condition.operator.value
    value: Any = condition.value
    if name in ELEMENTS:
        return list_holds(name, LISTS[row["api_key_id"]][name], operator, value)
    field = row[name]
    if KINDS.get(name) == "instant" and not operator.startswith("timediff"):
        value = [item and instant(item) for item in value] if isinstance(value, list) else value
        value = instant(value) if isinstance(value, str) else value
    if operator in COMPARED:
        return COMPARED[operator](field, value)
    if operator.startswith("datetime"):
        return COMPARED[operator[9:]](field, value)
    if operator.startswith("timediff"):
        return COMPARED[operator[9:]](field, TIMES[value])
    if operator == "exists":
        return bool((field is not None) == value)
    if operator in ("in", "not_in"):
        return (field in value) == (operator == "in")
    values = value if operator.endswith("_in") else [value]
    if operator.startswith("regex"):
        return any(
            field is not None and re.search(pattern, field, re.IGNORECASE | (re.ASCII if "\\" in pattern else 0))
            for pattern in values
        )
    contains: bool = field is not None and any(text.lower() in field.lower() for text in values)
    return contains != operator.startswith("not_")


def list_holds(name: str, field: list[Any] | None, operator: str, value: Any) -> bool:
    """As `holds`, for a list; no scopes differ from an empty list of them, and no tags do not."""
    if operator == "exists":
        return bool((bool(field) if name == "tags" else field is not None) == value)
    if operator == "match":
        return any(tag | value == tag for tag in field or [])
    values = value if operator.endswith("in") else [value]
    return any(one in values for one in field or []) != operator.startswith("not")


def unwound(rows: list[Row], name: str) -> list[Row]:
    """A row for each element of a list of the keys."""
    elements = [(row, one) for row in rows for one in LISTS[row["api_key_id"]][name] or []]
    if name == "scopes":
        return [{**row, "scope": one} for row, one in elements]
    return [{**row, "tag_name": one["name"], "tag_value": one["value"]} for row, one in elements]


def matching(query: APIKeyListQuery | APIKeyStatisticsQuery) -> list[Row]:
    words = (query.keyword or "").lower().split()

    def found(row: Row) -> bool:
        texts = [row["api_key_id"].lower(), row["user_id"].lower()]
        some = [holds(row, condition) for condition in query.filter_or or []]
        some += [any(word in text for text in texts) for word in words]
        return all(holds(row, condition) for condition in query.filter or []) and (any(some) or not some)

    return [row for row in ROWS if found(row)]


def in_sequence(rows: list[Row], keys: list[tuple[str, bool]]) -> list[Row]:
    for name, desc in reversed(keys):
        rows = sorted(rows, key=lambda row: in_order(row[name]), reverse=desc)
    return rows


def paged(rows: list[Any], page: APIKeyPage | None) -> list[Any]:
    if page is None or not page.limit:
        return rows
    start = max(page.start or 1, 1)
    return rows[start - 1 : start - 1 + page.limit]


# Valid queries.

VALUES = {
    "text": st.sampled_from([*TEXTS, "api-key-00alice", "nobody"]),
    "state": st.sampled_from(STATES),
    "role": st.sampled_from(ROLES),
    "instant": st.sampled_from(INSTANTS).flatmap(
        lambda at: st.sampled_from(
            [
                at.isoformat(),
                at.replace(tzinfo=None).isoformat(),
                at.astimezone(UTC).strftime("%Y-%m-%d"),
                at.isoformat()[:-6] + "Z",
            ]
        )
    ),
}
PATTERNS = st.sampled_from(
    ["^a", "b$", "a.b", r"a\.b", "(a|b)+", "[a-c]{2,}", "^$", "", r"\$", "e$|^É", "(?:x|y)?z?", "(a+)+$"]
) | st.sampled_from([r"\d\d", r"\W", r"[\w\s]{3}[^\d]"])
PIECES = st.sampled_from([*TEXTS, "LIC", "é", "ж", ".", "*", "$", "\\", "api-key-1", "0"])


SCOPES = st.sampled_from(["a", "b", "identity:read", "none"])
TAG_PARTS = st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from(["team", "env", "$x.y", "no"]), "value": st.sampled_from(["a", "A b", ""])}
).filter(bool)
OF_LISTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "scopes": {"eq": SCOPES, "not": SCOPES, "in": st.lists(SCOPES), "not_in": st.lists(SCOPES)},
    "tags": {"match": TAG_PARTS},
}


@st.composite
def conditions(draw: st.DrawFn) -> APIKeyCondition:
    name = draw(st.sampled_from([*KINDS, *OF_LISTS]))
    if name in OF_LISTS:
        chosen = draw(st.sampled_from([*OF_LISTS[name], "exists"]))
        values = OF_LISTS[name].get(chosen, st.booleans())
        return APIKeyCondition(key=name, operator=APIKeyOperator(chosen), value=draw(values))
    kind = KINDS[name]
    one = VALUES[name if kind == "enum" else kind]
    operator = draw(st.sampled_from([operator.value for operator in APIKeyOperator if operator.value != "match"]))
    if operator.startswith(("datetime", "timediff")) != (kind == "instant") and "contain" not in operator:
        operator = draw(st.sampled_from(["eq", "not", "lt", "lte", "gt", "gte", "exists", "in", "not_in"]))
    if kind == "instant" and ("contain" in operator or "regex" in operator):
        operator = "datetime_lte"
    value: Any
    if operator == "exists":
        value = draw(st.booleans())
    elif operator.startswith("timediff"):
        value = draw(st.sampled_from(list(TIMES)))
    elif operator in ("in", "not_in"):
        value = draw(st.lists(one | st.none(), max_size=4))
    elif "contain" in operator or "regex" in operator:
        texts = PATTERNS if "regex" in operator else PIECES
        value = draw(st.lists(texts, max_size=3) if operator.endswith("_in") else texts)
    else:
        value = draw(one | st.none() if operator in ("eq", "not") else one)
    key = draw(st.sampled_from([name, re.sub("_(.)", lambda part: part[1].upper(), name)]))
    return APIKeyCondition(key=key, operator=APIKeyOperator(operator), value=value)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


FILTERS = {
    "filter": optional(st.lists(conditions(), max_size=3)),
    "filter_or": optional(st.lists(conditions(), max_size=3)),
    "keyword": optional(st.lists(PIECES, max_size=2).map(" ".join)),
}
PAGES = optional(
    st.builds(APIKeyPage, start=optional(st.integers(-1, 45)), limit=optional(st.sampled_from([0, 1, 2, 7, 40, 1000])))
)
SORT_KEY = st.builds(APIKeySortKey, key=st.sampled_from(list(KINDS)), desc=st.booleans())
SORT_KEYS = st.lists(SORT_KEY, min_size=1, max_size=3, unique_by=lambda key: key.key)
SORTS = SORT_KEYS.map(lambda keys: APIKeySort(keys=keys))
QUICK = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
