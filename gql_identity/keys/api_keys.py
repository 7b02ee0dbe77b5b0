"""`ApiKeys`: create, update, rotate, enable, disable and delete one key.

Each operation checks what the caller may do and reads only keys that it may see, so that no interface can forget it.
"""

from contextlib import nullcontext
from datetime import datetime
from functools import partial

import uuid_utils
from strawberry import UNSET

from .. import secret
from ..errors import DeadlineExceeded, FailedPrecondition, PermissionDenied, Unavailable
from ..messages.audit import APIKeyAuditAction
from ..messages.keys import APIKeyInfo, DeletedAPIKey
from ..messages.requests import (
    APIKeyRequest,
    CreateAPIKeyRequest,
    RotateAPIKeyRequest,
    UpdateAPIKeyRequest,
)
from ..messages.values import APIKeyRole, APIKeyState
from ..settings import Settings
from ..storage.database import Database, Document
from ..storage.inserts import BatchedInserts, insert_once
from ..storage.request_records import RequestExistsError
from ..storage.usage_counts import UsageCounts
from .access import (
    COMMAND_LINE,
    Caller,
    access_to,
    check_create,
    check_may_hold,
    check_not_narrowed,
    domain_of,
    is_own,
    makers_of_created,
    new_scopes,
    scope_to_end,
    scope_to_renew,
    scopes_of_created,
)
from .addresses import check_addresses, check_within, is_allowed
from .audit import KeyAudit
from .audit_entries import AuditEntries, log_entry, logs_refusals
from .checks import check_free_text, check_text
from .credentials import Credentials
from .digests import digests_of
from .disabling import Disabling, disable_rule
from .expiry import check_future, check_new_end, end_of_created, next_notice
from .expiry_notices import ExpiryNotices
from .leaks import Leaks
from .lists import KeyLists
from .rates import Rates
from .reads import KeyReads
from .records import now, opaque_id, read_key
from .retries import Retries
from .rotation import check_overlap, overlap_ended, rotated
from .scopes import WRITE, check_scopes
from .statistics import KeyStatistics
from .system_keys import SystemKeys
from .tags import check_tags
from .usage import KeyUsage
from .uses import KeyUses
from .verification import Verification
from .writes import Writes, unknown_outcome

_UNKNOWN_ROTATION = (
    "Whether the secret was replaced is unknown: `rotated_at` tells it. A rotation with a `request_id` can be sent "
    "again, and returns the same secret."
)


class ApiKeys:
    """The keys of a database; `reads`, `lists` and `statistics` read them, `disabling` disables many."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self.max_page_size = settings.max_page_size
        self.scopes_in_sdl = settings.scopes_in_sdl
        self.rates = Rates(settings)
        self.credentials = Credentials(database, settings)
        self.lists = KeyLists(database, settings)
        self.statistics = KeyStatistics(database, settings)
        self.reads = KeyReads(database)
        self._inserts = BatchedInserts(database)
        self._entries = AuditEntries(settings)
        counts = UsageCounts(database, settings.usage_days)
        self.usage = KeyUsage(counts, settings)
        self.uses = KeyUses(database, self.credentials.last_uses, counts, self._entries)
        self.verification = Verification(self.credentials, self.uses)
        self.expiry_notices = ExpiryNotices(database, self._entries)
        self.audit = KeyAudit(database, settings, self._entries)
        self._retries = Retries(database, settings)
        self._writes = Writes(database, self.credentials, self._entries)
        self.system_keys = SystemKeys(database, self._writes)
        self.leaks = Leaks(self.credentials, self._writes, self.system_keys, self.uses, self.rates)
        self.disabling = Disabling(database, settings, self.credentials, self._writes, self.system_keys, self._entries)

    def use_peppers(self, peppers: tuple[str, ...]) -> None:
        """Use other peppers from now on, today's first. The database must have accepted them."""
        self.credentials.use_peppers(peppers)
        self._entries.use_peppers(peppers)
        self._retries.use_peppers(peppers)

    @logs_refusals(APIKeyAuditAction.CREATED)
    async def create(self, request: CreateAPIKeyRequest, caller: Caller | None) -> APIKeyInfo:
        """Create a key; its secret is returned here once and never again.

        Without a caller (from the command line) any key may be created. Raises PermissionDenied. Where the outcome is
        unknown, the error's `extensions.apiKeyId` names the key that may have been created.
        """
        domain_id = domain_of(request, caller or COMMAND_LINE)
        check_free_text("user_id", request.user_id)
        check_free_text("domain_id", domain_id)
        if request.name is not None:
            check_free_text("name", request.name)
        scopes = None if request.scopes is None else check_scopes(request.scopes)
        tags = check_tags(request.tags or ())
        networks = None if request.allowed_addresses is None else check_addresses(request.allowed_addresses)
        if caller is not None:
            self.credentials.check_newest(caller)
            check_create(caller, request)
            # Before what depends on the time and the settings: a key that was made then is made.
            if (made := await self._made_before(request, caller)) is not None:
                return made
        made_at, makers, end = now(), list[str](), request.expires_at
        if end is not None:
            check_future(end, made_at)
        if caller is not None:
            makers = makers_of_created(caller)
            end = end_of_created(end, caller, self._settings, made_at)
            scopes = scopes_of_created(scopes, caller)
            if networks is None and caller.allowed_addresses is not None:
                networks = list(caller.allowed_addresses)
            check_within(networks, caller.allowed_addresses)
            await self.rates.create(caller)
            await self.credentials.check_manager(caller)
        key_id = f"api-key-{uuid_utils.uuid7().hex}"
        text, record = self._retries.new_secret(request, caller, key_id)
        document: Document = {
            "_id": key_id,
            "domain_id": str(domain_id),
            "user_id": str(request.user_id),
            "state": APIKeyState.ENABLED.name,
            "role": request.role.name,
            "name": request.name,
            **self.credentials.stored(text),
            "hint": secret.hint(text),
            "created_at": made_at,
            "created_by": None if caller is None or caller.is_person else caller.key_id,
            "makers": makers,
            "last_accessed_at": None,
        }
        person = caller.user_id if caller is not None and caller.is_person else None
        given = {"scopes": scopes, "tags": tags, "allowed_addresses": networks, "created_by_user_id": person}
        document |= {name: value for name, value in given.items() if value is not None}
        if end is not None:
            document |= {"expires_at": end, "lifetime_seconds": int((end - made_at).total_seconds())}
            if (notice_at := next_notice(end, made_at)) is not None:
                document["notice_at"] = notice_at
        new = self._entries.new_key(document, caller, made_at)
        try:
            await (self._inserts.insert(new) if record is None else insert_once(self._database, new, record))
        except RequestExistsError:  # the same request, sent twice at once
            return await self._made(request, caller)
        except (Unavailable, DeadlineExceeded) as error:
            advice = (
                "look for `api_key_id` before you create another one. A create with a `request_id` can be sent again, "
                "and returns the same key."
                if record is None
                else "send the same request again, which returns the same key."
            )
            raise unknown_outcome(error, f"Whether the key was made is unknown: {advice}", apiKeyId=key_id) from error
        log_entry(new.entry)
        key = read_key(document)
        key.api_key = text
        return key

    @logs_refusals(APIKeyAuditAction.UPDATED)
    async def update(self, request: UpdateAPIKeyRequest, caller: Caller) -> APIKeyInfo:
        """Change a key's name, end, scopes, tags and allowed addresses: what is absent stays, what is null is removed.

        Raises NotFound as `enable` does, InvalidArgument, and PermissionDenied for an end, scopes or addresses that the
        caller may not give, and where the last SYSTEM key that may change keys could change none any more.
        """
        if request.name not in (None, UNSET):
            check_free_text("name", request.name)
        scopes, tags, networks = request.scopes, request.tags, request.allowed_addresses
        new: Document = {
            "scopes": check_scopes(scopes) if scopes not in (None, UNSET) else scopes,
            "tags": check_tags(tags or ()) if tags is not UNSET else UNSET,
            "allowed_addresses": check_addresses(networks) if networks not in (None, UNSET) else networks,
        }

        def rule(document: Document, at: datetime) -> Document:
            given = {name: getattr(request, name) for name in ("name", "expires_at")}
            changes = {name: value for name, value in (given | new).items() if value is not UNSET}
            if "expires_at" in changes:
                check_new_end(changes["expires_at"], document, caller, self._settings, at)
            if "scopes" in changes:
                changes["scopes"] = new_scopes(changes["scopes"], document.get("scopes"), caller)
            if "allowed_addresses" in changes and changes["allowed_addresses"] != document.get("allowed_addresses"):
                check_within(changes["allowed_addresses"], caller.allowed_addresses)
            return changes

        others = (request.name, scopes, tags, networks)
        only_end = all(value is UNSET for value in others)
        scope = scope_to_renew(request, caller) if only_end else WRITE
        loses_write = scopes not in (None, UNSET) and WRITE not in scopes
        shuts_out = networks not in (None, UNSET) and not is_allowed(new["allowed_addresses"], caller.address)
        async with self.system_keys.ending(request, caller) if loses_write or shuts_out else nullcontext():
            return read_key(await self._writes.change(APIKeyAuditAction.UPDATED, request, caller, rule, scope))

    @logs_refusals(APIKeyAuditAction.ROTATED)
    async def rotate(self, request: RotateAPIKeyRequest, caller: Caller) -> APIKeyInfo:
        """Give a key another secret under its id, which is returned here once; the present one overlaps.

        Raises NotFound as `enable` does; InvalidArgument; PermissionDenied for a key that may do more than the caller;
        FailedPrecondition for an expired key, where two secrets overlap already and the request does not say which one
        ends, and where it would end the secret with which a key rotates itself. Where the outcome is unknown, the error
        names the key as that of `create` does.
        """
        own = is_own(request, caller)
        check_overlap(request.overlap_seconds, own=own)
        scope = scope_to_renew(request, caller)
        check_text("api_key_id", request.api_key_id)
        check_text("domain_id", domain_id := domain_of(request, caller))
        self.credentials.check_newest(caller)
        access_to(caller, domain_id, scope)
        if (made := await self._made_before(request, caller)) is not None:
            return made
        text, record = self._retries.new_secret(request, caller, request.api_key_id)
        stored = {**self.credentials.stored(text), "hint": secret.hint(text)}
        sent = caller.secret if own else None
        accepts_jwts = False

        async def look(document: Document) -> None:
            nonlocal accepts_jwts
            # Only an imported key has a secret whose digest is not known.
            if None in digests_of(document):
                accepts_jwts = await self.credentials.accepts_jwts(domain_id)

        def rule(document: Document, at: datetime) -> Document:
            if not own:
                check_may_hold(document, caller)
            elif caller.credential is None:
                check_not_narrowed(document, caller)
            changes: Document = {}
            if request.expires_at is not UNSET:
                check_new_end(request.expires_at, document, caller, self._settings, at)
                changes["expires_at"] = request.expires_at
            end = (document | changes).get("expires_at")
            return changes | rotated(document, stored, request, end, at, sent=sent, accepts_jwts=accepts_jwts)

        try:
            document = await self._writes.change(
                APIKeyAuditAction.ROTATED, request, caller, rule, scope, record, _UNKNOWN_ROTATION, look
            )
        except RequestExistsError:
            return await self._made(request, caller)
        except FailedPrecondition:
            # The same request may have been sent twice at once: then the other one made the overlap.
            if (made := await self._made_before(request, caller)) is not None:
                return made
            raise
        key = read_key(document)
        key.api_key = text
        return key

    async def _made_before(
        self, request: CreateAPIKeyRequest | RotateAPIKeyRequest, caller: Caller | None
    ) -> APIKeyInfo | None:
        """What the same request made before, as `Retries.made_before`, for a caller whose key is still valid."""
        if request.request_id is not None and caller is not None:
            await self.credentials.check_manager(caller)
        return await self._retries.made_before(request, caller)

    async def _made(self, request: CreateAPIKeyRequest | RotateAPIKeyRequest, caller: Caller | None) -> APIKeyInfo:
        if (made := await self._made_before(request, caller)) is None:
            raise Unavailable("The same request has just ended. Try again.")
        return made

    @logs_refusals(APIKeyAuditAction.OVERLAP_ENDED)
    async def end_overlap(self, request: APIKeyRequest, caller: Caller) -> APIKeyInfo:
        """End the older secret that a rotation left; a key with one secret stays as it is.

        Raises NotFound as `enable` does, and FailedPrecondition for a key that would end the secret that it sent.
        """
        rule = partial(overlap_ended, sent=caller.secret if is_own(request, caller) else None)
        return read_key(await self._writes.change(APIKeyAuditAction.OVERLAP_ENDED, request, caller, rule))

    @logs_refusals(APIKeyAuditAction.ENABLED)
    async def enable(self, request: APIKeyRequest, caller: Caller) -> APIKeyInfo:
        """Make a disabled key valid again; an enabled key stays as it is.

        Raises NotFound for a key that is missing or that the caller may not see, PermissionDenied for one that was
        disabled at a rank above the caller's.
        """

        def rule(document: Document, _: datetime) -> Document:
            if caller.role is not APIKeyRole.SYSTEM and document.get("disabled_rank", 0) > caller.role.rank:
                raise PermissionDenied("This key was disabled by a higher role, and only that role may enable it.")
            return {"state": APIKeyState.ENABLED.name, "disabled_rank": None}

        return read_key(await self._writes.change(APIKeyAuditAction.ENABLED, request, caller, rule))

    @logs_refusals(APIKeyAuditAction.DISABLED)
    async def disable(self, request: APIKeyRequest, caller: Caller) -> APIKeyInfo:
        """Make a key invalid until it is enabled; a disabled key stays as it is, but for the rank that may enable it.

        Raises NotFound for a key that is missing or that the caller may not see, PermissionDenied for the last valid
        SYSTEM key.
        """
        rule, scope = disable_rule(caller), scope_to_end(request, caller)
        async with self.system_keys.ending(request, caller):
            return read_key(await self._writes.change(APIKeyAuditAction.DISABLED, request, caller, rule, scope))

    @logs_refusals(APIKeyAuditAction.DELETED)
    async def delete(self, request: APIKeyRequest, caller: Caller) -> DeletedAPIKey:
        """Remove a key for good.

        Raises NotFound for a key that is missing or that the caller may not see, PermissionDenied for the last valid
        SYSTEM key.
        """
        async with self.system_keys.ending(request, caller):
            await self._writes.delete(request, caller, scope_to_end(request, caller))
        domain_id = domain_of(request, caller)
        return DeletedAPIKey(
            id=opaque_id(domain_id, request.api_key_id), api_key_id=request.api_key_id, domain_id=domain_id
        )
