"""`ApiKeys`: every read and write of a key.

Each operation checks what the caller may do and asks for no key outside its reach, so that no interface can forget it.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import uuid_utils
from strawberry import ID

from .. import secret
from ..errors import DeadlineExceeded, InvalidArgument, NotFound, PermissionDenied, Unavailable
from ..messages.connections import ConnectionArguments
from ..messages.keys import (
    APIKeyConnection,
    APIKeyInfo,
    APIKeysInfo,
    APIKeyVerification,
    APIKeyVerificationCode,
    DeletedAPIKey,
)
from ..messages.query import APIKeyStatisticsQuery
from ..messages.requests import (
    APIKeyQuery,
    APIKeyRequest,
    APIKeyStatQuery,
    CreateAPIKeyRequest,
    GetAPIKeyRequest,
    VerifyAPIKeyRequest,
)
from ..messages.values import APIKeyRole, APIKeyState, DateTime
from ..queries.connections import ConnectionPlan, Parts, make_connection, plan_connection
from ..queries.lists import list_plan, wanted_fields
from ..queries.statistics import stat_answer, stat_plan
from ..settings import Settings
from ..storage.database import Database, Document
from ..storage.inserts import Inserts
from ..storage.point_reads import PointReads
from .access import Caller, check_create, may_name, may_see, may_verify, reach
from .checks import check_selected, check_text
from .credentials import Credentials
from .matching import Owner, matches, matches_of_all, owner_key
from .rates import Rates
from .records import opaque_id, projection, read_key, read_opaque_id, stored_fields
from .validity import is_valid

MAX_VERIFIED = 100


class ApiKeys:
    """The keys of a database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._collection = database.api_keys
        self._settings = settings
        self.max_page_size = settings.max_page_size
        self.rates = Rates(settings)
        self.credentials = Credentials(database, settings)
        self._point_reads = PointReads(database)
        self._inserts = Inserts(database)

    async def create(self, request: CreateAPIKeyRequest, caller: Caller | None) -> APIKeyInfo:
        """Make a key, and answer it with its secret, which is in no later answer.

        Without a caller (from the command line) any key may be made. Raises PermissionDenied. Where the outcome is
        unknown, the error's `extensions.apiKeyId` names the key that may have been made.
        """
        check_text("user_id", request.user_id)
        check_text("domain_id", request.domain_id)
        if request.name is not None:
            check_text("name", request.name)
        for field in ("user_id", "domain_id", "name"):
            # It would be stored, and shown to everyone who may see the key.
            if secret.contains_secret(getattr(request, field) or ""):
                raise InvalidArgument(f"{field}: a secret stands in it. Leave it out; whoever has read it can use it.")
        if caller is not None:
            check_create(caller, request)
            await self.rates.create(caller)
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
            "created_at": _now(),
            "created_by": caller and caller.key_id,
            "last_accessed_at": None,
        }
        try:
            await self._inserts.insert(document)
        except (Unavailable, DeadlineExceeded) as error:
            # A new one: other requests may have been told the same.
            raise type(error)(error.message, apiKeyId=key_id) from error
        key = read_key(document)
        key.api_key = text
        return key

    async def enable(self, request: APIKeyRequest, caller: Caller) -> APIKeyInfo:
        """Let a key open things again; a key already enabled stays so.

        Raises NotFound for a key that is missing or outside the caller's reach, PermissionDenied for one that was
        disabled at a rank above the caller's.
        """
        within = _reach_of_one(request, caller)
        # The rank stands in the write's own condition: a disable that comes in between is not undone.
        below = {} if caller.role is APIKeyRole.SYSTEM else {"disabled_rank": {"$not": {"$gt": caller.role.rank}}}
        change = {"$set": {"state": APIKeyState.ENABLED.name}, "$unset": {"disabled_rank": ""}}
        enabled = await self._database.run(lambda: self._collection.update_one({**within, **below}, change))
        key = await self._get(within)
        if not enabled.matched_count:
            raise PermissionDenied("This key was disabled by a higher role, and only that role may enable it.")
        return key

    async def disable(self, request: APIKeyRequest, caller: Caller) -> APIKeyInfo:
        """Stop a key from opening anything; a key already disabled stays so.

        Raises NotFound for a key that is missing or outside the caller's reach.
        """
        within = _reach_of_one(request, caller)
        # One conditional write, no read before it: a delete that comes first leaves nothing to revive.
        change = {"$set": {"state": APIKeyState.DISABLED.name}, "$max": {"disabled_rank": caller.role.rank}}
        await self._database.run(lambda: self._collection.update_one(within, change))
        self.credentials.forget(request.api_key_id)
        return await self._get(within)

    async def delete(self, request: APIKeyRequest, caller: Caller) -> DeletedAPIKey:
        """Remove a key for good.

        Raises NotFound for a key that is missing or outside the caller's reach.
        """
        within = _reach_of_one(request, caller)
        deleted = await self._database.run(lambda: self._collection.delete_one(within))
        self.credentials.forget(request.api_key_id)
        if not deleted.deleted_count:
            raise _not_found()
        return DeletedAPIKey(
            id=opaque_id(request.domain_id, request.api_key_id),
            api_key_id=request.api_key_id,
            domain_id=request.domain_id,
        )

    async def find(self, request: GetAPIKeyRequest, caller: Caller, fields: frozenset[str]) -> APIKeyInfo | None:
        """The fields of one key, None where there is none that the caller may see."""
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
        """The keys of these domain and key ids, each None where there is none that the caller may see; one read.

        `named_outright` makes a domain that is not the caller's PermissionDenied instead.
        """
        named = {domain for domain, _ in references}
        withins = {domain: reach(caller, domain) for domain in named if named_outright or may_name(caller, domain)}
        wanted = [reference for reference in references if reference[0] in withins]
        if not wanted:
            return [None] * len(references)
        # Role and user are compared here: a read by the index's own fields is the fastest, and many callers share it.
        documents = await self._point_reads.find(wanted, stored_fields(fields | {"user_id", "role"}))
        found: dict[tuple[str, str], APIKeyInfo] = {}
        for reference in wanted:
            if (document := documents.get(reference)) is not None:
                key = read_key(document, fields)
                if withins[key.domain_id].covers(key.user_id, key.role):
                    found[reference] = key
        return [found.get(reference) for reference in references]

    async def page(self, request: APIKeyQuery, caller: Caller, fields: frozenset[str], *, count: bool) -> APIKeysInfo:
        """A page of the keys within the caller's reach that match, and how many match where `count` asks for it.

        `fields` empty means that no key is wanted. Raises InvalidArgument, naming the part of the query.
        """
        check_text("domain_id", request.domain_id)
        plan = list_plan(request, self._settings, _now())
        check_selected(fields, plan.wanted)
        matching = matches(request.domain_id, request.user_id, plan.filter, caller)
        read = [
            *matching,
            {"$sort": plan.sort},
            *([{"$skip": plan.skip}] if plan.skip else []),
            {"$limit": plan.limit},
            {"$project": projection(fields)},
        ]
        none: list[Document] = []
        documents, total = await asyncio.gather(
            self._aggregate(read) if fields and not plan.count_only else _answer(none),
            self._count(matching) if count else _answer(None),
        )
        return APIKeysInfo(results=[read_key(document, fields) for document in documents], total_count=total)

    async def connection(
        self, domain_id: str, user_id: str | None, arguments: ConnectionArguments, parts: Parts, caller: Caller
    ) -> APIKeyConnection:
        """A page of a domain's keys, or of one user's, those within the caller's reach.

        Raises InvalidArgument, naming the argument, and PermissionDenied for a domain that is not the caller's.
        """
        check_text("domain_id", domain_id)
        if user_id is not None:
            check_text("user_id", user_id)
        reach(caller, domain_id)
        (found,) = await self.connections([(domain_id, user_id)], arguments, parts, caller)
        if found is None:
            plan = plan_connection(arguments, {domain_id}, self._settings)
            found = make_connection(plan, parts, [], [], outside=False, total=0)
        return found

    async def connections(
        self, owners: Sequence[Owner], arguments: ConnectionArguments, parts: Parts, caller: Caller
    ) -> list[APIKeyConnection | None]:
        """A page of the keys of each owner, None for one outside the caller's reach; one read for all.

        The owners are all domains or all users. Raises InvalidArgument, naming the argument.
        """
        seen = [owner for owner in dict.fromkeys(owners) if may_see(caller, *owner)]
        if not seen:
            return [None] * len(owners)
        plan = plan_connection(arguments, {domain for domain, _ in seen}, self._settings)
        matching = matches_of_all(seen, plan.filter, caller)
        page = [*matching, *({"$match": condition} for condition in plan.page)]
        fields = {**projection(parts.key | {"user_id"}), plan.order.path: 1}
        wants_outside = (
            plan.outside is not None and ("has_previous_page", "has_next_page")[plan.backward] in parts.page_info
        )
        none: dict[Owner, Any] = {}
        pages, outside, totals = await asyncio.gather(
            self._pages(page, plan, fields, seen) if parts.connection - {"total_count"} else _answer(none),
            self._counts([*matching, {"$match": plan.outside}], seen, most=1) if wants_outside else _answer(none),
            self._counts(matching, seen) if "total_count" in parts.connection else _answer(none),
        )
        found = {
            owner: make_connection(
                plan,
                parts,
                documents := pages.get(owner, []),
                [read_key(document, parts.key) for document in documents],
                outside=bool(outside.get(owner)),
                total=totals.get(owner, 0),
            )
            for owner in seen
        }
        return [found.get(owner) for owner in owners]

    async def find_node(self, text: str, caller: Caller, fields: frozenset[str]) -> APIKeyInfo | None:
        """The fields of the key that an opaque id names, None where there is none that the caller may see."""
        if (reference := read_opaque_id(text)) is None:
            return None
        (key,) = await self.find_many([reference], caller, fields)
        return key

    async def stats(self, request: APIKeyStatQuery, caller: Caller) -> Document:
        """A statistic of the keys within the caller's reach: `{"results": [...]}`, with `total_count` when paged.

        Raises InvalidArgument, naming the part of the query.
        """
        check_text("domain_id", request.domain_id)
        plan = stat_plan(request, self._settings, _now())
        matching = matches(request.domain_id, None, plan.filter, caller)
        rows = await self._aggregate([*matching, *plan.pipeline], scans=True)
        return stat_answer(plan, rows)

    async def stats_of_domains(
        self, domains: Sequence[str], asked: APIKeyStatisticsQuery, caller: Caller
    ) -> list[Document | None]:
        """One statistic of each domain, as `stats` answers it, None for one outside the reach; one read for all."""
        seen = [domain for domain in dict.fromkeys(domains) if may_name(caller, domain)]
        if not seen:
            return [None] * len(domains)
        plan = stat_plan(APIKeyStatQuery(query=asked, domain_id=ID(seen[0])), self._settings, _now())
        first, *others = [
            [*matches(domain, None, plan.filter, caller), *plan.pipeline, {"$set": {"domain": {"$literal": domain}}}]
            for domain in seen
        ]
        name = self._collection.name
        unions = [{"$unionWith": {"coll": name, "pipeline": one}} for one in others]
        rows = await self._aggregate([*first, *unions], scans=True)
        found: dict[str, list[Document]] = {domain: [] for domain in seen}
        for row in rows:
            found[row["domain"]].append(row)
        answers = {domain: stat_answer(plan, rows) for domain, rows in found.items()}
        return [answers.get(domain) for domain in domains]

    async def verify(self, requests: Sequence[VerifyAPIKeyRequest], caller: Caller) -> list[APIKeyVerification]:
        """Whether each secret is good; one read for all. A valid one counts as used.

        Raises InvalidArgument for more than a hundred at once.
        """
        if len(requests) > MAX_VERIFIED:
            raise InvalidArgument(f"input: give at most {MAX_VERIFIED} secrets at once, not {len(requests)}.")
        keys = await self.credentials.find_all([request.api_key for request in requests])
        return [self._verification(request.api_key, key, caller) for request, key in zip(requests, keys, strict=True)]

    def _verification(self, text: str, key: APIKeyInfo | None, caller: Caller) -> APIKeyVerification:
        if key is None and not secret.is_well_formed(text):
            return APIKeyVerification(valid=False, code=APIKeyVerificationCode.MALFORMED)
        if key is None or not may_verify(caller, key.domain_id, key.user_id, key.role):
            return APIKeyVerification(valid=False, code=APIKeyVerificationCode.NOT_FOUND)
        if not is_valid(key):
            return APIKeyVerification(valid=False, code=APIKeyVerificationCode.DISABLED)
        self.credentials.uses.used(key.api_key_id, key.domain_id)
        return APIKeyVerification(valid=True, code=APIKeyVerificationCode.VALID, api_key_info=key)

    async def _get(self, within: Document) -> APIKeyInfo:
        document = await self._database.run(lambda: self._collection.find_one(within, {"digest": 0}))
        if document is None:
            raise _not_found()
        return read_key(document)

    async def _aggregate(self, pipeline: list[Document], *, scans: bool = False) -> list[Document]:
        # One batch holds the largest page: a page is one round trip.
        in_one_batch = self._settings.max_page_size + 1
        return await self._database.read_all(lambda keys: keys.aggregate(pipeline, batchSize=in_one_batch), scans=scans)

    async def _pages(
        self, page: list[Document], plan: ConnectionPlan, fields: Document, owners: list[Owner]
    ) -> dict[Owner, list[Document]]:
        """A page of each owner's keys, and one more."""
        number = plan.limit + 1
        if len(owners) == 1:
            read = [*page, {"$sort": plan.sort}, {"$limit": number}, {"$project": fields}]
            return {owners[0]: await self._aggregate(read)}
        group = {"_id": owner_key(owners), "keys": {"$firstN": {"n": number, "input": "$$ROOT"}}}
        rows = await self._aggregate([*page, {"$project": fields}, {"$sort": plan.sort}, {"$group": group}])
        return {(row["_id"]["domain_id"], row["_id"].get("user_id")): row["keys"] for row in rows}

    async def _counts(self, matching: list[Document], owners: list[Owner], most: int | None = None) -> dict[Owner, int]:
        """How many match of each owner; of one alone, counted up to `most`."""
        if len(owners) == 1:
            return {owners[0]: await self._count([*matching, *([{"$limit": most}] if most else [])])}
        rows = await self._aggregate([*matching, {"$group": {"_id": owner_key(owners), "total": {"$sum": 1}}}])
        return {(row["_id"]["domain_id"], row["_id"].get("user_id")): row["total"] for row in rows}

    async def _count(self, matching: list[Document]) -> int:
        # As `$count` does, in fewer steps of the embedded engine.
        rows = await self._aggregate([*matching, {"$group": {"_id": None, "total": {"$sum": 1}}}])
        return rows[0]["total"] if rows else 0


def _reach_of_one(request: APIKeyRequest, caller: Caller) -> Document:
    check_text("api_key_id", request.api_key_id)
    check_text("domain_id", request.domain_id)
    within = reach(caller, request.domain_id)
    return {**within.first, "_id": request.api_key_id, **within.rest}


def _not_found() -> NotFound:
    return NotFound("There is no such key.")


def _now() -> DateTime:
    """Now, as MongoDB stores it: in whole milliseconds."""
    now = datetime.now(UTC)
    return DateTime(now.replace(microsecond=now.microsecond // 1000 * 1000))


async def _answer(value: Any) -> Any:
    return value
