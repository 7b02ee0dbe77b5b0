"""The stages that every read of many keys starts with."""

from typing import Any

from ..messages.values import APIKeyRole
from ..storage.database import Document
from ..storage.scans import Share
from .access import Caller, access_to

Owner = tuple[str, str | None]  # a domain, or a user of one


def match_stages(domain_id: str, user_id: str | None, conditions: Document, caller: Caller) -> list[Document]:
    """The `$match` stages that every read of many keys starts with.

    The first picks the index, and nothing in the second can widen it: MongoDB merges the two, and an engine that
    does not still takes the index.
    """
    access = access_to(caller, domain_id)
    first = access.indexed_filter
    if user_id is not None:
        first.setdefault("user_id", user_id)
    rest = [part for part in (access.role_filter, conditions) if part]
    return [{"$match": first}, *([{"$match": {"$and": rest}}] if rest else [])]


def match_stages_of_all(owners: list[Owner], conditions: Document, caller: Caller) -> list[Document]:
    """As `match_stages`, for owners that the caller may see; they are all domains or all users."""
    # The caller's access is the same in every domain that it may name.
    (first, *rest) = match_stages(*owners[0], conditions, caller)
    first["$match"]["domain_id"] = _one_or_in({domain for domain, _ in owners})
    if users := {user for _, user in owners if user is not None}:
        first["$match"]["user_id"] = _one_or_in(users)
    return [first, *rest]


def owner_key(owners: list[Owner]) -> Document:
    """The owner of a key, as an expression to group by."""
    fields = ("domain_id",) if owners[0][1] is None else ("domain_id", "user_id")
    return {field: f"${field}" for field in fields}


def _one_or_in(values: set[Any]) -> Any:
    return next(iter(values)) if len(values) == 1 else {"$in": sorted(values)}


def share_of(caller: Caller) -> Share:
    """Whose share of the database a caller's reads of many keys take."""
    return Share(caller.domain_id, caller.user_id, is_service=caller.role is APIKeyRole.SYSTEM)
