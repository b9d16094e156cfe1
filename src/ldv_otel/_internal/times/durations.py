"""Lengths of time as people and the Register write them: ISO 8601 (`P7Y`, `PT12H`), or one number and a unit (`30d`).

Years and months are those of the calendar, so a duration only has a length from or up to a moment.
"""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta
from typing import Final, Self

import msgspec

#: A hundred years and more would leave the range of a stored time.
MAX_MONTHS: Final = 100 * 12
_MAX_DAYS: Final = 36_500
_SECONDS_A_DAY: Final = 86_400
_MONTHS_A_YEAR: Final = 12

_ISO: Final = re.compile(
    r"P(?=\d|T\d)(?:(\d{1,6})Y)?(?:(\d{1,6})M)?(?:(\d{1,6})W)?(?:(\d{1,6})D)?"
    r"(?:T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?",
    re.IGNORECASE,
)
_SHORT: Final = re.compile(r"(\d{1,6}) ?(s|min|h|d|w|mo|y)", re.IGNORECASE)
_SHORT_UNITS: Final[dict[str, tuple[int, int, int]]] = {
    "s": (0, 0, 1),
    "min": (0, 0, 60),
    "h": (0, 0, 3_600),
    "d": (0, 1, 0),
    "w": (0, 7, 0),
    "mo": (1, 0, 0),
    "y": (_MONTHS_A_YEAR, 0, 0),
}


class Duration(msgspec.Struct, frozen=True, order=True):
    """A length of time: whole months, then days, then seconds."""

    months: int = 0
    days: int = 0
    seconds: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the duration that a text means.

        Raises:
            ValueError: It means none, or more than a hundred years.
        """
        if match := _ISO.fullmatch(text.strip()):
            years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
            duration = cls(years * _MONTHS_A_YEAR + months, weeks * 7 + days, hours * 3_600 + minutes * 60 + seconds)
        elif match := _SHORT.fullmatch(text.strip()):
            duration = cls(*(int(match[1]) * part for part in _SHORT_UNITS[match[2].lower()]))
        else:
            raise ValueError("it is no duration like P7Y, P6M, P30D or PT12H, nor like 30d (s, min, h, d, w, mo, y)")
        if duration.months > MAX_MONTHS or duration.days + duration.seconds // _SECONDS_A_DAY > _MAX_DAYS:
            raise ValueError("it is longer than a hundred years")
        return duration

    def __str__(self) -> str:
        """The duration in ISO 8601."""
        years, months = divmod(self.months, _MONTHS_A_YEAR)
        hours, rest = divmod(self.seconds, 3_600)
        minutes, seconds = divmod(rest, 60)
        date = "".join(f"{number}{unit}" for number, unit in ((years, "Y"), (months, "M"), (self.days, "D")) if number)
        time = "".join(f"{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if number)
        return f"P{date}T{time}" if time else f"P{date or '0D'}"

    def before(self, moment: datetime) -> datetime:
        """Return the moment that lies this much earlier.

        Raises:
            ValueError: That is before the year 1.
        """
        return self._moved(moment, -1)

    def after(self, moment: datetime) -> datetime:
        """Return the moment that lies this much later.

        Raises:
            ValueError: That is after the year 9999.
        """
        return self._moved(moment, 1)

    def _moved(self, moment: datetime, sign: int) -> datetime:
        year, month = divmod(moment.year * _MONTHS_A_YEAR + moment.month - 1 + sign * self.months, _MONTHS_A_YEAR)
        try:
            last_day = calendar.monthrange(year, month + 1)[1]
            moved = moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))
            return moved + sign * timedelta(days=self.days, seconds=self.seconds)
        except (ValueError, OverflowError, IndexError):
            raise ValueError("that leaves the calendar") from None
