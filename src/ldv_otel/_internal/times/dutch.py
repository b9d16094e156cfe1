"""Dates, times and lengths of time as people in the Netherlands write them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from ldv_otel._internal.times.durations import Duration
from ldv_otel._internal.times.instants import datetime_from_ms

DAYS: Final = ("maandag", "dinsdag", "woensdag", "donderdag", "vrijdag", "zaterdag", "zondag")
MONTHS: Final = (
    "januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september", "oktober", "november",
    "december",
)  # fmt: skip
_MONTHS_A_YEAR: Final = 12


def local(time_ms: int, zone: ZoneInfo) -> datetime:
    """Return a time in ms since 1970-01-01 UTC on the clock of a zone."""
    return datetime_from_ms(time_ms).astimezone(zone)


def day_words(day: date) -> str:
    """Return a date: `zondag 22 november 2026`."""
    return f"{DAYS[day.weekday()]} {date_words(day)}"


def date_words(day: date) -> str:
    """Return a date: `22 november 2026`."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def time_words(moment: datetime) -> str:
    """Return a time of day: `18.53 uur`; in the hour that comes twice also which of the two it is."""
    # With a point, as Dutch clocks are written.
    text = f"{moment:%H.%M} uur"
    if moment.utcoffset() == moment.replace(fold=1 - moment.fold).utcoffset():
        return text
    return f"{text} ({'zomertijd' if moment.dst() else 'wintertijd'})"


def duration_words(duration: Duration) -> str:
    """Return a term of the Register: `1 jaar en 6 maanden`."""
    years, months = divmod(duration.months, _MONTHS_A_YEAR)
    parts = [
        f"{number} {singular if number == 1 else plural}"
        for number, singular, plural in (
            (years, "jaar", "jaar"),
            (months, "maand", "maanden"),
            (duration.days, "dag", "dagen"),
        )
        if number
    ]
    return " en ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
