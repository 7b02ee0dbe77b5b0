"""The end of a key: on every door, to the millisecond, within the policy and no later than its maker's."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from gql_identity.keys import validity
from gql_identity.logs import configure_logs
from gql_identity.messages.values import instant_text
from gql_identity.settings import Settings
from tests.conftest import Api, Person, listening, mongo_client, running

from .test_subscriptions import connected, subscribe, told
from .test_verification import introspect, verify

CREATE = """mutation($i: CreateAPIKeyRequest!) {
    createApiKey(input: $i) { apiKeyId apiKey expiresAt expired createdAt } }"""
UPDATE = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { expiresAt expired name updatedAt } }"
GET = 'query($k: ID!) { apiKey(input: {domainId: "d1", apiKeyId: $k}) { expiresAt expired state } }'
REST = "/identity/v1/api-key/get"


def ahead(**time: float) -> str:
    return instant_text(datetime.now(UTC) + timedelta(**time))


async def create(api: Api, by: Person, **input: Any) -> Any:
    made = (await api.data(CREATE, {"i": {"domainId": "d1", "userId": "u1", **input}}, by))["createApiKey"]
    return made, Person(made["apiKeyId"], made["apiKey"], "d1", "u1")


async def update(api: Api, by: Person, target: Person, **input: Any) -> Any:
    return await api.run(UPDATE, {"i": {"domainId": "d1", "apiKeyId": target.key_id, **input}}, by)


def codes(answer: Any) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


class Clock(datetime):
    """The clock that validity is decided by, set by a test."""

    at: datetime

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.at


async def test_a_key_is_valid_before_its_end_and_not_at_it_on_every_door(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await api.make("VERIFIER", user_id="gateway")
    made, user = await create(api, await api.make(), expiresAt=ahead(days=3))
    end = datetime.fromisoformat(made["expiresAt"])
    read = {"api_key_id": user.key_id, "domain_id": "d1"}

    async def doors() -> list[Any]:
        rest = await api.client.post(REST, json=read, headers={"Authorization": f"Bearer {user.secret}"})
        batch = [code for code, *_ in await verify(api, gateway, user.secret, user.secret)]
        active = (await introspect(api, gateway, token=user.secret)).json()["active"]
        return [(await api.send("{ __typename }", by=user)).status_code, rest.status_code, *batch, active]

    monkeypatch.setattr(validity, "datetime", Clock)
    for _ in range(3):  # read again, and from the cache
        Clock.at = end - timedelta(milliseconds=1)
        assert await doors() == [200, 200, "VALID", "VALID", True]
        Clock.at = end
        assert await doors() == [401, 401, "EXPIRED", "EXPIRED", False]
    monkeypatch.undo()
    assert (await introspect(api, gateway, token=user.secret)).json()["exp"] == int(end.timestamp())


async def test_an_expired_key_is_listed_renewed_and_deleted(api: Api) -> None:
    system = await api.make()
    made, user = await create(api, system, expiresAt=ahead(seconds=0.4))
    assert (made["expired"], made["expiresAt"] > made["createdAt"]) == (False, True)
    assert (await api.send("{ __typename }", by=user)).status_code == 200
    await asyncio.sleep(0.5)
    refused = await api.send("{ __typename }", by=user)
    assert refused.status_code == 401
    assert refused.json()["errors"][0]["message"].startswith("Invalid API key: it is wrong, disabled, expired")
    assert user.secret not in refused.text
    assert (await api.data(GET, {"k": user.key_id}, system))["apiKey"] == {
        "expiresAt": made["expiresAt"],
        "expired": True,
        "state": "ENABLED",
    }
    renewed = await update(api, system, user, expiresAt=ahead(days=1))
    assert renewed["data"]["updateApiKey"]["expired"] is False
    assert (await api.send("{ __typename }", by=user)).status_code == 200
    assert (await update(api, system, user, expiresAt=None))["data"]["updateApiKey"]["expiresAt"] is None
    delete = "mutation($i: APIKeyRequest!) { deleteApiKey(input: $i) { apiKeyId } }"
    await api.data(delete, {"i": {"domainId": "d1", "apiKeyId": user.key_id}}, system)


async def test_an_earlier_end_shows_within_a_second_on_another_worker_too(api: Api) -> None:
    system = await api.make()
    _, user = await create(api, system, expiresAt=ahead(days=1))
    async with running(api.settings) as another_worker:
        assert (await another_worker.send("{ __typename }", by=user)).status_code == 200
        assert codes(await update(api, system, user, expiresAt=ahead(seconds=0.7))) == []
        await asyncio.sleep(1)
        assert (await another_worker.send("{ __typename }", by=user)).status_code == 401


async def test_subscriptions_and_writes_end_with_the_key(api: Api) -> None:
    _, user = await create(api, await api.make(), expiresAt=ahead(seconds=1.5))
    async with listening(api.app) as address, connected(address, user) as websocket:
        await subscribe(websocket)
        ended = await told(websocket)
        assert (ended["type"], ended["payload"][0]["extensions"]["code"]) == ("error", "UNAUTHENTICATED")
        await websocket.send(json.dumps({"type": "subscribe", "id": "2", "payload": {"query": "{ __typename }"}}))
        assert (await told(websocket))["type"] == "error"


async def test_an_end_is_in_the_future_and_within_the_policy(settings: Settings) -> None:
    policy = {"default_lifetime_days": 30, "max_lifetime_days": 90}
    async with running(settings) as api:
        system = await api.make()
        lasting = (await create(api, system))[1]
        late = (await create(api, system, expiresAt=ahead(days=400)))[1]
        for past in (ahead(seconds=-1), "1970-01-01T00:00:00Z"):
            assert await api.code(CREATE, {"i": {"domainId": "d1", "userId": "u1", "expiresAt": past}}, system) == (
                "INVALID_ARGUMENT"
            )
    async with running(settings.model_copy(update=policy)) as api:
        for end in (None, ahead(days=89)):
            made, _ = await create(api, system, expiresAt=end)
            days = (datetime.fromisoformat(made["expiresAt"]) - datetime.now(UTC)).days
            assert days == (29 if end is None else 88)
        refused = await api.run(CREATE, {"i": {"domainId": "d1", "userId": "u1", "expiresAt": ahead(days=91)}}, system)
        assert "`max_lifetime_days`" in refused["errors"][0]["message"]
        # A key that exists keeps its end, and may be given an earlier one, however far ahead that is.
        assert (await api.data(GET, {"k": lasting.key_id}, system))["apiKey"]["expiresAt"] is None
        assert codes(await update(api, system, late, expiresAt=ahead(days=399))) == []
        assert codes(await update(api, system, late, expiresAt=ahead(days=401))) == ["INVALID_ARGUMENT"]
        assert codes(await update(api, system, late, expiresAt=None)) == ["INVALID_ARGUMENT"]
        assert codes(await update(api, system, lasting, name="as before")) == []
    async with running(settings.model_copy(update={"max_lifetime_days": 90})) as api:
        assert (await create(api, system))[0]["expiresAt"] is not None


async def test_the_policy_allows_for_the_way_of_a_request_and_a_clock_that_is_some_seconds_ahead(
    settings: Settings,
) -> None:
    async with running(settings.model_copy(update={"max_lifetime_days": 90})) as api:
        system = await api.make()
        _, user = await create(api, system, scopes=["identity:rotate"])
        for end in (ahead(days=90), ahead(days=90, seconds=20)):
            assert (await create(api, system, expiresAt=end))[0]["expiresAt"] == end
            for caller in (user, system):
                assert codes(await update(api, caller, user, expiresAt=end)) == []
        later = {"i": {"domainId": "d1", "userId": "u1", "expiresAt": ahead(days=90, seconds=40)}}
        assert await api.code(CREATE, later, system) == "INVALID_ARGUMENT"


async def test_an_expired_key_is_saved_with_its_own_end(api: Api) -> None:
    system = await api.make()
    made, user = await create(api, system, expiresAt=ahead(seconds=0.3))
    await asyncio.sleep(0.4)
    end = made["expiresAt"]
    saved = await update(api, system, user, name="renamed", expiresAt=end)
    assert {name: saved["data"]["updateApiKey"][name] for name in ("name", "expiresAt", "expired")} == {
        "name": "renamed",
        "expiresAt": end,
        "expired": True,
    }
    rest = {"domain_id": "d1", "api_key_id": user.key_id, "name": "again", "expires_at": f"{end[:-1]}999Z"}
    headers = {"Authorization": f"Bearer {system.secret}"}
    answer = await api.client.post("/identity/v1/api-key/update", json=rest, headers=headers)
    assert (answer.status_code, answer.json()["name"], answer.json()["expires_at"]) == (200, "again", end)
    # It does not come back by that, and any other instant of the past is an error as before.
    assert (await api.send("{ __typename }", by=user)).status_code == 401
    other = instant_text(datetime.fromisoformat(end) - timedelta(milliseconds=1))
    assert codes(await update(api, system, user, expiresAt=other)) == ["INVALID_ARGUMENT"]
    rotate = "mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { apiKey } }"
    same = {"i": {"domainId": "d1", "apiKeyId": user.key_id, "expiresAt": end}}
    assert await api.code(rotate, same, system) == "FAILED_PRECONDITION"
    # To whoever may not see the key, it does not exist.
    for stranger in (await api.make("USER", user_id="u2"), await api.make("DOMAIN_OWNER", "d2")):
        assert codes(await update(api, stranger, user, expiresAt=end))[0] in ("NOT_FOUND", "PERMISSION_DENIED")
        assert codes(await update(api, stranger, user, expiresAt=end)) == codes(
            await update(api, stranger, user, expiresAt=ahead(days=1))
        )


async def test_a_policy_changes_no_answer_of_a_key_that_exists(settings: Settings) -> None:
    """Invariant 13."""
    fields = "apiKeyId state expiresAt expired updatedAt scopes secrets { hint expiresAt }"
    documents = (
        f'{{ apiKeys(input: {{domainId: "d1"}}) {{ results {{ {fields} }} }} }}',
        '{ apiKeyStats(input: {query: {distinct: "expires_at"}}) }',
        f"{{ apiKeysConnection(filter: {{expired: false}}, orderBy: {{field: EXPIRES_AT}}) {{ nodes {{ {fields} }} }}"
        " }",
    )

    async def told(api: Api) -> list[str]:
        answers = [(await api.send(document, by=system)).text for document in documents]
        answers += [str(await verify(api, system, key.secret)) for key in (lasting, late)]
        rest = {"api_key_id": late.key_id, "only": ["state", "expires_at", "expired", "updated_at", "scopes"]}
        got = await api.client.post(REST, json=rest, headers={"Authorization": f"Bearer {system.secret}"})
        return [*answers, got.text]

    async with running(settings) as api:
        system = await api.make()
        lasting, late = (await create(api, system))[1], (await create(api, system, expiresAt=ahead(days=400)))[1]
        before = await told(api)
    policy = {"default_lifetime_days": 1, "max_lifetime_days": 2}
    async with running(settings.model_copy(update=policy)) as api:
        assert await told(api) == before


async def test_the_text_of_an_expired_key_is_in_no_answer_and_no_log(
    api: Api, capsys: pytest.CaptureFixture[str], logs_as_before: None
) -> None:
    """Invariant 9."""
    configure_logs("debug", "json")
    system = await api.make()
    _, user = await create(api, system, expiresAt=ahead(seconds=0.3))
    await asyncio.sleep(0.4)
    headers = {"Authorization": f"Bearer {user.secret}"}
    answers = [
        await api.send("{ viewer { userId } }", by=user),
        await api.client.post(REST, json={"api_key_id": user.key_id}, headers=headers),
        await api.client.get("/authz", headers=headers),
        await introspect(api, system, token=user.secret),
        await api.client.post("/introspect", data={"token": user.secret}, headers=headers),
        await api.send(
            "mutation($s: String!) { verifyApiKey(input: {apiKey: $s}) { code } }", {"s": user.secret}, system
        ),
        await api.send(f'{{ apiKey(input: {{apiKeyId: "{user.secret}"}}) {{ state }} }}', by=system),
    ]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 200, 401, 200, 200]
    logged = "".join(capsys.readouterr())
    assert '"outcome":"EXPIRED"' in logged
    for text in (logged, *(answer.text for answer in answers)):
        assert user.secret[6:] not in text
    listed = await api.data('{ apiKeys(input: {domainId: "d1"}) { results { apiKeyId expired } } }', by=system)
    assert {"apiKeyId": user.key_id, "expired": True} in listed["apiKeys"]["results"]


async def test_a_key_of_a_user_ends_no_later_than_its_maker(api: Api) -> None:
    system = await api.make()
    end = ahead(days=2)
    for role in ("USER", "VERIFIER"):
        _, maker = await create(api, system, expiresAt=end, role=role)
        for given in ({}, {"expiresAt": None}):
            assert (await create(api, maker, **given))[0]["expiresAt"] == end
        assert (await create(api, maker, expiresAt=ahead(days=1)))[0]["expiresAt"] < end
        later = {"i": {"domainId": "d1", "userId": "u1", "expiresAt": ahead(days=3)}}
        assert await api.code(CREATE, later, maker) == "PERMISSION_DENIED"
        _, child = await create(api, maker, expiresAt=ahead(days=1))
        lasting = await api.make("USER")
        # It moves its own end and a child's no further ahead than its own end, and any end closer.
        for target, new, expected in [
            (maker, ahead(days=3), ["PERMISSION_DENIED"]),
            (maker, None, ["PERMISSION_DENIED"]),
            (child, ahead(days=3), ["PERMISSION_DENIED"]),
            (child, None, ["PERMISSION_DENIED"]),
            (child, end, []),
            (lasting, ahead(days=9), []),
            (maker, ahead(days=1), []),
        ]:
            assert codes(await update(api, maker, target, expiresAt=new)) == expected, (role, target, new)
    _, owner = await create(api, system, expiresAt=end, role="DOMAIN_OWNER")
    assert (await create(api, owner))[0]["expiresAt"] is None


async def test_ends_filter_and_order_keys(api: Api) -> None:
    system = await api.make(user_id="admin")
    ends = {"soon": ahead(hours=1), "later": ahead(days=9), "never": None, "over": ahead(days=1)}
    made = {name: (await create(api, system, name=name, expiresAt=end))[1] for name, end in ends.items()}
    with mongo_client(api.settings) as client:
        past = {"$set": {"expires_at": datetime.now(UTC) - timedelta(days=1)}}
        client.get_default_database().api_keys.update_one({"_id": made["over"].key_id}, past)
    query = """query($f: APIKeyFilter, $after: String) {
        apiKeysConnection(
            domainId: "d1", userId: "u1", first: 2, after: $after, filter: $f, orderBy: {field: EXPIRES_AT}
        ) { nodes { name } pageInfo { endCursor hasNextPage } } }"""

    async def names(**filter: Any) -> list[str]:
        found: list[str] = []
        after = None
        while True:
            data = (await api.data(query, {"f": filter, "after": after}, system))["apiKeysConnection"]
            found += [node["name"] for node in data["nodes"]]
            if not data["pageInfo"]["hasNextPage"]:
                return found
            after = data["pageInfo"]["endCursor"]

    assert await names() == ["never", "over", "soon", "later"]
    assert await names(expired=True) == ["over"]
    assert await names(expired=False) == ["never", "soon", "later"]
    assert await names(expiresBefore=ahead(days=2)) == ["over", "soon"]
    assert await names(expiresAfter=ahead(days=2)) == ["later"]
    condition = {"k": "expires_at", "o": "datetime_lt", "v": ahead(days=2)}
    listed = await api.client.post(
        "/identity/v1/api-key/list",
        json={"domain_id": "d1", "user_id": "u1", "query": {"filter": [condition], "sort": {"key": "expires_at"}}},
        headers={"Authorization": f"Bearer {system.secret}"},
    )
    assert [(key["name"], key["expired"]) for key in listed.json()["results"]] == [("over", True), ("soon", False)]


async def test_a_key_that_ends_soon_is_told_by_the_header_sunset(api: Api) -> None:
    system = await api.make()
    _, soon = await create(api, system, expiresAt=(end := ahead(days=6)))
    _, late = await create(api, system, expiresAt=ahead(days=8))
    for path, body in (("/graphql", {"query": "{ __typename }"}), (REST, {"api_key_id": "k", "domain_id": "d1"})):
        answer = await api.client.post(path, json=body, headers={"Authorization": f"Bearer {soon.secret}"})
        told = parsedate_to_datetime(answer.headers["Sunset"])
        assert told == datetime.fromisoformat(end).replace(microsecond=0)
        for other in (late, system):
            answer = await api.client.post(path, json=body, headers={"Authorization": f"Bearer {other.secret}"})
            assert "Sunset" not in answer.headers
