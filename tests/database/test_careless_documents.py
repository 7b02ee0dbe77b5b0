"""Whatever something else has stored in the collection, reading answers, and the log names the key."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
import structlog
from bson.datetime_ms import DatetimeMS
from strawberry.utils.str_converters import to_camel_case

from gql_identity.keys import documents
from gql_identity.keys.documents import STORED_FIELDS
from gql_identity.queries.fields import FIELDS
from gql_identity.secret import digest, hint, make_secret
from gql_identity.settings import Settings
from tests.conftest import PEPPER, Api, mongo_client, running

from .test_subscriptions import address, connected, subscribe, told  # noqa: F401

MISSING = object()
VALUES = {
    "missing": MISSING,
    "null": None,
    "integer": 7,
    "long": bson.Int64(2**60),
    "float": float("nan"),
    "text": "a text of forty characters, which is none",
    "true": True,
    "list": ["a", 7, None],
    "lists": [["a"], [{"b": 1}]],
    "object": {"a": {"$b": 1}},
    "object id": bson.ObjectId(),
    "binary": bson.Binary(b"\xff\x00", 128),
    "bytes": b"\xff",
    "decimal": bson.Decimal128("1.5"),
    "regex": bson.Regex("a"),
    "code": bson.Code("a"),
    "timestamp": bson.Timestamp(1, 1),
    "min key": bson.MinKey(),
    "max key": bson.MaxKey(),
    "instant": datetime(2026, 1, 1, tzinfo=UTC),
    "far instant": DatetimeMS(2**55),
    "instant long ago": DatetimeMS(-(2**55)),
}
STORED = [name for name in STORED_FIELDS if name not in ("_id", "domain_id")]
EVERY = """apiKeyId apiKey state userId domainId lastAccessedAt createdAt name role hint createdBy createdByUserId
    expiresAt expired updatedAt scopes rotatedAt secrets { hint createdAt expiresAt lastAccessedAt } user { userId }
    domain { domainId } id tags { name value } allowedAddresses"""
LIST = f"query($i: APIKeyQuery!) {{ apiKeys(input: $i) {{ totalCount results {{ {EVERY} }} }} }}"
GET = f"query($i: GetAPIKeyRequest!) {{ apiKey(input: $i) {{ {EVERY} }} }}"


def sound(number: int) -> dict[str, Any]:
    text = make_secret()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return {
        "_id": f"api-key-{number:04}-{bson.ObjectId()}",
        "domain_id": "d1",
        "user_id": f"u{number}",
        "state": "ENABLED",
        "role": "USER",
        "name": "a name",
        "digest": digest(text, PEPPER),
        "hint": hint(text),
        "created_at": at,
        "created_by": None,
        "makers": [],
        "last_accessed_at": None,
        "expires_at": datetime(2099, 1, 1, tzinfo=UTC),
        "secret": text,
    }


def careless() -> Iterator[dict[str, Any]]:
    """Each stored field with each value; `secret` is the key's, `odd` its field."""
    for number, (field, value) in enumerate(itertools.product(STORED, VALUES.values())):
        document = sound(number)
        document["odd"] = field
        if value is MISSING:
            document.pop(field, None)
        else:
            document[field] = value
        yield document


@pytest.fixture
def stored(settings: Settings, api: Api) -> list[dict[str, Any]]:
    made = list(careless())
    with mongo_client(settings) as client:
        keys = client.get_default_database().api_keys
        keys.insert_many([{k: v for k, v in one.items() if k not in ("odd", "secret")} for one in made])
    return made


async def test_lists_have_every_careless_key_with_safe_values_and_the_log_names_it(
    api: Api, stored: list[dict[str, Any]]
) -> None:
    documents._told.clear()
    system = await api.make(domain_id="d9")
    with structlog.testing.capture_logs() as lines:
        page = (await api.data(LIST, {"i": {"domainId": "d1"}}, system))["apiKeys"]
    found = {key["apiKeyId"]: key for key in page["results"]}
    assert page["totalCount"] == len(stored)
    assert found.keys() == {one["_id"] for one in stored}
    told_of = {(line["api_key_id"], *line["fields"]) for line in lines if "stored key" in line["event"]}
    hidden = {"digest", "pepper", "makers", "disabled_rank", "audit_number", "lifetime_seconds"}
    shown = set(STORED) - hidden - {"notice_at", "noticed_at", "stale_used_at", "audit_ends_at"}
    for one in stored:
        key, field = found[one["_id"]], one["odd"]
        is_odd = not STORED_FIELDS[field].is_readable(one.get(field))
        assert ((one["_id"], field) in told_of) == (is_odd and field in shown), one
        if is_odd:
            assert key["state"] == ("DISABLED" if field == "state" else "ENABLED")
            assert key["expired"] == (field == "expires_at")
            assert key["role"] == ("SYSTEM" if field == "role" else "USER")
            assert key["scopes"] == ([] if field == "scopes" else None)
    body = {"domain_id": "d1"}
    headers = {"Authorization": f"Bearer {system.secret}"}
    answer = await api.client.post("/identity/v1/api-key/list", json=body, headers=headers)
    assert answer.status_code == 200
    assert {key["api_key_id"] for key in answer.json()["results"]} == found.keys()


async def test_a_careless_key_is_read_alone_as_an_entity_and_by_its_user(
    api: Api, stored: list[dict[str, Any]]
) -> None:
    system = await api.make(domain_id="d9")
    entities = f"query($r: [_Any!]!) {{ _entities(representations: $r) {{ ... on APIKeyInfo {{ {EVERY} }} }} }}"
    references = [{"__typename": "APIKeyInfo", "domainId": "d1", "apiKeyId": one["_id"]} for one in stored]
    found = (await api.data(entities, {"r": references}, system))["_entities"]
    assert [key["apiKeyId"] for key in found] == [one["_id"] for one in stored]
    of_users = f"... on User {{ apiKeys {{ nodes {{ {EVERY} }} }} }}"
    users = f"query($r: [_Any!]!) {{ _entities(representations: $r) {{ {of_users} }} }}"
    owners = [{"__typename": "User", "domainId": "d1", "userId": f"u{n}"} for n in range(100)] + [
        {"__typename": "User", "domainId": "d1", "userId": "a"}
    ]
    assert len((await api.data(users, {"r": owners}, system))["_entities"]) == 101
    headers = {"Authorization": f"Bearer {system.secret}"}
    for one in stored[:: len(VALUES) // 4]:
        input_ = {"domainId": "d1", "apiKeyId": one["_id"]}
        assert (await api.data(GET, {"i": input_}, system))["apiKey"]["apiKeyId"] == one["_id"]
        body = {"domain_id": "d1", "api_key_id": one["_id"]}
        answer = await api.client.post("/identity/v1/api-key/get", json=body, headers=headers)
        assert (answer.status_code, answer.json()["api_key_id"]) == (200, one["_id"])


async def test_statistics_and_orders_answer_or_name_the_careless_key(api: Api, stored: list[dict[str, Any]]) -> None:
    system = await api.make(domain_id="d9")
    headers = {"Authorization": f"Bearer {system.secret}"}

    async def post(name: str, query: dict[str, Any]) -> Any:
        body = {"domain_id": "d1", "query": query}
        return await api.client.post(f"/identity/v1/api-key/{name}", json=body, headers=headers)

    for field, column in FIELDS.items():
        count = {"operator": "count", "name": "n"}
        ways: list[dict[str, Any]] = [
            {"distinct": field},
            {"aggregate": [{"group": {"keys": [{"key": field, "name": "v"}], "fields": [count]}}]},
            {"aggregate": [{"group": {"fields": [{"operator": "max", "key": field, "name": "m"}]}}]},
            {"aggregate": [{"group": {"fields": [{"operator": "push", "key": field, "name": "m"}]}}]},
        ]
        if column.kind.name == "instant":
            for date_format in ("year", "month", "%Y-%m-%d", "%G %V"):
                key = {"key": field, "name": "v", "date_format": date_format}
                ways.append({"aggregate": [{"group": {"keys": [key], "fields": [count]}}]})
        for query in ways:
            answer = await post("stat", query)
            assert answer.status_code == 200, (query, answer.text)
            if "n" in json.dumps(query["aggregate"][0] if "aggregate" in query else {}) and "fields" in str(query):
                rows = answer.json()["results"]
                if rows and "n" in rows[0]:
                    assert sum(row["n"] for row in rows) == len(stored)
        for desc in (True, False):
            assert (await post("list", {"sort": {"key": field, "desc": desc}})).status_code == 200
    named = {"push": [{"key": "user_id", "name": "k"}, {"key": "state", "name": "v"}]}
    pushed = {"group": {"fields": [{"operator": "push", "name": "m", "fields": named["push"]}]}}
    objects = {"project": {"fields": [{"key": "m", "name": "o", "operator": "array_to_object"}]}}
    answer = await post("stat", {"aggregate": [pushed, objects]})
    assert answer.status_code == 200, answer.text
    connection = """query($o: APIKeyOrder, $f: Int, $l: Int) {
        apiKeysConnection(domainId: "d1", orderBy: $o, first: $f, last: $l) { nodes { apiKeyId } pageInfo { %s } } }"""
    for field in ("API_KEY_ID", "CREATED_AT", "EXPIRES_AT", "NAME"):
        for way in ("f", "l"):
            variables = {"o": {"field": field, "direction": "ASC"}, way: 20}
            data = await api.data(connection % "hasNextPage hasPreviousPage", variables, system)
            assert len(data["apiKeysConnection"]["nodes"]) == 20
            result = await api.run(connection % "startCursor endCursor", variables, system)
            for error in result.get("errors", []):
                assert error["extensions"]["code"] == "FAILED_PRECONDITION"
                assert any(one["_id"] in error["message"] for one in stored)


async def test_a_key_without_a_place_in_the_order_fails_the_connection_of_its_user_alone(
    api: Api, settings: Settings
) -> None:
    system = await api.make(domain_id="d9")
    odd, good = {**sound(1), "name": 7, "digest": None}, await api.make("USER", "d1", "u2")
    with mongo_client(settings) as client:
        client.get_default_database().api_keys.insert_one({k: v for k, v in odd.items() if k != "secret"})
    connection = "apiKeys(orderBy: {field: NAME, direction: ASC}) { nodes { apiKeyId } pageInfo { endCursor } }"
    query = f"query($r: [_Any!]!) {{ _entities(representations: $r) {{ ... on User {{ apiKeys: {connection} }} }} }}"
    users = [{"__typename": "User", "domainId": "d1", "userId": user} for user in ("u1", "u2")]
    result = await api.run(query, {"r": users}, system)
    (error,) = result["errors"]
    assert (error["extensions"]["code"], error["path"][:2]) == ("FAILED_PRECONDITION", ["_entities", 0])
    assert odd["_id"] in error["message"]
    (of_good,) = [one for one in result["data"]["_entities"] if one is not None and one["apiKeys"] is not None]
    assert of_good["apiKeys"]["nodes"] == [{"apiKeyId": good.key_id}]


async def test_a_careless_key_opens_nothing_and_its_neighbours_in_the_batch_do(
    api: Api, stored: list[dict[str, Any]]
) -> None:
    system, good = await api.make(domain_id="d9"), await api.make("USER", "d1", "good")
    verify = "mutation($i: [VerifyAPIKeyRequest!]!) { verifyApiKeys(input: $i) { valid code } }"
    sent = [one for one in stored if one["odd"] in documents.DECISIVE - {"digest"}]
    for start in range(0, len(sent), 99):
        part = sent[start : start + 99]
        secrets = [one["secret"] for one in part] + [good.secret]
        answers = (await api.data(verify, {"i": [{"apiKey": text} for text in secrets]}, system))["verifyApiKeys"]
        assert answers[-1]["valid"]
        for one, answer in zip(part, answers, strict=False):
            field = one["odd"]
            may = STORED_FIELDS[field].is_readable(one.get(field)) and one.get(field) != VALUES["instant"]
            assert answer["valid"] == may, (field, one.get(field))
    for one in sent[::5]:
        field = one["odd"]
        if not STORED_FIELDS[field].is_readable(one.get(field)):
            assert (await api.send("{ __typename }", by=one["secret"])).status_code == 401


def careless_rotated() -> Iterator[dict[str, Any]]:
    """Rotated keys, each with an odd value of a stored field, or within one; `older` and `newer` are their secrets."""
    at, later = datetime(2026, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)

    def rotated() -> dict[str, Any]:
        older, newer = make_secret(), make_secret()
        secrets = [
            {"number": 2, "hint": hint(newer), "created_at": at},
            {"number": 1, "hint": hint(older), "created_at": at, "expires_at": later},
        ]
        digests = [digest(newer, PEPPER), digest(older, PEPPER)]
        return {**sound(0), "digest": digests, "secrets": secrets, "secret_uses": {}, "older": older, "newer": newer}

    for field, value in itertools.product(STORED, VALUES.values()):
        document = rotated()
        if value is MISSING:
            document.pop(field, None)
        else:
            document[field] = value
        yield document
    for part, value in itertools.product(("number", "hint", "created_at", "expires_at"), VALUES.values()):
        document = rotated()
        if value is MISSING:
            document["secrets"][1].pop(part, None)
        else:
            document["secrets"][1][part] = value
        yield document
    for value in VALUES.values():
        if value is not MISSING:
            yield {**rotated(), "secret_uses": {"2": value}}


async def test_a_careless_rotated_key_fails_no_other_of_its_batch(api: Api, settings: Settings) -> None:
    system, good = await api.make(domain_id="d9"), await api.make("USER", "d1", "good")
    made = list(careless_rotated())
    with mongo_client(settings) as client:
        keys = client.get_default_database().api_keys
        keys.insert_many([{k: v for k, v in one.items() if k not in ("secret", "older", "newer")} for one in made])
    verify = "mutation($i: [VerifyAPIKeyRequest!]!) { verifyApiKeys(input: $i) { valid code } }"
    for which in ("older", "newer"):
        for start in range(0, len(made), 99):
            sent = [{"apiKey": one[which]} for one in made[start : start + 99]] + [{"apiKey": good.secret}]
            assert (await api.data(verify, {"i": sent}, system))["verifyApiKeys"][-1]["valid"]
    sound_ones = [one for one in made if one.get("secret_uses") in (None, {}) and not documents.unreadable(one, STORED)]
    sent = [{"apiKey": one["older"]} for one in sound_ones[:99]]
    assert any(one["valid"] for one in (await api.data(verify, {"i": sent}, system))["verifyApiKeys"])
    # Whatever is noted of uses, an older secret manages nothing where it cannot be read whether a newer one was used.
    odd = next(one for one in made if one.get("secret_uses") == 7)
    mutation = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { name } }"
    assert await api.code(mutation, {"i": {"apiKeyId": odd["_id"], "name": "x"}}, odd["older"]) == "PERMISSION_DENIED"


async def test_the_number_of_a_secret_may_be_a_whole_double_and_no_boolean(api: Api, settings: Settings) -> None:
    system, (whole, wrong) = await api.make(domain_id="d9"), [await api.make("USER") for _ in range(2)]
    rotate = "mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { apiKey secrets { hint lastAccessedAt } } }"
    newer = {
        one.key_id: (await api.data(rotate, {"i": {"domainId": "d1", "apiKeyId": one.key_id}}, system))["rotateApiKey"]
        for one in (whole, wrong)
    }
    with mongo_client(settings) as client:
        keys = client.get_default_database().api_keys
        keys.update_one({"_id": whole.key_id}, {"$set": {"secrets.0.number": 2.0, "secrets.1.number": 1.0}})
        keys.update_one({"_id": wrong.key_id}, {"$set": {"secrets.1.number": True}})
    async with running(settings) as service:
        for secret in (whole.secret, newer[whole.key_id]["apiKey"]):
            assert (await service.send("{ viewer { userId } }", by=secret)).status_code == 200
        for secret in (wrong.secret, newer[wrong.key_id]["apiKey"]):
            assert (await service.send("{ viewer { userId } }", by=secret)).status_code == 401
        await service.app.state.api_keys.credentials.last_uses.write()
        more = {"domainId": "d1", "apiKeyId": whole.key_id, "ifOverlapping": "REPLACE_NEWER"}
        rotated = (await service.data(rotate, {"i": more}, system))["rotateApiKey"]
        assert [one["lastAccessedAt"] is not None for one in rotated["secrets"]] == [False, True]
    with mongo_client(settings) as client:
        stored = client.get_default_database().api_keys.find_one({"_id": whole.key_id})
    assert stored is not None
    assert type(stored["secrets"][0]["number"]) is int
    assert [one["number"] for one in stored["secrets"]] == [3, 2, 1]
    assert stored["secret_uses"].keys() == {"1", "2"}


async def test_a_careless_key_can_be_deleted_and_is_not_changed(api: Api, stored: list[dict[str, Any]]) -> None:
    system = await api.make(domain_id="d9")
    query = "mutation($i: APIKeyRequest!) { %s(input: $i) { apiKeyId } }"
    for one in stored[::3]:
        field, input_ = one["odd"], {"i": {"domainId": "d1", "apiKeyId": one["_id"]}}
        result = await api.run(query % "disableApiKey", input_, system)
        if field in documents.CHANGEABLE and not STORED_FIELDS[field].is_readable(one.get(field)):
            (error,) = result["errors"]
            assert error["extensions"]["code"] == "FAILED_PRECONDITION", (field, error)
            assert field in error["message"]
        else:
            assert "errors" not in result, (field, one.get(field), result)
            await api.data(query % "enableApiKey", input_, system)
        await api.data(query % "deleteApiKey", input_, system)


async def test_careless_documents_end_no_subscription(
    api: Api,
    address: str,  # noqa: F811
    settings: Settings,
) -> None:
    system = await api.make(domain_id="d9")
    query = (
        "subscription($i: APIKeyChangedRequest!) { apiKeyChanged(input: $i) { type apiKeyInfo { EVERY } } }".replace(
            "EVERY", EVERY
        )
    )
    made = list(careless())
    shown = [one for one in made if one["odd"] in ("state", "hint", "created_at", "name", "scopes", "secrets")]
    with mongo_client(settings) as client:
        keys = client.get_default_database().api_keys
        async with connected(address, system) as websocket:
            await subscribe(websocket, query=query)
            for one in shown[:60]:
                keys.insert_one({k: v for k, v in one.items() if k not in ("odd", "secret")})
                message = await told(websocket)
                assert isinstance(message, tuple), (one, message)
                assert (message[0], message[1]["apiKeyId"]) == ("CREATED", one["_id"])
            # Its own key becomes careless: the subscription ends as for an invalid key.
            keys.update_one({"domain_id": "d9", "_id": system.key_id}, {"$set": {"expires_at": "soon"}})
            for _ in range(20):
                message = await told(websocket)
                if not isinstance(message, tuple):
                    break
            assert message["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_ids_that_are_no_text_are_read(api: Api, settings: Settings) -> None:
    system = await api.make(domain_id="d9")
    odd = {**sound(1), "_id": bson.ObjectId(), "digest": None}
    lists = {**sound(2), "domain_id": ["d1", "d2"], "digest": None}
    with mongo_client(settings) as client:
        keys: Any = client.get_default_database().api_keys
        keys.insert_one({k: v for k, v in odd.items() if k != "secret"})
        keys.insert_one({k: v for k, v in lists.items() if k != "secret"})
    for domain in ("d1", "d2"):
        page = (await api.data(LIST, {"i": {"domainId": domain}}, system))["apiKeys"]
        assert len(page["results"]) == page["totalCount"]
        assert lists["_id"] in {key["apiKeyId"] for key in page["results"]}
        input_ = {"domainId": domain, "apiKeyId": lists["_id"]}
        assert await api.data(GET, {"i": input_}, system) == {"apiKey": None}
    page = (await api.data(LIST, {"i": {"domainId": "d1"}}, system))["apiKeys"]
    assert str(odd["_id"]) in {key["apiKeyId"] for key in page["results"]}
    users = await asyncio.gather(
        *(api.data(LIST, {"i": {"domainId": "d1", "userId": user}}, system) for user in ("u1", "u2"))
    )
    assert [one["apiKeys"]["totalCount"] for one in users] == [1, 1]


async def test_a_document_without_a_domain_fails_no_other_look_up_of_its_read(api: Api, settings: Settings) -> None:
    system = await api.make(domain_id="d9")
    other = await api.make("USER", "d2", "u2")
    lost = {name: value for name, value in sound(1).items() if name not in ("secret", "domain_id")} | {"digest": None}
    with mongo_client(settings) as client:
        client.get_default_database().api_keys.insert_one(lost)
    named = [("d1", lost["_id"]), ("d2", other.key_id)]
    looked_up = " ".join(
        f'k{n}: apiKey(input: {{domainId: "{domain}", apiKeyId: "{key_id}"}}) {{ userId }}'
        for n, (domain, key_id) in enumerate(named)
    )
    assert await api.data(f"{{ {looked_up} }}", by=system) == {"k0": None, "k1": {"userId": "u2"}}


def test_every_stored_field_of_an_answer_is_in_the_table() -> None:
    from gql_identity.keys.records import STORED as READ

    assert set(READ) <= STORED_FIELDS.keys()
    assert to_camel_case("created_at") in EVERY
