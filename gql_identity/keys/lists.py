"""Lists of keys: pages and connections."""

import asyncio
from collections.abc import Sequence
from typing import Any

from ..errors import FailedPrecondition
from ..execution.turns import turns_of_this_loop
from ..messages.connections import ConnectionArguments
from ..messages.keys import APIKeyConnection, APIKeysInfo
from ..messages.requests import APIKeyQuery
from ..queries.connections import ConnectionPlan, Parts, make_connection, plan_connection
from ..queries.inputs import too_many_rows
from ..queries.lists import list_plan
from ..settings import Settings
from ..storage.database import Database, Document, keys_for
from ..storage.scans import Share
from .access import Caller, access_to, domain_of, may_see
from .checks import check_selected, check_text
from .matching import Owner, match_stages, match_stages_of_all, owner_key, share_of
from .records import now, projection, read_rows_in_turns


class KeyLists:
    """Lists of the keys that a caller may see."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def page(
        self, request: APIKeyQuery, caller: Caller, fields: frozenset[str] | None, *, count: bool
    ) -> APIKeysInfo:
        """A page of the keys that match, and with `count` how many match in all.

        With `fields` None no key is read; with none of them, keys whose number alone matters. Raises InvalidArgument,
        naming the part of the query; also where a query without a limit has more keys than the largest page and
        `count` does not tell it.
        """
        check_text("domain_id", domain_id := domain_of(request, caller))
        for name in ("user_id", "api_key_id"):
            if (text := getattr(request, name)) is not None:
                check_text(name, text)
        plan = list_plan(request, self._settings, now())
        wants_keys = fields is not None and not plan.count_only
        fields = fields or frozenset()
        is_minimal = request.query is not None and request.query.minimal
        check_selected(fields, plan.wanted, "query.minimal" if is_minimal else "query.only")
        matching = match_stages(domain_id, request.user_id, plan.filter, caller)
        may_end = plan.paged or count
        read = [
            *matching,
            {"$sort": plan.sort},
            *([{"$skip": plan.skip}] if plan.skip else []),
            {"$limit": plan.limit if may_end else plan.limit + 1},
            {"$project": (wanted := projection(fields))},
        ]
        none: list[Document] = []
        documents, total = await asyncio.gather(
            self._database.aggregate(read, share_of(caller), collection=keys_for(wanted))
            if wants_keys
            else _unread(none),
            self._count(matching, share_of(caller)) if count else _unread(None),
        )
        if len(documents) > plan.limit:
            raise too_many_rows("keys", self._settings, "; or select `total_count`, which says how many there are")
        keys = await read_rows_in_turns(documents, fields, share_of(caller))
        return APIKeysInfo(results=keys, total_count=total)

    async def connection(
        self, domain_id: str | None, user_id: str | None, arguments: ConnectionArguments, parts: Parts, caller: Caller
    ) -> APIKeyConnection:
        """A page of the keys of a domain, the caller's own if none is named, or of one user of it.

        Raises InvalidArgument, naming the argument, and PermissionDenied for a domain that is not the caller's.
        """
        domain_id = caller.domain_id if domain_id is None else domain_id
        check_text("domain_id", domain_id)
        if user_id is not None:
            check_text("user_id", user_id)
        access_to(caller, domain_id)
        (found,) = await self.connections([(domain_id, user_id)], arguments, parts, caller)
        if isinstance(found, FailedPrecondition):
            raise found
        if found is None:
            plan = plan_connection(arguments, {domain_id}, self._settings, now())
            found = make_connection(plan, parts, [], [], outside=False, total=0)
        return found

    async def connections(
        self, owners: Sequence[Owner], arguments: ConnectionArguments, parts: Parts, caller: Caller
    ) -> list[APIKeyConnection | FailedPrecondition | None]:
        """A page of each owner's keys, None for an owner that the caller may not see; one read for all.

        In place of a page that needs the cursor of a key that has none it has the error, which is that owner's alone.
        The owners are all domains or all users. Raises InvalidArgument, naming the argument.
        """
        visible = [owner for owner in dict.fromkeys(owners) if may_see(caller, *owner)]
        if not visible:
            return [None] * len(owners)
        plan = plan_connection(arguments, {domain for domain, _ in visible}, self._settings, now())
        matching = match_stages_of_all(visible, plan.filter, caller)
        none: dict[Owner, Any] = {}
        share = share_of(caller)
        pages, outside, totals = await asyncio.gather(
            self._pages(matching, plan, parts, visible, share) if parts.connection - {"total_count"} else _unread(none),
            self._outside(matching, plan, parts, visible, share),
            self._counts(matching, visible, share) if "total_count" in parts.connection else _unread(none),
        )
        found: dict[Owner, APIKeyConnection | FailedPrecondition] = {}
        turns = turns_of_this_loop()
        for owner in visible:
            if turns.is_over():
                await turns.wait(share)
            documents = pages.get(owner, [])
            keys = await read_rows_in_turns(documents, parts.key, share)
            is_outside, total = bool(outside.get(owner)), totals.get(owner, 0)
            try:
                found[owner] = make_connection(plan, parts, documents, keys, outside=is_outside, total=total)
            except FailedPrecondition as error:
                found[owner] = error
        return [found.get(owner) for owner in owners]

    async def _pages(
        self, matching: list[Document], plan: ConnectionPlan, parts: Parts, owners: list[Owner], share: Share
    ) -> dict[Owner, list[Document]]:
        """A page of each owner's keys, and one key more."""
        page = [*matching, *({"$match": condition} for condition in plan.page)]
        fields = {**projection(parts.key | {"user_id"}), plan.order.path: 1}
        number = plan.limit + 1
        if len(owners) == 1:
            read = [*page, {"$sort": plan.sort}, {"$limit": number}, {"$project": fields}]
            return {owners[0]: await self._database.aggregate(read, share)}
        group = {"_id": owner_key(owners), "keys": {"$firstN": {"n": number, "input": "$$ROOT"}}}
        grouped = [*page, {"$project": fields}, {"$sort": plan.sort}, {"$group": group}]
        rows = await self._database.aggregate(grouped, share)
        return _by_owner(rows, "keys")

    async def _outside(
        self, matching: list[Document], plan: ConnectionPlan, parts: Parts, owners: list[Owner], share: Share
    ) -> dict[Owner, int]:
        """How many keys of each owner lie before the page (after it, backward); of one owner, at most 1.

        Empty where `pageInfo` does not ask for it.
        """
        asked_by = ("has_previous_page", "has_next_page")[plan.backward]
        if plan.outside is None or asked_by not in parts.page_info:
            return {}
        return await self._counts([*matching, {"$match": plan.outside}], owners, share, most=1)

    async def _counts(
        self, matching: list[Document], owners: list[Owner], share: Share, most: int | None = None
    ) -> dict[Owner, int]:
        """How many keys of each owner match; for one owner, counted up to `most`."""
        if len(owners) == 1:
            return {owners[0]: await self._count([*matching, *([{"$limit": most}] if most else [])], share)}
        counted = [*matching, {"$group": {"_id": owner_key(owners), "total": {"$sum": 1}}}]
        rows = await self._database.aggregate(counted, share)
        return _by_owner(rows, "total")

    async def _count(self, matching: list[Document], share: Share) -> int:
        # As `$count` does, in fewer steps of the embedded engine.
        counted = [*matching, {"$group": {"_id": None, "total": {"$sum": 1}}}]
        rows = await self._database.aggregate(counted, share)
        return rows[0]["total"] if rows else 0


def _by_owner(rows: list[Document], name: str) -> dict[Owner, Any]:
    """What rows that `owner_key` has grouped hold under a name."""
    owners = [(row["_id"].get("domain_id"), row["_id"].get("user_id")) for row in rows]
    # Something else may have stored a list of users, which a condition on one of them matches: it is nobody's key.
    return {owner: row[name] for owner, row in zip(owners, rows, strict=True) if not _is_list(owner)}


def _is_list(owner: tuple[Any, Any]) -> bool:
    return any(isinstance(one, list) for one in owner)


async def _unread(value: Any) -> Any:
    """In place of a read whose result nobody asked for."""
    return value
