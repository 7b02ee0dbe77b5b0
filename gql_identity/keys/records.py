"""A stored document becomes an `APIKeyInfo`."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Hashable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from strawberry import ID

from ..execution.turns import turns_of_this_loop
from ..messages.keys import APIKeyInfo, Domain, User
from ..messages.values import APIKeyRole, APIKeyState, DateTime
from .documents import REQUIRED, all_readable
from .rotation import live_secrets
from .tags import read_tags
from .validity import has_ended

# Documents that are read in one piece, which takes up to 10 ms: with a hundred networks each, and without any.
SLICE_WITH_NETWORKS = 20
SLICE = 100

# Every stored field that may be in an answer.
STORED = (
    "_id",
    "domain_id",
    "user_id",
    "state",
    "role",
    "name",
    "hint",
    "created_at",
    "created_by",
    "created_by_user_id",
    "last_accessed_at",
    "expires_at",
    "updated_at",
    "scopes",
    "secrets",
    "secret_uses",
    "rotated_at",
    "tags",
    "allowed_addresses",
)

# The stored fields that a field needs, where it is not stored under its own name.
_STORED: dict[str, tuple[str, ...]] = {
    "id": ("_id", "domain_id"),
    "api_key_id": ("_id",),
    "api_key": (),
    "user": ("domain_id", "user_id"),
    "domain": ("domain_id",),
    "expired": ("expires_at",),
    "usage": ("user_id", "role"),  # they tell whether the caller may see it
    "secrets": ("secrets", "secret_uses", "expires_at", "hint", "created_at", "last_accessed_at"),
}

_EVERY = frozenset(APIKeyInfo.__dataclass_fields__)
_UNREAD: dict[str, Any] = dict.fromkeys(_EVERY - {"id", "expired", "secrets", "tags", "user", "domain", "usage"})
_MADE = frozenset({"id", "expired", "secrets", "tags", "user", "domain"})  # from other stored fields
_KEPT = (*STORED, "makers")  # `makers` is no field of the message
_STATES: dict[str | None, Any] = {None: None} | {state.name: state for state in APIKeyState}
_ROLES: dict[str | None, Any] = {None: None} | {role.name: role for role in APIKeyRole}


@lru_cache(maxsize=1000)
def stored_fields(fields: frozenset[str]) -> frozenset[str]:
    """The stored fields that must be read for these fields of `APIKeyInfo`."""
    # Both ids are always read: they cost nothing, and an engine may take `_id` alone for the whole document.
    return frozenset(name for field in fields for name in _STORED.get(field, (field,))) | {"_id", "domain_id"}


def projection(fields: frozenset[str]) -> dict[str, Any]:
    """The projection that reads these fields of `APIKeyInfo`."""
    return dict.fromkeys(sorted(stored_fields(fields)), 1)


@lru_cache(maxsize=1000)
def _required(fields: frozenset[str]) -> frozenset[str]:
    return stored_fields(fields) & REQUIRED


def read_key(document: dict[str, Any]) -> APIKeyInfo:
    """The key of a whole stored document; what cannot be read is replaced by a safe value, and logged."""
    return read_row({name: document[name] for name in _KEPT if name in document}, _EVERY)


def read_row(document: dict[str, Any], fields: frozenset[str]) -> APIKeyInfo:
    """As `read_key`, of a document that holds what a `projection` of these fields read; other fields are None."""
    (key,) = read_rows([document], fields)
    return key


def read_rows(documents: list[dict[str, Any]], fields: frozenset[str]) -> list[APIKeyInfo]:
    """As `read_row`, of each of these documents."""
    required, made = _required(fields), fields & _MADE
    keys: list[APIKeyInfo] = []
    for document in all_readable(documents, required):
        # A page has a thousand of these: the dataclass's own `__init__` would take three times as long.
        key: APIKeyInfo = object.__new__(APIKeyInfo)
        values = key.__dict__ = _UNREAD | document
        values["api_key_id"] = document["_id"]
        values["state"] = _STATES[values["state"]]
        values["role"] = _ROLES[values["role"]]
        if made:
            _make(made, key, document)
        keys.append(key)
    return keys


async def read_rows_in_turns(
    documents: list[dict[str, Any]], fields: frozenset[str], owner: Hashable
) -> list[APIKeyInfo]:
    """As `read_rows`; a long list is read in slices of several turns of the event loop, and owners take turns."""
    if len(documents) <= SLICE_WITH_NETWORKS:
        return read_rows(documents, fields)
    with_networks = any("allowed_addresses" in document for document in documents)
    size = SLICE_WITH_NETWORKS if with_networks else SLICE
    keys = read_rows(documents[:size], fields)
    turns = turns_of_this_loop()
    for start in range(size, len(documents), size):
        if turns.is_over():
            await turns.wait(owner)
        keys += read_rows(documents[start : start + size], fields)
    return keys


def _make(made: frozenset[str], key: APIKeyInfo, document: dict[str, Any]) -> None:
    """Set the fields of a key that are made from others."""
    key_id, domain_id = document["_id"], document["domain_id"]
    if "id" in made:
        key.id = opaque_id(domain_id, key_id)
    if "expired" in made:
        key.expired = has_ended(key.expires_at)
    if "secrets" in made:
        key.secrets = live_secrets(document)
    if "tags" in made:
        key.tags = read_tags(document.get("tags"))
    if "user" in made:
        key.user = User(domain_id=domain_id, user_id=key.user_id)
    if "domain" in made:
        key.domain = Domain(domain_id=domain_id)


def makers_of(key: APIKeyInfo) -> tuple[str, ...]:
    """The ids of a key's makers, the first one first; of a key without `makers`, which is older, the last alone."""
    stored = key.__dict__.get("makers")
    if stored is not None:
        return tuple(stored)
    return () if key.created_by is None else (key.created_by,)


def now() -> DateTime:
    """Now, as MongoDB stores it: in whole milliseconds."""
    instant = datetime.now(UTC)
    return DateTime(instant.replace(microsecond=instant.microsecond // 1000 * 1000))


def opaque_id(domain_id: str, key_id: str) -> ID:
    """The id of a key among all objects of this service; clients only compare it and send it back."""
    return ID(urlsafe_b64encode(f"APIKeyInfo:{key_id}:{domain_id}".encode()).decode())


def read_opaque_id(text: str) -> tuple[str, str] | None:
    """The domain and the key that an opaque id names; None where the text is not such an id."""
    try:
        _, key_id, domain_id = urlsafe_b64decode(text.encode("ascii")).decode().split(":", 2)
    except ValueError:
        return None
    return (domain_id, key_id) if opaque_id(domain_id, key_id) == text else None
