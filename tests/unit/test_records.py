from dataclasses import fields
from datetime import UTC, datetime

from gql_identity.keys.records import projection, read_key, read_row
from gql_identity.messages.keys import APIKeyInfo

MADE = {"id", "api_key_id", "api_key", "user", "domain", "expired", "secrets", "tags", "usage"}  # made of others
STORED = {field.name for field in fields(APIKeyInfo)} - MADE


INSTANTS = {name: datetime.now(UTC) for name in STORED if name.endswith("_at")}
VALUES = {"state": "ENABLED", "role": "USER", "scopes": [], **INSTANTS}


def test_every_field_of_a_key_is_read_from_the_document_that_stores_it() -> None:
    document = {"_id": "api-key-1", **{name: f"a {name}" for name in STORED}, **VALUES}
    key = read_key(document)
    assert {name for name in STORED if getattr(key, name) is None} == set()


def test_every_stored_field_can_be_projected() -> None:
    projected = projection(frozenset(field.name for field in fields(APIKeyInfo)))
    assert {name for name in STORED if name not in projected} == set()


def test_a_field_that_the_document_lacks_is_none() -> None:
    key = read_row({"_id": "api-key-1", "domain_id": "d1"}, frozenset({"api_key_id"}))
    assert {name for name in STORED - {"domain_id"} if getattr(key, name) is not None} == set()
