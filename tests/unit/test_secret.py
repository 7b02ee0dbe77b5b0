"""Secrets: their form, their checksum and their digest."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from gql_identity import secret

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_secret_has_the_published_form() -> None:
    made = secret.make_secret()
    assert made.startswith("gqlid_")
    assert len(made) == 6 + 43 + 6
    assert set(made[6:]) <= set(ALPHABET)
    number = 0
    for character in made[-6:]:
        number = number * 62 + ALPHABET.index(character)
    assert number == zlib.crc32(made[:-6].encode())
    assert secret.is_well_formed(made)


def test_secrets_differ() -> None:
    assert len({secret.make_secret() for _ in range(1000)}) == 1000


@given(st.integers(0, 54), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(place: int, character: str) -> None:
    made = secret.make_secret()
    wrong = made[:place] + character + made[place + 1 :]
    assert secret.is_well_formed(wrong) == (wrong == made)


@given(st.text())
def test_other_text_is_no_secret(text: str) -> None:
    assert not secret.is_well_formed(text)
    assert not secret.is_well_formed(f"gqlid_{text}")


def test_a_digest_depends_on_the_secret_and_on_the_pepper() -> None:
    one, other = secret.make_secret(), secret.make_secret()
    digests = {secret.digest(one, "p"), secret.digest(other, "p"), secret.digest(one, "q")}
    assert len(digests) == 3
    assert {len(digest) for digest in digests} == {32}


def test_a_hint_tells_keys_apart_and_opens_nothing() -> None:
    made = secret.make_secret()
    assert secret.hint(made) == f"gqlid_...{made[-4:]}"


def test_a_fingerprint_tells_peppers_apart() -> None:
    assert secret.pepper_fingerprint("one") != secret.pepper_fingerprint("two")
    assert len(secret.pepper_fingerprint("one")) == 16
