"""The handshake of a WebSocket: which pages may open one, and with which headers."""

from urllib.parse import SplitResult, urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.types import Scope

from ..addresses import is_within
from ..settings import Settings
from .clients import address_of
from .cors import NOT_NAMED
from .proxies import peer_of

log = structlog.get_logger()


def may_connect(scope: Scope, settings: Settings) -> bool:
    """Whether the client that sends this handshake may open a WebSocket.

    Browsers let any page open a WebSocket, without asking as they do for other requests: so a page of another origin
    is refused here, unless `cors_origins` names it. What is no browser sends no Origin.
    """
    headers = Headers(scope=scope)
    # Several Authorization headers are refused over HTTP too: a proxy before us may have checked another than we would.
    if len(headers.getlist("authorization")) > 1:
        log.info("websocket refused", reason="several Authorization headers", address=address_of(scope, settings))
        return False
    return all(_is_allowed(origin, scope, headers, settings) for origin in headers.getlist("origin"))


def _is_allowed(origin: str, scope: Scope, headers: Headers, settings: Settings) -> bool:
    if origin in settings.cors_origins:
        return True
    hosts = headers.getlist("host")
    if is_within(peer_of(scope), settings.trusted_proxies):
        hosts += [host.strip() for line in headers.getlist("x-forwarded-host") for host in line.split(",")]
    if any(_is_same_host(origin, host) for host in hosts):
        return True
    log.info("websocket refused", origin=origin, reason=NOT_NAMED, address=address_of(scope, settings))
    return False


def _is_same_host(origin: str, host: str) -> bool:
    # The scheme differs behind a proxy that ends TLS, and some proxies leave the port out of Host.
    page, service = _split(origin), _split(f"//{host}")
    if page is None or service is None or not page.hostname or page.hostname != service.hostname:
        return False
    if page.scheme not in ("http", "https"):
        return False
    # Without a port, a page has come from its scheme's own: not from a service at another one of the same host.
    return service.port is None or service.port in ((80, 443) if page.port is None else (page.port,))


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises for what is no port
    except ValueError:
        return None
    return parts
