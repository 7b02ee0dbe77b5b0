"""What the tests of the query language share: the keys that they ask for."""

import secrets
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from pymongo.collection import Collection

from tests.database.plain_reading import KEYS


@pytest.fixture(scope="module")
def stored(database_server: str) -> Iterator[Collection[Any]]:
    """A collection with the keys, their indexes, and another domain's keys between them."""
    name = f"test_{secrets.token_hex(8)}"
    with pymongo.MongoClient(database_server, tz_aware=True, timeoutMS=20_000) as client:
        keys = client[name]["api_keys"]
        for index in (["domain_id", "_id"], ["domain_id", "user_id", "_id"], ["domain_id", "state", "_id"]):
            keys.create_index([(part, 1) for part in index])
        keys.insert_many(
            [key for one in reversed(KEYS) for key in (one, {**one, "_id": f"{one['_id']}~", "domain_id": "d2"})]
        )
        yield keys
        client.drop_database(name)
