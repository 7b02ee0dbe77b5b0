"""Changes of one key: it is read, a rule decides, and a conditional write follows."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime

from ..errors import DeadlineExceeded, FailedPrecondition, NotFound, PermissionDenied, ServiceError, Unavailable
from ..messages.audit import APIKeyAuditAction
from ..messages.requests import APIKeyReference
from ..storage.conditional_writes import delete_key, set_if_unchanged
from ..storage.database import Database, Document
from .access import Caller, access_to, domain_of, is_own
from .audit_entries import AuditEntries, counted, log_entry
from .checks import check_text
from .credentials import REPLACED_SECRET, Credentials
from .documents import CHANGEABLE, REQUIRED, readable, tell_unreadable, unreadable
from .expiry import next_notice
from .records import now
from .rotation import is_superseded_in
from .scopes import WRITE

# Given the stored key and the time, the fields to set, None for a field to remove. Raises ServiceError to refuse.
Rule = Callable[[Document, datetime], Document]

_UNKNOWN = "Whether the key was changed is unknown: read it before you change it again."
_UNKNOWN_DELETE = "Whether the key was deleted is unknown: look for it before you delete it again."
_BUSY = "Other requests are changing this key. Try again."
ATTEMPTS = 20  # of each, at least one of those that change the key at the same time succeeds
WAIT_SECONDS = 0.01  # for each attempt that failed, at most


class UnreadableKey(FailedPrecondition):
    """The key cannot be changed, as something else has stored in it what cannot be read."""


class Writes:
    """Changes and deletes keys that the caller may see."""

    def __init__(self, database: Database, credentials: Credentials, entries: AuditEntries) -> None:
        self._database = database
        self._credentials = credentials
        self._entries = entries

    async def change(
        self,
        action: APIKeyAuditAction,
        request: APIKeyReference,
        caller: Caller,
        rule: Rule,
        scope: str | None = WRITE,
        record: Document | None = None,
        unknown: str = _UNKNOWN,
        look: Callable[[Document], Awaitable[None]] | None = None,
    ) -> Document:
        """Change a key as the rule says, with the record of the request if it has one, and return its document.

        A key that changes between the read and the write is read again. A rule that changes nothing writes nothing.
        `look` is awaited with the stored key before the rule is called, for a rule that needs another read. Raises
        NotFound for a key that is missing or that the caller may not see, what the rule raises, and RequestExistsError.
        Where the outcome of the write is unknown, its error ends with the text `unknown`, and names the key in
        `extensions.apiKeyId`.
        """
        self._credentials.check_newest(caller)

        async def read() -> Document:
            document = await self._read_to_change(request, caller, scope)
            if look is not None:
                await look(document)
            return document

        def entry_of(document: Document, changes: Document, at: datetime) -> Document:
            return self._entries.make(action, document, changes, caller, at)

        return await self._change(read, rule, entry_of, record, unknown)

    async def change_by_holder(self, request: APIKeyReference, holder: Caller, rule: Rule, url: str | None) -> None:
        """Change a key as the rule says for whoever reports its secret, found at this URL, as leaked.

        The key may be one that is not valid any more. Raises NotFound, and FailedPrecondition for what `change` does.
        """
        address = holder.address or None
        await self._change(
            lambda: self.read(request, holder, None),
            rule,
            lambda document, changes, at: self._entries.leak_reported(document, changes, at, address, url),
        )

    async def _change(
        self,
        read: Callable[[], Awaitable[Document]],
        rule: Rule,
        entry_of: Callable[[Document, Document, datetime], Document],
        record: Document | None = None,
        unknown: str = _UNKNOWN,
    ) -> Document:
        for attempt in range(ATTEMPTS):
            if attempt > 1:  # many change this key: they come at different times from now on
                await asyncio.sleep(random.uniform(0, WAIT_SECONDS * attempt))  # noqa: S311
            document = _changeable(await read())
            at = now()
            changes = {name: value for name, value in rule(document, at).items() if document.get(name) != value}
            if not changes:
                return document
            entry = entry_of(document, changes, at)
            if "expires_at" in changes:
                changes["notice_at"] = next_notice(changes["expires_at"], at)
            try:
                is_written = await self._write(document, changes, entry, record)
            except (Unavailable, DeadlineExceeded) as error:
                raise unknown_outcome(error, unknown, apiKeyId=document["_id"]) from error
            if is_written:
                return document | changes
        raise Unavailable(_BUSY)

    async def _write(self, document: Document, changes: Document, entry: Document, record: Document | None) -> bool:
        """Write the changes of a document with their entry; return False if another change came in between."""
        # Every change counts up, so that this number tells whether another one came in between.
        changes |= {**counted(entry), "updated_at": entry["at"]}
        # A move to another pepper changes the digest without counting, and the first use of a JWT its hint too.
        guarded = ("audit_number",) if changes.keys().isdisjoint(("digest", "secrets")) else ("audit_number", "digest")
        if not await set_if_unchanged(self._database, document, guarded, changes, entry, record):
            return False
        self._credentials.invalidate(document["_id"])
        log_entry(entry)
        return True

    async def delete(self, request: APIKeyReference, caller: Caller, scope: str | None = WRITE) -> None:
        """Remove a key; raises NotFound as `change` does."""
        # A key's user and role never change, so what was read of them holds for the write.
        document = await self._read_to_change(request, caller, scope)
        at = now()

        def entry_of(last: Document) -> Document:
            return self._entries.make(APIKeyAuditAction.DELETED, readable(last, REQUIRED), {}, caller, at)

        try:
            entry = await delete_key(self._database, document, entry_of)
        except (Unavailable, DeadlineExceeded) as error:
            raise unknown_outcome(error, _UNKNOWN_DELETE, apiKeyId=document["_id"]) from error
        if entry is None:
            raise not_found()
        self._credentials.invalidate(document["_id"])
        log_entry(entry)

    async def _read_to_change(self, request: APIKeyReference, caller: Caller, scope: str | None) -> Document:
        """As `read`, for a caller that passes `Credentials.check_manager`."""
        await self._credentials.check_manager(caller)
        document = await self.read(request, caller, scope)
        # Of the caller's own key this read is a newer one.
        if is_own(request, caller) and is_superseded_in(document, caller.secret.number):
            raise PermissionDenied(REPLACED_SECRET)
        return document

    async def read(self, request: APIKeyReference, caller: Caller, scope: str | None) -> Document:
        """The stored key, for a caller with this scope.

        Raises InsufficientScope, and NotFound for a key that is missing or that the caller may not see.
        """
        check_text("api_key_id", request.api_key_id)
        check_text("domain_id", domain_id := domain_of(request, caller))
        access = access_to(caller, domain_id, scope)
        where = {"domain_id": domain_id, "_id": request.api_key_id}
        document = await self._database.find_one(where)
        if document is None or not access.includes_document(document):
            raise not_found()
        return document


def _changeable(document: Document) -> Document:
    """The document, with what only describes the key made readable. Raises UnreadableKey where more is not."""
    if names := unreadable(document, CHANGEABLE):
        tell_unreadable(document, names)
        raise UnreadableKey(f"This key cannot be changed: its stored {', '.join(names)} cannot be read. Delete it.")
    # Null is as missing, here too.
    return {name: value for name, value in readable(document, REQUIRED).items() if value is not None}


def not_found() -> NotFound:
    """The same error for a key that is missing and one that the caller may not see."""
    return NotFound("There is no such key.")


def unknown_outcome(error: Unavailable | DeadlineExceeded, told: str, **extensions: str) -> ServiceError:
    """The error for a write whose outcome is unknown."""
    # A new one: other requests of the same batch may hold this one. To try again may make a second key.
    return type(error)(f"{error.message.removesuffix(' Try again.')} {told}", **extensions)
