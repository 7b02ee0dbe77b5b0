from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from gql_identity.keys.documents import STORED_FIELDS
from gql_identity.keys.records import projection, read_key, read_row, read_rows
from gql_identity.messages.keys import APIKeyInfo
from gql_identity.storage.database import LONG

MADE = {"id", "api_key_id", "api_key", "user", "domain", "expired", "secrets", "tags", "usage"}  # made of others
STORED = {field.name for field in fields(APIKeyInfo)} - MADE


INSTANTS = {name: datetime.now(UTC) for name in STORED if name.endswith("_at")}
VALUES = {"state": "ENABLED", "role": "USER", "scopes": [], **INSTANTS}


def test_every_field_of_a_key_is_read_from_the_document_that_stores_it() -> None:
    document = {"_id": "api-key-1", **{name: f"a {name}" for name in STORED}, **VALUES}
    key = read_key(document)
    assert {name for name in STORED if getattr(key, name) is None} == set()


def test_stored_fields_that_have_parts_may_be_long() -> None:
    with_parts = {name for name, field in STORED_FIELDS.items() if {list, dict}.intersection(field.types)}
    assert with_parts == LONG


def test_every_stored_field_can_be_projected() -> None:
    projected = projection(frozenset(field.name for field in fields(APIKeyInfo)))
    assert {name for name in STORED if name not in projected} == set()


def test_a_field_that_the_document_lacks_is_none() -> None:
    key = read_row({"_id": "api-key-1", "domain_id": "d1"}, frozenset({"api_key_id"}))
    assert {name for name in STORED - {"domain_id"} if getattr(key, name) is not None} == set()


def test_rows_that_are_read_together_are_read_as_each_alone() -> None:
    names = frozenset({"api_key_id", "state", "role", "created_at"})
    plain: dict[str, Any] = {"_id": "api-key-1", "domain_id": "d1", "state": "ENABLED", "role": "USER"}
    plain["created_at"] = datetime.now(UTC)
    careless: list[dict[str, Any]] = [
        plain | {"state": "PAUSED"},
        plain | {"role": []},
        plain | {"created_at": "today"},
        {"_id": "api-key-5"},
    ]
    lists: list[list[dict[str, Any]]] = [[], [plain, plain | {"state": "DISABLED"}], [plain, *careless, plain]]
    for rows in lists:
        assert [*map(vars, read_rows(rows, names))] == [vars(read_row(row, names)) for row in rows]
    assert [key.state.name for key in read_rows([plain, *careless], names)][:2] == ["ENABLED", "DISABLED"]
    assert [key.role.name for key in read_rows([plain, *careless], names)][2] == "SYSTEM"
