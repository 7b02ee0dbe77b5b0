"""The digests of a key's secrets, and beside each the fingerprint of the pepper that it was made with. Pure.

A key that was never rotated stores `digest` and `pepper` as one value each, another one as lists in the order of its
secrets. A fingerprint is missing beside a digest that an older version stored, until the secret is used.
"""

from typing import Any

from .. import secret

Document = dict[str, Any]


def stored_secret(text: str, pepper: str) -> Document:
    """What is stored of a secret: its digest under a pepper, and that one's fingerprint."""
    return {"digest": secret.digest(text, pepper), "pepper": secret.pepper_fingerprint(pepper)}


def digests_of(document: Document) -> list[bytes | None]:
    """The digests of a key's secrets, in the order of `secrets_of`; None for one that is not known."""
    digest = document.get("digest")
    return digest if isinstance(digest, list) else [digest]


def peppers_of(document: Document) -> list[str | None]:
    """The fingerprints of the peppers of a key's digests, in their order; None for one that is not known."""
    stored, count = document.get("pepper"), len(digests_of(document))
    peppers = stored if isinstance(stored, list) else [stored]
    if len(peppers) != count:  # an older version rotated the key
        return [None] * count
    return [pepper if isinstance(pepper, str) else None for pepper in peppers]


def with_digest(document: Document, place: int, made: Document) -> Document:
    """The fields to set for another digest, with its fingerprint, of one of a key's secrets."""
    if not isinstance(document.get("digest"), list):
        return made
    digests, peppers = digests_of(document).copy(), peppers_of(document)
    digests[place], peppers[place] = made["digest"], made["pepper"]
    return {"digest": digests, "pepper": peppers}
