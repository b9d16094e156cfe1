"""From moments as APIs may write them (RFC 3339) to those of Logregels: whole milliseconds since 1970-01-01 UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_LEAP_SECOND: Final = 60


def parse_date_time(text: str) -> int:
    """Return a moment in ms; what is smaller than a ms is dropped. It may lie before 1970, and so be negative.

    Raises:
        ValueError: It is not RFC 3339, or no moment that exists.
    """
    found = _DATE_TIME.fullmatch(text)
    if not found:
        raise ValueError("not RFC 3339")
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    if second > _LEAP_SECOND:
        raise ValueError("no such second")
    # Year 0 exists in RFC 3339 but not in Python; what counts is that it is before any record.
    whole = datetime(year or 4, month, day, hour, minute, min(second, _LEAP_SECOND - 1), tzinfo=UTC)
    offset = timedelta() if found[8] else timedelta(hours=int(found[10]), minutes=int(found[11]))
    if found[9] == "-":
        offset = -offset
    since = whole - _EPOCH - offset + timedelta(seconds=second == _LEAP_SECOND)
    return since // timedelta(milliseconds=1) + int((found[7] or "0")[:3].ljust(3, "0"))
