"""`GET /authz`: forward authentication. A proxy asks about each request that it receives, and passes on who sent it.

For nginx's `auth_request`, Traefik, Caddy and Envoy's `ext_authz`: examples/forward-auth.
"""

from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ..errors import BadRequest, InsufficientScope, ServiceError
from ..keys.access import Caller
from ..keys.scopes import IMPLIED, missing_scopes, read_scopes
from ..metrics import VERIFICATIONS
from ..settings import Settings
from .authentication import Authenticator
from .bodies import read_query_string
from .cors import FORWARD_AUTH
from .deadline import in_time
from .oauth_errors import error_response

if TYPE_CHECKING:
    from ..tokens.exchange import Tokens

# Printable ASCII but for `%`, by which all else is told, and the comma, at which proxies join and split headers.
_AS_IT_IS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "%,")


class ForwardAuth:
    """The ASGI application at `/authz`: whether the request's own Authorization header is accepted."""

    def __init__(self, authenticator: Authenticator, settings: Settings, tokens: "Tokens | None") -> None:
        self._authenticator = authenticator
        self._tokens = tokens
        self._timeout_seconds = settings.operation_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 200 with the headers `X-Auth-...`, and with an issuer a token to pass on.

        Otherwise answer 401, 403, 429, or 503 while the database is unavailable. A request that cannot be read is 400,
        so that a mistake in a proxy's configuration lets nothing through.
        """
        try:
            headers = await in_time(self._check(scope), self._timeout_seconds)
        except ServiceError as error:
            await error_response(error, scope)(scope, receive, send)
            return
        await Response(headers=headers)(scope, receive, send)

    async def _check(self, scope: Scope) -> dict[str, str]:
        """The headers of the response to a credential that is accepted."""
        needed = await _needed_scopes(scope)
        caller = await self._authenticator.require(scope)
        missing = missing_scopes(caller.scopes, [needed])
        VERIFICATIONS.add("INSUFFICIENT_SCOPE" if missing else "VALID", "authz")
        if missing:
            lacked = f"the scope{'s' if len(missing) > 1 else ''} {' and '.join(missing)}"
            raise InsufficientScope(f"This {caller.noun} lacks {lacked}.", *missing)
        return _headers(caller) | await self._token(caller, scope)

    async def _token(self, caller: Caller, scope: Scope) -> dict[str, str]:
        """The header with which the proxy replaces its client's: a token instead of a secret, a token as it came."""
        if self._tokens is None:
            return {}
        if caller.credential is None:
            return {"Authorization": Headers(scope=scope)["authorization"]}
        token = await self._tokens.kept_token(caller)
        return {} if token is None else {"Authorization": f"Bearer {token}"}


def forward_auth_routes(authenticator: Authenticator, settings: Settings, tokens: "Tokens | None") -> list[Route]:
    """The routes of forward authentication.

    Envoy asks with the path and method of its client's request, below a prefix of ours.
    """
    endpoint = ForwardAuth(authenticator, settings, tokens)
    return [Route(FORWARD_AUTH, endpoint, methods=["GET"]), Route(f"{FORWARD_AUTH}/path/{{path:path}}", endpoint)]


async def _needed_scopes(scope: Scope) -> list[str]:
    if scope["path"] != FORWARD_AUTH:
        return []  # the query string is that of the proxy's client
    query = await read_query_string(scope)
    if query.keys() - {"scope"}:
        raise BadRequest("Give no other parameter than `scope`.")
    return read_scopes(query["scope"]) if "scope" in query else []


def _headers(caller: Caller) -> dict[str, str]:
    # All of them, always: a proxy that copies only those that are there would pass on the client's own ones.
    scopes = IMPLIED if caller.scopes is None else caller.scopes
    values = {
        "X-Auth-Key-Id": caller.key_id,
        "X-Auth-User": caller.user_id,
        "X-Auth-Domain": caller.domain_id,
        "X-Auth-Role": caller.role.name,
    }
    return {name: quote(value, safe=_AS_IT_IS) for name, value in values.items()} | {
        "X-Auth-Scopes": " ".join(sorted(scopes))
    }
