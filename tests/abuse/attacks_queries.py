"""Attacks by what a query asks for, within every limit of documents: execution, patterns, lists and statistics."""

from .attacks import Attack, attack
from .wire import nonce

SLOW_PATTERN = r"(?:[a-z].?){0,30}q~"  # no document has it, and the engine tries every place of every text


def _list(run: Attack, query: str, **part: object) -> bytes:
    target = run.target
    return target.request(query, {"i": {"domainId": target.domain_id, "userId": target.user_id, "query": part}})


@attack("nested", "13.13")
async def nested(run: Attack) -> None:
    """Users, domains and connections within each other, 1.8 KB, just within the bound on cost."""
    inner = (
        "apiKeys(first: 1) { nodes { user { apiKeys(first: 1) { nodes { domain { domainId } user { userId } } } } } }"
    )
    objects = (
        "query($i: APIKeyQuery!) { "
        + " ".join(f"a{n}: apiKeys(input: $i) {{ results {{ user {{ {inner} }} }} }}" for n in range(5))
        + " }"
    )
    page = {"page": {"limit": 1000}}
    entities = (
        "query($r: [_Any!]!) { "
        + " ".join(f"e{n}: _entities(representations: $r) {{ ... on User {{ {inner} }} }}" for n in range(5))
        + " }"
    )
    user = {"__typename": "User", "domainId": run.target.domain_id, "userId": run.target.user_id}
    requests = [_list(run, objects, **page), run.target.request(entities, {"r": [user] * 1_000})]
    await run.flood(4, lambda: requests[sum(run.answers.values()) % 2])


@attack("resolvers", "21.7")
async def resolvers(run: Attack) -> None:
    """Fields that have a resolver and count as one: 30 users and domains for each of a thousand keys."""
    fields = " ".join(f"u{n}: user {{ userId domainId }} d{n}: domain {{ domainId }}" for n in range(15))
    query = f"query($i: APIKeyQuery!) {{ apiKeys(input: $i) {{ results {{ {fields} }} }} }}"
    request = _list(run, query, page={"limit": 1000})
    await run.flood(4, lambda: request)


@attack("compiled-patterns", "13.14")
async def compiled_patterns(run: Attack) -> None:
    """12 KB of patterns that Python compiles on the event loop: Unicode classes in any case."""
    query = "query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }"

    def make() -> bytes:
        patterns = [f"(?i){nonce()}" + "[Ā-￿]" * 45 for _ in range(16)]
        return _list(run, query, filter=[{"k": "name", "v": patterns, "o": "REGEX_IN"}])

    await run.flood(2, make)


@attack("engine-patterns", "13.15", keys=5_000)
async def engine_patterns(run: Attack) -> None:
    """16 requests at once with a pattern of 30 characters that the engine is slow on, and goes on with."""
    query = "query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount } }"
    request = _list(run, query, filter=[{"k": "name", "v": SLOW_PATTERN, "o": "REGEX"}])
    await run.flood(16, lambda: request)


@attack("lists", "13.16", keys=20_000)
async def lists(run: Attack) -> None:
    """70 lists at once that last until their deadline, each with a thread of its own."""
    query = "query($i: APIKeyQuery!) { apiKeys(input: $i) { results { apiKeyId name } } }"
    conditions = [{"k": "name", "v": f"[a-z].{{0,40}}q~{n}", "o": "REGEX"} for n in range(1)]
    request = _list(run, query, filterOr=conditions, sort={"key": "name"}, page={"limit": 1000})
    await run.flood(70, lambda: request)


@attack("statistics", "13.17", keys=1_600)
async def statistics(run: Attack) -> None:
    """Five statistics in one request, of few rows, each of many lists of long names."""
    day = {"k": "created_at", "n": "day", "dateFormat": "%Y-%m-%d"}
    query = "query($i: APIKeyStatQuery!) { " + " ".join(f"s{n}: apiKeyStats(input: $i)" for n in range(5)) + " }"

    def made(number: int) -> bytes:
        pushed = [{"k": "name", "n": f"n{n}", "o": "PUSH"} for n in range(number)]
        part = {"aggregate": [{"group": {"keys": [day], "fields": pushed}}]}
        return run.target.request(query, {"i": {"domainId": run.target.domain_id, "query": part}})

    # The first had an answer of 40 MB, within the bound on gathered values; the second is beyond it.
    requests = [made(3), made(20)]
    await run.flood(2, lambda: requests[sum(run.answers.values()) % 3 == 2])


@attack("long-answers", "13.13")
async def long_answers(run: Attack) -> None:
    """Long names of a thousand keys, over and over within the bound on cost: 70 MB a response."""
    names = " ".join(f"n{n}: name" for n in range(29))
    fields = f"user {{ apiKeys(first: 1000) {{ nodes {{ {names} }} }} }}"
    query = f"query($i: APIKeyQuery!) {{ apiKeys(input: $i) {{ results {{ {fields} }} }} }}"
    request = _list(run, query, page={"limit": 3})
    await run.flood(4, lambda: request)
