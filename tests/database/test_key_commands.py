"""`gql-identity keys ...` and `rotate-key`, beside a running service and without one."""

import fcntl
import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest

from gql_identity.secret import PREFIX, is_well_formed
from gql_identity.storage.embedded import running_uri
from gql_identity.storage.pages import PAGE_DOCUMENTS

from ..processes import COMMAND, Service, serving, surroundings, wait_until
from .conftest import Run

PEPPER = "a pepper of the person who runs it that is long enough"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service") / "data", GQL_IDENTITY_MAX_LIFETIME_DAYS="30") as service:
        yield service


class Commands:
    """Commands beside the service."""

    def __init__(self, service: Service, run: Run) -> None:
        self._service = service
        self._run = run

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(*arguments, "--data-dir", str(self._service.data_dir), GQL_IDENTITY_MAX_LIFETIME_DAYS="30")

    def done(self, *arguments: str) -> list[str]:
        """The lines that a command prints, which must succeed."""
        ran = self.run(*arguments)
        assert (ran.returncode, ran.stderr) == (0, f"Database  embedded, its data in {self._service.data_dir}\n")
        return ran.stdout.splitlines()


@pytest.fixture
def commands(service: Service, run: Run) -> Commands:
    return Commands(service, run)


def is_accepted(service: Service, secret: str) -> bool:
    return service.send("{ __typename viewer { userId } }", by=secret).status_code == 200


def wait_until_refused(service: Service, secret: str) -> None:
    wait_until(lambda: not is_accepted(service, secret), 10)


class TestList:
    def test_it_lists_the_keys_of_all_domains_of_one_and_of_a_user(self, service: Service, commands: Commands) -> None:
        ids = {(domain, user): service.create(user, domain)["apiKeyId"] for domain in "xy" for user in "ab"}
        (head, *rows) = commands.done("keys", "list")
        assert head.split() == ["ID", "STATE", "ROLE", "LAST", "USED", "DOMAIN", "USER", "NAME"]
        listed = [row.split()[0] for row in rows]
        assert listed == sorted(listed)
        assert set(ids.values()) <= set(listed)

        def found(*arguments: str) -> set[str]:
            return {json.loads(line)["api_key_id"] for line in commands.done("keys", "list", "--json", *arguments)}

        assert found("--domain-id", "x") == {ids["x", "a"], ids["x", "b"]}
        assert found("--user-id", "a") == {ids["x", "a"], ids["y", "a"]}
        assert found("--domain-id", "x", "--user-id", "a") == {ids["x", "a"]}
        assert found("--domain-id", "nowhere") == set()

    def test_a_key_is_told_as_over_rest_and_never_its_secret(self, service: Service, commands: Commands) -> None:
        made = service.create("ann", "told", name="laptop")
        (line,) = commands.done("keys", "list", "--json", "--domain-id", "told")
        key = json.loads(line)
        assert (key["api_key_id"], key["user_id"], key["name"], key["api_key"]) == (
            made["apiKeyId"],
            "ann",
            "laptop",
            None,
        )
        (shown,) = commands.done("keys", "show", made["apiKeyId"], "--json")
        assert json.loads(shown) == key
        text = "\n".join(commands.done("keys", "show", made["apiKeyId"]))
        assert re.search(r"^user id: +ann$", text, re.MULTILINE)
        assert re.search(r"^updated at:\s*$", text, re.MULTILINE)
        assert made["apiKey"] not in line + shown + text

    def test_no_list_of_scopes_and_an_empty_one_are_told_in_words(self, service: Service, commands: Commands) -> None:
        scoped = "mutation($i: CreateAPIKeyRequest!) { createApiKey(input: $i) { apiKeyId } }"
        for given, shown in ((None, "all of its role"), ([], "none"), (["a", "b"], '["a", "b"]')):
            made = service.data(scoped, {"i": {"userId": "ann", "scopes": given}})["createApiKey"]
            lines = commands.done("keys", "show", made["apiKeyId"])
            assert f"scopes:            {shown}" in lines
            assert "allowed addresses: any" in lines

    def test_a_key_without_a_user_or_a_domain_is_shown(self, mongo_uri: str, run: Run) -> None:
        """As something else may have stored it."""
        settings = {"GQL_IDENTITY_MONGO_URI": mongo_uri, "GQL_IDENTITY_PEPPER": PEPPER}
        made = json.loads(run("create-key", "--domain-id", "d", "--user-id", "u", "--json", **settings).stdout)
        for field, shown in (("user_id", ["--domain-id", "d"]), ("domain_id", [])):
            with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
                client.get_default_database().api_keys.update_one({}, {"$unset": {field: ""}})
            found = run("keys", "show", made["api_key_id"], "--json", *shown, **settings)
            assert found.returncode == 0, found.stderr
            assert json.loads(found.stdout)[field] == ""
            missing = run("keys", "show", made["api_key_id"], "--user-id", "u", **settings)
            assert missing.returncode == 1
            assert "Traceback" not in missing.stderr

    def test_more_keys_than_a_page_are_each_listed_once(self, mongo_uri: str, run: Run) -> None:
        settings = {"GQL_IDENTITY_MONGO_URI": mongo_uri, "GQL_IDENTITY_PEPPER": PEPPER}
        made = json.loads(run("create-key", "--domain-id", "d", "--user-id", "u", "--json", **settings).stdout)
        number = 2 * PAGE_DOCUMENTS
        with pymongo.MongoClient[dict[str, Any]](mongo_uri) as client:
            keys = client.get_default_database().api_keys
            (one,) = keys.find()
            keys.insert_many([{**one, "_id": f"{one['_id']}{n:05}"} for n in range(number - 1)])
        listed = run("keys", "list", "--json", **settings).stdout.splitlines()
        ids = [json.loads(line)["api_key_id"] for line in listed]
        assert len(ids) == len(set(ids)) == number
        assert made["api_key_id"] in ids

    def test_a_name_cannot_change_what_the_terminal_shows(self, service: Service, commands: Commands) -> None:
        made = service.create("ann", "tricky", name="a\u202eb")
        for printed in (commands.done("keys", "list"), commands.done("keys", "show", made["apiKeyId"])):
            assert "\u202e" not in "\n".join(printed)
            assert any(line.endswith("a?b") for line in printed)

    def test_a_reader_that_has_enough_gets_no_traceback(self, service: Service) -> None:
        many = ["sh", "-c", '"$@" | head -c 1', "sh", *COMMAND, "keys", "list", "--data-dir", str(service.data_dir)]
        piped = subprocess.run(many, capture_output=True, text=True, env=surroundings(), timeout=60, check=False)
        assert piped.stdout == "I"
        assert piped.stderr == f"Database  embedded, its data in {service.data_dir}\n"
        # Few lines are written at the command's end only.
        assert into(service, "| true", "keys", "list", "--user-id", "nobody") == ""
        assert into(service, "| true", "keys", "--help") == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
class TestAFullDisk:
    @pytest.mark.parametrize("command", [["keys", "list"], ["keys", "show", "api-key-0", "--help"], ["--version"]])
    def test_it_is_told_in_one_line(self, service: Service, command: list[str]) -> None:
        assert into(service, "> /dev/full", *command) == "gql-identity: No space left on device.\n"

    @pytest.mark.slow
    @pytest.mark.parametrize("flags", [[], ["--json"]])
    def test_the_key_is_named_whose_new_secret_is_lost(self, service: Service, flags: list[str]) -> None:
        for target, reason in (("> /dev/full", "No space left on device"), ("| exec true", "Broken pipe")):
            told = into(service, target, "create-key", "--domain-id", "full", "--user-id", "u", *flags)
            found = re.fullmatch(
                rf"gql-identity: The secret of the key (\S+) could not be printed, and is lost: {reason}. Give the key "
                r"another with `\S+ (rotate-key \1 --if-overlapping replace-newer)`.\n",
                told,
            )
            assert found, told
            again = into(service, target, *found[2].split(), *flags)
            assert again == told
            assert into(service, "> /dev/null", *found[2].split(), *flags) == ""


def test_a_secret_is_printed_where_the_output_does_not_have_the_users_name(service: Service) -> None:
    create = [*COMMAND, "create-key", "--domain-id", "d", "--user-id", "用户", "--data-dir", str(service.data_dir)]
    there = {**surroundings(), "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(create, env=there, capture_output=True, text=True, timeout=60, check=True)
    assert r"for user \u7528\u6237 of domain d" in ran.stdout
    assert "gqlid_" in ran.stdout


def into(service: Service, target: str, *command: str) -> str:
    """What a command beside the service says on standard error, with its output going to a target of the shell.

    It fails, but for a target that takes the output.
    """
    shell = f'{{ "$@"; echo "code $?" >&2; }} {target}'
    data = [] if command[-1] in ("--help", "--version") else ["--data-dir", str(service.data_dir)]
    there = surroundings()
    there.pop("PYTHONUNBUFFERED", None)  # with it, each line is written at once
    ran = subprocess.run(
        ["sh", "-c", shell, "sh", *COMMAND, *command, *data],
        capture_output=True,
        text=True,
        env=there,
        timeout=60,
        check=False,
    )
    *told, code = ran.stderr.splitlines(keepends=True)
    assert code == ("code 0\n" if target == "> /dev/null" else "code 1\n"), ran.stderr
    return "".join(line for line in told if not line.startswith("Database  embedded"))


class TestChanges:
    def test_a_key_is_disabled_and_enabled_beside_the_service(self, service: Service, commands: Commands) -> None:
        made = service.create("ann")
        assert is_accepted(service, made["apiKey"])
        assert commands.done("keys", "disable", made["apiKeyId"]) == [f"{made['apiKeyId']} disabled"]
        wait_until_refused(service, made["apiKey"])
        assert service.get(made["apiKeyId"])["state"] == "DISABLED"
        (line,) = commands.done("keys", "enable", made["apiKeyId"], "--json")
        assert json.loads(line)["state"] == "ENABLED"
        assert is_accepted(service, made["apiKey"])
        log = 'query($id: ID) { apiKeyAudit(domainId: "d", apiKeyId: $id) { nodes { action actor { kind } } } }'
        entries = service.data(log, {"id": made["apiKeyId"]})["apiKeyAudit"]["nodes"]
        assert [(entry["action"], entry["actor"]["kind"]) for entry in entries] == [
            ("CREATED", "KEY"),
            ("DISABLED", "COMMAND_LINE"),
            ("ENABLED", "COMMAND_LINE"),
        ]

    def test_no_caller_below_system_enables_what_an_operator_disabled(
        self, service: Service, commands: Commands
    ) -> None:
        owner, made = service.create("owner", role="DOMAIN_OWNER"), service.create("ann")
        commands.done("keys", "disable", made["apiKeyId"])
        enable = f'mutation {{ enableApiKey(input: {{domainId: "d", apiKeyId: "{made["apiKeyId"]}"}}) {{ state }} }}'
        (error,) = service.send(enable, by=owner["apiKey"]).json()["errors"]
        assert error["extensions"]["code"] == "PERMISSION_DENIED"

    def test_a_delete_is_asked_for(self, service: Service, commands: Commands) -> None:
        made = service.create("ann")
        asked = commands.run("keys", "delete", made["apiKeyId"])
        assert (asked.returncode, asked.stdout) == (1, "")
        assert f"To be deleted: {made['apiKeyId']}." in asked.stderr
        assert "add --yes" in asked.stderr
        assert is_accepted(service, made["apiKey"])
        (line,) = commands.done("keys", "delete", made["apiKeyId"], "--yes", "--json")
        assert json.loads(line) == {"api_key_id": made["apiKeyId"], "domain_id": "d"}
        wait_until_refused(service, made["apiKey"])
        assert service.get(made["apiKeyId"]) is None

    @pytest.mark.parametrize(
        ("typed", "code", "told"),
        [(b"y\n", 0, ""), (b"\n", 1, ""), (b"\x04", 1, ""), (b"\x03", 130, "Nothing was done.")],
    )
    def test_the_question_is_seen_where_the_output_goes_to_a_file(
        self, service: Service, tmp_path: Path, typed: bytes, code: int, told: str
    ) -> None:
        made = service.create("ann")
        ours, its = pty.openpty()
        with (tmp_path / "out").open("w") as out:
            process = subprocess.Popen(
                [*COMMAND, "keys", "delete", made["apiKeyId"], "--data-dir", str(service.data_dir)],
                stdin=its,
                stdout=out,
                stderr=its,
                env=surroundings(),
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
            )
        os.close(its)
        try:
            said = b""
            while b"Go on? [y/N] " not in said:
                assert select.select([ours], [], [], 20)[0], said
                said += os.read(ours, 65536)
            time.sleep(0.3)
            os.write(ours, typed)
            assert process.wait(20) == code
            with suppress(OSError):  # the terminal ends with its last process
                while more := os.read(ours, 65536):
                    said += more
        finally:
            process.kill()
            process.wait()
            os.close(ours)
        assert (tmp_path / "out").read_text() == ("" if code else f"{made['apiKeyId']} deleted\n")
        assert said.decode().partition("[y/N] ")[2].strip("^CyD\b\r\n") == told
        assert is_accepted(service, made["apiKey"]) == (code != 0)

    def test_one_that_is_missing_is_told_and_the_others_are_changed(self, service: Service, commands: Commands) -> None:
        made = service.create("ann", "d")
        for missing in (["api-key-0"], ["--domain-id", "other", made["apiKeyId"]]):
            ran = commands.run("keys", "show", *missing[-1:], *missing[:-1])
            assert (ran.returncode, ran.stdout) == (1, "")
            assert ran.stderr.splitlines()[-1] == "gql-identity: There is no such key."
        ran = commands.run("keys", "disable", "api-key-0", made["apiKeyId"])
        assert (ran.returncode, ran.stdout) == (1, f"{made['apiKeyId']} disabled\n")
        assert "api-key-0: There is no such key." in ran.stderr

    def test_one_that_cannot_be_changed_is_told_and_the_others_are_changed(
        self, service: Service, commands: Commands
    ) -> None:
        first, second, third = (service.create("ann", "careless") for _ in range(3))
        with pymongo.MongoClient[Any](running_uri(service.data_dir)) as client:
            broken = {"$set": {"disabled_rank": "something else wrote this"}}
            client.get_default_database().api_keys.update_one({"_id": second["apiKeyId"]}, broken)
        ran = commands.run("keys", "disable", "--yes", "--domain-id", "careless")
        assert ran.returncode == 1
        assert ran.stdout.splitlines() == [f"{made['apiKeyId']} disabled" for made in (first, third)]
        assert f"{second['apiKeyId']}: This key cannot be changed" in ran.stderr

    def test_a_secret_in_place_of_an_id_is_not_shown(self, service: Service, commands: Commands) -> None:
        secret = service.create("ann")["apiKey"]
        for command in ("show", "disable", "enable", "delete"):
            ran = commands.run("keys", command, secret, *(["--yes"] if command in ("disable", "enable") else []))
            assert ran.returncode == 1
            assert secret not in ran.stdout + ran.stderr

    def test_all_keys_of_a_user_or_domain_are_asked_for(self, service: Service, commands: Commands) -> None:
        mine, others = [service.create("ann", "leavers") for _ in range(3)], service.create("bea", "leavers")
        for arguments in ([], ["--user-id", "ann"]):
            refused = commands.run("keys", "disable", "--yes", *arguments)
            assert (refused.returncode, refused.stdout) == (2, "")
            assert "--domain-id for all keys of a domain" in refused.stderr
        ann = ["--domain-id", "leavers", "--user-id", "ann"]
        asked = commands.run("keys", "disable", *ann)
        assert asked.returncode == 1
        assert "To be disabled: all 3 keys of user ann of domain leavers." in asked.stderr
        assert commands.done("keys", "disable", "--yes", *ann) == [f"{made['apiKeyId']} disabled" for made in mine]
        for made in mine:
            wait_until_refused(service, made["apiKey"])
        assert is_accepted(service, others["apiKey"])

    def test_a_domain_or_user_without_keys_is_told(self, service: Service, commands: Commands) -> None:
        made = service.create("ann", "there")
        for mistyped in (["--domain-id", "ther"], ["--domain-id", "there", "--user-id", "anna"], ["--domain-id", ""]):
            for action in ("disable", "delete"):
                ran = commands.run("keys", action, "--yes", *mistyped)
                assert (ran.returncode, ran.stdout) == (1, "")
                assert "there is no key of" in ran.stderr
        assert is_accepted(service, made["apiKey"])

    def test_the_last_system_key_can_be_disabled_and_that_is_told(self, mongo_uri: str, run: Run) -> None:
        settings = {"GQL_IDENTITY_MONGO_URI": mongo_uri, "GQL_IDENTITY_PEPPER": PEPPER}
        create = ["create-key", "--domain-id", "d", "--user-id", "u", "--role", "SYSTEM", "--json"]
        first, second = (json.loads(run(*create, **settings).stdout)["api_key_id"] for _ in range(2))
        one_left = run("keys", "disable", first, **settings)
        assert (one_left.returncode, len(one_left.stderr.splitlines())) == (0, 1)
        none_left = run("keys", "disable", second, **settings)
        assert none_left.returncode == 0
        told = "No valid key of role SYSTEM that may change keys is left."
        assert told in none_left.stderr
        # One that may change nothing does not count.
        third, fourth = (json.loads(run(*create, **settings).stdout)["api_key_id"] for _ in range(2))
        with pymongo.MongoClient[Any](mongo_uri) as client:
            keys = client.get_default_database()["api_keys"]
            keys.update_one({"_id": third}, {"$set": {"scopes": ["identity:read"]}})
        assert told in run("keys", "disable", fourth, **settings).stderr
        assert json.loads(run(*create, **settings).stdout)["role"] == "SYSTEM"

    @pytest.mark.slow
    def test_without_a_service_the_database_is_started_for_the_command(self, tmp_path: Path, run: Run) -> None:
        with serving(tmp_path / "data") as service:
            first = service.admin_key
            assert service.stop() == 0
        listed = run("keys", "list", "--json", "--data-dir", str(tmp_path / "data"))
        (key,) = map(json.loads, listed.stdout.splitlines())
        assert key["hint"] == f"{PREFIX}...{first[-4:]}"


class TestRotateKey:
    def test_the_new_secret_is_printed_once_and_both_are_accepted(self, service: Service, commands: Commands) -> None:
        made = service.create("ann")
        described, overlap, told, secret = commands.done("rotate-key", made["apiKeyId"], "--overlap", "1h")
        assert described == f"{made['apiKeyId']}, role USER, of user ann of domain d."
        assert re.fullmatch(rf"The secret {PREFIX}\.\.\.{made['apiKey'][-4:]} is accepted until 2\S+Z\.", overlap)
        assert told == "Its new secret, shown only once:"
        assert is_well_formed(secret)
        assert is_accepted(service, made["apiKey"])
        assert is_accepted(service, secret)
        assert secret not in "".join(commands.done("keys", "show", made["apiKeyId"], "--json"))

        again = commands.run("rotate-key", made["apiKeyId"])
        assert (again.returncode, again.stdout) == (1, "")
        assert again.stderr.endswith(
            "Two secrets of this key are accepted already. Give end-older or replace-newer as --if-overlapping: which "
            "one ends.\n"
        )
        key = json.loads(commands.done("rotate-key", made["apiKeyId"], "--if-overlapping", "end-older", "--json")[0])
        assert is_accepted(service, key["api_key"])
        wait_until_refused(service, made["apiKey"])
        assert is_accepted(service, secret)

    def test_without_an_overlap_every_older_secret_ends(self, service: Service, commands: Commands) -> None:
        made = service.create("ann")
        *_, second = commands.done("rotate-key", made["apiKeyId"])
        *_, third = commands.done("rotate-key", made["apiKeyId"], "--overlap", "0")
        for secret in (made["apiKey"], second):
            wait_until_refused(service, secret)
        assert is_accepted(service, third)

    def test_an_expired_key_gets_another_end_whatever_the_policy(self, service: Service, commands: Commands) -> None:
        made = service.create("ann")
        with pymongo.MongoClient[dict[str, Any]](running_uri(service.data_dir)) as client:
            past = datetime.now(UTC) - timedelta(hours=1)
            client.get_default_database("identity").api_keys.update_one(
                {"_id": made["apiKeyId"]}, {"$set": {"expires_at": past}}
            )
        refused = commands.run("rotate-key", made["apiKeyId"])
        assert refused.stderr.endswith("This key has expired. Give another end with the rotation, as --expires-in.\n")
        *_, secret = commands.done("rotate-key", made["apiKeyId"], "--expires-in", "90d")
        assert is_accepted(service, secret)

    @pytest.mark.parametrize("overlap", ["31d", "-1d", "1", "3600", "-5", "x", "9999999999d"])
    def test_an_overlap_that_cannot_be_is_told(self, commands: Commands, overlap: str) -> None:
        refused = commands.run("rotate-key", "api-key-0", f"--overlap={overlap}")
        assert refused.returncode == 2
        told = "argument --overlap: give 0, or up to 30d as days, hours or minutes, as in 1d, 12h or 30m\n"
        assert refused.stderr.endswith(told)

    @pytest.mark.parametrize("time", ["0m", "0d", "-1h"])
    @pytest.mark.parametrize("command", ["rotate-key api-key-0", "create-key --domain-id d --user-id u"])
    def test_an_end_that_is_not_ahead_is_told_by_its_flag(self, commands: Commands, command: str, time: str) -> None:
        refused = commands.run(*command.split(), f"--expires-in={time}")
        assert refused.returncode == 2
        assert refused.stderr.endswith("argument --expires-in: give more than 0, as in 90d, 12h or 30m\n")

    @pytest.mark.parametrize(
        ("flags", "told"),
        [
            (["--scope", "a", "--scope", "b c"], "--scope[1]: give 1 to 128 printable"),
            (["--allowed-address", "localhost"], "--allowed-address[0]: give an address or a network"),
            (["--name", "x" * 256], "--name: "),
            (["--tag", "=x"], "--tag[0].name: "),
        ],
        ids=lambda given: given[0] if isinstance(given, list) else "",
    )
    def test_what_is_invalid_is_told_by_its_flag(self, commands: Commands, flags: list[str], told: str) -> None:
        refused = commands.run("create-key", "--domain-id", "d", "--user-id", "u", *flags)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.splitlines()[-1].startswith(f"gql-identity: {told}")

    def test_a_key_that_is_missing_is_told(self, commands: Commands) -> None:
        refused = commands.run("rotate-key", "api-key-0")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.splitlines()[-1] == "gql-identity: There is no such key."


@pytest.mark.slow  # each waits 5 s for a server
@pytest.mark.parametrize("command", ["keys list", "create-indexes", "peppers", "export -"])
def test_a_database_that_is_not_reached_is_told_soon_and_why(command: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"mongodb://127.0.0.1:{free.getsockname()[1]}/identity"
        there = surroundings(GQL_IDENTITY_MONGO_URI=uri, GQL_IDENTITY_PEPPER=PEPPER)
        # Once the server is found, a call of these commands may take a minute, or a day.
        ran = subprocess.run([*COMMAND, *command.split()], env=there, capture_output=True, text=True, timeout=50)
    assert ran.returncode == 1
    assert "The database cannot be reached now." in ran.stderr
    assert "Connection refused" in ran.stderr
