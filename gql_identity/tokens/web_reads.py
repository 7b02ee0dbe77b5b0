"""Reading a small JSON document over HTTP from an issuer, which may be slow, broken or hostile.

HTTP/1.1 by h11 over the event loop's own connections: what hangs is given up at its deadline, and holds no thread.
"""

import asyncio
import json
import ssl
from typing import Any
from urllib.parse import urlsplit

import h11

SECONDS = 2.0  # for all of it
MAX_BYTES = 262_144  # of the body
MAX_HEAD_BYTES = 32_768
READ_BYTES = 65_536


class WebReadError(Exception):
    """The document cannot be read; the text says why, for the log."""


async def read_json(url: str, tls: ssl.SSLContext) -> dict[str, Any]:
    """The JSON object at a URL; redirects are not followed. Raises WebReadError."""
    try:
        async with asyncio.timeout(SECONDS):
            body = await _get(url, tls)
    except TimeoutError:
        raise WebReadError(f"no response within {SECONDS:g} s") from None
    except (OSError, h11.ProtocolError, UnicodeError) as error:  # an error of TLS is an OSError
        raise WebReadError(str(error) or type(error).__name__) from None
    try:
        read = await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError):
        raise WebReadError("it is not JSON") from None
    if not isinstance(read, dict):
        raise WebReadError("it is not a JSON object")
    return read


async def _get(url: str, tls: ssl.SSLContext) -> bytes:
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    host, port = str(parts.hostname), parts.port or (443 if is_tls else 80)
    reader, writer = await asyncio.open_connection(host, port, ssl=tls if is_tls else None)
    try:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        headers = [
            ("Host", parts.netloc),
            ("Accept", "application/json, application/jwk-set+json"),
            ("User-Agent", "gql-identity"),
            ("Connection", "close"),
        ]
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = h11.Request(method="GET", target=target, headers=headers)
        writer.write(connection.send(request) or b"")
        connection.send(h11.EndOfMessage())
        return await _body(connection, reader)
    finally:
        writer.transport.abort()  # a goodbye would wait for the other side


async def _body(connection: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(await reader.read(READ_BYTES))
            case h11.Response(status_code=status):
                if status != 200:
                    raise WebReadError(f"the response has status {status}")
            case h11.Data(data=data):
                body += data
                if len(body) > MAX_BYTES:
                    raise WebReadError(f"it has more than {MAX_BYTES} bytes")
            case h11.EndOfMessage():
                return bytes(body)
            case h11.InformationalResponse():
                pass
            case _:
                raise WebReadError("the connection was closed before a response")
