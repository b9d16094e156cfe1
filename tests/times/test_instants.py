from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ldv_otel._internal.times.instants import (
    QUERY_TIME_MAX_MS,
    TIME_MAX_MS,
    datetime_from_ms,
    datetime_from_us,
    hour_from_ms,
    ms_from_datetime,
    ms_from_ns,
    ms_from_rfc3339,
    now_ms,
    now_us,
    ns_from_datetime,
    ns_from_ms,
    rfc3339_from_ms,
    rfc3339_from_us,
    us_from_ms,
    within_query_time,
    within_record_time,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The calendar of Python, in ms.
FIRST_MS = -62_135_596_800_000
LAST_MS = 253_402_300_799_999
calendar_ms = st.integers(FIRST_MS, LAST_MS)
record_ms = st.integers(0, TIME_MAX_MS)
any_ms = st.integers(-(2**70), 2**70)
offsets = st.integers(-1_439, 1_439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(calendar_ms)
@example(FIRST_MS)
@example(-1)
@example(0)
@example(1_001)  # 1.001 s as a float times 1,000 is less than 1,001
@example(TIME_MAX_MS)
@example(QUERY_TIME_MAX_MS)
@example(LAST_MS)
def test_milliseconds_come_back_from_every_form(time_ms: int) -> None:
    """Through nanoseconds, a `datetime` and RFC 3339, over the whole calendar, to the millisecond."""
    assert ms_from_ns(ns_from_ms(time_ms)) == time_ms
    assert ms_from_datetime(datetime_from_ms(time_ms)) == time_ms
    if datetime_from_ms(time_ms).year >= 1_000:  # before it Python leaves out the zeros in front on some systems
        assert ms_from_rfc3339(rfc3339_from_ms(time_ms)) == time_ms
        assert ms_from_rfc3339(rfc3339_from_us(us_from_ms(time_ms))) == time_ms


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_datetime_loses_only_what_is_below_the_unit(moment: datetime) -> None:
    """Its microseconds in nanoseconds; in milliseconds cut off towards the past, also before 1970."""
    assert datetime_from_us(ns_from_datetime(moment) // 1_000) == moment
    assert timedelta(0) <= moment - datetime_from_ms(ms_from_datetime(moment)) < timedelta(milliseconds=1)


@given(st.tuples(record_ms, st.integers(0, 999_999)), st.tuples(record_ms, st.integers(0, 999_999)))
def test_order_is_kept(one: tuple[int, int], other: tuple[int, int]) -> None:
    """The earlier of two spans is not the later of two records, nor of two texts."""
    first, second = sorted(time_ms * 1_000_000 + below for time_ms, below in (one, other))
    assert ms_from_ns(first) <= ms_from_ns(second)
    assert rfc3339_from_ms(ms_from_ns(first)) <= rfc3339_from_ms(ms_from_ns(second))
    assert datetime_from_ms(ms_from_ns(first)) <= datetime_from_ms(ms_from_ns(second))


@given(any_ms, any_ms)
@example(-1, 0)
@example(TIME_MAX_MS, TIME_MAX_MS + 1)
@example(QUERY_TIME_MAX_MS, QUERY_TIME_MAX_MS + 1)
def test_limits_move_only_what_lies_outside(one: int, other: int) -> None:
    """What lies inside stays, what lies outside stands at the nearest end, and order is kept."""
    for limited, last in ((within_record_time, TIME_MAX_MS), (within_query_time, QUERY_TIME_MAX_MS)):
        assert limited(one) == (one if 0 <= one <= last else 0 if one < 0 else last)
        assert (limited(one) <= limited(other)) if one <= other else (limited(one) >= limited(other))


def test_the_limits_are_those_of_nanoseconds_in_64_bits() -> None:
    """Records end with the last whole year, queries with the last whole day that they can express."""
    assert datetime_from_ms(TIME_MAX_MS) == datetime(2262, 1, 1, tzinfo=UTC)
    assert datetime_from_ms(QUERY_TIME_MAX_MS) == datetime(2262, 4, 11, tzinfo=UTC)
    assert ns_from_ms(QUERY_TIME_MAX_MS) < 2**63 < ns_from_ms(QUERY_TIME_MAX_MS + 86_400_000)


@pytest.mark.parametrize("time_ms", [FIRST_MS - 1, LAST_MS + 1])
def test_beyond_the_calendar_there_is_no_datetime(time_ms: int) -> None:
    """It is an error, and not another moment."""
    with pytest.raises(OverflowError):
        datetime_from_ms(time_ms)


def test_a_zone_counts_and_its_absence_is_an_error() -> None:
    """Both hours that a Dutch clock shows twice are themselves; a time without a zone is none."""
    twice = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Amsterdam"))
    assert ms_from_datetime(twice.replace(fold=1)) - ms_from_datetime(twice) == 3_600_000
    with pytest.raises(TypeError):
        ms_from_datetime(datetime(2026, 10, 25))  # that is the point


def test_the_present_is_that_of_the_clock() -> None:
    """In both units, between two looks at it."""
    before = time.time_ns()
    ms, us = now_ms(), now_us()
    after = time.time_ns()
    assert before // 1_000_000 <= ms <= after // 1_000_000
    assert hour_from_ms(ms) in {before // 3_600_000_000_000, after // 3_600_000_000_000}
    assert before // 1_000 <= us <= after // 1_000


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_767_225_600_001, "2026-01-01T00:00:00.001Z"),
        (TIME_MAX_MS, "2262-01-01T00:00:00.000Z"),
    ],
)
def test_rfc_3339_is_written_in_one_way(time_ms: int, text: str) -> None:
    """UTC as `Z`, always with three digits, or six."""
    assert rfc3339_from_ms(time_ms) == text
    assert rfc3339_from_us(us_from_ms(time_ms) + 7) == text.replace("Z", "007Z")


@given(st.datetimes(timezones=offsets, min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)))
def test_it_reads_what_python_writes(moment: datetime) -> None:
    """Any offset, with microseconds or without; what is smaller than a ms is dropped."""
    assert ms_from_rfc3339(moment.isoformat()) == (moment - EPOCH) // timedelta(milliseconds=1)


@given(st.text())
def test_anything_else_is_a_value_error(text: str) -> None:
    """Never another error."""
    try:
        ms_from_rfc3339(text)
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
    assert ms_from_rfc3339(text) == time_ms


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
        ms_from_rfc3339(text)
