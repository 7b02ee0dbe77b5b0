"""`disableApiKeys`: all keys that match and that the caller may see, and no others."""

import asyncio
from typing import Any

import pytest

from gql_identity.keys import credentials
from gql_identity.keys.disabling import MAX_BATCH_KEYS
from tests.conftest import Api, Person, listening, mongo_client

from .conftest import Before
from .test_access import ALL, TARGETS
from .test_subscriptions import connected, subscribe, told

DISABLE = "mutation($i: DisableAPIKeysRequest!) { disableApiKeys(input: $i) { count more } }"
ENABLE = "mutation($i: APIKeyRequest!) { enableApiKey(input: $i) { state } }"
EVERYTHING = {"createdAfter": "1970-01-01T00:00:00Z"}


async def disable(api: Api, by: Person, **input: Any) -> tuple[int, bool]:
    answer = (await api.data(DISABLE, {"i": {"domainId": "d1", **input}}, by))["disableApiKeys"]
    return answer["count"], answer["more"]


def disabled(api: Api) -> set[str]:
    with mongo_client(api.settings) as client:
        return {key["_id"] for key in client.get_default_database().api_keys.find({"state": "DISABLED"})}


async def test_a_leavers_keys_are_refused_at_once_and_others_stay(api: Api) -> None:
    system, other = await api.make(), await api.make("USER", user_id="bob")
    leaver = [await api.make(role, user_id="ann") for role in ("USER", "VERIFIER", "DOMAIN_OWNER")]
    for person in (*leaver, other):
        assert (await api.send("{ viewer { userId } }", by=person)).status_code == 200
    assert await disable(api, system, userId="ann") == (3, False)
    assert [(await api.send("{ viewer { userId } }", by=person)).status_code for person in leaver] == [401] * 3
    assert (await api.send("{ viewer { userId } }", by=other)).status_code == 200
    assert await disable(api, system, userId="ann") == (0, False)
    key = (await api.data("query($d: ID!, $k: ID!) { apiKey(input: {domainId: $d, apiKeyId: $k}) { updatedAt } }",
                          {"d": "d1", "k": leaver[0].key_id}, system))["apiKey"]  # fmt: skip
    assert key["updatedAt"] is not None


async def test_all_that_a_stolen_key_made_is_disabled_also_through_a_deleted_key(api: Api) -> None:
    system, stolen = await api.make(), await api.make("USER", user_id="ann")
    create = """mutation { createApiKey(input: {domainId: "d1", userId: "ann"}) { apiKeyId apiKey } }"""

    async def made_by(person: Person) -> Person:
        key = (await api.data(create, None, person))["createApiKey"]
        return Person(key["apiKeyId"], key["apiKey"], "d1", "ann")

    child = await made_by(stolen)
    grandchild = await made_by(child)
    bystander = await api.make("USER", user_id="ann")
    delete = "mutation($i: APIKeyRequest!) { deleteApiKey(input: $i) { id } }"
    await api.data(delete, {"i": {"domainId": "d1", "apiKeyId": child.key_id}}, system)
    assert await disable(api, system, filter={"madeBy": stolen.key_id}) == (1, False)
    assert disabled(api) == {grandchild.key_id}
    assert (await api.send("{ viewer { userId } }", by=bystander)).status_code == 200


@pytest.mark.parametrize("role", sorted(ALL))
async def test_each_role_disables_what_it_may_see_and_not_itself(api: Api, role: str) -> None:
    people = {whose: await api.make(made, domain, user) for whose, ((domain, user, made), _) in TARGETS.items()}
    caller = await api.make(role, "d1", "caller" if role == "SYSTEM" else "u1")
    of_domain = {whose: seen for whose, ((domain, _, _), seen) in TARGETS.items() if domain == "d1"}
    reached = {people[whose].key_id for whose, seen in of_domain.items() if role in seen}
    assert await disable(api, caller, filter=EVERYTHING) == (len(reached), False)
    assert disabled(api) == reached
    if role != "SYSTEM":
        request = {"i": {"domainId": "d2", "filter": EVERYTHING}}
        assert await api.code(DISABLE, request, caller) == "PERMISSION_DENIED"


async def test_another_users_keys_are_as_if_there_were_none(api: Api) -> None:
    user, _ = await api.make("USER", user_id="ann"), await api.make("USER", user_id="bob")
    mine = await api.make("USER", user_id="ann")
    assert await disable(api, user, userId="bob") == await disable(api, user, userId="nobody") == (0, False)
    assert disabled(api) == set()
    assert await disable(api, user, userId="ann") == (1, False)
    assert disabled(api) == {mine.key_id}


async def test_a_key_that_its_user_disabled_cannot_be_enabled_by_them_afterwards(api: Api) -> None:
    owner, user = await api.make("DOMAIN_OWNER", user_id="boss"), await api.make("USER", user_id="ann")
    target = {"i": {"domainId": "d1", "apiKeyId": (await api.make("USER", user_id="ann")).key_id}}
    await api.data("mutation($i: APIKeyRequest!) { disableApiKey(input: $i) { state } }", target, user)
    assert (await api.data(ENABLE, target, user))["enableApiKey"]["state"] == "ENABLED"
    await api.data("mutation($i: APIKeyRequest!) { disableApiKey(input: $i) { state } }", target, user)
    assert await disable(api, owner, userId="ann", filter={"createdAfter": "2000-01-01T00:00:00Z"}) == (2, False)
    another = await api.make("USER", user_id="ann")
    assert await api.code(ENABLE, target, another) == "PERMISSION_DENIED"
    assert (await api.data(ENABLE, target, owner))["enableApiKey"]["state"] == "ENABLED"


async def test_a_thousand_are_disabled_and_more_is_told(api: Api) -> None:
    owner, user = await api.make("DOMAIN_OWNER"), await api.make("USER", user_id="ann")
    with mongo_client(api.settings) as client:
        keys = client.get_default_database().api_keys
        like = keys.find_one({"_id": user.key_id})
        assert like is not None
        keys.insert_many({**like, "_id": f"api-key-{at:032}", "digest": at.to_bytes(32)} for at in range(1_000))
        assert await disable(api, owner, userId="ann") == (1_000, True)
        assert keys.count_documents({"state": "DISABLED", "disabled_rank": {"$gt": 0}, "audit_number": 2}) == 1_000
        assert await disable(api, owner, userId="ann") == (1, False)
        assert keys.count_documents({"state": "ENABLED"}) == 1


@pytest.mark.parametrize(
    ("input", "told"),
    [
        ({}, "filter: give a condition, or `userId`"),
        ({"filter": {}}, "filter: give a condition, or `userId`"),
        ({"filter": {"and": [{}, {"and": [{}]}]}}, "filter: give a condition, or `userId`"),
        ({"filter": {"or": [{}, {"role": "USER"}]}}, "filter: give a condition, or `userId`"),
        ({"userId": ""}, "userId: "),
        ({"filter": {"nameContains": ""}}, "filter.nameContains: it is empty"),
        ({"userId": "ann", "filter": {"role": "USER", "nameContains": ""}}, "filter.nameContains: it is empty"),
        (
            {"filter": {"and": [{"or": [{"role": "VERIFIER"}, {"nameContains": ""}]}]}},
            "filter.and[0].or[1].nameContains: it is empty",
        ),
        ({"filter": {"nameContains": None}}, "filter: give a condition, or `userId`"),
        ({"filter": {"nameContains": "x" * 10_000}}, "filter.nameContains: "),
        ({"domainId": " ", "userId": "ann"}, "domainId: "),
    ],
)
async def test_bad_input_disables_nothing(api: Api, input: dict[str, Any], told: str) -> None:
    system = await api.make()
    named = 'mutation { createApiKey(input: {domainId: "d1", userId: "ann", name: "ci"}) { apiKeyId } }'
    await api.data(named, by=system)
    (error,) = (await api.run(DISABLE, {"i": {"domainId": "d1", **input}}, system))["errors"]
    assert error["extensions"]["code"] == "INVALID_ARGUMENT"
    assert told in error["message"]
    assert disabled(api) == set()


@pytest.mark.parametrize(
    "filter",
    [
        {"hasScope": ""},
        {"hasTag": {"name": "", "value": ""}},
        {"madeBy": ""},
        {"createdBy": ""},
        {"createdByUserId": ""},
    ],
    ids=lambda filter: next(iter(filter)),
)
async def test_an_empty_text_of_another_condition_matches_no_key(api: Api, filter: dict[str, Any]) -> None:
    system = await api.make()
    create = """mutation($s: [String!], $t: [APIKeyTagInput!]) {
        createApiKey(input: {domainId: "d1", userId: "ann", name: "ci", scopes: $s, tags: $t}) { apiKeyId } }"""
    tags = [{"name": "team", "value": "x"}]
    each: list[dict[str, Any]] = [{}, {"s": []}, {"s": ["identity:read"], "t": tags}]
    for fields in each:
        await api.data(create, fields, system)
    assert await disable(api, system, filter=filter) == (0, False)
    assert disabled(api) == set()


async def test_a_failure_between_two_batches_tells_that_the_same_request_disables_the_rest(
    api: Api, before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, user = await api.make("DOMAIN_OWNER"), await api.make("USER", user_id="ann")
    with mongo_client(api.settings) as client:
        keys = client.get_default_database().api_keys
        like = keys.find_one({"_id": user.key_id})
        assert like is not None
        keys.insert_many(
            {**like, "_id": f"api-key-{at:032}", "digest": at.to_bytes(32)} for at in range(MAX_BATCH_KEYS)
        )

    async def nothing_is_read_in_time() -> None:
        monkeypatch.setattr(credentials, "CACHE_SECONDS", 0.0)

    before(lambda name, _: name == "commitTransaction", nothing_is_read_in_time)
    (error,) = (await api.run(DISABLE, {"i": {"domainId": "d1", "userId": "ann"}}, owner))["errors"]
    assert error["extensions"]["code"] == "UNAVAILABLE"
    assert error["message"].endswith("is unknown: send the request again, which disables the rest.")
    assert len(disabled(api)) == MAX_BATCH_KEYS
    # The same failure before the first write says nothing of an outcome.
    (error,) = (await api.run(DISABLE, {"i": {"domainId": "d1", "userId": "ann"}}, owner))["errors"]
    assert error["message"].endswith("is still valid. Try again.")
    monkeypatch.undo()
    assert await disable(api, owner, userId="ann") == (1, False)


async def test_without_a_credential_or_the_scope_to_write_nothing_is_disabled(api: Api) -> None:
    system = await api.make()
    create = """mutation($s: [String!]) {
        createApiKey(input: {domainId: "d1", userId: "ann", role: SYSTEM, scopes: $s}) { apiKey } }"""
    request = {"i": {"domainId": "d1", "filter": EVERYTHING}}
    assert await api.code(DISABLE, request) == "UNAUTHENTICATED"
    for scopes in ([], ["identity:read"], ["identity:write"]):
        reader = (await api.data(create, {"s": scopes}, system))["createApiKey"]["apiKey"]
        assert await api.code(DISABLE, request, reader) == "PERMISSION_DENIED"
    assert disabled(api) == set()


async def test_two_that_disable_all_keys_at_once_leave_a_valid_one(api: Api) -> None:
    first, second = await api.make(user_id="ann"), await api.make(user_id="bob")
    await asyncio.gather(
        *(api.run(DISABLE, {"i": {"domainId": "d1", "filter": EVERYTHING}}, by) for by in (first, second))
    )
    assert len(disabled(api)) < 2


async def test_subscribers_are_told_of_each_key(api: Api) -> None:
    system = await api.make(domain_id="d9")
    users = {(await api.make("USER", user_id="ann")).key_id for _ in range(3)}
    async with listening(api.app) as address, connected(address, system) as websocket:
        await subscribe(websocket)
        assert await disable(api, system, userId="ann") == (3, False)
        changes = [await told(websocket) for _ in users]
        assert {(kind, key["apiKeyId"], key["state"]) for kind, key in changes} == {
            ("DISABLED", key_id, "DISABLED") for key_id in users
        }


async def test_a_secret_whose_successor_is_in_use_disables_nothing(api: Api) -> None:
    system, _ = await api.make(), await api.make("USER", user_id="ann")
    rotate = "mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { apiKey } }"
    key = {"domainId": "d1", "apiKeyId": system.key_id}
    newer = (await api.data(rotate, {"i": key}, system))["rotateApiKey"]["apiKey"]
    await api.data("{ viewer { userId } }", by=newer)
    await api.uses_written()
    await asyncio.sleep(1)  # so long a credential is cached
    request = {"i": {"domainId": "d1", "filter": EVERYTHING}}
    assert await api.code(DISABLE, request, system) == "PERMISSION_DENIED"
    assert disabled(api) == set()
    assert await disable(api, Person(system.key_id, newer, "d1", "u1"), userId="ann") == (1, False)


def store(api: Api, key: Person, **fields: Any) -> None:
    with mongo_client(api.settings) as client:
        client.get_default_database().api_keys.update_one({"domain_id": "d1", "_id": key.key_id}, {"$set": fields})


@pytest.mark.parametrize("role", ["USER", "SYSTEM"])
@pytest.mark.parametrize(
    "fields",
    [{"disabled_rank": None}, {"audit_number": None}, {"audit_number": 7.0}, {"disabled_rank": 2.0}],
    ids=str,
)
async def test_null_and_whole_doubles_that_something_else_stored_are_read(
    api: Api, role: str, fields: dict[str, Any]
) -> None:
    system, odd = await api.make(user_id="admin"), await api.make(role)
    store(api, odd, **fields)
    assert await disable(api, system, userId="u1") == (1, False)
    assert disabled(api) == {odd.key_id}
    one = {"i": {"domainId": "d1", "apiKeyId": odd.key_id}}
    assert await api.data(ENABLE, one, system) == {"enableApiKey": {"state": "ENABLED"}}
    store(api, odd, **fields)
    await api.data("mutation($i: APIKeyRequest!) { disableApiKey(input: $i) { state } }", one, system)
    assert disabled(api) == {odd.key_id}
    with mongo_client(api.settings) as client:
        database = client.get_default_database()
        numbers = [entry["number"] for entry in database.audit.find({"api_key_id": odd.key_id})]
        assert {type(number) for number in numbers} == {int}
        (stored,) = database.api_keys.find({"_id": odd.key_id})
        assert type(stored["audit_number"]) is int


@pytest.mark.parametrize("role", ["USER", "SYSTEM"])
@pytest.mark.parametrize(
    "fields", [{"audit_number": "many"}, {"disabled_rank": 1.5}, {"audit_number": float("nan")}], ids=str
)
async def test_a_key_that_cannot_be_disabled_is_named_and_the_others_are_disabled(
    api: Api, role: str, fields: dict[str, Any]
) -> None:
    system, odd = await api.make(user_id="admin"), await api.make(role)
    others = [await api.make(kind) for kind in ("USER", "SYSTEM")]
    store(api, odd, **fields)
    (error,) = (await api.run(DISABLE, {"i": {"domainId": "d1", "userId": "u1"}}, system))["errors"]
    assert error["extensions"]["code"] == "FAILED_PRECONDITION"
    assert error["message"] == (
        f"2 keys were disabled. What is stored of 1 other cannot be read, so it was not: {odd.key_id}. Delete it."
    )
    assert disabled(api) == {other.key_id for other in others}
    # Disabled by somebody else meanwhile, it is no valid key that is left.
    store(api, odd, state="DISABLED")
    assert await disable(api, system, userId="u1") == (0, False)
