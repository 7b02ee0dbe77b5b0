"""Checks of stored documents, for those that something else wrote: a value of another type reads as a safe one.

So one bad document takes no list, statistic or subscription with it. The log names the key and its fields. What such a
field reads as never allows more than what was stored: an unknown state is DISABLED, an unreadable end is long past.
"""

import time
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import structlog

from ..messages.values import APIKeyRole, APIKeyState, whole_number
from .addresses import are_networks

LOG_SECONDS = 600.0  # between two lines about the same key
LOGGED_KEYS = 10_000  # so many keys are remembered
MAX_SHAPES = 1_000
MAX_ID = 255  # characters of an id that is no text
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Document = dict[str, Any]

log = structlog.get_logger()

T = TypeVar("T")

NoneType = type(None)


class StoredField(NamedTuple):
    """What a stored field may hold, and what it reads as where it holds something else."""

    types: tuple[type, ...]
    otherwise: Any
    check: Callable[[Any], bool] | None = None

    def is_readable(self, value: Any) -> bool:
        """Whether a value is of these types and passes the check; a missing field has None."""
        # The driver's own classes of text and bytes do not count; a 64-bit integer has its own too, and does.
        if type(value) not in self.types and (int not in self.types or whole_number(value) is None):
            return False
        return self.check is None or self.check(value)


def _are_texts(value: Any) -> bool:
    return value is None or {str}.issuperset(map(type, value))


def _are_tags(value: Any) -> bool:
    return value is None or all(
        type(tag) is dict and tag.keys() == {"name", "value"} and {str}.issuperset(map(type, tag.values()))
        for tag in value
    )


def _are_networks(value: Any) -> bool:
    return _are_texts(value) and (value is None or are_networks(value))


def _are_secrets(value: Any) -> bool:
    return value is None or (bool(value) and all(map(_is_secret, value)))


def _is_secret(one: Any) -> bool:
    if type(one) is not dict:
        return False
    return (
        whole_number(one.get("number")) is not None
        and all(STORED_FIELDS[name].is_readable(one.get(name)) for name in ("hint", "created_at"))
        and STORED_FIELDS["expires_at"].is_readable(one.get("expires_at"))
    )


def _are_uses(value: Any) -> bool:
    return value is None or {datetime}.issuperset(map(type, value.values()))


def _are_digests(value: Any) -> bool:
    return type(value) is not list or {bytes, NoneType}.issuperset(map(type, value))


def _are_peppers(value: Any) -> bool:
    return type(value) is not list or {str, NoneType}.issuperset(map(type, value))


_STATES, _ROLES = frozenset(APIKeyState.__members__), frozenset(APIKeyRole.__members__)
_TEXT, _TEXT_OR_NULL = (str,), (str, NoneType)
_INSTANT, _INSTANT_OR_NULL = (datetime,), (datetime, NoneType)
_LIST_OR_NULL, _NUMBER_OR_NULL = (list, NoneType), (int, NoneType)

# Every field that the service reads. One that may not be null is missing where it is not in the document.
STORED_FIELDS: dict[str, StoredField] = {
    "_id": StoredField(_TEXT, ""),
    "domain_id": StoredField(_TEXT, ""),
    "user_id": StoredField(_TEXT, ""),
    "state": StoredField(_TEXT, APIKeyState.DISABLED.name, _STATES.__contains__),
    # The highest, as it could be that: only SYSTEM sees the key.
    "role": StoredField(_TEXT, APIKeyRole.SYSTEM.name, _ROLES.__contains__),
    "name": StoredField(_TEXT_OR_NULL, None),
    "hint": StoredField(_TEXT, ""),
    "created_at": StoredField(_INSTANT, LONG_AGO),
    "created_by": StoredField(_TEXT_OR_NULL, None),
    "created_by_user_id": StoredField(_TEXT_OR_NULL, None),
    "last_accessed_at": StoredField(_INSTANT_OR_NULL, None),
    "expires_at": StoredField(_INSTANT_OR_NULL, LONG_AGO),
    "updated_at": StoredField(_INSTANT_OR_NULL, None),
    "rotated_at": StoredField(_INSTANT_OR_NULL, None),
    "scopes": StoredField(_LIST_OR_NULL, [], _are_texts),
    "secrets": StoredField(_LIST_OR_NULL, [], _are_secrets),
    "secret_uses": StoredField((dict, NoneType), {}, _are_uses),
    "notice_at": StoredField(_INSTANT_OR_NULL, None),
    "noticed_at": StoredField(_INSTANT_OR_NULL, None),
    "stale_used_at": StoredField(_INSTANT_OR_NULL, None),
    "tags": StoredField(_LIST_OR_NULL, [], _are_tags),
    # Of one that cannot be read: from nowhere.
    "allowed_addresses": StoredField(_LIST_OR_NULL, [], _are_networks),
    "makers": StoredField(_LIST_OR_NULL, [], _are_texts),
    "digest": StoredField((bytes, list, NoneType), None, _are_digests),
    "pepper": StoredField((str, list, NoneType), None, _are_peppers),
    "disabled_rank": StoredField(_NUMBER_OR_NULL, APIKeyRole.SYSTEM.rank),
    "audit_number": StoredField(_NUMBER_OR_NULL, None),
    "audit_ends_at": StoredField(_INSTANT_OR_NULL, None),
    "lifetime_seconds": StoredField(_NUMBER_OR_NULL, None),
}
REQUIRED = frozenset(name for name, field in STORED_FIELDS.items() if NoneType not in field.types)
# Without these a key is accepted nowhere; the others only describe it.
DECISIVE = frozenset(
    {"_id", "domain_id", "user_id", "state", "role", "expires_at", "scopes", "secrets", "makers", "digest"}
    | {"allowed_addresses"}
)
# Without these a key cannot be changed.
CHANGEABLE = DECISIVE | {"secret_uses", "disabled_rank", "audit_number", "lifetime_seconds"}

_READABLE = frozenset((name, type_) for name, field in STORED_FIELDS.items() for type_ in field.types)
_NO_PARTS: frozenset[str] = frozenset()
_WITH_PARTS = frozenset({"scopes", "secrets", "secret_uses", "makers", "digest", "pepper", "tags", "allowed_addresses"})
# Wanted fields, names and types of documents that were sound in these, and their fields whose parts must be checked.
_SOUND_SHAPES: dict[tuple[Any, ...], frozenset[str]] = {}


def readable(document: Document, wanted: frozenset[str]) -> Document:
    """The document, with safe values in place of those that cannot be read; of those the log tells.

    `wanted` names the stored fields that were read: one of them that is required and missing cannot be read either.
    """
    # A page has a thousand documents, nearly all of a few shapes: which names have values of which types.
    shape = (wanted, *document, *map(type, document.values()))
    if (parts := _SOUND_SHAPES.get(shape)) is None and _has_sound_shape(document, wanted):
        if len(_SOUND_SHAPES) >= MAX_SHAPES:
            _SOUND_SHAPES.clear()
        parts = _SOUND_SHAPES[shape] = _WITH_PARTS & document.keys()
    if (
        parts is not None
        and document.get("state", "ENABLED") in _STATES
        and document.get("role", "USER") in _ROLES
        and not (parts and unreadable(document, parts))
    ):
        return document
    names = unreadable(document, wanted | (document.keys() & STORED_FIELDS.keys()))
    if not names:
        return document
    tell_unreadable(document, names)
    mended = document | {name: STORED_FIELDS[name].otherwise for name in names}
    if "_id" in names:
        mended["_id"] = str(document.get("_id"))[:MAX_ID]
    return mended


def all_readable(documents: list[Document], wanted: frozenset[str]) -> list[Document]:
    """As `readable`, of each of these documents."""
    # Of most pages all documents are sound and of few shapes, which takes half the time to see for all at once.
    shapes = {(wanted, *document, *map(type, document.values())) for document in documents}
    if (
        all(_SOUND_SHAPES.get(shape) == _NO_PARTS for shape in shapes)
        and _STATES.issuperset([document.get("state", "ENABLED") for document in documents])
        and _ROLES.issuperset([document.get("role", "USER") for document in documents])
    ):
        return documents
    return [readable(document, wanted) for document in documents]


def _has_sound_shape(document: Document, wanted: frozenset[str]) -> bool:
    types = zip(document, map(type, document.values()), strict=True)
    return _READABLE.issuperset(types) and document.keys() >= wanted


def unreadable(document: Document, names: Collection[str]) -> list[str]:
    """Those of these stored fields that cannot be read."""
    found = [name for name in names if not STORED_FIELDS[name].is_readable(document.get(name))]
    if not found and "digest" in names and not _have_digests(document):
        found = ["digest"]
    return sorted(found)


def _have_digests(document: Document) -> bool:
    """Whether a key that was rotated has a digest for each of its secrets, and another one has one at most."""
    digests, secrets = document.get("digest"), document.get("secrets")
    if secrets is None:
        return type(digests) is not list
    return type(digests) is list and len(digests) == len(secrets)


def role_of(document: Document) -> APIKeyRole:
    """The role of a stored key; the highest where it cannot be read."""
    role = document.get("role")
    return APIKeyRole[role] if isinstance(role, str) and role in _ROLES else APIKeyRole.SYSTEM


def read_apart(document: Document, read: Callable[[Document], T]) -> T | None:
    """What `read` makes of a key's document among those of others; None where it cannot be read, as the log tells.

    Whatever `read` raises is of this document alone, and must not fail the read of the others.
    """
    if names := unreadable(document, DECISIVE):
        tell_unreadable(document, names)
        return None
    try:
        return read(document)
    except Exception as error:
        # Not its text, which may have values of the document.
        log.error("a stored key cannot be read", api_key_id=document["_id"], error=type(error).__name__)
        return None


def tell_unreadable(document: Document, names: Iterable[str]) -> None:
    """Name a key and its unreadable fields in the log, now and then: never their values, which may be secrets."""
    key_id, domain_id = str(document.get("_id"))[:MAX_ID], str(document.get("domain_id"))[:MAX_ID]
    now = time.monotonic()
    if now - _told.get((domain_id, key_id), -LOG_SECONDS) < LOG_SECONDS:
        return
    if len(_told) >= LOGGED_KEYS:
        _told.clear()
    _told[(domain_id, key_id)] = now
    log.warning("a stored key cannot be read in full", api_key_id=key_id, domain_id=domain_id, fields=sorted(names))


_told: dict[tuple[str, str], float] = {}
