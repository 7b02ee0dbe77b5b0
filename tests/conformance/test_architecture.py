"""docs/architecture.md agrees with the code: its table with the files, its way of a request with a trace of calls."""

import re
import tomllib
from itertools import dropwhile
from pathlib import Path

import pytest

from gql_identity.settings import Settings
from tests.trace_request import DOCUMENTS, PACKAGE, Call, trace_requests

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
STEP = re.compile(r"^\d+\. `([\w/]+\.py)`(?: `([\w.<>]+)`)?:", re.MULTILINE)


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    (text,) = re.findall(rf"^#+ {re.escape(title)}$\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def steps(operation: str) -> list[tuple[str, str]]:
    """The file of each step of the way and its function, which may be empty."""
    parts = ("From the socket to the resolver", f"The resolver of `{operation}`", "From the resolver to the socket")
    return [step for part in parts for step in STEP.findall(section(part))]


def test_the_files_that_the_recipes_name_exist() -> None:
    recipes = (ROOT / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:gql_identity|tests|docs)/[\w/.]*)`", recipes))
    named |= {
        f"gql_identity/{name}"
        for name in re.findall(r"`((?:keys|messages|web|schema|storage|queries)/\w+\.py)`", recipes)
    }
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.fixture
def traces(settings: Settings) -> dict[str, list[list[Call]]]:
    return trace_requests(settings)


def test_the_table_names_every_folder_and_file() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", section("Folders and files"), re.MULTILINE)
    files = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")}
    folders = {f"{path.parent.as_posix()}/" for path in files if path.parent.name}
    assert sorted(rows) == sorted({path.as_posix() for path in files if path.name != "__init__.py"} | folders)


def test_the_contract_on_execution_forbids_everything_but_errors_logs_and_metrics() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = [one for one in settings["contracts"] if one.get("source_modules") == ["gql_identity.execution"]]
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    allowed = {"__init__", "__main__", "execution", "errors", "logs", "metrics"}
    assert {name.removeprefix("gql_identity.") for name in contract["forbidden_modules"]} == modules - allowed


def test_the_way_of_each_request_is_the_one_that_is_traced(traces: dict[str, list[list[Call]]]) -> None:
    for operation in DOCUMENTS:
        told = steps(operation)
        *_, calls = traces[operation]
        assert {call.file for call in calls} == {file for file, _ in told}, operation
        rest = calls
        for file, function in told:
            rest = list(
                dropwhile(lambda call: call.file != file or function not in ("", call.function), rest)  # noqa: B023
            )
            assert rest, f"{operation}: {file} {function} is not called at its place in the way"


@pytest.mark.slow
def test_the_files_that_only_the_first_runs_need_are_told(traces: dict[str, list[list[Call]]]) -> None:
    told = {file for file, _ in STEP.findall(section("Only in the first runs"))}
    for operation in DOCUMENTS:
        first, second, third = ({call.file for call in calls} for calls in traces[operation])
        assert (first | second) - third <= told, operation
        assert told <= first | second, operation
