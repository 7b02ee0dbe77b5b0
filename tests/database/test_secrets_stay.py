"""A secret is in one answer, that to its create, and nowhere else: not in another answer, a log or a file."""

import asyncio
import json
import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pymongo
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gql_identity.keys.verification import Verification
from gql_identity.logs import configure_logs
from gql_identity.secret import contains_secret, make_secret

from ..conftest import Api
from ..processes import CREATE, Service, serving, wait_until

TYPENAME = "{ __typename }"
LIST = "query($i: APIKeyQuery!) { apiKeys(input: $i) { totalCount results { apiKeyId name hint apiKey } } }"
GET = "query($i: GetAPIKeyRequest!) { apiKey(input: $i) { apiKeyId name hint apiKey } }"
STATS = "query($i: APIKeyStatQuery!) { apiKeyStats(input: $i) }"
VERIFY = "mutation($i: [VerifyAPIKeyRequest!]!) { verifyApiKeys(input: $i) { valid code apiKeyInfo { apiKey hint } } }"
CHANGE = "mutation($i: APIKeyRequest!) { %s(input: $i) { apiKeyId } }"
ENTITIES = "query($r: [_Any!]!) { _entities(representations: $r) { __typename ... on APIKeyInfo { apiKey } } }"


def wrong_places(secret: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Requests that have a secret where none belongs: method, path, and what is sent."""

    def graphql(query: str, variables: Any = None, **more: Any) -> tuple[str, str, dict[str, Any]]:
        return "POST", "/graphql", {"json": {"query": query, "variables": variables, **more}}

    place = f'domainId: "d", apiKeyId: "{secret}"'
    yield graphql(LIST, {"i": {"domainId": {"oops": secret}}})
    yield graphql(LIST, {"i": {"domainId": [secret]}})
    yield graphql(LIST, {"i": secret})
    yield graphql(LIST, {"i": {secret: 1}})
    yield graphql(LIST, secret)
    yield graphql(LIST, {"i": {"domainId": "d", "state": secret}})
    yield graphql(LIST, {"i": {"domainId": "d", "apiKeyId": secret}})
    yield graphql(LIST, {"i": {"domainId": secret}})
    for query in (
        {"keyword": secret},
        {"sort": {"key": secret}},
        {"only": [secret]},
        {"filter": [{"key": secret, "operator": "EQ", "value": 1}]},
        {"filter": [{"key": "name", "operator": "EQ", "value": secret}]},
        {"filter": [{"key": "created_at", "operator": "DATETIME_GT", "value": secret}]},
        {"filter": [{"key": "name", "operator": "REGEX", "value": f"({secret}"}]},
        {"filter": [{"key": "name", "operator": secret, "value": 1}]},
    ):
        yield graphql(LIST, {"i": {"domainId": "d", "query": query}})
    yield graphql(STATS, {"i": {"domainId": "d", "query": {"distinct": secret}}})
    yield graphql(STATS, {"i": {"domainId": "d", "query": {"aggregate": [{"group": {"keys": [{"key": secret}]}}]}}})
    yield graphql(GET, {"i": {"domainId": "d", "apiKeyId": secret}})
    yield graphql(CHANGE % "disableApiKey", {"i": {"domainId": "d", "apiKeyId": secret}})
    yield graphql(ENTITIES, {"r": [{"__typename": secret}]})
    yield graphql(ENTITIES, {"r": [{"__typename": "APIKeyInfo", "domainId": "d", "apiKeyId": secret}]})
    yield graphql(f'{{ node(id: "{secret}") {{ id }} }}')
    yield graphql(f"{{ apiKey(input: {{{place}}}) {{ id }} }}")
    yield graphql(f'{{ apiKey(input: {{domainId: {secret}, apiKeyId: 1.5, x: "{secret}"}}) {{ id }} }}')
    yield graphql(f'{{ apiKeys(input: "{secret}") {{ totalCount }} }}')
    yield graphql(f"{{ {secret} }}")
    yield graphql(f"{{ __typename @{secret} }}")
    yield graphql(f"{{ ...{secret} }}")
    yield graphql(f"query(${secret}: Int!) {{ __typename }}")
    yield graphql(f"query($a: {secret}) {{ __typename }}")
    yield graphql(f"query {secret} {{ __typename }}")
    yield graphql(f"query {secret} {{ nothing }}")
    yield graphql(f'{{ "{secret}')
    yield graphql(f"# {secret}\n{{")
    yield graphql(TYPENAME, operationName=secret)
    yield graphql(TYPENAME, extensions={"persistedQuery": {"version": 1, "sha256Hash": secret}})
    yield "POST", "/graphql", {"json": {"documentId": secret}}
    yield "POST", "/graphql", {"content": secret, "headers": {"Content-Type": "application/json"}}
    yield "POST", "/graphql", {"content": secret, "headers": {"Content-Type": secret}}
    yield "POST", "/graphql", {"json": [secret]}
    for parameters in (
        {"query": TYPENAME, "apiKey": secret},
        {"query": TYPENAME, "access_token": secret},
        {"query": secret},
        {"query": f"{{ apiKey(input: {{{place}}}) {{ id }} }}"},
        {"query": TYPENAME, "variables": secret},
        {"query": TYPENAME, "operationName": secret},
    ):
        yield "GET", "/graphql", {"params": parameters}
    yield "POST", f"/graphql?api_key={secret}", {"json": {"query": TYPENAME}}
    yield "GET", f"/{secret}", {}
    yield "GET", f"/graphql/{quote(secret)}%20", {}
    yield "GET", f"/livez?key={secret}", {}
    yield "POST", f"/identity/v1/api-key/{secret}", {"json": {}}
    for header in (
        "X-API-Key",
        "X-Request-ID",
        "User-Agent",
        "Referer",
        "Cookie",
        "Origin",
        "X-Forwarded-For",
        "Accept",
    ):
        yield "POST", "/graphql", {"json": {"query": TYPENAME}, "headers": {header: secret}}
    for header in (
        secret,
        f"Basic {secret}",
        f"Bearer {secret} x",
        f"Bearer x{secret}",
        f"Bearer {secret[:-1]}",
        "Bearer",
    ):
        yield "POST", "/graphql", {"json": {"query": TYPENAME}, "headers": {"Authorization": header}}
    for name, message in (
        ("create", {"domain_id": "d", "user_id": secret}),
        ("create", {"domain_id": secret, "user_id": "u"}),
        ("create", {"domain_id": "d", "user_id": "u", "name": secret}),
        ("create", {"domain_id": "d", "user_id": "u", "name": f"my key {secret}!"}),
        ("create", {"domain_id": "d", "user_id": "u", "role": secret}),
        ("get", {"domain_id": "d", "api_key_id": secret}),
        ("get", {"domain_id": "d", "api_key_id": "k", "only": [secret]}),
        ("get", {secret: 1}),
        ("list", {"domain_id": "d", "query": {"sort": {"key": secret}}}),
        ("list", {"domain_id": "d", "query": {"filter": [{"k": secret, "o": "eq", "v": 1}]}}),
        ("list", {"domain_id": "d", "state": secret}),
        ("stat", {"domain_id": "d", "query": {"distinct": secret}}),
        ("delete", secret),
    ):
        yield "POST", f"/identity/v1/api-key/{name}", {"json": message}
    for field in ("userId", "domainId", "name"):
        input = {"domainId": "d", "userId": "u", field: f"x {secret}" if field == "name" else secret}
        yield graphql("mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { id name userId } }", {"i": input})
    yield "POST", f"/introspect?token={secret}", {"data": {}}
    yield "POST", "/introspect", {"data": {"tok": secret}}
    yield "POST", "/introspect", {"data": {"token": [secret, secret]}}
    yield "POST", "/introspect", {"json": {"token": secret}}


class Conversation:
    """All that was ever sent to a client, but for what made a key."""

    def __init__(self, service: Service, by: str) -> None:
        self._client = httpx.Client(
            base_url=service.url, headers={"Authorization": f"Bearer {by}"}, timeout=30, trust_env=False
        )
        self.heard: list[str] = []

    def send(self, method: str, path: str, **sent: Any) -> httpx.Response:
        answer = self._client.request(method, path, **sent)
        self.heard.append(f"{answer.status_code} {answer.headers!r} {answer.text}")
        return answer

    def run(self, query: str, variables: Any = None, **headers: str) -> Any:
        return self.send("POST", "/graphql", json={"query": query, "variables": variables}, headers=headers).json()

    def close(self) -> None:
        self._client.close()


async def over_websocket(service: Service, secret: str, heard: list[str]) -> None:
    url = service.url.replace("http", "ws") + "/graphql"
    subscription = f'subscription {secret} {{ apiKeyChanged(input: {{domainId: "{secret}", x: 1}}) {{ type }} }}'
    for messages in (
        [{"type": "connection_init", "payload": {"Authorization": f"Basic {secret}"}}],
        [{"type": "connection_init", "payload": {"apiKey": secret}}, {"type": secret}],
        [{"type": secret}],
        [
            {"type": "connection_init", "payload": {"Authorization": f"Bearer {secret}"}},
            {"type": "subscribe", "id": "1", "payload": {"query": subscription}},
            {"type": "subscribe", "id": "2", "payload": {"query": LIST, "variables": {"i": secret}}},
            {"type": "subscribe", "id": "3", "payload": {"query": "{ __typename }", "operationName": secret}},
            {"type": "subscribe", "id": "4", "payload": {"query": secret}},
        ],
    ):
        async with connect(url, subprotocols=["graphql-transport-ws"]) as websocket:  # type: ignore[list-item]
            try:
                for message in messages:
                    await websocket.send(json.dumps(message))
                while True:
                    heard.append(str(await asyncio.wait_for(websocket.recv(), 0.5)))
            except TimeoutError:
                pass
            except ConnectionClosed as closed:
                heard.append(str(closed))


def test_each_secret_is_in_its_one_answer_and_nowhere_else(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    secrets: list[str] = []
    with serving(data_dir, GQL_IDENTITY_LOG_LEVEL="debug", GQL_IDENTITY_FAILED_CREDENTIALS_PER_MINUTE="0") as service:
        admin = service.admin_key
        conversation = Conversation(service, admin)
        made = [service.create(f"u{number}", "d") for number in range(4)]
        gateway = service.create("gateway", "d", role="VERIFIER")
        printed = service.command("create-key", "--domain-id", "d", "--user-id", "cli", "--json")
        from_command = json.loads(printed.stdout)["api_key"]
        assert contains_secret(from_command)
        rest = httpx.post(
            f"{service.url}/identity/v1/api-key/create",
            json={"domain_id": "d", "user_id": "rest"},
            headers={"Authorization": f"Bearer {admin}"},
            trust_env=False,
        ).json()["api_key"]
        secrets = [admin, from_command, rest, gateway["apiKey"], *(key["apiKey"] for key in made)]
        assert all(contains_secret(secret) for secret in secrets)

        for secret in secrets:  # each is used, verified and read about
            conversation.run(TYPENAME, Authorization=f"Bearer {secret}")
        conversation.run(VERIFY, {"i": [{"apiKey": secret} for secret in secrets]})
        conversation.run(VERIFY, {"i": [{"apiKey": secrets[0]}] * 101})
        for secret in secrets:
            conversation.send("POST", "/introspect", data={"token": secret})
        conversation.run(LIST, {"i": {"domainId": "d"}})
        conversation.send("POST", "/identity/v1/api-key/list", json={"domain_id": "d"})
        for key, change in zip(made[1:3], ("disableApiKey", "deleteApiKey"), strict=True):
            conversation.run(CHANGE % change, {"i": {"domainId": "d", "apiKeyId": key["apiKeyId"]}})
            conversation.run(TYPENAME, Authorization=f"Bearer {key['apiKey']}")
            conversation.run(VERIFY, {"i": [{"apiKey": key["apiKey"]}]})
        for method, path, sent in wrong_places(made[0]["apiKey"]):
            answer = conversation.send(method, path, **sent)
            assert answer.status_code < 500, (path, sent, answer.text)
        asyncio.run(over_websocket(service, made[0]["apiKey"], conversation.heard))

        # The database goes away, and every way of asking meets an error.
        service.database.signal(signal.SIGKILL)
        for _ in range(3):
            conversation.run(VERIFY, {"i": [{"apiKey": make_secret()}]})
            conversation.send("POST", "/introspect", data={"token": made[0]["apiKey"]})
            conversation.run(LIST, {"i": {"domainId": "d"}})
            conversation.run(CREATE.replace("apiKey }", "}"), {"domainId": "d", "userId": "u"})
            time.sleep(0.2)
        wait_until(lambda: service.status("/readyz") == 200, 30)

        asked_of_processes = [process.command for process in service.family()]
        conversation.close()
        service.stop()
        logged = service.err
        said = service.out
    heard = "\n".join(conversation.heard)
    assert [line for line in logged.splitlines() if json.loads(line).get("event") == "request"]
    assert "api_key=" not in logged  # no query string is
    assert "access_token" not in logged
    password = (data_dir / "embedded.json").read_text()
    for secret in secrets:
        random_part = secret[len("gqlid_") : -6]
        for where, text in (("an answer", heard), ("the log", logged), ("the output", said), ("a file", password)):
            assert random_part not in text, (where, text[max(0, text.find(random_part) - 300) :][:400])
        assert not any(random_part in command for command in asked_of_processes)
        assert random_part not in printed.stderr
        for file in data_dir.rglob("*"):
            if file.is_file() and file.name != "admin-key":
                assert random_part.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.usefixtures("logs_as_before")
async def test_a_traceback_shows_no_secret(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], style: Any
) -> None:
    system = await api.make()
    user = await api.make("USER")

    async def fail(_: Any, requests: Any, *__: Any) -> None:
        (local,) = [request.api_key for request in requests.values()]
        raise RuntimeError(f"cannot verify {local} of {requests!r}")

    monkeypatch.setattr(Verification, "_verify", fail)
    configure_logs("debug", style)
    answer = await api.run(VERIFY, {"i": [{"apiKey": user.secret}]}, system)
    assert answer["errors"][0]["extensions"]["code"] == "INTERNAL"
    introspected = await api.client.post(
        "/introspect", data={"token": user.secret}, headers={"Authorization": f"Bearer {system.secret}"}
    )
    assert introspected.status_code == 500
    logging.getLogger("library").warning("a library says %s", user.secret)
    logged = "".join(capsys.readouterr())
    assert "RuntimeError" in logged
    assert answer["errors"][0]["extensions"]["id"] in logged
    for secret in (system.secret, user.secret):
        assert secret not in logged
        assert secret not in f"{answer} {introspected.text}"


@pytest.mark.parametrize("field", ["userId", "domainId", "name"])
async def test_a_secret_is_not_stored_as_a_name(api: Api, field: str) -> None:
    system = await api.make()
    query = "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { id } }"
    for text in (make_secret(), f"ci {make_secret()}", f"gqlid_{make_secret()}"):
        answer = await api.run(query, {"i": {"domainId": "d1", "userId": "u1", field: text}}, system)
        assert answer["errors"][0]["extensions"] == {"code": "INVALID_ARGUMENT", "path": ["input", field]}
        assert text not in str(answer)
    # What only looks like one may be.
    await api.data(query, {"i": {"domainId": "d1", "userId": "u1", field: "gqlid_" + "x" * 49}}, system)


@pytest.mark.usefixtures("logs_as_before")
async def test_a_refused_write_of_uses_logs_no_digest(
    api: Api, mongo_uri: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [await api.make("USER") for _ in range(3)]
    digest = bytes(range(200, 232))
    with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
        stored = {one["_id"]: one["digest"] for one in client.get_default_database().api_keys.find()}
        client.get_default_database().api_keys.create_index("digest", unique=True, name="refuses_the_second")
    configure_logs("info", "json")
    last_uses = api.app.state.api_keys.credentials.last_uses
    monkeypatch.setattr("gql_identity.storage.last_uses.FLUSH_SECONDS", 0.05)
    for key in keys:
        read = {"_id": key.key_id, "domain_id": key.domain_id, "digest": stored[key.key_id]}
        last_uses.move_digest(read, {"digest": digest})
    writing = asyncio.create_task(last_uses.keep_writing())
    await asyncio.sleep(0.5)
    writing.cancel()
    logged = "".join(capsys.readouterr())
    assert "the database refused last uses of keys" in logged
    assert "11000" in logged
    assert repr(digest)[2:20] not in logged
    assert "digest" not in logged
