"""What a request tells of the proxies that passed it on."""

from starlette.types import Scope

# RFC 7239; RFC 9110, 7.6.3; nginx's name for the client's address.
_NAMES = frozenset({b"forwarded", b"via", b"x-real-ip"})


def peer_of(scope: Scope) -> str:
    """The address at the other end of the connection: the client's, or the last proxy's; empty if it has none."""
    return scope["client"][0] if scope.get("client") else ""


def is_forwarded(scope: Scope) -> bool:
    """Whether a proxy passed this request on, so that its client may be on any machine whatever the peer's address."""
    return any(name in _NAMES or name.startswith(b"x-forwarded-") for name, _ in scope["headers"])
