"""`KeyAudit`: reads the audit log."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime

from ..execution.turns import turns_of_this_loop
from ..messages.audit import APIKeyAuditActorKind, APIKeyAuditConnection, APIKeyAuditEdge, APIKeyAuditEntry
from ..messages.connections import PageInfo
from ..messages.requests import APIKeyAuditQuery
from ..queries.connections import read_page
from ..queries.inputs import invalid
from ..settings import Settings
from ..storage.database import Database, Document
from .access import Caller, access_to, domain_of
from .audit_entries import AuditEntries
from .checks import check_text
from .matching import share_of
from .scopes import AUDIT

_ID_CHARACTERS = 32


class KeyAudit:
    """The audit log of a domain's keys, as far as a caller may see the keys, also of those that are gone."""

    def __init__(self, database: Database, settings: Settings, entries: AuditEntries) -> None:
        self._database = database
        self._settings = settings
        self._entries = entries

    async def page(self, query: APIKeyAuditQuery, caller: Caller) -> APIKeyAuditConnection:
        """A page of the entries that match, the oldest first.

        Raises InvalidArgument, naming the argument; InsufficientScope, and PermissionDenied for a domain that is not
        the caller's.
        """
        size, backward = read_page(query.first, query.after, query.last, query.before, self._settings)
        read = [
            *_match_stages(query, caller),
            {"$sort": {"_id": -1 if backward else 1}},
            {"$limit": size + 1},
        ]
        owner = share_of(caller)
        documents = await self._database.aggregate(read, owner, collection="audit")
        more = len(documents) > size
        turns, entries = turns_of_this_loop(), list[APIKeyAuditEntry]()
        for document in documents[:size]:
            if turns.is_over():  # a large entry takes 60 us, and a page has a thousand
                await turns.wait(owner)
            entries.append(self._entries.read_any(document))
        if backward:
            entries.reverse()
        edges = [APIKeyAuditEdge(cursor=_make_cursor(entry), node=entry) for entry in entries]
        return APIKeyAuditConnection(
            edges=edges,
            nodes=entries,
            page_info=PageInfo(
                # An entry stands at the cursor, so that side has at least that one.
                has_next_page=query.before is not None if backward else more,
                has_previous_page=more if backward else query.after is not None,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
        )


def _match_stages(query: APIKeyAuditQuery, caller: Caller) -> list[Document]:
    """The first stage picks the index, and the second narrows it further, as for reads of keys.

    The places are one condition on the id: with an `$and` the embedded engine uses no index.
    """
    check_text("domain_id", domain_id := domain_of(query, caller))
    access = access_to(caller, domain_id, AUDIT)
    places: Document = {} if query.after is None else {"$gt": _read_cursor(query.after, "after")}
    if query.before is not None:
        places["$lt"] = _read_cursor(query.before, "before")
    first: Document = {"domain_id": domain_id}
    rest: list[Document] = [access.role_filter] if access.role_filter else []
    if query.api_key_id is not None:
        check_text("api_key_id", query.api_key_id)
        first["api_key_id"] = query.api_key_id
    if query.since is not None:
        places["$gte"] = _first_id(query.since)  # an id is made after its `at`
        rest.append({"at": {"$gte": query.since}})
    if query.until is not None:
        rest.append({"at": {"$lt": query.until}})
    if access.user_id is not None:
        rest.append({"user_id": access.user_id})
    if query.user_id is not None:
        check_text("user_id", query.user_id)
        rest.append({"user_id": query.user_id})
    if query.actor_id is not None:
        check_text("actor_id", query.actor_id)
        is_person = {"actor.kind": APIKeyAuditActorKind.PERSON.name, "actor.user_id": query.actor_id}
        rest.append({"$or": [{"actor.api_key_id": query.actor_id}, is_person]})
    if query.actions is not None:
        rest.append({"action": {"$in": [action.name for action in query.actions]}})
    if places:
        first["_id"] = places
    return [{"$match": first}, *([{"$match": {"$and": rest}}] if rest else [])]


def _first_id(at: datetime) -> str:
    """The least id that an entry of this instant may have: a UUID of version 7 begins with its milliseconds."""
    return f"{max(0, int(at.timestamp() * 1000)):012x}"


def _make_cursor(entry: APIKeyAuditEntry) -> str:
    return urlsafe_b64encode(f"audit:{entry.id}".encode()).decode()


def _read_cursor(cursor: str, path: str) -> str:
    try:
        kind, _, entry_id = urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").partition(":")
    except ValueError:
        kind = entry_id = ""
    if kind != "audit" or len(entry_id) != _ID_CHARACTERS or not entry_id.isalnum():
        raise invalid(path, "invalid cursor: give one that this connection returned")
    return entry_id
