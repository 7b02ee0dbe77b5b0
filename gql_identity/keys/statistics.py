"""Statistics of keys."""

from collections.abc import Sequence

from strawberry import ID

from ..messages.query import APIKeyStatisticsQuery
from ..messages.requests import APIKeyStatQuery
from ..queries.statistics import stat_answer, stat_plan
from ..settings import Settings
from ..storage.database import Database, Document
from .access import Caller, may_name
from .checks import check_text
from .matching import match_stages
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
        check_text("domain_id", request.domain_id)
        plan = stat_plan(request, self._settings, now())
        stages = match_stages(request.domain_id, None, plan.filter, caller)
        return stat_answer(plan, await self._database.aggregate([*stages, *plan.pipeline], scans=True))

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
        first, *others = [
            [
                *match_stages(domain, None, plan.filter, caller),
                *plan.pipeline,
                {"$set": {"domain": {"$literal": domain}}},
            ]
            for domain in visible
        ]
        unions = [{"$unionWith": {"coll": self._database.api_keys.name, "pipeline": other}} for other in others]
        rows_of: dict[str, list[Document]] = {domain: [] for domain in visible}
        for row in await self._database.aggregate([*first, *unions], scans=True):
            rows_of[row["domain"]].append(row)
        answers = {domain: stat_answer(plan, rows) for domain, rows in rows_of.items()}
        return [answers.get(domain) for domain in domains]
