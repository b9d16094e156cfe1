"""Dates and lengths of time in English."""

from __future__ import annotations

from datetime import date
from typing import Final

from ldv_otel._internal.times.durations import Duration

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_MONTHS_A_YEAR: Final = 12


def day_words(day: date) -> str:
    """Return a date: `Sunday 22 November 2026`."""
    return f"{DAYS[day.weekday()]} {day.day} {MONTHS[day.month - 1]} {day.year}"


def duration_words(duration: Duration) -> str:
    """Return a term of the Register: `1 year and 6 months`."""
    years, months = divmod(duration.months, _MONTHS_A_YEAR)
    counted = ((years, "year"), (months, "month"), (duration.days, "day"))
    parts = [f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counted if number]
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
