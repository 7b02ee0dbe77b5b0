"""The JSON messages of REST: pydantic models, made by reflection from the types in `messages`.

Names are spelled as in Cloudforet's API. Input is strict: no text for a number, no number for a boolean, no unknown
field. An id that is empty is an absent one.
"""

import re
from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from graphql import GRAPHQL_MAX_INT, GRAPHQL_MIN_INT
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, conint, create_model
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import PydanticCustomError, PydanticKnownError
from strawberry import UNSET
from strawberry.scalars import JSON
from strawberry.utils.str_converters import to_snake_case

from ..keys.rotation import MAX_OVERLAP_SECONDS
from ..messages.keys import APIKeyInfo
from ..messages.query import APIKeyGroupOperator, APIKeyOperator, APIKeyProjectOperator
from ..messages.values import APIKeyRole, APIKeyState, instant_text, read_rfc_3339

# REST leaves out `id`, `user` and `domain`, which only GraphQL clients use; `usage` is an operation of its own.
INFO_FIELDS = tuple(field.name for field in fields(APIKeyInfo) if field.name not in ("id", "user", "domain", "usage"))


def message_of(key: APIKeyInfo, names: Iterable[str] = INFO_FIELDS) -> dict[str, Any]:
    """The message `APIKeyInfo`, whole or with these fields only; `plain` converts its values to JSON."""
    return {name: getattr(key, name) for name in names}


def plain(value: Any) -> Any:
    """An instant, an enum member or an object of a message as JSON has it. Raises TypeError for any other value."""
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, Enum):
        return str(value.value)
    if is_dataclass(value):
        return vars(value)
    raise TypeError(type(value).__name__)


_LAZY = {"User": object, "Domain": object}  # the types of fields that REST leaves out


def reader(message: type) -> Any:
    """A type that pydantic validates with the message's model and returns as the message itself."""
    one_of = _definition(message).is_one_of

    def made(model: BaseModel) -> Any:
        if one_of and len(model.model_fields_set) != 1:
            raise PydanticCustomError("one_of", "give exactly one of {names}", {"names": ", ".join(model.__dict__)})
        return message(**model.__dict__)

    return Annotated[request_model(message), AfterValidator(made)]


@cache
def request_model(message: type) -> type[BaseModel]:
    """The model of a request message."""
    one_of = _definition(message).is_one_of
    members = {}
    for field, hint in _fields(message):
        default: dict[str, Any] = {}
        if field.default is UNSET:
            default = {"default_factory": lambda: UNSET}  # so that absent differs from null
        elif field.default is not MISSING:
            default = {"default": field.default}
        if any(get_origin(part) is list for part in (hint, *get_args(hint))):
            default["fail_fast"] = True
        given = next(part for part in get_args(hint) if part is not type(None)) if one_of else hint
        type_ = _type(given, reader)
        if field.name in _IDS:
            type_ = Annotated[type_, BeforeValidator(_absent if default else _required)]
        if field.name in _RANGES:
            least, most = _RANGES[field.name]
            type_, default["json_schema_extra"] = int, {"minimum": least, "maximum": most}
        members[field.name] = (type_, Field(description=respelled(field.description), **default))
    exactly_one: dict[str, Any] | None = {"minProperties": 1, "maxProperties": 1} if one_of else None
    return _model(message.__name__, message, ConfigDict(extra="forbid", json_schema_extra=exactly_one), members)


@cache
def answer_model(message: type, *, selected: bool = False) -> type[BaseModel]:
    """The model of a response message; with `selected`, any of its fields may be absent."""
    absent: dict[str, Any] = {"default_factory": lambda: UNSET} if selected else {}
    members = {
        field.name: (
            _type(hint, lambda inner: answer_model(inner, selected=True)),
            Field(description=respelled(field.description), **absent),
        )
        for field, hint in _fields(message)
        if message is not APIKeyInfo or field.name in INFO_FIELDS
    }
    return _model(f"Selected{message.__name__}" if selected else message.__name__, message, ConfigDict(), members)


def _model(name: str, message: type, config: ConfigDict, members: dict[str, Any]) -> type[BaseModel]:
    description = respelled(_definition(message).description)
    return create_model(
        name, __config__=ConfigDict(strict=True, defer_build=True, **config), __doc__=description, **members
    )


def _fields(message: Any) -> list[tuple[Any, Any]]:
    hints = get_type_hints(message, localns=_LAZY)
    return [(field, hints[field.name]) for field in fields(message) if field.name in hints]  # else it is a resolver's


def _type(hint: Any, of_message: Any) -> Any:
    """A field's type, as pydantic knows it."""
    if hint is JSON or JSON in get_args(hint):
        return Any
    if hasattr(hint, "__supertype__"):  # a NewType, as ID is one of str
        return _type(hint.__supertype__, of_message)
    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(_type(part, of_message) for part in get_args(hint))]  # noqa: UP007
    if get_origin(hint) is list:
        return list[_type(get_args(hint)[0], of_message)]  # type: ignore[misc]
    if hasattr(hint, "__dataclass_fields__"):
        return of_message(hint)
    if hint is datetime:
        return Annotated[datetime, BeforeValidator(_instant)]
    if hint is int:
        return conint(ge=GRAPHQL_MIN_INT, le=GRAPHQL_MAX_INT)
    return Annotated[hint, Strict(False)] if isinstance(hint, type) and issubclass(hint, Enum) else hint


# In protobuf an empty text is an absent one, so Cloudforet's clients send it.
_IDS = ("api_key_id", "user_id", "domain_id", "actor_id")


# Numbers that their operations check, with the same bounds. A check here would first tell the bounds of any integer.
_RANGES = {"overlap_seconds": (0, MAX_OVERLAP_SECONDS)}


def _absent(value: Any) -> Any:
    return None if value == "" else value


def _required(value: Any) -> Any:
    if value == "":
        raise PydanticKnownError("missing")
    return value


def _instant(value: Any) -> datetime:
    try:
        return read_rfc_3339(value)
    except (TypeError, ValueError, OverflowError):
        raise PydanticCustomError("instant", "give an instant as in {example}", {"example": _INSTANT}) from None


_INSTANT = "2026-11-23T04:36:42.000Z"


def _definition(type_: Any) -> Any:
    return type_.__strawberry_definition__


class _JsonSchema(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # a title would only repeat the field's name


def json_schemas(models: Iterable[type[BaseModel]], prefix: str) -> dict[str, dict[str, Any]]:
    """The JSON Schemas of models and of all models in them, by name; references start with `prefix`."""
    pairs: Any = [(model, "validation") for model in models]
    _, made = models_json_schema(pairs, ref_template=f"{prefix}{{model}}", schema_generator=_JsonSchema)
    schemas: dict[str, dict[str, Any]] = made["$defs"]
    enums: tuple[type[Enum], ...] = (*_OPERATORS, APIKeyRole, APIKeyState)
    for enum in enums:
        definition = _definition(enum)
        values = [f"- `{value.value}`: {value.description}" for value in definition.values]
        schemas[enum.__name__]["description"] = "\n".join([definition.description, "", *values])
    return schemas


_OPERATORS: tuple[type[Enum], ...] = (APIKeyOperator, APIKeyGroupOperator, APIKeyProjectOperator)
_SPELLINGS: dict[str, str] = {
    **{operator.name: operator.value for operators in _OPERATORS for operator in operators},
    **{name: to_snake_case(name) for name in ("countOnly", "expiresAt", "filterOr", "totalCount")},
    **{f"{operation}ApiKey": operation for operation in ("create", "rotate", "update")},
}


def respelled(description: str) -> str:
    """A description with its GraphQL names replaced by Cloudforet's."""
    words = re.compile(r"\w+")
    return re.sub(
        "`[^`]+`", lambda name: words.sub(lambda word: _SPELLINGS.get(word[0], word[0]), name[0]), description
    )
