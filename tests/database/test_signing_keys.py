"""The keys that sign tokens: when they are published and used, and what a writer of the database can do to them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey
from pydantic import SecretStr

from gql_identity.app import create_app
from gql_identity.errors import ServiceError, StartError, Unavailable
from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from gql_identity.storage.embedded import EmbeddedDatabase
from gql_identity.storage.signing_keys import read_signing_keys
from gql_identity.tokens import signing_keys
from gql_identity.tokens.sealing import open_sealed, seal
from gql_identity.tokens.signing_keys import SigningKeys, read_file
from tests.conftest import PEPPER, Api, mongo_client, running
from tests.database.conftest import Run
from tests.database.test_tokens import EXCHANGE, ISSUER, OFF, VIEWER, decoded, issuing, jwks, token_of, tokens_of
from tests.database.test_verification import introspect

HOUR = timedelta(hours=1)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with Database(settings) as database:
        await database.prepare()
        yield database


def set_now(monkeypatch: pytest.MonkeyPatch, at: Callable[[], datetime]) -> None:
    monkeypatch.setattr(signing_keys, "now", at)


@pytest.mark.parametrize("algorithm", ["ES256"])  # RSA keys take a second each on a busy machine
async def test_a_key_is_published_a_day_before_its_first_token_and_until_its_last_has_ended(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    keys = SigningKeys(database, settings.model_copy(update={"signing_algorithm": algorithm}))
    at = datetime(2027, 1, 1, tzinfo=UTC)
    set_now(monkeypatch, lambda: at)
    published_at: dict[str, datetime] = {}
    last_token: dict[str, datetime] = {}
    used = list[str]()
    for _ in range(24 * 95):
        await keys.read()
        there = {key.kid for key in keys.published}
        for kid in there:
            published_at.setdefault(kid, at)
        current = keys.current.kid
        if current not in used:
            assert not used or at - published_at[current] >= timedelta(days=1)
            used.append(current)
        last_token[current] = at
        for kid, signed in last_token.items():
            # The longest token, and a verifier that kept the set for a day or allows a minute more.
            assert kid in there or at - signed > HOUR + timedelta(minutes=1)
        assert len(there) <= 2
        at += HOUR
    assert len(used) == 4
    assert len(published_at) == 4


async def test_after_a_long_stop_the_next_key_is_published_a_day_ahead_too(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = datetime(2027, 1, 1, tzinfo=UTC)
    set_now(monkeypatch, lambda: at)
    es256 = settings.model_copy(update={"signing_algorithm": "ES256"})
    keys = SigningKeys(database, es256)
    await keys.read()
    first = keys.current.kid
    at += timedelta(days=200)
    keys = SigningKeys(database, es256)
    await keys.read()
    assert keys.current.kid == first
    assert len(keys.published) == 2
    at += timedelta(days=1)
    assert keys.current.kid != first


async def test_workers_that_start_at_once_make_one_key(database: Database, settings: Settings) -> None:
    workers = [SigningKeys(database, settings) for _ in range(5)]
    await asyncio.gather(*(worker.read() for worker in workers))
    assert len({worker.current.kid for worker in workers}) == 1
    assert len({len(worker.published) for worker in workers} - {1}) == 0


async def test_the_private_part_is_not_in_the_database(settings: Settings) -> None:
    async with issuing(settings) as service:
        private = tokens_of(service).keys.current.key.as_dict(private=True)
        with mongo_client(settings) as client:
            (stored,) = client.get_default_database()["signing_keys"].find()
    assert set(stored) == {"_id", "kid", "algorithm", "public", "signs_from", "sealed"}
    assert set(stored["public"]) == {"kty", "n", "e"}
    for name in ("d", "p", "q"):
        assert str(private[name]).encode() not in stored["sealed"]
    assert open_sealed(stored, ["another pepper that is long enough to be one"]) is None


async def test_the_jwks_lists_only_keys_that_decrypt(settings: Settings) -> None:
    """Whoever can only write to the database plants no key, and changes nothing of one."""
    async with issuing(settings) as service:
        key, (genuine,) = await service.make("USER"), (await jwks(service))["keys"]
        with mongo_client(settings, tz_aware=True) as client:
            stored = client.get_default_database()["signing_keys"]
            (document,) = stored.find()
            thief = RSAKey.generate_key(2048, private=True)
            planted = document | {"_id": 2, "kid": thief.thumbprint(), "public": thief.as_dict(private=False)}
            stored.insert_many(
                [
                    planted,  # with the sealed part of ours
                    seal(planted | {"_id": 3}, thief.as_dict(private=True), "a pepper that the thief made up, of 32"),
                    document | {"_id": 4},  # a copy
                    document | {"_id": 5, "signs_from": document["signs_from"] + timedelta(days=9)},
                    {"_id": 6},
                    {"_id": "text", "sealed": 5, "kid": {}, "signs_from": "x"},
                ]
            )
        await tokens_of(service).keys.read()
        assert (await jwks(service))["keys"] == [genuine]
        assert (await service.send(VIEWER, by=await token_of(service, key))).status_code == 200
        with mongo_client(settings) as client:
            client.get_default_database()["signing_keys"].update_one(
                {"_id": 1}, {"$set": {"public": thief.as_dict(private=False)}}
            )
        await tokens_of(service).keys.read()
        assert thief.thumbprint() not in {one["kid"] for one in (await jwks(service))["keys"]}


async def test_a_new_pepper_seals_the_keys_anew(database: Database, settings: Settings) -> None:
    old = SigningKeys(database, settings)
    await old.read()
    pepper = "a new pepper that is long enough to be one"
    both = settings.model_copy(update={"pepper": SecretStr(pepper), "peppers_retired": (SecretStr(PEPPER),)})
    new = SigningKeys(database, both)
    await new.read()
    assert new.current.kid == old.current.kid
    alone = SigningKeys(database, settings.model_copy(update={"pepper": SecretStr(pepper)}))
    await alone.read()
    assert alone.current.kid == old.current.kid
    with mongo_client(settings, tz_aware=True) as client:
        (stored,) = client.get_default_database()["signing_keys"].find()
    assert open_sealed(stored, [PEPPER]) is None


async def command(run: Run, settings: Settings, *arguments: str) -> str:
    assert settings.mongo_uri is not None
    environment = {"GQL_IDENTITY_MONGO_URI": settings.mongo_uri.get_secret_value(), "GQL_IDENTITY_PEPPER": PEPPER}
    ended = await asyncio.to_thread(lambda: run("rotate-signing-key", *arguments, **environment))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()[0]


async def test_a_rotation_signs_in_a_day(settings: Settings, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async with issuing(settings) as service:
        before = tokens_of(service).keys.current.kid
        made = await command(run, settings)
        await tokens_of(service).keys.read()
        assert [one["kid"] for one in (await jwks(service))["keys"]] == [before, made]
        assert tokens_of(service).keys.current.kid == before
        set_now(monkeypatch, lambda: datetime.now(UTC) + timedelta(days=1, seconds=1))
        assert tokens_of(service).keys.current.kid == made


async def test_a_rotation_at_once_withdraws_the_others(settings: Settings, run: Run) -> None:
    async with issuing(settings) as service, issuing(settings) as other:
        key = await service.make("USER")
        old = await token_of(service, key)
        made = await command(run, settings, "--now", "--yes")
        await tokens_of(service).keys.read()
        assert [one["kid"] for one in (await jwks(service))["keys"]] == [made]
        assert (await service.send(VIEWER, by=old)).status_code == 401
        new = await token_of(service, key)
        # A worker that has not read the keys yet reads them for a token that it does not know.
        await asyncio.sleep(1.1)
        assert (await other.send(VIEWER, by=new)).status_code == 200
        assert (await other.send(VIEWER, by=old)).status_code == 401


@pytest.mark.parametrize("form", ["RSA in PEM", "EC in PEM", "JWK", "set"])
async def test_a_key_from_a_file_signs(settings: Settings, tmp_path: Path, form: str) -> None:
    key: Any = ECKey.generate_key("P-256") if form == "EC in PEM" else RSAKey.generate_key(2048, private=True)
    retired = RSAKey.generate_key(2048, private=True).as_dict(private=True)
    content = {
        "JWK": json.dumps(key.as_dict(private=True)),
        "set": json.dumps({"keys": [key.as_dict(private=True), retired]}),
    }.get(form) or key.as_pem(private=True).decode()
    (tmp_path / "key").write_text(content)
    async with issuing(settings, signing_key_file=tmp_path / "key") as service:
        person, published = await service.make("USER"), (await jwks(service))["keys"]
        assert published[-1]["kid"] == key.thumbprint()
        assert len(published) == (2 if form == "set" else 1)
        metadata = (await service.client.get("/.well-known/openid-configuration")).json()
        algorithms = metadata["id_token_signing_alg_values_supported"]
        assert algorithms == (["ES256", "RS256"] if form == "EC in PEM" else ["RS256"])
        assert (await service.send(VIEWER, by=await token_of(service, person))).status_code == 200
        with mongo_client(settings) as client:
            assert client.get_default_database()["signing_keys"].count_documents({}) == 0
        with pytest.raises(StartError, match="SIGNING_KEY_FILE"):
            await tokens_of(service).keys.rotate(at_once=True)


@pytest.mark.parametrize("kind", ["RSA", "EC"])
async def test_a_key_file_may_say_what_its_key_is_for(settings: Settings, tmp_path: Path, kind: str) -> None:
    key: Any = ECKey.generate_key("P-256") if kind == "EC" else RSAKey.generate_key(2048, private=True)
    algorithm = "ES256" if kind == "EC" else "RS256"
    told = {"use": "sig", "alg": algorithm, "key_ops": ["sign"], "ext": True, "kid": "mine", "x5u": "https://a.example"}
    (tmp_path / "key").write_text(json.dumps(key.as_dict(private=True) | told))
    async with issuing(settings, signing_key_file=tmp_path / "key") as service:
        (published,) = (await jwks(service))["keys"]
        own = {name: published[name] for name in (("x", "y", "crv") if kind == "EC" else ("n", "e"))}
        assert published == {"kty": kind, "use": "sig", "alg": algorithm, "kid": key.thumbprint(), **own}
        token = await token_of(service, await service.make("USER"))
        assert (await service.send(VIEWER, by=token)).status_code == 200
        assert decoded(token, {"keys": [published]}, algorithm).claims["iss"] == ISSUER


@pytest.mark.parametrize(
    "contradiction", [{"use": "enc"}, {"alg": "PS256"}, {"alg": "ES256"}, {"key_ops": ["verify"]}, {"key_ops": "sign"}]
)
def test_a_key_file_whose_key_is_for_something_else_stops_the_start(
    tmp_path: Path, contradiction: dict[str, Any]
) -> None:
    private = RSAKey.generate_key(2048, private=True).as_dict(private=True)
    (tmp_path / "key").write_text(json.dumps(private | contradiction))
    with pytest.raises(StartError, match="`use`"):
        read_file(tmp_path / "key")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "x",
        "{}",
        '{"keys": []}',
        "{",
        json.dumps(OctKey.generate_key(256).as_dict(private=True)),
        json.dumps(ECKey.generate_key("P-384").as_dict(private=True)),
        json.dumps(ECKey.generate_key("P-256").as_dict(private=False)),
        ECKey.generate_key("P-521").as_pem(private=True).decode(),
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
        "x" * 70_000,
    ],
    ids=lambda content: str(len(content)),
)
def test_a_file_without_a_fitting_key_stops_the_start_and_shows_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    with pytest.raises(StartError) as refused:
        read_file(tmp_path / "key")
    said = str(refused.value)
    assert said.startswith("GQL_IDENTITY_SIGNING_KEY_FILE")
    assert "c2VjcmV0" not in said
    with pytest.raises(StartError, match="cannot be read"):
        read_file(tmp_path / "none")


async def test_before_the_keys_are_read_nothing_is_signed_or_published(api: Api) -> None:
    away = {"issuer": ISSUER, "mongo_uri": SecretStr("mongodb://127.0.0.1:1/x")}
    app = create_app(api.settings.model_copy(update=away))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        answer = await client.get("/.well-known/jwks.json")
        assert answer.status_code == 503
        assert "max-age" not in answer.headers["Cache-Control"]


async def test_tokens_that_come_while_the_keys_are_first_read_are_valid(settings: Settings) -> None:
    async with issuing(settings) as service:
        gateway, key = await service.make("VERIFIER"), await service.make("USER")
        token, revoked = await token_of(service, key), await token_of(service, key)
    async with running(settings.model_copy(update={"issuer": ISSUER})) as starting:
        viewed = [starting.send(VIEWER, by=token) for _ in range(3)]
        asked = [introspect(starting, gateway, token=token) for _ in range(3)]
        ended = [starting.client.post("/revoke", data={"token": revoked})]
        published = [starting.client.get(f"/.well-known/{name}") for name in ("jwks.json", "openid-configuration")]
        exchanged = [starting.client.get("/authz", headers={"Authorization": f"Bearer {key.secret}"})]
        answers = await asyncio.gather(*viewed, *asked, *ended, *published, *exchanged)
        assert [answer.status_code for answer in answers] == [200] * 10
        assert [answer.json()["active"] for answer in answers[3:6]] == [True] * 3
        assert (await starting.send(VIEWER, by=token)).status_code == 200
        assert (await starting.send(VIEWER, by=revoked)).status_code == 401


async def test_a_key_that_is_disabled_while_the_keys_are_first_read_gets_no_token(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with issuing(settings) as service:
        system, key = await service.make(), await service.make("USER")
        keys, read_on = tokens_of(service).keys, asyncio.Event()
        assert (await service.send(VIEWER, by=key)).status_code == 200

        async def read_slowly(database: Database) -> Any:
            await read_on.wait()
            return await read_signing_keys(database)

        # As at the start, with a database that takes seconds.
        monkeypatch.setattr(signing_keys, "read_signing_keys", read_slowly)
        keys._take([])
        reading = asyncio.create_task(keys.read())
        form = {"grant_type": "client_credentials", "client_id": key.key_id, "client_secret": key.secret}
        asked = [
            service.client.get("/authz", headers={"Authorization": f"Bearer {key.secret}"}),
            service.client.post("/token", data=form),
            service.send(EXCHANGE, {"i": {}}, key),
            service.send(EXCHANGE, {"i": {"apiKey": key.secret}}, system),
        ]
        waiting = [asyncio.create_task(one) for one in asked]
        await asyncio.sleep(0.3)
        assert not any(one.done() for one in waiting)
        await service.data(OFF, {"i": {"domainId": "d1", "apiKeyId": key.key_id}}, system)
        await asyncio.sleep(1)
        read_on.set()
        await reading
        answers = [await one for one in waiting]
        assert [answer.status_code for answer in answers[:2]] == [401, 401]
        assert answers[2].json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert answers[3].json()["data"]["exchangeApiKey"]["code"] == "DISABLED"


async def test_while_the_keys_cannot_be_read_nobody_knows_whether_a_token_is_valid(settings: Settings) -> None:
    away = settings.model_copy(
        update={"mongo_uri": SecretStr("mongodb://127.0.0.1:1/x"), "database_timeout_seconds": 0.1}
    )
    async with Database(away) as database:
        keys = SigningKeys(database, away)
        found = await asyncio.gather(*(keys.find("a") for _ in range(3)), return_exceptions=True)
        assert [type(one) for one in found] == [Unavailable] * 3
        with pytest.raises(Unavailable):  # although nothing is read again within a second
            await keys.find("a")


async def test_after_a_failed_read_known_keys_are_known_and_others_are_not_called_unknown(
    settings: Settings, data_dir: Path
) -> None:
    with EmbeddedDatabase(data_dir) as engine:
        own = settings.model_copy(update={"mongo_uri": SecretStr(engine.uri), "database_timeout_seconds": 0.5})
        async with Database(own) as database:
            await database.prepare()
            keys = SigningKeys(database, own)
            await keys.read()
            kid = keys.current.kid
            assert await keys.find("a") is None
            engine.stop()
            with pytest.raises(ServiceError):
                await keys.read()
            assert (await keys.find(kid)) is keys.current
            with pytest.raises(Unavailable):
                await keys.find("a")


@pytest.mark.parametrize(
    "issuer",
    [
        "http://keys.example",
        "keys.example",
        "https://",
        "https://a.example/",
        "https://a.example?x",
        "https://u:p@a.example",
    ],
)
def test_an_issuer_is_a_url_with_https(issuer: str) -> None:
    with pytest.raises(ValueError, match=r"https|without a user"):
        Settings(issuer=issuer)
    assert Settings(issuer="http://127.0.0.1:8000").issuer == "http://127.0.0.1:8000"
