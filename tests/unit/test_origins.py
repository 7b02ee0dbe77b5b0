"""Origins that a setting lists: those that no browser sends are refused, with what to write instead."""

import re

import pytest

from gql_identity.environment import load_settings
from gql_identity.errors import StartError
from gql_identity.origins import check_origin

SENT = [
    "https://app.example",
    "http://localhost:5174",
    "http://127.0.0.1:8080",
    "http://[::1]:3000",
    "https://app.example:8443",
    "https://my_app.xn--bcher-kva.example",
    "https://app.example.",
    "chrome-extension://abcdefghijklmnop",
    "capacitor://localhost",
]
NEVER_SENT = {
    "localhost:5174": "write http://localhost:5174 or https://localhost:5174",
    "app.example": "write http://app.example or https://app.example",
    "https://app.example/": "browsers send https://app.example;",
    "https://app.example/keys?all#top": "browsers send https://app.example;",
    "https://App.Example": "browsers send https://app.example;",
    "HTTPS://app.example": "browsers send https://app.example;",
    "https://app.example:443": "browsers send https://app.example;",
    "http://app.example:80": "browsers send http://app.example;",
    "https://app.example:08443": "browsers send https://app.example:8443;",
    "https://ann@app.example": "browsers send https://app.example;",
    "http://[0:0::1]": "browsers send http://[::1];",
    "*": "no wildcards",
    "https://*.app.example": "no wildcards",
    "null": "any page can have the origin null",
    "https://b\u00fccher.example": "xn--",
    "wss://app.example": "write https://app.example",
    "ws://localhost:5174": "write http://localhost:5174",
    "https://": "this is not an origin",
    "file:///home/ann/page.html": "this is not an origin",
    "https://app.example:port": "this is not an origin",
    "https://app.example:99999": "this is not an origin",
    "https://app example": "this is not an origin",
    "https://app.example https://other.example": "this is not an origin",
    "http://127.1": "this is not an origin",
    "http://127.0.0.256": "this is not an origin",
    "http://[::g]": "this is not an origin",
    "http://[::1": "this is not an origin",
    "https://app..example": "this is not an origin",
}


@pytest.mark.parametrize("origin", SENT)
def test_an_origin_that_browsers_send_is_accepted(origin: str) -> None:
    check_origin(origin)


@pytest.mark.parametrize("origin", NEVER_SENT)
def test_one_that_no_browser_sends_is_refused_with_the_reason(origin: str) -> None:
    with pytest.raises(ValueError, match=re.escape(NEVER_SENT[origin])) as refused:
        check_origin(origin)
    assert origin in str(refused.value)


def test_the_start_is_refused_with_every_wrong_origin_and_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GQL_IDENTITY_CORS_ORIGINS", "localhost:5174, https://app.example, https://App.example/")
    with pytest.raises(StartError) as refused:
        load_settings()
    [line] = str(refused.value).splitlines()[1:]
    assert line.strip().startswith("GQL_IDENTITY_CORS_ORIGINS: `localhost:5174`: ")
    assert "`https://App.example/`: browsers send https://app.example" in line
    monkeypatch.setenv("GQL_IDENTITY_CORS_ORIGINS", ", ".join(SENT))
    assert load_settings().cors_origins == tuple(SENT)
