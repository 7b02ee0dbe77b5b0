"""The last SYSTEM key that may change keys can be neither ended nor narrowed, also not by several requests at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.client_session import ClientSession

from gql_identity.keys import system_keys
from gql_identity.settings import Settings
from tests.conftest import Api, Person, mongo_client, running

from .conftest import Before
from .test_states import change, state

REFUSED = {"code": "PERMISSION_DENIED"}
ENDS = ["disableApiKey", "deleteApiKey"]


async def works(api: Api, key: Person) -> bool:
    return (await api.send("{ __typename }", by=key)).status_code == 200


@pytest.mark.parametrize("name", ENDS)
async def test_it_cannot_end_itself_and_says_what_to_do(api: Api, name: str) -> None:
    last = await api.make()
    await api.make("DOMAIN_OWNER")
    query = f'mutation {{ r: {name}(input: {{domainId: "d1", apiKeyId: "{last.key_id}"}}) {{ apiKeyId }} }}'
    (error,) = (await api.run(query, by=last))["errors"]
    assert error["message"] == (
        "This is the last valid key of role SYSTEM that may change keys. Create another one first."
    )
    assert await works(api, last)
    other = await api.make(domain_id="d2")
    assert await change(api, name, last, last) == {"code": "OK"}
    assert await change(api, name, other, other) == REFUSED
    assert await works(api, other)


@pytest.mark.parametrize("name", ENDS)
async def test_over_rest_it_is_refused_too(api: Api, name: str) -> None:
    last = await api.make()
    answer = await api.client.post(
        f"/identity/v1/api-key/{name.removesuffix('ApiKey')}",
        json={"domain_id": "d1", "api_key_id": last.key_id},
        headers={"Authorization": f"Bearer {last.secret}"},
    )
    assert answer.status_code == 403


async def test_keys_that_are_disabled_or_have_ended_do_not_count(api: Api) -> None:
    last, disabled, ended = [await api.make() for _ in range(3)]
    assert await change(api, "disableApiKey", disabled, last) == {"code": "OK"}
    with mongo_client(api.settings) as client:
        keys = client.get_default_database().api_keys
        keys.update_one({"_id": ended.key_id}, {"$set": {"expires_at": datetime.now(UTC) - timedelta(seconds=1)}})
    assert await change(api, "deleteApiKey", last, last) == REFUSED
    # What is not valid may go.
    assert await change(api, "deleteApiKey", disabled, last) == {"code": "OK"}
    assert await change(api, "deleteApiKey", ended, last) == {"code": "OK"}


NARROWED = ['scopes: ["identity:read"]', "scopes: []", 'allowedAddresses: ["10.0.0.0/8"]']


async def update(api: Api, key: Person, fields: str, by: Person) -> dict[str, str]:
    mutation = f'mutation {{ updateApiKey(input: {{domainId: "d1", apiKeyId: "{key.key_id}", {fields}}}) {{ role }} }}'
    response = await api.run(mutation, by=by)
    return response["errors"][0]["extensions"] if "errors" in response else {"code": "OK"}


@pytest.mark.parametrize("fields", NARROWED)
async def test_it_is_not_narrowed_so_that_it_could_change_nothing(api: Api, fields: str) -> None:
    last = await api.make()
    assert (await update(api, last, fields, last))["code"] == "PERMISSION_DENIED"
    other = await api.make()
    assert await update(api, last, fields, other) == {"code": "OK"}
    # What may change nothing does not count, wherever the other may be used.
    assert await change(api, "disableApiKey", other, other) == ({"code": "OK"} if "Addresses" in fields else REFUSED)


async def test_it_may_be_narrowed_to_what_changes_keys_and_to_where_it_is_used(api: Api) -> None:
    last = await api.make()
    for fields in ('scopes: ["identity:write", "x"]', 'allowedAddresses: ["127.0.0.0/8"]', 'name: "n"'):
        assert await update(api, last, fields, last) == {"code": "OK"}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("each_other", [True, False])
async def test_two_that_end_each_other_or_themselves_at_once_leave_one(api: Api, name: str, each_other: bool) -> None:
    for _ in range(10):
        one, other = [await api.make() for _ in range(2)]
        targets = (other, one) if each_other else (one, other)
        codes = await asyncio.gather(*(change(api, name, k, by) for k, by in zip(targets, (one, other), strict=True)))
        left = [key for key in (one, other) if await works(api, key)]
        assert left, codes
        # Those that are left go, so that the next round has two again: by one that the command line makes.
        helper = await api.make()
        for key in left:
            await change(api, "deleteApiKey", key, helper)
        with mongo_client(api.settings) as client:
            client.get_default_database().api_keys.delete_many({})


async def test_many_at_once_leave_one(api: Api) -> None:
    keys = [await api.make() for _ in range(8)]
    codes = await asyncio.gather(*(change(api, "deleteApiKey", key, key) for key in keys for _ in range(2)))
    assert any([await works(api, key) for key in keys]), codes
    with mongo_client(api.settings) as client:
        # Nothing is left that would keep later requests from ending a key.
        assert client.get_default_database().meta.find_one({"_id": "ending-system-keys"})["marks"] == []  # type: ignore[index]


async def test_a_mark_that_a_killed_process_left_counts_for_a_while(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = [await api.make() for _ in range(2)]
    with mongo_client(api.settings) as client:
        mark = {"key": other.key_id, "by": "x", "at": datetime.now(UTC)}
        client.get_default_database().meta.insert_one({"_id": "ending-system-keys", "marks": [mark]})
    assert await change(api, "disableApiKey", one, one) == REFUSED
    monkeypatch.setattr(system_keys, "_MARKS_LAST", timedelta(0))
    assert await change(api, "disableApiKey", one, one) == {"code": "OK"}
    assert await state(api, one, other) == "DISABLED"


SECONDS = 1.0  # for a request


@pytest.fixture
async def hurried(settings: Settings) -> AsyncIterator[Api]:
    """The application with a short time for each request."""
    async with running(settings.model_copy(update={"operation_timeout_seconds": SECONDS})) as api:
        yield api


def marks(api: Api) -> Any:
    with mongo_client(api.settings) as client:
        stored = client.get_default_database().meta.find_one({"_id": "ending-system-keys"})
        assert stored is not None
        return stored["marks"]


async def goes(api: Api) -> None:
    """Wait until no mark is left."""
    end = time.monotonic() + 10
    while marks(api):
        assert time.monotonic() < end, "the mark stays"
        await asyncio.sleep(0.1)


async def test_the_mark_of_a_write_that_took_too_long_goes_after_a_while(
    hurried: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_keys, "UNKNOWN_SECONDS", 1.5)
    one, other = [await hurried.make() for _ in range(2)]
    commit = ClientSession.commit_transaction

    def commit_late(session: ClientSession) -> None:
        time.sleep(SECONDS + 0.3)
        commit(session)

    with monkeypatch.context() as patched:
        patched.setattr(ClientSession, "commit_transaction", commit_late)
        assert (await change(hurried, "disableApiKey", other, one))["code"] == "DEADLINE_EXCEEDED"
    # As long as the write may still take place, the key counts as ending.
    assert [mark["key"] for mark in marks(hurried)] == [other.key_id]
    await goes(hurried)


@pytest.mark.parametrize("name", ENDS)
async def test_a_mark_that_cannot_be_removed_in_time_does_not_hide_that_the_change_was_made(
    hurried: Api, before: Before, name: str
) -> None:
    one, other = [await hurried.make() for _ in range(2)]
    before(lambda name, command: name == "update" and "$filter" in str(command), lambda: asyncio.sleep(SECONDS + 0.3))
    assert await change(hurried, name, other, one) == {"code": "OK"}
    await goes(hurried)


async def test_marks_that_count_no_more_are_removed_with_the_next_one(api: Api) -> None:
    one, other = [await api.make() for _ in range(2)]
    with mongo_client(api.settings) as client:
        old = {"key": "gone", "by": "x", "at": datetime.now(UTC) - timedelta(hours=2)}
        new = {"key": "new", "by": "y", "at": datetime.now(UTC)}
        client.get_default_database().meta.insert_one({"_id": "ending-system-keys", "marks": [old, new]})
    assert await change(api, "disableApiKey", other, one) == {"code": "OK"}
    assert [mark["by"] for mark in marks(api)] == ["y"]
