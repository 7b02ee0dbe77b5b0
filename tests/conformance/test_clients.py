"""GraphQL clients as their own documentation has them used, against the running service."""

import asyncio
import json
import re
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing_tool
from tests.processes import surroundings

NPM = Path(__file__).parent / "clients"
SECRET = re.compile(r"gqlid_[0-9A-Za-z]{49}")
FOLLOWED = [["CREATED", None], ["DISABLED", None], ["DELETED", None]]  # no secret in any of them

# What clients send for a persisted document, asked for twice by POST, then another twice by GET: at first it is not
# known, then it is registered, then its hash is enough.
BY_POST = ["POST hash 400", "POST query+hash 200", "POST hash 200"]
PERSISTED = {
    "apollo": [*BY_POST, "GET hash 400", "POST query+hash 200", "GET hash 200"],
    "urql": [*BY_POST, "GET hash 400", "GET query+hash 200", "GET hash 200"],
    "graphql-request": ["GET query 200"],  # it has no persisted documents
}
STREAMS = {"apollo": 1, "urql": 2, "graphql-ws": 1, "graphql-sse": 1}


def of_npm(script: str, served: Any) -> Any:
    """What a client's script found."""
    if shutil.which("node") is None:
        missing_tool("node")
    if not (NPM / "node_modules").exists():
        missing_tool("the clients from npm (npm ci in tests/conformance/clients)")
    environment = surroundings(SERVICE_URL=f"{served.url}/graphql", SERVICE_KEY=served.admin_key)
    ran = subprocess.run(
        ["node", f"{script}.mjs"],
        cwd=NPM,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr + served.err
    assert ran.stderr == ""
    return json.loads(ran.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("client", ["apollo", "urql", "graphql-request", "graphql-ws", "graphql-sse"])
def test_a_client_from_npm_works(client: str, served: Any) -> None:
    found = of_npm(client, served)

    created = found["created"]
    assert SECRET.fullmatch(created["apiKey"])
    (listed,) = found["listed"]["results"]
    assert listed == {**created, "apiKey": None}
    assert found["disabled"]["state"] == "DISABLED"
    assert (found["deleted"]["id"], found["deleted"]["apiKeyId"]) == (created["id"], created["apiKeyId"])
    assert found["refused"] == "NOT_FOUND"
    assert found["invalid"] == "GRAPHQL_VALIDATION_FAILED"
    assert found["sent"] == PERSISTED.get(client, [])
    assert set(found["counted"]) <= {0}
    assert found["followed"] == [FOLLOWED] * STREAMS.get(client, 0)
    assert found.get("closed") == ([4403, "Forbidden"] if client == "graphql-ws" else None)


TRANSPORTS = ["httpx", "aiohttp", "websockets", "aiohttp websockets"]
CREATE = """mutation Create($input: CreateAPIKeyRequest!) {
  createApiKey(input: $input) { apiKeyId apiKey state createdAt } }"""
LIST = "query List($input: APIKeyQuery!) { apiKeys(input: $input) { totalCount results { apiKeyId state } } }"
DISABLE = "mutation Disable($input: APIKeyRequest!) { disableApiKey(input: $input) { apiKeyId state } }"
DELETE = "mutation Delete($input: APIKeyRequest!) { deleteApiKey(input: $input) { apiKeyId } }"
CHANGED = """subscription Changed($input: APIKeyChangedRequest!) {
  apiKeyChanged(input: $input) { type apiKeyInfo { apiKeyId apiKey state } } }"""


@pytest.fixture
def gql() -> Any:
    try:
        import gql
    except ImportError:
        missing_tool("gql, the Python client")
    return gql


def transport(kind: str, url: str, secret: str) -> Any:
    from gql.transport.aiohttp import AIOHTTPTransport
    from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
    from gql.transport.httpx import HTTPXAsyncTransport
    from gql.transport.websockets import WebsocketsTransport

    headers = {"Authorization": f"Bearer {secret}"}
    protocols = [WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL]
    match kind:
        case "httpx":
            return HTTPXAsyncTransport(url=url, headers=headers, trust_env=False)
        case "aiohttp":
            return AIOHTTPTransport(url=url, headers=headers)
        case "websockets":
            return WebsocketsTransport(
                url=url.replace("http", "ws", 1),
                init_payload=headers,
                subprotocols=protocols,
                connect_args={"proxy": None},
            )
        case _:
            return AIOHTTPWebsocketsTransport(
                url=url.replace("http", "ws", 1), init_payload=headers, subprotocols=protocols
            )


@pytest.mark.parametrize("kind", TRANSPORTS)
async def test_the_python_client_gql_works(kind: str, gql: Any, served: Any) -> None:
    from gql.transport.exceptions import TransportQueryError

    # It reads the schema first, and checks its operations against it.
    client = gql.Client(
        transport=transport(kind, f"{served.url}/graphql", served.admin_key), fetch_schema_from_transport=True
    )
    user = f"gql-{secrets.token_hex(8)}"

    async with client as session:

        async def run(document: str, **input: Any) -> Any:
            request = gql.gql(document)
            request.variable_values = {"input": {"domainId": "default", **input}}
            (answer,) = (await session.execute(request)).values()
            return answer

        created = await run(CREATE, userId=user, name="ci")
        assert SECRET.fullmatch(created["apiKey"])
        key_id = created["apiKeyId"]
        listed = await run(LIST, userId=user)
        assert listed == {"totalCount": 1, "results": [{"apiKeyId": key_id, "state": "ENABLED"}]}
        assert (await run(DISABLE, apiKeyId=key_id))["state"] == "DISABLED"
        await run(DELETE, apiKeyId=key_id)
        with pytest.raises(TransportQueryError) as refused:
            await run(DELETE, apiKeyId=key_id)
        assert refused.value.errors is not None
        assert refused.value.errors[0]["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("kind", [kind for kind in TRANSPORTS if "websockets" in kind])
async def test_the_python_client_gql_follows_changes(kind: str, gql: Any, served: Any) -> None:
    user = f"gql-{secrets.token_hex(8)}"
    url = f"{served.url}/graphql"
    changes: asyncio.Queue[Any] = asyncio.Queue()

    async def follow(session: Any) -> None:
        request = gql.gql(CHANGED)
        request.variable_values = {"input": {"domainId": "default", "userId": user}}
        async for told in session.subscribe(request):
            changes.put_nowait(told["apiKeyChanged"])

    def send(document: str, **input: Any) -> Any:
        (answer,) = served.send(document, {"input": {"domainId": "default", **input}}).json()["data"].values()
        return answer

    async with gql.Client(transport=transport(kind, url, served.admin_key)) as session:
        following = asyncio.create_task(follow(session))
        async with asyncio.timeout(30):
            key_id = ""
            while changes.empty():  # there is no word that a subscription has begun: make keys until one is told of
                key_id = (await asyncio.to_thread(send, CREATE, userId=user))["apiKeyId"]
                await asyncio.sleep(0.5)
            await asyncio.to_thread(send, DELETE, apiKeyId=key_id)
            told = [await changes.get()]
            while told[-1]["type"] != "DELETED":
                told.append(await changes.get())
        following.cancel()
    told = [change for change in told if change["apiKeyInfo"]["apiKeyId"] == key_id]
    assert [change["type"] for change in told] == ["CREATED", "DELETED"]
    assert [change["apiKeyInfo"]["apiKey"] for change in told] == [None, None]
