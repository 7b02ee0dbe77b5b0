"""Audit entries: what was done to a key, when and by whom. Pure, but for the log.

An entry is stored in the transaction of its change. Its MAC (RFC 2104) tells whether it is as the service wrote it:
the key of the MAC comes from the pepper, so that whoever can write the database alone cannot forge one.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, TypeVar

import orjson
import structlog
import uuid_utils
from graphql import GRAPHQL_MAX_INT
from strawberry import ID
from strawberry.utils.str_converters import to_camel_case

from ..errors import ServiceError
from ..logs import log_in_turn
from ..messages.audit import (
    APIKeyAuditAction,
    APIKeyAuditActor,
    APIKeyAuditActorKind,
    APIKeyAuditChange,
    APIKeyAuditEntry,
)
from ..messages.values import APIKeyRole, DateTime, instant_text, whole_number
from ..secret import audit_mac, pepper_fingerprint
from ..settings import Settings
from ..storage.inserts import NewKey
from .access import COMMAND_LINE, Caller, domain_of
from .documents import LONG_AGO
from .refusals import LINES_OF_A_KEY, Refusals
from .rotation import live_secrets

Document = dict[str, Any]

# The stored fields of a key whose changes an entry tells.
AUDITED = ("name", "state", "role", "expires_at", "scopes", "tags", "allowed_addresses")


class AuditEntries:
    """Makes and reads entries, with the MACs of the settings' peppers."""

    def __init__(self, settings: Settings) -> None:
        self.refusals = Refusals()
        self.kept_for = timedelta(days=settings.audit_days)
        self.use_peppers(settings.peppers)

    def use_peppers(self, peppers: tuple[str, ...]) -> None:
        """Make entries with the first of these peppers, and read those of all."""
        self._peppers = {pepper_fingerprint(pepper): pepper for pepper in peppers}
        # One attribute: threads make entries meanwhile, and each must name the pepper of its MAC.
        self._current = pepper_fingerprint(peppers[0]), peppers[0]

    def new_key(self, key: Document, caller: Caller | None, at: datetime) -> NewKey:
        """A key to insert, with its entry."""
        ids = {name: key[name] for name in ("_id", "domain_id", "user_id")}
        entry = self.make(APIKeyAuditAction.CREATED, ids, key, caller, at)
        return NewKey({**key, **counted(entry)}, entry)

    def make(
        self, action: APIKeyAuditAction, key: Document, changes: Document, caller: Caller | None, at: datetime
    ) -> Document:
        """The entry to store for changes of a stored key, which is given as it was before them.

        Of a key that is created, `key` has the ids alone. Without a caller the command line did it.
        """
        address = (caller and caller.address) or None
        return self._make(action, key, changes, _actor(caller), at, address)

    def expiring(self, key: Document, at: datetime) -> Document:
        """The entry to store for a stored key whose end is near."""
        return self._make(APIKeyAuditAction.EXPIRING, key, {}, {"kind": APIKeyAuditActorKind.SERVICE.name}, at, None)

    def stale_secret_used(self, key: Document, at: datetime, address: str | None) -> Document:
        """The entry to store for a stored key of which a secret was used that a rotation had ended."""
        holder = {"kind": APIKeyAuditActorKind.HOLDER.name}
        return self._make(APIKeyAuditAction.STALE_SECRET_USED, key, {}, holder, at, address)

    def leak_reported(
        self, key: Document, changes: Document, at: datetime, address: str | None, url: str | None
    ) -> Document:
        """The entry to store for a stored key whose secret somebody reported as leaked, found at this URL."""
        holder = {"kind": APIKeyAuditActorKind.HOLDER.name}
        found = [] if url is None else [{"field": "url", "before": None, "after": url}]
        return self._make(APIKeyAuditAction.LEAK_REPORTED, key, changes, holder, at, address, found)

    def _make(
        self,
        action: APIKeyAuditAction,
        key: Document,
        changes: Document,
        actor: Document,
        at: datetime,
        address: str | None,
        told: Sequence[Document] = (),
    ) -> Document:
        previous_ends_at = key.get("audit_ends_at")
        fingerprint, pepper = self._current
        entry = {
            "_id": uuid_utils.uuid7().hex,
            "domain_id": key["domain_id"],
            "api_key_id": key["_id"],
            "user_id": key["user_id"],
            "role": (key | changes)["role"],
            "at": at,
            "action": action.name,
            "actor": actor,
            "changes": [*_changed(key, changes), *told],
            "request_id": structlog.contextvars.get_contextvars().get("request_id"),
            "client_address": address,
            "number": int(key.get("audit_number") or 0) + 1,
            "expires_at": at + self.kept_for,
            # So that `audit-verify` knows for how long the entry before it is missed, whatever the setting was then.
            "previous_ends_at": previous_ends_at if isinstance(previous_ends_at, datetime) else None,
            "pepper": fingerprint,
        }
        return {**entry, "mac": audit_mac(_canonical(entry), pepper)}

    def read_any(self, entry: Document) -> APIKeyAuditEntry:
        """A stored entry; one that cannot be read was changed by somebody else, and is told as far as it can be."""
        try:
            return self.read(entry)
        except (KeyError, TypeError, ValueError, AttributeError):
            at = entry.get("at")
            return APIKeyAuditEntry(
                id=ID(str(entry["_id"])),
                at=DateTime(at if isinstance(at, datetime) else LONG_AGO),
                action=APIKeyAuditAction.UPDATED,
                api_key_id=ID(str(entry.get("api_key_id"))),
                domain_id=ID(str(entry["domain_id"])),
                user_id=ID(str(entry.get("user_id"))),
                actor=APIKeyAuditActor(kind=APIKeyAuditActorKind.UNKNOWN),
                changes=[],
                number=_number(entry) or 0,
                intact=False,
            )

    def read(self, entry: Document) -> APIKeyAuditEntry:
        """A stored entry, checked. Raises an error of Python for one that cannot be read."""
        _canonical({name: value for name, value in entry.items() if name != "mac"})
        actor = entry["actor"]
        texts = [entry[name] for name in ("_id", "api_key_id", "domain_id", "user_id")]
        texts += [
            value for value in (*actor.values(), entry["request_id"], entry["client_address"]) if value is not None
        ]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError
        number = _number(entry)
        if not isinstance(entry["at"], datetime) or number is None:
            raise TypeError
        return APIKeyAuditEntry(
            id=entry["_id"],
            at=DateTime(entry["at"]),
            action=APIKeyAuditAction[entry["action"]],
            api_key_id=entry["api_key_id"],
            domain_id=entry["domain_id"],
            user_id=entry["user_id"],
            actor=APIKeyAuditActor(
                kind=APIKeyAuditActorKind[actor["kind"]],
                api_key_id=actor.get("api_key_id"),
                user_id=actor.get("user_id"),
                domain_id=actor.get("domain_id"),
                issuer=actor.get("issuer"),
                role=APIKeyRole[actor["role"]] if "role" in actor else None,
            ),
            changes=[APIKeyAuditChange(**change) for change in entry["changes"]],
            request_id=entry["request_id"],
            client_address=entry["client_address"],
            number=number,
            intact=self.is_intact(entry),
        )

    def is_intact(self, entry: Document) -> bool | None:
        """Whether a stored entry is as the service wrote it; None without the pepper that it was written with."""
        pepper = self._peppers.get(str(entry.get("pepper")))
        if pepper is None:
            return None
        told = {name: value for name, value in entry.items() if name != "mac"}
        try:
            return bool(entry.get("mac") == audit_mac(_canonical(told), pepper))
        except TypeError:  # a value that no entry has
            return False


def counted(entry: Document) -> Document:
    """The fields of a key that tell of its last entry: how many there were, and how long that one is kept."""
    return {"audit_number": entry["number"], "audit_ends_at": entry["expires_at"]}


def _number(entry: Document) -> int | None:
    """The number of a stored entry; None for one that no entry has."""
    number = whole_number(entry.get("number"))
    return number if number is not None and 0 < number <= GRAPHQL_MAX_INT else None


def _actor(caller: Caller | None) -> Document:
    if caller is None or caller is COMMAND_LINE:
        return {"kind": APIKeyAuditActorKind.COMMAND_LINE.name}
    if caller.is_person:
        named: Document = {"kind": APIKeyAuditActorKind.PERSON.name, "issuer": caller.issuer}
    else:
        named = {"kind": APIKeyAuditActorKind.KEY.name, "api_key_id": caller.key_id}
    return named | {
        "user_id": caller.user_id,
        "domain_id": caller.domain_id,
        "role": caller.role.name,
    }


def _changed(key: Document, changes: Document) -> list[Document]:
    after = {name: value for name, value in (key | changes).items() if value is not None}
    told = [
        {"field": to_camel_case(name), "before": _plain(key.get(name)), "after": _plain(after.get(name))}
        for name in AUDITED
        if name in changes and key.get(name) != after.get(name)
    ]
    if "secrets" in changes:
        before, now = ([one.hint for one in live_secrets(document)] for document in (key, after))
        told.append({"field": "secrets", "before": before, "after": now})
    return told


def _plain(value: Any) -> Any:
    return instant_text(value) if isinstance(value, datetime) else value


def _canonical(entry: Document) -> bytes:
    return orjson.dumps(entry, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)


def log_entry(entry: Document) -> None:
    """Log an entry that was stored, in this turn of the event loop; but a command prints what it did itself."""
    if entry["actor"]["kind"] == APIKeyAuditActorKind.COMMAND_LINE.name:
        return
    log_in_turn(
        "audit",
        action=entry["action"],
        outcome="OK",
        api_key_id=entry["api_key_id"],
        domain_id=entry["domain_id"],
        actor=entry["actor"].get("api_key_id") or entry["actor"].get("user_id"),
        **_issuer(entry["actor"].get("issuer")),
        client_address=entry["client_address"],
        number=entry["number"],
    )


def _issuer(issuer: str | None) -> dict[str, str]:
    """The field of a log line that names a person's issuer."""
    return {} if issuer is None else {"issuer": issuer}


Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


def logs_refusals(action: APIKeyAuditAction) -> Callable[[Method], Method]:
    """Have a method log the refusals of this action. It takes a request and its caller; its object has `_entries`."""

    def decorated(method: Method) -> Method:
        @wraps(method)
        async def call(self: Any, request: Any, caller: Caller | None) -> Any:
            try:
                return await method(self, request, caller)
            except ServiceError as error:
                if caller is None or caller is COMMAND_LINE:
                    raise
                self._entries.refusals.tell(
                    caller.name,
                    LINES_OF_A_KEY,
                    action=action.name,
                    outcome=error.code,
                    api_key_id=getattr(request, "api_key_id", None),
                    domain_id=domain_of(request, caller),
                    actor=caller.name,
                    **_issuer(caller.issuer),
                    client_address=caller.address,
                )
                raise

        return call  # type: ignore[return-value]

    return decorated
