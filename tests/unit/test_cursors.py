"""Every id and cursor that the service gives out is taken back."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gql_identity.keys.records import opaque_id, read_opaque_id
from gql_identity.queries.cursors import CURSOR_VERSION, MAX_CURSOR, Order, Place, make_cursor, read_cursor

CHARACTERS = st.characters(exclude_categories=("Cs", "Cc"))
TEXTS = st.one_of(
    st.text(CHARACTERS, min_size=1, max_size=255),
    st.sampled_from(["😀" * 255, '"' * 255, "\\" * 255, "é" * 255, "\u2028" * 255]),
)
INSTANTS = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "api_key_id": st.none(),
    "name": st.none() | TEXTS,
    "user_id": TEXTS,
    "created_at": INSTANTS,
    "last_accessed_at": st.none() | INSTANTS,
}


@given(st.data(), TEXTS, TEXTS, st.booleans())
def test_every_cursor_is_taken_back(data: st.DataObject, key_id: str, domain_id: str, ascending: bool) -> None:
    field = data.draw(st.sampled_from(sorted(VALUES)))
    order, value = Order(field, ascending), data.draw(VALUES[field])
    document = {"_id": key_id, "domain_id": domain_id} | ({} if field == "api_key_id" else {order.path: value})
    assert read_cursor(make_cursor(order, document), "after", order, {domain_id}) == Place(value, key_id)


def test_the_longest_cursor_of_an_earlier_version_is_taken_back() -> None:
    assert CURSOR_VERSION == 1
    escaped = 12 * 255 + 2  # an emoji was written as two escape sequences of six characters
    assert (6 + 2 * escaped + 3) * 4 / 3 < MAX_CURSOR


@given(TEXTS, TEXTS.filter(lambda text: ":" not in text))
def test_every_opaque_id_is_taken_back(domain_id: str, key_id: str) -> None:
    assert read_opaque_id(opaque_id(domain_id, key_id)) == (domain_id, key_id)


def test_an_instant_of_the_first_year_is_taken_back() -> None:
    order = Order("created_at", ascending=True)
    document = {"_id": "k", "domain_id": "d", "created_at": datetime(1, 1, 1, tzinfo=UTC)}
    assert read_cursor(make_cursor(order, document), "after", order, {"d"}).value == document["created_at"]
