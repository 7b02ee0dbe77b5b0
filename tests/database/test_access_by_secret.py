"""Who may do what with a secret that they have: roles x doors x whose key, and refusals that tell nothing.

The doors of `test_access.py` name a key by its id; these take its secret, or another token of it. People with a token
of an OpenID issuer stand beside keys of the same role.
"""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from gql_identity.secret import make_secret
from gql_identity.settings import Settings
from tests.conftest import Api, Person
from tests.database.test_access import DOORS, TARGETS
from tests.database.test_openid import with_people
from tests.database.test_tokens import ISSUER, tokens_of
from tests.openid import Provider

Door = Callable[[Api, Person, str], Awaitable[tuple[bool, Any]]]

ROLES = ["DOMAIN_OWNER", "SYSTEM", "USER", "VERIFIER"]
STATE = "query($d: ID!, $k: ID!) { apiKey(input: {domainId: $d, apiKeyId: $k}) { state } }"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


@pytest.fixture
async def service(settings: Settings, provider: Provider) -> AsyncIterator[Api]:
    """The application with an issuer of its own, and one of people."""
    mapping = {"roles_claim": "role", "roles": {role: role for role in ROLES}}
    async with with_people(settings, provider, {"issuer": ISSUER}, **mapping) as service:
        await tokens_of(service).keys.read()
        yield service


def by_graphql(query: str, name: str) -> Door:
    async def door(api: Api, caller: Person, secret: str) -> tuple[bool, Any]:
        answer = await api.run(query, {"s": secret}, caller)
        return answer["data"][name]["code"] == "VALID", answer

    return door


async def _introspect(api: Api, caller: Person, secret: str) -> tuple[bool, Any]:
    headers = {"Authorization": f"Bearer {caller.secret}"}
    answer = await api.client.post("/introspect", data={"token": secret}, headers=headers)
    return answer.json()["active"], [answer.status_code, answer.json()]


async def _introspect_token(api: Api, caller: Person, secret: str) -> tuple[bool, Any]:
    """The same for a token of that secret, or for a text that is none."""
    exchange = "mutation { exchangeApiKey(input: {}) { accessToken } }"
    made = await api.run(exchange, {}, secret)
    token = "eyJ.eyJ.x" if "errors" in made else made["data"]["exchangeApiKey"]["accessToken"]
    return await _introspect(api, caller, token)


BY_SECRET: dict[str, Door] = {
    "verifyApiKey": by_graphql(
        "mutation($s: String!) { verifyApiKey(input: {apiKey: $s}) { code apiKeyId } }", "verifyApiKey"
    ),
    "exchangeApiKey": by_graphql(
        "mutation($s: String!) { exchangeApiKey(input: {apiKey: $s}) { code expiresAt } }", "exchangeApiKey"
    ),
    "POST /introspect": _introspect,
    "POST /introspect of a token": _introspect_token,
}


async def callers(api: Api, provider: Provider, role: str) -> list[Person]:
    """A key and a person of this role, both of the user u1."""
    return [await api.make(role, "d1", "u1"), Person("", provider.token(sub="u1", role=role), "d1", "u1")]


@pytest.mark.parametrize("door", BY_SECRET)
async def test_a_secret_tells_something_only_to_who_may_verify_it(service: Api, provider: Provider, door: str) -> None:
    targets = {whose: (await service.make(key[2], *key[:2]), roles) for whose, (key, roles) in TARGETS.items()}
    for role in ROLES:
        for caller in await callers(service, provider, role):
            _, missing = await BY_SECRET[door](service, caller, make_secret())
            for whose, (target, roles) in targets.items():
                told, answer = await BY_SECRET[door](service, caller, target.secret)
                # VERIFIER is made for this: it may verify any key.
                assert told == (role in roles or role == "VERIFIER"), (role, whose, answer)
                if not told:
                    assert answer == missing, (role, whose)


REPORTS: dict[str, Any] = {
    "reportLeakedApiKey": "mutation($s: String!) { reportLeakedApiKey(input: {apiKey: $s}) { received } }",
    "POST /revoke": None,
}


async def report(api: Api, door: str, caller: Person | None, secret: str) -> Any:
    if (query := REPORTS[door]) is not None:
        return await api.run(query, {"s": secret}, caller)
    answer = await api.client.post("/revoke", data={"token": secret})
    return [answer.status_code, answer.text]


@pytest.mark.parametrize("door", REPORTS)
async def test_whoever_holds_a_secret_ends_its_key_and_learns_nothing(
    service: Api, provider: Provider, door: str
) -> None:
    system = await service.make("SYSTEM", "d9", "admin")
    for role in ROLES if door == "reportLeakedApiKey" else ["USER"]:
        for caller in await callers(service, provider, role):
            missing = await report(service, door, caller, make_secret())
            for whose, ((domain_id, user_id, target_role), _) in TARGETS.items():
                target = await service.make(target_role, domain_id, user_id)
                assert await report(service, door, caller, target.secret) == missing, whose
                assert await report(service, door, caller, target.secret) == missing, whose  # again
                key = await service.data(STATE, {"d": domain_id, "k": target.key_id}, system)
                assert key["apiKey"]["state"] == "DISABLED", whose
    answer = await report(service, door, None, make_secret())
    if door == "reportLeakedApiKey":
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    else:
        assert answer == [200, ""]


@pytest.mark.parametrize("role", ROLES)
async def test_an_oauth_client_gets_a_token_for_its_own_secret_alone(
    service: Api, provider: Provider, role: str
) -> None:
    own, person = await callers(service, provider, role)
    others = [await service.make(key[2], *key[:2]) for key, _ in TARGETS.values()]
    grant = {"grant_type": "client_credentials"}

    async def ask(key_id: str, secret: str) -> tuple[int, str | None]:
        basic = base64.b64encode(f"{key_id}:{secret}".encode()).decode()
        answer = await service.client.post("/token", data=grant, headers={"Authorization": f"Basic {basic}"})
        return answer.status_code, answer.json().get("error")

    assert await ask(own.key_id, own.secret) == (200, None)
    for other in others:
        assert await ask(other.key_id, own.secret) == (401, "invalid_client")
        assert await ask(own.key_id, other.secret) == (401, "invalid_client")
    for key_id in ("", own.key_id, "u1"):
        assert await ask(key_id, person.secret) == (401, "invalid_client")


@pytest.mark.parametrize("door", DOORS)
async def test_a_person_sees_what_a_key_of_the_same_user_and_role_sees(
    service: Api, provider: Provider, door: str
) -> None:
    for role in ("USER", "DOMAIN_OWNER"):
        _, person = await callers(service, provider, role)
        for whose, ((domain_id, user_id, target_role), visible_to) in TARGETS.items():
            target = await service.make(target_role, domain_id, user_id)
            visible, answer = await DOORS[door](service, person, domain_id, target.key_id)
            assert visible == (role in visible_to), (role, whose, answer)
            if not visible:
                missing = "api-key-" + "0" * 32
                _, missing_answer = await DOORS[door](service, person, domain_id, missing)
                assert json.dumps(answer).replace(target.key_id, missing) == json.dumps(missing_answer), whose
