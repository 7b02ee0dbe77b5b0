"""A create or a rotation that is sent again, as its answer was lost, gives the same key and the same secret."""

import asyncio
import random
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gql_identity.web.authentication import Authenticator
from tests.conftest import Api, Person, mongo_client, running
from tests.processes import serving

from .conftest import Before

CREATE = "mutation($input: CreateAPIKeyRequest!) { createApiKey(input: $input) { apiKeyId apiKey name } }"
ROTATE = "mutation($input: RotateAPIKeyRequest!) { rotateApiKey(input: $input) { apiKeyId apiKey secrets { hint } } }"
ID = "0123456789abcdef._~-"


async def create(api: Api, by: Person | str, request_id: str | None = ID, **more: Any) -> Any:
    input_ = {"domainId": "d1", "userId": "u1", "requestId": request_id, **more}
    return await api.run(CREATE, {"input": input_}, by)


async def rotate(api: Api, by: Person | str, key_id: str, request_id: str | None = ID, **more: Any) -> Any:
    return await api.run(ROTATE, {"input": {"domainId": "d1", "apiKeyId": key_id, "requestId": request_id, **more}}, by)


def made(answer: Any) -> Any:
    assert "errors" not in answer, answer
    (key,) = answer["data"].values()
    return key


def refused(answer: Any) -> tuple[str, list[str] | None]:
    (error,) = answer["errors"]
    return error["extensions"]["code"], error["extensions"].get("path")


def keys(api: Api) -> int:
    with mongo_client(api.settings) as client:
        return client.get_default_database()["api_keys"].count_documents({})


async def test_a_create_that_is_sent_again_gives_the_same_key_and_secret(api: Api) -> None:
    system = await api.make()
    first, again = made(await create(api, system, name="ci")), made(await create(api, system, name="ci"))
    assert first == again
    assert keys(api) == 2
    assert await api.data("{ __typename }", by=first["apiKey"]) == {"__typename": "Query"}
    headers = {"Authorization": f"Bearer {system.secret}"}
    body = {"domain_id": "d1", "user_id": "u1", "name": "ci", "request_id": ID}
    answer = (await api.client.post("/identity/v1/api-key/create", json=body, headers=headers)).json()
    assert (answer["api_key_id"], answer["api_key"]) == (first["apiKeyId"], first["apiKey"])


async def test_a_rotation_that_is_sent_again_gives_the_same_secret(api: Api) -> None:
    system, target = await api.make(), await api.make("USER")
    first = made(await rotate(api, system, target.key_id))
    again = made(await rotate(api, system, target.key_id))
    assert first == again
    assert len(again["secrets"]) == 2


async def test_a_key_that_rotates_itself_may_send_it_again_with_the_old_secret(api: Api) -> None:
    user = await api.make("USER")
    first = made(await rotate(api, user, user.key_id))
    assert made(await rotate(api, user, user.key_id)) == first
    assert await api.data("{ __typename }", by=first["apiKey"]) == {"__typename": "Query"}
    # Once the new one was used, its answer was not lost, and the old one is no longer trusted with it.
    await api.uses_written()
    await asyncio.sleep(0.6)
    assert refused(await rotate(api, user, user.key_id))[0] == "PERMISSION_DENIED"


async def test_requests_at_the_same_time_make_one_key(api: Api) -> None:
    system, target = await api.make(), await api.make("USER")
    creates = await asyncio.gather(*(create(api, system) for _ in range(10)))
    assert len({made(one)["apiKey"] for one in creates}) == 1
    assert keys(api) == 3
    rotations = await asyncio.gather(*(rotate(api, system, target.key_id) for _ in range(10)))
    assert len({made(one)["apiKey"] for one in rotations}) == 1


async def test_another_input_is_refused_and_another_caller_gets_another_key(api: Api) -> None:
    system, other, target = await api.make(), await api.make(), await api.make("USER")
    first = made(await create(api, system))
    assert refused(await create(api, system, name="other")) == ("INVALID_ARGUMENT", ["input", "requestId"])
    assert made(await create(api, other))["apiKeyId"] != first["apiKeyId"]
    made(await rotate(api, system, target.key_id))  # another operation is another request
    assert refused(await rotate(api, system, target.key_id, overlapSeconds=0)) == (
        "INVALID_ARGUMENT",
        ["input", "requestId"],
    )


async def test_ten_minutes_later_it_is_a_new_request(api: Api) -> None:
    system = await api.make()
    first = made(await create(api, system))
    with mongo_client(api.settings) as client:
        past = datetime.now(UTC) - timedelta(seconds=1)
        client.get_default_database()["requests"].update_many({}, {"$set": {"expires_at": past}})
    second = made(await create(api, system))
    assert second["apiKeyId"] != first["apiKeyId"]
    assert made(await create(api, system)) == second


async def test_what_changed_since_the_first_time_does_not_refuse_a_create(api: Api) -> None:
    system = await api.make()
    end = datetime.now(UTC) + timedelta(seconds=1)
    short = made(await create(api, system, expiresAt=end.isoformat()))
    long = made(await create(api, system, ID + "2", expiresAt="2100-01-01T00:00:00Z"))
    await asyncio.sleep(max(0, (end - datetime.now(UTC)).total_seconds()) + 0.1)
    # The end has passed, and another policy holds.
    async with running(api.settings.model_copy(update={"max_lifetime_days": 90})) as later:
        for worker in (api, later):
            assert made(await create(worker, system, expiresAt=end.isoformat())) == short
            assert made(await create(worker, system, ID + "2", expiresAt="2100-01-01T00:00:00Z")) == long
            refusal = refused(await create(worker, system, ID + "3", expiresAt=end.isoformat()))
            assert refusal == ("INVALID_ARGUMENT", ["input", "expiresAt"])
    assert keys(api) == 3


async def test_who_may_do_less_since_gets_no_secret_that_may_do_more(api: Api) -> None:
    system = await api.make()
    update = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { state } }"
    for narrowed in (
        {"scopes": ["identity:write", "identity:read"]},
        {"allowedAddresses": ["127.0.0.0/8"]},
        {"expiresAt": "2099-01-01T00:00:00Z"},
    ):
        user, other = await api.make("USER"), await api.make("USER")
        first = made(await create(api, user)), made(await rotate(api, user, other.key_id))
        assert (made(await create(api, user)), made(await rotate(api, user, other.key_id))) == first
        await api.data(update, {"i": {"domainId": "d1", "apiKeyId": user.key_id, **narrowed}}, system)
        for again in (await create(api, user), await rotate(api, user, other.key_id)):
            assert refused(again)[0] == "PERMISSION_DENIED", narrowed
            assert "secret" not in str(again["data"])


@pytest.mark.parametrize("name", ["create", "rotate"])
async def test_a_key_that_ended_after_the_first_field_of_a_mutation_gets_no_secret_again(
    api: Api, before: Before, name: str
) -> None:
    system, user, other = await api.make(), await api.make("USER"), await api.make("USER")
    if name == "create":
        made(await create(api, user))
        again = f'createApiKey(input: {{domainId: "d1", userId: "u1", requestId: "{ID}"}})'
    else:
        made(await rotate(api, user, other.key_id))
        again = f'rotateApiKey(input: {{domainId: "d1", apiKeyId: "{other.key_id}", requestId: "{ID}"}})'
    first = 'createApiKey(input: {domainId: "d1", userId: "u1"}) { apiKeyId }'
    disable = f'mutation {{ disableApiKey(input: {{domainId: "d1", apiKeyId: "{user.key_id}"}}) {{ state }} }}'
    before(lambda name, command: name == "insert", lambda: api.data(disable, by=system))
    answer = await api.run(f"mutation {{ first: {first} second: {again} {{ apiKey }} }}", by=user)
    assert answer["data"]["first"] is not None
    assert answer["data"]["second"] is None
    assert refused(answer)[0] == "UNAUTHENTICATED"


async def test_the_key_of_a_request_may_be_gone(api: Api) -> None:
    system = await api.make()
    first = made(await create(api, system))
    delete = 'mutation { deleteApiKey(input: {domainId: "d1", apiKeyId: "%s"}) { apiKeyId } }'
    await api.data(delete % first["apiKeyId"], by=system)
    assert refused(await create(api, system)) == ("FAILED_PRECONDITION", None)
    assert keys(api) == 1


@pytest.mark.parametrize(
    "request_id", ["", "short", "x" * 15, "x" * 65, "with a blank 0123456789", "ä" * 20, "a/" * 10]
)
async def test_what_is_no_request_id_is_refused_and_nothing_is_made(api: Api, request_id: str) -> None:
    system, target = await api.make(), await api.make("USER")
    assert refused(await create(api, system, request_id)) == ("INVALID_ARGUMENT", ["input", "requestId"])
    assert refused(await rotate(api, system, target.key_id, request_id)) == ("INVALID_ARGUMENT", ["input", "requestId"])
    assert keys(api) == 2


async def test_the_database_and_the_pepper_do_not_give_the_secret(api: Api) -> None:
    """Invariant 11: what is stored of the request is the same whatever the secret of the caller is, but for digests."""
    system = await api.make()
    secret = made(await create(api, system))["apiKey"]
    with mongo_client(api.settings) as client:
        (record,) = client.get_default_database()["requests"].find()
    assert set(record) == {"_id", "input", "domain_id", "api_key_id", "salt", "made_at", "expires_at"}
    assert secret not in repr(record)
    assert ID not in repr(record)
    assert len(record["salt"]) == 32


async def test_a_caller_s_repr_shows_no_secret(api: Api) -> None:
    system = await api.make()
    keys = api.app.state.api_keys
    authenticator = Authenticator(keys.credentials, keys.uses, keys.rates, api.settings)
    caller = await authenticator.identify(f"Bearer {system.secret}", {"type": "http", "headers": [], "client": None})
    assert system.secret not in repr(caller)


@pytest.mark.slow
def test_the_service_is_killed_while_it_creates(tmp_path: Path) -> None:
    """Invariant 10: whatever was written, the same request gives one key in the end."""
    query = (
        'mutation($id: ID) { createApiKey(input: {domainId: "default", userId: "u", requestId: $id}) '
        "{ apiKeyId apiKey } }"
    )
    for number in range(4):
        ids = [f"request-{number}-{at:016}" for at in range(30)]
        answers: dict[str, Any] = {}

        def send_all(service: Any, ids: list[str] = ids, answers: dict[str, Any] = answers) -> None:
            with suppress(httpx.HTTPError):
                for request_id in ids:
                    answers[request_id] = service.data(query, {"id": request_id})["createApiKey"]

        with serving(tmp_path / "data", GQL_IDENTITY_CREATES_PER_MINUTE="0") as service:
            thread = threading.Thread(target=send_all, args=(service,))
            thread.start()
            time.sleep(0.05 + random.random() * 0.3)
            service.family()
            service.process.kill()
            thread.join()
        with serving(tmp_path / "data", GQL_IDENTITY_CREATES_PER_MINUTE="0") as service:
            for request_id in ids:
                again = service.data(query, {"id": request_id})["createApiKey"]
                assert answers.get(request_id, again) == again
                assert service.send("{ __typename }", by=again["apiKey"]).status_code == 200
            total = service.data('{ apiKeys(input: {domainId: "default"}) { totalCount } }')["apiKeys"]["totalCount"]
            assert total == 1 + 30 * (number + 1)
