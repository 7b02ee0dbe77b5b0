"""Many texts to look for become few patterns."""

from tests.unit.reading_queries import condition, list_query


def test_many_texts_are_few_patterns() -> None:
    words = [f"word{number:04}" for number in range(1000)]
    plan = list_query(filter=[condition("name", "contain_in", words)])
    patterns = [part["name"]["$regex"] for part in plan.filter["$or"]]
    assert "|".join(patterns).split("|") == words
    assert max(map(len, patterns)) <= 1000
