"""The times of a span in all forms that files have."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldv_otel._internal.importer.span_times import Times, read_times
from ldv_otel.attributes import Flag
from tests.importer.spelling import any_json


@pytest.mark.parametrize(
    ("value", "expected_ns"),
    [
        ("1745333267994934004", 1_745_333_267_994_934_004),
        (1745333267994934004, 1_745_333_267_994_934_004),
        ("1745333267994934", 1_745_333_267_994_934_000),
        (1745333267994, 1_745_333_267_994_000_000),
        ("1745333267.994934004", 1_745_333_267_994_934_004),
        (1745333267.5, 1_745_333_267_500_000_000),
        (1745333267, 1_745_333_267_000_000_000),
        ("1.745333267e18", 1_745_333_267_000_000_000),
        ("2025-04-22T14:47:47.994934Z", 1_745_333_267_994_934_000),
        ("2025-04-22T16:47:47.994934004+02:00", 1_745_333_267_994_934_000),
        ("2025-04-22 14:47:47,994", 1_745_333_267_994_000_000),
        ("100000000000", 100_000_000_000_000_000),
        ("99999999999", None),
    ],
)
def test_units_of_time_are_told_apart_by_magnitude(value: object, expected_ns: int | None) -> None:
    """Seconds, milliseconds, microseconds, nanoseconds or ISO 8601, as number or text."""
    times = read_times(value, value)
    if expected_ns is None:
        assert times is None
        return
    assert times == Times(expected_ns, expected_ns)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        0,
        "0",
        "0000",
        1,
        "5",
        -1,
        "-1745333267994",
        99_999_999,
        2**63,
        10**30,
        "1e999999999",
        "-1e999999999",
        "1e-999999999",
        float("inf"),
        float("nan"),
        "NaN",
        "sNaN",
        "soon",
        "1970-01-01T00:00:00Z",
        "9999-12-31",
        "9" * 100,
        True,
        [1],
        {"seconds": 1},
    ],
)
def test_no_time_is_ever_1970(value: object) -> None:
    """A time that is missing, or is no time, takes the other one's place; where both are, there is none."""
    good = 1_745_333_267_994_000_000
    start, end = read_times(value, good), read_times(good, value)
    assert start is not None
    assert end is not None
    assert start.start_ns == end.end_ns == good
    assert Flag.TIME_OUT_OF_RANGE in start.flags
    assert read_times(value, value) is None


def test_a_time_without_a_zone_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file means the same wherever it is imported."""
    monkeypatch.setenv("TZ", "Europe/Amsterdam")
    time.tzset()
    try:
        times = read_times("2025-04-22T14:47:47", None)
        assert times is not None
        assert times.start_ns == 1_745_333_267_000_000_000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("end", "flags", "originals"),
    [
        ("", (Flag.END_MISSING,), {}),
        ("0", (Flag.END_MISSING,), {}),
        ("soon", (Flag.TIME_OUT_OF_RANGE,), {"end_time": "soon"}),
        ([1], (Flag.TIME_OUT_OF_RANGE,), {"end_time": "[1]"}),
        ({"seconds": 1}, (Flag.TIME_OUT_OF_RANGE,), {"end_time": '{"seconds":1}'}),
        (["x" * 100], (Flag.TIME_OUT_OF_RANGE,), {"end_time": '["' + "x" * 62}),
    ],
    ids=str,
)
def test_what_was_changed_about_times_is_named(end: object, flags: tuple[Flag, ...], originals: dict[str, str]) -> None:
    """A missing one is one thing, one that cannot be read another, and that is kept as it was written."""
    good = 1_745_333_267_994_000_000
    assert read_times("1745333267994", end) == Times(good, good, flags, originals)


def _iso(moment: Any) -> str:
    return str(moment.isoformat())


_PARTS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5) | st.floats()


@given(seconds=st.integers(100_000_000, 9_000_000_000), nanos=st.integers(0, 999_999_999))
def test_every_form_of_parts_is_the_same_moment(seconds: int, nanos: int) -> None:
    """hrTime, protobuf's Timestamp with numbers or digits, and the halves of 64 bits, signed or not."""
    whole = seconds * 10**9 + nanos
    low, high = whole & 0xFFFFFFFF, whole >> 32
    signed = low - (1 << 32) if low >> 31 else low
    for form in (
        [seconds, nanos],
        {"seconds": seconds, "nanos": nanos},
        {"seconds": str(seconds), "nanoseconds": nanos},
        {"seconds": {"low": seconds & 0xFFFFFFFF, "high": seconds >> 32, "unsigned": False}, "nanos": nanos},
        {"low": low, "high": high, "unsigned": True},
        {"low": signed, "high": high},
    ):
        times = read_times(form, form)
        assert times is not None
        assert (times.start_ns, times.end_ns, times.flags) == (whole, whole, ())


@given(
    parts=st.lists(_PARTS, max_size=3) | st.dictionaries(st.sampled_from(["seconds", "nanos", "low", "high"]), _PARTS)
)
def test_no_parts_break_the_reading(parts: list[Any] | dict[str, Any]) -> None:
    """Whatever stands there is a moment between 1973 and 2262, or none."""
    times = read_times(parts, None)
    assert times is None or 10**17 <= times.start_ns < 2**63


@given(value=any_json | st.text(alphabet="0123456789eE+-._TZ: ") | st.datetimes(timezones=st.timezones()).map(_iso))
def test_no_value_of_a_time_raises(value: Any) -> None:
    """Whatever stands there, also what looks like a time, at the ends of the calendar too."""
    times = read_times(value, value)
    assert times is None or times.start_ns > 10**16
