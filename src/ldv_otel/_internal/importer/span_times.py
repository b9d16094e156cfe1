"""The times of a span as implementers really write them. Nothing here raises on any JSON value.

| form | written by |
| --- | --- |
| a number, or its digits, in s, ms, us or ns, told apart by magnitude | OTLP, Jaeger, Zipkin, hand |
| `"2025-04-22T14:47:47.994Z"`, taken as UTC when it names no zone | the SDK's console exporter |
| `[1745333267, 994934004]`: seconds and nanoseconds (hrTime) | OpenTelemetry for JavaScript |
| `{"seconds": "1745333267", "nanos": 994934004}` | protobuf's Timestamp |
| `{"low": 1041205492, "high": 406366412, "unsigned": true}`: halves of 64 bits | protobufjs |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from ldv_otel._internal.importer.span_fields import common_fields, first
from ldv_otel._internal.times.instants import ns_from_datetime
from ldv_otel.attributes import Flag

_TIME_MAX_CHARACTERS: Final = 64
#: 1973-03-03 in nanoseconds. Anything earlier is a counter or a mistake, and units could not be told apart below it.
_TIME_MIN_NS: Final = 10**17
#: Numbers below the limit are in a unit of so many nanoseconds: s, ms, us, ns. The last limit is 64 bits.
_UNITS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3), (2**63, 1))
_NS_PER_SECOND: Final = 10**9
_HALF_BITS: Final = 32
_HALF: Final = (1 << _HALF_BITS) - 1
_PAIR: Final = 2


class Times(msgspec.Struct, frozen=True):
    """Start and end in nanoseconds, never 1970, and the flags of what was normalised to get them.

    Attributes:
        originals: By field of the record, the text of a time that cannot be read.
    """

    start_ns: int
    end_ns: int
    flags: tuple[Flag, ...] = ()
    originals: Mapping[str, str] = {}


def read_times(start: object, end: object) -> Times | None:
    """Return both times: one that is missing or cannot be read takes the other's place.

    None when neither can be read: any other moment, such as that of the import, would be an invention, and each import
    of the same file would make another record of it.
    """
    start_ns, end_ns = _time_ns(start), _time_ns(end)
    flags: list[Flag] = []
    originals: dict[str, str] = {}
    if start_ns is None:
        # There is no flag for a missing start alone, because no SDK makes a span without one.
        flags.append(Flag.TIME_OUT_OF_RANGE)
        if not _absent(start):
            originals["start_time"] = _shown(start)
    if end_ns is None:
        flags.append(Flag.END_MISSING if _absent(end) else Flag.TIME_OUT_OF_RANGE)
        if not _absent(end):
            originals["end_time"] = _shown(end)
    either = end_ns if start_ns is None else start_ns
    if either is None:
        return None
    return Times(
        either if start_ns is None else start_ns, either if end_ns is None else end_ns, tuple(flags), originals
    )


def _absent(value: object) -> bool:
    return value is None or (isinstance(value, int | float | str) and not str(value).strip().strip("0"))


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, int | float | str) else json.dumps(value, separators=(",", ":"))
    return text[:_TIME_MAX_CHARACTERS]


def _time_ns(value: object) -> int | None:
    if isinstance(value, list):
        return _seconds_and_nanos(*value) if len(value) == _PAIR else None
    if isinstance(value, dict):
        return _object_ns(common_fields(value))
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value).strip()
    if len(text) > _TIME_MAX_CHARACTERS:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return _iso_ns(text)
    return _scaled_ns(number) if number.is_finite() else None


def _object_ns(fields: Mapping[str, Any]) -> int | None:
    if "high" in fields:
        number = _long(fields)
        return None if number is None else _scaled_ns(Decimal(number))
    # A message of protobuf leaves out what is 0.
    return _seconds_and_nanos(fields.get("seconds"), first(fields, "nanos", "nanoseconds") or 0)


def _seconds_and_nanos(seconds: object, nanos: object) -> int | None:
    whole, part = _whole(seconds), _whole(nanos)
    # Whole seconds, because a fraction would be counted twice; two numbers of another meaning rarely fit both bounds.
    if whole is None or part is None or not 0 <= part < _NS_PER_SECOND:
        return None
    return _plausible(whole * _NS_PER_SECOND + part)


def _whole(value: object) -> int | None:
    """Return a whole number, as itself, as digits or as the halves of 64 bits."""
    if isinstance(value, dict):
        return _long(common_fields(value))
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _TIME_MAX_CHARACTERS:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _long(fields: Mapping[str, Any]) -> int | None:
    low, high = fields.get("low"), fields.get("high")
    for half in (low, high):
        if not isinstance(half, int) or isinstance(half, bool) or not -(1 << _HALF_BITS) < half <= _HALF:
            return None
    return int(high) << _HALF_BITS | int(low) & _HALF if isinstance(high, int) and isinstance(low, int) else None


def _scaled_ns(number: Decimal) -> int | None:
    if number < 0:
        return None
    unit_ns = next((unit_ns for limit, unit_ns in _UNITS if number < limit), 0)
    return _plausible(int(number * unit_ns)) if unit_ns else None


def _iso_ns(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return _plausible(ns_from_datetime(aware))


def _plausible(time_ns: int) -> int | None:
    return time_ns if _TIME_MIN_NS <= time_ns < 2**63 else None
