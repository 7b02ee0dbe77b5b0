"""A credential becomes a `Caller`."""

from .access import Caller
from .api_keys import ApiKeys
from .errors import Unauthenticated
from .types import APIKeyState

CHALLENGE = 'Bearer realm="gql_identity"'
_REFUSED = "This key opens nothing: it is wrong, disabled or deleted."


async def authenticate(authorization: str | None, api_keys: ApiKeys) -> Caller | None:
    """Who sends an `Authorization` header (RFC 6750, section 2.1); None where none was sent.

    Raises Unauthenticated for a header that is not `Bearer SECRET` and for a key that is wrong, disabled or deleted:
    the three answer alike.
    """
    if authorization is None:
        return None
    scheme, _, text = authorization.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("Send the header `Authorization: Bearer SECRET`.")
    key = await api_keys.find_by_secret(text.strip())
    if key is None or key.state is not APIKeyState.ENABLED:
        raise Unauthenticated(_REFUSED)
    api_keys.used(key)
    return Caller(key.api_key_id, key.domain_id, key.user_id, key.role)
