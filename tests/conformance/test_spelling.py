"""Errors and descriptions name fields and operations as the API spells them that the reader uses."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gql_identity
from gql_identity.schema.federation import schema
from gql_identity.web.openapi import openapi

PACKAGE = Path(gql_identity.__file__).parent
# What only GraphQL clients read. The descriptions in `messages` reach REST through the OpenAPI document.
GRAPHQL_ONLY = (
    "execution",
    "schema",
    "messages",
    "web/graphql",
    "web/websocket",
    "keys/disabling",
    "queries/connections",
)
CAMEL = re.compile(r"\b[a-z]+(?:[A-Z][a-z]*)+\b")


def graphql_names() -> set[str]:
    """The names of fields and arguments that REST spells otherwise."""
    names = set[str]()
    for type_ in schema._schema.type_map.values():
        for name, field in getattr(type_, "fields", {}).items():
            names |= {name, *getattr(field, "args", ())}
    return {name for name in names if CAMEL.fullmatch(name)}


NAMES = graphql_names()


def found(text: str) -> set[str]:
    return NAMES.intersection(CAMEL.findall(text))


def texts(part: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """What an OpenAPI document tells people, and where."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name in ("description", "summary") and isinstance(value, str):
                yield at, value
            yield from texts(value, f"{at}/{name}")
    elif isinstance(part, list):
        for place, value in enumerate(part):
            yield from texts(value, f"{at}/{place}")


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """The literals of a file with more than a word in them, without docstrings."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in docstrings:
            continue
        if " " in node.value:
            yield node.lineno, node.value


def test_the_names_of_the_schema_are_known() -> None:
    assert {"createApiKey", "endApiKeyOverlap", "expiresAt", "ifOverlapping", "pageInfo"} <= NAMES


def test_the_openapi_document_has_no_names_of_graphql() -> None:
    both = "`created_at` or `createdAt`"  # REST takes either
    wrong = {at: found(text.replace(both, "")) for at, text in texts(openapi()) if found(text.replace(both, ""))}
    assert wrong == {}


def test_no_text_that_reaches_rest_or_the_command_line_has_names_of_graphql() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.relative_to(PACKAGE).as_posix().startswith(GRAPHQL_ONLY)
        for line, text in sentences(path)
        if found(text)
    ]
    assert wrong == []
