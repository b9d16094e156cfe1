from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.times.durations import MAX_MONTHS, Duration


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("P7Y", Duration(months=84)),
        ("P1Y6M", Duration(months=18)),
        ("p2w", Duration(days=14)),
        ("P1DT12H30M5S", Duration(days=1, seconds=45_005)),
        ("PT90M", Duration(seconds=5_400)),
        ("30d", Duration(days=30)),
        ("18 mo", Duration(months=18)),
        ("15min", Duration(seconds=900)),
        ("1y", Duration(months=12)),
    ],
)
def test_both_spellings(text: str, duration: Duration) -> None:
    """ISO 8601, and what people type."""
    assert Duration.parse(text) == duration


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "7", "7m", "-P1Y", "P1.5Y", "P1M1Y", "1y6mo", "P200Y", "P٣Y x"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """`7m` could be minutes or months."""
    with pytest.raises(ValueError, match="it is"):
        Duration.parse(text)


@given(st.builds(Duration, st.integers(0, MAX_MONTHS), st.integers(0, 10_000), st.integers(0, 10_000_000)))
def test_a_duration_survives_its_text(duration: Duration) -> None:
    """The Register's text goes into the Logboek and comes back."""
    assert Duration.parse(str(duration)) == duration


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    st.integers(0, MAX_MONTHS),
)
def test_calendar_months(moment: datetime, months: int) -> None:
    """As many months further in the calendar, on the same day or the last of a shorter month."""
    there = Duration(months=months).after(moment)
    assert (there.year - moment.year) * 12 + there.month - moment.month == months
    assert there.day == moment.day or (there + timedelta(days=1)).day == 1
    back = Duration(months=months).before(there)
    assert (back.year, back.month) == (moment.year, moment.month)


def test_the_calendar_ends() -> None:
    """No surprise error of the library below."""
    with pytest.raises(ValueError, match="calendar"):
        Duration(months=1_000).before(datetime(50, 1, 1, tzinfo=UTC))
