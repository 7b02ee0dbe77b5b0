"""Settings: where they come from, and all mistakes at once."""

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gql_identity.environment import SettingsSource, forget_environment, load_settings
from gql_identity.errors import StartError

LONG = "x" * 32
URI = "mongodb://ann:hunter2@db.example/keys"


def test_flags_beat_variables_which_beat_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().port == 8000
    monkeypatch.setenv("GQL_IDENTITY_PORT", "8001")
    assert load_settings().port == 8001
    assert load_settings(port="8002").port == 8002
    assert load_settings(port=None).port == 8001


def test_all_mistakes_are_told_at_once_and_no_secret_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PEPPER": "too short",
        "PEPPERS_RETIRED": f"{LONG},short",
        "MAX_PAGE_SIZE": "none",
        "LOG_LEVEL": "loud",
        "PROT": "1",
    }.items():
        monkeypatch.setenv(f"GQL_IDENTITY_{name}", value)
    with pytest.raises(StartError) as told:
        load_settings(port="99999", mongo_uri="postgres://ann:hunter2@db")
    lines = str(told.value).splitlines()[1:]
    named = [line.split()[0].rstrip(":") for line in lines]
    assert sorted(named) == [
        "--mongo-uri",
        "--port",
        "GQL_IDENTITY_LOG_LEVEL",
        "GQL_IDENTITY_MAX_PAGE_SIZE",
        "GQL_IDENTITY_PEPPER",
        "GQL_IDENTITY_PEPPERS_RETIRED",
        "GQL_IDENTITY_PROT",
    ]
    assert "hunter2" not in str(told.value)
    assert "short" not in str(told.value).replace("at least", "")


def test_a_database_of_ones_own_needs_a_pepper() -> None:
    with pytest.raises(StartError, match="GQL_IDENTITY_PEPPER: is required"):
        load_settings(mongo_uri=URI)


def test_no_repr_shows_a_secret() -> None:
    settings = load_settings(mongo_uri=URI, pepper=LONG, peppers_retired=LONG + "y")
    assert "hunter2" not in repr(settings)
    assert LONG not in repr(settings)


def test_what_a_worker_is_handed_is_what_serve_resolved() -> None:
    settings = load_settings(mongo_uri=URI, pepper=LONG, peppers_retired=f"{LONG}1, {LONG}2", max_stages=3)
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert settings.peppers == (LONG, f"{LONG}1", f"{LONG}2")


@pytest.mark.parametrize(
    ("host", "introspection", "graphiql", "public", "page"),
    [
        ("127.0.0.1", None, None, "public", True),
        ("localhost", None, None, "public", True),
        ("0.0.0.0", None, None, "authenticated", False),
        ("0.0.0.0", "public", None, "public", True),
        ("127.0.0.1", "off", None, "off", False),
        ("0.0.0.0", None, "true", "authenticated", True),
    ],
)
def test_the_schema_and_the_page_are_public_on_loopback_alone(
    host: str, introspection: str | None, graphiql: str | None, public: str, page: bool
) -> None:
    settings = load_settings(host=host, introspection=introspection, graphiql=graphiql)
    assert settings.introspection_for == public
    assert settings.shows_graphiql is page


KUBERNETES = {
    "SERVICE_HOST": "10.96.0.12",
    "SERVICE_PORT": "8000",
    "SERVICE_PORT_HTTP": "8000",
    "PORT": "tcp://10.96.0.12:8000",
    "PORT_8000_TCP": "tcp://10.96.0.12:8000",
    "PORT_8000_TCP_PROTO": "tcp",
    "PORT_8000_TCP_PORT": "8000",
    "PORT_8000_TCP_ADDR": "10.96.0.12",
    "METRICS_SERVICE_HOST": "fd00::12",
    "METRICS_PORT_9000_TCP": "tcp://[fd00::12]:9000",
}


def test_what_kubernetes_sets_for_a_service_of_this_name_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KUBERNETES.items():
        monkeypatch.setenv(f"GQL_IDENTITY_{name}", value)
    assert load_settings().port == 8000
    assert load_settings(port="8001").port == 8001


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PEPPERS_RETRIED", LONG),
        ("SERVICE_HOST", "not an address"),
        ("SERVICE_PORT", "eight thousand"),
        ("PORT_8000", "8000"),
        ("HOST_NAME", "10.96.0.12"),
    ],
)
def test_what_only_looks_like_it_stops_the_start(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"GQL_IDENTITY_{name}", value)
    with pytest.raises(StartError, match=f"GQL_IDENTITY_{name} is not a setting"):
        load_settings()


def test_a_port_that_is_a_port_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_IDENTITY_PORT", "tcp://10.96.0.12")
    with pytest.raises(StartError, match="GQL_IDENTITY_PORT"):
        load_settings()


def test_a_setting_is_read_from_the_file_that_a_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in {
        "MONGO_URI": f"{URI}\n",
        "PEPPER": f"{LONG}\r\n",
        "PEPPERS_RETIRED": f"{LONG}1\n{LONG}2\n",
        "PORT": "8003",
    }.items():
        (tmp_path / name).write_text(content)
        monkeypatch.setenv(f"GQL_IDENTITY_{name}_FILE", str(tmp_path / name))
    settings = load_settings()
    assert settings.mongo_uri is not None
    assert settings.mongo_uri.get_secret_value() == URI
    assert settings.peppers == (LONG, f"{LONG}1", f"{LONG}2")
    assert settings.port == 8003
    assert load_settings(port="8002").port == 8002


def test_a_file_that_cannot_be_used_is_told_and_its_content_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "short").write_text("too-short-a-pepper")
    (tmp_path / "long").write_text("x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, file in {
        "PEPPER": "short",
        "RATES_STORE": "missing",
        "HOST": "long",
        "CORS_ORIGINS": "binary",
        "DATA_DIR": "short",
        "LOG_LEVEL": "short",
    }.items():
        monkeypatch.setenv(f"GQL_IDENTITY_{name}_FILE", str(tmp_path / file))
    monkeypatch.setenv("GQL_IDENTITY_LOG_LEVEL", "info")
    with pytest.raises(StartError) as told:
        load_settings()
    assert sorted(str(told.value).splitlines()[1:]) == [
        f"  GQL_IDENTITY_CORS_ORIGINS_FILE: {tmp_path}/binary cannot be read: it is not UTF-8",
        "  GQL_IDENTITY_DATA_DIR_FILE is not a setting",
        f"  GQL_IDENTITY_HOST_FILE: {tmp_path}/long cannot be read: it has more than 65536 bytes",
        "  GQL_IDENTITY_LOG_LEVEL_FILE: give it or GQL_IDENTITY_LOG_LEVEL, not both",
        "  GQL_IDENTITY_PEPPER_FILE: a pepper has at least 32 characters; make one with `openssl rand -hex 32`",
        f"  GQL_IDENTITY_RATES_STORE_FILE: {tmp_path}/missing cannot be read: No such file or directory",
    ]


def test_what_may_change_while_the_service_runs_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in {"PEPPER": LONG, "LOG_LEVEL": "info", "PORT": "8001"}.items():
        (tmp_path / name).write_text(content)
        monkeypatch.setenv(f"GQL_IDENTITY_{name}_FILE", str(tmp_path / name))
    monkeypatch.setenv("GQL_IDENTITY_CORS_ORIGINS", "https://app.example")
    monkeypatch.delenv("GQL_IDENTITY_TEST_MONGO_URI", raising=False)  # it is there again after the test
    source = SettingsSource.of({"workers": "2"})
    settings = load_settings(workers="2")
    forget_environment()
    for name, content in {"PEPPER": f"{LONG}y", "LOG_LEVEL": "debug", "PORT": "8002"}.items():
        (tmp_path / name).write_text(content)
    again = source.read_again(settings)
    assert (again.peppers, again.log_level, again.cors_origins) == ((f"{LONG}y",), "debug", ("https://app.example",))
    assert (again.port, again.workers) == (8001, 2)
    (tmp_path / "LOG_LEVEL").write_text("loud")
    with pytest.raises(StartError, match="GQL_IDENTITY_LOG_LEVEL_FILE: "):
        source.read_again(settings)


def test_a_pipe_is_read_at_the_start_and_not_waited_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("GQL_IDENTITY_PEPPER_FILE", str(tmp_path / "pipe"))
    with ThreadPoolExecutor() as threads:
        threads.submit((tmp_path / "pipe").write_text, LONG)
        settings = load_settings()
    assert settings.peppers == (LONG,)
    with pytest.raises(StartError, match="not a regular file"):
        SettingsSource.of({}).read_again(settings)


def test_a_default_lifetime_beyond_the_longest_stops_the_start() -> None:
    names = "GQL_IDENTITY_DEFAULT_LIFETIME_DAYS", "GQL_IDENTITY_MAX_LIFETIME_DAYS"
    for default, longest in (("0", "90"), ("90", "90"), ("365", "0")):
        settings = load_settings(dict(zip(names, (default, longest), strict=True)))
        assert (settings.default_lifetime_days, settings.max_lifetime_days) == (int(default), int(longest))
    with pytest.raises(StartError) as told:
        load_settings(dict(zip(names, ("91", "90"), strict=True)))
    assert str(told.value).splitlines()[1:] == [
        f"  {names[1]}: it is 90, and {names[0]} is 91: keys created without an end would end later than allowed. "
        "Give a default of at most 90, or a higher limit"
    ]
    with pytest.raises(StartError, match=names[0]):
        load_settings({names[0]: "x", names[1]: "90"})


ISSUER = {"issuer": "https://login.example", "audience": "https://keys.example", "domain": "acme"}


def test_issuers_are_read_from_json() -> None:
    given = [
        ISSUER,
        {"issuer": "http://127.0.0.1:8080/", "audience": "a", "domain_claim": ["org", "id"], "scopes_claim": "scope"}
        | {"roles_claim": "groups", "roles": {"root": "SYSTEM"}, "jwks_uri": "http://127.0.0.1:8080/keys"},
    ]
    first, second = load_settings({"GQL_IDENTITY_ISSUERS": json.dumps(given, indent=2)}).issuers
    assert (first.issuer, first.domain, first.user_claim, first.roles) == (ISSUER["issuer"], "acme", "sub", {})
    assert (second.domain_claim, second.roles) == (("org", "id"), {"root": "SYSTEM"})
    assert load_settings({}).issuers == ()


def test_issuers_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "issuers.json").write_text(json.dumps([ISSUER], indent=2))
    (issuer,) = load_settings({"GQL_IDENTITY_ISSUERS_FILE": str(tmp_path / "issuers.json")}).issuers
    assert issuer.audience == "https://keys.example"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("https://login.example", "JSON list"),
        ("{}", "JSON list"),
        ([{}], "[0].issuer: Field required"),
        ([ISSUER | {"issuer": "http://login.example"}], "[0].issuer: give a URL with https"),
        ([ISSUER | {"issuer": "https://a:b@login.example"}], "[0].issuer: give a URL without a user"),
        ([ISSUER | {"issuer": "https://login.example:x"}], "[0].issuer: give a URL with https"),
        ([ISSUER | {"audience": ""}], "[0].audience"),
        ([ISSUER | {"audience": ["a"]}], "[0].audience"),
        ([ISSUER | {"domain_claim": "tenant"}], "[0]: give `domain` or `domain_claim`"),
        ([{**ISSUER, "domain": None}], "[0]: give `domain` or `domain_claim`"),
        ([ISSUER | {"roles": {"a": "USER"}}], "[0]: give `roles` and `roles_claim`, or neither"),
        ([ISSUER | {"roles_claim": "groups"}], "[0]: give `roles` and `roles_claim`, or neither"),
        ([ISSUER | {"roles_claim": "groups", "roles": {"a": "ROOT"}}], "[0].roles.a"),
        ([ISSUER | {"user_claim": ""}], "[0].user_claim"),
        ([ISSUER | {"user_claim": []}], "[0].user_claim"),
        ([ISSUER | {"jwks_uri": "http://login.example/keys"}], "[0]: give a URL with https"),
        ([ISSUER | {"jwks_uri": "http://127.0.0.1/keys"}], "[0]: give a URL with https"),
        ([ISSUER | {"algorithms": ["none"]}], "[0].algorithms"),
        ([ISSUER, ISSUER], "it names an issuer twice"),
        ([ISSUER | {"issuer": "https://me.example"}], "it names this service itself"),
    ],
)
def test_a_wrong_issuer_is_named(given: Any, told: str) -> None:
    text = given if isinstance(given, str) else json.dumps(given)
    with pytest.raises(StartError) as error:
        load_settings({"GQL_IDENTITY_ISSUERS": text, "GQL_IDENTITY_ISSUER": "https://me.example"})
    assert "GQL_IDENTITY_ISSUERS: " in str(error.value)
    assert told in str(error.value), error.value
