"""Signing keys as they are stored: the private part is sealed under the pepper, which the database does not have. Pure.

AES-256-GCM (NIST SP 800-38D) under HKDF-SHA256 (RFC 5869) of a pepper. What stands beside the sealed part is its
associated data: whoever can only write to the database can plant no key, and change nothing of one.
"""

import json
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Document = dict[str, Any]

NONCE_BYTES = 12


def seal(document: Document, private: Document, pepper: str) -> Document:
    """The document of a key with the sealed private members of its JSON Web Key."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    text = json.dumps(private, sort_keys=True).encode()
    return document | {"sealed": nonce + AESGCM(_key(pepper)).encrypt(nonce, text, _associated(document))}


def open_sealed(document: Document, peppers: Sequence[str]) -> tuple[Document, str] | None:
    """The private members of a stored key and the pepper that they are sealed under.

    None where no pepper opens them, or anything else wrote the document.
    """
    try:
        sealed, associated = bytes(document["sealed"]), _associated(document)
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    for pepper in peppers:
        try:
            opened = AESGCM(_key(pepper)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
        except (InvalidTag, ValueError):
            continue
        return json.loads(opened), pepper
    return None


@lru_cache(8)
def _key(pepper: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"signing").derive(pepper.encode())


def _associated(document: Document) -> bytes:
    told = [document["_id"], document["kid"], document["algorithm"], document["public"]]
    return json.dumps([*told, document["signs_from"].isoformat()], sort_keys=True).encode()
