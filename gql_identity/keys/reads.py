"""`KeyReads`: reads single keys by their ids, and who the caller is."""

from collections.abc import Sequence

from strawberry import ID

from ..messages.keys import APIKeyInfo, APIKeyViewer
from ..messages.requests import GetAPIKeyRequest
from ..queries.lists import wanted_fields
from ..storage.database import Database
from ..storage.point_reads import PointReads
from .access import Caller, access_to, domain_of, may_name, require_scope
from .checks import check_selected, check_text
from .records import read_opaque_id, read_rows_in_turns, stored_fields
from .scopes import READ
from .writes import not_found

_FOR_ACCESS = frozenset({"user_id", "role"})


class KeyReads:
    """Reads keys that the caller may see; reads of one moment share a command."""

    def __init__(self, database: Database) -> None:
        self._point_reads = PointReads(database)

    async def find(self, request: GetAPIKeyRequest, caller: Caller, fields: frozenset[str]) -> APIKeyInfo | None:
        """The fields of one key, None where the caller may see no such key."""
        check_text("api_key_id", request.api_key_id)
        check_text("domain_id", domain_id := domain_of(request, caller))
        check_selected(fields, wanted_fields(request.only, "only"), "only")
        (key,) = await self.find_many([(domain_id, request.api_key_id)], caller, fields, named_outright=True)
        return key

    async def get(self, request: GetAPIKeyRequest, caller: Caller, fields: frozenset[str]) -> APIKeyInfo:
        """As `find`, but raises NotFound."""
        if (key := await self.find(request, caller, fields)) is None:
            raise not_found()
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
        require_scope(caller, READ)
        named = {domain for domain, _ in references}
        access = {domain: access_to(caller, domain) for domain in named if named_outright or may_name(caller, domain)}
        wanted = [reference for reference in references if reference[0] in access]
        if not wanted:
            return [None] * len(references)
        # Role and user are compared here: a read by the index's own fields is the fastest, and callers can share it.
        fields |= _FOR_ACCESS
        documents = await self._point_reads.find(wanted, stored_fields(fields))
        existing = [reference for reference in dict.fromkeys(wanted) if reference in documents]
        owner = (caller.domain_id, caller.user_id)
        keys = await read_rows_in_turns([documents[reference] for reference in existing], fields, owner)
        visible = {
            reference: key
            for reference, key in zip(existing, keys, strict=True)
            if access[reference[0]].includes(key.user_id, key.role)
        }
        return [visible.get(reference) for reference in references]

    async def viewer(self, caller: Caller, fields: frozenset[str] | None) -> APIKeyViewer:
        """The caller, with these fields of its key, or without its key."""
        require_scope(caller, READ)
        key = None
        if fields is not None and not caller.is_person:
            (key,) = await self.find_many([(caller.domain_id, caller.key_id)], caller, fields)
        scopes = None if caller.scopes is None else sorted(caller.scopes)
        domain_id, user_id = ID(caller.domain_id), ID(caller.user_id)
        return APIKeyViewer(
            api_key_info=key,
            domain_id=domain_id,
            user_id=user_id,
            role=caller.role,
            scopes=scopes,
            issuer=caller.issuer,
        )

    async def find_node(self, text: str, caller: Caller, fields: frozenset[str]) -> APIKeyInfo | None:
        """The fields of the key that an opaque id names, None where the caller may see no such key."""
        if (reference := read_opaque_id(text)) is None:
            return None
        (key,) = await self.find_many([reference], caller, fields)
        return key
