"""An OpenID provider on loopback: its metadata, its keys, and the tokens that it signs. It can misbehave, too."""

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from typing import Any, Self

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

AUDIENCE = "https://keys.example"
DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/keys"
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]

Reply = Callable[[asyncio.StreamWriter], Any]

_idle: list[Any] = []  # first keys of providers that have ended: to make one takes longer than most of the tests


class Provider:
    """A provider, for as long as the block lasts."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.keys: dict[str, Any] = {}
        self.asked: list[str] = []  # the paths that were asked for
        self.metadata: dict[str, Any] = {}  # what the metadata say otherwise
        self.replies: dict[str, Reply] = {}  # what is sent otherwise, by path
        self._writers: set[asyncio.StreamWriter] = set()
        self._first = _idle.pop() if _idle else _make("RS256", "first")
        self.keys["first"] = self._first

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        scheme = "http" if self._tls is None else "https"
        self.issuer = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()
        _idle.append(self._first)

    def add(self, kid: str, algorithm: str = "RS256") -> None:
        """Make and publish a key."""
        self.keys[kid] = _make(algorithm, kid)

    @property
    def published(self) -> list[dict[str, Any]]:
        return [key.as_dict(private=False, use="sig") for key in self.keys.values()]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of an access token for the service; None leaves one out."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 300, "jti": "1"}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, kid: str = "first", algorithm: str = "RS256", typ: str = "at+jwt", **changes: Any) -> str:
        """A token as the provider signs it."""
        header = {"alg": algorithm, "kid": kid, "typ": typ}
        return jwt.encode(header, self.claims(**changes), self.keys[kid], algorithms=[algorithm])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode().partition("?")[0]
            self.asked.append(path)
            if (reply := self.replies.get(path)) is not None:
                await reply(writer)
                return
            told = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}{JWKS}"} | self.metadata
            await respond(json.dumps(told if path == DISCOVERY else {"keys": self.published}).encode())(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # it had enough
        finally:
            self._writers.discard(writer)
            writer.close()


def respond(body: bytes, status: str = "200 OK", **headers: str) -> Reply:
    """A reply with a body."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        told = {"Content_Type": "application/json", "Content_Length": str(len(body))} | headers
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
        writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)
        await writer.drain()

    return reply


async def hang(writer: asyncio.StreamWriter) -> None:
    """Say nothing, and keep the connection."""
    await asyncio.Event().wait()


async def drip(writer: asyncio.StreamWriter) -> None:
    """Send a header that never ends, a byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


def _make(algorithm: str, kid: str) -> Any:
    parameters: Any = {"kid": kid}
    if algorithm[:2] in ("RS", "PS"):
        return RSAKey.generate_key(2048, parameters)
    curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
    if algorithm in curves:
        return ECKey.generate_key(curves[algorithm], parameters)
    return OKPKey.generate_key("Ed25519", parameters)
