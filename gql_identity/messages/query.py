"""Strawberry inputs for `Query` and `StatisticsQuery` of Cloudforet's core package, which its API keys use."""

from enum import Enum

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from .values import enum_value


@strawberry.enum(description="A comparison of a field with a value.")
class APIKeyOperator(Enum):
    """The 24 operators; their values are spelled as Cloudforet spells them."""

    EQ = enum_value("eq", description="Equals the value; null matches a field that is absent.")
    NOT = enum_value("not", description="Differs from the value.")
    LT = enum_value("lt", description="Is less than the value.")
    LTE = enum_value("lte", description="Is at most the value.")
    GT = enum_value("gt", description="Is greater than the value.")
    GTE = enum_value("gte", description="Is at least the value.")
    EXISTS = enum_value("exists", description="Has a value (true), or is absent or null (false).")
    CONTAIN = enum_value("contain", description="Contains the text, ignoring case.")
    NOT_CONTAIN = enum_value("not_contain", description="Does not contain the text, ignoring case.")
    IN = enum_value("in", description="Is one of the values of the list.")
    NOT_IN = enum_value("not_in", description="Is none of the values of the list.")
    CONTAIN_IN = enum_value("contain_in", description="Contains any of the list's texts, ignoring case.")
    NOT_CONTAIN_IN = enum_value("not_contain_in", description="Contains none of the list's texts, ignoring case.")
    MATCH = enum_value(
        "match", description="Has an element that matches the object: for `tags`, `{name, value}` or one of the two."
    )
    REGEX = enum_value("regex", description="Matches the pattern, ignoring case.")
    REGEX_IN = enum_value("regex_in", description="Matches any of the list's patterns, ignoring case.")
    DATETIME_LT = enum_value("datetime_lt", description="Is before the instant, given as ISO 8601 text.")
    DATETIME_LTE = enum_value("datetime_lte", description="Is at or before the instant.")
    DATETIME_GT = enum_value("datetime_gt", description="Is after the instant.")
    DATETIME_GTE = enum_value("datetime_gte", description="Is at or after the instant.")
    TIMEDIFF_LT = enum_value("timediff_lt", description="Is before an instant relative to now, for example `now-7d`.")
    TIMEDIFF_LTE = enum_value("timediff_lte", description="Is at or before an instant relative to now.")
    TIMEDIFF_GT = enum_value("timediff_gt", description="Is after an instant relative to now, for example `now/d`.")
    TIMEDIFF_GTE = enum_value("timediff_gte", description="Is at or after an instant relative to now.")


_KEY = "A field, for example `created_at` or `createdAt`."
_ALIAS = "Short for `{}`; give one of the two."


@strawberry.input(name="APIKeyCondition", description="One condition: a field, an operator and a value.")
class APIKeyCondition:
    """Cloudforet's filter condition."""

    key: str | None = strawberry.field(default=None, description=_KEY)
    k: str | None = strawberry.field(default=None, description=_ALIAS.format("key"))
    value: JSON | None = strawberry.field(default=UNSET, description="The value to compare with: any JSON value.")
    v: JSON | None = strawberry.field(default=UNSET, description=_ALIAS.format("value"))
    operator: APIKeyOperator | None = strawberry.field(default=None, description="The comparison.")
    o: APIKeyOperator | None = strawberry.field(default=None, description=_ALIAS.format("operator"))


@strawberry.input(name="APIKeySortKey", description="A field to sort by.")
class APIKeySortKey:
    """One key of several."""

    key: str = strawberry.field(description=_KEY)
    desc: bool = strawberry.field(default=False, description="Whether the order is descending.")


@strawberry.input(name="APIKeySort", description="An order: `{key, desc}`, or `{keys: [...]}` for several fields.")
class APIKeySort:
    """Cloudforet's sort."""

    key: str | None = strawberry.field(default=None, description=_KEY)
    desc: bool = strawberry.field(default=False, description="Whether the order is descending.")
    keys: list[APIKeySortKey] | None = strawberry.field(
        default=None, description="Several fields, the most significant first."
    )


@strawberry.input(name="APIKeyPage", description="A part of the results.")
class APIKeyPage:
    """Cloudforet's page."""

    start: int | None = strawberry.field(
        default=None, description="The first result, counted from 1; without a limit it has no effect."
    )
    limit: int | None = strawberry.field(
        default=None,
        description="The number of results; 0 or absent means all. If there are more than the largest page, "
        "a list returns the first ones if `totalCount` is selected; otherwise the query is an "
        "error.",
    )


@strawberry.input(name="APIKeyListQuery", description="Conditions, order, page and fields of a list.")
class APIKeyListQuery:
    """The core package's `Query`."""

    filter: list[APIKeyCondition] | None = strawberry.field(default=None, description="Conditions that must all match.")
    filter_or: list[APIKeyCondition] | None = strawberry.field(
        default=None, description="Conditions of which at least one must match."
    )
    keyword: str | None = strawberry.field(
        default=None,
        description="Words: the key's id or its user's id contains at least one of them. They are added to `filterOr`.",
    )
    sort: APIKeySort | None = strawberry.field(default=None, description="The order. Default: by `api_key_id`.")
    page: APIKeyPage | None = strawberry.field(default=None, description="A part of the results.")
    only: list[str] | None = strawberry.field(
        default=None, description="The fields that may be selected; selecting another one is an error. Default: all."
    )
    minimal: bool = strawberry.field(default=False, description="Short for `only: [api_key_id, state, user_id]`.")
    count_only: bool = strawberry.field(default=False, description="Return no results, only `totalCount`.")
    unwind: JSON | None = strawberry.field(
        default=None, description="Refused: a list returns each key once. Statistics have `unwind`."
    )


@strawberry.enum(description="A computation over the rows of a group.")
class APIKeyGroupOperator(Enum):
    """The ten group operators."""

    COUNT = enum_value("count", description="The number of rows; needs no key.")
    SUM = enum_value("sum", description="The sum of the key's values.")
    AVERAGE = enum_value("average", description="The mean of the key's values.")
    MAX = enum_value("max", description="The largest of the key's values.")
    MIN = enum_value("min", description="The smallest of the key's values.")
    FIRST = enum_value("first", description="The first row's value.")
    LAST = enum_value("last", description="The last row's value.")
    PUSH = enum_value("push", description="All values as a list; with `fields`, a list of objects.")
    ADD_TO_SET = enum_value("add_to_set", description="The distinct values as a list.")
    MERGE_OBJECTS = enum_value("merge_objects", description="The objects merged into one.")


@strawberry.enum(description="A computation on one field of a row.")
class APIKeyProjectOperator(Enum):
    """The eight project operators."""

    SIZE = enum_value("size", description="The number of elements of an array.")
    SUM = enum_value("sum", description="The sum of an array's elements.")
    ARRAY_TO_OBJECT = enum_value("array_to_object", description="An object from an array of `{k, v}`.")
    OBJECT_TO_ARRAY = enum_value("object_to_array", description="An array of `{k, v}` from an object.")
    ADD = enum_value("add", description="The key plus the value.")
    SUBTRACT = enum_value("subtract", description="The key minus the value.")
    MULTIPLY = enum_value("multiply", description="The key times the value.")
    DIVIDE = enum_value("divide", description="The key divided by the value; null if the value is 0.")


_NAME = "The name in the response: letters, digits and underscores."
_STAGE_KEY = "A field, for example `created_at` or `createdAt`, or a name that an earlier stage defined."


@strawberry.input(name="APIKeyGroupKey", description="A field to group by.")
class APIKeyGroupKey:
    """One key of a group."""

    key: str | None = strawberry.field(default=None, description=_STAGE_KEY)
    k: str | None = strawberry.field(default=None, description=_ALIAS.format("key"))
    name: str | None = strawberry.field(default=None, description=_NAME)
    n: str | None = strawberry.field(default=None, description=_ALIAS.format("name"))
    date_format: str | None = strawberry.field(
        default=None,
        description="For an instant: `year`, `month` or `day` as numbers, or a format such as `%Y-%m-%d`, in UTC.",
    )


@strawberry.input(name="APIKeyPushField", description="A field of the objects that `PUSH` collects.")
class APIKeyPushField:
    """One field of a pushed object."""

    key: str | None = strawberry.field(default=None, description=_STAGE_KEY)
    k: str | None = strawberry.field(default=None, description=_ALIAS.format("key"))
    name: str | None = strawberry.field(default=None, description=_NAME)
    n: str | None = strawberry.field(default=None, description=_ALIAS.format("name"))


@strawberry.input(name="APIKeyGroupField", description="A field that is computed for each group.")
class APIKeyGroupField:
    """One computed field of a group."""

    key: str | None = strawberry.field(default=None, description=_STAGE_KEY)
    k: str | None = strawberry.field(default=None, description=_ALIAS.format("key"))
    name: str | None = strawberry.field(default=None, description=_NAME)
    n: str | None = strawberry.field(default=None, description=_ALIAS.format("name"))
    operator: APIKeyGroupOperator | None = strawberry.field(default=None, description="The computation.")
    o: APIKeyGroupOperator | None = strawberry.field(default=None, description=_ALIAS.format("operator"))
    fields: list[APIKeyPushField] | None = strawberry.field(
        default=None, description="For `PUSH`: the fields of each object."
    )
    conditions: list[APIKeyCondition] | None = strawberry.field(
        default=None,
        description="For `COUNT`, `SUM` and `AVERAGE`: count only rows that match all of these; operators "
        "`EQ NOT GT GTE LT LTE`.",
    )


@strawberry.input(name="APIKeyGroup", description="Groups rows by keys, and computes fields for each group.")
class APIKeyGroup:
    """The stage `group`."""

    keys: list[APIKeyGroupKey] | None = strawberry.field(
        default=None, description="The fields to group by; without any, all rows are one group."
    )
    fields: list[APIKeyGroupField] | None = strawberry.field(default=None, description="The fields to compute.")


@strawberry.input(name="APIKeyProjectField", description="A field to keep or to compute.")
class APIKeyProjectField:
    """One field of a projection."""

    key: str | None = strawberry.field(default=None, description=_STAGE_KEY)
    k: str | None = strawberry.field(default=None, description=_ALIAS.format("key"))
    name: str | None = strawberry.field(default=None, description=_NAME + " Without it, the key's own name.")
    n: str | None = strawberry.field(default=None, description=_ALIAS.format("name"))
    operator: APIKeyProjectOperator | None = strawberry.field(
        default=None, description="The computation; without one the field is kept."
    )
    o: APIKeyProjectOperator | None = strawberry.field(default=None, description=_ALIAS.format("operator"))
    value: JSON | None = strawberry.field(
        default=UNSET, description="For `ADD`, `SUBTRACT`, `MULTIPLY`, `DIVIDE`: a number, or the name of a field."
    )
    v: JSON | None = strawberry.field(default=UNSET, description=_ALIAS.format("value"))


@strawberry.input(name="APIKeyProject", description="Keeps or computes fields.")
class APIKeyProject:
    """The stage `project`."""

    fields: list[APIKeyProjectField] | None = strawberry.field(
        default=None, description="The fields to keep or compute."
    )
    exclude_keys: bool = strawberry.field(
        default=False, description="Whether to remove the keys of the previous group."
    )


@strawberry.input(name="APIKeyUnwind", description="Makes one row of each element of an array.")
class APIKeyUnwind:
    """The stage `unwind`."""

    path: str = strawberry.field(
        description="The name of an array that an earlier stage defined; at the start `tags`, whose rows have "
        "`tag_name` and `tag_value`, or `scopes`, whose rows have `scope`."
    )


@strawberry.input(name="APIKeyCount", description="Replaces the rows by one row with their number.")
class APIKeyCount:
    """The stage `count`."""

    name: str = strawberry.field(description=_NAME)


@strawberry.input(name="APIKeyStage", one_of=True, description="One stage of a statistic: exactly one of its fields.")
class APIKeyStage:
    """One of the seven stages."""

    group: APIKeyGroup | None = strawberry.field(default=UNSET, description="Groups rows and computes fields.")
    sort: APIKeySort | None = strawberry.field(default=UNSET, description="Sorts the rows.")
    project: APIKeyProject | None = strawberry.field(default=UNSET, description="Keeps or computes fields.")
    unwind: APIKeyUnwind | None = strawberry.field(
        default=UNSET, description="Makes one row of each element of an array."
    )
    count: APIKeyCount | None = strawberry.field(default=UNSET, description="Counts the rows.")
    limit: int | None = strawberry.field(default=UNSET, description="Keeps this number of rows.")
    skip: int | None = strawberry.field(default=UNSET, description="Skips this number of rows.")


@strawberry.input(name="APIKeyStatisticsQuery", description="Conditions and computations of a statistic.")
class APIKeyStatisticsQuery:
    """The core package's `StatisticsQuery`."""

    filter: list[APIKeyCondition] | None = strawberry.field(default=None, description="Conditions that must all match.")
    filter_or: list[APIKeyCondition] | None = strawberry.field(
        default=None, description="Conditions of which at least one must match."
    )
    keyword: str | None = strawberry.field(
        default=None,
        description="Words: the key's id or its user's id contains at least one of them. They are added to `filterOr`.",
    )
    distinct: str | None = strawberry.field(default=None, description="A field: return its distinct values, sorted.")
    aggregate: list[APIKeyStage] | None = strawberry.field(default=None, description="The stages, in order.")
    page: APIKeyPage | None = strawberry.field(
        default=None, description="A part of the rows; with a limit the response has `total_count`."
    )
