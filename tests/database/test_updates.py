"""Changing a key: what is given changes and nothing else, whoever else changes it at the same time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gql_identity.messages.values import instant_text
from tests.conftest import Api, Person, listening, mongo_client

from .test_subscriptions import change, connected, subscribe, told

UPDATE = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { name expiresAt updatedAt state } }"


async def update(api: Api, by: Person, target: Person, **input: Any) -> Any:
    return await api.run(UPDATE, {"i": {"domainId": "d1", "apiKeyId": target.key_id, **input}}, by)


async def test_what_is_absent_stays_and_what_is_null_is_removed(api: Api) -> None:
    system, user = await api.make(), await api.make("USER", name="before")
    end = instant_text(datetime.now(UTC) + timedelta(days=1))
    untouched = (await update(api, system, user))["data"]["updateApiKey"]
    assert untouched == {"name": "before", "expiresAt": None, "updatedAt": None, "state": "ENABLED"}
    changed = (await update(api, system, user, expiresAt=end))["data"]["updateApiKey"]
    assert (changed["name"], changed["expiresAt"], changed["updatedAt"] is None) == ("before", end, False)
    changed = (await update(api, system, user, name="after"))["data"]["updateApiKey"]
    assert (changed["name"], changed["expiresAt"]) == ("after", end)
    again = (await update(api, system, user, name="after", expiresAt=end))["data"]["updateApiKey"]
    assert again == changed  # nothing changed, nor is it noted as a change
    changed = (await update(api, system, user, name=None, expiresAt=None))["data"]["updateApiKey"]
    assert (changed["name"], changed["expiresAt"]) == (None, None)


async def test_rest_updates_alike(api: Api) -> None:
    system, user = await api.make(), await api.make("USER", name="before")
    headers = {"Authorization": f"Bearer {system.secret}"}

    async def send(**body: Any) -> Any:
        message = {"api_key_id": user.key_id, "domain_id": "d1", **body}
        return (await api.client.post("/identity/v1/api-key/update", json=message, headers=headers)).json()

    end = "2100-01-01T00:00:00.000Z"
    assert (await send(expires_at=end))["expires_at"] == end
    assert (await send(name="after"))["name"] == "after"
    cleared = await send(name=None, expires_at=None)
    assert (cleared["name"], cleared["expires_at"]) == (None, None)
    wrong = await send(expires_at="tomorrow")
    assert wrong["error"]["message"] == "expires_at: give an instant as in 2026-11-23T04:36:42.000Z."
    assert "Leave it out" in (await send(name=user.secret))["error"]["message"]


@pytest.mark.parametrize(
    "input",
    [{"name": ""}, {"name": "x" * 256}, {"name": " x"}, {"expiresAt": "2001-01-01T00:00:00Z"}],
)
async def test_what_cannot_be_is_refused_and_nothing_changes(api: Api, input: dict[str, Any]) -> None:
    system, user = await api.make(), await api.make("USER", name="before")
    (error,) = (await update(api, system, user, **input))["errors"]
    assert error["extensions"]["code"] == "INVALID_ARGUMENT"
    with mongo_client(api.settings) as client:
        stored = client.get_default_database().api_keys.find_one({"_id": user.key_id})
    assert stored is not None
    assert (stored["name"], stored["audit_number"]) == ("before", 1)


async def test_changes_at_the_same_time_are_all_made(api: Api) -> None:
    system, user = await api.make(), await api.make("USER")
    ends = [instant_text(datetime.now(UTC) + timedelta(days=n + 1)) for n in range(6)]
    await asyncio.gather(
        *(update(api, system, user, expiresAt=end) for end in ends),
        *(update(api, system, user, name=f"name {n}") for n in range(6)),
        *(change(api, name, system, user) for name in ("disableApiKey", "enableApiKey", "disableApiKey")),
    )
    with mongo_client(api.settings, tz_aware=True) as client:
        stored = client.get_default_database().api_keys.find_one({"_id": user.key_id})
    assert stored is not None
    assert instant_text(stored["expires_at"]) in ends
    assert stored["name"].startswith("name ")
    assert stored["audit_number"] >= 13


async def test_a_change_costs_the_same_in_a_large_domain(api: Api, reads: list[str]) -> None:
    """It names the key by the fields of an index alone, for every role: one more, and the domain is walked."""
    for role in ("USER", "VERIFIER", "DOMAIN_OWNER", "SYSTEM"):
        caller, target = await api.make(role), await api.make("USER")
        for name in ("disableApiKey", "enableApiKey"):
            await change(api, name, caller, target)
        await update(api, caller, target, name=role)
        await change(api, "deleteApiKey", caller, target)
    from .conftest import READS

    filters = [set(command["filter"]) for command in READS.sent if command.get("find")]
    assert {"domain_id", "_id"} in filters
    assert all(names in ({"domain_id", "_id"}, {"digest"}, set()) for names in filters), filters


async def test_an_update_is_told_to_those_who_ask_for_it(api: Api) -> None:
    system, user = await api.make(user_id="admin"), await api.make("USER", user_id="ann")
    async with (
        listening(api.app) as address,
        connected(address, system) as new,
        connected(address, system) as old,
    ):
        await subscribe(new, types=["UPDATED", "DELETED"])
        await subscribe(old)
        await update(api, system, user, name="told")
        await change(api, "disableApiKey", system, user)
        await update(api, system, user, expiresAt="2100-01-01T00:00:00Z")
        await update(api, system, user, expiresAt=None)
        await change(api, "deleteApiKey", system, user)
        assert [(await told(new))[0] for _ in range(4)] == ["UPDATED"] * 3 + ["DELETED"]
        assert [(await told(old))[0] for _ in range(2)] == ["DISABLED", "DELETED"]


async def test_a_rotation_that_moves_the_end_is_told_to_those_who_follow_updates(api: Api) -> None:
    system, user = await api.make(user_id="admin"), await api.make("USER", user_id="ann")
    rotate = "mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { apiKeyId } }"
    query = """subscription($i: APIKeyChangedRequest!) {
        apiKeyChanged(input: $i) { type apiKeyInfo { apiKeyId expiresAt } } }"""
    async with (
        listening(api.app) as address,
        connected(address, system) as ends,
        connected(address, system) as both,
    ):
        await subscribe(ends, query=query, types=["UPDATED"])
        await subscribe(both, query=query, types=["UPDATED", "ROTATED"])
        target, end = {"domainId": "d1", "apiKeyId": user.key_id}, "2100-01-01T00:00:00.000Z"
        await api.data(rotate, {"i": target}, system)  # which is no update
        await api.data(rotate, {"i": {**target, "expiresAt": end, "ifOverlapping": "END_OLDER"}}, system)
        await update(api, system, user, name="told")
        told_of = {"apiKeyId": user.key_id, "expiresAt": end}
        assert [await told(ends) for _ in range(2)] == [("UPDATED", told_of)] * 2
        # One event of each change, of the kind that says more.
        assert [(await told(both))[0] for _ in range(3)] == ["ROTATED", "ROTATED", "UPDATED"]


async def test_each_change_of_a_list_is_told_though_the_database_describes_it_by_its_elements(api: Api) -> None:
    system, user = await api.make(user_id="admin"), await api.make("USER", user_id="ann")
    lists = [["a", "b", "c"], ["a", "b", "d"], ["a", "b"], ["a", "b", "e"], []]
    async with listening(api.app) as address, connected(address, system) as websocket:
        query = """subscription($i: APIKeyChangedRequest!) {
            apiKeyChanged(input: $i) { type apiKeyInfo { apiKeyId scopes } } }"""
        await subscribe(websocket, query=query, types=["UPDATED"])
        for scopes in lists:
            await update(api, system, user, scopes=scopes)
            # Before the next change: without an image of it the key is read after the event.
            assert await told(websocket) == ("UPDATED", {"apiKeyId": user.key_id, "scopes": scopes})


async def test_a_key_that_the_database_replaces_is_told_by_what_differs(api: Api) -> None:
    system, user = await api.make(user_id="admin"), await api.make("USER", user_id="ann")
    async with listening(api.app) as address, connected(address, system) as websocket:
        await subscribe(websocket, types=["UPDATED", "DISABLED"])
        with mongo_client(api.settings) as client:
            keys = client.get_default_database().api_keys
            document = keys.find_one({"_id": user.key_id})
            assert document is not None
            for changes in ({"hint": "other"}, {"name": "new"}, {"state": "DISABLED"}):
                document |= changes
                keys.replace_one({"_id": user.key_id}, document)
        assert [(await told(websocket))[0] for _ in range(2)] == ["UPDATED", "DISABLED"]
