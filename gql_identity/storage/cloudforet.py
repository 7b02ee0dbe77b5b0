"""The database of Cloudforet 1.12, which is read and never written.

Its collections are named as mongoengine spells its classes: `APIKey` is `a_p_i_key`.
"""

from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import pymongo
import pymongo.errors as driver

from ..errors import StartError
from .connection_string import reading
from .database import CLOSE_SECONDS, CODEC, DEFAULT_NAME, Document
from .failures import reason_of

BATCH = 500  # documents
READ_SECONDS = 60  # for each of them

_KEYS, _BINDINGS, _ROLES, _SECRETS = "a_p_i_key", "role_binding", "role", "domain_secret"


class CloudforetDatabase:
    """A connection to the database that a URI names, else `identity`; a context manager. Blocks while it reads.

    Each method reads these domains alone, or all of them without any, and raises StartError where the database cannot
    be read.
    """

    def __init__(self, uri: str, domains: Iterable[str] = ()) -> None:
        self._domains = list(domains)
        try:
            with reading(uri):
                self._client: pymongo.MongoClient[Document] = pymongo.MongoClient(
                    uri,
                    socketTimeoutMS=READ_SECONDS * 1000,
                    serverSelectionTimeoutMS=2000,
                    retryWrites=False,
                    appname="gql-identity-import",
                )
                self._database = self._client.get_default_database(DEFAULT_NAME)
        except StartError as error:
            raise StartError(f"--from: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with pymongo.timeout(CLOSE_SECONDS):
            self._client.close()

    def keys(self) -> Iterator[list[Document]]:
        """The documents of the keys in batches, in the order in which they were made."""
        collection = self._collection(_KEYS)
        with _readable():
            if collection.find_one({}, {"_id": 1}) is None:
                raise StartError(
                    f"The database {self._database.name} of --from has no keys: its collection {_KEYS} is empty or not "
                    "there. Name the database in the URI, as in mongodb://HOST/identity."
                )
            with collection.find(self._where()).sort("_id").batch_size(BATCH) as cursor:
                batch: list[Document] = []
                for document in cursor:
                    batch.append(document)
                    if len(batch) == BATCH:
                        yield batch
                        batch = []
                yield batch

    def role_types(self) -> dict[tuple[str, str], set[str]]:
        """The types, SYSTEM and DOMAIN, of the roles that are bound to each user, by domain and user."""
        with _readable():
            roles = list(self._collection(_ROLES).find({"role_type": {"$in": ["SYSTEM", "DOMAIN"]}}))
            types = {role[name]: role["role_type"] for role in roles for name in ("_id", "role_id") if name in role}
            bound = {"$or": [{"role": {"$in": list(types)}}, {"role_id": {"$in": list(types)}}]}
            found: dict[tuple[str, str], set[str]] = {}
            where = {"resource_type": "identity.User", **bound, **self._where()}
            for binding in self._collection(_BINDINGS).find(where):
                domain_id, user_id = binding.get("domain_id"), binding.get("resource_id")
                # The reference is what Cloudforet follows; `role_id` repeats it.
                role = getattr(binding.get("role"), "id", binding.get("role"))  # a DBRef has the id within
                named = [
                    types[one] for one in (role, binding.get("role_id")) if isinstance(one, Hashable) and one in types
                ]
                if isinstance(domain_id, str) and isinstance(user_id, str) and named:
                    found.setdefault((domain_id, user_id), set()).add(named[0])
            return found

    def public_keys(self) -> Iterator[tuple[str, Any]]:
        """The domains and their public keys, as JSON Web Keys; the private ones are not read."""
        with _readable():
            fields = {"domain_id": 1, "pub_jwk": 1}
            for document in self._collection(_SECRETS).find(self._where(), fields).sort("_id"):
                yield str(document.get("domain_id")), document.get("pub_jwk")

    def _collection(self, name: str) -> Any:
        return self._database.get_collection(name, codec_options=CODEC)

    def _where(self) -> Document:
        return {"domain_id": {"$in": self._domains}} if self._domains else {}


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (driver.PyMongoError, ValueError) as error:
        raise StartError(f"The database of --from cannot be read: {reason_of(error)}") from None
