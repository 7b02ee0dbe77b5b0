"""Whether a key is valid: the one place that decides it, for callers, verifications and subscriptions; pure."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..messages.keys import APIKeyInfo
from ..messages.usage import APIKeyVerificationCode
from ..messages.values import APIKeyState, DateTime
from .addresses import is_allowed
from .documents import tell_unreadable, unreadable

# The stored fields that `is_valid_document` reads.
VALIDITY_FIELDS = frozenset({"state", "expires_at", "secrets", "scopes", "allowed_addresses"})


class UsedSecret(NamedTuple):
    """Which secret of a key was sent."""

    number: int  # the first has 1; 0 is the only one of a key that was never rotated
    expires_at: datetime | None = None  # None: it ends with its key
    is_superseded: bool = False  # whether a newer one was used
    supersedes: bool = False  # whether it is the newest of those that overlap, and no use of it is stored


ONLY_SECRET = UsedSecret(0)


def used_secret(key: APIKeyInfo) -> UsedSecret:
    """The secret by which a key was found."""
    found: UsedSecret = key.__dict__.get("used_secret", ONLY_SECRET)  # no field of the message
    return found


def end_of(key: APIKeyInfo) -> DateTime | None:
    """When the secret by which a key was found ends: by itself, or with the key."""
    ends = [end for end in (key.expires_at, used_secret(key).expires_at) if end is not None]
    return DateTime(min(ends)) if ends else None


def has_ended(expires_at: datetime | None) -> bool:
    """Whether an end has come: a key is valid while now is before it."""
    return expires_at is not None and datetime.now(UTC) >= expires_at


def code_of(key: APIKeyInfo) -> APIKeyVerificationCode:
    """VALID, or why the secret may not be used now: ROTATED comes before DISABLED, and that before EXPIRED."""
    if has_ended(used_secret(key).expires_at):
        return APIKeyVerificationCode.ROTATED
    if key.state is not APIKeyState.ENABLED:
        return APIKeyVerificationCode.DISABLED
    return APIKeyVerificationCode.EXPIRED if has_ended(key.expires_at) else APIKeyVerificationCode.VALID


def code_from(key: APIKeyInfo, address: str | None) -> APIKeyVerificationCode:
    """As `code_of`, for a secret that was sent from this address; None where nobody tells the address."""
    code = code_of(key)
    if code is APIKeyVerificationCode.VALID and not is_allowed(key.allowed_addresses, address):
        return APIKeyVerificationCode.ADDRESS_NOT_ALLOWED
    return code


def is_valid(key: APIKeyInfo) -> bool:
    """Whether a key may be used now."""
    return code_of(key) is APIKeyVerificationCode.VALID


def valid_filter(at: datetime) -> dict[str, Any]:
    """As `is_valid_document` at an instant, as a filter: the keys that are valid by any of their secrets."""
    return {"state": APIKeyState.ENABLED.name, "$or": [{"expires_at": None}, {"expires_at": {"$gt": at}}]}


def is_valid_document(document: dict[str, Any], secret: UsedSecret | None = None, address: str = "") -> bool:
    """As `is_valid`, for a stored document that has the `VALIDITY_FIELDS`, by any of its secrets.

    With `secret` for this one, sent from an address.
    """
    if names := unreadable(document, VALIDITY_FIELDS):
        tell_unreadable(document, names)
        return False
    if document["state"] != APIKeyState.ENABLED.name or has_ended(document.get("expires_at")):
        return False
    if secret is None:  # the newest secret ends with the key
        return True
    if not is_allowed(document.get("allowed_addresses"), address):
        return False
    secrets = document.get("secrets")
    if secrets is None:
        return True
    number = secret.number or 1
    return any(one["number"] == number and not has_ended(one.get("expires_at")) for one in secrets)
