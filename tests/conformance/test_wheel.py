"""The wheel, as pip builds it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_wheel_has_the_types_and_every_file_of_the_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    files = set(zipfile.ZipFile(wheel).namelist())
    assert "gql_identity/py.typed" in files
    assert {f"gql_identity/pages/{page}/index.html" for page in ("graphiql", "console")} <= files
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "gql_identity").rglob("*.py")} <= files
