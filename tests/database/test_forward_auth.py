"""Forward authentication, `GET /authz`: what a proxy is told of the request that it asks about."""

import asyncio
from ipaddress import ip_network
from typing import Any
from urllib.parse import unquote

import pytest
from httpx import Response

from gql_identity.secret import make_secret
from tests.conftest import Api, Person, mongo_client, running

NAMES = ("X-Auth-Key-Id", "X-Auth-User", "X-Auth-Domain", "X-Auth-Role", "X-Auth-Scopes")


async def ask(api: Api, secret: str | None, path: str = "/authz", method: str = "GET", **headers: str) -> Response:
    if secret is not None:
        headers["Authorization"] = f"Bearer {secret}"
    return await api.client.request(method, path, headers=headers)


async def key_with(api: Api, **fields: Any) -> Person:
    """A key with these fields, made by a SYSTEM key."""
    create = "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { apiKeyId apiKey } }"
    given = {"domainId": "d1", "userId": "u1", **fields}
    made = (await api.data(create, {"i": given}, await api.make()))["createApiKey"]
    return Person(made["apiKeyId"], made["apiKey"], given["domainId"], given["userId"])


async def test_a_valid_key_is_told_in_headers(api: Api) -> None:
    key = await api.make("DOMAIN_OWNER", "acme", "ann@example.com")
    answer = await ask(api, key.secret)
    assert (answer.status_code, answer.content) == (200, b"")
    scopes = "identity:audit identity:read identity:verify identity:write"
    assert [answer.headers[name] for name in NAMES] == [key.key_id, "ann@example.com", "acme", "DOMAIN_OWNER", scopes]
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert "authorization" not in answer.headers


@pytest.mark.parametrize(
    "user_id", ["Zoë, 50%", "a\u2028b", "日本", "a b", 'q"u;o=t', "a,b", "%0D%0AX-Auth-Role: SYSTEM"]
)
async def test_values_that_cannot_be_in_a_header_are_percent_encoded(api: Api, user_id: str) -> None:
    key = await api.make("USER", user_id, user_id)
    answer = await ask(api, key.secret)
    for name in ("X-Auth-User", "X-Auth-Domain"):
        sent = answer.headers[name]
        assert sent.isascii()
        assert sent.isprintable()
        assert not {" ", ","} & set(sent)
        assert unquote(sent) == user_id
    assert answer.headers["X-Auth-Role"] == "USER"


async def test_an_id_with_a_line_break_from_another_program_stays_one_header(api: Api) -> None:
    key = await api.make("USER")
    with mongo_client(api.settings) as client:
        where, change = {"_id": key.key_id}, {"$set": {"user_id": "a\r\nX-Auth-Role: SYSTEM"}}
        client.get_default_database()["api_keys"].update_one(where, change)
    answer = await ask(api, key.secret)
    assert answer.headers["X-Auth-User"] == "a%0D%0AX-Auth-Role:%20SYSTEM"
    assert answer.headers.get_list("X-Auth-Role") == ["USER"]


async def test_without_a_valid_key_it_is_401(api: Api) -> None:
    for secret in (None, "x", make_secret(), "eyJh.eyJh.x"):
        answer = await ask(api, secret)
        assert answer.status_code == 401, secret
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json()["error"] == ("unauthenticated" if secret is None else "invalid_token")
        assert not any(name in answer.headers for name in NAMES)
    basic = await api.client.get("/authz", headers={"Authorization": "Basic eDp5"})
    assert (basic.status_code, basic.json()["error"]) == (401, "unauthenticated")


async def test_scopes_are_asked_for_in_the_query(api: Api) -> None:
    key = await key_with(api, scopes=["orders:read", "orders:write"])
    assert (await ask(api, key.secret)).headers["X-Auth-Scopes"] == "orders:read orders:write"
    for query in ("orders:read", "orders:read+orders:write", "orders:write%20orders:read"):
        assert (await ask(api, key.secret, f"/authz?scope={query}")).status_code == 200, query
    answer = await ask(api, key.secret, "/authz?scope=orders:read+orders:delete+a")
    assert answer.status_code == 403
    told = "This key lacks the scopes orders:delete and a."
    assert answer.json() == {"error": "insufficient_scope", "error_description": told}
    one = (await ask(api, key.secret, "/authz?scope=orders:read+a")).json()
    assert one["error_description"] == "This key lacks the scope a."
    assert 'scope="orders:delete a"' in answer.headers["WWW-Authenticate"]
    assert not any(name in answer.headers for name in NAMES)


async def test_no_list_and_an_empty_list_are_told_apart(api: Api) -> None:
    nothing, all_of_its_role = await key_with(api, scopes=[]), await key_with(api)
    assert (await ask(api, nothing.secret)).headers["X-Auth-Scopes"] == ""
    for scope, expected in (("identity:read", 200), ("identity:rotate", 403), ("orders:read", 403)):
        assert (await ask(api, all_of_its_role.secret, f"/authz?scope={scope}")).status_code == expected
        assert (await ask(api, nothing.secret, f"/authz?scope={scope}")).status_code == 403


@pytest.mark.parametrize(
    "query",
    ["scopes=a", "scope=", "scope=+", "scope=a&scope=b", "scope=a%22b", "scope=identity:everything", "x=1&scope=a"],
)
async def test_a_mistake_in_the_query_lets_nothing_through(api: Api, query: str) -> None:
    key = await api.make()
    answer = await ask(api, key.secret, f"/authz?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"


async def test_envoy_asks_with_its_clients_method_and_path(api: Api) -> None:
    key = await api.make()
    for method in ("GET", "POST", "DELETE", "OPTIONS", "PATCH"):
        for path in ("", "orders/1", "%2e%2e/x", "a?scope=orders:read&x=1"):
            assert (await ask(api, key.secret, f"/authz/path/{path}", method)).status_code == 200, (method, path)
            assert (await ask(api, None, f"/authz/path/{path}", method)).status_code == 401
    # Elsewhere, so that a slash too many does not leave the scopes out.
    assert (await ask(api, key.secret, "/authz/?scope=orders:read")).status_code == 404
    assert (await ask(api, key.secret, method="POST")).status_code == 405


async def test_a_preflight_opens_nothing(api: Api) -> None:
    settings = api.settings.model_copy(update={"cors_origins": ("https://app.example",)})
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    async with running(settings) as service:
        for path in ("/authz/path/orders", "/authz"):
            assert (await ask(service, None, path, "OPTIONS", **headers)).status_code in (401, 405)
        assert (await ask(service, None, "/graphql", "OPTIONS", **headers)).status_code == 200


async def test_a_key_bound_to_addresses_needs_the_clients(api: Api) -> None:
    proxied = api.settings.model_copy(update={"trusted_proxies": (ip_network("127.0.0.1"),)})
    async with running(proxied) as service:
        key = await key_with(service, allowedAddresses=["203.0.113.0/24"])
        assert (await ask(service, key.secret, **{"X-Forwarded-For": "203.0.113.7"})).status_code == 200
        assert (await ask(service, key.secret, **{"X-Forwarded-For": "198.51.100.7"})).status_code == 401
        assert (await ask(service, key.secret)).status_code == 401


async def test_the_older_secret_is_accepted_until_its_end_and_a_disabled_key_is_not(api: Api) -> None:
    system, key = await api.make(), await api.make("USER")
    rotate = (
        """mutation($k: ID!) { rotateApiKey(input: {domainId: "d1", apiKeyId: $k, overlapSeconds: 60}) { apiKey } }"""
    )
    newer = (await api.data(rotate, {"k": key.key_id}, system))["rotateApiKey"]["apiKey"]
    assert [(await ask(api, secret)).status_code for secret in (key.secret, newer)] == [200, 200]
    end = 'mutation($k: ID!) { endApiKeyOverlap(input: {domainId: "d1", apiKeyId: $k}) { apiKeyId } }'
    await api.data(end, {"k": key.key_id}, system)
    assert [(await ask(api, secret)).status_code for secret in (key.secret, newer)] == [401, 200]
    off = 'mutation($k: ID!) { disableApiKey(input: {domainId: "d1", apiKeyId: $k}) { state } }'
    async with running(api.settings) as other:
        assert (await ask(other, newer)).status_code == 200
        await api.data(off, {"k": key.key_id}, system)
        assert (await ask(api, newer)).status_code == 401
        await asyncio.sleep(0.9)
        assert (await ask(other, newer)).status_code == 401


async def test_wrong_keys_are_counted(api: Api) -> None:
    settings = api.settings.model_copy(update={"failed_credentials_per_minute": 2})
    key = await api.make()
    async with running(settings) as service:
        assert [(await ask(service, make_secret())).status_code for _ in range(3)] == [401, 401, 429]
        assert (await ask(service, key.secret)).status_code == 200
