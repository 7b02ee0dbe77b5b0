"""Settings: where they come from, and all mistakes at once."""

import pickle

import pytest

from gql_identity.errors import StartError
from gql_identity.settings import load_settings

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
