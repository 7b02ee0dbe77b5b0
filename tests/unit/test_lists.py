"""What a list may ask for."""

from gql_identity.queries.fields import READABLE
from gql_identity.queries.lists import wanted_fields
from tests.unit.reading_queries import list_query, refused


def test_only_names_the_fields_wanted() -> None:
    assert wanted_fields(None, "only") is None
    assert wanted_fields(["apiKeyId", "created_at", "name", "name"], "only") == frozenset(
        {"api_key_id", "created_at", "name"}
    )
    assert wanted_fields(list(READABLE), "only") == frozenset(READABLE)
    assert list_query(minimal=True).wanted == {"api_key_id", "state", "user_id"}
    assert list_query(only=["hint"]).wanted == {"hint"}
    for name in ("digest", "disabledRank", "_id", "", "$where"):
        assert refused(wanted_fields, ["name", name], "query.only").startswith("query.only[1]: ")


def test_what_a_list_cannot_do_is_refused() -> None:
    assert refused(list_query, unwind={"path": "x"}).startswith("query.unwind: ")
    assert refused(list_query, minimal=True, only=["name"]).startswith("query.minimal: ")
    assert list_query(count_only=True).count_only
