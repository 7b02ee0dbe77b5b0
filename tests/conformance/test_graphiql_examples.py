"""The examples in GraphiQL's tabs: each one runs as it is, or with the id of a key put in."""

from collections.abc import Iterator

import pytest
from graphql import OperationDefinitionNode, OperationType, build_schema, parse, validate

from tests.conftest import Api
from tests.processes import ROOT

EXAMPLES = (ROOT / "pages" / "graphiql" / "src" / "examples.graphql").read_text().split("\n# ---\n")


def names() -> Iterator[str]:
    for document in EXAMPLES:
        (operation,) = parse(document).definitions
        assert isinstance(operation, OperationDefinitionNode)
        assert operation.name is not None
        yield operation.name.value


def test_the_examples_show_the_life_of_a_key() -> None:
    assert {"Viewer", "CreateKey", "UpdateKey", "RotateKey", "KeysOfATeam", "AuditLog"} <= set(names())
    for mentioned in ("expiresAt", "tags", "rotateApiKey", "viewer"):
        assert mentioned in "".join(EXAMPLES)


@pytest.mark.parametrize("document", EXAMPLES, ids=list(names()))
async def test_an_example_runs(api: Api, document: str) -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text(), assume_valid=True)
    assert validate(schema, parse(document)) == []
    (operation,) = parse(document).definitions
    assert isinstance(operation, OperationDefinitionNode)
    if operation.operation is OperationType.SUBSCRIPTION:
        return
    system = await api.make(domain_id="default", user_id="admin")
    other = await api.make(domain_id="default")
    data = await api.data(document.replace("api-key-...", other.key_id), by=system)
    assert None not in data.values()
