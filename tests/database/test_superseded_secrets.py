"""As soon as the newer secret of a key was used, the older one manages no keys, and throws the owner out of none."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import AutoReconnect

from gql_identity.errors import PermissionDenied
from gql_identity.keys.credentials import caller_of
from gql_identity.storage import last_uses
from tests.conftest import Api, Person, listening, mongo_client, running

from .test_forward_auth import ask
from .test_rotation import DISABLE, END, ROTATE, UPDATE, opens, rotate, rotated
from .test_subscriptions import connected
from .test_tokens import VIEWER, issuing, token_of
from .test_verification import introspect, verify

CREATE = 'mutation { createApiKey(input: {domainId: "d1", userId: "u1"}) { id } }'
DELETE = "mutation($i: APIKeyRequest!) { deleteApiKey(input: $i) { apiKeyId } }"
DISABLE_ALL = 'mutation { disableApiKeys(input: {domainId: "d1", filter: {expired: true}}) { count } }'
REPORT = "mutation($s: String!) { reportLeakedApiKey(input: {apiKey: $s}) { received } }"


@pytest.fixture
async def service(api: Api) -> AsyncIterator[Api]:
    async with issuing(api.settings) as service:
        yield service


async def overlapping(api: Api, role: str = "USER") -> tuple[Person, str]:
    """A key with the older secret, and the newer one, which was not used."""
    key = await api.make(role)
    return key, (await rotated(api, await api.make(), key))["apiKey"]


async def refusals(api: Api, key: Person, by: Person | str) -> set[str]:
    """The codes of every change of keys by this credential."""
    one = {"i": {"domainId": "d1", "apiKeyId": key.key_id}}
    codes = {await api.code(document, one, by) for document in (ROTATE, UPDATE, END, DISABLE, DELETE)}
    return codes | {await api.code(document, by=by) for document in (CREATE, DISABLE_ALL)}


def writes_fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have last uses not written; returns what ends that."""
    patched = pytest.MonkeyPatch()

    async def fail(*_: Any, **__: Any) -> None:
        raise AutoReconnect("the database is away")

    patched.setattr(AsyncIOMotorCollection, "bulk_write", fail)
    monkeypatch.setattr(last_uses, "FLUSH_SECONDS", 0.1)
    return patched.undo


async def _graphql(api: Api, key: Person) -> None:
    await api.data(VIEWER, by=key)


async def _socket(api: Api, key: Person) -> None:
    async with listening(api.app) as address, connected(address, key):
        pass


async def _rest(api: Api, key: Person) -> None:
    headers = {"Authorization": f"Bearer {key.secret}"}
    assert (await api.client.post("/identity/v1/api-key/list", json={}, headers=headers)).status_code == 200


async def _verify(api: Api, key: Person) -> None:
    assert [code for code, *_ in await verify(api, await api.make("VERIFIER"), key.secret)] == ["VALID"]


async def _introspect(api: Api, key: Person) -> None:
    assert (await introspect(api, await api.make("VERIFIER"), token=key.secret)).json()["active"] is True


async def _authz(api: Api, key: Person) -> None:
    assert (await ask(api, key.secret)).status_code == 200


async def _exchange(api: Api, key: Person) -> None:
    assert await token_of(api, await api.make("VERIFIER"), apiKey=key.secret)


async def _token(api: Api, key: Person) -> None:
    form = {"grant_type": "client_credentials"}
    assert (await api.client.post("/token", data=form, auth=(key.key_id, key.secret))).status_code == 200


DOORS = [_graphql, _socket, _rest, _verify, _introspect, _authz, _exchange, _token]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__[1:])
async def test_at_once_the_older_secret_manages_nothing(
    service: Api, monkeypatch: pytest.MonkeyPatch, door: Callable[[Api, Person], Awaitable[None]]
) -> None:
    key, newer = await overlapping(service, "DOMAIN_OWNER")
    assert await opens(service, key.secret) == [True]  # it is cached
    end = writes_fail(monkeypatch)
    try:
        await door(service, Person(key.key_id, newer, key.domain_id, key.user_id))
        assert await refusals(service, key, key.secret) == {"PERMISSION_DENIED"}
    finally:
        end()
    assert await opens(service, key.secret) == [True]  # it still reads
    assert "errors" not in await service.run(CREATE, by=newer)


async def test_at_once_neither_does_a_token_of_it(service: Api) -> None:
    key, newer = await overlapping(service, "DOMAIN_OWNER")
    older_token, newer_token = await token_of(service, key), await token_of(service, newer)
    assert await refusals(service, key, older_token) == {"PERMISSION_DENIED"}
    assert "errors" not in await service.run(CREATE, by=newer_token)


async def test_a_token_of_the_newer_secret_is_a_use_of_it(service: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    key, newer = await overlapping(service, "DOMAIN_OWNER")
    # As a worker would make it that dies before it writes the use of the secret.
    patched = pytest.MonkeyPatch()
    patched.setattr(service.app.state.api_keys.uses, "note", lambda *_, **__: None)
    token = await token_of(service, newer)
    patched.undo()
    assert "errors" not in await service.run(CREATE, by=key)
    await service.data(VIEWER, by=token)
    assert await service.code(CREATE, by=key) == "PERMISSION_DENIED"


@pytest.mark.parametrize("failing", [True, False])
async def test_a_report_of_the_older_secret_ends_it_alone_at_once(
    api: Api, monkeypatch: pytest.MonkeyPatch, failing: bool
) -> None:
    for report in ("revoke", "graphql"):
        key, newer = await overlapping(api)
        assert await opens(api, key.secret) == [True]
        end = writes_fail(monkeypatch) if failing else lambda: None
        try:
            await api.data(VIEWER, by=newer)
            if report == "revoke":
                await api.client.post("/revoke", data={"token": key.secret})
            else:
                await api.data(REPORT, {"s": key.secret}, await api.make())
            assert await opens(api, key.secret, newer) == [False, True]
        finally:
            end()


async def test_other_workers_learn_it_within_a_second(api: Api) -> None:
    key, newer = await overlapping(api, "DOMAIN_OWNER")
    async with running(api.settings) as other:
        assert await opens(other, key.secret, key.secret) == [True, True]
        began = time.monotonic()
        await api.data(VIEWER, by=newer)
        while "errors" not in await other.run(CREATE, by=key):
            assert time.monotonic() - began < 1
            await asyncio.sleep(0.02)
        assert await refusals(other, key, key.secret) == {"PERMISSION_DENIED"}


async def test_another_worker_ends_the_older_secret_alone_as_soon_as_the_use_is_written(api: Api) -> None:
    key, newer = await overlapping(api)
    async with running(api.settings) as other:
        assert await opens(other, key.secret) == [True]
        await api.data(VIEWER, by=newer)
        await _until_written(api, key)
        assert await opens(other, key.secret) == [True]
        await other.client.post("/revoke", data={"token": key.secret})
        assert await opens(other, key.secret, newer) == [False, True]


async def test_another_worker_lets_the_older_secret_not_change_its_own_key_as_soon_as_the_use_is_written(
    api: Api,
) -> None:
    async with running(api.settings) as other:
        for document in (ROTATE, UPDATE, END, DISABLE, DELETE):
            key, newer = await overlapping(api, "DOMAIN_OWNER")
            assert await opens(other, key.secret) == [True]
            await api.data(VIEWER, by=newer)
            await _until_written(api, key)
            one = {"domainId": "d1", "apiKeyId": key.key_id}
            if document is ROTATE:
                one["ifOverlapping"] = "REPLACE_NEWER"
            if document is UPDATE:
                one["name"] = "thief"
            assert await other.code(document, {"i": one}, key) == "PERMISSION_DENIED", document
            assert await opens(api, newer) == [True]


async def test_an_ended_secret_that_another_worker_still_knows_disables_nothing(api: Api) -> None:
    system, key = await api.make(), await api.make("USER")
    async with running(api.settings) as other:
        assert await opens(other, key.secret) == [True]
        newer = (await rotated(api, system, key, overlapSeconds=0))["apiKey"]
        await other.client.post("/revoke", data={"token": key.secret})
        assert await opens(api, newer) == [True]


async def test_a_use_that_could_not_be_written_is_written_later(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    key, newer = await overlapping(api, "DOMAIN_OWNER")
    async with running(api.settings) as other:
        end = writes_fail(monkeypatch)
        try:
            await api.data(VIEWER, by=newer)
            await asyncio.sleep(0.3)
            assert await api.code(CREATE, by=key) == "PERMISSION_DENIED"
        finally:
            end()
        await _until_written(api, key)
        await asyncio.sleep(0.6)
        assert await refusals(other, key, key.secret) == {"PERMISSION_DENIED"}


async def test_a_long_request_with_the_older_secret_changes_nothing_either(api: Api) -> None:
    key, newer = await overlapping(api, "DOMAIN_OWNER")
    async with running(api.settings) as other:
        under_way = []
        for worker in (api, other):
            credentials = worker.app.state.api_keys.credentials
            under_way.append((credentials, caller_of(await credentials.find(key.secret))))
        await api.data(VIEWER, by=newer)
        await _until_written(api, key)
        await asyncio.sleep(0.6)
        for credentials, caller in under_way:
            with pytest.raises(PermissionDenied):
                await credentials.check_manager(caller)
            await credentials.check_caller(caller)


async def test_once_the_newest_secret_is_replaced_by_another_the_older_one_waits_for_its_use(api: Api) -> None:
    key, newer = await overlapping(api)
    system = await api.make()
    await api.data(VIEWER, by=newer)
    await _until_written(api, key)
    assert (await rotate(api, key, key))["errors"][0]["extensions"]["code"] == "PERMISSION_DENIED"
    newest = (await rotated(api, system, key, ifOverlapping="REPLACE_NEWER"))["apiKey"]
    again = (await rotated(api, key, key, ifOverlapping="REPLACE_NEWER"))["apiKey"]
    assert await opens(api, newer, newest, again) == [False, False, True]
    assert await api.code(CREATE, by=key) == "PERMISSION_DENIED"


async def test_a_rotation_costs_one_write_of_a_use_and_a_key_without_an_overlap_none(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, bulk_write = [], AsyncIOMotorCollection.bulk_write
    monkeypatch.setattr(last_uses, "FLUSH_SECONDS", 60.0)
    async with running(api.settings) as service:

        async def counted(keys: Any, writes: list[Any], **options: Any) -> Any:
            written.append(len(writes))
            return await bulk_write(keys, writes, **options)

        monkeypatch.setattr(AsyncIOMotorCollection, "bulk_write", counted)
        ended = await service.make("USER")
        alone = (await rotated(service, await service.make(), ended, overlapSeconds=0))["apiKey"]
        assert await opens(service, alone, (await service.make()).secret) == [True, True]
        await asyncio.sleep(0.1)
        assert written == []
        key, newer = await overlapping(service)
        await asyncio.gather(*(service.data(VIEWER, by=newer) for _ in range(20)))
        await _until_written(service, key)
        for _ in range(3):
            await asyncio.sleep(0.3)
            assert await opens(service, newer, key.secret) == [True, True]
        assert len(written) == 1


async def test_a_use_that_the_database_refuses_is_not_tried_with_each_use(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, newer = await overlapping(api, "DOMAIN_OWNER")
    with mongo_client(api.settings) as client:
        keys = client.get_default_database().api_keys
        # Null is as missing when it is read, and takes no field.
        keys.update_one({"domain_id": "d1", "_id": key.key_id}, {"$set": {"secret_uses": None}})
    writes, bulk_write = [], AsyncIOMotorCollection.bulk_write

    async def counted(keys: Any, writes_: list[Any], **options: Any) -> Any:
        writes.append(writes_)
        return await bulk_write(keys, writes_, **options)

    monkeypatch.setattr(AsyncIOMotorCollection, "bulk_write", counted)
    for _ in range(10):
        await api.data(VIEWER, by=newer)
        assert await api.code(CREATE, by=key) == "PERMISSION_DENIED"
        await asyncio.sleep(0.1)
    assert len(writes) <= 3


async def _until_written(api: Api, key: Person) -> None:
    with mongo_client(api.settings) as client:
        keys = client.get_default_database().api_keys
        for _ in range(500):
            stored = await asyncio.to_thread(keys.find_one, {"domain_id": "d1", "_id": key.key_id})
            if stored is not None and "2" in stored["secret_uses"]:
                return
            await asyncio.sleep(0.01)
    raise AssertionError("the use was not written")
