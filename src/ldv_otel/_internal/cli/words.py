"""The words of listings, in Dutch and English: one language a command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from ldv_otel._internal.times import english
from ldv_otel._internal.times.dutch import DAYS, MONTHS

#: Where systems say which language somebody reads, the strongest first (POSIX).
_LOCALES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")


class Words(NamedTuple):
    """What listings say beside the texts of records and Register. `{}` is a number or a name."""

    about_person: str
    person_unknown: str
    under_activity: str
    of_trace: str
    clock: str
    actions: tuple[str, str]
    applications: tuple[str, str]
    failed_count: str
    unregistered_count: str
    confidential_count: str
    failed: str
    confidential: str
    unregistered: str
    repeated: str
    asked: str
    asked_by: str
    unknown_caller: str
    days: tuple[str, ...]
    months: tuple[str, ...]

    def counted(self, forms: tuple[str, str], number: int) -> str:
        """Return a number with its noun."""
        return forms[number != 1].format(number)

    def day(self, moment: datetime) -> str:
        """Return a date with its weekday: `zaterdag 28 november 2026`."""
        return f"{self.days[moment.weekday()]} {moment.day} {self.months[moment.month - 1]} {moment.year}"

    def period(self, first: datetime, last: datetime) -> str:
        """Return the days between two moments: with a dash between."""
        end = f"{last.day} {self.months[last.month - 1]} {last.year}"
        if first.date() == last.date():
            return end
        begin = [str(first.day)]
        if (first.year, first.month) != (last.year, last.month):
            begin.append(self.months[first.month - 1])
        if first.year != last.year:
            begin.append(str(first.year))
        return f"{' '.join(begin)} \N{EN DASH} {end}"


DUTCH: Final = Words(
    about_person="Over deze persoon (pseudoniem {})",
    person_unknown="Over deze persoon",
    under_activity="Verwerkingsactiviteit {}",
    of_trace="Trace {}",
    clock="Nederlandse tijd",
    actions=("{} handeling", "{} handelingen"),
    applications=("door {} applicatie", "door {} applicaties"),
    failed_count="{} niet gelukt",
    unregistered_count="{} niet in het Register",
    confidential_count="{} vertrouwelijk",
    failed="NIET GELUKT",
    confidential="VERTROUWELIJK",
    unregistered="niet in het Register: {}",
    repeated="een andere handeling heeft dezelfde ids",
    asked="→ gevraagd aan {}",
    asked_by="← gevraagd door {}",
    unknown_caller="een ander systeem",
    days=DAYS,
    months=MONTHS,
)
ENGLISH: Final = Words(
    about_person="About this person (pseudonym {})",
    person_unknown="About this person",
    under_activity="Processing activity {}",
    of_trace="Trace {}",
    clock="Dutch time",
    actions=("{} action", "{} actions"),
    applications=("by {} application", "by {} applications"),
    failed_count="{} failed",
    unregistered_count="{} not in the Register",
    confidential_count="{} confidential",
    failed="FAILED",
    confidential="CONFIDENTIAL",
    unregistered="not in the Register: {}",
    repeated="another action has the same ids",
    asked="→ asked {}",
    asked_by="← asked by {}",
    unknown_caller="another system",
    days=english.DAYS,
    months=english.MONTHS,
)


def words_for(language: str | None, environment: Mapping[str, str] = os.environ) -> Words:
    """Return the words of a language (`LDV_LANG`), or without one of the system's: English unless that is Dutch."""
    chosen = language or next((environment[name] for name in _LOCALES if environment.get(name)), "")
    return DUTCH if chosen.lower().startswith("nl") else ENGLISH
