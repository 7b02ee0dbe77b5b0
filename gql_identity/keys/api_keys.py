"""`ApiKeys`: create, read, enable, disable and delete one key.

Each operation checks what the caller may do and reads only keys that it may see, so that no interface can forget it.
"""

from collections.abc import Sequence

import uuid_utils
from strawberry import ID

from .. import secret
from ..errors import DeadlineExceeded, InvalidArgument, NotFound, PermissionDenied, Unavailable
from ..messages.keys import APIKeyInfo, APIKeyViewer, DeletedAPIKey
from ..messages.requests import APIKeyRequest, CreateAPIKeyRequest, GetAPIKeyRequest
from ..messages.values import APIKeyRole, APIKeyState
from ..queries.lists import wanted_fields
from ..settings import Settings
from ..storage.database import Database, Document
from ..storage.inserts import BatchedInserts
from ..storage.point_reads import PointReads
from .access import Caller, access_to, check_create, makers_of_created, may_name
from .checks import check_selected, check_text
from .credentials import Credentials
from .lists import KeyLists
from .rates import Rates
from .records import now, opaque_id, read_key, read_opaque_id, stored_fields
from .statistics import KeyStatistics
from .verification import Verification


class ApiKeys:
    """The keys of a database; `lists` and `statistics` read many of them."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._collection = database.api_keys
        self.max_page_size = settings.max_page_size
        self.rates = Rates(settings)
        self.credentials = Credentials(database, settings)
        self.verification = Verification(self.credentials)
        self.lists = KeyLists(database, settings)
        self.statistics = KeyStatistics(database, settings)
        self._point_reads = PointReads(database)
        self._inserts = BatchedInserts(database)

    async def create(self, request: CreateAPIKeyRequest, caller: Caller | None) -> APIKeyInfo:
        """Create a key; its secret is returned here once and never again.

        Without a caller (from the command line) any key may be created. Raises PermissionDenied. Where the outcome is
        unknown, the error's `extensions.apiKeyId` names the key that may have been created.
        """
        _check_texts(request)
        makers: list[str] = []
        if caller is not None:
            check_create(caller, request)
            makers = makers_of_created(caller)
            await self.rates.create(caller)
            await self.credentials.check_caller(caller)
        key_id = f"api-key-{uuid_utils.uuid7().hex}"
        text = secret.make_secret()
        document = {
            "_id": key_id,
            "domain_id": str(request.domain_id),
            "user_id": str(request.user_id),
            "state": APIKeyState.ENABLED.name,
            "role": request.role.name,
            "name": request.name,
            "digest": self.credentials.digest(text),
            "hint": secret.hint(text),
            "created_at": now(),
            "created_by": caller and caller.key_id,
            "makers": makers,
            "last_accessed_at": None,
        }
        try:
            await self._inserts.insert(document)
        except (Unavailable, DeadlineExceeded) as error:
            # A new error: other requests of the same batch may hold this one.
            raise type(error)(error.message, apiKeyId=key_id) from error
        key = read_key(document)
        key.api_key = text
        return key

    async def enable(self, request: APIKeyRequest, caller: Caller) -> APIKeyInfo:
        """Make a disabled key valid again; an enabled key stays as it is.

        Raises NotFound for a key that is missing or that the caller may not see, PermissionDenied for one that was
        disabled at a rank above the caller's.
        """
        matching = _filter_of_one(request, caller)
        # The rank stands in the write's own condition: a disable that comes in between is not undone.
        below = {} if caller.role is APIKeyRole.SYSTEM else {"disabled_rank": {"$not": {"$gt": caller.role.rank}}}
        change = {"$set": {"state": APIKeyState.ENABLED.name}, "$unset": {"disabled_rank": ""}}
        await self.credentials.check_caller(caller)
        enabled = await self._database.run(lambda: self._collection.update_one({**matching, **below}, change))
        key = await self._get(matching)
        if not enabled.matched_count:
            raise PermissionDenied("This key was disabled by a higher role, and only that role may enable it.")
        return key

    async def disable(self, request: APIKeyRequest, caller: Caller) -> APIKeyInfo:
        """Make a key invalid until it is enabled; a disabled key stays as it is.

        Raises NotFound for a key that is missing or that the caller may not see.
        """
        matching = _filter_of_one(request, caller)
        # One conditional write, no read before it: a delete that comes first leaves nothing to revive.
        change = {"$set": {"state": APIKeyState.DISABLED.name}, "$max": {"disabled_rank": caller.role.rank}}
        await self.credentials.check_caller(caller)
        disabled = await self._database.run(lambda: self._collection.update_one(matching, change))
        if disabled.modified_count:
            self.credentials.invalidate(request.api_key_id)
        return await self._get(matching)

    async def delete(self, request: APIKeyRequest, caller: Caller) -> DeletedAPIKey:
        """Remove a key for good.

        Raises NotFound for a key that is missing or that the caller may not see.
        """
        matching = _filter_of_one(request, caller)
        await self.credentials.check_caller(caller)
        deleted = await self._database.run(lambda: self._collection.delete_one(matching))
        if not deleted.deleted_count:
            raise _not_found()
        self.credentials.invalidate(request.api_key_id)
        return DeletedAPIKey(
            id=opaque_id(request.domain_id, request.api_key_id),
            api_key_id=request.api_key_id,
            domain_id=request.domain_id,
        )

    async def find(self, request: GetAPIKeyRequest, caller: Caller, fields: frozenset[str]) -> APIKeyInfo | None:
        """The fields of one key, None where the caller may see no such key."""
        check_text("api_key_id", request.api_key_id)
        check_text("domain_id", request.domain_id)
        check_selected(fields, wanted_fields(request.only, "only"))
        (key,) = await self.find_many([(request.domain_id, request.api_key_id)], caller, fields, named_outright=True)
        return key

    async def get(self, request: GetAPIKeyRequest, caller: Caller, fields: frozenset[str]) -> APIKeyInfo:
        """As `find`, but raises NotFound."""
        if (key := await self.find(request, caller, fields)) is None:
            raise _not_found()
        return key

    async def find_many(
        self,
        references: Sequence[tuple[str, str]],
        caller: Caller,
        fields: frozenset[str],
        *,
        named_outright: bool = False,
    ) -> list[APIKeyInfo | None]:
        """The keys of these domain and key ids, each None where the caller may see no such key; one read.

        With `named_outright`, raises PermissionDenied for a domain that is not the caller's.
        """
        named = {domain for domain, _ in references}
        access = {domain: access_to(caller, domain) for domain in named if named_outright or may_name(caller, domain)}
        wanted = [reference for reference in references if reference[0] in access]
        if not wanted:
            return [None] * len(references)
        # Role and user are compared here: a read by the index's own fields is the fastest, and callers can share it.
        documents = await self._point_reads.find(wanted, stored_fields(fields | {"user_id", "role"}))
        found: dict[tuple[str, str], APIKeyInfo] = {}
        for reference in wanted:
            if (document := documents.get(reference)) is not None:
                key = read_key(document, fields)
                if access[key.domain_id].includes(key.user_id, key.role):
                    found[reference] = key
        return [found.get(reference) for reference in references]

    async def viewer(self, caller: Caller, fields: frozenset[str] | None) -> APIKeyViewer:
        """The caller, with these fields of its key, or without its key."""
        key = None
        if fields is not None:
            (key,) = await self.find_many([(caller.domain_id, caller.key_id)], caller, fields)
        return APIKeyViewer(
            api_key_info=key, domain_id=ID(caller.domain_id), user_id=ID(caller.user_id), role=caller.role
        )

    async def find_node(self, text: str, caller: Caller, fields: frozenset[str]) -> APIKeyInfo | None:
        """The fields of the key that an opaque id names, None where the caller may see no such key."""
        if (reference := read_opaque_id(text)) is None:
            return None
        (key,) = await self.find_many([reference], caller, fields)
        return key

    async def _get(self, matching: Document) -> APIKeyInfo:
        document = await self._database.run(lambda: self._collection.find_one(matching, {"digest": 0}))
        if document is None:
            raise _not_found()
        return read_key(document)


def _check_texts(request: CreateAPIKeyRequest) -> None:
    check_text("user_id", request.user_id)
    check_text("domain_id", request.domain_id)
    if request.name is not None:
        check_text("name", request.name)
    for field in ("user_id", "domain_id", "name"):
        # It would be stored, and shown to everyone who may see the key.
        if secret.contains_secret(getattr(request, field) or ""):
            raise InvalidArgument(f"{field}: a secret stands in it. Leave it out; whoever has read it can use it.")


def _filter_of_one(request: APIKeyRequest, caller: Caller) -> Document:
    check_text("api_key_id", request.api_key_id)
    check_text("domain_id", request.domain_id)
    access = access_to(caller, request.domain_id)
    return {**access.indexed_filter, "_id": request.api_key_id, **access.role_filter}


def _not_found() -> NotFound:
    return NotFound("There is no such key.")
