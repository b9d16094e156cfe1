from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.times.instants import parse_date_time

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
offsets = st.integers(-1_439, 1_439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=offsets, min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)))  # noqa: DTZ001
def test_it_reads_what_python_writes(moment: datetime) -> None:
    """Any offset, with microseconds or without; what is smaller than a ms is dropped."""
    assert parse_date_time(moment.isoformat()) == (moment - EPOCH) // timedelta(milliseconds=1)


@given(st.text())
def test_anything_else_is_a_value_error(text: str) -> None:
    """Never another error."""
    try:
        parse_date_time(text)
    except ValueError:
        return
    assert text[4] == "-"


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t01:00:00.5+01:00", 500),
        ("1970-01-01 00:00:00.0009z", 0),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("1969-12-31T23:59:59.999Z", -1),
        ("1970-01-01T00:00:00-00:00", 0),
    ],
)
def test_every_spelling_of_the_standard(text: str, time_ms: int) -> None:
    """Lower case, a space, leap seconds, an unknown offset."""
    assert parse_date_time(text) == time_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "20260101T000000Z",
        "2026-W01-1T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00,5Z",
        "\u0662026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
    ],
)
def test_what_is_not_rfc_3339_is_refused(text: str) -> None:
    """Other forms of ISO 8601 among them: they leave something open."""
    with pytest.raises(ValueError, match=r"RFC 3339|second|must be in|out of range"):
        parse_date_time(text)
