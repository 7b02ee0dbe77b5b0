"""The schema as a product: exported, described, without a linter's complaint, and compatible with the last release."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    BreakingChange,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    Visitor,
    build_ast_schema,
    find_breaking_changes,
    is_specified_scalar_type,
    parse,
    print_ast,
    visit,
)

from gql_identity.messages.keys import APIKeyChangeType
from gql_identity.messages.requests import USUAL_CHANGES
from gql_identity.schema.federation import schema
from tests.conftest import missing_tool
from tests.processes import ROOT, surroundings

LINTERS = Path(__file__).parent / "linters"
RELEASED = Path(__file__).parent / "released.graphql"
FEDERATION = {"_Any", "_Entity", "_Service", "_entities", "_service"}  # names that its specification gives


class WithoutFederation(Visitor):
    """Leaves what clients use: without what gateways ask for, and without directives that GraphQL does not know."""

    def enter_directive(self, node: Any, *_: Any) -> Any:
        return None if node.name.value in ("deprecated", "specifiedBy", "oneOf") else self.REMOVE

    def enter(self, node: Any, *_: Any) -> Any:
        named = node.kind in ("field_definition", "scalar_type_definition", "union_type_definition")
        if node.kind == "directive_definition":
            return self.REMOVE  # of `@oneOf`, which GraphQL defines
        return (
            self.REMOVE if (named or node.kind == "object_type_definition") and node.name.value in FEDERATION else None
        )


def for_clients(sdl: str) -> str:
    return print_ast(visit(parse(sdl), WithoutFederation()))


def built(sdl: str) -> GraphQLSchema:
    return build_ast_schema(parse(for_clients(sdl)))


def breaking_changes(released: str, exported: str) -> list[BreakingChange]:
    return find_breaking_changes(built(released), built(exported))


def unreleased_changes() -> str:
    """The section of the changelog that is not released yet."""
    return (ROOT / "CHANGELOG.md").read_text().split("## [Unreleased]")[1].split("\n## ")[0]


def test_the_file_is_the_schema() -> None:
    assert (ROOT / "schema.graphql").read_text() == schema.as_str() + "\n", "gql-identity schema > schema.graphql"


def described(type_: GraphQLNamedType) -> dict[str, str | None]:
    """The descriptions of a type and of all its parts."""
    found = {type_.name: type_.description}
    if isinstance(type_, GraphQLEnumType):
        found |= {f"{type_.name}.{name}": value.description for name, value in type_.values.items()}
    if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType | GraphQLInputObjectType):
        for name, field in type_.fields.items():
            found[f"{type_.name}.{name}"] = field.description
            for argument, value in getattr(field, "args", {}).items():
                found[f"{type_.name}.{name}({argument})"] = value.description
    return found


def test_every_type_field_argument_and_value_has_a_description() -> None:
    exported = build_ast_schema(parse((ROOT / "schema.graphql").read_text()), assume_valid_sdl=True)
    descriptions: dict[str, str | None] = {}
    for name, type_ in exported.type_map.items():
        if not (name.startswith("__") or is_specified_scalar_type(type_)):
            descriptions |= described(type_)
    assert len(descriptions) > 200
    assert [name for name, description in descriptions.items() if not description] == []


@pytest.mark.parametrize("document", ["schema.graphql", "README.md"])
def test_the_documentation_names_the_changes_that_are_only_sent_if_named(document: str) -> None:
    (found,) = re.findall(r"changes(?: to send)?; ([^;.]*) are only sent if", (ROOT / document).read_text())
    assert set(re.findall(r"`(\w+)`", found)) == {one.name for one in set(APIKeyChangeType) - set(USUAL_CHANGES)}


@pytest.mark.slow
@pytest.mark.parametrize("linter", ["eslint", "graphql-schema-linter"])
def test_a_schema_linter_has_nothing_to_complain_of(linter: str, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        missing_tool("node")
    command = LINTERS / "node_modules" / ".bin" / linter
    if not command.exists():
        missing_tool(f"{linter} (npm ci in tests/conformance/linters)")
    arguments = ["--stdin-filename", "schema.graphql"] if linter == "eslint" else []
    exported = for_clients((ROOT / "schema.graphql").read_text())
    file = tmp_path / "schema.graphql"
    file.write_text(exported)

    def complaints(sdl: str) -> str:
        linted = subprocess.run(
            [str(command), "--stdin", *arguments],
            cwd=LINTERS,
            env=surroundings(SCHEMA=str(file)),
            input=sdl,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return "" if linted.returncode == 0 else linted.stdout + linted.stderr

    assert complaints(exported) == ""
    assert "description" in complaints(f"{exported}\nscalar Undescribed").lower()


def test_what_breaks_clients_of_the_last_release_is_named_in_the_changelog() -> None:
    """At a release, `released.graphql` becomes a copy of `schema.graphql`."""
    changes = breaking_changes(RELEASED.read_text(), (ROOT / "schema.graphql").read_text())
    if "Breaking" not in unreleased_changes():
        assert [f"{change.type.name}: {change.description}" for change in changes] == []


def test_breaking_changes_are_found() -> None:
    released = RELEASED.read_text()
    renamed = released.replace("  hint: String!", "  ending: String!")
    more = released.replace("  hint: String!", "  hint: String!\n\n  ending: String")
    assert [change.description for change in breaking_changes(released, renamed)] == [
        "Field APIKeyInfo.hint was removed."
    ]
    assert breaking_changes(released, more) == []


def test_a_deprecation_says_since_when() -> None:
    for name, type_ in build_ast_schema(
        parse((ROOT / "schema.graphql").read_text()), assume_valid_sdl=True
    ).type_map.items():
        parts = getattr(type_, "fields", None) or getattr(type_, "values", {})
        for part, definition in parts.items():
            reason = definition.deprecation_reason
            assert reason is None or reason.startswith("20"), f"{name}.{part}: begin with the date, as 2026-11-23"
