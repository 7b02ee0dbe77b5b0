"""Reads of keys by the digests of their secrets, or by what tokens name: many in one read, each document apart."""

from collections.abc import Sequence
from functools import partial

from ..execution.turns import turns_of_this_loop
from ..messages.keys import APIKeyInfo
from ..storage.database import Database, Document
from ..storage.point_reads import condition
from .digests import digests_of, peppers_of
from .documents import read_apart
from .records import read_key
from .rotation import is_forgotten, note_secret_number, note_used_secret
from .validity import used_secret

# A digest, its pepper's fingerprint, its place among those of its document, and the key.
Found = tuple[bytes, str | None, int, Document, APIKeyInfo]
Parent = tuple[str, str, int]  # what a token names: the domain and the id of its key, and the number of its secret


async def find_by_digests(database: Database, digests: Sequence[bytes]) -> list[Found]:
    """The keys in any state that have these digests, without those whose secret is forgotten."""
    read = partial(_found_by, frozenset(digests))
    where = {"digest": digests[0] if len(digests) == 1 else {"$in": digests}}
    documents = await database.find(where, len(digests))
    turns, found = turns_of_this_loop(), list[Found]()
    for document in documents:
        # Each may have many networks. Requests of many clients wait for this read.
        if turns.is_over():
            await turns.wait_first()
        found += read_apart(document, read) or ()
    return found


async def find_parents(database: Database, parents: Sequence[Parent]) -> list[APIKeyInfo | None]:
    """The keys that tokens name, in any state and in this order; None for one that is gone, or its secret."""
    domains, ids = sorted({domain for domain, *_ in parents}), sorted({key_id for _, key_id, _ in parents})
    where = condition(domains, ids, is_sharded=database.is_sharded)
    documents = await database.find(where, len(ids))
    # A domain that is a list, which something else stored, matches too: it is the domain of no key.
    by_place = {
        (document["domain_id"], document["_id"]): document
        for document in documents
        if isinstance(document.get("domain_id"), str)
    }
    turns, found = turns_of_this_loop(), list[APIKeyInfo | None]()
    for domain_id, key_id, number in parents:
        if turns.is_over():
            await turns.wait_first()
        document = by_place.get((domain_id, key_id))
        found.append(None if document is None else read_apart(document, partial(_by_number, number)))
    return found


def _found_by(digests: frozenset[bytes], document: Document) -> list[Found]:
    """A key with each of its secrets that has one of these digests, without those that are forgotten."""
    found: list[Found] = []
    for place, (digest, pepper) in enumerate(zip(digests_of(document), peppers_of(document), strict=True)):
        if digest is None or digest not in digests:
            continue
        key = read_key(document)
        note_used_secret(key, document, digest)
        if not is_forgotten(used_secret(key)):
            found.append((digest, pepper, place, document, key))
    return found


def _by_number(number: int, document: Document) -> APIKeyInfo | None:
    """A key by its secret of this number; None where it has none."""
    key = read_key(document)
    return key if note_secret_number(key, document, number) else None
