"""`requestId`: a create or rotation that is sent again within ten minutes gives the same key and the same secret.

The secret is not stored, sealed or otherwise. It is derived (HKDF, RFC 5869) from the caller's own secret, the
`requestId` and a random salt, which the record of the request has: whoever reads the database and the pepper lacks
the first, and once the record has ended nobody has the last.
"""

import re
import secrets
from dataclasses import fields
from datetime import timedelta
from enum import Enum
from typing import Any, NamedTuple

import orjson
from strawberry import UNSET

from .. import secret
from ..errors import FailedPrecondition, InvalidArgument
from ..messages.keys import APIKeyInfo
from ..messages.requests import CreateAPIKeyRequest, RotateAPIKeyRequest
from ..settings import Settings
from ..storage.database import Database, Document
from ..storage.request_records import find_record
from .access import Caller, check_may_hold, domain_of
from .digests import digests_of
from .records import now, read_key
from .rotation import secrets_of
from .validity import has_ended

KEPT_FOR = timedelta(minutes=10)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~-]{16,64}")

Request = CreateAPIKeyRequest | RotateAPIKeyRequest


class NewSecret(NamedTuple):
    """The secret that a request makes, and its record, which is None for a request without `requestId`."""

    text: str
    record: Document | None


class Retries:
    """The requests of the last ten minutes that have a `requestId`."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._peppers = settings.peppers

    def use_peppers(self, peppers: tuple[str, ...]) -> None:
        """Use other peppers from now on, today's first."""
        self._peppers = peppers

    async def made_before(self, request: Request, caller: Caller | None) -> APIKeyInfo | None:
        """The key that the same request of the same caller made before, with its secret; None where none did.

        Raises InvalidArgument for a `requestId` that is not one, or was sent with another input before;
        PermissionDenied for a key that may do more than the caller by now; and FailedPrecondition where the key is
        gone, or its secret is no longer accepted or cannot be derived.
        """
        if request.request_id is None:
            return None
        if caller is None or caller.credential is None:
            raise InvalidArgument("only a caller with a key can send one. Leave it out.", at="request_id")
        if not _REQUEST_ID.fullmatch(request.request_id) or secret.contains_secret(request.request_id):
            raise InvalidArgument(
                "give 16 to 64 letters, digits and characters of `._~-`, preferably random.", at="request_id"
            )
        ids = [_record_id(request, caller, pepper) for pepper in self._peppers]
        record = await find_record(self._database, ids, now())
        if record is None:
            return None
        if record["input"] not in [_digest_of_input(request, caller, pepper) for pepper in self._peppers]:
            raise InvalidArgument(
                "it was sent with another input within the last ten minutes. Give another one.", at="request_id"
            )
        where = {"domain_id": record["domain_id"], "_id": record["api_key_id"]}
        document = await self._database.find_one(where)
        if document is None:
            raise FailedPrecondition("The key that this request created was deleted. Give another `request_id`.")
        if document["_id"] != caller.key_id:
            check_may_hold(document, caller)  # either may have been changed since
        text = secret.derive_secret(caller.credential.get_secret_value(), request.request_id, record["salt"])
        if not self._opens(text, document):
            raise FailedPrecondition(
                "The secret of this request cannot be returned again: it was replaced meanwhile, or you sent "
                "another secret of your key. Give another `request_id`."
            )
        key = read_key(document)
        key.api_key = text
        return key

    def _opens(self, text: str, document: Document) -> bool:
        """Whether this is one of a stored key's secrets that has not ended."""
        live = zip(digests_of(document), secrets_of(document), strict=True)
        digests = [digest for digest, one in live if not has_ended(one.get("expires_at"))]
        return any(secret.digest(text, pepper) in digests for pepper in self._peppers)

    def new_secret(self, request: Request, caller: Caller | None, key_id: str) -> NewSecret:
        """The secret that a request makes for this key, which no request made before."""
        if request.request_id is None or caller is None or caller.credential is None:
            return NewSecret(secret.make_secret(), None)
        at, salt = now(), secrets.token_bytes(32)
        record = {
            "_id": _record_id(request, caller, self._peppers[0]),
            "input": _digest_of_input(request, caller, self._peppers[0]),
            "domain_id": domain_of(request, caller),
            "api_key_id": key_id,
            "salt": salt,
            "made_at": at,
            "expires_at": at + KEPT_FOR,
        }
        text = secret.derive_secret(caller.credential.get_secret_value(), request.request_id, salt)
        return NewSecret(text, record)


def _record_id(request: Request, caller: Caller, pepper: str) -> bytes:
    named = [type(request).__name__, caller.domain_id, caller.key_id, request.request_id]
    return secret.digest(orjson.dumps(named).decode(), pepper)


def _digest_of_input(request: Request, caller: Caller, pepper: str) -> bytes:
    given = {field.name: getattr(request, field.name) for field in fields(request)}
    given["domain_id"] = domain_of(request, caller)
    text = orjson.dumps(given, default=_plain, option=orjson.OPT_SORT_KEYS).decode()
    return secret.digest(text, pepper)


def _plain(value: Any) -> Any:
    if value is UNSET:
        return {"absent": True}
    if isinstance(value, Enum):
        return value.name
    raise TypeError(type(value).__name__)
