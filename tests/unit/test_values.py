"""Instants as text."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from graphql import GraphQLError

from gql_identity.messages.values import instant_text, read_instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        # The examples of RFC 3339, section 5.8; its leap second is the second after it.
        ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520Z"),
        ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57.000Z"),
        ("1990-12-31T23:59:60Z", "1991-01-01T00:00:00.000Z"),
        ("1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00.000Z"),
        ("1937-01-01T12:00:27.87+00:20", "1937-01-01T11:40:27.870Z"),
        ("2026-11-23t04:36:42z", "2026-11-23T04:36:42.000Z"),
        ("2026-11-23t04:36:42.1239999999z", "2026-11-23T04:36:42.123Z"),
        ("2026-11-23T04:36:42-00:00", "2026-11-23T04:36:42.000Z"),
        ("2024-02-29T23:59:59+23:59", "2024-02-29T00:00:59.000Z"),
    ],
)
def test_an_instant_of_rfc_3339_is_read(text: str, instant: str) -> None:
    assert instant_text(read_instant(text)) == instant
    assert instant_text(read_instant(text).replace(tzinfo=None)) == instant
    assert read_instant(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "2026-W48-1T04:36:42Z",
        "2026W481T043642Z",
        "2026-327T04:36:42Z",
        "20261123T043642Z",
        "2026-11-23",
        "2026-11-23T04:36:42",
        "2026-11-23T04:36Z",
        "2026-11-23T04Z",
        "2026-11-23 04:36:42Z",
        "2026-11-23x04:36:42Z",
        "2026-11-23T04:36:42,5Z",
        "2026-11-23T04:36:42.Z",
        "2026-11-23T04:36:42+01",
        "2026-11-23T04:36:42+0100",
        "2026-11-23T04:36:42+01:00:00",
        "2026-11-23T04:36:42+24:00",
        "2026-11-23T04:36:42+01:60",
        "2026-11-23T24:00:00Z",
        "2026-11-23T04:36:60Z",
        "2026-02-29T04:36:42Z",
        "2026-11-23T04:36:42Z ",
        "٢٠٢٦-11-23T04:36:42Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:60Z",
        "",
        None,
        1,
        datetime(2026, 11, 23, tzinfo=UTC),
    ],
)
def test_what_rfc_3339_does_not_have_is_refused(text: Any) -> None:
    with pytest.raises(GraphQLError, match="Give an instant with its offset"):
        read_instant(text)
