"""How many keys are left under a pepper, by the fingerprints beside their digests."""

from collections.abc import Collection
from typing import NamedTuple

from ..storage.database import Database, Document
from .digests import digests_of, peppers_of
from .documents import DECISIVE, unreadable
from .rotation import secrets_of
from .validity import has_ended, is_valid_document

EXACT = 10_000  # so many keys are read, to tell which of their secrets have ended
MOST = 1_000_000  # so many are counted, in an index


class KeysLeft(NamedTuple):
    """Keys that become invalid without a pepper."""

    number: int
    invalid: int = 0  # of these, disabled or expired
    accuracy: str = ""  # "about ": keys are among them whose secrets under this pepper have ended; "over "

    def __str__(self) -> str:
        invalid = f" ({self.invalid:,} disabled or expired)" if self.invalid else ""
        return f"{self.accuracy}{self.number:,} key{'' if self.number == 1 else 's'}{invalid}"


async def keys_left(database: Database, pepper: str | None, exact: int = EXACT, most: int = MOST) -> KeysLeft:
    """The keys that are left under the pepper of a fingerprint, or with None those of which it is not known.

    At most `exact` keys are read; if there are more, at most `most` are counted. Needs the index that
    `Database.check_pepper_index` looks for. Raises Unavailable and DeadlineExceeded.
    """
    # In a stage of its own: the embedded engine finds an index by the first one alone.
    stages: list[Document] = [{"$match": {"pepper": pepper}}, {"$match": {"digest": {"$type": "binData"}}}]
    read: list[Document] = [{"$limit": exact + 1}, {"$project": dict.fromkeys(sorted(DECISIVE | {"pepper"}), 1)}]
    documents = await database.keys_by_pepper([*stages, *read])
    if len(documents) > exact:
        if most <= exact:
            return KeysLeft(exact, accuracy="over ")
        (counted,) = await database.keys_by_pepper([*stages, {"$limit": most}, {"$count": "keys"}])
        return KeysLeft(counted["keys"], accuracy="over " if counted["keys"] >= most else "about ")
    left = [document for document in documents if is_left(document, pepper)]
    return KeysLeft(len(left), sum(not is_valid_document(document) for document in left))


def is_left(document: Document, pepper: str | None) -> bool:
    """Whether a key that has this fingerprint, or None, beside a digest has a secret of it that has not ended.

    A key that cannot be read is accepted nowhere, and not left.
    """
    if unreadable(document, DECISIVE):
        return False
    # A fingerprint that is in no shape of the digests: an older version rotated the key.
    return pepper in _live_peppers(document) or pepper not in peppers_of(document)


def is_lost(document: Document, accepted: Collection[str]) -> bool:
    """Whether all secrets of a key that have not ended are known to be under other peppers than the accepted ones."""
    if unreadable(document, DECISIVE):
        return False
    live = _live_peppers(document)
    return bool(live) and live.isdisjoint({None, *accepted})


def _live_peppers(document: Document) -> set[str | None]:
    """The fingerprints beside the digests of a key's secrets that have not ended; None for one that is not known."""
    return {
        pepper
        for one, digest, pepper in zip(secrets_of(document), digests_of(document), peppers_of(document), strict=True)
        if digest is not None and not has_ended(one.get("expires_at"))
    }
