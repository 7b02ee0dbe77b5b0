"""Tokens: what is made for a key, by every door, and what of it is accepted, by us and by others."""

import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from structlog.testing import capture_logs

from gql_identity.keys.revocations import Revocations
from gql_identity.secret import make_secret
from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from gql_identity.tokens.exchange import Tokens
from tests.conftest import Api, Person, mongo_client, running
from tests.database.test_forward_auth import ask, key_with
from tests.database.test_usage import counts, written
from tests.database.test_verification import introspect

ISSUER = "https://keys.example"
EXCHANGE = """mutation($i: ExchangeAPIKeyRequest!) {
    exchangeApiKey(input: $i) { code accessToken tokenType expiresAt scopes missingScopes } }"""
VIEWER = "{ viewer { domainId userId role scopes } }"
OFF = "mutation($i: APIKeyRequest!) { disableApiKey(input: $i) { state } }"
DELETE = "mutation($i: APIKeyRequest!) { deleteApiKey(input: $i) { apiKeyId } }"


@pytest.fixture
async def service(settings: Any) -> AsyncIterator[Api]:
    """The application with an issuer, once its signing key is there."""
    async with issuing(settings) as service:
        yield service


class issuing(running):
    """The application with an issuer."""

    def __init__(self, settings: Any, **changes: Any) -> None:
        super().__init__(settings.model_copy(update={"issuer": ISSUER} | changes))

    async def __aenter__(self) -> Api:
        api = await super().__aenter__()
        async with asyncio.timeout(30):
            while (await api.client.get("/.well-known/jwks.json")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return api


def tokens_of(api: Api) -> Tokens:
    tokens: Tokens = api.app.state.tokens
    return tokens


async def exchange(api: Api, by: Person | str, **given: Any) -> Any:
    return (await api.data(EXCHANGE, {"i": given}, by))["exchangeApiKey"]


async def token_of(api: Api, by: Person | str, **given: Any) -> str:
    made = await exchange(api, by, **given)
    assert made["code"] == "VALID", made
    return str(made["accessToken"])


async def jwks(api: Api) -> Any:
    answer = await api.client.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    return answer.json()


def decoded(token: str, keys: Any, algorithm: str = "RS256") -> Any:
    """A token as a verifier reads it, who knows the JWKS alone."""
    return jwt.decode(token, KeySet.import_key_set(keys), algorithms=[algorithm])


async def test_a_token_is_as_rfc_9068_says_and_the_jwks_verifies_it(service: Api) -> None:
    key = await key_with(service, userId="ann", scopes=["orders:write", "identity:read"])
    made = await exchange(service, key)
    assert (made["code"], made["tokenType"]) == ("VALID", "Bearer")
    assert made["scopes"] == ["identity:read", "orders:write"]
    keys = await jwks(service)
    token = decoded(made["accessToken"], keys)
    (published,) = keys["keys"]
    assert token.header == {"typ": "at+jwt", "alg": "RS256", "kid": published["kid"]}
    assert published == {"kty": "RSA", "use": "sig", "alg": "RS256", **{n: published[n] for n in ("kid", "n", "e")}}
    assert RSAKey.import_key(published).thumbprint() == published["kid"]
    claims = token.claims
    assert claims["exp"] - claims["iat"] == 300
    assert abs(claims["iat"] - time.time()) < 30
    assert datetime.fromisoformat(made["expiresAt"]).timestamp() == claims["exp"]
    assert len(claims.pop("jti")) == 32
    assert {name: claims[name] for name in claims.keys() - {"iat", "exp"}} == {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": "ann",
        "client_id": key.key_id,
        "domain_id": "d1",
        "role": "USER",
        "scope": "identity:read orders:write",
        "secret_number": 0,
    }


async def test_no_list_has_no_scope_and_an_empty_list_an_empty_one(service: Api) -> None:
    keys = await jwks(service)
    none, empty = await service.make("USER"), await key_with(service, scopes=[])
    assert "scope" not in decoded(await token_of(service, none), keys).claims
    token = await token_of(service, empty)
    assert decoded(token, keys).claims["scope"] == ""
    assert await service.code(VIEWER, by=token) == "PERMISSION_DENIED"
    assert (await service.data(VIEWER, by=await token_of(service, none)))["viewer"]["scopes"] is None


async def test_a_token_ends_no_later_than_its_key_nor_its_secret(service: Api) -> None:
    system, keys = await service.make(), await jwks(service)
    end = (datetime.now(UTC) + timedelta(seconds=90)).replace(microsecond=999_000)
    key = await key_with(service, expiresAt=end.isoformat())
    assert decoded(await token_of(service, key, lifetimeSeconds=3600), keys).claims["exp"] == int(end.timestamp())
    key = await service.make("USER")
    rotate = """mutation($k: ID!) { rotateApiKey(input: {domainId: "d1", apiKeyId: $k, overlapSeconds: 70}) {
        apiKey secrets { expiresAt } } }"""
    rotated = (await service.data(rotate, {"k": key.key_id}, system))["rotateApiKey"]
    older = datetime.fromisoformat(rotated["secrets"][1]["expiresAt"])
    assert decoded(await token_of(service, key), keys).claims["exp"] == int(older.timestamp())
    assert decoded(await token_of(service, rotated["apiKey"]), keys).claims["exp"] > older.timestamp() + 200


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ({"lifetimeSeconds": 59}, "lifetimeSeconds"),
        ({"lifetimeSeconds": 3601}, "lifetimeSeconds"),
        ({"audience": "https://other.example"}, "audience"),
        ({"scopes": ["a b"]}, "scopes"),
        ({"scopes": ["identity:everything"]}, "scopes"),
    ],
)
async def test_a_bad_request_names_its_field(service: Api, given: Any, at: str) -> None:
    answer = await service.run(EXCHANGE, {"i": given}, await service.make())
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INVALID_ARGUMENT"
    assert error["message"].startswith(f"input.{at}") or error["message"].startswith(at), error


async def test_scopes_are_narrowed_and_never_widened(service: Api) -> None:
    key, keys = await key_with(service, scopes=["identity:read", "orders:read"]), await jwks(service)
    token = await token_of(service, key, scopes=["orders:read"])
    assert decoded(token, keys).claims["scope"] == "orders:read"
    assert await service.code(VIEWER, by=token) == "PERMISSION_DENIED"
    made = await exchange(service, key, scopes=["orders:read", "orders:write"])
    assert made == {
        "code": "INSUFFICIENT_SCOPE",
        "missingScopes": ["orders:write"],
        **dict.fromkeys(["accessToken", "tokenType", "expiresAt", "scopes"]),
    }
    # What the key loses, its token loses too.
    token = await token_of(service, key)
    update = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { scopes } }"
    given = {"domainId": "d1", "apiKeyId": key.key_id, "scopes": ["orders:read"]}
    await service.data(update, {"i": given}, await service.make())
    assert await service.code(VIEWER, by=token) == "PERMISSION_DENIED"


async def test_another_secret_is_exchanged_by_who_may_verify_it(service: Api) -> None:
    gateway, user, other = (
        await service.make("VERIFIER"),
        await service.make("USER", "d2", "u2"),
        await service.make("USER"),
    )
    made = await exchange(service, gateway, apiKey=user.secret)
    assert decoded(made["accessToken"], await jwks(service)).claims["client_id"] == user.key_id
    hidden, missing = [await exchange(service, other, apiKey=secret) for secret in (user.secret, make_secret())]
    assert hidden == missing
    assert hidden["code"] == "NOT_FOUND"
    await service.data(OFF, {"i": {"domainId": "d2", "apiKeyId": user.key_id}}, await service.make())
    assert (await exchange(service, gateway, apiKey=user.secret))["code"] == "DISABLED"
    assert await service.code(EXCHANGE, {"i": {}}) == "UNAUTHENTICATED"
    without = await key_with(service, scopes=["identity:read"])
    assert await service.code(EXCHANGE, {"i": {"apiKey": user.secret}}, without) == "PERMISSION_DENIED"
    bound = await key_with(service, allowedAddresses=["203.0.113.0/24"])
    assert (await exchange(service, await service.make(), apiKey=bound.secret))["code"] == "ADDRESS_NOT_ALLOWED"


async def test_a_token_opens_the_service_and_gives_no_other_token(service: Api) -> None:
    key = await service.make("DOMAIN_OWNER", "acme", "ann")
    token = await token_of(service, key)
    viewer = (await service.data(VIEWER, by=token))["viewer"]
    assert viewer == {"domainId": "acme", "userId": "ann", "role": "DOMAIN_OWNER", "scopes": None}
    rest = await service.client.post("/identity/v1/api-key/list", json={}, headers={"Authorization": f"Bearer {token}"})
    assert [one["api_key_id"] for one in rest.json()["results"]] == [key.key_id]
    assert await service.code(EXCHANGE, {"i": {}}, token) == "PERMISSION_DENIED"
    verified = await introspect(service, Person("", token, "", ""), token=key.secret)
    assert verified.json()["active"] is True
    # A retry derives its secret from the caller's own, which a token is not.
    create = 'mutation { createApiKey(input: {userId: "ann", requestId: "0123456789abcdef"}) { apiKeyId } }'
    assert await service.code(create, by=token) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("change", ["disable", "delete", "expire"])
async def test_a_token_is_refused_within_a_second_of_its_keys_end(service: Api, change: str) -> None:
    system, key = await service.make(), await service.make("USER")
    token = await token_of(service, key)
    gateway = await service.make("VERIFIER")
    async with issuing(service.settings) as other:
        for worker in (service, other):
            assert (await worker.send(VIEWER, by=token)).status_code == 200
        named = {"domainId": "d1", "apiKeyId": key.key_id}
        if change == "expire":
            soon = (datetime.now(UTC) + timedelta(milliseconds=500)).isoformat()  # a busy machine needs that
            update = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { state } }"
            await service.data(update, {"i": named | {"expiresAt": soon}}, system)
        else:
            await service.data(OFF if change == "disable" else DELETE, {"i": named}, system)
            assert (await service.send(VIEWER, by=token)).status_code == 401
        ended = time.monotonic()
        while time.monotonic() - ended < 0.9:
            await other.send(VIEWER, by=token)
            await asyncio.sleep(0.02)
        for worker in (service, other):
            refused = await worker.send(VIEWER, by=token)
            assert refused.status_code == 401
            assert "token" in refused.json()["errors"][0]["message"]
            assert (await ask(worker, token)).status_code == 401
            assert (await introspect(worker, gateway, token=token)).json() == {"active": False}


async def test_a_token_ends_with_the_secret_that_it_was_made_for(service: Api) -> None:
    system, key = await service.make(), await service.make("USER")
    token = await token_of(service, key)
    rotate = """mutation($k: ID!, $s: Int!) {
        rotateApiKey(input: {domainId: "d1", apiKeyId: $k, overlapSeconds: $s}) { apiKey } }"""
    newer = (await service.data(rotate, {"k": key.key_id, "s": 600}, system))["rotateApiKey"]["apiKey"]
    assert (await service.send(VIEWER, by=token)).status_code == 200
    of_newer = await token_of(service, newer)
    end = 'mutation($k: ID!) { endApiKeyOverlap(input: {domainId: "d1", apiKeyId: $k}) { state } }'
    await service.data(end, {"k": key.key_id}, system)
    assert [(await service.send(VIEWER, by=one)).status_code for one in (token, of_newer)] == [401, 200]
    await service.data(rotate, {"k": key.key_id, "s": 0}, system)
    assert (await service.send(VIEWER, by=of_newer)).status_code == 401


async def test_the_token_of_an_older_secret_manages_no_keys_once_the_newer_is_used(service: Api) -> None:
    system, key = await service.make(), await service.make("DOMAIN_OWNER")
    rotate = 'mutation($k: ID!) { rotateApiKey(input: {domainId: "d1", apiKeyId: $k}) { apiKey } }'
    newer = (await service.data(rotate, {"k": key.key_id}, system))["rotateApiKey"]["apiKey"]
    token = await token_of(service, key)
    await service.data(VIEWER, by=newer)
    await service.uses_written()
    await asyncio.sleep(0.6)
    assert await service.code(rotate, {"k": key.key_id}, token) == "PERMISSION_DENIED"


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def resigned(key: Any, header: Any, claims: Any) -> str:
    return jwt.encode(header, claims, key.key, algorithms=[key.algorithm])


def hs256(key: Any, header: Any, claims: Any) -> str:
    text = f"{part(header | {'alg': 'HS256'})}.{part(claims)}"
    pem = key.key.as_pem(private=False)
    return f"{text}.{base64.urlsafe_b64encode(hmac.digest(pem, text.encode(), hashlib.sha256)).rstrip(b'=').decode()}"


def by_hand(key: Any, header: Any, claims: Any) -> str:
    """Signed with our key, whatever the header says: the library refuses to make some of these."""
    text = f"{part(header)}.{part(claims)}"
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    signature = key.key.private_key.sign(text.encode(), PKCS1v15(), SHA256())
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


FORGED: dict[str, Any] = {
    "HS256 with the public key": hs256,
    "none": lambda k, h, c: f"{part(h | {'alg': 'none'})}.{part(c)}.",
    "none, with the signature": lambda k, h, c: (
        f"{part(h | {'alg': 'none'})}.{part(c)}.{resigned(k, h, c).split('.')[2]}"
    ),
    "other claims under the signature": lambda k, h, c: ".".join(
        [part(h), part(c | {"sub": "root"}), resigned(k, h, c).split(".")[2]]
    ),
    "a key of its own": lambda k, h, c: jwt.encode(h, c, RSAKey.generate_key(2048, private=True), algorithms=["RS256"]),
    "a key of its own in jwk": lambda k, h, c: by_hand(k, h | {"jwk": k.key.as_dict(private=False)}, c),
    "jku": lambda k, h, c: by_hand(k, h | {"jku": "https://evil.example/jwks.json"}, c),
    "x5u": lambda k, h, c: by_hand(k, h | {"x5u": "https://evil.example/x.pem"}, c),
    "crit": lambda k, h, c: by_hand(k, h | {"crit": ["exp"]}, c),
    "b64 in crit": lambda k, h, c: by_hand(k, h | {"crit": ["b64"], "b64": True}, c),
    "unknown kid": lambda k, h, c: by_hand(k, h | {"kid": "other"}, c),
    "no kid": lambda k, h, c: by_hand(k, {n: v for n, v in h.items() if n != "kid"}, c),
    "kid that is no text": lambda k, h, c: by_hand(k, h | {"kid": ["x"]}, c),
    "an OIDC id token": lambda k, h, c: by_hand(k, h | {"typ": "JWT"}, c),
    "no typ": lambda k, h, c: by_hand(k, {n: v for n, v in h.items() if n != "typ"}, c),
    "another alg in the header": lambda k, h, c: by_hand(k, h | {"alg": "PS256"}, c),
    "iss as an array": lambda k, h, c: by_hand(k, h, c | {"iss": [ISSUER]}),
    "another iss": lambda k, h, c: by_hand(k, h, c | {"iss": "https://evil.example"}),
    "iss with a slash": lambda k, h, c: by_hand(k, h, c | {"iss": f"{ISSUER}/"}),
    "aud as an array": lambda k, h, c: by_hand(k, h, c | {"aud": [ISSUER]}),
    "another aud": lambda k, h, c: by_hand(k, h, c | {"aud": "https://other.example"}),
    "no aud": lambda k, h, c: by_hand(k, h, {n: v for n, v in c.items() if n != "aud"}),
    "over": lambda k, h, c: by_hand(k, h, c | {"exp": int(time.time())}),
    "no exp": lambda k, h, c: by_hand(k, h, {n: v for n, v in c.items() if n != "exp"}),
    "exp as a text": lambda k, h, c: by_hand(k, h, c | {"exp": str(c["exp"])}),
    "exp as a boolean": lambda k, h, c: by_hand(k, h, c | {"exp": True}),
    "exp as infinity": lambda k, h, c: by_hand(k, h, c | {"exp": float("inf")}),
    "another sub": lambda k, h, c: by_hand(k, h, c | {"sub": "root"}),
    "another domain": lambda k, h, c: by_hand(k, h, c | {"domain_id": "d2"}),
    "another key": lambda k, h, c: by_hand(k, h, c | {"client_id": "api-key-0"}),
    "a secret that it never had": lambda k, h, c: by_hand(k, h, c | {"secret_number": 7}),
    "an operator as a client": lambda k, h, c: by_hand(k, h, c | {"client_id": {"$gt": ""}}),
    "claims that are no object": lambda k, h, c: by_hand(k, h, [c]),
    "a signature too many": lambda k, h, c: resigned(k, h, c) + ".x",
    "too long": lambda k, h, c: by_hand(k, h, c | {"pad": "x" * 12_300}),
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_is_refused_by_every_door(service: Api, name: str) -> None:
    key, gateway = await service.make("USER"), await service.make("VERIFIER")
    signing = tokens_of(service).keys.current
    genuine = jwt.decode(await token_of(service, key), signing.key, algorithms=["RS256"])
    assert (await service.send(VIEWER, by=by_hand(signing, genuine.header, genuine.claims))).status_code == 200
    token = FORGED[name](signing, dict(genuine.header), dict(genuine.claims))
    assert (await service.send(VIEWER, by=token)).status_code == 401
    assert (await ask(service, token)).status_code == 401
    assert (await introspect(service, gateway, token=token)).json() == {"active": False}


async def test_a_token_for_another_audience_does_not_open_this_service(service: Api) -> None:
    other = "https://orders.example"
    async with issuing(service.settings, audiences=("https://api.example", other)) as two:
        key, gateway = await two.make("USER"), await two.make("VERIFIER")
        first, second = await token_of(two, key), await token_of(two, key, audience=other)
        assert decoded(first, await jwks(two)).claims["aud"] == "https://api.example"
        assert [(await two.send(VIEWER, by=token)).status_code for token in (first, second)] == [200, 401]
        assert (await introspect(two, gateway, token=second)).json()["aud"] == other


async def test_introspection_of_a_token_has_its_claims(service: Api) -> None:
    key, gateway = await key_with(service, scopes=["b", "a"]), await service.make("VERIFIER")
    token = await token_of(service, key)
    claims = (await introspect(service, gateway, token=token)).json()
    told = decoded(token, await jwks(service)).claims
    assert claims.pop("active") is True
    assert claims.pop("token_type") == "Bearer"
    assert claims == {name: value for name, value in told.items() if name != "secret_number"}
    other = await service.make("USER", "d2")
    assert (await introspect(service, other, token=token)).json() == {"active": False}


async def test_introspections_of_tokens_are_counted_and_are_uses_of_their_keys(service: Api) -> None:
    gateway, key, system = await service.make("VERIFIER"), await service.make("USER"), await service.make()
    update = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { id } }"
    given = {"domainId": "d1", "apiKeyId": key.key_id, "allowedAddresses": ["203.0.113.0/24"]}
    token = await token_of(service, key)
    other = await service.make("USER", "d2")
    assert (await introspect(service, other, token=token)).json() == {"active": False}
    await service.data(update, {"i": given}, system)
    for address, active in (("203.0.113.7", True), ("203.0.113.8", True), ("192.0.2.1", False)):
        told = (await introspect(service, gateway, token=token, client_address=address)).json()
        assert told["active"] is active
    await written(service)
    await service.app.state.api_keys.uses.last_uses.write()
    # The first one is that of `exchangeApiKey` itself.
    assert await counts(service, key, system) == {"VALID": 3, "ADDRESS_NOT_ALLOWED": 1}
    query = "query($i: GetAPIKeyRequest!) { apiKey(input: $i) { lastAccessedAt } }"
    read = await service.data(query, {"i": {"apiKeyId": key.key_id, "domainId": "d1"}}, system)
    assert read["apiKey"]["lastAccessedAt"]


@pytest.mark.parametrize("end", ["DISABLED", "EXPIRED", "ROTATED"])
async def test_the_token_of_a_key_that_has_ended_is_told_counted_and_logged_by_its_key(service: Api, end: str) -> None:
    gateway, key, system = await service.make("VERIFIER"), await service.make("USER"), await service.make()
    token = await token_of(service, key)
    named = {"domainId": "d1", "apiKeyId": key.key_id}
    if end == "DISABLED":
        await service.data(OFF, {"i": named}, system)
    elif end == "ROTATED":
        rotate = "mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { id } }"
        await service.data(rotate, {"i": {**named, "overlapSeconds": 0}}, system)
    else:
        with mongo_client(service.settings) as client:
            past = {"$set": {"expires_at": datetime.now(UTC) - timedelta(seconds=1)}}
            client.get_default_database().api_keys.update_one({"_id": key.key_id}, past)
    await asyncio.sleep(0.6)
    assert (await introspect(service, gateway, token=token)).json() == {"active": False}
    with capture_logs() as lines:
        assert (await service.send(VIEWER, by=token)).status_code == 401
    assert [line["api_key_id"] for line in lines if line.get("outcome") == end] == [key.key_id]
    await written(service)
    assert await counts(service, key, system) == {"VALID": 1, end: 2}
    # A token is no secret: whoever sends the ended secret itself is still told of.
    await service.app.state.api_keys.uses.stale_secrets.write()
    with mongo_client(service.settings) as client:
        entries = client.get_default_database().audit.find({"api_key_id": key.key_id}).to_list()
    assert "STALE_SECRET_USED" not in [entry["action"] for entry in entries]


async def test_authz_gives_a_token_to_pass_on_and_reuses_it(service: Api) -> None:
    key = await key_with(service, scopes=["orders:read"])
    first, second = [(await ask(service, key.secret)).headers["Authorization"] for _ in range(2)]
    assert first == second
    scheme, token = first.split()
    assert scheme == "Bearer"
    assert decoded(token, await jwks(service)).claims["scope"] == "orders:read"
    assert key.secret not in first
    # A token is passed on as it came.
    assert (await ask(service, token)).headers["Authorization"] == first
    # Another secret, or other scopes, have a token of their own.
    update = "mutation($i: UpdateAPIKeyRequest!) { updateApiKey(input: $i) { scopes } }"
    given = {"domainId": "d1", "apiKeyId": key.key_id, "scopes": []}
    await service.data(update, {"i": given}, await service.make())
    third = (await ask(service, key.secret)).headers["Authorization"]
    assert decoded(third.split()[1], await jwks(service)).claims["scope"] == ""


async def test_a_kept_token_is_replaced_at_half_of_its_life(service: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    key, real = await service.make("USER"), time.time
    first = (await ask(service, key.secret)).headers["Authorization"]
    exp = decoded(first.split()[1], await jwks(service)).claims["exp"]
    monkeypatch.setattr(time, "time", lambda: exp - 150.5)
    assert (await ask(service, key.secret)).headers["Authorization"] == first
    monkeypatch.setattr(time, "time", lambda: exp - 149.5)
    assert (await ask(service, key.secret)).headers["Authorization"] != first
    assert real() < exp


async def test_the_longest_token_passes_every_bound(service: Api) -> None:
    scopes = [f"{number:03}{'s' * 37}" for number in range(100)]
    key = await key_with(service, domainId="𝄞" * 255, userId="𝄞" * 255, scopes=[*scopes, "identity:read"][1:])
    token = await token_of(service, key)
    assert (await service.data(VIEWER, by=token))["viewer"]["userId"] == "𝄞" * 255


async def post_token(api: Api, auth: Any = None, **form: Any) -> httpx.Response:
    return await api.client.post("/token", data=form, auth=auth)


async def test_an_oauth_client_gets_a_token_by_basic_and_by_form(service: Api) -> None:
    key = await key_with(service, scopes=["orders:read", "orders:write"])
    basic = await post_token(service, (key.key_id, key.secret), grant_type="client_credentials")
    form = {"client_id": key.key_id, "client_secret": key.secret, "grant_type": "client_credentials"}
    for answer in (basic, await post_token(service, **form)):
        assert answer.status_code == 200, answer.text
        assert "no-store" in answer.headers["Cache-Control"]
        told = answer.json()
        assert (told["token_type"], told["scope"]) == ("Bearer", "orders:read orders:write")
        assert 290 < told["expires_in"] <= 300
        assert decoded(told["access_token"], await jwks(service)).claims["client_id"] == key.key_id
    narrowed = await post_token(service, **form, scope="orders:read")
    assert narrowed.json()["scope"] == "orders:read"
    assert (await post_token(service, **form, resource=ISSUER)).status_code == 200


async def test_the_token_endpoint_refuses_as_oauth_says(service: Api) -> None:
    key, other = await key_with(service, scopes=["a"]), await service.make("USER")
    grant = {"grant_type": "client_credentials"}
    form = {"client_id": key.key_id, "client_secret": key.secret}
    cases: list[tuple[int, str, Any, dict[str, Any]]] = [
        (401, "invalid_client", None, grant),
        (401, "invalid_client", (key.key_id, make_secret()), grant),
        (401, "invalid_client", (other.key_id, key.secret), grant),
        (401, "invalid_client", None, grant | {"client_id": key.key_id}),
        (400, "invalid_request", (key.key_id, key.secret), grant | form),
        (400, "invalid_request", None, form),
        (400, "invalid_request", None, form | {"grant_type": ""}),
        (400, "unsupported_grant_type", None, form | {"grant_type": "password"}),
        (400, "invalid_scope", None, form | grant | {"scope": "a b"}),
        (400, "invalid_scope", None, form | grant | {"scope": 'a"b'}),
        (400, "invalid_target", None, form | grant | {"audience": "https://other.example"}),
        (400, "invalid_target", None, form | grant | {"audience": ISSUER, "resource": "https://other.example"}),
        (400, "invalid_request", None, form | {"grant_type": ["client_credentials", "password"]}),
        (400, "invalid_request", (key.key_id, key.secret), grant | {"client_id": other.key_id}),
        (400, "invalid_request", None, form | grant | {f"more{number}": "x" for number in range(20)}),
    ]
    for status, code, auth, given in cases:
        answer = await post_token(service, auth, **given)
        assert (answer.status_code, answer.json()["error"]) == (status, code), given
        assert key.secret not in answer.text
        assert answer.headers.get("WWW-Authenticate", "Basic").startswith("Basic")
    header = {"Authorization": f"Bearer {key.secret}"}
    assert (await service.client.post("/token", data=grant, headers=header)).status_code == 401
    agreeing = grant | {"client_id": key.key_id, "audience": ISSUER, "resource": ISSUER}
    assert (await post_token(service, (key.key_id, key.secret), **agreeing)).status_code == 200
    empty = grant | {"client_id": "", "client_secret": "", "scope": "", "audience": ""}  # as if they were absent
    assert (await post_token(service, (key.key_id, key.secret), **empty)).status_code == 200
    token = await token_of(service, key)
    assert (await post_token(service, (key.key_id, token), **grant)).status_code == 401
    assert (await service.client.get("/token")).status_code == 405
    assert (await service.client.post("/token", json=grant)).status_code == 415


async def test_the_metadata_names_what_there_is(service: Api) -> None:
    for name in ("oauth-authorization-server", "openid-configuration"):
        answer = await service.client.get(f"/.well-known/{name}")
        told = answer.json()
        assert told["issuer"] == ISSUER
        assert told["token_endpoint"] == f"{ISSUER}/token"
        assert "client_secret_basic" in told["introspection_endpoint_auth_methods_supported"]
        assert "max-age=300" in answer.headers["Cache-Control"]
        keys = await service.client.get(told["jwks_uri"].removeprefix(ISSUER))
        assert keys.headers["Cache-Control"] == "public, max-age=300"
        assert keys.json()["keys"]


async def test_es256_by_setting(settings: Any) -> None:
    async with issuing(settings, signing_algorithm="ES256") as service:
        key, keys = await service.make("USER"), await jwks(service)
        token = await token_of(service, key)
        assert decoded(token, keys, "ES256").header["alg"] == "ES256"
        assert ECKey.import_key(keys["keys"][0]).thumbprint() == keys["keys"][0]["kid"]
        assert (await service.send(VIEWER, by=token)).status_code == 200


@pytest.mark.parametrize("path", ["/token", "/.well-known/jwks.json", "/.well-known/openid-configuration"])
async def test_without_an_issuer_no_route_answers(api: Api, path: str) -> None:
    for method in ("GET", "POST"):
        assert (await api.client.request(method, path)).status_code == 404
    assert await api.code(EXCHANGE, {"i": {}}, await api.make()) == "FAILED_PRECONDITION"
    assert "Authorization" not in (await ask(api, (await api.make()).secret)).headers


def test_without_an_issuer_nothing_of_tokens_is_imported() -> None:
    # Nor by PyMongo, which uses cryptography only with service-identity.
    code = """
import sys
from importlib.util import find_spec
from gql_identity.app import create_app
from gql_identity.settings import Settings
create_app(Settings(mongo_uri="mongodb://127.0.0.1:1/x", pepper="p" * 32))
tokens = ("joserfc", "gql_identity.tokens", *([] if find_spec("service_identity") else ["cryptography"]))
loaded = [name for name in sys.modules if name.startswith(tokens)]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class ReadingSlowly(Revocations):
    """Revocations whose reads end when they are told to."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, 60.0)
        self.goes_on, self.has_read = asyncio.Event(), asyncio.Event()

    async def revoked(self, token_ids: Collection[str]) -> set[str]:
        found = await super().revoked(token_ids)
        self.has_read.set()
        await self.goes_on.wait()
        return found


async def test_a_read_that_began_before_a_revocation_does_not_undo_it(settings: Settings) -> None:
    async with asyncio.timeout(30), Database(settings) as database:
        await database.prepare()
        revocations = ReadingSlowly(database)
        asked = asyncio.ensure_future(revocations.is_revoked("t"))
        await revocations.has_read.wait()
        await revocations.revoke("t", datetime.now(UTC) + timedelta(hours=1))
        revocations.goes_on.set()
        assert await asked
        assert await revocations.is_revoked("t")


async def test_what_is_known_of_tokens_is_bounded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gql_identity.keys.revocations.MAX_KNOWN", 3)
    async with asyncio.timeout(30), Database(settings) as database:
        await database.prepare()
        revocations = Revocations(database, 60.0)
        for number in range(5):
            await revocations.revoke(f"t{number}", datetime.now(UTC) + timedelta(hours=1))
            assert not await revocations.is_revoked(f"other {number}")
        assert len(revocations._known) == 3
        assert await revocations.is_revoked("t0")


async def test_past_so_many_keys_the_oldest_kept_token_gives_way(service: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gql_identity.tokens.exchange.MAX_KEPT", 2)
    keys = [await service.make("USER") for _ in range(3)]
    first = [(await ask(service, key.secret)).headers["Authorization"] for key in keys]
    assert [(await ask(service, key.secret)).headers["Authorization"] for key in keys[1:]] == first[1:]
    assert (await ask(service, keys[0].secret)).headers["Authorization"] != first[0]
    assert len(tokens_of(service)._kept) == 2
