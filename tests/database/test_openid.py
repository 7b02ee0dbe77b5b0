"""People with a token of an OpenID issuer: who they are here, what they may, and which tokens are refused."""

import asyncio
import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gql_identity.app import create_app
from gql_identity.errors import StartError, Unauthenticated
from gql_identity.issuers import OpenIDIssuer
from gql_identity.secret import make_secret
from gql_identity.settings import Settings
from gql_identity.tokens import people
from gql_identity.web.websocket import PROTOCOL
from tests.conftest import Api, Person, listening, running
from tests.database.test_forward_auth import ask, key_with
from tests.database.test_subscriptions import CHANGED, change, connected
from tests.database.test_tokens import by_hand, issuing, part, token_of
from tests.database.test_verification import introspect
from tests.openid import ALGORITHMS, AUDIENCE, Provider

VIEWER = "{ viewer { domainId userId role scopes issuer apiKeyInfo { apiKeyId } } }"
CREATE = """mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) {
    apiKeyId apiKey createdBy createdByUserId expiresAt scopes role } }"""
LIST = "/identity/v1/api-key/list"


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


class with_people(running):
    """The application with a provider as issuer."""

    def __init__(self, settings: Settings, provider: Provider, /, changes: Any = None, **mapping: Any) -> None:
        mapping = {"issuer": provider.issuer, "audience": AUDIENCE, "domain": "d1"} | mapping
        issuer = OpenIDIssuer(**{name: value for name, value in mapping.items() if value is not None})
        super().__init__(settings.model_copy(update={"issuers": (issuer,)} | (changes or {})))


@pytest.fixture
async def service(settings: Settings, provider: Provider) -> AsyncIterator[Api]:
    async with with_people(settings, provider) as service:
        yield service


async def status(api: Api, token: str) -> int:
    """The status of every door, which must be the same."""
    headers = {"Authorization": f"Bearer {token}"}
    found = {
        (await api.send(VIEWER, by=token)).status_code,
        (await api.client.post(LIST, json={}, headers=headers)).status_code,
        (await ask(api, token)).status_code,
        (await introspect(api, Person("", token, "", ""), token="x")).status_code,
    }
    (one,) = found
    return int(one)


async def test_a_person_is_told_by_viewer_and_opens_every_door(service: Api, provider: Provider) -> None:
    token = provider.token()
    assert (await service.data(VIEWER, by=token))["viewer"] == {
        "domainId": "d1",
        "userId": "ann",
        "role": "USER",
        "scopes": None,
        "issuer": provider.issuer,
        "apiKeyInfo": None,
    }
    assert await status(service, token) == 200
    assert (await service.data(VIEWER, by=await service.make("USER")))["viewer"]["issuer"] is None
    authz = await ask(service, token)
    told = [authz.headers[f"X-Auth-{name}"] for name in ("Key-Id", "User", "Domain", "Role")]
    assert told == ["", "ann", "d1", "USER"]


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "EdDSA"])
async def test_every_algorithm_of_the_list_is_accepted(service: Api, provider: Provider, algorithm: str) -> None:
    provider.keys = {}
    provider.add("first", "Ed25519" if algorithm == "EdDSA" else algorithm)
    if algorithm == "EdDSA":
        claims = provider.claims()
        text = f"{part({'alg': 'EdDSA', 'kid': 'first'})}.{part(claims)}"
        signature = base64.urlsafe_b64encode(provider.keys["first"].private_key.sign(text.encode()))
        token = f"{text}.{signature.rstrip(b'=').decode()}"
    else:
        token = provider.token(algorithm=algorithm)
    assert await status(service, token) == 200


class _Signing:
    """What the forgeries of the tokens of ours ask of a signing key."""

    def __init__(self, key: Any) -> None:
        self.key, self.algorithm = key, "RS256"


def octets(key: Any, header: Any, claims: Any, secret: bytes) -> str:
    text = f"{part(header | {'alg': 'HS256'})}.{part(claims)}"
    signature = hmac.digest(secret, text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def without(value: Any, *names: str) -> Any:
    return {name: one for name, one in value.items() if name not in names}


def of_another_key(key: Any, header: Any, claims: Any) -> str:
    other = RSAKey.generate_key(2048, private=True)
    return by_hand(_Signing(other), header | {"jwk": other.as_dict(private=False)}, claims)


FORGED: dict[str, Any] = {
    "HS256 with the public key": lambda k, h, c: octets(k, h, c, k.key.as_pem(private=False)),
    "HS256 with the public JWK": lambda k, h, c: octets(k, h, c, json.dumps(k.key.as_dict(private=False)).encode()),
    "none": lambda k, h, c: f"{part(h | {'alg': 'none'})}.{part(c)}.",
    "none in other letters": lambda k, h, c: f"{part(h | {'alg': 'nOnE'})}.{part(c)}.",
    "other claims under the signature": lambda k, h, c: ".".join(
        [part(h), part(c | {"sub": "root"}), by_hand(k, h, c).split(".")[2]]
    ),
    "no signature": lambda k, h, c: ".".join([*by_hand(k, h, c).split(".")[:2], ""]),
    "a key of its own in jwk": of_another_key,
    "a key of its own by jku": lambda k, h, c: of_another_key(k, h | {"jku": "http://127.0.0.1:1/keys"}, c),
    "crit": lambda k, h, c: by_hand(k, h | {"crit": ["exp"]}, c),
    "b64": lambda k, h, c: by_hand(k, h | {"crit": ["b64"], "b64": True}, c),
    "unknown kid": lambda k, h, c: by_hand(k, h | {"kid": "other"}, c),
    "no kid": lambda k, h, c: by_hand(k, without(h, "kid"), c),
    "kid that is no text": lambda k, h, c: by_hand(k, h | {"kid": ["first"]}, c),
    "another alg in the header": lambda k, h, c: by_hand(k, h | {"alg": "PS256"}, c),
    "an alg of another kind of key": lambda k, h, c: by_hand(k, h | {"alg": "ES256"}, c),
    "alg that is no text": lambda k, h, c: by_hand(k, h | {"alg": ["RS256"]}, c),
    "a logout token": lambda k, h, c: by_hand(k, h | {"typ": "logout+jwt"}, c),
    "a DPoP proof": lambda k, h, c: by_hand(k, h | {"typ": "dpop+jwt"}, c),
    "typ that is no text": lambda k, h, c: by_hand(k, h | {"typ": 1}, c),
    "an id token": lambda k, h, c: by_hand(k, h | {"typ": "JWT"}, c | {"nonce": "n"}),
    "an id token with at_hash": lambda k, h, c: by_hand(k, h | {"typ": "JWT"}, c | {"at_hash": "n"}),
    "an id token of Keycloak": lambda k, h, c: by_hand(k, h | {"typ": "JWT"}, c | {"typ": "ID"}),
    "an id token of Cognito": lambda k, h, c: by_hand(k, h | {"typ": "JWT"}, c | {"token_use": "id"}),
    "a token bound to a key": lambda k, h, c: by_hand(k, h, c | {"cnf": {"jkt": "x"}}),
    "iss as an array": lambda k, h, c: by_hand(k, h, c | {"iss": [c["iss"]]}),
    "another iss": lambda k, h, c: by_hand(k, h, c | {"iss": "https://evil.example"}),
    "iss with a slash": lambda k, h, c: by_hand(k, h, c | {"iss": f"{c['iss']}/"}),
    "no iss": lambda k, h, c: by_hand(k, h, without(c, "iss")),
    "another aud": lambda k, h, c: by_hand(k, h, c | {"aud": "https://other.example"}),
    "other auds": lambda k, h, c: by_hand(k, h, c | {"aud": ["https://other.example", f"{AUDIENCE}/"]}),
    "aud as an object": lambda k, h, c: by_hand(k, h, c | {"aud": {AUDIENCE: True}}),
    "no aud": lambda k, h, c: by_hand(k, h, without(c, "aud")),
    "over": lambda k, h, c: by_hand(k, h, c | {"exp": int(time.time()) - 61}),
    "no exp": lambda k, h, c: by_hand(k, h, without(c, "exp")),
    "exp as a text": lambda k, h, c: by_hand(k, h, c | {"exp": str(c["exp"])}),
    "exp as a boolean": lambda k, h, c: by_hand(k, h, c | {"exp": True}),
    "exp as infinity": lambda k, h, c: by_hand(k, h, c | {"exp": float("inf")}),
    "exp beyond all times": lambda k, h, c: by_hand(k, h, c | {"exp": 10**30}),
    "not yet": lambda k, h, c: by_hand(k, h, c | {"nbf": int(time.time()) + 90}),
    "nbf as a text": lambda k, h, c: by_hand(k, h, c | {"nbf": "0"}),
    "nbf as null": lambda k, h, c: by_hand(k, h, c | {"nbf": None}),
    "no sub": lambda k, h, c: by_hand(k, h, without(c, "sub")),
    "an empty sub": lambda k, h, c: by_hand(k, h, c | {"sub": ""}),
    "an operator as sub": lambda k, h, c: by_hand(k, h, c | {"sub": {"$gt": ""}}),
    "a sub with a line break": lambda k, h, c: by_hand(k, h, c | {"sub": "ann\nd2"}),
    "a secret as sub": lambda k, h, c: by_hand(k, h, c | {"sub": f"ann {make_secret()}"}),
    "a sub that is too long": lambda k, h, c: by_hand(k, h, c | {"sub": "a" * 256}),
    "claims that are no object": lambda k, h, c: by_hand(k, h, [c]),
    "a signature too many": lambda k, h, c: by_hand(k, h, c) + ".x",
    "too long": lambda k, h, c: by_hand(k, h, c | {"pad": "x" * 16_384}),
}


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_is_refused_by_every_door(service: Api, provider: Provider, name: str) -> None:
    header, claims = {"alg": "RS256", "kid": "first", "typ": "at+jwt"}, provider.claims()
    signing = _Signing(provider.keys["first"])
    assert await status(service, by_hand(signing, header, claims)) == 200
    assert await status(service, FORGED[name](signing, header, claims)) == 401


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "JWT"}, {}),
        ({"typ": "application/at+jwt"}, {}),
        ({"typ": None}, {}),
        ({"jku": "http://127.0.0.1:1/keys", "x5t": "x", "x5u": "https://a.example/x.pem", "own": [1]}, {}),
        ({}, {"aud": ["https://other.example", AUDIENCE]}),
        ({}, {"exp": time.time() + 86_000.5}),
        ({}, {"exp": -40, "nbf": 40}),  # from now
    ],
)
async def test_what_issuers_do_is_accepted(service: Api, provider: Provider, header: Any, claims: Any) -> None:
    sent = {name: v for name, v in ({"alg": "RS256", "kid": "first"} | header).items() if v is not None}
    if "nbf" in claims:
        claims = {name: int(time.time()) + seconds for name, seconds in claims.items()}
    assert await status(service, by_hand(_Signing(provider.keys["first"]), sent, provider.claims(**claims))) == 200
    assert provider.asked.count("/keys") == 1


ROLES = {"roles_claim": "groups", "roles": {"gateways": "VERIFIER", "owners": "DOMAIN_OWNER"}}
MAPPED: dict[str, tuple[Any, Any, Any]] = {
    "a claim as the domain": ({"domain": None, "domain_claim": "tenant"}, {"tenant": "acme"}, {"domainId": "acme"}),
    "a path as the domain": (
        {"domain": None, "domain_claim": ["org", "id"]},
        {"org": {"id": "acme"}},
        {"domainId": "acme"},
    ),
    "another claim as the user": ({"user_claim": "email"}, {"email": "ann@a.example"}, {"userId": "ann@a.example"}),
    "no role": (ROLES, {}, {"role": "USER"}),
    "unknown groups": (ROLES, {"groups": ["SYSTEM", "DOMAIN_OWNER", 1, None]}, {"role": "USER"}),
    "a group": (ROLES, {"groups": "gateways"}, {"role": "VERIFIER"}),
    "the highest of its groups": (ROLES, {"groups": ["owners", "gateways"]}, {"role": "DOMAIN_OWNER"}),
    "SYSTEM, named outright": (
        {"roles_claim": ["realm_access", "roles"], "roles": {"root": "SYSTEM"}},
        {"realm_access": {"roles": ["root"]}},
        {"role": "SYSTEM"},
    ),
    "scopes as a text": (
        {"scopes_claim": "scope"},
        {"scope": "openid identity:read identity:all"},
        {"scopes": ["identity:read", "openid"]},
    ),
    "scopes as a list": ({"scopes_claim": "scp"}, {"scp": ["identity:read", 'a"b', 3]}, {"scopes": ["identity:read"]}),
    "scopes that nobody asks for": ({}, {"scope": "orders:read"}, {"scopes": None}),
}


@pytest.mark.parametrize("name", MAPPED)
async def test_claims_say_who_a_person_is(settings: Settings, provider: Provider, name: str) -> None:
    mapping, claims, expected = MAPPED[name]
    async with with_people(settings, provider, **mapping) as service:
        viewer = (await service.data(VIEWER, by=provider.token(**claims)))["viewer"]
    assert {field: viewer[field] for field in expected} == expected


@pytest.mark.parametrize("claims", [{}, {"tenant": ["acme"]}, {"tenant": " acme"}, {"tenant": ""}, {"tenant": 7}])
async def test_without_the_claim_of_the_domain_nobody_comes_in(
    settings: Settings, provider: Provider, claims: Any
) -> None:
    async with with_people(settings, provider, domain=None, domain_claim="tenant") as service:
        assert await status(service, provider.token(**claims)) == 401


@pytest.mark.parametrize("claims", [{}, {"scope": ""}, {"scope": 7}, {"scope": {"identity:read": 1}}])
async def test_without_the_claim_of_the_scopes_a_person_may_do_nothing(
    settings: Settings, provider: Provider, claims: Any
) -> None:
    async with with_people(settings, provider, scopes_claim="scope") as service:
        token = provider.token(**claims)
        assert await service.code(VIEWER, by=token) == "PERMISSION_DENIED"
        assert (await ask(service, token)).headers["X-Auth-Scopes"] == ""
        assert await service.code(CREATE, {"i": {"userId": "ann"}}, token) == "PERMISSION_DENIED"


async def test_a_person_makes_keys_that_tell_their_maker_and_outlive_the_token(
    service: Api, provider: Provider
) -> None:
    token = provider.token()
    made = (await service.data(CREATE, {"i": {"userId": "ann"}}, token))["createApiKey"]
    key = Person(made["apiKeyId"], made["apiKey"], "d1", "ann")
    assert without(made, "apiKeyId", "apiKey") == {
        "createdBy": None,
        "createdByUserId": "ann",
        "expiresAt": None,
        "scopes": None,
        "role": "USER",
    }
    child = (await service.data(CREATE, {"i": {"userId": "ann"}}, key))["createApiKey"]
    assert (child["createdBy"], child["createdByUserId"]) == (key.key_id, None)
    system = await service.make()
    found = "query($f: APIKeyFilter) { apiKeysConnection(filter: $f, first: 9) { nodes { apiKeyId } } }"
    answer = await service.data(found, {"f": {"createdByUserId": "ann"}}, system)
    assert answer["apiKeysConnection"]["nodes"] == [{"apiKeyId": key.key_id}]
    condition = {"query": {"filter": [{"k": "created_by_user_id", "v": "ann", "o": "eq"}]}}
    rest = await service.client.post(LIST, json=condition, headers={"Authorization": f"Bearer {token}"})
    assert [(one["api_key_id"], one["created_by_user_id"]) for one in rest.json()["results"]] == [(key.key_id, "ann")]
    headers = {"Authorization": f"Bearer {token}"}
    rest = await service.client.post("/identity/v1/api-key/create", json={"user_id": "ann"}, headers=headers)
    assert (rest.json()["created_by"], rest.json()["created_by_user_id"]) == (None, "ann")


async def test_the_audit_log_names_the_person_and_the_issuer(service: Api, provider: Provider) -> None:
    token, system = provider.token(), await service.make()
    key = (await service.data(CREATE, {"i": {"userId": "ann"}}, token))["createApiKey"]
    await change(service, "disableApiKey", Person("", token, "", ""), Person(key["apiKeyId"], "", "d1", "ann"))
    await change(service, "enableApiKey", system, Person(key["apiKeyId"], "", "d1", "ann"))
    query = """query($a: ID) { apiKeyAudit(actorId: $a, first: 9) { nodes {
        action intact actor { kind apiKeyId userId domainId issuer role } } } }"""
    entries = (await service.data(query, {"a": "ann"}, system))["apiKeyAudit"]["nodes"]
    assert [entry["action"] for entry in entries] == ["CREATED", "DISABLED"]
    assert all(entry["intact"] for entry in entries)
    assert entries[0]["actor"] == {
        "kind": "PERSON",
        "apiKeyId": None,
        "userId": "ann",
        "domainId": "d1",
        "issuer": provider.issuer,
        "role": "USER",
    }


async def test_a_person_may_what_a_user_key_may_and_no_more(service: Api, provider: Provider) -> None:
    token = provider.token()
    own, other = [await service.make("USER", "d1", user) for user in ("ann", "bob")]
    owner = await service.make("DOMAIN_OWNER", "d1", "ann")
    state = 'query($k: ID!) { apiKey(input: {domainId: "d1", apiKeyId: $k}) { state } }'
    seen = [(await service.data(state, {"k": key.key_id}, token))["apiKey"] for key in (own, other, owner)]
    assert seen == [{"state": "ENABLED"}, None, None]
    for given in ({"userId": "bob"}, {"userId": "ann", "domainId": "d2"}, {"userId": "ann", "role": "VERIFIER"}):
        assert await service.code(CREATE, {"i": given}, token) == "PERMISSION_DENIED"
    # What needs a secret of one's own.
    given = {"userId": "ann", "requestId": "0123456789abcdef"}
    assert await service.code(CREATE, {"i": given}, token) == "INVALID_ARGUMENT"
    verify = "mutation($s: String!) { verifyApiKey(input: {apiKey: $s}) { code } }"
    codes = [
        (await service.data(verify, {"s": one.secret}, token))["verifyApiKey"]["code"] for one in (own, other, owner)
    ]
    assert codes == ["VALID", "NOT_FOUND", "NOT_FOUND"]
    rotate = 'mutation($k: ID!) { rotateApiKey(input: {domainId: "d1", apiKeyId: $k}) { apiKey } }'
    assert (await service.data(rotate, {"k": own.key_id}, token))["rotateApiKey"]["apiKey"]
    assert await service.code(rotate, {"k": other.key_id}, token) == "NOT_FOUND"
    bulk = 'mutation { disableApiKeys(input: {userId: "ann"}) { count } }'
    assert (await service.data(bulk, by=token))["disableApiKeys"]["count"] == 1  # and not the owner's


async def test_whether_a_persons_token_is_valid_is_told_by_its_issuer_and_by_authz(
    service: Api, provider: Provider
) -> None:
    token, gateway = provider.token(), await service.make("VERIFIER")
    answer = await introspect(service, gateway, token=token)
    assert (answer.status_code, answer.json()) == (200, {"active": False})
    verify = "mutation($t: String!) { verifyApiKey(input: {apiKey: $t}) { valid code } }"
    told = (await service.data(verify, {"t": token}, gateway))["verifyApiKey"]
    assert told == {"valid": False, "code": "NOT_FOUND"}
    asked = await ask(service, token)
    assert (asked.status_code, asked.headers["X-Auth-User"]) == (200, "ann")


async def test_a_person_does_not_end_the_last_system_key(settings: Settings, provider: Provider) -> None:
    async with with_people(settings, provider, roles_claim="groups", roles={"root": "SYSTEM"}) as service:
        token, key = provider.token(groups=["root"]), await service.make("SYSTEM", "d9", "admin")
        delete = "mutation($i: APIKeyRequest!) { deleteApiKey(input: $i) { apiKeyId } }"
        named = {"domainId": "d9", "apiKeyId": key.key_id}
        assert await service.code(delete, {"i": named}, token) == "PERMISSION_DENIED"
        made = await service.data(CREATE, {"i": {"userId": "ann", "role": "SYSTEM"}}, token)
        assert made["createApiKey"]["createdByUserId"] == "ann"
        assert (await service.data(delete, {"i": named}, token))["deleteApiKey"]["apiKeyId"] == key.key_id


async def test_scopes_of_a_person_bound_the_keys_that_they_make(settings: Settings, provider: Provider) -> None:
    async with with_people(settings, provider, scopes_claim="scope") as service:
        token = provider.token(scope="identity:write orders:read")
        for scopes in (None, ["identity:read"], ["orders:write"]):
            assert await service.code(CREATE, {"i": {"userId": "ann", "scopes": scopes}}, token) == "PERMISSION_DENIED"
        made = await service.data(CREATE, {"i": {"userId": "ann", "scopes": ["orders:read"]}}, token)
        assert made["createApiKey"]["scopes"] == ["orders:read"]
        assert await service.code(VIEWER, by=token) == "PERMISSION_DENIED"
        statuses = [(await ask(service, token, f"/authz?scope={one}")).status_code for one in ("orders:read", "x")]
        assert statuses == [200, 403]


async def test_the_requests_of_a_person_and_of_their_keys_are_counted_together(
    settings: Settings, provider: Provider
) -> None:
    async with with_people(settings, provider, {"requests_per_minute": 4}) as service:
        ann, bob, key = provider.token(), provider.token(sub="bob"), await service.make("USER", "d1", "ann")
        assert [(await service.send(VIEWER, by=by)).status_code for by in (ann, key, ann, key)] == [200] * 4
        for by in (ann, key, provider.token(jti="2")):
            assert (await service.send(VIEWER, by=by)).status_code == 429
        assert (await service.send(VIEWER, by=bob)).status_code == 200


async def test_wrong_tokens_are_counted_as_wrong_keys(settings: Settings, provider: Provider) -> None:
    async with with_people(settings, provider, {"failed_credentials_per_minute": 2}) as service:
        wrong, right = provider.token(aud="other"), provider.token()
        assert [(await service.send(VIEWER, by=wrong)).status_code for _ in range(3)] == [401, 401, 429]
        assert (await service.send(VIEWER, by=right)).status_code == 200


async def test_a_write_after_the_tokens_end_is_refused(service: Api, provider: Provider) -> None:
    callers = people.People(service.settings)
    found = await callers.find(provider.token(exp=int(time.time()) - 59))
    assert not isinstance(found, people.Refusal)
    check = service.app.state.api_keys.credentials.check_caller
    await check(found)
    end = found.secret.expires_at
    assert end is not None
    await asyncio.sleep(max(0.0, end.timestamp() - time.time()) + 0.01)
    with pytest.raises(Unauthenticated, match="expired"):
        await check(found)


async def test_each_stream_ends_with_the_token(
    service: Api, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "LEEWAY_SECONDS", 0)
    request = {"query": CHANGED, "variables": {"i": {}}}
    async with listening(service.app) as address, httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as client:
        by = Person("", provider.token(exp=time.time() + 2.5), "", "")
        headers = {"Authorization": f"Bearer {by.secret}", "Accept": "text/event-stream"}
        streaming = client.stream("POST", "/graphql", json=request, headers=headers)
        async with connected(address, by) as websocket, streaming as events:
            for number in ("1", "2"):
                await websocket.send(json.dumps({"type": "subscribe", "id": number, "payload": request}))
            ends = [json.loads(await asyncio.wait_for(websocket.recv(), 10)) for _ in range(2)]
            assert {(end["type"], end["id"]) for end in ends} == {("error", "1"), ("error", "2")}
            for end in ends:
                (error,) = end["payload"]
                assert error["extensions"]["code"] == "UNAUTHENTICATED"
                assert "expired" in error["message"]
            lines = [line async for line in events.aiter_lines() if line.startswith(("data: {", "event"))]
            assert [line for line in lines if "UNAUTHENTICATED" in line] == [lines[1]]
            assert lines[2:] == ["event: complete"]
            # The connection is still there, and nothing runs on it any more.
            await websocket.send(json.dumps({"type": "subscribe", "id": "9", "payload": {"query": VIEWER}}))
            last = json.loads(await asyncio.wait_for(websocket.recv(), 10))
            assert (last["type"], last["payload"][0]["extensions"]["code"]) == ("error", "UNAUTHENTICATED")
        async with connect(f"ws://{address}/graphql", subprotocols=[Subprotocol(PROTOCOL)]) as websocket:
            init = {"type": "connection_init", "payload": {"Authorization": f"Bearer {by.secret}"}}
            await websocket.send(json.dumps(init))
            with pytest.raises(ConnectionClosed) as closed:
                await websocket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4403


async def test_keys_and_tokens_of_ours_go_on_beside_people(settings: Settings, provider: Provider) -> None:
    issuer = OpenIDIssuer(issuer=provider.issuer, audience=AUDIENCE, domain="d1")
    async with issuing(settings, issuers=(issuer,)) as service:
        key, person = await key_with(service, userId="ann"), provider.token()
        ours = await token_of(service, key)
        for by, issuer_name in ((key.secret, None), (ours, None), (person, provider.issuer)):
            assert (await service.data(VIEWER, by=by))["viewer"]["issuer"] == issuer_name
        # A person has no secret, so no token of ours: the one that came is passed on.
        assert (await ask(service, person)).headers["Authorization"] == f"Bearer {person}"
        exchange = "mutation($i: ExchangeAPIKeyRequest!) { exchangeApiKey(input: $i) { code accessToken } }"
        assert await service.code(exchange, {"i": {}}, person) == "PERMISSION_DENIED"
        made = (await service.data(exchange, {"i": {"apiKey": key.secret}}, person))["exchangeApiKey"]
        assert (await service.send(VIEWER, by=made["accessToken"])).status_code == 200
        grant = {"grant_type": "client_credentials", "client_id": "", "client_secret": person}
        assert (await service.client.post("/token", data=grant)).status_code == 401
        revoked = await service.client.post("/revoke", data={"token": person})
        assert (revoked.status_code, (await service.send(VIEWER, by=person)).status_code) == (200, 200)


@pytest.mark.parametrize("path", ["/token", "/.well-known/jwks.json", "/.well-known/openid-configuration"])
async def test_without_an_issuer_of_its_own_the_service_has_no_new_route(service: Api, path: str) -> None:
    for method in ("GET", "POST"):
        assert (await service.client.request(method, path)).status_code == 404


async def test_without_issuers_a_token_opens_nothing_and_nobody_is_asked(api: Api, provider: Provider) -> None:
    assert (await api.send(VIEWER, by=provider.token())).status_code == 401
    assert provider.asked == []


def test_without_the_library_the_service_does_not_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("joserfc", "gql_identity.tokens."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "joserfc", None)
    issuer = OpenIDIssuer(issuer="https://login.example", audience=AUDIENCE, domain="d1")
    with pytest.raises(StartError, match=r"gql-identity\[tokens\]"):
        create_app(settings.model_copy(update={"issuers": (issuer,)}))
