"""Verification: whether a secret is good, over GraphQL and by RFC 7662, and how soon a revoked one is refused."""

import asyncio
import time
from typing import Any

import pytest
from pydantic import SecretStr

from gql_identity.secret import make_secret
from gql_identity.storage.embedded import EmbeddedDatabase
from tests.conftest import Api, Person, running

VERIFY = """mutation($secrets: [VerifyAPIKeyRequest!]!) {
    verifyApiKeys(input: $secrets) { valid code apiKeyInfo { apiKeyId userId apiKey } } }"""


async def verify(api: Api, by: Person, *secrets: str) -> list[Any]:
    data = await api.data(VERIFY, {"secrets": [{"apiKey": secret} for secret in secrets]}, by)
    return [(answer["code"], answer["valid"], answer["apiKeyInfo"]) for answer in data["verifyApiKeys"]]


async def introspect(api: Api, by: Person | None, **form: Any) -> Any:
    headers = {"Authorization": f"Bearer {by.secret}"} if by else {}
    return await api.client.post("/introspect", data=form, headers=headers)


async def test_introspection_takes_its_caller_as_an_oauth_client(api: Api) -> None:
    gateway, user = await api.make("VERIFIER"), await api.make("USER", "d2", "u2")

    async def ask(auth: Any = None, **form: Any) -> tuple[int, Any, str]:
        answer = await api.client.post("/introspect", data={"token": user.secret, **form}, auth=auth)
        told = answer.json()
        return answer.status_code, told.get("active", told.get("error")), answer.headers.get("WWW-Authenticate", "")

    basic, form = (gateway.key_id, gateway.secret), {"client_id": gateway.key_id, "client_secret": gateway.secret}
    for accepted in (await ask(basic), await ask(**form), await ask(basic, client_id=gateway.key_id)):
        assert accepted == (200, True, "")
    assert await ask((user.key_id, make_secret())) == (401, "invalid_client", 'Basic realm="gql_identity"')
    assert await ask((user.key_id, gateway.secret)) == (401, "invalid_client", 'Basic realm="gql_identity"')
    assert await ask(client_secret=gateway.secret) == (401, "invalid_client", 'Basic realm="gql_identity"')
    assert await ask(basic, client_secret=gateway.secret) == (400, "invalid_request", "")
    assert await ask(basic, client_id=user.key_id) == (400, "invalid_request", "")
    assert await ask(client_id=gateway.key_id) == (401, "unauthenticated", 'Bearer realm="gql_identity"')
    # A Bearer credential is the caller's, whatever else the form has.
    own = await introspect(api, gateway, token=user.secret, client_id="x", client_secret="y")
    assert own.json()["active"] is True


async def test_each_secret_gets_its_answer_in_order(api: Api) -> None:
    gateway, user, disabled = await api.make("VERIFIER"), await api.make("USER", "d2", "u2"), await api.make("USER")
    off = "mutation($i: APIKeyRequest!) { disableApiKey(input: $i) { state } }"
    await api.data(off, {"i": {"domainId": "d1", "apiKeyId": disabled.key_id}}, await api.make())
    good = ("VALID", True, {"apiKeyId": user.key_id, "userId": "u2", "apiKey": None})
    answers = await verify(api, gateway, user.secret, make_secret(), disabled.secret, "typo", "", user.secret)
    assert answers == [
        good,
        ("NOT_FOUND", False, None),
        ("DISABLED", False, None),
        ("MALFORMED", False, None),
        ("MALFORMED", False, None),
        good,
    ]
    one = "mutation($i: VerifyAPIKeyRequest!) { verifyApiKey(input: $i) { valid code } }"
    data = await api.data(one, {"i": {"apiKey": user.secret}}, gateway)
    assert data == {"verifyApiKey": {"valid": True, "code": "VALID"}}


async def test_many_secrets_are_one_read(api: Api, reads: list[str]) -> None:
    gateway, people = await api.make("VERIFIER"), [await api.make("USER", "d2", f"u{n}") for n in range(5)]
    await verify(api, gateway, "typo")
    reads.clear()
    secrets = [*(person.secret for person in people), *(make_secret() for _ in range(5)), people[0].secret]
    answers = await verify(api, gateway, *secrets)
    assert [code for code, *_ in answers] == ["VALID"] * 5 + ["NOT_FOUND"] * 5 + ["VALID"]
    assert reads == ["find"]


@pytest.mark.parametrize(
    ("role", "visible"),
    [
        ("USER", {"own USER"}),
        ("VERIFIER", {"own USER", "own SYSTEM", "same domain", "other domain"}),
        ("DOMAIN_OWNER", {"own USER", "same domain"}),
        ("SYSTEM", {"own USER", "own SYSTEM", "same domain", "other domain"}),
    ],
)
async def test_a_secret_of_a_hidden_key_is_as_one_of_no_key(api: Api, role: str, visible: set[str]) -> None:
    caller = await api.make(role)
    targets = {
        "own USER": await api.make("USER"),
        "own SYSTEM": await api.make("SYSTEM"),
        "same domain": await api.make("USER", "d1", "u2"),
        "other domain": await api.make("USER", "d2", "u1"),
    }
    for whose, target in targets.items():
        ((code, _, _),) = await verify(api, caller, target.secret)
        assert code == ("VALID" if whose in visible else "NOT_FOUND"), whose
        active = await introspect(api, caller, token=target.secret)
        missing = await introspect(api, caller, token=make_secret())
        assert active.json()["active"] is (whose in visible)
        if whose not in visible:
            assert active.content == missing.content


async def test_a_hundred_at_once_and_no_more(api: Api) -> None:
    gateway = await api.make("VERIFIER")
    assert len(await verify(api, gateway, *[gateway.secret] * 100)) == 100
    assert await api.code(VERIFY, {"secrets": [{"apiKey": "x"}] * 101}, gateway) == "INVALID_ARGUMENT"


async def test_without_a_credential_nothing_is_verified(api: Api) -> None:
    assert await api.code(VERIFY, {"secrets": []}) == "UNAUTHENTICATED"
    refused = await introspect(api, None, token="x")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert refused.json()["error"] == "unauthenticated"


async def test_an_active_introspection_has_the_claims(api: Api) -> None:
    gateway, user = await api.make("VERIFIER"), await api.make("USER", "d2", "u2")
    answer = await introspect(api, gateway, token=user.secret, token_type_hint="access_token")
    claims = answer.json()
    assert abs(claims.pop("iat") - time.time()) < 60
    assert claims == {"active": True, "sub": "u2", "client_id": user.key_id, "domain_id": "d2", "role": "USER"}
    assert answer.headers["Cache-Control"] == "private, no-store"
    for other in ("x", "", make_secret()):
        assert (await introspect(api, gateway, token=other)).json() == {"active": False}


async def test_a_malformed_introspection_is_refused(api: Api) -> None:
    gateway = await api.make("VERIFIER")
    headers = {"Authorization": f"Bearer {gateway.secret}"}
    requests: list[tuple[int, dict[str, Any]]] = [
        (400, {"data": {"tok": "x"}}),
        (400, {"data": {"token": ["a", "b"]}}),
        (415, {"json": {"token": "x"}}),
        (400, {"content": b"token=\xff", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}),
    ]
    for status, request in requests:
        answer = await api.client.post("/introspect", **request | {"headers": headers | request.get("headers", {})})
        assert answer.status_code == status, request
        assert answer.json()["error"] == "invalid_request"
    answer = await api.client.get("/introspect", headers=headers)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert answer.json()["errors"][0]["message"] == "Send this request by POST."
    answer = await api.client.delete("/authz", headers=headers)
    assert answer.json()["errors"][0]["message"] == "Send this request by GET."


async def test_verifying_counts_as_a_use(api: Api) -> None:
    gateway, user = await api.make("VERIFIER"), await api.make("USER", "d2", "u2")
    async with running(api.settings) as other:
        await verify(other, gateway, user.secret)
    system = await api.make()
    read = 'query($k: ID!) { apiKey(input: {domainId: "d2", apiKeyId: $k}) { lastAccessedAt } }'
    assert (await api.data(read, {"k": user.key_id}, system))["apiKey"]["lastAccessedAt"]


@pytest.mark.parametrize("change", ["disableApiKey", "deleteApiKey"])
async def test_a_revoked_key_is_refused_by_every_worker_within_a_second(api: Api, change: str) -> None:
    system, gateway = await api.make(), await api.make("VERIFIER")
    async with running(api.settings) as other:
        user = await api.make("USER")
        for worker in (api, other):
            assert (await verify(worker, gateway, user.secret))[0][0] == "VALID"
            assert (await worker.send("{ __typename }", by=user)).status_code == 200
        query = f"mutation($i: APIKeyRequest!) {{ {change}(input: $i) {{ apiKeyId }} }}"
        await api.data(query, {"i": {"domainId": "d1", "apiKeyId": user.key_id}}, system)
        answered = time.monotonic()
        # The worker that took it refuses at once ...
        assert (await api.send("{ __typename }", by=user)).status_code == 401
        assert not (await verify(api, gateway, user.secret))[0][1]
        # ... and the other soon, though it is asked all the time meanwhile.
        while time.monotonic() - answered < 0.9:
            await other.send("{ __typename }", by=user)
            await asyncio.sleep(0.02)
        assert (await other.send("{ __typename }", by=user)).status_code == 401
        assert not (await verify(other, gateway, user.secret))[0][1]


@pytest.mark.slow
async def test_with_the_database_away_nothing_is_called_inactive(api: Api, data_dir: Any) -> None:
    with EmbeddedDatabase(data_dir) as database:
        settings = api.settings.model_copy(
            update={"mongo_uri": SecretStr(database.uri), "database_timeout_seconds": 1.0}
        )
        async with running(settings) as service:
            gateway, user = await service.make("VERIFIER"), await service.make("USER")
            assert (await introspect(service, gateway, token=user.secret)).json()["active"] is True
            database.stop()
            await asyncio.sleep(0.6)
            for _ in range(2):
                answer = await introspect(service, gateway, token=user.secret)
                assert answer.status_code == 503, answer.content
                assert "active" not in answer.json()
