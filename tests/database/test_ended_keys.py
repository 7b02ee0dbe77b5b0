"""What a key may do after its end, against a real server with two clients; and how to find all that it made."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gql_identity.errors import PermissionDenied
from gql_identity.keys.access import MAX_MAKERS, Caller, makers_of_created
from gql_identity.keys.credentials import AHEAD_SECONDS, CHANGED_KEYS
from gql_identity.messages.values import APIKeyRole, APIKeyState
from gql_identity.settings import Settings

from ..conftest import PEPPER, Api, Person, mongo_client
from ..processes import serving

DISABLE = "mutation($i: APIKeyRequest!) { disableApiKey(input: $i) { state } }"
DELETE = "mutation($i: APIKeyRequest!) { deleteApiKey(input: $i) { id } }"
ENABLE = "mutation($i: APIKeyRequest!) { enableApiKey(input: $i) { state } }"
CREATE = "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { apiKeyId apiKey } }"
MADE_BY = 'query($m: ID!) { apiKeysConnection(domainId: "d1", filter: {madeBy: $m}) { nodes { apiKeyId } } }'
LIST = "query($i: APIKeyQuery!) { apiKeys(input: $i) { results { apiKeyId } } }"


@dataclass
class Server:
    """A served process, and one client of it for each caller."""

    url: str

    async def run(self, query: str, variables: dict[str, Any], by: Person) -> Any:
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            headers = {"Authorization": f"Bearer {by.secret}"}
            return (
                await client.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
            ).json()


@pytest.fixture
async def server(api: Api, mongo_uri: str, tmp_path: Path) -> AsyncIterator[Server]:
    """A server on the test's database."""
    with serving(tmp_path / "data", "--mongo-uri", mongo_uri, GQL_IDENTITY_PEPPER=PEPPER) as service:
        yield Server(service.url)


def of(person: Person) -> dict[str, Any]:
    return {"i": {"domainId": person.domain_id, "apiKeyId": person.key_id}}


@pytest.mark.slow
async def test_a_mutation_under_way_does_not_write_after_the_end_of_its_key(
    api: Api, server: Server, settings: Settings
) -> None:
    owner, thief = await api.make("DOMAIN_OWNER"), await api.make("USER", user_id="thief")
    target = await api.make("USER", user_id="thief")
    await server.run(DISABLE, of(target), thief)
    with mongo_client(settings) as client:
        client.get_default_database()["api_keys"].insert_many(
            {
                "_id": f"k{at}",
                "domain_id": "d1",
                "user_id": "thief",
                "state": "ENABLED",
                "role": "USER",
                "name": "n" * 200,
            }
            for at in range(2_000)
        )
    slow = ", ".join(f'{{nameContains: "{at}{"x" * 20}"}}' for at in range(90))
    mutation = f"""mutation($self: APIKeyRequest!, $i: APIKeyRequest!) {{
      first: enableApiKey(input: $self) {{ user {{ apiKeys(filter: {{or: [{slow}]}}) {{ totalCount }} }} }}
      second: enableApiKey(input: $i) {{ state }} }}"""
    begun = time.monotonic()
    running = asyncio.create_task(server.run(mutation, {"self": of(thief)["i"], **of(target)}, thief))
    await asyncio.sleep(0.3)
    assert (await server.run(DISABLE, of(thief), owner))["data"]
    ended = time.monotonic()
    answer = await running
    if time.monotonic() - ended < 0.7:
        pytest.skip(f"the field before was not slow enough: {time.monotonic() - begun:.2f} s")
    assert answer["data"]["second"] is None
    assert "UNAUTHENTICATED" in [error["extensions"]["code"] for error in answer["errors"]]
    with mongo_client(settings) as client:
        assert client.get_default_database()["api_keys"].find_one({"_id": target.key_id})["state"] == "DISABLED"  # type: ignore[index]


@pytest.mark.parametrize("end", [DISABLE, DELETE])
async def test_a_key_that_ends_itself_writes_nothing_more(api: Api, server: Server, end: str) -> None:
    thief = await api.make("USER")
    name = "disableApiKey" if end is DISABLE else "deleteApiKey"
    mutation = f"""mutation($i: APIKeyRequest!, $c: CreateAPIKeyRequest!, $v: VerifyAPIKeyRequest!) {{
      end: {name}(input: $i) {{ apiKeyId }} createApiKey(input: $c) {{ apiKeyId }} enableApiKey(input: $i) {{ id }}
      verifyApiKey(input: $v) {{ valid }} }}"""
    made = {"c": {"domainId": "d1", "userId": "u1"}, "v": {"apiKey": thief.secret}}
    answer = await server.run(mutation, {**of(thief), **made}, thief)
    assert answer["data"].pop("end") is not None
    assert set(answer["data"].values()) == {None}
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"UNAUTHENTICATED"}


async def test_ids_that_do_not_exist_evict_nobody_from_the_cache(api: Api, server: Server, reads: list[str]) -> None:
    """A victim is cached while another caller disables what is not there, as fast as it can."""
    attacker, victim = await api.make("USER", user_id="a"), await api.make("USER", user_id="v")
    credentials = api.app.state.api_keys.credentials
    missing = {"i": {"domainId": "d1", "apiKeyId": "api-key-none"}}
    assert (await server.run(DISABLE, missing, attacker))["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert await credentials.find(victim.secret)
    for query in (DISABLE, DELETE):
        assert await api.code(query, missing, attacker) == "NOT_FOUND"
    assert credentials.recently_valid(victim.secret) is not None
    disabled = await api.make("USER", user_id="a")
    assert await credentials.find(disabled.secret)
    await api.data(DISABLE, of(disabled), attacker)
    assert credentials.recently_valid(victim.secret) is not None
    assert await credentials.find(disabled.secret) is not None
    assert credentials.recently_valid(disabled.secret) is None


async def test_all_that_a_stolen_key_made_is_found_in_one_step(api: Api, server: Server) -> None:
    owner, stolen = await api.make("DOMAIN_OWNER"), await api.make("USER")
    by, made = stolen, []
    for _ in range(3):
        new = (await server.run(CREATE, {"i": {"domainId": "d1", "userId": "u1"}}, by))["data"]["createApiKey"]
        by = Person(new["apiKeyId"], new["apiKey"], "d1", "u1")
        made.append(by)
    assert (await server.run(DELETE, of(made[0]), made[0]))["data"]["deleteApiKey"]
    expected = [{"apiKeyId": person.key_id} for person in made[1:]]
    found = await server.run(MADE_BY, {"m": stolen.key_id}, owner)
    assert found["data"]["apiKeysConnection"]["nodes"] == expected
    condition = {"k": "makers", "v": stolen.key_id, "o": "EQ"}
    found = await server.run(LIST, {"i": {"domainId": "d1", "query": {"filter": [condition]}}}, owner)
    assert found["data"]["apiKeys"]["results"] == expected
    found = await server.run(LIST, {"i": {"domainId": "d1", "query": {"filter": [{**condition, "o": "NOT"}]}}}, owner)
    assert {key["apiKeyId"] for key in found["data"]["apiKeys"]["results"]} == {owner.key_id, stolen.key_id}


async def test_a_key_of_an_earlier_version_passes_on_the_maker_that_is_known(api: Api, settings: Settings) -> None:
    owner, old = await api.make("DOMAIN_OWNER"), await api.make("USER")
    with mongo_client(settings) as client:
        keys = client.get_default_database()["api_keys"]
        keys.update_one({"_id": old.key_id}, {"$set": {"created_by": "api-key-first"}, "$unset": {"makers": ""}})
        new = (await api.data(CREATE, {"i": {"domainId": "d1", "userId": "u1"}}, old))["createApiKey"]
        assert keys.find_one({"_id": new["apiKeyId"]})["makers"] == ["api-key-first", old.key_id]  # type: ignore[index]
    found = await api.data(MADE_BY, {"m": "api-key-first"}, owner)
    assert [key["apiKeyId"] for key in found["apiKeysConnection"]["nodes"]] == [old.key_id, new["apiKeyId"]]


async def test_makers_are_in_no_response_over_rest(api: Api) -> None:
    user = await api.make("USER")
    headers = {"Authorization": f"Bearer {user.secret}"}
    body = {"domain_id": "d1", "user_id": "u1"}
    made = (await api.client.post("/identity/v1/api-key/create", json=body, headers=headers)).json()
    body = {"domain_id": "d1", "api_key_id": made["api_key_id"]}
    enabled = (await api.client.post("/identity/v1/api-key/enable", json=body, headers=headers)).json()
    assert "makers" not in made
    assert "makers" not in enabled
    assert made["created_by"] == user.key_id


def test_a_chain_of_makers_has_an_end() -> None:
    last = Caller("k", "d", "u", APIKeyRole.USER, tuple(map(str, range(MAX_MAKERS - 1))))
    assert len(makers_of_created(last)) == MAX_MAKERS
    with pytest.raises(PermissionDenied, match="chain of 100 keys"):
        makers_of_created(last._replace(makers=(*last.makers, "k")))


async def test_a_key_in_use_is_read_again_before_its_entry_ends_and_a_disabled_one_is_not_believed_for_longer(
    api: Api, settings: Settings
) -> None:
    person = await api.make("USER")
    credentials = api.app.state.api_keys.credentials
    assert await credentials.find(person.secret)
    digest = credentials.digest(person.secret)
    first, _ = credentials._cache[digest]
    used = 0
    while credentials._cache[digest][0] == first and time.monotonic() < first + 10:
        used += credentials._cached(person.secret, first + AHEAD_SECONDS + 0.01) is not None  # that old
        await asyncio.sleep(0.01)
    assert used  # no request has waited for the read
    renewed, _ = credentials._cache[digest]
    assert renewed > first
    with mongo_client(settings) as client:
        client.get_default_database()["api_keys"].update_one({"_id": person.key_id}, {"$set": {"state": "DISABLED"}})
    disabled = time.monotonic()
    while (key := await credentials.find(person.secret)).state is APIKeyState.ENABLED:
        assert time.monotonic() < disabled + 1
        await asyncio.sleep(0.01)
    assert key.state is APIKeyState.DISABLED


async def test_a_change_costs_the_same_after_many_others(api: Api) -> None:
    credentials, victim = api.app.state.api_keys.credentials, await api.make("USER")
    for start in range(0, 60_000, 1_000):
        credentials.invalidate(*(f"api-key-{number}" for number in range(start, start + 1_000)))
    assert await credentials.find(victim.secret)
    began = time.thread_time()
    for number in range(1_000):
        credentials.invalidate(f"api-key-other-{number}")
    assert time.thread_time() - began < 0.1
    assert credentials.recently_valid(victim.secret) is not None
    assert len(credentials._changed_at) <= CHANGED_KEYS


async def test_a_read_that_began_before_forgotten_changes_is_not_cached(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gql_identity.keys.credentials.CHANGED_KEYS", 2)
    credentials, victim, other = api.app.state.api_keys.credentials, await api.make("USER"), await api.make("USER")
    for person in (victim, other):
        assert await credentials.find(person.secret)
    reading = asyncio.ensure_future(credentials.find(other.secret))
    credentials.invalidate(victim.key_id)
    credentials.invalidate("a", "b", "c")  # the first change is not remembered by its key any more
    assert credentials.recently_valid(victim.secret) is None
    await reading
    assert credentials.recently_valid(victim.secret) is None
    assert await credentials.find(victim.secret)
    assert credentials.recently_valid(victim.secret) is not None
