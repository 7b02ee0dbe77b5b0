"""Enable, disable and delete: what they leave behind, whoever comes first."""

import asyncio
import random
from typing import Any

from tests.conftest import Api, Person

READ = "query($d: ID!, $k: ID!) { apiKey(input: {domainId: $d, apiKeyId: $k}) { state } }"


async def change(api: Api, name: str, target: Person, by: Person) -> dict[str, Any]:
    query = f"mutation($d: ID!, $k: ID!) {{ r: {name}(input: {{domainId: $d, apiKeyId: $k}}) {{ apiKeyId }} }}"
    answer = await api.run(query, {"d": target.domain_id, "k": target.key_id}, by)
    return answer["errors"][0]["extensions"] if "errors" in answer else {"code": "OK"}


async def state(api: Api, target: Person, by: Person) -> str | None:
    key = (await api.data(READ, {"d": target.domain_id, "k": target.key_id}, by))["apiKey"]
    return key and str(key["state"])


async def test_a_disabled_key_opens_nothing_until_it_is_enabled(api: Api) -> None:
    system, user = await api.make(), await api.make("USER", "d1", "u1")
    assert (await api.send("{ __typename }", by=user)).status_code == 200
    assert await change(api, "disableApiKey", user, system) == {"code": "OK"}
    refused = await api.send("{ __typename }", by=user)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert refused.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
    assert await change(api, "enableApiKey", user, system) == {"code": "OK"}
    assert (await api.send("{ __typename }", by=user)).status_code == 200


async def test_enabling_and_disabling_again_changes_nothing(api: Api) -> None:
    system, user = await api.make(), await api.make("USER")
    for name, expected in (("enableApiKey", "ENABLED"), ("disableApiKey", "DISABLED")):
        for _ in range(2):
            assert await change(api, name, user, system) == {"code": "OK"}
            assert await state(api, user, system) == expected


async def test_a_key_disabled_by_its_domain_owner_is_not_enabled_by_its_user(api: Api) -> None:
    system, owner = await api.make(), await api.make("DOMAIN_OWNER", "d1", "boss")
    user, other = await api.make("USER", "d1", "u1"), await api.make("USER", "d1", "u1")
    assert await change(api, "disableApiKey", other, owner) == {"code": "OK"}
    assert (await change(api, "enableApiKey", other, user))["code"] == "PERMISSION_DENIED"
    # Disabling it again at a lower rank does not lower what enabling takes.
    assert await change(api, "disableApiKey", other, user) == {"code": "OK"}
    assert (await change(api, "enableApiKey", other, user))["code"] == "PERMISSION_DENIED"
    assert await state(api, other, system) == "DISABLED"
    # A higher rank may, and then the key is its user's again.
    assert await change(api, "disableApiKey", other, system) == {"code": "OK"}
    assert (await change(api, "enableApiKey", other, owner))["code"] == "PERMISSION_DENIED"
    assert await change(api, "enableApiKey", other, system) == {"code": "OK"}
    assert await change(api, "disableApiKey", other, user) == {"code": "OK"}
    assert await change(api, "enableApiKey", other, user) == {"code": "OK"}


async def test_a_key_may_disable_or_delete_itself(api: Api) -> None:
    for name in ("disableApiKey", "deleteApiKey"):
        user = await api.make("USER")
        assert await change(api, name, user, user) == {"code": "OK"}
        assert (await api.send("{ __typename }", by=user)).status_code == 401


async def test_a_hundred_clients_enabling_and_disabling_one_key_leave_it_in_one_state(api: Api) -> None:
    system, user = await api.make(), await api.make("USER")
    names = ["enableApiKey", "disableApiKey"] * 50
    random.shuffle(names)
    answers = await asyncio.gather(*(change(api, name, user, system) for name in names))
    assert answers == [{"code": "OK"}] * 100
    assert await state(api, user, system) in ("ENABLED", "DISABLED")


async def test_a_delete_racing_enables_never_revives_the_key(api: Api) -> None:
    system = await api.make()
    for _ in range(10):
        user = await api.make("USER")
        names = ["enableApiKey", "disableApiKey"] * 5
        names.insert(random.randrange(10), "deleteApiKey")
        answers = await asyncio.gather(*(change(api, name, user, system) for name in names))
        assert {answer["code"] for answer in answers} <= {"OK", "NOT_FOUND"}
        assert await state(api, user, system) is None


async def test_keys_made_at_once_never_share_an_id_or_a_secret(api: Api) -> None:
    system = await api.make()
    create = 'mutation { createApiKey(input: {domainId: "d1", userId: "u"}) { apiKeyId apiKey id } }'
    made = [data["createApiKey"] for data in await asyncio.gather(*(api.data(create, by=system) for _ in range(100)))]
    for field in ("apiKeyId", "apiKey", "id"):
        assert len({key[field] for key in made}) == 100


async def test_a_create_beside_a_failing_mutation_still_answers_its_secret(api: Api) -> None:
    system = await api.make()
    answer = await api.run(
        """mutation { createApiKey(input: {domainId: "d1", userId: "u"}) { apiKey }
        enableApiKey(input: {domainId: "d1", apiKeyId: "no-such-key"}) { apiKeyId } }""",
        by=system,
    )
    assert answer["data"]["createApiKey"]["apiKey"].startswith("gqlid_")
    assert answer["data"]["enableApiKey"] is None
    assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert answer["errors"][0]["path"] == ["enableApiKey"]
