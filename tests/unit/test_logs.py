"""The lines of requests: at once where nothing else is under way, together under load, and none is lost."""

import asyncio
import json

import pytest

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


@pytest.mark.parametrize(("level", "style"), [("warning", "json"), ("warning", "console"), ("info", "console")])
async def test_level_and_style_hold_for_them_too(capsys: pytest.CaptureFixture[str], level: str, style: str) -> None:
    configure_logs(level, style)  # type: ignore[arg-type]
    requests = RequestLog()
    requests.end("a", requests.begin(), path="/graphql")
    assert ("/graphql" in capsys.readouterr().err) == (level == "info")
