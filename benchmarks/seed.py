"""Fills databases for measurement with keys as `ApiKeys.create` writes them, inserted in bulk."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pymongo
import uuid_utils
from pydantic import SecretStr

from gql_identity import secret
from gql_identity.settings import Settings
from gql_identity.storage.database import Database
from gql_identity.storage.embedded import EmbeddedDatabase

HOT_KEYS = 100
WRITES_DOMAIN = "bench-writes"  # for the keys that W creates, so that no other operation's response grows
_BATCH = 5_000
_USERS = 20
_TEST_URI = "GQL_IDENTITY_TEST_MONGO_URI"

Say = Callable[[str], None]


@dataclass
class Seeded:
    """A database full of keys."""

    uri: str
    pepper: str
    caller_secret: str
    keys: dict[str, list[str]] = field(default_factory=dict)  # the ids of each domain's keys
    hot_secrets: dict[str, str] = field(default_factory=dict)  # by the ids of their keys


@contextmanager
def database_server() -> Iterator[tuple[str, str]]:
    """Yield the URI and a title of a database server: the one in the environment, else an embedded one."""
    if uri := os.environ.get(_TEST_URI):
        yield uri, f"the MongoDB of {_TEST_URI}"
        return
    with (
        tempfile.TemporaryDirectory(prefix="gql-identity-bench-") as directory,
        EmbeddedDatabase(Path(directory) / "data") as database,
    ):
        yield database.uri, "embedded (secantusd-rs)"


@contextmanager
def seeded(server_uri: str, keys: int, domains: int, say: Say) -> Iterator[Seeded]:
    """Yield a fresh database with this many keys over this many domains; it is dropped at the end."""
    parts = urlsplit(server_uri)
    name = f"bench_{secrets.token_hex(4)}"
    uri = urlunsplit(parts._replace(path=f"/{name}", query=parts.query or "authSource=admin"))
    with pymongo.MongoClient(server_uri) as client:
        try:
            yield _fill(client, Seeded(uri, secrets.token_hex(32), secret.make_secret()), keys, domains, say)
        finally:
            client.drop_database(name)


def _fill(client: pymongo.MongoClient, made: Seeded, keys: int, domains: int, say: Say) -> Seeded:
    asyncio.run(_prepare(Settings(mongo_uri=SecretStr(made.uri), pepper=SecretStr(made.pepper))))
    collection = client[urlsplit(made.uri).path[1:]]["api_keys"]
    caller = _document("bench", "bench", "SYSTEM", 0, secret.digest(made.caller_secret, made.pepper))
    collection.insert_one(caller | {"hint": secret.hint(made.caller_secret)})
    made.keys = {f"domain-{n:04d}": [] for n in range(domains)}
    batch = []
    for n in range(keys):
        domain = f"domain-{n % domains:04d}"
        document = _document(domain, f"user-{n // domains % _USERS:04d}", "USER", n, secrets.token_bytes(32))
        if document["state"] == "ENABLED" and len(made.hot_secrets) < HOT_KEYS:
            text = secret.make_secret()
            document |= {"digest": secret.digest(text, made.pepper), "hint": secret.hint(text)}
            made.hot_secrets[document["_id"]] = text
        made.keys[domain].append(document["_id"])
        batch.append(document)
        if len(batch) == _BATCH or n == keys - 1:
            collection.insert_many(batch, ordered=False)
            batch.clear()
            say(f"seeded {n + 1:,} of {keys:,} keys over {domains} domain{'s' if domains > 1 else ''}")
    return made


def add_owners(data: Seeded, domain_id: str, number: int) -> list[str]:
    """Add so many keys that may read all of a domain, each of another user; returns their secrets."""
    texts = [secret.make_secret() for _ in range(number)]
    documents = [
        _document(domain_id, f"owner-{n:04d}", "DOMAIN_OWNER", 0, secret.digest(text, data.pepper))
        | {"hint": secret.hint(text)}
        for n, text in enumerate(texts)
    ]
    with pymongo.MongoClient(data.uri) as client:
        client.get_default_database()["api_keys"].insert_many(documents, ordered=False)
    return texts


async def _prepare(settings: Settings) -> None:
    async with Database(settings) as database:
        await database.prepare()


def _document(domain_id: str, user_id: str, role: str, n: int, digest: bytes) -> dict[str, object]:
    disabled = n % 10 == 9
    return {
        "_id": f"api-key-{uuid_utils.uuid7().hex}",
        "domain_id": domain_id,
        "user_id": user_id,
        "state": "DISABLED" if disabled else "ENABLED",
        **({"disabled_rank": 2} if disabled else {}),
        "role": role,
        "name": f"key {n}",
        "digest": digest,
        "hint": f"{secret.PREFIX}...{secrets.token_hex(2)}",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=n, milliseconds=n % 1000),
        "created_by": None,
        "last_accessed_at": None,
    }
