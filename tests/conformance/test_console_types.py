"""The console's TypeScript: its types are those of the schema, and it compiles strictly."""

import shutil
import subprocess

import pytest

from tests.conftest import missing_tool
from tests.processes import ROOT

PAGES = ROOT / "pages"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [["graphql-codegen", "--config", "codegen.yml", "--check"], ["tsc", "-p", "console"]],
    ids=lambda it: it[0],
)
def test_the_types_fit_the_schema_and_the_code(command: list[str]) -> None:
    program = PAGES / "node_modules" / ".bin" / command[0]
    if shutil.which("node") is None or not program.exists():
        missing_tool("the pages' development packages (npm ci in pages)")
    done = subprocess.run([program, *command[1:]], cwd=PAGES, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
