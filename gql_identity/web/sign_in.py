"""`POST /sign-in`: the pages exchange the one-time code in a link that `serve` prints for the first key."""

import asyncio
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse

from ..errors import BadRequest, FailedPrecondition, ServiceError, Unauthenticated
from ..settings import Settings
from ..storage.sign_in_codes import SignInCodes
from .deadline import in_time
from .envelope import note_errors

MAX_CODE_CHARACTERS = 100
_REFUSED = "The code of this link was used already or is too old. Start the service again for a new link."


class SignIn:
    """The endpoint. It reads the first key's secret from the data directory, as the database holds only a digest."""

    def __init__(self, codes: SignInCodes, settings: Settings) -> None:
        self._codes = codes
        self._admin_key: Path = settings.data_dir / "admin-key"
        self._timeout_seconds = settings.operation_timeout_seconds

    async def exchange(self, request: Request) -> JSONResponse:
        """Return `{"api_key": SECRET}`, or an error in the shape of REST's."""
        try:
            code = _read_code(await request.body())
            secret = await in_time(self._exchange(code), self._timeout_seconds)
        except ServiceError as error:
            note_errors(request.scope, error.code)
            return JSONResponse({"error": {"code": error.code, "message": error.message}}, error.status, error.headers)
        return JSONResponse({"api_key": secret})

    async def _exchange(self, code: str) -> str:
        """The first key's secret. Raises Unauthenticated, and FailedPrecondition, which does not use up the code."""
        if not await self._codes.is_valid(code):
            raise Unauthenticated(_REFUSED)
        secret = await asyncio.to_thread(self._read_secret)
        if not await self._codes.redeem(code):  # somebody else was faster
            raise Unauthenticated(_REFUSED)
        return secret

    def _read_secret(self) -> str:
        try:
            return self._admin_key.read_text().strip()
        except (OSError, ValueError):  # also a file that is not UTF-8
            raise FailedPrecondition(
                "The first key's file, admin-key, is no longer in the data directory, or cannot be read: put it back "
                "and open the link again, or sign in with the secret of a key."
            ) from None


def _read_code(body: bytes) -> str:
    try:
        match orjson.loads(body):
            case {"code": str(code)} if 1 <= len(code) <= MAX_CODE_CHARACTERS and code.isascii():
                return code
    except orjson.JSONDecodeError:
        pass
    raise BadRequest('Send {"code": "..."}, the code of the link.')
