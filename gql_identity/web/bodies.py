"""Request bodies: their media type, their bytes, and the JSON or form in them."""

import math
import re
from string import hexdigits
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from ..errors import BadRequest
from ..execution.turns import turns_of_this_loop
from ..execution.values import MAX_DEPTH

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 20  # of a form, and of a query string
MAX_CONTENT_TYPE = 1_000  # characters
MAX_FORM_BYTES = 20_000  # a secret or a token of 16 KB, and a few short fields
LONG_BODY_BYTES = 10_000  # longer ones are parsed in turns for long work: 240 KB of JSON take 4 ms
LONG_FORM_BYTES = 2_000  # longer forms and query strings are parsed in turns too

# What `%` and two digits stand for (RFC 3986, section 2.1).
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_ESCAPED = {f"%{high}{low}".encode(): bytes.fromhex(high + low) for high in hexdigits for low in hexdigits}

# The parameters of a media type (RFC 9110, section 5.6.6): names, and values that may be quoted.
_PARAMETER = re.compile(r';[ \t]*(?:([^\s;=]+)[ \t]*(?:=[ \t]*("(?:[^"\\]|\\.)*"|[^;"]*))?)?')


async def read_json_body(headers: Headers, receive: Receive) -> bytes:
    """The bytes of a body that is sent as JSON in UTF-8; `parse_json` reads them.

    Raises BadRequest for another media type, charset or content coding, ClientDisconnect when the client goes away.
    """
    content_type = headers.get("content-type", "")
    # Other parameters mean nothing for JSON (RFC 8259, section 11), and some clients send them.
    if content_type != JSON and not _is_utf8(content_type, JSON):
        raise BadRequest(f"Send the request as `Content-Type: {JSON}`, in UTF-8.", 415, {"Accept-Post": JSON})
    return await _read_body(headers, receive)


async def read_form(scope: Scope, receive: Receive) -> dict[str, list[str]]:
    """The fields of a form, each with all of its values.

    Raises BadRequest for another media type or encoding and a long form, ClientDisconnect when the client goes away.
    """
    headers = Headers(scope=scope)
    if not _is_utf8(headers.get("content-type", ""), FORM):
        raise BadRequest(f"Send `Content-Type: {FORM}`.", 415, {"Accept-Post": FORM})
    body = await _read_body(headers, receive, MAX_FORM_BYTES)
    try:
        body.decode()
        fields = await _parse_fields(body, scope)
    except ValueError:
        raise BadRequest(f"The body is no form in UTF-8 with at most {MAX_FIELDS} fields: encode it so.") from None
    form: dict[str, list[str]] = {}
    for name, value in fields:
        form.setdefault(name, []).append(value)
    return form


async def read_query_string(scope: Scope) -> dict[str, str]:
    """The parameters of a URL. Raises BadRequest for too many, and for one that comes twice."""
    try:
        parameters = await _parse_fields(scope["query_string"], scope)
    except ValueError:
        raise BadRequest(f"Give at most {MAX_FIELDS} parameters.") from None
    fields = dict(parameters)
    if len(fields) < len(parameters):
        raise BadRequest("Give each parameter once.")
    return fields


async def parse_in_turn(body: bytes, owner: str, subject: str = "The body") -> Any:
    """As `parse_json`; a long body waits for a slice of a turn, and owners take turns."""
    if len(body) > LONG_BODY_BYTES:
        await turns_of_this_loop().wait(owner)
    return parse_json(body, subject)


def parse_json(text: bytes, subject: str = "The body") -> Any:
    """The value of a JSON text, of at most 1,024 nested lists and objects; `count_values` allows fewer.

    Raises BadRequest, whose message begins with `subject`.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not text:
            raise BadRequest(f"{subject} is empty: send JSON.") from None
        if error.msg.startswith("depth limit"):
            raise BadRequest(f"{subject} has more than {MAX_DEPTH} nested lists and objects.") from None
        raise BadRequest(f"{subject} is not JSON in UTF-8.") from None


def unquoted(text: bytes) -> str:
    """Text without its percent-encoding. A `%` that encodes nothing stays, and bytes that are not UTF-8 become U+FFFD.

    As `urllib.parse.unquote`, which takes 15 ms for 64 KB of `%`; this takes 4 at most, whatever they are.
    """
    return _ESCAPE.sub(lambda escape: _ESCAPED[escape[0]], text).decode(errors="replace")


async def _parse_fields(text: bytes, scope: Scope) -> list[tuple[str, str]]:
    """The fields of a form or a query string, in their order. Raises ValueError for too many.

    A long one waits for a slice of a turn, and clients take turns: nothing is known yet of who sends it.
    """
    if text.count(b"&") >= MAX_FIELDS:
        raise ValueError
    if len(text) > LONG_FORM_BYTES:
        await turns_of_this_loop().wait(scope["place"].client.name)
    parts = [part.partition(b"=") for part in text.replace(b"+", b" ").split(b"&") if part]
    return [(unquoted(name), unquoted(value)) for name, _, value in parts]


def _is_utf8(content_type: str, media_type: str) -> bool:
    """Whether a Content-Type header is of this media type, with no charset or UTF-8."""
    sent, separator, rest = content_type.lower().partition(";")
    if sent.strip() != media_type or len(content_type) > MAX_CONTENT_TYPE:
        return False
    at, parameters = 0, separator + rest
    while at < len(parameters):
        parameter = _PARAMETER.match(parameters, at)
        if parameter is None:
            return False
        if parameter[1] == "charset" and (parameter[2] or "").strip(' \t"') not in ("utf-8", "utf8"):
            return False
        at = parameter.end()
    return True


async def _read_body(headers: Headers, receive: Receive, max_bytes: float = math.inf) -> bytes:
    codings = {coding.strip().lower() for line in headers.getlist("content-encoding") for coding in line.split(",")}
    if codings - {"", "identity"}:
        reason = "Send the body without `Content-Encoding`: compressed bodies are not read."
        raise BadRequest(reason, 415, {"Accept-Encoding": "identity"})
    parts, size = [], 0
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > max_bytes:
                raise BadRequest(f"The form is larger than {max_bytes} bytes: send less.", 413, {"Connection": "close"})
            if not message.get("more_body", False):
                return b"".join(parts)
    finally:
        parts.clear()  # an error keeps this frame, and with it the parts, until its response is sent
