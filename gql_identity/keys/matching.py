"""The stages that every read of many keys starts with."""

from typing import Any

from ..storage.database import Document
from .access import Caller, reach

Owner = tuple[str, str | None]  # a domain, or a user of one


def matches(domain_id: str, user_id: str | None, conditions: Document, caller: Caller) -> list[Document]:
    """The stages that every read of many keys starts with.

    The first picks the index, and nothing in the second can widen it: MongoDB merges the two, and an engine that
    does not still takes the index.
    """
    within = reach(caller, domain_id)
    first = within.first
    if user_id is not None:
        first.setdefault("user_id", user_id)
    rest = [part for part in (within.rest, conditions) if part]
    return [{"$match": first}, *([{"$match": {"$and": rest}}] if rest else [])]


def matches_of_all(owners: list[Owner], conditions: Document, caller: Caller) -> list[Document]:
    """As `matches`, for owners that are all within reach, and all domains or all users."""
    # The caller's reach is alike in every domain that it may name.
    (first, *rest) = matches(*owners[0], conditions, caller)
    first["$match"]["domain_id"] = _one_or_in({domain for domain, _ in owners})
    if users := {user for _, user in owners if user is not None}:
        first["$match"]["user_id"] = _one_or_in(users)
    return [first, *rest]


def owner_key(owners: list[Owner]) -> Document:
    """Whose a key is, as an expression to group by."""
    fields = ("domain_id",) if owners[0][1] is None else ("domain_id", "user_id")
    return {field: f"${field}" for field in fields}


def _one_or_in(values: set[Any]) -> Any:
    return next(iter(values)) if len(values) == 1 else {"$in": sorted(values)}
