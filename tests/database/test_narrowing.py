"""What a key or a token loses is lost within a second, also for long requests and subscriptions."""

import asyncio
import time
from typing import Any

import pytest

from gql_identity.errors import PermissionDenied
from gql_identity.keys.credentials import caller_of
from tests.conftest import Api, Person, listening
from tests.database.test_forward_auth import ask, key_with
from tests.database.test_leaks import revoke
from tests.database.test_subscriptions import connected, subscribe, told
from tests.database.test_tokens import VIEWER, issuing, service, token_of

__all__ = ["service"]

UPDATE = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { scopes } }"


async def narrow(api: Api, key: Person, scopes: list[str]) -> None:
    given = {"domainId": "d1", "apiKeyId": key.key_id, "scopes": scopes}
    await api.data(UPDATE, {"i": given}, await api.make())


@pytest.mark.parametrize("by_token", [False, True])
async def test_a_subscription_ends_with_the_scope_to_read(service: Api, by_token: bool) -> None:
    key = await key_with(service, scopes=["identity:read", "orders:read"])
    by = Person("", await token_of(service, key), "", "") if by_token else key
    async with listening(service.app) as address, connected(address, by) as websocket:
        await subscribe(websocket)
        await narrow(service, key, ["identity:read"])
        await service.make("USER")
        assert (await told(websocket))[0] == "CREATED"
        await narrow(service, key, ["orders:read"])
        ended = await told(websocket)
        assert ended["type"] == "error"
        assert ended["payload"][0]["extensions"] == {"code": "PERMISSION_DENIED", "missingScopes": ["identity:read"]}


async def test_the_subscription_of_a_revoked_token_ends_and_that_of_its_key_does_not(service: Api) -> None:
    key = await service.make("USER")
    token, other = await token_of(service, key), await token_of(service, key)
    async with (
        listening(service.app) as address,
        connected(address, Person("", token, "", "")) as of_token,
        connected(address, Person("", other, "", "")) as of_other,
        connected(address, key) as of_key,
    ):
        for websocket in (of_token, of_other, of_key):
            await subscribe(websocket)
        assert (await revoke(service, token)).status_code == 200
        ended = await told(of_token)
        assert (ended["type"], ended["payload"][0]["extensions"]["code"]) == ("error", "UNAUTHENTICATED")
        await service.make("USER")
        assert [(await told(websocket))[0] for websocket in (of_other, of_key)] == ["CREATED"] * 2


async def test_no_worker_passes_on_a_token_that_was_revoked_a_second_ago(service: Api) -> None:
    key = await service.make("USER")
    async with issuing(service.settings) as other:
        kept = [(await ask(worker, key.secret)).headers["Authorization"] for worker in (service, other)]
        assert (await revoke(service, kept[1].split()[1])).status_code == 200
        ended = time.monotonic()
        while time.monotonic() - ended < 0.9:
            await ask(other, key.secret)
            await asyncio.sleep(0.02)
        fresh = (await ask(other, key.secret)).headers["Authorization"]
        assert fresh not in kept
        assert (await other.send(VIEWER, by=fresh.split()[1])).status_code == 200
        assert (await ask(service, key.secret)).headers["Authorization"] == kept[0]


async def test_a_later_field_of_a_request_has_the_scopes_that_an_earlier_one_left(api: Api) -> None:
    key = await key_with(api, scopes=["identity:write", "orders:read"])
    query = """mutation($k: ID!) {
        a: updateApiKey(input: {domainId: "d1", apiKeyId: $k, scopes: ["orders:read"]}) { scopes }
        b: createApiKey(input: {domainId: "d1", userId: "u1", scopes: []}) { apiKeyId } }"""
    answer = await api.run(query, {"k": key.key_id}, key)
    assert answer["data"] == {"a": {"scopes": ["orders:read"]}, "b": None}
    assert answer["errors"][0]["extensions"]["code"] == "PERMISSION_DENIED"


async def test_a_long_request_writes_nothing_with_what_its_key_lost_though_others_use_the_key(api: Api) -> None:
    key = await key_with(api, scopes=["identity:write", "orders:read"])
    credentials = api.app.state.api_keys.credentials
    found = await credentials.find(key.secret)
    caller = caller_of(found)  # of a request that is still under way
    await narrow(api, key, ["orders:read"])
    assert await credentials.find(key.secret) is not None  # by another request
    with pytest.raises(PermissionDenied):
        await credentials.check_caller(caller)


async def test_a_key_that_many_requests_change_by_itself_stays_valid(api: Api) -> None:
    key = await key_with(api, role="DOMAIN_OWNER")

    async def rename(number: int) -> Any:
        given = {"domainId": "d1", "apiKeyId": key.key_id, "name": f"n{number}"}
        errors = (await api.run(UPDATE, {"i": given}, key)).get("errors", [])
        return [error["extensions"]["code"] for error in errors]

    codes = {code for told in await asyncio.gather(*map(rename, range(30))) for code in told}
    assert codes <= {"UNAVAILABLE"}  # too many at once, and to be tried again
