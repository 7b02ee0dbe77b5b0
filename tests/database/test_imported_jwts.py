"""`import-cloudforet --accept-jwt-until`: the JWTs of imported keys are accepted until a date."""

import asyncio
import base64
import hmac
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from joserfc.jwk import RSAKey

from gql_identity.logs import redact
from gql_identity.secret import pepper_fingerprint
from gql_identity.settings import Settings
from tests import cloudforet
from tests.conftest import PEPPER, Api, mongo_client, running
from tests.processes import serving

from .conftest import Before
from .test_import_cloudforet import Source, here, source  # noqa: F401

KEY = RSAKey.generate_key(2048)
OTHER = RSAKey.generate_key(2048)
AHEAD, PAST = "2099-01-31", "2020-01-31"
VIEWER = "{ viewer { domainId userId apiKeyInfo { apiKeyId hint secrets { hint } } } }"
ANN, BEN, OFF = (
    cloudforet.key(n, user_id=user, domain_id="d1", state=state)
    for n, user, state in ((1, "ann", "ENABLED"), (2, "ben", "ENABLED"), (3, "off", "DISABLED"))
)
ELSE = cloudforet.key(4, user_id="ann", domain_id="d2")


@pytest.fixture
def jwts(source: Source) -> Source:  # noqa: F811
    """A database of Cloudforet with four keys and two domains."""
    source.keys.insert_many([dict(one) for one in (ANN, BEN, OFF, ELSE)])
    secrets = [cloudforet.domain_secret("d1", KEY), cloudforet.domain_secret("d2", OTHER)]
    source.database["domain_secret"].insert_many(secrets)
    return source


async def imported(source: Source, until: str | None = AHEAD, *more: str) -> dict[str, Any]:  # noqa: F811
    return await asyncio.to_thread(source.imported, *(("--accept-jwt-until", until) if until else ()), *more)


async def status(api: Api, token: str) -> int:
    return (await api.send("{ viewer { userId } }", by=token)).status_code


def forged(header: dict[str, Any], document: dict[str, Any], secret: bytes | None = None) -> str:
    """A JWT that the library would not make."""
    _, payload, _ = cloudforet.jwt(KEY, document).split(".")
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    text = f"{head}.{payload}"
    signature = b"x" * 256 if secret is None else hmac.digest(secret, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def test_a_jwt_is_accepted_before_the_date_and_is_a_secret_like_any_other_from_then_on(
    api: Api, jwts: Source, settings: Settings
) -> None:
    answer = await imported(jwts)
    assert (answer["jwt_domains"], answer["jwts_accepted_until"]) == (2, "2099-02-01T00:00:00.000Z")
    assert (answer["imported"], answer["open_nothing"]) == (4, 0)
    token = cloudforet.jwt(KEY, ANN)
    with structlog.testing.capture_logs() as lines:
        first = await api.data(VIEWER, by=token)
    hint = f"eyJ...{token[-4:]}"
    key = {"apiKeyId": ANN["api_key_id"], "hint": hint, "secrets": [{"hint": hint}]}
    assert first["viewer"] == {"domainId": "d1", "userId": "ann", "apiKeyInfo": key}
    assert [line["api_key_id"] for line in lines if "JWT" in line["event"]] == [ANN["api_key_id"]]
    assert token not in str(lines)
    assert token.encode() not in json.dumps(here(settings), default=repr).encode()
    peppers = {key["_id"]: key.get("pepper") for key in here(settings) if key["domain_id"] == "d1"}
    assert peppers[ANN["api_key_id"]] == pepper_fingerprint(PEPPER)
    # At the date the ones that were not used are refused; this one goes on.
    await imported(jwts, PAST)
    assert await status(api, token) == 200
    assert await status(api, cloudforet.jwt(KEY, BEN)) == 401
    async with running(settings) as another:
        assert await status(another, token) == 200
    # Once more: unused ones are accepted again.
    await imported(jwts, (datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert await status(api, cloudforet.jwt(KEY, BEN)) == 200
    rest = await api.client.post(
        "/identity/v1/api-key/list", json={"domain_id": "d1"}, headers={"Authorization": f"Bearer {token}"}
    )
    assert (rest.status_code, len(rest.json()["results"])) == (200, 1)


async def test_at_the_instant_itself_unknown_jwts_are_refused(api: Api, jwts: Source) -> None:
    await imported(jwts)
    assert await status(api, cloudforet.jwt(KEY, ANN)) == 200
    until = datetime.now(UTC) + timedelta(seconds=2)
    await imported(jwts, until.isoformat())
    await asyncio.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()) + 0.1)
    assert await status(api, cloudforet.jwt(KEY, BEN)) == 401
    assert await status(api, cloudforet.jwt(KEY, ANN)) == 200


WRONG: dict[str, str] = {
    "another domain": cloudforet.jwt(KEY, ANN, did="d2"),
    "another domain's key": cloudforet.jwt(OTHER, ANN),
    "another domain's key, which it names": cloudforet.jwt(OTHER, ANN, did="d2"),
    "an unknown domain": cloudforet.jwt(KEY, ANN, did="d3"),
    "another user": cloudforet.jwt(KEY, ANN, aud="ben"),
    "users": cloudforet.jwt(KEY, ANN, aud=["ann"]),
    "no user": cloudforet.jwt(KEY, ANN, aud=...),
    "another key": cloudforet.jwt(KEY, ANN, api_key_id=BEN["api_key_id"]),
    "an unknown key": cloudforet.jwt(KEY, ANN, api_key_id="api-key-0"),
    "no key": cloudforet.jwt(KEY, ANN, api_key_id=...),
    "a query": cloudforet.jwt(KEY, ANN, api_key_id={"$gt": ""}),
    "an access token": cloudforet.jwt(KEY, ANN, cat="ACCESS_TOKEN"),
    "an end": cloudforet.jwt(KEY, ANN, exp=4_000_000_000),
    "a disabled key": cloudforet.jwt(KEY, OFF),
    "alg none": forged({"alg": "none"}, ANN),
    "alg none, unsigned": forged({"alg": "none"}, ANN).rpartition(".")[0] + ".",
    "HS256 with the public key as PEM": forged({"alg": "HS256"}, ANN, KEY.as_pem(private=False)),
    "HS256 with the public modulus": forged({"alg": "HS256"}, ANN, str(KEY.as_dict()["n"]).encode()),
    "RS256 as a list": forged({"alg": ["RS256"]}, ANN),
    "RS512": cloudforet.jwt(KEY, ANN, header={"alg": "RS512"}),
    "its own key": cloudforet.jwt(OTHER, ANN, header={"jwk": dict(OTHER.as_dict(private=False))}),
    "a wrong signature": cloudforet.jwt(KEY, ANN)[:-8] + "AAAAAAAA",
    "no payload": "eyJ.eyJ.x",
    "too long": cloudforet.jwt(KEY, ANN, more="x" * 4_096),
    "deep": cloudforet.jwt(KEY, ANN, more=json.loads("[" * 400 + "]" * 400)),
}


async def test_wrong_jwts_are_refused_and_nothing_is_stored(api: Api, jwts: Source, settings: Settings) -> None:
    await imported(jwts)
    before = here(settings)
    verify = "mutation($i: VerifyAPIKeyRequest!) { verifyApiKey(input: $i) { valid code } }"
    system = await api.make(domain_id="d9")
    for name, token in WRONG.items():
        if name != "deep":
            assert await status(api, token) == 401, name
            answer = (await api.data(verify, {"i": {"apiKey": token}}, system))["verifyApiKey"]
            code = {"a disabled key": "DISABLED"}.get(name, "NOT_FOUND")
            odd = ("no payload", "too long", "alg none, unsigned")
            assert (answer["valid"], answer["code"]) == (False, "MALFORMED" if name in odd else code), name
    assert [key for key in here(settings) if key["domain_id"] != "d9"] == before
    # The right one is accepted after all of that; with an odd claim more it would have been too.
    assert await status(api, WRONG["deep"]) == 200
    # A key has one JWT: another one that its domain signed later is none.
    assert await status(api, cloudforet.jwt(KEY, ANN, iat=1)) == 401


async def test_without_the_flag_jwts_open_nothing(api: Api, jwts: Source) -> None:
    assert (await imported(jwts, None))["open_nothing"] == 4
    assert await status(api, cloudforet.jwt(KEY, ANN)) == 401
    assert (await imported(jwts, AHEAD, "--dry-run"))["open_nothing"] == 0
    assert await status(api, cloudforet.jwt(KEY, ANN)) == 401
    answer = await imported(jwts, AHEAD, "--domain-id", "d2")
    assert (answer["jwt_domains"], answer["read"], answer["already_here"], answer["open_nothing"]) == (1, 1, 1, 0)
    assert await status(api, cloudforet.jwt(KEY, ANN)) == 401
    assert await status(api, cloudforet.jwt(OTHER, ELSE)) == 200


async def test_without_the_library_jwts_are_refused_and_the_import_says_what_to_install(
    api: Api, jwts: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    await imported(jwts)
    used = cloudforet.jwt(KEY, ANN)
    assert await status(api, used) == 200
    monkeypatch.setitem(sys.modules, "joserfc", None)
    with structlog.testing.capture_logs() as lines:
        assert await status(api, cloudforet.jwt(KEY, BEN)) == 401
    assert any("install gql-identity[jwt]" in line["event"] for line in lines)
    assert await status(api, used) == 200
    code, _, err = await asyncio.to_thread(jwts.run, "--accept-jwt-until", AHEAD)
    assert (code, "install gql-identity[jwt]" in err) == (1, True)


async def test_many_first_uses_at_once_are_one(api: Api, jwts: Source, settings: Settings) -> None:
    await imported(jwts)
    token = cloudforet.jwt(KEY, ANN)
    async with running(settings) as another:
        answers = await asyncio.gather(*(status(one, token) for one in (api, another) for _ in range(20)))
    assert answers == [200] * 40


async def test_a_rotated_key_accepts_its_jwt_for_the_overlap(api: Api, jwts: Source, settings: Settings) -> None:
    await imported(jwts)
    system = await api.make(domain_id="d9")
    rotate = "mutation($i: RotateAPIKeyRequest!) { rotateApiKey(input: $i) { apiKey secrets { hint } } }"

    async def rotated(document: dict[str, Any], **more: Any) -> Any:
        ids = {"domainId": document["domain_id"], "apiKeyId": document["api_key_id"]}
        return (await api.data(rotate, {"i": ids | more}, system))["rotateApiKey"]

    # Used, then rotated: an ordinary key.
    used = cloudforet.jwt(KEY, BEN)
    assert await status(api, used) == 200
    assert len((await rotated(BEN))["secrets"]) == 2
    assert await status(api, used) == 200
    # Rotated, then used for the first time.
    token, made = cloudforet.jwt(KEY, ANN), await rotated(ANN, overlapSeconds=3_600)
    assert len(made["secrets"]) == 1
    assert await status(api, token) == 200
    assert await status(api, made["apiKey"]) == 200
    secrets = (await api.data(VIEWER, by=made["apiKey"]))["viewer"]["apiKeyInfo"]["secrets"]
    assert [one["hint"] for one in secrets] == [f"gqlid_...{made['apiKey'][-4:]}", f"eyJ...{token[-4:]}"]
    (stored,) = (key for key in here(settings) if key["_id"] == ANN["api_key_id"])
    assert stored["pepper"] == [pepper_fingerprint(PEPPER)] * 2
    # Rotated without an overlap: its JWT has ended.
    ended = await rotated(ELSE, overlapSeconds=0)
    assert await status(api, cloudforet.jwt(OTHER, ELSE)) == 401
    assert await status(api, ended["apiKey"]) == 200


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_rotation_asks_whether_jwts_are_accepted_only_for_a_key_whose_jwt_is_not_known(
    api: Api, jwts: Source, before: Before, is_known: bool
) -> None:
    await imported(jwts)
    system = await api.make(domain_id="d9")
    if is_known:
        assert await status(api, cloudforet.jwt(KEY, ANN)) == 200
    read: list[Any] = []

    def is_write(name: str, command: dict[str, Any]) -> bool:
        read.append(command.get("find"))
        return name == "insert" and command["insert"] == "audit"

    before(is_write, lambda: asyncio.sleep(0))
    ids = f'domainId: "d1", apiKeyId: "{ANN["api_key_id"]}"'
    await api.data(f"mutation {{ rotateApiKey(input: {{{ids}}}) {{ state }} }}", by=system)
    assert ("jwt_issuers" in read) != is_known


@pytest.mark.parametrize("change", ["ended", "renamed"])
async def test_a_change_that_comes_into_a_first_use_stays(
    api: Api, jwts: Source, settings: Settings, before: Before, change: str
) -> None:
    await imported(jwts)
    system = await api.make(domain_id="d9")
    ids = f'domainId: "d1", apiKeyId: "{ANN["api_key_id"]}"'
    await api.data(f"mutation {{ rotateApiKey(input: {{{ids}, overlapSeconds: 3600}}) {{ state }} }}", by=system)

    async def change_it() -> None:
        name, more = ("endApiKeyOverlap", "") if change == "ended" else ("updateApiKey", ', name: "n"')
        await api.data(f"mutation {{ {name}(input: {{{ids}{more}}}) {{ state }} }}", by=system)

    before(lambda name, command: name == "update" and "eyJ..." in str(command), change_it)
    assert await status(api, cloudforet.jwt(KEY, ANN)) == (401 if change == "ended" else 200)
    (stored,) = (key for key in here(settings) if key["_id"] == ANN["api_key_id"])
    has_ended = stored["secrets"][1]["expires_at"] <= datetime.now(UTC).replace(tzinfo=None)
    assert has_ended == (change == "ended")
    # From then on, too.
    assert await status(api, cloudforet.jwt(KEY, ANN)) == (401 if change == "ended" else 200)


async def test_a_first_use_that_comes_into_the_end_of_an_overlap_stays(
    api: Api, jwts: Source, settings: Settings, before: Before
) -> None:
    await imported(jwts)
    system, token = await api.make(domain_id="d9"), cloudforet.jwt(KEY, ANN)
    ids = f'domainId: "d1", apiKeyId: "{ANN["api_key_id"]}"'
    await api.data(f"mutation {{ rotateApiKey(input: {{{ids}, overlapSeconds: 3600}}) {{ state }} }}", by=system)
    before(lambda name, command: name == "update" and "expires_at" in str(command), lambda: status(api, token))
    await api.data(f"mutation {{ endApiKeyOverlap(input: {{{ids}}}) {{ state }} }}", by=system)
    (stored,) = (key for key in here(settings) if key["_id"] == ANN["api_key_id"])
    assert stored["secrets"][1]["hint"] == f"eyJ...{token[-4:]}"
    assert await status(api, token) == 401


async def test_whoever_can_write_to_the_database_alone_cannot_add_a_key_or_move_the_date(
    api: Api, jwts: Source, settings: Settings
) -> None:
    await imported(jwts, PAST)
    with mongo_client(settings, tz_aware=True) as client:
        issuers = client.get_default_database().jwt_issuers
        ahead = {"$set": {"until": datetime(2099, 1, 1, tzinfo=UTC)}}
        issuers.update_one({"_id": "d1"}, ahead)
        assert await status(api, cloudforet.jwt(KEY, ANN)) == 401
        await imported(jwts)
        public = {name: KEY.as_dict(private=False)[name] for name in ("kty", "n", "e")}
        issuers.update_one({"_id": "d2"}, {"$set": {"public_key": public}})
        assert await status(api, cloudforet.jwt(KEY, ELSE)) == 401
        for careless in ({"seal": "x"}, {"seal": None}, {"public_key": 7}, {"until": "x"}, {"public_key": {"n": 1}}):
            issuers.update_one({"_id": "d1"}, {"$set": careless})
            assert await status(api, cloudforet.jwt(KEY, ANN)) == 401
    assert set(issuers_fields(settings)) == {"_id", "public_key", "until", "seal"}


def issuers_fields(settings: Settings) -> list[str]:
    with mongo_client(settings) as client:
        stored = client.get_default_database().jwt_issuers.find_one({"_id": "d2"})
    assert stored is not None
    assert set(stored["public_key"]) == {"kty", "n", "e"}
    return list(stored)


def test_domains_without_a_usable_key_are_named(source: Source) -> None:  # noqa: F811
    source.keys.insert_many([cloudforet.key(n, domain_id=f"d{n}") for n in range(6)])
    weak = {"kty": "RSA", "n": "AQAB" * 40, "e": "AQAB"}
    keys: list[Any] = [dict(KEY.as_dict(private=False)), None, "text", {"kty": "EC", "n": "AQAB", "e": "AQAB"}, weak]
    secrets = [cloudforet.domain_secret(f"d{n}", KEY, pub_jwk=key) for n, key in enumerate(keys)]
    source.database["domain_secret"].insert_many(secrets)
    answer = source.imported("--accept-jwt-until", AHEAD)
    assert [one["id"] for one in answer["refused_domains"]] == ["d1", "d2", "d3", "d4"]
    assert {one["field"] for one in answer["refused_domains"]} == {"pub_jwk"}
    assert (answer["jwt_domains"], answer["imported"], answer["open_nothing"]) == (1, 6, 5)
    code, out, err = source.run("--accept-jwt-until", AHEAD)
    assert code == 0
    assert "Cloudforet's JWTs are accepted for 1 domain until 2099-02-01T00:00:00.000Z" in out
    assert "refused   d1: pub_jwk: it is not a public RSA key." in err
    for date in ("2099", "2099-13-01", "tomorrow", "2099-01-31T00:00:00"):
        code, out, err = source.run("--accept-jwt-until", date)
        assert (code, "give a day as in 2027-01-31" in err) == (2, True)


@pytest.mark.slow
def test_serve_says_for_how_many_domains_until_when(jwts: Source, tmp_path: Any) -> None:
    uri = jwts.environment["GQL_IDENTITY_MONGO_URI"]
    jwts.imported("--accept-jwt-until", AHEAD)
    pepper = jwts.environment["GQL_IDENTITY_PEPPER"]
    with serving(tmp_path / "data", "--mongo-uri", uri, GQL_IDENTITY_PEPPER=pepper) as service:
        said = "JWTs      Cloudforet's JWTs are accepted for 2 domains until 2099-02-01T00:00:00.000Z"
        assert said in service.out
        assert service.data("{ viewer { userId } }", by=cloudforet.jwt(KEY, ANN))["viewer"] == {"userId": "ann"}


def test_a_jwt_in_a_log_line_is_replaced() -> None:
    token = cloudforet.jwt(KEY, ANN)
    assert redact(f"/x?token={token}&y") == "/x?token=[JWT]&y"
    assert redact(token.replace(".", "%2E")) == "[JWT]"
