"""Leaked secrets and revoked tokens: `POST /revoke` and `reportLeakedApiKey`."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from authlib.integrations.requests_client import OAuth2Session

from gql_identity.secret import make_secret
from tests.conftest import Api, Person, listening, mongo_client, running
from tests.database.conftest import lose_commits
from tests.database.test_forward_auth import ask, key_with
from tests.database.test_tokens import FORGED, VIEWER, decoded, issuing, jwks, token_of, tokens_of

REPORT = "mutation($i: ReportLeakedAPIKeyRequest!) { reportLeakedApiKey(input: $i) { received } }"
AUDIT = """query($k: ID!) { apiKeyAudit(domainId: "d1", apiKeyId: $k) {
    nodes { action actor { kind apiKeyId } changes { field before after } number intact } } }"""
STATE = 'query($k: ID!) { apiKey(input: {domainId: "d1", apiKeyId: $k}) { state secrets { hint } } }'
ENABLE = "mutation($i: APIKeyRequest!) { enableApiKey(input: $i) { state } }"
ROTATE = 'mutation($k: ID!) { rotateApiKey(input: {domainId: "d1", apiKeyId: $k}) { apiKey } }'


async def revoke(api: Api, token: Any, **form: Any) -> httpx.Response:
    return await api.client.post("/revoke", data={"token": token, **form})


async def audit(api: Api, system: Person, key: Person) -> Any:
    return (await api.data(AUDIT, {"k": key.key_id}, system))["apiKeyAudit"]["nodes"]


async def test_whoever_holds_a_secret_disables_its_key_and_the_owners_rank_undoes_it(api: Api) -> None:
    system, owner, key = await api.make(), await api.make("DOMAIN_OWNER"), await api.make("DOMAIN_OWNER", "d1", "u2")
    user = await api.make("USER", "d1", "u2")
    async with running(api.settings) as other:
        for worker in (api, other):
            assert (await worker.send(VIEWER, by=key)).status_code == 200
        answer = await revoke(api, key.secret, token_type_hint="access_token", client_id="anything")
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await api.send(VIEWER, by=key)).status_code == 401
        await asyncio.sleep(0.9)
        assert (await other.send(VIEWER, by=key)).status_code == 401
    *_, entry = await audit(api, system, key)
    assert entry == {
        "action": "LEAK_REPORTED",
        "actor": {"kind": "HOLDER", "apiKeyId": None},
        "changes": [{"field": "state", "before": "ENABLED", "after": "DISABLED"}],
        "number": 2,
        "intact": True,
    }
    named = {"i": {"domainId": "d1", "apiKeyId": key.key_id}}
    assert await api.code(ENABLE, named, user) == "NOT_FOUND"
    assert (await api.data(ENABLE, named, owner))["enableApiKey"]["state"] == "ENABLED"


async def test_a_report_keeps_where_the_secret_was_found(api: Api) -> None:
    system, scanner, key = await api.make(), await key_with(api, scopes=[]), await api.make("USER", "d1", "u2")
    url = "https://git.example/repository/blob/main/.env#L3"
    given = {"i": {"apiKey": key.secret, "url": url}}
    assert (await api.data(REPORT, given, scanner))["reportLeakedApiKey"] == {"received": True}
    *_, entry = await audit(api, system, key)
    assert {"field": "url", "before": None, "after": url} in entry["changes"]
    assert entry["intact"] is True
    # Again nothing changes, and nothing more is kept.
    await api.data(REPORT, given, scanner)
    assert len(await audit(api, system, key)) == 2
    assert await api.code(REPORT, given) == "UNAUTHENTICATED"
    for wrong in ("", "x" * 2_001, "a\nb", f"https://x.example/?key={key.secret}"):
        assert await api.code(REPORT, {"i": {"apiKey": key.secret, "url": wrong}}, scanner) == "INVALID_ARGUMENT"


async def test_the_response_does_not_tell_whether_it_was_a_secret(api: Api) -> None:
    system = await api.make()
    live, deleted, disabled = [await api.make("USER") for _ in range(3)]
    delete = "mutation($i: APIKeyRequest!) { deleteApiKey(input: $i) { apiKeyId } }"
    off = "mutation($i: APIKeyRequest!) { disableApiKey(input: $i) { state } }"
    for query, key in ((delete, deleted), (off, disabled)):
        await api.data(query, {"i": {"domainId": "d1", "apiKeyId": key.key_id}}, system)
    texts = [live.secret, deleted.secret, disabled.secret, make_secret(), "x", "", "eyJh.eyJh.x"]
    answers = [await revoke(api, text) for text in texts]
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, b"")}
    told = [await api.send(REPORT, {"i": {"apiKey": text}}, system) for text in texts]
    assert {answer.content for answer in told} == {b'{"data":{"reportLeakedApiKey":{"received":true}}}'}


async def test_a_report_that_fails_names_no_key_and_may_be_sent_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner, key = await api.make(), await api.make("USER", "d1", "u2")
    await api.data(VIEWER, by=scanner)
    with monkeypatch.context() as patch:
        lose_commits(patch)
        answer = await revoke(api, key.secret)
        (error,) = (await api.run(REPORT, {"i": {"apiKey": key.secret}}, scanner))["errors"]
    assert answer.status_code == 503
    assert answer.json() == {"error": "temporarily_unavailable", "error_description": error["message"]}
    assert error["message"] == "Whether the report was taken is unknown. Send it again."
    assert error["extensions"] == {"code": "UNAVAILABLE"}
    assert (await revoke(api, key.secret)).status_code == 200
    assert (await api.send(VIEWER, by=key)).status_code == 401


async def test_a_key_that_was_disabled_by_a_higher_role_stays_so(api: Api) -> None:
    system, key, owner = await api.make(), await api.make("USER"), await api.make("USER")
    named = {"i": {"domainId": "d1", "apiKeyId": key.key_id}}
    await api.data("mutation($i: APIKeyRequest!) { disableApiKey(input: $i) { state } }", named, system)
    await revoke(api, key.secret)
    assert await api.code(ENABLE, named, owner) == "PERMISSION_DENIED"


async def test_of_a_replaced_secret_only_itself_is_ended(api: Api) -> None:
    """A thief with the older secret must not throw the owner out."""
    system, key = await api.make(), await api.make("USER")
    newer = (await api.data(ROTATE, {"k": key.key_id}, system))["rotateApiKey"]["apiKey"]
    await api.data(VIEWER, by=newer)
    await api.uses_written()
    await asyncio.sleep(0.6)
    await revoke(api, key.secret)
    assert [(await api.send(VIEWER, by=secret)).status_code for secret in (key.secret, newer)] == [401, 200]
    *_, entry = await audit(api, system, key)
    assert entry["action"] == "LEAK_REPORTED"
    assert [change["field"] for change in entry["changes"]] == ["secrets"]
    # An ended secret does nothing any more.
    await revoke(api, key.secret)
    assert (await api.send(VIEWER, by=newer)).status_code == 200


async def test_the_last_system_key_stays(api: Api) -> None:
    system = await api.make()
    assert (await revoke(api, system.secret)).status_code == 200
    assert (await api.send(VIEWER, by=system)).status_code == 200
    await api.make()
    await revoke(api, system.secret)
    assert (await api.send(VIEWER, by=system)).status_code == 401


async def test_what_cannot_be_read_is_refused_and_wrong_texts_are_counted(api: Api) -> None:
    for form in ({}, {"token": ["a", "b"]}):
        answer = await api.client.post(
            "/revoke", data=form, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert (await api.client.get("/revoke")).status_code == 405
    assert (await api.client.post("/revoke", json={})).status_code == 415
    key = await api.make("USER")
    async with running(api.settings.model_copy(update={"failed_credentials_per_minute": 2})) as service:
        assert [(await revoke(service, make_secret())).status_code for _ in range(3)] == [200, 200, 429]
        assert (await revoke(service, key.secret)).status_code == 200
        assert (await service.send(VIEWER, by=key)).status_code == 429  # invalid, and one too many


async def test_reports_at_once_make_one_entry(api: Api) -> None:
    system, key = await api.make(), await api.make("USER")
    answers = await asyncio.gather(*(revoke(api, key.secret) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert [entry["number"] for entry in await audit(api, system, key)] == [1, 2]


async def test_a_revoked_token_is_refused_and_its_key_is_not(api: Api) -> None:
    async with issuing(api.settings) as service, issuing(api.settings) as other:
        key = await service.make("USER")
        token, second = [await token_of(service, key) for _ in range(2)]
        kept = (await ask(service, key.secret)).headers["Authorization"].split()[1]
        assert (await other.send(VIEWER, by=token)).status_code == 200
        for text in (token, kept):
            assert (await revoke(service, text)).status_code == 200
            assert (await service.send(VIEWER, by=text)).status_code == 401
        await asyncio.sleep(0.6)
        assert (await other.send(VIEWER, by=token)).status_code == 401
        for by in (key.secret, second):
            assert [(await one.send(VIEWER, by=by)).status_code for one in (service, other)] == [200, 200]
        assert (await ask(service, key.secret)).headers["Authorization"].split()[1] != kept
        with mongo_client(service.settings, tz_aware=True) as client:
            ends = [one["expires_at"].timestamp() for one in client.get_default_database()["requests"].find()]
        assert len(ends) == 2
        assert all(0 < end - time.time() <= 300 for end in ends)


async def test_a_forged_token_revokes_nothing(api: Api) -> None:
    async with issuing(api.settings) as service:
        key = await service.make("USER")
        signing, token = tokens_of(service).keys.current, await token_of(service, key)
        genuine = decoded(token, await jwks(service))
        for name in ("HS256 with the public key", "none", "a key of its own", "crit"):
            assert (await revoke(service, FORGED[name](signing, genuine.header, genuine.claims))).status_code == 200
        assert (await service.send(VIEWER, by=token)).status_code == 200


async def test_a_forged_token_counts_as_a_wrong_key_of_its_address(api: Api) -> None:
    settings = api.settings.model_copy(update={"failed_credentials_per_minute": 2})
    async with issuing(settings) as service:
        key = await service.make("USER")
        token = await token_of(service, key)
        forged = token[:-8] + "AAAAAAAA"
        assert [(await revoke(service, text)).status_code for text in (forged, token, forged, forged)] == [
            200,
            200,
            200,
            429,
        ]


async def test_a_token_that_is_over_is_revoked_without_counting(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = api.settings.model_copy(update={"failed_credentials_per_minute": 2})
    async with issuing(settings) as service:
        token, real = await token_of(service, await service.make("USER")), time.time
        monkeypatch.setattr(time, "time", lambda: real() + 400)
        assert [(await revoke(service, token)).status_code for _ in range(5)] == [200] * 5


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_authlibs_client_gets_a_token_asks_about_it_and_revokes_it(api: Api, method: str) -> None:
    async with issuing(api.settings) as service, listening(service.app) as address:
        key = await key_with(service, scopes=["identity:read", "identity:verify"])

        def use() -> tuple[int, bool, int]:
            with OAuth2Session(key.key_id, key.secret, token_endpoint_auth_method=method) as client:
                client.trust_env = False
                metadata = client.get(f"http://{address}/.well-known/oauth-authorization-server", withhold_token=True)
                paths = {
                    name: value.removeprefix(metadata.json()["issuer"])
                    for name, value in metadata.json().items()
                    if isinstance(value, str)
                }
                token = client.fetch_token(
                    f"http://{address}{paths['token_endpoint']}", grant_type="client_credentials", scope="identity:read"
                )
                assert token["scope"] == "identity:read"
                query = {"query": VIEWER}
                before = client.post(f"http://{address}/graphql", json=query).status_code
                introspection = f"http://{address}{paths['introspection_endpoint']}"
                is_active = client.introspect_token(introspection, token=token["access_token"]).json()["active"]
                client.revoke_token(f"http://{address}{paths['revocation_endpoint']}", token=token["access_token"])
                header = {"Authorization": f"Bearer {token['access_token']}"}
                after = httpx.post(f"http://{address}/graphql", json=query, headers=header, trust_env=False)
                return before, is_active, after.status_code

        assert await asyncio.to_thread(use) == (200, True, 401)
        assert (await service.send(VIEWER, by=key)).status_code == 200
