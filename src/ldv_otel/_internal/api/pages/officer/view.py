"""What a privacy officer sees: periods, figures and records in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from ldv_otel._internal.api.pages.dutch import date_words, local, time_words
from ldv_otel._internal.api.pages.view import DutchTexts, ShownActivity
from ldv_otel._internal.clickhouse.queries.oversight import ActivityCounts, SequenceGap
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.times.instants import ms_from_datetime
from ldv_otel.attributes import Flag

_DAYS: Final = 30
_FIRST: Final = date(1970, 1, 1)
_LAST: Final = date(2261, 12, 30)

#: What was changed in a record so that it could be stored, by its flag.
FLAG_WORDS: Final[Mapping[str, str]] = {
    Flag.NAME_MISSING: "had geen naam",
    Flag.NAME_CUT: "had een te lange naam",
    Flag.ACTIVITY_MISSING: "noemt geen verwerkingsactiviteit",
    Flag.ACTIVITY_NOT_URI: "noemt een verwerkingsactiviteit die geen webadres (URI) is",
    Flag.ACTIVITY_CUT: "noemt een verwerkingsactiviteit die te lang is",
    Flag.SUBJECT_EMPTY: "noemt een persoon zonder nummer",
    Flag.SUBJECT_FORM: "noemt een persoon met een nummer dat niet kan kloppen",
    Flag.SUBJECT_TYPE_MISSING: "zegt niet wat voor nummer de persoon heeft",
    Flag.SUBJECT_TYPE_UNKNOWN: "noemt een soort nummer die wij niet kennen",
    Flag.SUBJECT_REDACTED: "had een nummer van een persoon in een tekst; dat is weggehaald",
    Flag.FOREIGN_ID_MALFORMED: "noemt een handeling van een ander met een kenmerk dat niet klopt",
    Flag.ID_REPLACED: "had een kenmerk dat niet klopt; het heeft een nieuw kenmerk",
    Flag.SPAN_ID_REPEATED: "heeft hetzelfde kenmerk als een andere handeling",
    Flag.END_BEFORE_START: "eindigde voordat het begon",
    Flag.END_MISSING: "had geen eindtijd",
    Flag.TIME_OUT_OF_RANGE: "had een tijd die niet kan",
    Flag.TEXT_REPAIRED: "had tekens die niet bewaard kunnen worden",
    Flag.VALUE_CONVERTED: "had een waarde die geen tekst was",
    Flag.VALUE_CUT: "had een waarde die te lang was",
    Flag.ATTRIBUTES_DROPPED: "had te veel kenmerken; een deel is er niet meer",
}


class Period(msgspec.Struct, frozen=True):
    """Whole days on the clock of a zone, both included.

    Attributes:
        wrong: What is wrong with the dates that were asked for; these are others then.
    """

    first: date
    last: date
    zone: ZoneInfo
    wrong: str = ""

    @property
    def since_ms(self) -> int:
        """When it begins, in ms since 1970-01-01 UTC."""
        return ms_from_datetime(datetime.combine(self.first, time(), self.zone))

    @property
    def until_ms(self) -> int:
        """When it is over."""
        return ms_from_datetime(datetime.combine(self.last + timedelta(days=1), time(), self.zone))

    @property
    def words(self) -> str:
        """Return it as people write it."""
        if self.first == self.last:
            return f"op {date_words(self.first)}"
        return f"van {date_words(self.first)} tot en met {date_words(self.last)}"

    @property
    def address(self) -> str:
        """As it stands in addresses."""
        return f"van={self.first.isoformat()}&tot={self.last.isoformat()}"


def period_of(given: Mapping[str, str], zone: ZoneInfo, *, today: date | None = None) -> Period:
    """Return the period of an address or a form; without one, or with one that cannot be, the last 30 days."""
    today = today or datetime.now(zone).date()
    usual = Period(today - timedelta(days=_DAYS - 1), today, zone)
    try:
        first, last = (
            date.fromisoformat(text) if (text := given.get(name, "")) else otherwise
            for name, otherwise in (("van", usual.first), ("tot", usual.last))
        )
    except ValueError:
        return msgspec.structs.replace(usual, wrong="Dit is geen datum. Schrijf een datum zo: 2026-11-22.")
    if not _FIRST <= first <= last <= _LAST:
        return msgspec.structs.replace(usual, wrong="De eerste dag moet voor de laatste dag liggen.")
    return Period(first, last, zone)


class UsedActivityRow(msgspec.Struct, frozen=True):
    """An activity in a period."""

    activity: ShownActivity
    figures: ActivityCounts
    first: str
    last: str


class PeriodFigures(msgspec.Struct, frozen=True):
    """A period in figures.

    Attributes:
        unexplained: Activities that the Register lacks.
    """

    logregels: int
    failed: int
    flagged: int
    used: list[UsedActivityRow]
    unexplained: list[UsedActivityRow]


class RecordRow(msgspec.Struct, frozen=True):
    """One record."""

    date: str
    time: str
    moment: str
    name: str
    activity: ShownActivity
    failed: bool
    flags: list[str]
    asked: str


class SequenceGapRow(msgspec.Struct, frozen=True):
    """A writer whose sequence is not whole."""

    gap: SequenceGap
    first: str
    last: str


def figures(found: Iterable[ActivityCounts], words: DutchTexts) -> PeriodFigures:
    """Return a period in words."""
    used = [
        UsedActivityRow(
            words.activity(one.activity), one, _day(one.first_ms, words.zone), _day(one.last_ms, words.zone)
        )
        for one in found
    ]
    return PeriodFigures(
        logregels=sum(one.figures.logregels for one in used),
        failed=sum(one.figures.failed for one in used),
        flagged=sum(one.figures.flagged for one in used),
        used=used,
        unexplained=[one for one in used if not one.activity.known],
    )


def row(record: Logregel, words: DutchTexts) -> RecordRow:
    """Return a record in words; about whom it is stays out."""
    began = local(record.start_time_ms, words.zone)
    return RecordRow(
        date=date_words(began),
        time=time_words(began),
        moment=began.isoformat(timespec="milliseconds"),
        name=record.name,
        activity=words.activity(record.processing_activity_id),
        failed=record.status == Status.ERROR,
        flags=[FLAG_WORDS.get(flag, flag) for flag in record.flags],
        asked=words.party(record.external_read_api_id),
    )


def writing(gap: SequenceGap, zone: ZoneInfo) -> SequenceGapRow:
    """Return a writer with gaps in words."""
    return SequenceGapRow(gap, _day(gap.first_ms, zone), _day(gap.last_ms, zone))


def _day(time_ms: int, zone: ZoneInfo) -> str:
    return date_words(local(time_ms, zone))
