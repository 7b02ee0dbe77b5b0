"""The commands as their users run them: real processes, real signals."""

import importlib.metadata
import itertools
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pymongo
import pytest
from websockets.exceptions import ConnectionClosed

from gql_identity.cli import main
from gql_identity.cli.arguments import agrees
from gql_identity.secret import PREFIX, is_well_formed, pepper_fingerprint
from gql_identity.settings import Settings

from ..processes import COMMAND, CREATE, ROOT, WHO, Service, refused, run, serving, surroundings, wait_until
from .conftest import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")

PEPPER = "a pepper of the person who runs it that is long enough"
NEWER = "the pepper that came after it and is long enough"


def on(uri: str, pepper: str = PEPPER, **more: str) -> dict[str, Any]:
    """The environment of a service on a database of the user's own."""
    return {"GQL_IDENTITY_MONGO_URI": uri, "GQL_IDENTITY_PEPPER": pepper, **more}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that many tests look at and none stops."""
    with serving(tmp_path_factory.mktemp("service") / "data", GQL_IDENTITY_LOG_LEVEL="debug") as service:
        yield service


class TestTheStart:
    def test_it_says_where_everything_is_and_off_a_terminal_not_the_key(self, service: Service) -> None:
        assert service.out.splitlines() == [
            f"API       {service.url}/graphql",
            f"GraphiQL  {service.url}/graphql in a browser",
            f"Console   {service.url}/console in a browser",
            f"Database  embedded, its data in {service.data_dir}",
            f"Key       {service.data_dir / 'admin-key'}",
        ]
        assert PREFIX not in service.out + service.err

    def test_its_first_log_line_has_the_version_and_the_settings_without_secrets(self, service: Service) -> None:
        wait_until(lambda: service.err.count("\n") > 0, 20)
        line = json.loads(service.err.splitlines()[0])
        assert line["event"] == "starting"
        assert line["version"] == importlib.metadata.version("gql-identity")
        assert f"http://{line['listens_on']}" == service.url
        assert line["database"] == f"embedded, its data in {service.data_dir}"
        assert line["settings"].keys() == Settings.model_fields.keys()
        assert (line["settings"]["log_level"], line["settings"]["max_depth"]) == ("debug", 12)

    def test_its_first_log_line_hides_each_secret(self, mongo_uri: str, tmp_path: Path) -> None:
        given = on(
            mongo_uri, GQL_IDENTITY_PEPPERS_RETIRED=NEWER, GQL_IDENTITY_RATES_STORE="redis://:sesame@127.0.0.1:1"
        )
        with serving(tmp_path / "data", ready=False, **given) as service:
            wait_until(lambda: '"starting"' in service.err, 20)
            (line,) = [json.loads(line) for line in service.err.splitlines() if '"starting"' in line]
            assert line["settings"]["pepper"] == line["settings"]["mongo_uri"] == "**********"
            password = urlsplit(mongo_uri).password
            for secret in (PEPPER, NEWER, "sesame", password):
                assert secret is None or secret not in service.err + service.out

    def test_on_a_terminal_it_prints_the_first_key_once(self, tmp_path: Path) -> None:
        for number in range(2):
            out = on_a_terminal(tmp_path / "data")
            key = (tmp_path / "data" / "admin-key").read_text().strip()
            assert is_well_formed(key)
            assert (f"\n          {key}" in out.replace("\r", "")) == (number == 0)
            # The page's address has a code, good once, and never the key: browsers keep their history in files.
            codes = re.findall(r"/(graphql|console)#code=([\w-]{22})\s", out)
            assert [page for page, _ in codes] == ["graphql", "console"]
            assert len({code for _, code in codes}) == 2
            assert f"#key={key}" not in out
            assert str(tmp_path / "data" / "admin-key") in out

    @pytest.mark.slow
    def test_the_link_is_printed_only_for_a_first_key_that_is_valid(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data") as service:
            listed = service.data('{ apiKeys(input: {domainId: "default"}) { results { apiKeyId } } }')["apiKeys"]
            first = listed["results"][0]["apiKeyId"]
            other = service.create("ann", "default", role="SYSTEM")["apiKey"]
            end = f'mutation {{ disableApiKey(input: {{domainId: "default", apiKeyId: "{first}"}}) {{ state }} }}'
            assert service.data(end, by=other)
        out = on_a_terminal(tmp_path / "data")
        assert "/graphql in a browser" in out
        assert "#code" not in out
        assert "          is not valid any more: create another with `gql-identity create-key`" in out

    def test_what_it_keeps_is_for_its_owner_alone(self, service: Service) -> None:
        assert mode(service.data_dir) == 0o700
        assert mode(service.data_dir / "admin-key") == 0o600
        files = [path for path in service.data_dir.rglob("*") if path.is_file()]
        assert len(files) > 10
        assert {path.name for path in files if mode(path) & 0o077} == set()

    def test_the_first_key_may_do_everything(self, service: Service) -> None:
        made = service.create("ann", "elsewhere", role="SYSTEM")
        assert service.get(made["apiKeyId"], "elsewhere", made["apiKey"])["userId"] == "ann"

    def test_it_leaves_nothing_outside_its_data_directory(self, tmp_path: Path) -> None:
        for name in ("work", "home", "tmp"):
            (tmp_path / name).mkdir()
        places: dict[str, Any] = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
        with serving(tmp_path / "data", cwd=tmp_path / "work", **places) as service:
            service.create()
            assert service.stop() == 0
        assert sorted(path.name for path in tmp_path.rglob("*") if tmp_path / "data" not in path.parents) == [
            "data",
            "home",
            "tmp",
            "work",
        ]


class TestAnswersOnTheWire:
    def test_a_head_and_its_body_are_one_packet(self, service: Service) -> None:
        body = json.dumps({"query": "{ __typename }"}).encode()
        with connect(service) as connection:
            for _ in range(5):
                connection.sendall(head(service, len(body)) + body)
                assert connection.recv(65536).endswith(b'{"data":{"__typename":"Query"}}')

    def test_many_large_answers_that_are_asked_for_at_once_come_whole(self, service: Service) -> None:
        body = json.dumps({"query": "{ _service { sdl } }"}).encode()
        last = head(service, len(body)).replace(b"Host: x", b"Host: x\r\nConnection: close")
        with connect(service) as connection:
            connection.sendall((head(service, len(body)) + body) * 20 + last + body)
            said = answer_of(connection)
        (size,) = set(re.findall(rb"(?i)content-length: (\d+)", said))
        assert int(size) > 10_000
        answers = said.split(b"HTTP/1.1 200 OK\r\n")[1:]
        assert [len(answer.partition(b"\r\n\r\n")[2]) for answer in answers] == [int(size)] * 21


class TestTheStop:
    @pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
    def test_it_finishes_what_it_began_writes_the_last_use_and_takes_its_database_along(
        self, tmp_path: Path, number: int
    ) -> None:
        with serving(tmp_path / "data") as service, ThreadPoolExecutor() as threads:
            used = service.create(role="USER")
            service.get(used["apiKeyId"], by=used["apiKey"])
            database = service.database
            # A request that is under way for as long as its database stands still.
            database.signal(signal.SIGSTOP)
            answer = threads.submit(service.create, "late")
            time.sleep(0.3)
            service.process.send_signal(number)
            time.sleep(0.5)
            assert service.process.poll() is None
            database.signal(signal.SIGCONT)
            late = answer.result(10)
            assert service.process.wait(10) == 0
            assert not database.is_running
            assert "Traceback" not in service.err
            assert "error" not in service.err
        with serving(tmp_path / "data") as service:
            assert service.get(late["apiKeyId"])["userId"] == "late"
            assert service.get(used["apiKeyId"])["lastAccessedAt"] is not None

    def test_a_request_whose_body_is_still_on_its_way_is_answered(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data") as service:
            body = json.dumps({"query": "{ __typename }"}).encode()
            with connect(service) as connection:
                connection.sendall(head(service, len(body)) + body[:5])
                time.sleep(0.2)
                service.process.terminate()
                time.sleep(0.5)
                connection.sendall(body[5:])
                assert answer_of(connection).startswith(b"HTTP/1.1 200")
            assert service.process.wait(10) == 0

    @pytest.mark.slow
    def test_with_the_database_standing_still_it_stops_within_10_seconds_all_the_same(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data") as service, ThreadPoolExecutor() as threads:
            service.create()
            service.database.signal(signal.SIGSTOP)
            answer = threads.submit(service.send, WHO)
            time.sleep(0.2)
            assert service.stop() == 0
            # Who waits is told before the end.
            (error,) = answer.result(10).json()["errors"]
            assert error["extensions"]["code"] in ("DEADLINE_EXCEEDED", "UNAVAILABLE")

    @pytest.mark.slow
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_a_create_that_it_cuts_off_names_the_key_that_it_may_have_made(self, tmp_path: Path, workers: str) -> None:
        with serving(tmp_path / "data", "--workers", workers) as service, ThreadPoolExecutor() as threads:
            self._freeze_with_known_keys(service)
            answer = threads.submit(service.send, CREATE, {"domainId": "d", "userId": "late"})
            time.sleep(0.3)
            assert service.stop(seconds=20) == 0
            check_named(answer.result(10))

    def test_a_second_ctrl_c_has_it_named_at_once(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data") as service, ThreadPoolExecutor() as threads:
            self._freeze_with_known_keys(service)
            answer = threads.submit(service.send, CREATE, {"domainId": "d", "userId": "late"})
            time.sleep(0.3)
            service.process.send_signal(signal.SIGINT)
            time.sleep(1)
            service.process.send_signal(signal.SIGINT)
            began = time.monotonic()
            check_named(answer.result(10))
            assert time.monotonic() - began < 2

    def test_a_mutation_over_websocket_has_its_response(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data") as service:
            with service.websocket() as websocket:
                database = service.database
                database.signal(signal.SIGSTOP)
                payload = {"query": CREATE, "variables": {"domainId": "d", "userId": "late"}}
                websocket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
                time.sleep(0.3)
                service.process.terminate()
                time.sleep(1.5)
                database.signal(signal.SIGCONT)
                answer, end = (json.loads(websocket.recv(10)) for _ in range(2))
                with pytest.raises(ConnectionClosed):
                    websocket.recv(10)
                assert websocket.close_code == 1012
            assert is_well_formed(answer["payload"]["data"]["createApiKey"]["apiKey"])
            assert end == {"type": "complete", "id": "1"}
            assert service.process.wait(10) == 0
            assert "Traceback" not in service.err

    def _freeze_with_known_keys(self, service: Service) -> None:
        database = service.database
        for _ in range(6):  # each worker knows the caller then, for half a second
            service.data("{ __typename }")
        database.signal(signal.SIGSTOP)

    @pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
    def test_a_signal_right_after_the_announcement_is_not_lost(self, tmp_path: Path, workers: str) -> None:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--workers", workers, "--data-dir", str(tmp_path / "data")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=surroundings(),
        )
        assert process.stdout is not None
        while not process.stdout.readline().startswith(b"Key "):
            assert process.poll() is None
        process.terminate()
        try:
            _, err = process.communicate(timeout=10)
        finally:
            process.kill()
        assert process.returncode == 0, err
        assert b"Traceback" not in err

    @pytest.mark.slow
    @pytest.mark.parametrize("workers", ["1", "2"])
    @pytest.mark.parametrize("is_ready", [True, False])
    def test_two_ctrl_c_print_no_traceback(self, tmp_path: Path, workers: str, is_ready: bool) -> None:
        with serving(tmp_path / "data", "--workers", workers, ready=is_ready) as service:
            service.family()
            with connect(service) as connection:
                if is_ready:  # a request that is under way, whose body never comes
                    connection.sendall(head(service, 100))
                    time.sleep(0.2)
                for _ in range(2):
                    os.killpg(service.process.pid, signal.SIGINT)  # as a terminal does
                    time.sleep(0.2)
                assert service.process.wait(20) == 0
            service.assert_nothing_is_left(5)
            assert "Traceback" not in service.err
            assert "KeyboardInterrupt" not in service.err

    def test_a_stop_while_it_starts_is_clean_too(self, tmp_path: Path) -> None:
        for seconds in (0.7, 1.0, 1.4):
            process = subprocess.Popen(
                [*COMMAND, "serve", "--port", "0", "--data-dir", str(tmp_path / "data")],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=surroundings(),
            )
            time.sleep(seconds)
            process.terminate()
            _, err = process.communicate(timeout=10)
            # Before its first line runs the signal ends it; from then on the stop is its own.
            assert process.returncode in (0, -signal.SIGTERM), err
            assert b"Traceback" not in err


class TestWorkers:
    def test_both_serve_from_one_database_and_stop_with_0(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data", "--workers", "2") as service:
            made = service.create()
            workers = service.workers
            assert len(workers) == 2
            # With one of the two standing still, the other answers all.
            for worker in workers:
                worker.signal(signal.SIGSTOP)
                wait_until(lambda: answers(service, made["apiKey"]), 20)
                worker.signal(signal.SIGCONT)
            assert service.database.is_running
            assert service.stop() == 0
            assert "Traceback" not in service.err

    def test_they_and_the_database_end_with_a_killed_parent(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data", "--workers", "2") as service:
            assert len(service.workers) == 2
            assert service.database.is_running
            service.process.kill()
            service.process.wait()
            service.assert_nothing_is_left()

    @pytest.mark.slow
    def test_a_killed_worker_is_replaced(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data", "--workers", "2") as service:
            before = service.workers
            for worker in before:
                worker.signal(signal.SIGKILL)
            wait_until(lambda: len(service.workers - before) == 2, 20)
            service.wait_until_ready()
            service.create()
            said = r"Worker process (\d+) was ended by signal 9 \(Killed\); process (\d+) replaces it\."
            wait_until(lambda: len(re.findall(said, service.err)) == 2, 20)
            assert {(int(old), int(new)) for old, new in re.findall(said, service.err)} <= {
                (old.pid, new.pid) for old in before for new in service.workers
            }
            assert service.stop() == 0


class TestRefusals:
    """Each with one worker and with two: `refused` runs both."""

    def test_a_port_in_use(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            said = refused("--port", port, "--data-dir", str(tmp_path / "data"))
        assert said == (
            f"gql-identity: Cannot listen on 127.0.0.1 port {port}: Address already in use. "
            f"Choose another with --port, or by GQL_IDENTITY_PORT={int(port) + 1} make serve.\n"
        )
        assert not (tmp_path / "data").exists()

    def test_a_host_that_does_not_exist(self, tmp_path: Path) -> None:
        for host, said in (
            ("no.such.host.invalid", "--host no.such.host.invalid: "),
            ("192.0.2.1", "Choose an address of this machine with --host."),
        ):
            assert said in refused("--host", host, "--port", "0", workers=["1"])

    def test_all_mistakes_of_the_settings_are_told_at_once_and_no_secret(self, tmp_path: Path) -> None:
        said = refused(
            "--port",
            "123456",
            "--data-dir",
            str(tmp_path / "data"),
            GQL_IDENTITY_LOG_LEVEL="loud",
            GQL_IDENTITY_MONGO_URI="mongo://ann:hunter2@db.example",
            GQL_IDENTITY_PEPPER="sesame",
            GQL_IDENTITY_LOG_LEVLE="info",
        )
        for name in ("--port", "LOG_LEVEL:", "MONGO_URI", "PEPPER", "LOG_LEVLE is not a setting"):
            assert name in said
        assert "hunter2" not in said
        assert "sesame" not in said

    def test_a_wrong_password_of_the_database_is_told_but_not_printed(
        self, database_server: str, tmp_path: Path
    ) -> None:
        uri = re.sub(r"//([^:]+):[^@]+@", r"//\1:hunter2@", database_server)
        said = refused("--port", "0", workers=["1"], **on(uri))
        assert "check the user, its password and its rights (--mongo-uri)" in said
        assert "hunter2" not in said
        for uri in ("mongodb://ann:hunter2@[bad", "mongodb://ann:hun:ter2@a"):
            said = refused("--port", "0", workers=["1"], **on(uri))
            assert "The database's address is wrong" in said
            assert "ter2" not in said

    def test_a_data_directory_in_use(self, service: Service) -> None:
        said = refused("--port", "0", "--data-dir", str(service.data_dir))
        assert f"in use by a running service, process {service.process.pid}." in said

    @pytest.mark.parametrize(
        ("setting", "value", "told"),
        [
            ("TRUSTED_DOCUMENTS", "/nowhere/manifest.json", "The manifest /nowhere/manifest.json cannot be read"),
            ("SIGNING_KEY_FILE", "/nowhere/key.pem", "GQL_IDENTITY_SIGNING_KEY_FILE"),
        ],
    )
    def test_a_file_that_only_workers_use(self, mongo_uri: str, setting: str, value: str, told: str) -> None:
        environment = on(mongo_uri, GQL_IDENTITY_ISSUER="https://keys.example", **{f"GQL_IDENTITY_{setting}": value})
        assert told in refused("--port", "0", **environment)

    @pytest.mark.parametrize("setting", ["ISSUER", "ISSUERS"])
    def test_a_library_that_only_workers_use(self, mongo_uri: str, tmp_path: Path, setting: str) -> None:
        (tmp_path / "joserfc.py").write_text("raise ImportError")
        value = "https://keys.example"
        if setting == "ISSUERS":
            value = json.dumps([{"issuer": value, "audience": "a", "domain": "d"}])
        environment = on(mongo_uri, PYTHONPATH=f"{tmp_path}:{ROOT}", **{f"GQL_IDENTITY_{setting}": value})
        said = refused("--port", "0", **environment)
        assert said.startswith(f"gql-identity: GQL_IDENTITY_{setting} needs a library"), said

    def test_a_name_that_the_system_refuses(self) -> None:
        for command in (["serve", "--port", "0"], ["keys", "list"]):
            said = run(*command, "--data-dir", "x" * 300)
            assert said.returncode == 1
            assert "File name too long" in said.stderr
            assert "Traceback" not in said.stderr

    def test_an_admin_key_that_is_no_text_is_no_key(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data") as service:
            assert service.stop() == 0
        (tmp_path / "data" / "admin-key").write_bytes(b"\xff\xfe\n")
        with serving(tmp_path / "data") as service:
            assert "is not valid any more" in service.out
            assert service.stop() == 0

    def test_a_question_without_an_answer_is_a_no(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ours, its = pty.openpty()
        os.write(ours, b"\x04")  # Ctrl-D
        with os.fdopen(its) as terminal:
            monkeypatch.setattr(sys, "stdin", terminal)
            assert not agrees("This deletes a key.")
        os.close(ours)

    def test_a_data_directory_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert "Choose another with --data-dir." in refused("--port", "0", "--data-dir", str(tmp_path / "file" / "x"))

    def test_it_tells_its_version_also_as_a_module(self) -> None:
        version = f"gql-identity {importlib.metadata.version('gql-identity')}\n"
        assert run("--version").stdout == version
        command = [sys.executable, "-m", "gql_identity", "--version"]
        assert subprocess.run(command, capture_output=True, text=True, env=surroundings()).stdout == version

    def test_the_help_shows_flags_with_their_defaults(self) -> None:
        shown = " ".join(run("serve", "--help").stdout.split())
        assert "--port PORT The port to listen on; 0 takes a free one. (default: 8000)" in shown
        assert "SETTING" not in shown

    def test_a_misspelled_command_shows_its_usage(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert exit_code("serve", "--prot", "1") == 2
        assert "usage: gql-identity" in capsys.readouterr().err


class TestRestart:
    def test_keys_are_kept_and_no_second_first_key_is_made(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data") as service:
            first = service.admin_key
            made = service.create()
            assert service.stop() == 0
        with serving(tmp_path / "data") as service:
            assert service.admin_key == first
            assert service.get(made["apiKeyId"])["userId"] == "u"
            assert service.data(WHO)["apiKeys"]["totalCount"] == 1

    @pytest.mark.slow
    def test_after_a_sigkill_amid_200_creates_by_8_clients_every_answered_key_is_there(self, tmp_path: Path) -> None:
        answered: list[dict[str, str]] = []
        with serving(tmp_path / "data") as service:
            numbers = iter(range(200))
            lock = threading.Lock()
            admin_key = service.admin_key

            def create() -> None:
                while True:
                    with lock:
                        number = next(numbers, None)
                    if number is None:
                        return
                    try:
                        made = service.create(f"u{number}", by=admin_key)
                    except (httpx.TransportError, AssertionError):
                        return
                    answered.append({**made, "userId": f"u{number}"})
                    if len(answered) == 100:
                        service.process.kill()

            with ThreadPoolExecutor(8) as clients:
                for done in [clients.submit(create) for _ in range(8)]:
                    done.result()
            service.process.wait()
            service.assert_nothing_is_left()
        assert 100 <= len(answered) < 200
        with serving(tmp_path / "data") as service:
            listed = service.data("""{ apiKeys(input: {domainId: "d", query: {page: {limit: 1000}}}) {
                results { apiKeyId userId } } }""")["apiKeys"]["results"]
            there = {key["apiKeyId"]: key["userId"] for key in listed}
            assert {made["apiKeyId"]: made["userId"] for made in answered}.items() <= there.items()
            last = answered[-1]
            assert service.get(last["apiKeyId"], by=last["apiKey"])["userId"] == last["userId"]


class TestCreateKey:
    FIELDS = "api_key_id api_key state user_id domain_id last_accessed_at created_at name role hint created_by"
    FIELDS += " created_by_user_id expires_at expired updated_at scopes secrets rotated_at tags allowed_addresses"

    def test_while_the_service_runs_the_key_works_at_once(self, service: Service) -> None:
        made = service.command(
            "create-key", "--domain-id", "d", "--user-id", "bea", "--role", "DOMAIN_OWNER", "--name", "n", "--json"
        )
        said = f"Database  embedded, its data in {service.data_dir}\n"
        assert (made.returncode, made.stderr) == (0, said)
        key = json.loads(made.stdout)
        assert " ".join(key) == self.FIELDS
        assert (key["role"], key["name"], key["user_id"], key["state"]) == ("DOMAIN_OWNER", "n", "bea", "ENABLED")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", key["created_at"])
        assert service.get(key["api_key_id"], by=key["api_key"])["userId"] == "bea"

    def test_without_a_service_it_starts_the_database_itself(self, tmp_path: Path) -> None:
        with serving(tmp_path / "data") as service:
            assert service.stop() == 0
        made = run("create-key", "--domain-id", "d", "--user-id", "bea", "--data-dir", str(tmp_path / "data"))
        assert (made.returncode, made.stderr) == (0, f"Database  embedded, its data in {tmp_path / 'data'}\n")
        described, _, secret = made.stdout.splitlines()
        assert is_well_formed(secret)
        assert described.endswith(", role USER, for user bea of domain d.")
        with serving(tmp_path / "data") as service:
            assert service.get(described.partition(",")[0], by=secret)["userId"] == "bea"

    @pytest.mark.parametrize(
        "command",
        [
            ["create-key", "--domain-id", "d", "--user-id", "u"],
            ["rotate-key", "api-key-0"],
            ["keys", "list"],
            ["create-indexes"],
            ["peppers"],
            ["forget-pepper", "0123"],
        ],
        ids=lambda command: command[0],
    )
    @pytest.mark.parametrize("exists", [False, True])
    def test_in_a_folder_without_a_database_no_command_makes_one(
        self, run: Run, tmp_path: Path, command: list[str], exists: bool
    ) -> None:
        place = tmp_path / "data"
        if exists:
            place.mkdir()
        refusal = run(*command, "--data-dir", str(place))
        assert (refusal.returncode, refusal.stdout) == (1, "")
        assert refusal.stderr == (
            f"Database  embedded, its data in {place}\n"
            f"gql-identity: There is no embedded database in {place}. `gql-identity serve` makes one; to use another, "
            "give its directory with --data-dir, or --mongo-uri.\n"
        )
        assert place.exists() is exists
        assert not exists or list(place.iterdir()) == []

    def test_what_cannot_be_is_told_and_nothing_made(self, service: Service) -> None:
        refusal = service.command("create-key", "--domain-id", " d", "--user-id", "bea")
        assert refusal.returncode == 1
        told = "gql-identity: --domain-id: white space at either end is not allowed; remove it."
        assert refusal.stderr.splitlines()[-1] == told
        assert refusal.stdout == ""


class TestADatabaseOfTheUsersOwn:
    def test_nothing_is_made_unasked_and_create_key_makes_the_first(self, mongo_uri: str, tmp_path: Path) -> None:
        with serving(tmp_path / "data", **on(mongo_uri)) as service:
            assert "Key " not in service.out
            assert f"Database  {mongo_uri.rpartition('/')[2].partition('?')[0]} on your MongoDB" in service.out
            assert not (tmp_path / "data").exists()
            with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
                assert client.get_default_database().api_keys.count_documents({}) == 0
            key = json.loads(
                service.command("create-key", "--domain-id", "d", "--user-id", "u", "--role", "SYSTEM", "--json").stdout
            )
            assert service.create(by=key["api_key"])
            assert service.family() == set()
            assert service.stop() == 0
            assert not (tmp_path / "data").exists()

    def test_a_pepper_is_asked_for(self, mongo_uri: str) -> None:
        assert "GQL_IDENTITY_PEPPER: is required" in refused(workers=["1"], GQL_IDENTITY_MONGO_URI=mongo_uri)

    @pytest.mark.slow
    def test_a_pepper_can_be_changed_without_losing_a_key(self, mongo_uri: str, tmp_path: Path) -> None:
        create = ["create-key", "--domain-id", "d", "--user-id", "u", "--json"]
        first, second = (json.loads(run(*create, **on(mongo_uri)).stdout) for _ in range(2))
        old, new = pepper_fingerprint(PEPPER), pepper_fingerprint(NEWER)

        # The wrong pepper alone stops both commands, which say whose keys would be lost.
        for said in (refused("--port", "0", **on(mongo_uri, NEWER)), run(*create, **on(mongo_uri, NEWER)).stderr):
            assert old in said
            assert new in said
            assert "GQL_IDENTITY_PEPPERS_RETIRED" in said
            assert PEPPER not in said
            assert NEWER not in said

        # With the old one retired its keys work, and use moves them to the new one.
        both = on(mongo_uri, NEWER, GQL_IDENTITY_PEPPERS_RETIRED=PEPPER)
        with serving(tmp_path / "data", **both) as service:
            assert service.get(first["api_key_id"], by=first["api_key"])["userId"] == "u"
            assert service.stop() == 0
        assert old in run(*create, **on(mongo_uri, NEWER)).stderr
        listed = run("peppers", **both)
        assert listed.stdout.splitlines() == [
            f"{old}  retired: its keys move to the current one when used; 1 key",
            f"{new}  current: keys are made with it; 1 key",
        ]
        assert f"{old}  missing in the settings" in run("peppers", **on(mongo_uri, NEWER)).stdout
        assert run("forget-pepper", "--yes", old, **both).returncode == 1
        forgotten = run("forget-pepper", "--yes", "--force", old, **both)
        assert forgotten.returncode == 0
        assert re.fullmatch(r"Database  test_\w+ on your MongoDB at [\w.:]+\n", forgotten.stderr)
        assert f"{old}  forgotten: its keys are not accepted; 1 key" in run("peppers", **on(mongo_uri, NEWER)).stdout
        with serving(tmp_path / "data", **on(mongo_uri, NEWER)) as service:
            assert service.send(WHO, by=first["api_key"]).status_code == 200
            assert service.send(WHO, by=second["api_key"]).status_code == 401

    @pytest.mark.slow
    def test_a_pepper_is_rolled_out_service_by_service_in_two_steps_without_a_refusal(
        self, mongo_uri: str, tmp_path: Path
    ) -> None:
        table = (ROOT / "docs" / "operations.md").read_text().partition("## A new pepper")[2].partition("\n4. ")[0]
        rows = re.findall(r"\| (the \w+ one) \| (the \w+ one) \|", table)
        names = {"the old one": PEPPER, "the new one": NEWER}
        steps = [
            on(mongo_uri),
            *(on(mongo_uri, names[pepper], GQL_IDENTITY_PEPPERS_RETIRED=names[retired]) for pepper, retired in rows),
        ]
        assert len(steps) == 3
        create = ["create-key", "--domain-id", "d", "--user-id", "u", "--json"]
        secrets = [json.loads(run(*create, **steps[0]).stdout)["api_key"]]
        for before, after in itertools.pairwise(steps):
            # Two services of each step side by side, of which one is started again.
            with serving(tmp_path / "1", **before) as old, serving(tmp_path / "2", **after) as new:
                for service in (new, old, new):
                    secrets.append(service.create("u", "d", by=secrets[0])["apiKey"])
                    time.sleep(3)  # uses are written, and digests moved
                    assert {s.send(WHO, by=secret).status_code for s in (old, new) for secret in secrets} == {200}
                with serving(tmp_path / "3", **before) as again:
                    assert {again.send(WHO, by=secret).status_code for secret in secrets} == {200}
        # Once all services use the new one, each used key is under it, and the old one can go.
        with serving(tmp_path / "1", **steps[2]) as service:
            assert f"Pepper    {pepper_fingerprint(PEPPER)}  retired: " in service.out
            assert {service.send(WHO, by=secret).status_code for secret in secrets} == {200}
            assert service.stop() == 0
        assert f"{pepper_fingerprint(PEPPER)}  retired: its keys move to the current one when used; 0 keys" in (
            run("peppers", **steps[2]).stdout
        )
        assert run("forget-pepper", "--yes", pepper_fingerprint(PEPPER), **steps[2]).returncode == 0
        with serving(tmp_path / "1", **on(mongo_uri, NEWER)) as service:
            assert {service.send(WHO, by=secret).status_code for secret in secrets} == {200}
            assert "Pepper" not in service.out

    def test_the_pepper_in_use_is_not_forgotten(self, run: Run, mongo_uri: str) -> None:
        assert run("create-key", "--domain-id", "d", "--user-id", "u", **on(mongo_uri)).returncode == 0
        refusal = run("forget-pepper", "--yes", pepper_fingerprint(PEPPER), **on(mongo_uri))
        assert refusal.returncode == 1
        assert "in use" in refusal.stderr

    def test_missing_indexes_of_a_database_with_keys_are_named_and_can_be_made(
        self, run: Run, mongo_uri: str, tmp_path: Path
    ) -> None:
        create = ["create-key", "--domain-id", "d", "--user-id", "u"]
        assert run(*create, **on(mongo_uri)).returncode == 0
        with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
            client.get_default_database().api_keys.drop_index("digest_1")
        said = refused("--port", "0", workers=["1"], **on(mongo_uri))
        assert "lacks the indexes api_keys.digest_1" in said
        assert "gql-identity create-indexes" in said
        made = run("create-indexes", **on(mongo_uri))
        assert made.returncode == 0
        assert re.fullmatch(r"Database  test_\w+ on your MongoDB at [\w.:]+\n", made.stderr)
        assert run(*create, **on(mongo_uri)).returncode == 0

    def test_a_newer_schema_is_refused(self, mongo_uri: str) -> None:
        with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
            client.get_default_database().meta.insert_one({"_id": "meta", "schema": 3, "peppers": []})
        assert "Start a newer version." in refused("--port", "0", workers=["1"], **on(mongo_uri))


class TestLogs:
    def test_a_request_is_one_line_of_json(self, service: Service) -> None:
        query = 'query WhoAmI { apiKeys(input: {domainId: "default"}) { totalCount } }'
        viewer = service.data("{ viewer { apiKeyInfo { apiKeyId } } }")
        key_id = viewer["viewer"]["apiKeyInfo"]["apiKeyId"]
        before = len(service.err)
        answer = service.send(query)
        given = service.send(query, None, None, **{"X-Request-ID": "mine-1"})
        assert given.headers["X-Request-ID"] == "mine-1"
        lines = [json.loads(line) for line in service.err[before:].splitlines()]
        for line, request_id in zip(lines, [answer.headers["X-Request-ID"], "mine-1"], strict=True):
            assert line.pop("duration_ms") > 0
            assert line.pop("timestamp").endswith("Z")
            assert line == {
                "event": "request",
                "level": "info",
                "method": "POST",
                "path": "/graphql",
                "operation": "WhoAmI",
                "operation_type": "query",
                "status": 200,
                "bytes": len(answer.content),
                "request_id": request_id,
                "address": "127.0.0.1",
                "key_id": key_id,
                "domain_id": "default",
                "role": "SYSTEM",
            }

    def test_no_request_id_of_a_client_can_forge_a_line(self, service: Service) -> None:
        for given in ("a b", "x" * 129, '"', "a\tb"):
            answer = service.send("{ __typename }", None, None, **{"X-Request-ID": given})
            assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])

    def test_neither_a_secret_nor_a_variable_is_logged_at_the_finest_level(self, service: Service) -> None:
        made = service.create("user-in-a-variable", "d", name="name-in-a-variable")
        wrong = made["apiKey"][:-1] + ("0" if made["apiKey"][-1] != "0" else "1")
        for secret in (made["apiKey"], wrong, "not a secret but sent as one"):
            service.send(WHO, by=secret)
        service.send("{ apiKeys(input: {domainId: 1}) { nothing } }", {"x": "unused-variable"})
        service.send("query($x: Int!) { __typename }", {"x": "wrong-variable"})
        said = service.err + service.out
        assert '"status":401' in said
        for text in (made["apiKey"], wrong, service.admin_key, "in-a-variable", "sent as one", "unused", "wrong-var"):
            assert text not in said
        assert made["apiKey"][len(PREFIX) : -6] not in said

    def test_no_process_shows_a_secret_in_its_arguments(self, service: Service) -> None:
        password = json.loads((service.data_dir / "embedded.json").read_text())["password"]
        pepper = (service.data_dir / "pepper").read_text().strip()
        for process in service.family():
            assert password not in process.command
            assert pepper not in process.command

    @pytest.mark.slow
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_no_child_process_has_a_secret_in_its_environment(self, tmp_path: Path, workers: str) -> None:
        retired: dict[str, Any] = {"GQL_IDENTITY_PEPPER": PEPPER, "GQL_IDENTITY_PEPPERS_RETIRED": NEWER}
        nothing: dict[str, Any] = {}
        for given in (nothing, retired):
            with serving(tmp_path / f"data {len(given)}", "--workers", workers, **given) as service:
                record = json.loads((service.data_dir / "embedded.json").read_text())
                pepper = PEPPER if given else (service.data_dir / "pepper").read_text().strip()
                for worker in service.workers:  # one that is made anew gets its settings too
                    worker.signal(signal.SIGKILL)
                    break
                wait_until(lambda service=service: len(service.workers) == (2 if workers == "2" else 0), 20)
                service.wait_until_ready()
                service.create()
                number = 1 if workers == "1" else 4  # the database, two workers, the resource tracker
                # The killed worker may have been counted until now.
                wait_until(lambda service=service, number=number: len(service.family()) == number, 20)
                for process in service.family():
                    environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode()
                    for secret in (pepper, NEWER, record["password"], service.admin_key):
                        assert secret not in environment, process.command
                    assert "GQL_IDENTITY_" not in environment
                own = Path(f"/proc/{service.process.pid}/environ").read_bytes().decode()
                for secret in (pepper, NEWER, record["password"]):
                    assert secret not in own


class TestSchema:
    def test_it_is_printed_and_checked(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = tmp_path / "schema.graphql"
        assert exit_code("schema") == 0
        printed = capsys.readouterr().out
        assert "type APIKeyInfo" in printed
        assert exit_code("schema", "--check", str(file)) == 1
        assert "schema.graphql cannot be read: No such file" in capsys.readouterr().err
        file.write_bytes(b"\xff\xfe")
        assert exit_code("schema", "--check", str(file)) == 1
        file.write_text(printed)
        assert exit_code("schema", "--check", str(file)) == 0
        file.write_text(printed + "type More { x: Int }\n")
        capsys.readouterr()
        assert exit_code("schema", "--check", str(file)) == 1
        assert "Regenerate it with `gql-identity schema`" in capsys.readouterr().err


def exit_code(*arguments: str) -> object:
    """What a command that starts nothing exits with, run in this process."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


def on_a_terminal(data_dir: Path) -> str:
    """What `serve` prints on a terminal, from its start to a Ctrl-C; it ends with 0."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--data-dir", str(data_dir)],
        stdin=its,
        stdout=its,
        stderr=its,
        env=surroundings(),
        start_new_session=True,
        cwd=ROOT,
    )
    os.close(its)
    said = b""
    try:
        while b"Key  " not in said or not said.endswith(b"\n"):
            said += os.read(ours, 65536)
        time.sleep(1)
        # A terminal sends Ctrl-C to the whole group of processes.
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == 0
        while True:
            try:
                said += os.read(ours, 65536)
            except OSError:
                break
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"Traceback" not in said
    return said.decode()


def check_named(answer: httpx.Response) -> None:
    """The response to a create whose outcome is unknown."""
    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] in ("DEADLINE_EXCEEDED", "UNAVAILABLE")
    assert error["extensions"]["apiKeyId"].startswith("api-key-")
    assert "unknown" in error["message"]
    assert "Try again" not in error["message"]


def answers(service: Service, by: str) -> bool:
    try:
        answer = httpx.post(
            f"{service.url}/graphql",
            json={"query": "{ __typename }"},
            headers={"Authorization": f"Bearer {by}"},
            timeout=0.5,
            trust_env=False,
        )
    except httpx.TransportError:
        return False
    return answer.status_code == 200


def connect(service: Service) -> socket.socket:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def head(service: Service, length: int) -> bytes:
    return (
        f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.admin_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def answer_of(connection: socket.socket) -> bytes:
    said = b""
    while more := connection.recv(65536):
        said += more
    return said


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
