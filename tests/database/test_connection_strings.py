"""Connection strings that are wrong: a sentence that says what to mend, with nothing of the password in it."""

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from gql_identity.announcement import place
from gql_identity.errors import StartError
from gql_identity.logs import configure_logs
from gql_identity.settings import Settings
from tests.conftest import PEPPER, running
from tests.processes import refused, run

OF_OURS: Any = {"GQL_IDENTITY_PEPPER": PEPPER}

pytestmark = pytest.mark.usefixtures("logs_as_before")


def with_database(uri: str) -> Settings:
    return Settings(mongo_uri=SecretStr(uri), pepper=SecretStr(PEPPER), database_timeout_seconds=1)


@pytest.mark.parametrize("password", ["hunter/2hunter", "12/hunter2hunter", "hunter?2hunter", "12?hunter=2hunter"])
@pytest.mark.parametrize("rest", ["127.0.0.1:1", "127.0.0.1:1/identity"])
def test_what_must_be_escaped_in_a_password_is_said_and_not_shown(password: str, rest: str) -> None:
    with pytest.raises(StartError, match="escape what is special in the user's name and password") as error:
        place(with_database(f"mongodb://ann:{password}@{rest}"))
    assert "hunter" not in str(error.value)


def test_commands_do_not_show_a_password_that_is_not_escaped() -> None:
    uri = "mongodb://ann:12/hunter@127.0.0.1:1/identity"
    for arguments in (["peppers", "--mongo-uri", uri], ["import-cloudforet", "--from", uri]):
        done = run(*arguments, **OF_OURS)
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if not line.startswith("Database  ")]
        assert "address is wrong: escape what is special in the user's name and password" in line
        assert "hunter" not in line


@pytest.mark.parametrize("password", ["hunter#2", "hunter[2", "hunter;2", "%40hunter"])
def test_nothing_of_a_password_that_the_driver_takes_is_shown(password: str) -> None:
    uri = f"mongodb://ann:{password}@db1.example,db2.example:27018/keys?appName=@x@"
    assert place(with_database(uri)) == "keys on your MongoDB at db1.example,db2.example:27018"


@pytest.mark.parametrize("option", ["tls=ture", "authMechanism=SCRAM", "maxPoolSize=many"])
def test_an_option_with_a_wrong_value_is_an_error_instead_of_being_ignored(option: str) -> None:
    with pytest.raises(StartError, match="The database's address is wrong: ") as error:
        place(with_database(f"mongodb://ann:hunter2@127.0.0.1:1/identity?{option}"))
    assert option.partition("=")[0].lower() in str(error.value).lower()


def test_an_option_with_a_wrong_value_stops_the_start_and_commands() -> None:
    uri = "mongodb://ann:hunter2@127.0.0.1:1/identity?tls=ture"
    (line,) = refused("--port", "0", "--mongo-uri", uri, workers=["1"], **OF_OURS).splitlines()
    assert line.startswith("gql-identity: The database's address is wrong: ")
    (line,) = run("import-cloudforet", "--from", uri, **OF_OURS).stderr.splitlines()
    assert line.startswith("gql-identity: --from: The database's address is wrong: ")


def test_an_option_of_another_driver_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    for _ in range(2):
        place(with_database("mongodb://127.0.0.1:1/?useNewUrlParser=true"))
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert line["event"] == "an option of the database's address is not used"
    assert line["reason"].startswith("Unknown option: usenewurlparser.")


async def test_a_name_that_dns_does_not_have_may_come_as_that_of_another_host() -> None:
    async with running(with_database("mongodb+srv://ann:hunter2@nosuch.invalid/keys")) as api:
        ready = await api.client.get("/readyz")
        assert ready.status_code == 503
        # Without a name server there is no word of it in time.
        assert "_mongodb._tcp.nosuch.invalid" in ready.text or "no response in time" in ready.text
    done = run("peppers", "--mongo-uri", "mongodb+srv://ann:hunter2@nosuch.invalid/keys", **OF_OURS)
    assert "check the user, its password" not in done.stderr
    assert done.returncode == 1


@pytest.mark.slow
def test_a_host_that_says_nothing_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        done = run("keys", "list", "--mongo-uri", f"mongodb://{address}/", **OF_OURS)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"The reason: no response from {address}")
    done = run("import-cloudforet", "--from", f"mongodb://{address}/", "--data-dir", str(tmp_path), **OF_OURS)
    assert "Topology" not in done.stderr


@pytest.mark.slow
def test_another_protocol_is_told_without_numbers_that_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        def respond() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=respond)
        thread.start()
        try:
            done = run("keys", "list", "--mongo-uri", f"mongodb://{address}/", **OF_OURS)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"The reason: not MongoDB's protocol at {address}")


def test_a_database_whose_name_has_a_dot_is_not_taken_for_another() -> None:
    with pytest.raises(StartError, match=r"the name of a database has no dot, as ident\.ity has"):
        place(with_database("mongodb://127.0.0.1:1/ident.ity"))
