"""Whether a key is valid: the one place that decides it, for callers, verifications and subscriptions; pure."""

from datetime import UTC, datetime
from typing import Any

from ..messages.keys import APIKeyInfo, APIKeyVerificationCode
from ..messages.values import APIKeyState

VALIDITY_FIELDS = frozenset({"state", "expires_at"})  # the stored fields that `is_valid_document` reads


def has_ended(expires_at: datetime | None) -> bool:
    """Whether an end has come: a key is valid while now is before it."""
    return expires_at is not None and datetime.now(UTC) >= expires_at


def code_of(key: APIKeyInfo) -> APIKeyVerificationCode:
    """VALID, or why a key may not be used now: DISABLED comes before EXPIRED."""
    if key.state is not APIKeyState.ENABLED:
        return APIKeyVerificationCode.DISABLED
    return APIKeyVerificationCode.EXPIRED if has_ended(key.expires_at) else APIKeyVerificationCode.VALID


def is_valid(key: APIKeyInfo) -> bool:
    """Whether a key may be used now."""
    return code_of(key) is APIKeyVerificationCode.VALID


def is_valid_document(document: dict[str, Any]) -> bool:
    """As `is_valid`, for a stored document that has the `VALIDITY_FIELDS`."""
    return bool(document["state"] == APIKeyState.ENABLED.name) and not has_ended(document.get("expires_at"))
