"""OAuth clients: a key is one, with its id and its secret, by HTTP Basic or in the form (RFC 6749, section 2.3.1)."""

import binascii
from base64 import b64decode
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import Scope

from ..errors import BadRequest, Unauthenticated
from ..keys.access import Caller
from .authentication import Authenticator
from .bodies import unquoted


class InvalidClient(Unauthenticated):
    """No client, or one that is invalid."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers = {"WWW-Authenticate": 'Basic realm="gql_identity"'}


def sent_once(form: Mapping[str, list[str]]) -> dict[str, str]:
    """The parameters with a value (RFC 6749, section 3.2). Raises BadRequest for one that comes twice."""
    if any(len(values) > 1 for values in form.values()):
        raise BadRequest("Give each parameter once.")
    return {name: value for name, (value,) in form.items() if value}


def names_client(form: Mapping[str, list[str]], scope: Scope) -> bool:
    """Whether a request has the credentials of an OAuth client, and no Bearer credential."""
    if authorization := Headers(scope=scope).getlist("authorization"):
        return _scheme(authorization[0]) == "basic"
    return "client_secret" in form


async def authenticate_client(form: Mapping[str, str], scope: Scope, authenticator: Authenticator) -> Caller:
    """The caller whose id and secret were sent.

    Raises InvalidClient, BadRequest, and what `Authenticator.identify` does.
    """
    key_id, secret = _credentials(form, Headers(scope=scope).getlist("authorization"))
    try:
        caller = await authenticator.identify(f"Bearer {secret}", scope)
    except Unauthenticated as error:
        raise InvalidClient(error.message) from None
    if caller.key_id != key_id or caller.credential is None:
        raise InvalidClient("The `client_id` is not the id of this secret's key.")
    return caller


def _credentials(form: Mapping[str, str], authorization: list[str]) -> tuple[str, str]:
    if not authorization:
        if "client_id" in form and "client_secret" in form:
            return form["client_id"], form["client_secret"]
        raise InvalidClient("Send `client_id` and `client_secret`: the id and the secret of a key.")
    if "client_secret" in form:
        raise BadRequest("Send the secret once: in the `Authorization` header or in the form.")
    sent = ", ".join(authorization).strip()
    try:
        if _scheme(sent) != "basic":
            raise ValueError
        key_id, separator, secret = b64decode(sent.partition(" ")[2].strip(), validate=True).decode().partition(":")
        if not separator:
            raise ValueError
    except (ValueError, binascii.Error):
        raise InvalidClient("Send the id and the secret of a key as `Authorization: Basic`, or in the form.") from None
    key_id = unquoted(key_id.replace("+", " ").encode())
    if form.get("client_id", key_id) != key_id:
        raise BadRequest("`client_id` in the form is another one than in the `Authorization` header. Send it once.")
    return key_id, unquoted(secret.replace("+", " ").encode())


def _scheme(authorization: str) -> str:
    return authorization.strip().partition(" ")[0].lower()
