"""Whether a key is valid: the one place that decides it, for callers, verifications and subscriptions; pure."""

from typing import Any

from ..messages.keys import APIKeyInfo
from ..messages.values import APIKeyState

VALIDITY_FIELDS = frozenset({"state"})  # the stored fields that `is_valid_document` reads


def is_valid(key: APIKeyInfo) -> bool:
    """Whether a key may be used now."""
    return key.state is APIKeyState.ENABLED


def is_valid_document(document: dict[str, Any]) -> bool:
    """As `is_valid`, for a stored document that has the `VALIDITY_FIELDS`."""
    return bool(document["state"] == APIKeyState.ENABLED.name)
