"""The seven operations over GraphQL: what each answers, and what it leaves behind."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorCollection
from pydantic import SecretStr
from pymongo.errors import BulkWriteError
from structlog.testing import capture_logs

from gql_identity import secret
from gql_identity.storage import last_uses
from gql_identity.storage.database import Database
from gql_identity.storage.failures import WRITE_CONFLICT
from gql_identity.storage.point_reads import PointReads
from gql_identity.storage.scans import SCANS_AT_ONCE
from tests.conftest import KEY_FIELDS, PEPPER, Api, Person, mongo_client, running
from tests.database.conftest import READS

CREATE = f"mutation($input: CreateAPIKeyRequest!) {{ createApiKey(input: $input) {{ {KEY_FIELDS} }} }}"
ALL_FIELDS = f"id {KEY_FIELDS} user {{ userId domainId }} domain {{ domainId }}"
GET = f"query($input: GetAPIKeyRequest!) {{ apiKey(input: $input) {{ {ALL_FIELDS} }} }}"
LIST = (
    "query($input: APIKeyQuery!) { apiKeys(input: $input) { totalCount results { apiKeyId userId state createdAt } } }"
)
STATS = "query($input: APIKeyStatQuery!) { apiKeyStats(input: $input) }"


async def create(api: Api, by: Person, **input: Any) -> Any:
    return (await api.data(CREATE, {"input": {"domainId": "d1", "userId": "ann", **input}}, by))["createApiKey"]


async def stored(api: Api, key_id: str) -> Any:
    with mongo_client(api.settings, tz_aware=True) as client:
        return client.get_default_database()["api_keys"].find_one({"_id": key_id})


async def test_a_created_key_is_answered_whole_with_its_secret_once(api: Api) -> None:
    system = await api.make()
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = await create(api, system, name="ci", role="DOMAIN_OWNER")
    assert secret.is_well_formed(made["apiKey"])
    assert made["createdAt"].endswith("Z")
    assert before <= datetime.fromisoformat(made["createdAt"]) <= datetime.now(UTC)
    assert made == {
        "apiKeyId": made["apiKeyId"],
        "apiKey": made["apiKey"],
        "state": "ENABLED",
        "userId": "ann",
        "domainId": "d1",
        "lastAccessedAt": None,
        "createdAt": made["createdAt"],
        "name": "ci",
        "role": "DOMAIN_OWNER",
        "hint": f"gqlid_...{made['apiKey'][-4:]}",
        "createdBy": system.key_id,
    }
    read = (await api.data(GET, {"input": {"domainId": "d1", "apiKeyId": made["apiKeyId"]}}, system))["apiKey"]
    assert read["apiKey"] is None
    opaque = read.pop("id")
    assert made["apiKeyId"] in base64.urlsafe_b64decode(opaque).decode()
    assert read == made | {"apiKey": None, "user": {"userId": "ann", "domainId": "d1"}, "domain": {"domainId": "d1"}}
    assert (await api.send("{ __typename }", by=made["apiKey"])).status_code == 200


async def test_ids_sort_by_age(api: Api) -> None:
    system = await api.make()
    ids = [(await create(api, system))["apiKeyId"] for _ in range(20)]
    assert ids == sorted(ids)
    assert len(ids[0]) == len("api-key-") + 32


async def test_what_is_stored_of_a_secret_is_its_digest_and_the_fingerprint_of_its_pepper(api: Api) -> None:
    made = await create(api, await api.make())
    document = await stored(api, made["apiKeyId"])
    assert document.pop("digest") == secret.digest(made["apiKey"], PEPPER)
    assert document.pop("pepper") == secret.pepper_fingerprint(PEPPER)
    assert made["apiKey"] not in str(document)


async def test_a_page_has_its_part_and_the_total_counts_all(api: Api) -> None:
    system = await api.make(domain_id="d9")
    ids = [(await create(api, system))["apiKeyId"] for _ in range(5)]
    for input, expected in (
        ({}, ids),
        ({"query": {"page": {"start": 2, "limit": 2}}}, ids[1:3]),
        ({"query": {"page": {"start": -1, "limit": 2}}}, ids[:2]),
        ({"query": {"page": {"start": 6, "limit": 2}}}, []),
        ({"query": {"page": {"start": 6}}}, ids),
        ({"query": {"page": {"limit": 0}}}, ids),
        ({"query": {"sort": {"key": "api_key_id", "desc": True}, "page": {"limit": 2}}}, ids[:2:-1]),
        ({"query": {"sort": {"keys": [{"key": "userId"}, {"key": "createdAt", "desc": True}]}}}, ids[::-1]),
    ):
        page = (await api.data(LIST, {"input": {"domainId": "d1", **input}}, system))["apiKeys"]
        assert [key["apiKeyId"] for key in page["results"]] == expected, input
        assert page["totalCount"] == 5
    page = (await api.data(LIST, {"input": {"domainId": "d1", "query": {"countOnly": True}}}, system))["apiKeys"]
    assert page == {"totalCount": 5, "results": []}


async def test_the_four_conditions_of_a_list_hold_together(api: Api) -> None:
    system = await api.make(domain_id="d9")
    ann, bob = await create(api, system), await create(api, system, userId="bob")
    disable = 'mutation($id: ID!) { disableApiKey(input: {domainId: "d1", apiKeyId: $id}) { state } }'
    assert (await api.data(disable, {"id": bob["apiKeyId"]}, system))["disableApiKey"] == {"state": "DISABLED"}
    for conditions, expected in (
        ({"state": "ENABLED"}, [ann]),
        ({"userId": "bob"}, [bob]),
        ({"apiKeyId": ann["apiKeyId"]}, [ann]),
        ({"userId": "bob", "state": "ENABLED"}, []),
        ({"userId": "nobody"}, []),
        ({"domainId": "no-such-domain"}, []),
    ):
        page = (await api.data(LIST, {"input": {"domainId": "d1"} | conditions}, system))["apiKeys"]
        assert [key["apiKeyId"] for key in page["results"]] == [key["apiKeyId"] for key in expected], conditions
        assert page["totalCount"] == len(expected)


async def test_only_and_minimal_bound_what_may_be_selected(api: Api) -> None:
    system = await api.make()
    made = await create(api, system)
    one = {"domainId": "d1", "apiKeyId": made["apiKeyId"]}
    get = "query($input: GetAPIKeyRequest!) { apiKey(input: $input) { state } }"
    assert await api.data(get, {"input": one | {"only": ["state"]}}, system) == {"apiKey": {"state": "ENABLED"}}
    answer = await api.run(get, {"input": one | {"only": ["userId"]}}, system)
    assert answer["errors"][0]["message"].startswith("only: it leaves out `state`, which is selected.")
    assert answer["errors"][0]["extensions"] == {"code": "INVALID_ARGUMENT", "path": ["input", "only"]}
    assert await api.code(get, {"input": one | {"only": ["digest"]}}, system) == "INVALID_ARGUMENT"
    for query in ({"minimal": True}, {"only": ["api_key_id", "state", "userId"]}):
        (error,) = (await api.run(LIST, {"input": {"domainId": "d1", "query": query}}, system))["errors"]
        assert error["extensions"] == {"code": "INVALID_ARGUMENT", "path": ["input", "query", *query]}
        minimal = "query($input: APIKeyQuery!) { apiKeys(input: $input) { results { apiKeyId userId state } } }"
        assert (await api.data(minimal, {"input": {"domainId": "d1", "query": query}}, system))["apiKeys"]["results"]


async def test_fragments_aliases_and_directives_select_too(api: Api) -> None:
    system = await api.make()
    made = await create(api, system, name="n")
    query = """query($input: GetAPIKeyRequest!, $no: Boolean!) {
        a: apiKey(input: $input) { ...F ... on APIKeyInfo { b: userId }
            hint @skip(if: true) domainId @include(if: $no) }
        a: apiKey(input: $input) { role }
    } fragment F on APIKeyInfo { name ...G } fragment G on APIKeyInfo { state user { userId } }"""
    data = await api.data(query, {"input": {"domainId": "d1", "apiKeyId": made["apiKeyId"]}, "no": False}, system)
    assert data == {"a": {"name": "n", "state": "ENABLED", "user": {"userId": "ann"}, "b": "ann", "role": "USER"}}


async def test_rows_of_which_no_field_is_selected_are_there_all_the_same(api: Api, reads: list[str]) -> None:
    system = await api.make()
    names = {(await create(api, system, userId=f"u{number}"))["userId"] for number in range(2)}
    assert len(names) == 2
    selections = {
        "__typename": {"__typename": "APIKeyInfo"},
        "kind: __typename": {"kind": "APIKeyInfo"},
        "... on APIKeyInfo { __typename }": {"__typename": "APIKeyInfo"},
        "...F": {"__typename": "APIKeyInfo"},
        "name @skip(if: true)": {},
        "... @include(if: false) { name }": {},
    }
    fragment = "fragment F on APIKeyInfo { __typename }"
    for selection, row in selections.items():
        text = f"""{{ list: apiKeys(input: {{domainId: "d1"}}) {{ totalCount results {{ {selection} }} }}
            pages: apiKeysConnection(domainId: "d1") {{
              edges {{ node {{ {selection} }} }} nodes {{ {selection} }} }} }}"""
        for _ in range(2):  # the second time it runs compiled
            data = await api.data(text + (fragment if "...F" in text else ""), by=system)
            assert data["list"] == {"totalCount": 3, "results": [row] * 3}, selection
            assert data["pages"] == {"edges": [{"node": row}] * 3, "nodes": [row] * 3}, selection
    whole = """{ a: apiKeysConnection(domainId: "d1") { edges { __typename } }
        b: apiKeysConnection(domainId: "d1") { nodes { __typename } __typename } }"""
    data = await api.data(whole, by=system)
    assert data["a"] == {"edges": [{"__typename": "APIKeyEdge"}] * 3}
    assert data["b"] == {"nodes": [{"__typename": "APIKeyInfo"}] * 3, "__typename": "APIKeyConnection"}
    one = f'input: {{domainId: "d1", apiKeyId: "{system.key_id}"}}'
    assert await api.data(f"{{ apiKey({one}) {{ __typename }} }}", by=system) == {
        "apiKey": {"__typename": "APIKeyInfo"}
    }
    reads.clear()
    assert await api.data('{ apiKeys(input: {domainId: "d1"}) { __typename } }', by=system) == {
        "apiKeys": {"__typename": "APIKeysInfo"}
    }
    assert reads == []  # no row is asked for


async def test_a_variable_without_a_value_is_null_in_a_list_of_json_and_absent_in_an_object(api: Api) -> None:
    system = await api.make("SYSTEM", "d1", "u1", name="a")
    await create(api, system, name="b")
    await create(api, system)
    text = """query($n: String, $s: APIKeyState = ENABLED) { apiKeys(input: {domainId: "d1", query: {filter: [
        {k: "name", o: IN, v: ["a", $n]}, {k: "state", o: IN, v: [$s]}]}}) { results { name } } }"""
    for variables, expected in (({}, ["a", None]), ({"n": None}, ["a", None]), ({"n": "b"}, ["a", "b"])):
        for _ in range(2):
            page = (await api.data(text, variables, system))["apiKeys"]
            assert [key["name"] for key in page["results"]] == expected
    text = """query($n: String) { _entities(representations: [{__typename: "Domain", domainId: "d1", more: {of: $n}},
        {__typename: "Domain", domainId: $n}]) { __typename } }"""
    answer = await api.run(text, {}, system)
    assert answer["data"] == {"_entities": [{"__typename": "Domain"}, None]}
    assert [error["path"] for error in answer["errors"]] == [["_entities", 1]]


async def test_keys_are_counted_per_state_user_and_day(api: Api) -> None:
    system = await api.make(domain_id="d9")
    for user in ("ann", "ann", "bob"):
        await create(api, system, userId=user)
    count = {"fields": [{"operator": "COUNT", "name": "count"}]}

    async def results(**query: Any) -> Any:
        input = {"domainId": "d1", "query": query}
        return (await api.data(STATS, {"input": input}, system))["apiKeyStats"]["results"]

    def group(key: str, **more: Any) -> Any:
        return {"group": {"keys": [{"key": key, "name": "by", **more}], **count}}

    assert await results(aggregate=[group("state")]) == [{"by": "ENABLED", "count": 3}]
    most_first = [group("user_id"), {"sort": {"key": "count", "desc": True}}]
    assert await results(aggregate=most_first) == [{"by": "ann", "count": 2}, {"by": "bob", "count": 1}]
    assert await results(aggregate=[*most_first, {"limit": 1}]) == [{"by": "ann", "count": 2}]
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert await results(aggregate=[group("createdAt", dateFormat="%Y-%m-%d")]) == [{"by": today, "count": 3}]
    assert await results(distinct="userId") == ["ann", "bob"]


async def test_the_first_use_of_a_key_shows_soon_and_all_uses_at_the_end(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_uses, "FLUSH_SECONDS", 0.05)
    async with running(api.settings) as other:
        user = await other.make("USER")
        await other.send("{ __typename }", by=user)
        first = None
        for _ in range(100):
            if first := (await stored(api, user.key_id))["last_accessed_at"]:
                break
            await asyncio.sleep(0.02)
        assert first is not None
        # A use within the minute waits ...
        await asyncio.sleep(0.01)
        await other.send("{ __typename }", by=user)
        await asyncio.sleep(0.2)
        assert (await stored(api, user.key_id))["last_accessed_at"] == first
    # ... but not longer than the service lives.
    assert (await stored(api, user.key_id))["last_accessed_at"] > first


async def test_a_refused_last_use_is_left_out_and_the_others_are_written_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd, *others = [await api.make("USER") for _ in range(3)]
    with mongo_client(api.settings) as client:
        keys = client.get_default_database().api_keys
        keys.update_one({"domain_id": "d1", "_id": odd.key_id}, {"$set": {"secret_uses": 7}})
    async with Database(api.settings) as database:
        await database.prepare()
        uses = last_uses.LastUses(database, lambda _: None)
        uses.record(odd.key_id, "d1", 1)
        for other in others:
            uses.record(other.key_id, "d1", 0)
        with capture_logs() as lines:
            await uses.write()
            assert len(uses) == 0
            # Used again, it is tried in a minute, as any key; a line tells of it every ten minutes.
            uses.record(odd.key_id, "d1", 1)
            await uses.write()
            assert len(uses) == 1
            await uses.write(everything=True)
        assert [(line["event"], line["keys"]) for line in lines] == [("the database refused last uses of keys", 1)]
        assert all([(await stored(api, other.key_id))["last_accessed_at"] for other in others])


async def test_a_first_use_that_met_another_write_is_written_by_the_next_one(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, other = [await api.make("USER") for _ in range(2)]
    bulk_write = AsyncIOMotorCollection.bulk_write

    async def conflicts(keys: Any, writes: list[Any], **options: Any) -> None:
        """As a database does where another write of the first key has just come before."""
        await bulk_write(keys, writes[1:], **options)
        raise BulkWriteError({"writeErrors": [{"index": 0, "code": WRITE_CONFLICT, "errmsg": "WriteConflict"}]})

    async with Database(api.settings) as database:
        await database.prepare()
        uses = last_uses.LastUses(database, lambda _: None)
        for one in (user, other):
            uses.record(one.key_id, "d1", 0)
        with monkeypatch.context() as patched:
            patched.setattr(AsyncIOMotorCollection, "bulk_write", conflicts)
            await uses.write()
        assert (await stored(api, user.key_id)).get("last_accessed_at") is None
        uses.record(other.key_id, "d1", 0)  # written a moment ago: it waits
        await uses.write()
        assert (await stored(api, user.key_id))["last_accessed_at"] is not None
        assert len(uses) == 1


async def test_a_retired_pepper_is_accepted_and_use_moves_the_key_to_the_new_one(api: Api) -> None:
    user = await api.make("USER")
    new = SecretStr("another pepper, and long enough as well")
    rotated = api.settings.model_copy(update={"pepper": new, "peppers_retired": (SecretStr(PEPPER),)})
    async with running(rotated) as other:
        assert (await other.send("{ __typename }", by=user)).status_code == 200
    assert (await stored(api, user.key_id))["digest"] == secret.digest(user.secret, new.get_secret_value())


async def test_entities_are_read_at_once_and_each_unknown_one_is_null(api: Api) -> None:
    system = await api.make()
    keys = [await create(api, system, userId=f"u{number}") for number in range(5)]
    references: list[dict[str, str]] = [
        {"__typename": "APIKeyInfo", "domainId": "d1", "apiKeyId": key["apiKeyId"]} for key in keys
    ]
    references.insert(2, {"__typename": "APIKeyInfo", "domainId": "d1", "apiKeyId": "no-such-key"})
    references += [
        {"__typename": "User", "domainId": "d1", "userId": "u1"},
        {"__typename": "Domain", "domainId": "d1"},
        references[0],
    ]
    query = """query($r: [_Any!]!) {
        _entities(representations: $r) { __typename ... on APIKeyInfo { userId } ... on User { userId }
            ... on Domain { domainId } }
        again: _entities(representations: $r) { __typename } }"""
    data = await api.data(query, {"r": references}, system)
    users = [{"__typename": "APIKeyInfo", "userId": key["userId"]} for key in keys]
    assert data["_entities"] == [
        *users[:2],
        None,
        *users[2:],
        {"__typename": "User", "userId": "u1"},
        {"__typename": "Domain", "domainId": "d1"},
        users[0],
    ]
    assert [entity and entity["__typename"] for entity in data["again"]] == [
        entity and entity["__typename"] for entity in data["_entities"]
    ]


async def test_many_statistics_at_once_leave_the_database_room_for_others(api: Api, reads: list[str]) -> None:
    system = await api.make()
    asked = {"input": {"domainId": "d1", "query": {"distinct": "state"}}}
    answers = await asyncio.gather(*(api.data(STATS, asked, system) for _ in range(5 * SCANS_AT_ONCE)))
    assert answers == [{"apiKeyStats": {"results": ["ENABLED"]}}] * (5 * SCANS_AT_ONCE)
    assert reads.count("aggregate") == 5 * SCANS_AT_ONCE
    assert 1 < READS.most_at_once <= SCANS_AT_ONCE


async def test_viewer_is_the_caller(api: Api) -> None:
    query = "{ viewer { domainId userId role apiKeyInfo { name apiKeyId user { userId } } } }"
    for role in ("USER", "VERIFIER", "DOMAIN_OWNER", "SYSTEM"):
        person = await api.make(role, "d1", "u1")
        assert await api.data(query, by=person) == {
            "viewer": {
                "domainId": "d1",
                "userId": "u1",
                "role": role,
                "apiKeyInfo": {"name": None, "apiKeyId": person.key_id, "user": {"userId": "u1"}},
            }
        }
    assert await api.run(query) == {"data": {"viewer": None}}


async def test_viewer_reads_its_key_only_if_it_is_selected(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await api.make()
    reads: list[int] = []
    monkeypatch.setattr(PointReads, "find", lambda *_: reads.append(1))
    assert await api.data("{ viewer { userId role } }", by=person) == {"viewer": {"userId": "u1", "role": "SYSTEM"}}
    assert reads == []
