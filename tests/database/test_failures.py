"""A database that fails: one warning with the driver's own words, the same in `/readyz` and in commands, no secret."""

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pydantic import SecretStr

from gql_identity.logs import configure_logs
from gql_identity.secret import make_secret
from gql_identity.settings import Settings
from gql_identity.storage.embedded import EmbeddedDatabase
from gql_identity.storage.failures import Failures
from tests.conftest import PEPPER, Api, missing_tool, running
from tests.processes import refused, run, serving, wait_until

TYPENAME = "{ __typename }"
SECRET = make_secret()
PASSWORD = "hunter2"
OF_OURS: Any = {"GQL_IDENTITY_PEPPER": PEPPER}

pytestmark = pytest.mark.usefixtures("logs_as_before")


def with_database(uri: str) -> Settings:
    return Settings(mongo_uri=SecretStr(uri), pepper=SecretStr(PEPPER), database_timeout_seconds=2)


def closed_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"


@contextmanager
def tls_listener(folder: Path) -> Iterator[str]:
    """A server with a certificate that nobody has signed: its address."""
    if shutil.which("openssl") is None:
        missing_tool("openssl")
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(["openssl", "req", *kind, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def lines(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    said = capsys.readouterr().err
    for secret in (SECRET, PASSWORD, PEPPER):
        assert secret not in said
    return [json.loads(line) for line in said.splitlines()]


async def check(api: Api, capsys: pytest.CaptureFixture[str], *words: str) -> None:
    """Each request is told that the database is away, `/readyz` says why, and one warning does."""
    for _ in range(3):
        answer = await api.send(TYPENAME, by=SECRET)
        assert answer.status_code == 503
        assert not any(word in answer.text for word in words)
    ready = await api.client.get("/readyz")
    assert ready.status_code == 503
    cause = ready.json()["cause"]
    assert any(word in cause for word in words), cause
    assert PASSWORD not in cause
    through_a_proxy = await api.client.get("/readyz", headers={"X-Forwarded-For": "203.0.113.7"})
    assert through_a_proxy.status_code == 503
    assert "cause" not in through_a_proxy.json()
    warnings = [line for line in lines(capsys) if line["level"] != "info"]
    assert [(line["event"], line["reason"]) for line in warnings] == [("the database failed", cause)]


@pytest.mark.parametrize("failure", ["a closed port", "an unknown host", "a wrong CA"])
async def test_the_warning_and_readyz_have_the_driver_s_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], failure: str
) -> None:
    configure_logs("info", "json")
    if failure == "a closed port":
        async with running(with_database(f"mongodb://ann:{PASSWORD}@{closed_port()}/")) as api:
            await check(api, capsys, "Connection refused")
    elif failure == "an unknown host":
        async with running(with_database(f"mongodb://ann:{PASSWORD}@nosuch.invalid/")) as api:
            await check(api, capsys, "not known", "name resolution", "nodename")
    else:
        with tls_listener(tmp_path) as address:
            async with running(with_database(f"mongodb://ann:{PASSWORD}@{address}/?tls=true")) as api:
                await check(api, capsys, "CERTIFICATE_VERIFY_FAILED")


async def test_a_token_for_openid_connect_that_is_missing_is_told(
    database_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("info", "json")
    host = database_server.rpartition("@")[2].partition("/")[0]
    options = "authMechanism=MONGODB-OIDC&authMechanismProperties=ENVIRONMENT:k8s"
    async with running(with_database(f"mongodb://{host}/?{options}")) as api:
        await check(api, capsys, "no token for MONGODB-OIDC: [Errno 2] No such file or directory")


async def test_a_password_that_is_changed_meanwhile_is_told_and_its_return_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("info", "json")
    with EmbeddedDatabase(tmp_path / "data") as database, pymongo.MongoClient[Any](database.uri) as client:
        client.admin.command("createUser", "ann", pwd=PASSWORD, roles=["root"], mechanisms=["SCRAM-SHA-256"])
        host = database.uri.rpartition("@")[2].partition("/")[0]
        uri = f"mongodb://ann:{PASSWORD}@{host}/?authSource=admin&authMechanism=SCRAM-SHA-256&directConnection=true"
        async with running(with_database(uri)) as api:
            assert (await api.client.get("/readyz")).status_code == 200
            client.admin.command("dropUser", "ann")
            assert database.pid is not None
            os.kill(database.pid, signal.SIGKILL)  # a connection that is open stays authenticated
            await until(lambda: api.client.get("/readyz"), "authentication failed")
            told = [line for line in lines(capsys) if line["event"] != "request"]
            assert len(told) <= 4


async def until(ask: Any, cause: str) -> None:
    async with asyncio.timeout(30):
        while cause not in (await ask()).text:  # noqa: ASYNC110 - it is asked again and again
            await asyncio.sleep(0.05)


@pytest.mark.slow
def test_a_killed_engine_is_one_line_and_so_is_what_it_meant_for_requests(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        before = service.database
        before.signal(signal.SIGKILL)
        wait_until(lambda: "ended with code -9" in service.err, 30)
        wait_until(lambda: service.status("/readyz") == 200 and service.database != before, 30)
        assert service.create()["apiKeyId"]
        told = [json.loads(line) for line in service.err.splitlines() if '"level":"warning"' in line]
        (ended,) = [line for line in told if line["event"] != "the database failed"]
        assert ended["event"].startswith("The embedded database ended with code -9")
        assert len(told) <= 2  # the other one is of requests that came meanwhile
        for secret in (service.admin_key, json.loads((service.data_dir / "embedded.json").read_text())["password"]):
            assert secret not in service.err + service.out
        assert service.stop() == 0


def test_a_command_says_the_driver_s_words_in_one_line(tmp_path: Path) -> None:
    uri = f"mongodb://ann:{PASSWORD}@{closed_port()}/"
    done = run("create-key", "--domain-id", "d", "--user-id", "u", "--mongo-uri", uri, **OF_OURS)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("Database  ")]
    assert line.startswith("gql-identity: The database cannot be reached now.")
    assert "Connection refused" in line
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize("option", ["tlsCAFile=/nope.pem", "tlsCAFile={}", "tlsCertificateKeyFile={}"])
def test_a_file_that_the_address_names_and_that_cannot_be_used_is_told(tmp_path: Path, option: str) -> None:
    (tmp_path / "empty.pem").touch()
    uri = f"mongodb://ann:{PASSWORD}@127.0.0.1/?tls=true&{option.format(tmp_path / 'empty.pem')}"
    said = refused("--port", "0", "--mongo-uri", uri, workers=["1"], **OF_OURS)
    assert said.startswith("gql-identity: The database's address")
    assert len(said.splitlines()) == 1
    assert PASSWORD not in said


def test_a_reason_is_told_once_and_many_reasons_are_not_told_at_every_request(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("info", "json")
    failures = Failures()
    failures.note("before the service runs")
    failures.are_logged = True
    for reason in ("a", "a", "b", "a", "b"):
        failures.note(reason)
    failures.end()
    failures.end()
    said = [(line["event"], line.get("reason")) for line in lines(capsys)]
    assert said == [("the database failed", "a"), ("the database responds again", None)]


async def test_the_driver_tells_the_database_the_version(settings: Settings) -> None:
    async with running(settings) as api:
        answer = await api.client.get("/identity/v1/openapi.json")
        version = answer.json()["info"]["version"]
        options = api.app.state.api_keys.credentials._database._client.delegate.options.pool_options
        assert options.metadata["application"]["name"] == f"gql-identity/{version}"
