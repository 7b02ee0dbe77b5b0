"""The audit log: an entry for each change, who may read it, and what tells that it was tampered with."""

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from gql_identity.keys.audit_check import check_audit
from gql_identity.keys.audit_entries import AuditEntries
from gql_identity.keys.refusals import LINES_OF_A_KEY
from gql_identity.logs import configure_logs
from gql_identity.secret import make_secret
from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from tests.conftest import PEPPER, Api, Person, mongo_client, running
from tests.database.conftest import Run

ENTRY = """id at action apiKeyId domainId userId number intact requestId clientAddress
  actor { kind apiKeyId userId domainId role } changes { field before after }"""
AUDIT = f"""query($domainId: ID!, $apiKeyId: ID, $userId: ID, $actorId: ID, $actions: [APIKeyAuditAction!],
    $since: DateTime, $until: DateTime, $first: Int, $after: String, $last: Int, $before: String) {{
  apiKeyAudit(domainId: $domainId, apiKeyId: $apiKeyId, userId: $userId, actorId: $actorId, actions: $actions,
    since: $since, until: $until, first: $first, after: $after, last: $last, before: $before) {{
    edges {{ cursor }} nodes {{ {ENTRY} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"""


async def audit(api: Api, by: Person, **arguments: Any) -> Any:
    return (await api.data(AUDIT, {"domainId": "d1", **arguments}, by))["apiKeyAudit"]


async def told(api: Api, by: Person, **arguments: Any) -> list[str]:
    return [entry["action"] for entry in (await audit(api, by, **arguments))["nodes"]]


async def do(api: Api, by: Person, mutation: str, key: str, more: str = "") -> Any:
    answer = await api.data(
        f'mutation {{ {mutation}(input: {{domainId: "d1", apiKeyId: "{key}"{more}}}) {{ apiKeyId }} }}', by=by
    )
    return answer[mutation]


async def make(api: Api, by: Person, user_id: str = "u1", **fields: Any) -> str:
    query = "mutation($input: CreateAPIKeyRequest!) { createApiKey(input: $input) { apiKeyId } }"
    made = await api.data(query, {"input": {"domainId": "d1", "userId": user_id, **fields}}, by)
    return str(made["createApiKey"]["apiKeyId"])


async def test_each_change_has_an_entry_and_a_change_that_changes_nothing_has_none(api: Api) -> None:
    system = await api.make()
    key = await make(api, system, name="ci", scopes=["a"])
    await do(api, system, "updateApiKey", key, ', name: "cd", expiresAt: "2100-01-01T00:00:00Z"')
    await do(api, system, "updateApiKey", key, ', name: "cd"')
    await do(api, system, "disableApiKey", key)
    await do(api, system, "disableApiKey", key)
    await do(api, system, "enableApiKey", key)
    await do(api, system, "rotateApiKey", key)
    await do(api, system, "endApiKeyOverlap", key)
    await do(api, system, "endApiKeyOverlap", key)
    await do(api, system, "deleteApiKey", key)

    entries = (await audit(api, system, apiKeyId=key))["nodes"]
    assert [(entry["number"], entry["action"]) for entry in entries] == [
        (1, "CREATED"),
        (2, "UPDATED"),
        (3, "DISABLED"),
        (4, "ENABLED"),
        (5, "ROTATED"),
        (6, "OVERLAP_ENDED"),
        (7, "DELETED"),
    ]
    assert all(entry["intact"] for entry in entries)
    assert {(entry["apiKeyId"], entry["domainId"], entry["userId"]) for entry in entries} == {(key, "d1", "u1")}
    assert entries[0]["actor"] == {
        "kind": "KEY",
        "apiKeyId": system.key_id,
        "userId": "u1",
        "domainId": "d1",
        "role": "SYSTEM",
    }
    assert {"field": "scopes", "before": None, "after": ["a"]} in entries[0]["changes"]
    assert entries[1]["changes"] == [
        {"field": "name", "before": "ci", "after": "cd"},
        {"field": "expiresAt", "before": None, "after": "2100-01-01T00:00:00.000Z"},
    ]
    assert entries[2]["changes"] == [{"field": "state", "before": "ENABLED", "after": "DISABLED"}]
    (secrets,) = entries[4]["changes"]
    assert len(secrets["before"]) == 1
    assert len(secrets["after"]) == 2
    assert entries[6]["changes"] == []


async def test_an_entry_names_the_request_and_the_address(api: Api) -> None:
    system = await api.make()
    headers = {"Authorization": f"Bearer {system.secret}", "X-Request-ID": "order-4711"}
    query = 'mutation { createApiKey(input: {domainId: "d1", userId: "u1"}) { apiKeyId } }'
    answer = await api.client.post("/graphql", json={"query": query}, headers=headers)
    key = answer.json()["data"]["createApiKey"]["apiKeyId"]
    (entry,) = (await audit(api, system, apiKeyId=key))["nodes"]
    assert (entry["requestId"], entry["clientAddress"]) == ("order-4711", "127.0.0.1")
    (first,) = (await audit(api, system, apiKeyId=system.key_id))["nodes"]
    assert first["actor"]["kind"] == "COMMAND_LINE"
    assert first["clientAddress"] is None


async def test_keys_that_are_disabled_together_have_an_entry_each(api: Api) -> None:
    system = await api.make()
    keys = [await make(api, system, "leaver") for _ in range(3)]
    await do(api, system, "disableApiKey", keys[0])
    answer = await api.data(
        'mutation { disableApiKeys(input: {domainId: "d1", userId: "leaver"}) { count } }', by=system
    )
    assert answer["disableApiKeys"]["count"] == 2
    for key in keys:
        assert await told(api, system, apiKeyId=key) == ["CREATED", "DISABLED"]


async def test_who_may_see_a_key_may_see_its_entries_with_the_scope(api: Api) -> None:
    system = await api.make()
    owner = await api.make("DOMAIN_OWNER", user_id="boss")
    user = await api.make("USER", user_id="ann")
    other = await api.make("USER", user_id="bob")
    stranger = await api.make("DOMAIN_OWNER", domain_id="d2")
    assert await told(api, user) == ["CREATED"]
    assert await told(api, user, apiKeyId=other.key_id) == []
    assert await told(api, user, userId="bob") == []
    assert {entry["apiKeyId"] for entry in (await audit(api, owner))["nodes"]} == {
        owner.key_id,
        user.key_id,
        other.key_id,
    }
    assert len(await told(api, system)) == 4
    assert await api.code(AUDIT, {"domainId": "d1"}, stranger) == "PERMISSION_DENIED"
    assert await api.code(AUDIT, {"domainId": "d1"}) == "UNAUTHENTICATED"

    query = "mutation($input: CreateAPIKeyRequest!) { createApiKey(input: $input) { apiKey } }"
    for scopes, sees in ((["identity:read"], False), (["identity:audit"], True)):
        made = await api.data(query, {"input": {"domainId": "d1", "userId": "u2", "scopes": scopes}}, system)
        answer = await api.run(AUDIT, {"domainId": "d1"}, made["createApiKey"]["apiKey"])
        assert ("errors" not in answer) is sees


async def test_pages_and_filters(api: Api) -> None:
    system = await api.make()
    keys = [await make(api, system, f"w{number}") for number in range(5)]
    await do(api, system, "disableApiKey", keys[1])
    everything = (await audit(api, system, first=100))["nodes"]
    ids = [entry["id"] for entry in everything]
    assert ids == sorted(ids)
    assert [entry["apiKeyId"] for entry in everything] == [system.key_id, *keys, keys[1]]

    paged: list[str] = []
    after = None
    while True:
        page = await audit(api, system, first=3, after=after)
        paged += [entry["id"] for entry in page["nodes"]]
        assert page["pageInfo"]["hasPreviousPage"] is (after is not None)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert paged == ids
    backward = await audit(api, system, last=2, before=page["pageInfo"]["startCursor"])
    assert [entry["id"] for entry in backward["nodes"]] == ids[4:6]
    assert backward["pageInfo"]["hasPreviousPage"]

    assert await told(api, system, actions=["DISABLED"]) == ["DISABLED"]
    assert await told(api, system, userId="w1") == ["CREATED", "DISABLED"]
    assert len(await told(api, system, actorId=system.key_id)) == 6
    since = everything[3]["at"]
    expected = [entry["id"] for entry in everything if entry["at"] >= since]
    assert [entry["id"] for entry in (await audit(api, system, since=since))["nodes"]] == expected
    assert len(await told(api, system, until=since)) == 7 - len(expected)
    assert await told(api, system, since="0001-01-01T00:00:00Z", until="9999-12-31T23:59:59Z", first=1)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"first": 1, "last": 1}, "first"),
        ({"first": -1}, "first"),
        ({"first": 1001}, "first"),
        ({"after": "nonsense"}, "after"),
        ({"before": "YXVkaXQ6eA=="}, "before"),
        ({"apiKeyId": ""}, "apiKeyId"),
        ({"userId": " a"}, "userId"),
        ({"actorId": ""}, "actorId"),
    ],
)
async def test_a_bad_argument_is_named(api: Api, arguments: dict[str, Any], path: str) -> None:
    system = await api.make()
    answer = await api.run(AUDIT, {"domainId": "d1", **arguments}, system)
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INVALID_ARGUMENT"
    assert error["extensions"]["path"] == [path]


async def test_rest_answers_the_same(api: Api) -> None:
    system = await api.make()
    key = await make(api, system)
    await do(api, system, "updateApiKey", key, ', expiresAt: "2100-01-01T00:00:00Z"')
    headers = {"Authorization": f"Bearer {system.secret}"}
    body = {"domain_id": "d1", "api_key_id": key, "actions": ["UPDATED"]}
    answer = await api.client.post("/identity/v1/api-key/audit", json=body, headers=headers)
    (entry,) = (await audit(api, system, apiKeyId=key, actions=["UPDATED"]))["nodes"]
    (result,) = answer.json()["results"]
    assert answer.json()["page_info"]["has_next_page"] is False
    assert result["id"] == entry["id"]
    assert result["actor"] == {
        "kind": "KEY",
        "api_key_id": system.key_id,
        "user_id": "u1",
        "domain_id": "d1",
        "issuer": None,
        "role": "SYSTEM",
    }
    assert result["changes"] == [{"field": "expires_at", "before": None, "after": "2100-01-01T00:00:00.000Z"}]


async def check(settings: Settings, days: float = 0) -> list[str]:
    """The faults that a check finds so many days from now."""
    async with Database(settings) as database:
        await database.prepare()
        at = datetime.now(UTC) + timedelta(days=days)
        return (await check_audit(database, AuditEntries(settings), "d1", at)).faults


def expire(settings: Settings, days: float) -> int:
    """Remove what the database removes by itself within so many days; return how many entries that are."""
    at = datetime.now(UTC) + timedelta(days=days)
    with mongo_client(settings) as client:
        log = client.get_default_database()["audit"]
        return log.delete_many({"expires_at": {"$lte": at}}).deleted_count


async def test_the_check_reads_a_number_that_something_else_stored(api: Api) -> None:
    key = await make(api, await api.make())
    with mongo_client(api.settings) as client:
        keys = client.get_default_database()["api_keys"]
        keys.update_one({"domain_id": "d1", "_id": key}, {"$set": {"audit_number": 2.0}})
    assert await check(api.settings) == [f"{key}: the entries after number 1 are missing; there were 2."]


async def test_what_was_tampered_with_is_named(api: Api) -> None:
    system = await api.make()
    changed, removed, shortened, gone, emptied = [await make(api, system) for _ in range(5)]
    for key in (changed, removed, shortened):
        await do(api, system, "disableApiKey", key)
        await do(api, system, "enableApiKey", key)
    assert await check(api.settings) == []
    with mongo_client(api.settings) as client:
        log, keys = client.get_default_database()["audit"], client.get_default_database()["api_keys"]
        log.update_one({"api_key_id": changed, "number": 2}, {"$set": {"actor.user_id": "somebody else"}})
        log.delete_one({"api_key_id": removed, "number": 2})
        log.delete_one({"api_key_id": shortened, "number": 3})
        keys.delete_one({"_id": gone})
        log.delete_many({"api_key_id": emptied})
    assert [entry["intact"] for entry in (await audit(api, system, apiKeyId=changed))["nodes"]] == [True, False, True]
    assert sorted(await check(api.settings)) == sorted(
        [
            f"{changed}: entry 2 is not as the service wrote it.",
            f"{removed}: entries are missing between the numbers 1 and 3.",
            f"{shortened}: the entries after number 2 are missing; there were 3.",
            f"{gone}: the key is gone, and no entry says so.",
            f"{emptied}: the entries after number 0 are missing; there were 1.",
        ]
    )


async def test_no_instant_that_somebody_gave_an_entry_ends_the_check(api: Api) -> None:
    system = await api.make()
    gone, between = [await make(api, system) for _ in range(2)]
    await do(api, system, "disableApiKey", between)
    await do(api, system, "enableApiKey", between)
    last = {"at": datetime(9999, 12, 31, tzinfo=UTC), "expires_at": None, "previous_ends_at": None}
    with mongo_client(api.settings) as client:
        log, keys = client.get_default_database()["audit"], client.get_default_database()["api_keys"]
        keys.delete_one({"_id": gone})
        log.update_one({"api_key_id": gone}, {"$set": last})
        log.update_many({"api_key_id": between}, {"$set": last})
        log.delete_one({"api_key_id": between, "number": 2})
    assert sorted(await check(api.settings)) == sorted(
        [
            f"{gone}: entry 1 is not as the service wrote it.",
            f"{gone}: the key is gone, and no entry says so.",
            f"{between}: entry 1 is not as the service wrote it.",
            f"{between}: entry 3 is not as the service wrote it.",
            f"{between}: entries are missing between the numbers 1 and 3.",
        ]
    )


@pytest.mark.parametrize(("days", "days_later"), [(400, 30), (30, 400), (30, 30)])
async def test_entries_that_were_kept_long_enough_are_not_missed(
    settings: Settings, days: int, days_later: int
) -> None:
    """Also where the setting was another one before."""
    async with running(settings.model_copy(update={"audit_days": days})) as api:
        system = await api.make()
        gone, changed, _ = [await make(api, system) for _ in range(3)]
    later = settings.model_copy(update={"audit_days": days_later})
    async with running(later) as api:
        await do(api, system, "deleteApiKey", gone)
        await do(api, system, "updateApiKey", changed, ', name: "n"')
        await api.data('mutation { disableApiKeys(input: {domainId: "d1", userId: "u1"}) { count } }', by=system)
    for days_on in (31, 401):
        expire(settings, days_on)
        assert await check(later, days_on) == []
        # Of keys that are there it needs no setting.
        faults = await check(settings.model_copy(update={"audit_days": 36_500}), days_on)
        assert [fault for fault in faults if not fault.startswith(gone)] == []
    assert expire(settings, 36_500) == 0


async def made_before(settings: Settings, shorter: Settings) -> tuple[Person, str]:
    """A caller, and a key that was made with these settings and disabled with the shorter ones."""
    async with running(settings) as api:
        system = await api.make()
        key = await make(api, system)
    async with running(shorter) as api:
        await do(api, system, "disableApiKey", key)
    return system, key


async def test_an_entry_that_ended_before_an_earlier_one_leaves_no_fault(settings: Settings) -> None:
    shorter = settings.model_copy(update={"audit_days": 30})
    system, key = await made_before(settings, shorter)
    async with running(shorter) as api:
        await do(api, system, "enableApiKey", key)
    with mongo_client(settings) as client:
        log = client.get_default_database()["audit"]
        # The second entry has ended; the third was made much later.
        assert log.delete_one({"api_key_id": key, "number": 2}).deleted_count == 1
    assert await check(shorter, 29) == [f"{key}: entries are missing between the numbers 1 and 3."]
    assert await check(settings, 31) == []


async def test_an_entry_of_a_month_with_a_shorter_setting_leaves_no_fault(settings: Settings) -> None:
    system, key = await made_before(settings, settings.model_copy(update={"audit_days": 30}))
    async with running(settings) as api:
        await do(api, system, "enableApiKey", key)
        assert all(entry["intact"] for entry in (await audit(api, system, apiKeyId=key))["nodes"])
    assert expire(settings, 31) == 1
    assert await check(settings, 29) == [f"{key}: entries are missing between the numbers 1 and 3."]
    assert await check(settings, 31) == []


async def test_what_is_removed_before_its_end_is_missed_until_then(api: Api) -> None:
    system = await api.make()
    shortened, gone, between = [await make(api, system) for _ in range(3)]
    for key in (shortened, between):
        await do(api, system, "disableApiKey", key)
        await do(api, system, "enableApiKey", key)
    with mongo_client(api.settings) as client:
        log, keys = client.get_default_database()["audit"], client.get_default_database()["api_keys"]
        log.delete_many({"api_key_id": shortened})
        log.delete_one({"api_key_id": between, "number": 2})
        keys.delete_one({"_id": gone})
    faults = [
        f"{shortened}: the entries after number 0 are missing; there were 3.",
        f"{between}: entries are missing between the numbers 1 and 3.",
        f"{gone}: the key is gone, and no entry says so.",
    ]
    shorter = api.settings.model_copy(update={"audit_days": 1})
    assert sorted(await check(api.settings, 399)) == sorted(faults)
    assert faults[0] in await check(shorter, 399)  # the key has the end of its last entry
    assert await check(api.settings, 401) == []


async def test_of_a_key_of_a_version_before_the_time_of_its_last_change_tells(api: Api) -> None:
    system = await api.make()
    made, changed = [await make(api, system) for _ in range(2)]
    await do(api, system, "disableApiKey", changed)
    with mongo_client(api.settings) as client:
        database = client.get_default_database()
        database["api_keys"].update_many({}, {"$unset": {"audit_ends_at": ""}})
        long_ago = datetime.now(UTC) - timedelta(days=401)
        database["api_keys"].update_many({}, {"$set": {"created_at": long_ago}})
        database["audit"].delete_many({"api_key_id": {"$in": [made, changed]}})
    assert await check(api.settings) == [f"{changed}: the entries after number 0 are missing; there were 2."]


async def test_a_key_whose_number_of_entries_cannot_be_read_is_named(api: Api) -> None:
    key = await make(api, await api.make())
    with mongo_client(api.settings) as client:
        client.get_default_database()["api_keys"].update_one({"_id": key}, {"$set": {"audit_number": "x"}})
    assert await check(api.settings) == [f"{key}: the key's audit_number, of its last entry, cannot be read."]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_domain_without_keys_and_entries_is_not_told_as_intact(
    settings: Settings, mongo_uri: str, run: Run, flags: list[str]
) -> None:
    place = {"GQL_IDENTITY_MONGO_URI": mongo_uri, "GQL_IDENTITY_PEPPER": PEPPER}
    assert run("create-key", "--domain-id", "default", "--user-id", "u", **place).returncode == 0
    refused = run("audit-verify", "--domain-id", "defualt", *flags, **place)
    assert refused.returncode == 1
    told = "nothing was checked: domain defualt has neither keys nor audit entries. Check --domain-id.\n"
    assert refused.stderr.endswith(f"gql-identity: {told}")
    assert "0 faults" not in refused.stdout
    with mongo_client(settings) as client:
        database = client.get_default_database()
        # As a key of a version that kept no audit log.
        database["api_keys"].update_many({}, {"$unset": {"audit_number": ""}})
        database["audit"].delete_many({})
    verified = run("audit-verify", "--domain-id", "default", *flags, **place)
    assert verified.returncode == 0, verified.stderr
    assert ("0 entries of 0 keys, 0 faults." in verified.stdout) is (not flags)


async def test_an_entry_of_a_forgotten_pepper_is_neither_intact_nor_not(api: Api) -> None:
    system = await api.make()
    with mongo_client(api.settings) as client:
        client.get_default_database()["audit"].update_one({}, {"$set": {"pepper": "0" * 16}})
    (entry,) = (await audit(api, system))["nodes"]
    assert entry["intact"] is None
    assert await check(api.settings) == []


async def test_changes_at_the_same_time_have_numbers_without_a_gap(api: Api) -> None:
    system = await api.make()
    key = await make(api, system)
    names = (f"name {number}" for number in range(20))
    await asyncio.gather(*(do(api, system, "updateApiKey", key, f', name: "{name}"') for name in names))
    entries = (await audit(api, system, apiKeyId=key, first=100))["nodes"]
    assert sorted(entry["number"] for entry in entries) == list(range(1, 22))
    assert await check(api.settings) == []


async def test_nothing_secret_is_stored_in_an_entry(api: Api) -> None:
    system = await api.make()
    key = await make(api, system)
    await do(api, system, "rotateApiKey", key)
    with mongo_client(api.settings) as client:
        stored = list(client.get_default_database()["audit"].find())
        digests = [one["digest"] for one in client.get_default_database()["api_keys"].find()]
    text = repr(stored)
    assert system.secret not in text
    for digest in digests:
        for one in digest if isinstance(digest, list) else [digest]:
            assert repr(one) not in text


async def test_the_log_has_each_change_and_each_refusal_at_once(
    api: Api, capsys: pytest.CaptureFixture[str], logs_as_before: None
) -> None:
    configure_logs("info", "json")
    system = await api.make()
    user = await api.make("USER", user_id="ann")
    await make(api, system)
    query = 'mutation { disableApiKey(input: {domainId: "d1", apiKeyId: "%s"}) { apiKeyId } }'
    assert await api.code(query % system.key_id, by=user) == "NOT_FOUND"
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    events = [line for line in lines if line["event"] == "audit"]
    assert [(one["action"], one["outcome"]) for one in events] == [
        ("CREATED", "OK"),
        ("DISABLED", "NOT_FOUND"),
    ]
    refused = events[-1]
    assert (refused["actor"], refused["api_key_id"], refused["client_address"]) == (
        user.key_id,
        system.key_id,
        "127.0.0.1",
    )
    assert refused["request_id"]


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"action": "X"}},
        {"$unset": {"number": 1}},
        {"$unset": {"actor": 1}},
        {"$unset": {"api_key_id": 1}},
        {"$push": {"changes": {"a": 1}}},
        {"$set": {"z": ObjectId()}},
        {"$set": {"number": 2**40}},
        {"$set": {"number": True}},
        {"$set": {"at": "yesterday", "pepper": 1}},
    ],
)
async def test_an_entry_that_cannot_be_read_hides_no_other(api: Api, change: dict[str, Any]) -> None:
    system = await api.make()
    key = await make(api, system)
    await do(api, system, "disableApiKey", key)
    with mongo_client(api.settings) as client:
        client.get_default_database()["audit"].update_one({"api_key_id": key, "number": 1}, change)
    entries = (await audit(api, system))["nodes"]
    assert [entry["intact"] for entry in entries] in ([True, False, True], [True, None, True])
    assert entries[2]["apiKeyId"] == key
    assert entries[2]["action"] == "DISABLED"
    if "pepper" not in str(change):
        assert any("is not as the service wrote it" in fault for fault in await check(api.settings))


async def test_a_refused_credential_has_a_line_with_the_reason_and_no_entry(
    api: Api, capsys: pytest.CaptureFixture[str], logs_as_before: None
) -> None:
    configure_logs("info", "json")
    system, disabled, replaced, bound = [await api.make("SYSTEM", "d1") for _ in range(4)]
    await do(api, system, "disableApiKey", disabled.key_id)
    await do(api, system, "rotateApiKey", replaced.key_id, ", overlapSeconds: 0")
    await do(api, system, "updateApiKey", bound.key_id, ', allowedAddresses: ["203.0.113.0/24"]')
    before = len((await audit(api, system))["nodes"])
    capsys.readouterr()
    unknown = [make_secret() for _ in range(3)]
    for secret in (disabled.secret, replaced.secret, bound.secret, *unknown):
        assert (await api.send("{ __typename }", by=secret)).status_code == 401
    lines = [line for line in capsys.readouterr().err.splitlines() if '"event":"audit"' in line]
    told = [json.loads(line) for line in lines]
    assert [(one["action"], one["outcome"], one["api_key_id"]) for one in told] == [
        ("AUTHENTICATED", "DISABLED", disabled.key_id),
        ("AUTHENTICATED", "ROTATED", replaced.key_id),
        ("AUTHENTICATED", "ADDRESS_NOT_ALLOWED", bound.key_id),
        ("AUTHENTICATED", "NOT_FOUND", None),
    ]
    assert {(one["actor"], one["client_address"]) for one in told} == {(None, "127.0.0.1")}
    assert all(one["request_id"] for one in told)
    for secret in (disabled.secret, replaced.secret, bound.secret, *unknown):
        assert secret[6:20] not in "".join(lines)
    assert len((await audit(api, system))["nodes"]) == before


async def test_a_flood_of_refused_writes_floods_no_log(
    api: Api, capsys: pytest.CaptureFixture[str], logs_as_before: None
) -> None:
    configure_logs("info", "json")
    user = await api.make("USER", user_id="ann")
    fields = " ".join(
        f'f{n}: disableApiKey(input: {{domainId: "d1", apiKeyId: "api-key-{n}"}}) {{ id }}' for n in range(20)
    )
    for _ in range(3):
        await api.run(f"mutation {{ {fields} }}", by=user)
    lines = [line for line in capsys.readouterr().err.splitlines() if '"event":"audit"' in line]
    assert len(lines) == LINES_OF_A_KEY


def test_an_entry_that_a_thread_makes_while_the_peppers_change_is_intact(settings: Settings) -> None:
    entries = AuditEntries(settings)
    key = {"_id": "k1", "domain_id": "d1", "user_id": "u1", "role": "USER"}
    made: list[dict[str, Any]] = []
    threads: list[threading.Thread] = []

    class Newer(str):
        """A pepper for whose first use a thread makes an entry."""

        __slots__ = ()

        def encode(self, *arguments: Any, **named: Any) -> bytes:
            if not threads:
                thread = threading.Thread(target=lambda: made.append(entries.expiring(key, datetime.now(UTC))))
                threads.append(thread)
                thread.start()
                thread.join()
            return super().encode(*arguments, **named)

    entries.use_peppers((Newer("a newer pepper that is long enough for the service"), PEPPER))
    assert [entries.is_intact(entry) for entry in made] == [True]
