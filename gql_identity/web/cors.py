"""Which pages of other origins may call the service (CORS: fetch.spec.whatwg.org, section 3.3)."""

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

from ..settings import PREFIX, Settings

FORWARD_AUTH = "/authz"  # which proxies ask, and pages never do
_METHODS = ("GET", "HEAD", "POST")
NOT_NAMED = f"{PREFIX}CORS_ORIGINS does not name this origin"


def cors_middleware(settings: Settings) -> Middleware:
    """The middleware that answers preflights and names the origin in responses."""
    return Middleware(
        _Cors,
        allow_origins=settings.cors_origins,
        allow_methods=_METHODS,
        # There are no cookies: a page gets only what its own Authorization header opens, whatever else it sends.
        allow_headers=["*"],
        allow_private_network=True,
        expose_headers=["Retry-After", "Sunset", "X-Request-ID"],
    )


class _Cors(CORSMiddleware):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Envoy asks with its client's method and headers, and takes the 200 of a preflight for a valid key.
        is_for_pages = scope["type"] != "http" or not scope["path"].startswith(FORWARD_AUTH)
        await (super().__call__ if is_for_pages else self.app)(scope, receive, send)


def refused_preflight(scope: Scope, settings: Settings) -> dict[str, str]:
    """What the log line of a refused request says if it was a preflight: the origin, and why it was refused."""
    headers = Headers(scope=scope)
    origin, method = headers.get("origin"), headers.get("access-control-request-method")
    if origin is None or method is None:
        return {}
    reason = f"CORS allows {', '.join(_METHODS)}" if origin in settings.cors_origins else NOT_NAMED
    return {"origin": origin, "reason": reason}
