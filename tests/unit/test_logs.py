"""The lines of requests: at once where nothing else is under way, together under load, and none is lost."""

import asyncio
import json
import logging
import re
from urllib.parse import unquote

import pytest
import structlog

from gql_identity.logs import WRITE_SECONDS, RequestLog, configure_logs
from gql_identity.secret import make_secret

pytestmark = pytest.mark.usefixtures("logs_as_before")


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["request_id"] for line in capsys.readouterr().err.splitlines()]


async def test_a_line_is_written_when_nothing_else_is_under_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    requests = RequestLog()
    requests.end("a", requests.begin(), method="GET", path=f"/{make_secret()}", status=200)
    line = json.loads(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert 0 <= line.pop("duration_ms") < 1000
    assert line == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "path": "/gqlid_[secret]",
        "request_id": "a",
        "status": 200,
    }


async def test_lines_wait_for_others_that_are_under_way_but_not_long(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    requests = RequestLog()
    started = max(requests.begin() for _ in range(4))
    requests.end("a", started)
    requests.end("b", started)
    assert written(capsys) == []
    await asyncio.sleep(3 * WRITE_SECONDS)
    assert written(capsys) == ["a", "b"]
    requests.end("c", started)
    requests.end("d", started)
    assert written(capsys) == ["c", "d"]
    await asyncio.sleep(3 * WRITE_SECONDS)
    assert written(capsys) == []


async def test_the_lines_of_one_turn_are_two_writes(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    requests = RequestLog()
    for request_id in "abc":
        requests.end(request_id, requests.begin())
    assert written(capsys) == ["a"]
    await asyncio.sleep(0)
    assert written(capsys) == ["b", "c"]
    await asyncio.sleep(0)
    requests.end("d", requests.begin())
    assert written(capsys) == ["d"]


@pytest.mark.parametrize(("level", "style"), [("warning", "json"), ("warning", "console"), ("info", "console")])
async def test_level_and_style_hold_for_them_too(capsys: pytest.CaptureFixture[str], level: str, style: str) -> None:
    configure_logs(level, style)  # type: ignore[arg-type]
    requests = RequestLog()
    requests.end("a", requests.begin(), path="/graphql")
    assert ("/graphql" in capsys.readouterr().err) == (level == "info")


def encoded(text: str, times: int) -> str:
    """The text with every character percent-encoded, so often."""
    for _ in range(times):
        text = "".join(f"%{ord(one):02x}" for one in text)
    return text


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("times", [0, 1, 2, 3])
async def test_a_secret_in_a_path_is_not_logged_however_often_it_is_encoded(
    capsys: pytest.CaptureFixture[str], style: str, times: int
) -> None:
    configure_logs("info", style)  # type: ignore[arg-type]
    secret = make_secret()
    requests = RequestLog()
    for path in (f"/{encoded(secret, times)}", f"/a%20b/{secret[:3]}{encoded(secret[3:], times)}"):
        requests.end("a", requests.begin(), path=path)
    await asyncio.sleep(0)
    said = capsys.readouterr().err
    assert "[secret]" in said
    for _ in range(5):
        assert secret[10:20] not in said
        said = unquote(said)


def escaped(text: str, form: str) -> str:
    """The text with every character in this form, such as `%u{:04x}`."""
    return "".join(form.format(ord(one)) for one in text)


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("form", ["%u{:04x}", "%U{:04X}", "\\u{:04x}", "&#{};", "&#x{:x};", "%25u{:04X}", "%c1%{:02x}"])
async def test_a_secret_in_a_path_is_not_logged_in_whatever_way_it_is_encoded(
    capsys: pytest.CaptureFixture[str], style: str, form: str
) -> None:
    configure_logs("info", style)  # type: ignore[arg-type]
    secret = make_secret()
    requests = RequestLog()
    prefix = f"{secret[:5]}{escaped('_', form)}"
    paths = [f"/a/{prefix}{secret[6:]}"]
    paths += [f"/{'x/' * ((cut - len(prefix)) // 2)}{prefix}{secret[6:]}" for cut in (950, 970, 990)]
    if "%c1" not in form and "%U" not in form:  # no client sends a whole text in a form that is none
        paths.append(f"/{escaped(secret, form)}")
    for path in paths:
        requests.end("a", requests.begin(), path=path)
    await asyncio.sleep(0)
    said = capsys.readouterr().err
    assert said.count("[secret]") == len(paths)
    for place in range(6, 45):
        assert secret[place : place + 10] not in said
    assert escaped(secret[10:16], form) not in said


async def test_ids_in_a_path_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    requests = RequestLog()
    path = f"/api-key-{'0123456789abcdef' * 2}/01a21699-639f-737c-8297-c38a99c70cc3/{'x' * 42}/%25/&#33;"
    requests.end("a", requests.begin(), path=path)
    assert json.loads(capsys.readouterr().err)["path"] == path


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("before", [0, 940, 970, 990, 1_000, 59_000])
async def test_a_long_path_is_cut_and_its_secret_is_not_logged(
    capsys: pytest.CaptureFixture[str], style: str, before: int
) -> None:
    configure_logs("info", style)  # type: ignore[arg-type]
    secret = make_secret()
    requests = RequestLog()
    path = f"/{'x' * before}{secret}{'/y' * 1_000}"
    requests.end("a", requests.begin(), path=path)
    said = capsys.readouterr().err
    assert len(said) < 1_500
    assert f"({len(path):,} characters)" in said
    assert secret[6:16] not in said


async def test_a_request_cannot_send_control_sequences_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/\x1b[2J\x1b]0;owned\x07\r\nforged\x9b31m\x7f\u202egnp"
    for style in ("console", "json"):
        configure_logs("info", style)
        requests = RequestLog()
        requests.end("a", requests.begin(), path=path)
        structlog.get_logger().warning(path)
        logging.getLogger("a library").warning("said %s", path)
        try:
            raise ValueError(path)
        except ValueError:
            structlog.get_logger().exception("failed")
        said = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().err)  # the colours of the format itself
        assert "owned" in said
        assert {one for one in said if not one.isprintable()} == {"\n"}
        # A traceback has lines of its own, and an exception's message may too.
        assert said.count("\nforged") == (style == "console")
        if style == "json":
            assert json.loads(said.splitlines()[0])["path"] == path
