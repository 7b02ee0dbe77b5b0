"""The README's commands, run as they stand against a real service."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from graphql import LoneAnonymousOperationRule, build_schema, parse, specified_rules, validate

from gql_identity.errors import ServiceError
from tests.conftest import missing_tool
from tests.processes import surroundings

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


def test_the_request_over_rest_is_the_readmes(served: Any) -> None:
    script = block("REST").replace("http://127.0.0.1:8000", served.url)
    environment = {**os.environ, "KEY": served.admin_key}
    shown = subprocess.run(["bash", "-eu", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert '"total_count":' in shown.stdout


@pytest.mark.parametrize("page", ["README.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))])
def test_the_operations_of_a_page_fit_the_schema(page: str) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text(), assume_valid=True)
    for document in re.findall(r"```graphql\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        parsed = parse(document)
        alone = len(parsed.definitions) == 1
        rules = [rule for rule in specified_rules if alone or rule is not LoneAnonymousOperationRule]
        assert validate(schema, parsed, rules) == [], document


def block(heading: str, number: int = 0) -> str:
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return str(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[number])


def served_by(script: str, cwd: Path, seconds: float = 60.0, **environment: str) -> str:
    """What a script prints until its `serve` has announced itself, which is then stopped."""
    environment = surroundings(GQL_IDENTITY_PORT="0", **environment)
    command = ["bash", "-eu", "-c", script]
    with subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, start_new_session=True) as shell:
        try:
            assert shell.stdout is not None
            said = ""
            deadline = time.monotonic() + seconds
            while not re.search(r"^(Key|Database) .*\n", said, re.MULTILINE):
                assert select.select([shell.stdout], [], [], max(0, deadline - time.monotonic()))[0], said
                more = os.read(shell.stdout.fileno(), 65536).decode()
                assert more, said
                said += more
        finally:
            os.killpg(shell.pid, signal.SIGTERM)
    return said


def in_a_clone(tmp_path: Path) -> Path:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


def test_the_commands_of_a_clone_work_as_the_readme_calls_them(served: Any, tmp_path: Path) -> None:
    (in_a_clone(tmp_path) / "gql-identity-data").symlink_to(served.data_dir)
    done = subprocess.run(
        ["bash", "-eu", "-c", block("Install")], cwd=tmp_path, env=surroundings(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert ", role USER, for user ann of domain default." in done.stdout
    assert str(served.data_dir) in done.stderr
    # The FAQ's command for a lost key, in the same shell.
    again = subprocess.run(
        ["bash", "-eu", "-c", block("Install").partition("\n")[0] + "\n" + block("FAQ")],
        cwd=tmp_path,
        env=surroundings(),
        capture_output=True,
        text=True,
    )
    assert ", role SYSTEM, for user admin of domain default." in again.stdout, again.stderr
    # Without the PATH, a message calls the command as it works here.
    command = [".venv/bin/gql-identity", "create-indexes", "--data-dir", "elsewhere"]
    refused = subprocess.run(command, cwd=tmp_path, env=surroundings(), capture_output=True, text=True)
    assert "`.venv/bin/gql-identity serve` makes one" in refused.stderr
    command = [".venv/bin/python", "-m", "gql_identity", "create-indexes", "--data-dir", "elsewhere"]
    refused = subprocess.run(command, cwd=tmp_path, env=surroundings(), capture_output=True, text=True)
    assert re.search(r"`\S*python\S* -m gql_identity serve` makes one", refused.stderr)


@pytest.mark.slow
def test_a_database_of_ones_own_is_served_as_the_readme_says(mongo_uri: str, tmp_path: Path) -> None:
    script = block("Install").partition("\n")[0] + "\n" + block("Your own MongoDB").replace("mongodb://...", mongo_uri)
    said = served_by(script, in_a_clone(tmp_path))
    assert ", role SYSTEM, for user admin of domain default." in said
    assert "on your MongoDB at" in said


def test_make_serve_with_a_python_that_is_too_old_says_so_and_leaves_no_environment(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "hatch_build.py", ".ci"):
        (tmp_path / name).symlink_to(ROOT / name)
    old = tmp_path / "python3.10"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.10.13" || exit 1\n')
    old.chmod(0o755)
    made = subprocess.run(["make", "serve", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert made.returncode == 2
    assert f"{old} is Python 3.10.13: use Python 3.11 to 3.14." in made.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.mark.slow
def test_the_wheel_is_installed_and_served_as_the_readme_says(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    shutil.copytree(ROOT / "gql_identity" / "pages", clone / "gql_identity" / "pages")  # built, if it is up to date
    script = block("Install", 1).replace("/opt/gql-identity", str(tmp_path / "opt"))
    said = served_by(script, clone, 900.0, PYTHONPATH="")
    assert f"its data in {clone}/gql-identity-data" in said
    redis = "from limits.storage import storage_from_string as s; s('async+redis://localhost:6379')"
    subprocess.run([tmp_path / "opt" / "bin" / "python", "-c", redis], check=True, env=surroundings(PYTHONPATH=""))
    # The images are built by the same lines.
    lines = script.replace(str(tmp_path / "opt"), "/opt/gql-identity").splitlines()[:4]
    image = (ROOT / "deploy" / "Dockerfile").read_text().replace(" --no-cache-dir", "").replace("python ", "python3 ")
    assert all(line in image for line in lines)


def codes(error: type[ServiceError]) -> set[str]:
    return (
        {error.code, *(code for child in error.__subclasses__() for code in codes(child))}
        if hasattr(error, "code")
        else {code for child in error.__subclasses__() for code in codes(child)}
    )


@pytest.mark.parametrize("code", sorted(codes(ServiceError)))
def test_the_documentation_has_every_code(code: str) -> None:
    assert f"`{code}`" in (ROOT / "docs" / "errors.md").read_text()
