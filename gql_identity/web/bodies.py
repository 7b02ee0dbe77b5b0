"""Request bodies: their media type, their bytes, and the JSON or form in them."""

from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from ..errors import BadRequest

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


async def read_json_body(headers: Headers, receive: Receive) -> bytes:
    """The bytes of a body that is sent as JSON in UTF-8; `parse_json` reads them.

    Raises BadRequest for another media type or charset, ClientDisconnect when the client goes away.
    """
    media_type, _, parameters = headers.get("content-type", "").lower().partition(";")
    if media_type.strip() != JSON or parameters.strip().replace('"', "") not in ("", "charset=utf-8"):
        raise BadRequest(f"Send the request as `Content-Type: {JSON}`, in UTF-8.", 415, {"Accept-Post": JSON})
    return await _read_body(receive)


async def read_form(headers: Headers, receive: Receive) -> dict[str, list[str]]:
    """The fields of a form, each with all of its values.

    Raises BadRequest for another media type or encoding, ClientDisconnect when the client goes away.
    """
    if headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise BadRequest(f"Send `Content-Type: {FORM}`.", 415)
    body = await _read_body(receive)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise BadRequest("The body is not a form in UTF-8.") from None


def parse_json(text: bytes, subject: str = "The body") -> Any:
    """The value of a JSON text; raises BadRequest, whose message begins with `subject`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadRequest(f"{subject} is not JSON in UTF-8.") from None


async def _read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
