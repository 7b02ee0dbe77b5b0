"""The README's commands, run as they stand against a real service."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gql_identity.errors import ServiceError
from tests.conftest import missing_tool

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_requests_of_the_readme_answer_what_it_says(served: Any, tmp_path: Path) -> None:
    for tool in ("bash", "curl", "sed"):
        if shutil.which(tool) is None:
            missing_tool(tool)
    (tmp_path / "gql-identity-data").mkdir()
    (tmp_path / "gql-identity-data" / "admin-key").write_text(served.admin_key + "\n")
    section = README.partition("<!-- run: a test")[2].partition("<!-- run: end -->")[0]
    script = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).replace("http://127.0.0.1:8000", served.url)
    # A line after each answer, as a person's terminal would show it.
    script = script.replace("}'\n", "}'; echo\n").replace("}}}'; echo\n", "}}}'; echo\n")
    shown = subprocess.run(
        ["bash", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    answers = [line for line in shown.stdout.splitlines() if line]
    assert '"createApiKey":{"apiKeyId":"api-key-' in answers[0]
    assert answers[1] == '{"data":{"viewer":{"domainId":"default","userId":"ann","role":"USER"}}}'
    assert '"name":"ci","state":"ENABLED","hint":"gqlid_...' in answers[2]
    assert '"userId":"ann","state":"ENABLED","role":"USER"' in answers[3]
    assert '"state":"ENABLED"' in answers[4]
    assert '"count":' in answers[4]
    assert answers[5] == '{"data":{"disableApiKey":{"state":"DISABLED"}}}'
    assert '"code":"UNAUTHENTICATED"' in answers[6]
    assert answers[7] == '{"data":{"enableApiKey":{"state":"ENABLED"}}}'
    assert answers[8].startswith('{"data":{"deleteApiKey":{"apiKeyId":"api-key-')
    assert len(answers) == 9


def codes(error: type[ServiceError]) -> set[str]:
    return (
        {error.code, *(code for child in error.__subclasses__() for code in codes(child))}
        if hasattr(error, "code")
        else {code for child in error.__subclasses__() for code in codes(child)}
    )


@pytest.mark.parametrize("code", sorted(codes(ServiceError)))
def test_the_readme_tells_of_every_code(code: str) -> None:
    assert f"`{code}`" in README
