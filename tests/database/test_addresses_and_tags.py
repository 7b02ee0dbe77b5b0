"""Tags find keys; a key that is bound to addresses is refused from elsewhere, on every door, and gives no key more."""

import asyncio
import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gql_identity.settings import Settings
from tests.conftest import Api, Person, running
from tests.processes import serving

CREATE = """mutation($input: CreateAPIKeyRequest!) {
  createApiKey(input: $input) { apiKeyId apiKey tags { name value } allowedAddresses } }"""
UPDATE = """mutation($input: UpdateAPIKeyRequest!) {
  updateApiKey(input: $input) { apiKeyId tags { name value } allowedAddresses } }"""
FIND = """query($filter: APIKeyFilter) {
  apiKeysConnection(domainId: "d1", filter: $filter) { nodes { apiKeyId tags { name value } } } }"""
VERIFY = """mutation($secret: String!, $address: String) {
  verifyApiKey(input: {apiKey: $secret, clientAddress: $address}) { valid code apiKeyId } }"""
HERE = ["127.0.0.0/8"]
ELSEWHERE = ["10.0.0.0/8", "2001:db8::/32"]


async def create(api: Api, by: Person | str, **fields: Any) -> Any:
    answer = await api.run(CREATE, {"input": {"domainId": "d1", "userId": "u1", **fields}}, by)
    return answer["data"]["createApiKey"] if "errors" not in answer else answer["errors"][0]


async def update(api: Api, by: Person | str, key_id: str, **fields: Any) -> Any:
    answer = await api.run(UPDATE, {"input": {"domainId": "d1", "apiKeyId": key_id, **fields}}, by)
    return answer["data"]["updateApiKey"] if "errors" not in answer else answer["errors"][0]


async def test_tags_are_stored_changed_and_found(api: Api) -> None:
    system = await api.make()
    tags = [{"name": "team", "value": "payments"}, {"name": "env", "value": "prod"}]
    made = await create(api, system, tags=tags)
    other = await create(api, system, tags=[{"name": "team", "value": "search"}, {"name": "x", "value": "payments"}])
    assert made["tags"] == tags

    async def found(name: str, value: str) -> list[str]:
        answer = await api.data(FIND, {"filter": {"hasTag": {"name": name, "value": value}}}, system)
        return [node["apiKeyId"] for node in answer["apiKeysConnection"]["nodes"]]

    assert await found("team", "payments") == [made["apiKeyId"]]
    assert await found("team", "search") == [other["apiKeyId"]]
    assert await found("env", "payments") == []
    assert (await update(api, system, made["apiKeyId"], tags=tags[:1]))["tags"] == tags[:1]
    assert (await update(api, system, made["apiKeyId"], name="as before"))["tags"] == tags[:1]
    assert (await update(api, system, made["apiKeyId"], tags=None))["tags"] == []
    assert await found("team", "payments") == []
    headers = {"Authorization": f"Bearer {system.secret}"}
    body = {"domain_id": "d1", "user_id": "u1", "tags": tags}
    answer = (await api.client.post("/identity/v1/api-key/create", json=body, headers=headers)).json()
    assert answer["tags"] == tags


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"tags": [{"name": f"n{n}", "value": "v"} for n in range(33)]}, ["tags"]),
        ({"tags": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]}, ["tags", 1, "name"]),
        ({"tags": [{"name": "", "value": "1"}]}, ["tags", 0, "name"]),
        ({"tags": [{"name": "a", "value": "x" * 256}]}, ["tags", 0, "value"]),
        (
            {"tags": [{"name": f"{n:04}", "value": "x" * 252} for n in range(16)] + [{"name": "a", "value": "b"}]},
            ["tags"],
        ),
        ({"allowedAddresses": []}, ["allowedAddresses"]),
        ({"allowedAddresses": ["10.0.0.0/8"] * 101}, ["allowedAddresses"]),
        ({"allowedAddresses": ["10.0.0.0/8", "10.0.0.0/99"]}, ["allowedAddresses", 1]),
        ({"allowedAddresses": ["10.0.0.1/8"]}, ["allowedAddresses", 0]),
        ({"allowedAddresses": ["localhost"]}, ["allowedAddresses", 0]),
        ({"allowedAddresses": ["::1", "fe80::1%any text"]}, ["allowedAddresses", 1]),
    ],
)
async def test_a_bad_value_is_named_and_nothing_is_stored(api: Api, fields: dict[str, Any], path: list[Any]) -> None:
    system, user = await api.make(), await api.make("USER")
    for error in (await create(api, system, **fields), await update(api, system, user.key_id, **fields)):
        assert error["extensions"]["code"] == "INVALID_ARGUMENT"
        assert error["extensions"]["path"] == ["input", *path]
    answer = await api.data('{ apiKeys(input: {domainId: "d1"}) { totalCount } }', by=system)
    assert answer["apiKeys"]["totalCount"] == 2


async def test_a_key_is_refused_from_elsewhere_on_each_door(api: Api) -> None:
    system = await api.make()
    here = await create(api, system, allowedAddresses=["127.0.0.1", "::1"])
    assert here["allowedAddresses"] == ["127.0.0.1/32", "::1/128"]
    elsewhere = await create(api, system, allowedAddresses=ELSEWHERE)
    assert await api.data("{ __typename }", by=here["apiKey"])
    assert await api.code("{ viewer { userId } }", by=elsewhere["apiKey"]) == "UNAUTHENTICATED"
    headers = {"Authorization": f"Bearer {elsewhere['apiKey']}"}
    for path, body in (("/identity/v1/api-key/list", {"domain_id": "d1"}), ("/identity/v1/api-key/stat", {})):
        assert (await api.client.post(path, json=body, headers=headers)).status_code == 401
    answer = await api.client.post("/introspect", data={"token": "x"}, headers=headers)
    assert answer.status_code == 401


async def test_a_changed_list_holds_within_a_second(api: Api) -> None:
    system = await api.make()
    key = await create(api, system)
    assert await api.data("{ __typename }", by=key["apiKey"])
    await update(api, system, key["apiKeyId"], allowedAddresses=ELSEWHERE)
    await asyncio.sleep(1)
    assert await api.code("{ viewer { userId } }", by=key["apiKey"]) == "UNAUTHENTICATED"
    await update(api, system, key["apiKeyId"], allowedAddresses=None)
    assert await api.data("{ __typename }", by=key["apiKey"])


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("10.1.2.3", "VALID"),
        ("::ffff:10.1.2.3", "VALID"),
        ("2001:db8::7", "VALID"),
        ("11.0.0.1", "ADDRESS_NOT_ALLOWED"),
        ("2001:db9::7", "ADDRESS_NOT_ALLOWED"),
        (None, "ADDRESS_NOT_ALLOWED"),
    ],
)
async def test_verification_asks_for_the_client_s_address(api: Api, address: str | None, code: str) -> None:
    system = await api.make()
    key = await create(api, system, allowedAddresses=ELSEWHERE)
    answer = await api.data(VERIFY, {"secret": key["apiKey"], "address": address}, system)
    verified = {"valid": code == "VALID", "code": code, "apiKeyId": key["apiKeyId"]}
    assert answer["verifyApiKey"] == verified
    form = {"token": key["apiKey"], **({"client_address": address} if address else {})}
    headers = {"Authorization": f"Bearer {system.secret}"}
    introspected = await api.client.post("/introspect", data=form, headers=headers)
    assert introspected.json()["active"] is (code == "VALID")


async def test_a_network_of_ipv4_may_be_written_as_ipv6(api: Api) -> None:
    key = await create(api, await api.make(), allowedAddresses=["::ffff:127.0.0.1", "::ffff:10.0.0.0/104", "::/0"])
    assert key["allowedAddresses"] == ["127.0.0.1/32", "10.0.0.0/8", "::/0"]
    assert await api.data("{ __typename }", by=key["apiKey"])


async def test_a_client_address_that_is_none_is_named(api: Api) -> None:
    system = await api.make()
    (error,) = (await api.run(VERIFY, {"secret": system.secret, "address": "localhost"}, system))["errors"]
    assert error["extensions"]["code"] == "INVALID_ARGUMENT"
    assert error["extensions"]["path"][-1] == "clientAddress"
    form = {"token": system.secret, "client_address": "localhost"}
    answer = await api.client.post("/introspect", data=form, headers={"Authorization": f"Bearer {system.secret}"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.json()["error_description"].startswith("client_address: ")


async def test_what_a_proxy_or_a_gateway_adds_to_an_address_is_not_kept(settings: Settings) -> None:
    trusting = settings.model_copy(update={"trusted_proxies": (ip_network("127.0.0.1"),)})
    rotate = """mutation($k: ID!) {
        rotateApiKey(input: {domainId: "d1", apiKeyId: $k, overlapSeconds: 0}) { apiKeyId } }"""
    audit = """query($k: ID!) {
        apiKeyAudit(domainId: "d1", apiKeyId: $k, actions: [STALE_SECRET_USED]) { nodes { clientAddress } } }"""
    async with running(trusting) as api:
        system = await api.make()

        async def address_told(of: str | None, forwarded: str = "") -> str:
            """The address of an audit entry, for a verification with one of its own, or else for a request."""
            key = await create(api, system)
            await api.data(rotate, {"k": key["apiKeyId"]}, system)
            if of is None:
                await api.send("{ __typename }", None, key["apiKey"], **{"X-Forwarded-For": forwarded})
            else:
                await api.data(VERIFY, {"secret": key["apiKey"], "address": of}, system)
            await api.app.state.api_keys.uses.stale_secrets.write()
            (entry,) = (await api.data(audit, {"k": key["apiKeyId"]}, system))["apiKeyAudit"]["nodes"]
            return str(entry["clientAddress"])

        for sent, kept in (
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
            (f"fe80::1%{system.secret}", "fe80::1"),
        ):
            assert await address_told(sent) == kept
            assert await address_told(None, sent) == kept
        for text in (f"[::1]{system.secret}", f"10.1.2.3:{system.secret}", "1" * 200, "[]", ":1"):
            assert await address_told(None, text) == "unknown"
            (error,) = (await api.run(VERIFY, {"secret": system.secret, "address": text}, system))["errors"]
            assert error["extensions"]["path"][-1] == "clientAddress"


async def test_a_bound_key_gives_no_key_more_than_its_own_addresses(api: Api) -> None:
    system = await api.make()
    for role in ("USER", "DOMAIN_OWNER"):
        bound = await create(api, system, role=role, allowedAddresses=HERE)
        secret = bound["apiKey"]
        assert (await create(api, secret))["allowedAddresses"] == HERE
        narrower = await create(api, secret, allowedAddresses=["127.0.0.1"])
        assert narrower["allowedAddresses"] == ["127.0.0.1/32"]
        wider = await create(api, secret, allowedAddresses=["127.0.0.0/8", "10.0.0.0/8"])
        assert wider["extensions"]["code"] == "PERMISSION_DENIED"
        for key_id in (bound["apiKeyId"], narrower["apiKeyId"]):
            for networks in (None, ["126.0.0.0/7"], ELSEWHERE):
                refused = await update(api, secret, key_id, allowedAddresses=networks)
                assert refused["extensions"]["code"] == "PERMISSION_DENIED"
        free = await create(api, system)
        rotate = 'mutation { rotateApiKey(input: {domainId: "d1", apiKeyId: "%s"}) { apiKey } }'
        assert await api.code(rotate % free["apiKeyId"], by=secret) == "PERMISSION_DENIED"


async def test_the_address_is_the_one_that_the_trusted_proxy_saw(settings: Settings) -> None:
    trusting = settings.model_copy(update={"trusted_proxies": (ip_network("127.0.0.1"),)})
    async with running(trusting) as api:
        system = await api.make()
        key = await create(api, system, allowedAddresses=["10.0.0.0/8"])
        query, headers = {"query": "{ viewer { userId } }"}, {"Authorization": f"Bearer {key['apiKey']}"}
        seen = (("10.0.0.7", 200), ("10.0.0.7:1234", 200), ("[::ffff:10.0.0.7]:80", 200), ("203.0.113.1", 401))
        for forwarded, status in (*seen, ("10.0.0.7, 203.0.113.1", 401)):
            answer = await api.client.post("/graphql", json=query, headers=headers | {"X-Forwarded-For": forwarded})
            assert answer.status_code == status, forwarded


def test_the_command_line_gives_both(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        flags = ("--domain-id", "d", "--user-id", "u", "--json")
        made = service.command(
            "create-key", *flags, "--tag", "team=payments", "--allowed-address", "127.0.0.1", "--tag", "a=b=c"
        )
        key = json.loads(made.stdout)
        assert key["tags"] == [{"name": "team", "value": "payments"}, {"name": "a", "value": "b=c"}]
        assert key["allowed_addresses"] == ["127.0.0.1/32"]
        assert service.send("{ __typename }", by=key["api_key"]).status_code == 200
        assert "give NAME=VALUE" in service.command("create-key", *flags, "--tag", "team").stderr
