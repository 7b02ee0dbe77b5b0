"""Statistics of keys."""

from collections.abc import Iterable, Sequence

from strawberry import ID

from ..errors import InvalidArgument
from ..messages.query import APIKeyStatisticsQuery
from ..messages.requests import APIKeyStatQuery
from ..metrics import LIMITS
from ..queries.statistics import StatPlan, stat_answer, stat_plan
from ..settings import Settings
from ..storage.database import Database, Document
from .access import Caller, domain_of, may_name
from .checks import check_text
from .matching import match_stages, share_of
from .records import now


class KeyStatistics:
    """Statistics of the keys that a caller may see."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def stats(self, request: APIKeyStatQuery, caller: Caller) -> Document:
        """A statistic of one domain's keys: `{"results": [...]}`, with `total_count` when paged.

        Raises InvalidArgument, naming the part of the query, and PermissionDenied for a domain that is not the
        caller's.
        """
        check_text("domain_id", domain_id := domain_of(request, caller))
        plan = stat_plan(request, self._settings, now())
        stages = match_stages(domain_id, None, plan.filter, caller)
        await self._check_gathered(plan, [stages], caller)
        rows = await self._database.aggregate([*stages, *plan.pipeline], share_of(caller), bounded=True)
        return stat_answer(plan, rows, self._settings)

    async def stats_of_domains(
        self, domains: Sequence[str], query: APIKeyStatisticsQuery, caller: Caller
    ) -> list[Document | None]:
        """As `stats`, for each of several domains, in their order; one read for all.

        None for a domain that is not the caller's. Raises InvalidArgument.
        """
        visible = [domain for domain in dict.fromkeys(domains) if may_name(caller, domain)]
        if not visible:
            return [None] * len(domains)
        request = APIKeyStatQuery(query=query, domain_id=ID(visible[0]))
        plan = stat_plan(request, self._settings, now())
        matching = [match_stages(domain, None, plan.filter, caller) for domain in visible]
        await self._check_gathered(plan, matching, caller)
        union = self._union(
            [*stages, *plan.pipeline, {"$set": {"domain": {"$literal": domain}}}]
            for domain, stages in zip(visible, matching, strict=True)
        )
        rows_of: dict[str, list[Document]] = {domain: [] for domain in visible}
        for row in await self._database.aggregate(union, share_of(caller), bounded=True):
            rows_of[row["domain"]].append(row)
        answers = {domain: stat_answer(plan, rows, self._settings) for domain, rows in rows_of.items()}
        return [answers.get(domain) for domain in domains]

    async def _check_gathered(self, plan: StatPlan, matching: list[list[Document]], caller: Caller) -> None:
        """Raise InvalidArgument where lists would gather too many values: the database holds all of them at once."""
        for stages, values in plan.gathered:
            most = self._settings.max_gathered_values // values
            # Counted up to the bound: what would be gathered is not.
            counted = self._union(
                [*matched, *stages, {"$limit": most + 1}, {"$group": {"_id": None, "total": {"$sum": 1}}}]
                for matched in matching
            )
            rows = await self._database.aggregate(counted, share_of(caller))
            if sum(row["total"] for row in rows) > most:
                LIMITS.add("max_gathered_values")
                raise InvalidArgument(
                    f"push and add_to_set gather at most {self._settings.max_gathered_values} values: "
                    f"{most} rows of {values}, and there are more: the limit `max_gathered_values`. "
                    "Add a filter, or a limit before the group.",
                    at="query.aggregate",
                )

    def _union(self, pipelines: Iterable[list[Document]]) -> list[Document]:
        """One pipeline that returns the rows of all."""
        first, *others = pipelines
        name = self._database.api_keys.name
        return [*first, *({"$unionWith": {"coll": name, "pipeline": other}} for other in others)]
