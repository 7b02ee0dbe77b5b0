"""Reads of keys of all domains, for whoever runs commands on the machine; no caller limits them."""

from collections.abc import AsyncIterator

from ..messages.keys import APIKeyInfo
from ..storage.database import Database, Document
from ..storage.pages import pages
from .keys_left import is_left, is_lost
from .records import read_key
from .writes import not_found

UNKNOWN = "unknown"  # the pepper of digests that have no fingerprint beside them


async def get_key(database: Database, key_id: str, domain_id: str | None, user_id: str | None = None) -> APIKeyInfo:
    """A key by its id alone; raises NotFound, also for one of another domain or user where these are given."""
    found = await database.find_one({"_id": key_id})
    if found is None or any(found.get(field) != value for field, value in _owner(domain_id, user_id).items()):
        raise not_found()
    return _read(found, database.meta_document.accepted_peppers)


async def keys_of(
    database: Database, domain_id: str | None, user_id: str | None, pepper: str | None = None
) -> AsyncIterator[APIKeyInfo]:
    """The keys of a domain or of all, and of a user or of all, the oldest first; read in pages.

    With the fingerprint of a pepper, or UNKNOWN, only those that are left under it.
    """
    fingerprint, accepted = None if pepper == UNKNOWN else pepper, database.meta_document.accepted_peppers
    where = _owner(domain_id, user_id) | ({} if pepper is None else {"pepper": fingerprint})
    async for documents in pages(database, where):
        for document in documents:
            if pepper is None or is_left(document, fingerprint):
                yield _read(document, accepted)


def pepper_is_lost(key: APIKeyInfo) -> bool:
    """Whether a key of `get_key` or `keys_of` is not accepted, as the settings lack the peppers of its secrets."""
    return bool(key.__dict__["pepper_is_lost"])  # no field of the message


def _read(document: Document, accepted: list[str]) -> APIKeyInfo:
    key = read_key(document)
    key.__dict__["pepper_is_lost"] = is_lost(document, accepted)
    return key


async def count_keys(database: Database, domain_id: str | None, user_id: str | None) -> int:
    """How many keys `keys_of` finds."""
    where = _owner(domain_id, user_id)
    return await database.run(lambda: database.api_keys.count_documents(where))


def _owner(domain_id: str | None, user_id: str | None) -> Document:
    owner = {"domain_id": domain_id, "user_id": user_id}
    return {field: value for field, value in owner.items() if value is not None}
