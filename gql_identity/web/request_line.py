"""What the log line of a request says: who asked for what, from where, and why it failed."""

import re
from typing import Any

from starlette.types import Scope

from ..settings import Settings
from .clients import address_of

PROBES = frozenset({"/livez", "/readyz"})  # asked for every few seconds: they have no line
# W3C Trace Context, section 3.2. An id of zeros only is invalid.
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def request_line(scope: Scope, settings: Settings) -> dict[str, Any]:
    """The fields of a request's line that HTTP and WebSocket share; those without a value are left out.

    The caller's key or the person, with their domain and role; the address, the one that a trusted proxy names
    included; the trace that the client or its gateway began, or this service if it makes spans.
    """
    line: dict[str, Any] = {"path": scope["path"], "address": address_of(scope, settings)}
    if (caller := scope.get("caller")) is not None:
        if caller.is_person:
            line["user_id"], line["issuer"] = caller.user_id, caller.issuer
        else:
            line["key_id"] = caller.key_id
        line["domain_id"] = caller.domain_id
        line["role"] = caller.role.name
    if (trace_id := scope.get("trace_id")) is not None:
        line["trace_id"] = trace_id
        return line
    for name, value in scope["headers"]:
        if name == b"traceparent":
            if found := _TRACEPARENT.fullmatch(value):
                line["trace_id"] = found[1].decode()
            break
    return line
