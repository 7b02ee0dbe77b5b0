"""The operations of REST: their requests, functions and responses."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, get_type_hints

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model
from strawberry.utils.str_converters import to_snake_case

from ..deadlines import ends_in_time
from ..errors import BadRequest, InvalidArgument
from ..execution.values import OBJECT_VALUES, count_values
from ..keys.access import Caller
from ..keys.api_keys import ApiKeys
from ..messages.audit import APIKeyAuditEntry
from ..messages.connections import PageInfo
from ..messages.keys import APIKeyInfo, APIKeysInfo
from ..messages.requests import (
    APIKeyAuditQuery,
    APIKeyQuery,
    APIKeyRequest,
    APIKeyStatQuery,
    APIKeyUsageQuery,
    CreateAPIKeyRequest,
    GetAPIKeyRequest,
    RotateAPIKeyRequest,
    UpdateAPIKeyRequest,
)
from ..messages.usage import APIKeyUsage
from ..metrics import LIMITS
from ..queries.fields import listed
from ..queries.lists import MINIMAL, wanted_fields
from .json_messages import INFO_FIELDS, answer_model, message_of, reader

_TOLD = {
    "missing": "it is missing; give it",
    "extra_forbidden": "there is no such field; leave it out",
    "model_type": "give an object",
    "string_type": "give a string",
    "int_type": "give an integer",
    "bool_type": "give true or false",
    "list_type": "give a list",
    "enum": "give {expected}",
    "less_than_equal": "give at most {le}",
    "greater_than_equal": "give at least {ge}",
}


# The operations. Each docstring is the operation's summary in the OpenAPI document.


@ends_in_time
async def _create(api_keys: ApiKeys, request: CreateAPIKeyRequest, caller: Caller) -> Any:
    """Create a key. Its secret, `api_key`, is returned once, in this response: store it now."""
    return message_of(await api_keys.create(request, caller))


@ends_in_time
async def _enable(api_keys: ApiKeys, request: APIKeyRequest, caller: Caller) -> Any:
    """Enable a disabled key."""
    return message_of(await api_keys.enable(request, caller))


@ends_in_time
async def _disable(api_keys: ApiKeys, request: APIKeyRequest, caller: Caller) -> Any:
    """Disable a key until it is enabled again."""
    return message_of(await api_keys.disable(request, caller))


@ends_in_time
async def _delete(api_keys: ApiKeys, request: APIKeyRequest, caller: Caller) -> Any:
    """Delete a key. It cannot be restored."""
    await api_keys.delete(request, caller)
    return {}


async def _get(api_keys: ApiKeys, request: GetAPIKeyRequest, caller: Caller) -> Any:
    """Read one key; with `only`, only these fields."""
    wanted = _wanted(request.only, "only")
    return message_of(await api_keys.reads.get(request, caller, frozenset(wanted)), wanted)


async def _list(api_keys: ApiKeys, request: APIKeyQuery, caller: Caller) -> Any:
    """Read a page of a domain's keys; with `only` or `minimal`, only these fields."""
    wanted = _wanted(request.query.only if request.query else None, "query.only")
    if request.query and request.query.minimal:
        wanted = tuple(name for name in wanted if name in MINIMAL)
    page = await api_keys.lists.page(request, caller, frozenset(wanted), count=True)
    return {"results": [message_of(key, wanted) for key in page.results], "total_count": page.total_count}


async def _stat(api_keys: ApiKeys, request: APIKeyStatQuery, caller: Caller) -> Any:
    """Compute a statistic of a domain's keys."""
    return await api_keys.statistics.stats(request, caller)


@ends_in_time
async def _update(api_keys: ApiKeys, request: UpdateAPIKeyRequest, caller: Caller) -> Any:
    """Change a key's name, end, scopes, tags or addresses: absent fields stay, null removes a value."""
    return message_of(await api_keys.update(request, caller))


@ends_in_time
async def _rotate(api_keys: ApiKeys, request: RotateAPIKeyRequest, caller: Caller) -> Any:
    """Replace a key's secret and keep its id. The secret, `api_key`, is returned once: store it now."""
    return message_of(await api_keys.rotate(request, caller))


@ends_in_time
async def _end_overlap(api_keys: ApiKeys, request: APIKeyRequest, caller: Caller) -> Any:
    """End the older secret of a rotation before its overlap is over; a key cannot end the one it sends."""
    return message_of(await api_keys.end_overlap(request, caller))


async def _audit(api_keys: ApiKeys, request: APIKeyAuditQuery, caller: Caller) -> Any:
    """Read the audit log of a domain's keys, including deleted ones; the oldest entry first.

    An entry appears when its change is stored, which may be after entries of later changes: to follow the log, read the
    last five minutes again, and drop the entries whose `id` you have.
    """
    page = await api_keys.audit.page(request, caller)
    for entry in page.nodes:
        for change in entry.changes:
            change.field = to_snake_case(change.field)
    return {"results": page.nodes, "page_info": page.page_info}


async def _usage(api_keys: ApiKeys, request: APIKeyUsageQuery, caller: Caller) -> Any:
    """Read how often a key was used by callers and verified, per hour or day and outcome, up to a minute ago."""
    wanted = GetAPIKeyRequest(api_key_id=request.api_key_id, domain_id=request.domain_id)
    key = await api_keys.reads.get(wanted, caller, frozenset({"usage"}))
    (counts,) = await api_keys.usage.of_keys([key], caller, request.since, request.until, request.interval)
    return {"results": counts or []}


def _wanted(only: list[str] | None, path: str) -> tuple[str, ...]:
    names = wanted_fields(only, path)
    if names is not None and (others := sorted(names.difference(INFO_FIELDS))):
        raise InvalidArgument(f"{listed(others)} exists only in GraphQL; use one of {listed(INFO_FIELDS)}.", at=path)
    return tuple(name for name in INFO_FIELDS if names is None or name in names)


# The models of responses are made only for the OpenAPI document.


def _key() -> type[BaseModel]:
    return answer_model(APIKeyInfo)


def _selected_key() -> type[BaseModel]:
    return answer_model(APIKeyInfo, selected=True)


def _page() -> type[BaseModel]:
    return answer_model(APIKeysInfo)


def _statistic() -> type[BaseModel]:
    return create_model(
        "Statistic",
        __doc__="The rows of a statistic, or a field's different values.",
        results=(list[Any], Field(description="Objects with the names that the stages made; values with `distinct`.")),
        total_count=(int, Field(default_factory=int, description="How many rows there are; only when paged.")),
    )


def _audit_page() -> type[BaseModel]:
    return create_model(
        "AuditPage",
        __doc__="A page of audit entries, the oldest first.",
        results=(_list_of(APIKeyAuditEntry), Field(description="The entries of this page.")),
        page_info=(answer_model(PageInfo), Field(description="Where this page lies among all; its cursors.")),
    )


def _usage_counts() -> type[BaseModel]:
    return create_model(
        "Usage",
        __doc__="The number of uses of a key.",
        results=(
            _list_of(APIKeyUsage),
            Field(description="Counts, the oldest first; hours and days without a use are left out."),
        ),
    )


def _empty() -> type[BaseModel]:
    return create_model("Empty", __doc__="Nothing.")


def _list_of(message: type) -> Any:
    model: Any = answer_model(message)
    return list[model]


class Operation(NamedTuple):
    """One operation: its function, its request message, and the model of its response message."""

    run: Callable[[ApiKeys, Any, Caller], Awaitable[Any]]
    request: type
    answer: Callable[[], type[BaseModel]]
    reader: TypeAdapter[Any]


def _operation(
    run: Callable[[ApiKeys, Any, Caller], Awaitable[Any]], answer: Callable[[], type[BaseModel]]
) -> Operation:
    request = get_type_hints(run)["request"]
    return Operation(run, request, answer, TypeAdapter(reader(request)))


OPERATIONS = {
    "create": _operation(_create, _key),
    "enable": _operation(_enable, _key),
    "disable": _operation(_disable, _key),
    "delete": _operation(_delete, _empty),
    "get": _operation(_get, _selected_key),
    "list": _operation(_list, _page),
    "stat": _operation(_stat, _statistic),
    "update": _operation(_update, _key),
    "rotate": _operation(_rotate, _key),
    "end-overlap": _operation(_end_overlap, _key),
    "audit": _operation(_audit, _audit_page),
    "usage": _operation(_usage, _usage_counts),
}


def read_message(operation: Operation, message: Any, max_values: int) -> Any:
    """The request message in the JSON of a body. Raises BadRequest, or InvalidArgument that names the invalid part."""
    if not isinstance(message, dict):
        raise BadRequest(f"Send one JSON object: the message {operation.request.__name__}.")
    if count_values(message.values(), max_values) > max_values:
        LIMITS.add("max_values")
        raise InvalidArgument(
            f"The message holds more than {max_values} values, of which an object counts as {OBJECT_VALUES}: "
            "the limit `max_values`."
        )
    try:
        return operation.reader.validate_python(message)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False)[0]
    told = _TOLD.get(mistake["type"], mistake["msg"]).format(**mistake.get("ctx", {}))
    raise InvalidArgument(f"{told}.", at=_path(mistake["loc"]))


def _path(places: tuple[int | str, ...]) -> str:
    """The path of a part, as in `query.filter[2].operator`; long names from the client are shortened."""
    path = "".join(f"[{place}]" if isinstance(place, int) else f".{place[:40]}" for place in places)
    return path.removeprefix(".")
