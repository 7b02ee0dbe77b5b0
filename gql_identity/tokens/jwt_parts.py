"""The parts of a JSON Web Token as they were sent: nothing of them is verified. Pure."""

import json
from base64 import urlsafe_b64decode
from typing import Any

MAX_TOKEN = 16_384  # characters; the longest scopes and ids make 13,000

HEADER, CLAIMS = 0, 1


def read_part(text: str, at: int) -> dict[str, Any] | None:
    """A part of a JWT, `HEADER` or `CLAIMS`; None where there is none."""
    parts = text.split(".")
    if len(parts) != 3 or len(text) > MAX_TOKEN:
        return None
    try:
        read = json.loads(urlsafe_b64decode(parts[at] + "=" * (-len(parts[at]) % 4)))
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None
