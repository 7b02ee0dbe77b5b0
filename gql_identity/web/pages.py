"""The pages for browsers, GraphiQL and the console: their files, their policy, and their sign-in."""

import os
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Scope

from ..settings import Settings
from ..storage.database import Database
from ..storage.sign_in_codes import SignInCodes
from .proxies import is_forwarded
from .sign_in import SignIn

GRAPHIQL = Path(__file__).parent.parent / "pages" / "graphiql" / "index.html"
CONSOLE = GRAPHIQL.parent.parent / "console" / "index.html"
PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; worker-src 'self'; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


def page_routes(database: Database, settings: Settings) -> list[BaseRoute]:
    """The routes of the console, of the pages' files and of their sign-in; none where the pages are off."""
    if not (settings.shows_graphiql and GRAPHIQL.exists()):
        return []
    sign_in = SignIn(SignInCodes(database, settings.peppers[0]), settings)

    async def console(request: Request) -> Response:
        if is_forwarded(request.scope) and not settings.shows_graphiql_through_proxies:
            raise HTTPException(404)
        return FileResponse(CONSOLE, media_type="text/html", headers=PAGE_HEADERS)

    return [
        Route("/console", console),
        Mount("/pages", PageFiles(directory=GRAPHIQL.parent.parent)),
        Route("/sign-in", sign_in.exchange, methods=["POST"]),
    ]


class PageFiles(StaticFiles):
    """The pages' scripts and styles, compressed when they were built.

    Their names change with their content, so browsers may cache them for good.
    """

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file, compressed for clients that take gzip."""
        compressed = Path(f"{full_path}.gz")
        takes_gzip = "gzip" in _encodings(Headers(scope=scope).get("accept-encoding", "")) and compressed.exists()
        if takes_gzip:
            full_path, stat_result = compressed, compressed.stat()
        response = super().file_response(full_path, stat_result, scope, status_code)
        if takes_gzip:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def _encodings(accepted: str) -> set[str]:
    """The content codings that an Accept-Encoding header allows (RFC 9110, section 12.5.3)."""
    codings = [part.replace(" ", "").lower().partition(";q=") for part in accepted.split(",")]
    return {name for name, _, weight in codings if not weight or weight.strip("0.")}
