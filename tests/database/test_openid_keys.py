"""The keys of OpenID issuers: read when they are needed, and never at the expense of anybody else."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc.jwk import ECKey, OctKey, RSAKey

from gql_identity.settings import Settings
from gql_identity.tokens import key_sets, web_reads
from tests.conftest import Api
from tests.database.test_openid import VIEWER, status, with_people
from tests.openid import AUDIENCE, DISCOVERY, JWKS, Provider, drip, hang, respond
from tests.processes import Service, serving


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as provider:
        yield provider


def replied(content: Any, status: str = "200 OK", **headers: str) -> Any:
    return respond(json.dumps(content).encode(), status, **headers)


def at_keys(reply: Any) -> Any:
    def set_up(provider: Provider) -> None:
        provider.replies[JWKS] = reply

    return set_up


def in_metadata(**metadata: Any) -> Any:
    def set_up(provider: Provider) -> None:
        provider.metadata = metadata

    return set_up


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


async def raw(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01 no HTTP at all\r\n\r\n")


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


RSA: Any = RSAKey.generate_key(2048).as_dict(private=False)
HOSTILE: dict[str, Any] = {
    "hangs": at_keys(hang),
    "drips": at_keys(drip),
    "10 MB": at_keys(respond(b" " * 10_000_000)),
    "10 MB in chunks without an end": at_keys(endless),
    "says 10 MB": at_keys(respond(b"{", Content_Length="10000000")),
    "redirects": at_keys(respond(b"", "302 Found", Location="https://keys.example/keys")),
    "redirects to itself": at_keys(respond(b"", "307 Temporary Redirect", Location=JWKS)),
    "500": at_keys(respond(b"{}", "500 Internal Server Error")),
    "404": at_keys(respond(b"{}", "404 Not Found")),
    "closes": at_keys(closed),
    "no HTTP": at_keys(raw),
    "no JSON": at_keys(respond(b"<html>")),
    "JSON without an end": at_keys(respond(b"[" * 200_000)),
    "a list": at_keys(replied([])),
    "no keys": at_keys(replied({"keys": []})),
    "keys that are no list": at_keys(replied({"keys": {}})),
    "too many keys": at_keys(replied({"keys": [RSA | {"kid": f"k{n}"} for n in range(101)]})),
    "keys without ids": at_keys(replied({"keys": [RSA, {"kid": 1} | RSA, 7]})),
    "a secret key": at_keys(replied({"keys": [OctKey.generate_key(256, {"kid": "first"}).as_dict()]})),
    "a small key": at_keys(replied({"keys": [RSA | {"kid": "first", "n": RSA["n"][:172]}]})),
    "a key for encryption": at_keys(replied({"keys": [RSA | {"kid": "first", "use": "enc"}]})),
    "a slow exponent": at_keys(replied({"keys": [RSA | {"kid": "first", "e": RSA["n"]}]})),
    "a curve of blockchains": at_keys(
        replied({"keys": [ECKey.generate_key("secp256k1", {"kid": "first"}).as_dict(private=False)]})
    ),
    "metadata of another issuer": in_metadata(issuer="https://evil.example"),
    "metadata without keys": in_metadata(jwks_uri=None),
    "over http from another host": in_metadata(jwks_uri="http://keys.example/keys"),
    "from a file": in_metadata(jwks_uri="file:///etc/passwd"),
    "with a user": in_metadata(jwks_uri="https://a:b@keys.example/keys"),
    "on no port": in_metadata(jwks_uri="https://keys.example:x/keys"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_an_issuer_whose_keys_cannot_be_read_stops_nobody_else(
    settings: Settings, provider: Provider, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_sets, "FIRST_AGAIN_SECONDS", 0.0)
    HOSTILE[name](provider)
    async with with_people(settings, provider) as service:
        key = await service.make("USER")
        waiting = asyncio.create_task(service.send(VIEWER, by=provider.token()))
        for _ in range(5):
            assert (await service.send(VIEWER, by=key)).status_code == 200
        answer = await waiting
        assert answer.status_code == 503
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] == "UNAVAILABLE"
        assert "evil" not in answer.text
        # Once the issuer is well again, so are its people.
        provider.replies, provider.metadata = {}, {}
        assert await status(service, provider.token()) == 200


async def test_while_a_person_waits_for_their_issuer_keys_are_served(
    settings: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_reads, "SECONDS", 60.0)
    provider.replies[JWKS] = hang
    async with with_people(settings, provider, {"operation_timeout_seconds": 300.0}) as service:
        key = await service.make("USER")
        waiting = asyncio.create_task(service.send(VIEWER, by=provider.token()))
        for _ in range(20):
            assert (await service.send(VIEWER, by=key)).status_code == 200
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_start_waits_for_no_issuer(settings: Settings, provider: Provider) -> None:
    provider.replies[DISCOVERY] = hang
    async with with_people(settings, provider) as service:
        assert (await service.client.get("/readyz")).status_code == 200
        assert (await service.send(VIEWER, by=await service.make())).status_code == 200
    # And neither does a stop.


@pytest.mark.slow
async def test_a_real_service_reads_its_issuers_from_a_file_and_stops_while_one_hangs(
    provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "issuers.json").write_text(
        json.dumps([{"issuer": provider.issuer, "audience": AUDIENCE, "domain": "d1"}], indent=2)
    )

    def start() -> Service:
        return running_service.enter_context(
            serving(tmp_path / "data", GQL_IDENTITY_ISSUERS_FILE=str(tmp_path / "issuers.json"))
        )

    with ExitStack() as running_service:
        service = await asyncio.to_thread(start)
        async with httpx.AsyncClient(base_url=service.url, timeout=30, trust_env=False) as client:

            async def ask(token: str) -> int:
                headers = {"Authorization": f"Bearer {token}"}
                return (await client.post("/graphql", json={"query": VIEWER}, headers=headers)).status_code

            assert await ask(provider.token()) == 200
            assert await ask(provider.token(aud="other")) == 401
        provider.replies[JWKS] = hang
        assert await asyncio.to_thread(service.stop, seconds=12) == 0
        asked = len(provider.asked)
        service = await asyncio.to_thread(start)
        while len(provider.asked) < asked + 2:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.02)
        assert await asyncio.to_thread(service.stop, seconds=12) == 0


async def test_many_people_share_one_read(settings: Settings, provider: Provider) -> None:
    async with with_people(settings, provider) as service:
        answers = await asyncio.gather(*(service.send(VIEWER, by=provider.token(sub=f"u{n}")) for n in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert provider.asked == [DISCOVERY, JWKS]


async def test_the_address_of_the_keys_may_have_a_query(settings: Settings, provider: Provider) -> None:
    provider.metadata = {"jwks_uri": f"{provider.issuer}{JWKS}?p=a+policy"}  # as Azure AD B2C has it
    async with with_people(settings, provider) as service:
        assert await status(service, provider.token()) == 200


async def test_an_issuer_whose_keys_are_named_is_not_asked_for_metadata(settings: Settings, provider: Provider) -> None:
    async with with_people(settings, provider, jwks_uri=f"{provider.issuer}{JWKS}") as service:
        assert await status(service, provider.token()) == 200
        assert provider.asked == [JWKS]


async def test_a_new_key_is_read_at_its_first_token_and_unknown_ones_at_most_every_30_seconds(
    settings: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_people(settings, provider) as service:
        assert await status(service, provider.token()) == 200
        assert provider.asked.count(JWKS) == 1
        provider.add("second", "ES256")
        unknown = [provider.token("second", "ES256") for _ in range(10)]
        for token in unknown:  # the last read was a moment ago
            assert (await service.send(VIEWER, by=token)).status_code == 401
        assert provider.asked.count(JWKS) == 1
        monkeypatch.setattr(key_sets, "AGAIN_SECONDS", 0.0)
        answers = await asyncio.gather(*(service.send(VIEWER, by=token) for token in unknown))
        assert {answer.status_code for answer in answers} == {200}
        assert provider.asked.count(JWKS) == 2
        # The withdrawn key is accepted until the keys are read again.
        first = provider.token()
        del provider.keys["first"]
        assert (await service.send(VIEWER, by=first)).status_code == 200
        monkeypatch.setattr(key_sets, "KEPT_SECONDS", 0.0)
        assert (await service.send(VIEWER, by=first)).status_code == 401
        assert (await service.send(VIEWER, by=unknown[0])).status_code == 200


async def test_the_keys_of_before_serve_while_the_issuer_fails(
    settings: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_people(settings, provider) as service:
        assert await status(service, provider.token()) == 200
        monkeypatch.setattr(key_sets, "KEPT_SECONDS", 0.0)
        monkeypatch.setattr(key_sets, "AGAIN_SECONDS", 0.0)
        provider.replies[JWKS] = respond(b"", "500 Internal Server Error")
        asked = len(provider.asked)
        assert await status(service, provider.token()) == 200
        assert len(provider.asked) > asked
        # Nobody knows whether the issuer has another key by now.
        provider.add("second")
        assert (await service.send(VIEWER, by=provider.token("second"))).status_code == 503
        # After a failure the issuer has peace, and its people do not wait.
        monkeypatch.setattr(key_sets, "AGAIN_SECONDS", 30.0)
        asked = len(provider.asked)
        assert await status(service, provider.token()) == 200
        assert (await service.send(VIEWER, by=provider.token("second"))).status_code == 503
        assert len(provider.asked) == asked


async def test_a_key_opens_by_the_algorithms_that_it_says(settings: Settings, provider: Provider) -> None:
    provider.add("second", "RS256")
    published = [key | {"alg": "PS256"} for key in provider.published]
    provider.replies[JWKS] = replied({"keys": published})
    async with with_people(settings, provider) as service:
        assert await status(service, provider.token(algorithm="PS256")) == 200
        assert await status(service, provider.token(algorithm="RS256")) == 401


async def test_bad_keys_beside_a_good_one_are_left_out(settings: Settings, provider: Provider) -> None:
    others = [7, None, {"kid": "x"}, {"kid": "y", "kty": "AKP"}, {"kid": "z", "kty": "RSA", "n": "*", "e": "AQAB"}]
    odd = {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "first", "key_ops": 7}
    provider.replies[JWKS] = replied({"keys": [*others, odd, *provider.published]})
    async with with_people(settings, provider) as service:
        assert await status(service, provider.token()) == 200


def certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1, which signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a provider of tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    file = directory / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(private + made.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return file, context


async def test_over_https_the_certificate_is_checked(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = certificate(tmp_path)
    async with Provider(context) as provider:
        async with with_people(settings, provider) as service:
            assert (await service.send(VIEWER, by=provider.token())).status_code == 503
            assert provider.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        async with with_people(settings, provider) as service:
            assert await status(service, provider.token()) == 200


async def test_a_refusal_is_in_the_log_with_its_reason(
    settings: Settings, provider: Provider, capsys: pytest.CaptureFixture[str], logs_as_before: None
) -> None:
    from gql_identity.logs import configure_logs

    configure_logs("info", "json")
    async with with_people(settings, provider) as service:
        made: Api = service
        for changes in ({"aud": "other"}, {"exp": int(time.time()) - 70}, {"sub": ""}, {"nonce": "n"}):
            await made.send(VIEWER, by=provider.token(**changes))
        await made.send(VIEWER, by=provider.token())
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    # One line a minute for an address.
    assert [line["outcome"] for line in lines if line["event"] == "audit"] == ["TOKEN_AUDIENCE"]
    (line,) = [line for line in lines if line["event"] == "request" and line["status"] == 200]
    assert (line["user_id"], line["issuer"], line["domain_id"]) == ("ann", provider.issuer, "d1")
    assert "key_id" not in line
