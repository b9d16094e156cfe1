"""Moments, from one form to another: OpenTelemetry's nanoseconds, milliseconds of Logregels, `datetime`, RFC 3339.

A number is always of time since 1970-01-01 UTC, with its unit in its name. All arithmetic is on integers: a `float` of
seconds (`datetime.timestamp()`) times 1,000 and cut off is a millisecond too early for 6 moments in 1,000. What is
smaller than the unit asked for is dropped, towards the past, so that order is kept.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Final

#: The end of 2261, the last whole year that nanoseconds in 64 bits, and so OpenTelemetry, can express: no record is
#: later.
TIME_MAX_MS: Final = 9_214_646_400_000
#: 2262-04-11, the last day that ClickHouse can hold in nanoseconds of 64 bits. It lies after every record, so a query
#: without an end ends here.
QUERY_TIME_MAX_MS: Final = 9_223_286_400_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_US_PER_MS: Final = 1_000
_NS_PER_US: Final = 1_000
_NS_PER_MS: Final = 1_000_000
_MS_PER_HOUR: Final = 3_600_000

_DATE_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_LEAP_SECOND: Final = 60


def now_ms() -> int:
    """Return the present in ms."""
    return time.time_ns() // _NS_PER_MS


def now_us() -> int:
    """Return the present in us."""
    return time.time_ns() // _NS_PER_US


def ms_from_ns(time_ns: int) -> int:
    """Return a moment of OpenTelemetry as a Logregel has it."""
    return time_ns // _NS_PER_MS


def seconds_from_ms(time_ms: int) -> float:
    """Return a time in seconds since 1970-01-01 UTC for one in ms."""
    return time_ms / 1_000


def ns_from_ms(time_ms: int) -> int:
    """Return a moment of a Logregel as OpenTelemetry has it."""
    return time_ms * _NS_PER_MS


def hour_from_ms(time_ms: int) -> int:
    """Return the number of the hour in which a moment lies, as ClickHouse's `toRelativeHourNum` counts them in UTC."""
    return time_ms // _MS_PER_HOUR


def us_from_ms(time_ms: int) -> int:
    """Return a moment in us."""
    return time_ms * _US_PER_MS


def ms_from_datetime(moment: datetime) -> int:
    """Return a moment in ms, exactly, whatever its time zone.

    Raises:
        TypeError: It has no time zone, and so is no moment.
    """
    return (moment - _EPOCH) // _MICROSECOND // _US_PER_MS


def ns_from_datetime(moment: datetime) -> int:
    """Return a moment in ns; see `ms_from_datetime`."""
    return (moment - _EPOCH) // _MICROSECOND * _NS_PER_US


def datetime_from_ms(time_ms: int) -> datetime:
    """Return a moment as a `datetime` in UTC.

    Raises:
        OverflowError: It lies outside the years 1 to 9999.
    """
    return datetime_from_us(us_from_ms(time_ms))


def datetime_from_us(time_us: int) -> datetime:
    """Return a moment as a `datetime` in UTC; see `datetime_from_ms`."""
    return _EPOCH + timedelta(microseconds=time_us)


def rfc3339_from_ms(time_ms: int) -> str:
    """Return a moment as RFC 3339 in UTC with three digits: `2026-11-22T17:53:00.000Z`; see `datetime_from_ms`."""
    return datetime_from_ms(time_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_from_us(time_us: int) -> str:
    """Return a moment as RFC 3339 in UTC with six digits; see `datetime_from_ms`."""
    return datetime_from_us(time_us).isoformat(timespec="microseconds").replace("+00:00", "Z")


def ms_from_rfc3339(text: str) -> int:
    """Return a moment in ms; what is smaller than a ms is dropped. It may lie before 1970, and so be negative.

    Raises:
        ValueError: It is not RFC 3339, or no moment that exists.
    """
    match = _DATE_TIME.fullmatch(text)
    if not match:
        raise ValueError("not RFC 3339")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if second > _LEAP_SECOND:
        raise ValueError("no such second")
    # Year 0 exists in RFC 3339 but not in Python; what counts is that it is before any record.
    whole = datetime(year or 4, month, day, hour, minute, min(second, _LEAP_SECOND - 1), tzinfo=UTC)
    offset = timedelta() if match[8] else timedelta(hours=int(match[10]), minutes=int(match[11]))
    if match[9] == "-":
        offset = -offset
    since = whole - _EPOCH - offset + timedelta(seconds=second == _LEAP_SECOND)
    return since // timedelta(milliseconds=1) + int((match[7] or "0")[:3].ljust(3, "0"))


def within_record_time(time_ms: int) -> int:
    """Return the nearest moment that a Logregel can have."""
    return min(max(time_ms, 0), TIME_MAX_MS)


def within_query_time(time_ms: int) -> int:
    """Return the nearest moment that a query can be asked for."""
    return min(max(time_ms, 0), QUERY_TIME_MAX_MS)
