"""Bodies of requests while they arrive: how large one may be, and how long it may take."""

import time

from starlette.types import Message, Receive, Scope

from ..errors import BadRequest, Unavailable
from ..metrics import LIMITS
from ..server.incoming import INCOMING
from ..timeouts import Timeout

RETRY_SECONDS = 1
_WITHOUT_BODY = frozenset({"GET", "HEAD"})


class Body:
    """The body of one request. Call it as an ASGI `receive`, and `end` when the request has ended.

    The body of a GET or HEAD has no meaning (RFC 9110, section 9.3.1): it is dropped, however long it is. A response
    that waits for a disconnect meanwhile must not fail for it.
    """

    def __init__(self, scope: Scope, receive: Receive, max_bytes: int, timeout_seconds: float) -> None:
        self.is_given_up = False  # for others, as too many bytes were held
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._receive = receive
        self._max_bytes = max_bytes
        self._deadline = time.monotonic() + timeout_seconds
        self._read = 0
        self.is_complete = False
        self._is_dropped = scope["method"] in _WITHOUT_BODY
        self._is_held = False
        self._timeout: Timeout | None = None  # while something is awaited

    async def __call__(self) -> Message:
        """The next part.

        Raises BadRequest for a body that is too large or arrives too slowly; Unavailable where all bodies of the
        process have too many bytes and this one is the oldest.
        """
        if self.is_complete:  # only a disconnect can follow
            return await self._receive()
        if self._is_dropped:
            dropped = await self._receive()
            return {**dropped, "body": b""} if dropped["type"] == "http.request" else dropped
        if not self._read and self._is_announced_too_large():
            raise self._too_large()
        try:
            with Timeout(max(0, self._deadline - time.monotonic())) as self._timeout:
                message = await self._receive()
        except TimeoutError:
            if self.is_given_up:
                raise _too_much_at_once() from None
            LIMITS.add("body_timeout_seconds")
            raise BadRequest(
                "The body arrived too slowly: send the request again.", 408, {"Connection": "close"}
            ) from None
        finally:
            self._timeout = None
        if self.is_given_up:
            raise _too_much_at_once()
        self._read += len(message.get("body", b""))
        if self._read > self._max_bytes:
            raise self._too_large()
        self.is_complete = not message.get("more_body", False)
        if self.is_complete:
            self.end()
        else:
            self._is_held = True
            INCOMING.hold(self, self._read)
        return message

    def _is_announced_too_large(self) -> bool:
        """Whether Content-Length is: who sends `Expect: 100-continue` need not send it (RFC 9110, section 10.1.1)."""
        for name, value in self._headers:
            if name == b"content-length":
                return int(value) > self._max_bytes
        return False

    def _too_large(self) -> BadRequest:
        LIMITS.add("max_body_bytes")
        return BadRequest(f"The body is larger than {self._max_bytes} bytes: send less.", 413, {"Connection": "close"})

    def end(self) -> None:
        """Stop counting the bytes."""
        if self._is_held:
            INCOMING.end(self)

    def give_up(self) -> None:
        """Refuse the request: the process holds too many bytes."""
        self.is_given_up = True
        if self._timeout is not None:
            self._timeout.expire()


def _too_much_at_once() -> Unavailable:
    error = Unavailable(f"Too many large requests arrive at once. Try again in {RETRY_SECONDS} s.")
    error.headers = {"Retry-After": str(RETRY_SECONDS), "Connection": "close"}
    return error
