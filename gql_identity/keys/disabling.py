"""Disabling all keys that match: those of somebody who leaves, or those that a stolen key made."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from strawberry import ID

from ..errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from ..messages.audit import APIKeyAuditAction
from ..messages.connections import APIKeyFilter
from ..messages.keys import DisabledAPIKeys
from ..messages.requests import APIKeyRequest, DisableAPIKeysRequest
from ..messages.values import APIKeyRole, APIKeyState
from ..queries.connections import filter_conditions
from ..settings import Settings
from ..storage.conditional_writes import Disabled, disable_keys
from ..storage.database import Database, Document
from .access import Caller, access_to, domain_of, may_see
from .audit_entries import AuditEntries, log_entry, logs_refusals
from .checks import check_text
from .credentials import Credentials
from .documents import REQUIRED, readable, tell_unreadable, unreadable
from .matching import match_stages, share_of
from .records import now
from .scopes import WRITE
from .system_keys import SystemKeys
from .writes import Rule, UnreadableKey, Writes, unknown_outcome

_UNKNOWN = "Whether all of the keys were disabled is unknown: send the request again, which disables the rest."
MAX_DISABLED = 1_000  # keys of one request
MAX_NAMED = 20  # keys that an error names
MAX_BATCH_KEYS = 200  # of one write, so that the caller's own key is checked in between


class Disabling:
    """Disables many keys that the caller may see."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        credentials: Credentials,
        writes: Writes,
        system_keys: SystemKeys,
        entries: AuditEntries,
    ) -> None:
        self._database = database
        self._settings = settings
        self._credentials = credentials
        self._writes = writes
        self._system_keys = system_keys
        self._entries = entries

    @logs_refusals(APIKeyAuditAction.DISABLED)
    async def disable_matching(self, request: DisableAPIKeysRequest, caller: Caller) -> DisabledAPIKeys:
        """Disable the keys that match, at most MAX_DISABLED, and tell whether there are more.

        The caller's own key stays, so that it can ask again. Not atomic: after an error some keys may be disabled;
        the same request continues. Raises FailedPrecondition that names the keys that stay enabled, as what is stored
        of them cannot be read: all others are disabled then. Raises InvalidArgument, also for a request without any
        condition or with an empty text for names, InsufficientScope, and PermissionDenied for a domain that is not the
        caller's.
        """
        check_text("domain_id", domain_id := domain_of(request, caller))
        if request.user_id is not None:
            check_text("user_id", request.user_id)
        conditions = filter_conditions(request.filter, self._settings, now())
        if request.filter is not None:
            _check_no_empty_text(request.filter, "filter")
        if request.user_id is None and not conditions:
            raise InvalidArgument(
                "give a condition, or `userId`. For all keys of the domain give "
                '`{createdAfter: "1970-01-01T00:00:00Z"}`.',
                at="filter",
            )
        self._credentials.check_newest(caller)
        access_to(caller, domain_id, WRITE)
        if not may_see(caller, domain_id, request.user_id):
            return DisabledAPIKeys(count=0, more=False)
        # A key that was disabled at a lower rank could be enabled by that rank: it is raised, as `disable` does.
        by_lower_rank = {"disabled_rank": {"$not": {"$gte": caller.role.rank}}}
        due: Document = {"$or": [{"state": APIKeyState.ENABLED.name}, by_lower_rank]}
        conditions += [due, {"_id": {"$ne": caller.key_id}}]
        read = [
            *match_stages(domain_id, request.user_id, {"$and": conditions}, caller),
            {"$limit": MAX_DISABLED + 1},
            {"$project": {"_id": 1, "domain_id": 1, "role": 1}},
        ]
        documents = await self._database.aggregate(read, share_of(caller))
        count, left = await self._disable(domain_id, documents[:MAX_DISABLED], caller)
        more = len(documents) > MAX_DISABLED
        if left:
            raise _left_enabled(left, count, more=more)
        return DisabledAPIKeys(count=count, more=more)

    async def _disable(self, domain_id: str, documents: list[Document], caller: Caller) -> tuple[int, list[str]]:
        """Disable these keys; return how many, and the ids of those that stay enabled as they cannot be read."""
        # The last valid SYSTEM key stays: these are ended one by one.
        system = [document["_id"] for document in documents if document.get("role") == APIKeyRole.SYSTEM.name]
        others = [document["_id"] for document in documents if document.get("role") != APIKeyRole.SYSTEM.name]
        count, left, has_begun = 0, list[str](), False
        try:
            for start in range(0, len(others), MAX_BATCH_KEYS):
                batch = others[start : start + MAX_BATCH_KEYS]
                await self._credentials.check_manager(caller)
                has_begun = True
                done = await self._disable_batch(domain_id, batch, caller)
                count += len(done.entries)
                left += done.left
            for key_id in system:
                key = APIKeyRequest(api_key_id=ID(key_id), domain_id=ID(domain_id))
                try:
                    async with self._system_keys.ending(key, caller):
                        has_begun = True
                        await self._writes.change(
                            APIKeyAuditAction.DISABLED, key, caller, disable_rule(caller), unknown=_UNKNOWN
                        )
                    count += 1
                except NotFound:
                    pass  # deleted meanwhile
                except UnreadableKey:
                    if not await self._is_disabled(key, caller):
                        left.append(key_id)
        except (Unavailable, DeadlineExceeded) as error:
            # Before the first write nothing was changed, and the failure of a SYSTEM key's write says this already.
            if not has_begun or error.message.endswith(_UNKNOWN):
                raise
            raise unknown_outcome(error, _UNKNOWN) from error
        return count, left

    async def _disable_batch(self, domain_id: str, batch: list[str], caller: Caller) -> Disabled:
        at = now()
        disabled = partial(self._disabled, caller=caller, at=at)
        try:
            done = await disable_keys(self._database, domain_id, batch, caller.role.rank, at, disabled)
        finally:
            self._credentials.invalidate(*batch)  # also where the outcome is unknown
        for entry in done.entries:
            log_entry(entry)
        return done

    async def _is_disabled(self, key: APIKeyRequest, caller: Caller) -> bool:
        """Whether a key is disabled already, or gone."""
        try:
            document = await self._writes.read(key, caller, WRITE)
        except NotFound:
            return True
        return document.get("state") == APIKeyState.DISABLED.name

    def _disabled(self, keys: Sequence[Document], caller: Caller, at: datetime) -> Disabled:
        """Those of these stored keys that are to be disabled, and those that cannot be."""
        entries, left = list[Document](), list[str]()
        for key in keys:
            is_disabled = key.get("state") == APIKeyState.DISABLED.name
            if names := unreadable(key, ("_id", "disabled_rank", "audit_number")):
                tell_unreadable(key, names)
                if not is_disabled and "_id" not in names:  # without an id that can be read it is accepted nowhere
                    left.append(key["_id"])
            elif not is_disabled or (key.get("disabled_rank") or 0) < caller.role.rank:
                changes = disable_rule(caller)(key, at)
                kept = readable(key, REQUIRED)
                entries.append(self._entries.make(APIKeyAuditAction.DISABLED, kept, changes, caller, at))
        return Disabled(entries, left)


def _check_no_empty_text(part: APIKeyFilter, path: str) -> None:
    """Raise InvalidArgument where a filter asks for names with an empty text, which each name contains.

    An empty text of the other conditions matches no key. The filter is not too deep: its conditions were read before.
    """
    if part.name_contains == "":
        raise InvalidArgument(
            "it is empty, so it matches every key that has a name. Give a text, or leave it out.",
            at=f"{path}.nameContains",
        )
    for name, below in (("and", part.and_ or []), ("or", part.or_ or [])):
        for at, one in enumerate(below):
            _check_no_empty_text(one, f"{path}.{name}[{at}]")


def _left_enabled(key_ids: list[str], count: int, *, more: bool) -> FailedPrecondition:
    named = ", ".join(key_ids[:MAX_NAMED]) + (", ..." if len(key_ids) > MAX_NAMED else "")
    done = "1 key was disabled" if count == 1 else f"{count} keys were disabled"
    others, they, them = ("other", "it was", "it") if len(key_ids) == 1 else ("others", "they were", "them")
    again = " More keys match: send the request again afterwards." if more else ""
    why = f"What is stored of {len(key_ids)} {others} cannot be read, so {they} not: {named}."
    return FailedPrecondition(f"{done}. {why} Delete {them}.{again}")


def disable_rule(caller: Caller) -> Rule:
    """The change that disables a key, at the caller's rank or the higher one that it has."""

    def rule(document: Document, _: datetime) -> Document:
        rank = max(int(document.get("disabled_rank") or 0), caller.role.rank)
        return {"state": APIKeyState.DISABLED.name, "disabled_rank": rank}

    return rule
