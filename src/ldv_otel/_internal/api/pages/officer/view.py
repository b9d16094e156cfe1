"""What a privacy officer sees: periods, counts and records in Dutch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from ldv_otel._internal.api.pages.view import DutchTexts, ShownActivity
from ldv_otel._internal.clickhouse.queries.oversight import ActivityCounts, SequenceGap
from ldv_otel._internal.clickhouse.verification.made import VerificationMade
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.times.dutch import date_words, local, time_words
from ldv_otel._internal.times.instants import ms_from_datetime
from ldv_otel.attributes import Flag

_DAYS: Final = 30
_FIRST: Final = date(1970, 1, 1)
#: The last day but one that records can have: a period ends a day later, at a time that the table still has.
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
    Flag.IDENTITY_TAKEN: "heeft hetzelfde kenmerk als een handeling die er al was",
    Flag.SPAN_ID_REPEATED: "heeft hetzelfde kenmerk als een andere handeling",
    Flag.END_BEFORE_START: "eindigde voordat het begon",
    Flag.END_MISSING: "had geen eindtijd",
    Flag.TIME_OUT_OF_RANGE: "had een tijd die niet kan",
    Flag.TEXT_REPAIRED: "had tekens die niet bewaard kunnen worden",
    Flag.VALUE_CONVERTED: "had een waarde die geen tekst was",
    Flag.VALUE_CUT: "had een waarde die te lang was",
    Flag.ATTRIBUTES_DROPPED: "had te veel kenmerken; een deel is er niet meer",
    Flag.STRAY_BSN: "had een BSN in een tekst van iemand die het niet noemt als betrokkene",
    Flag.AFTER_COMMIT: "eindigde nadat zijn wijziging al was vastgelegd",
    Flag.TENANT_UNKNOWN: "van welke organisatie dit is, was niet te zeggen",
    Flag.ACTIVITY_UNKNOWN: "noemt een verwerking die niet in het register stond toen hij werd vastgelegd",
    Flag.RECORD_FAILED: "kon niet in zijn geheel worden vastgelegd; alleen het belangrijkste is bewaard",
}


class Period(msgspec.Struct, frozen=True):
    """A period of whole days on the clock of a zone, the first and the last included.

    Attributes:
        wrong: What is wrong with the dates in the request; the period is the default one then.
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
        """Return the period as people write it."""
        if self.first == self.last:
            return f"op {date_words(self.first)}"
        return f"van {date_words(self.first)} tot en met {date_words(self.last)}"

    @property
    def address(self) -> str:
        """Return the period as it stands in addresses."""
        return f"van={self.first.isoformat()}&tot={self.last.isoformat()}"


def period_of(fields: Mapping[str, str], zone: ZoneInfo, *, today: date | None = None) -> Period:
    """Return the period of an address or a form; without a period, or with one that cannot be, the last 30 days."""
    today = today or datetime.now(zone).date()
    default = Period(today - timedelta(days=_DAYS - 1), today, zone)
    try:
        first, last = (
            date.fromisoformat(text) if (text := fields.get(name, "")) else otherwise
            for name, otherwise in (("van", default.first), ("tot", default.last))
        )
    except ValueError:
        return msgspec.structs.replace(default, wrong="Dit is geen datum. Schrijf een datum zo: 2026-11-22.")
    if not _FIRST <= first <= last <= _LAST:
        return msgspec.structs.replace(default, wrong="De eerste dag moet voor de laatste dag liggen.")
    return Period(first, last, zone)


class UsedActivityRow(msgspec.Struct, frozen=True):
    """An activity in a period."""

    activity: ShownActivity
    counts: ActivityCounts
    first: str
    last: str


class PeriodFigures(msgspec.Struct, frozen=True):
    """The counts of a period.

    Attributes:
        unexplained: Activities that the Register lacks.
    """

    logregels: int
    failed: int
    flagged: int
    used: list[UsedActivityRow]
    unexplained: list[UsedActivityRow]


class RecordRow(msgspec.Struct, frozen=True):
    """A record; the person it is about is left out."""

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


class VerificationRow(msgspec.Struct, frozen=True):
    """A check of the Logboek for changes."""

    made: VerificationMade
    date: str
    time: str
    moment: str


def verification_row(made: VerificationMade, zone: ZoneInfo) -> VerificationRow:
    """Return a check in Dutch."""
    began = local(made.at_ms, zone)
    return VerificationRow(made, date_words(began), time_words(began), began.isoformat(timespec="milliseconds"))


def period_figures(used: Iterable[ActivityCounts], texts: DutchTexts) -> PeriodFigures:
    """Return the counts of a period in Dutch."""
    rows = [
        UsedActivityRow(
            texts.activity(counts.activity, counts.last_ms),
            counts,
            _day(counts.first_ms, texts.zone),
            _day(counts.last_ms, texts.zone),
        )
        for counts in used
    ]
    return PeriodFigures(
        logregels=sum(row.counts.logregels for row in rows),
        failed=sum(row.counts.failed for row in rows),
        flagged=sum(row.counts.flagged for row in rows),
        used=rows,
        unexplained=[row for row in rows if not row.activity.registered],
    )


def record_row(record: Logregel, texts: DutchTexts) -> RecordRow:
    """Return a record in Dutch."""
    began = local(record.start_time_ms, texts.zone)
    return RecordRow(
        date=date_words(began),
        time=time_words(began),
        moment=began.isoformat(timespec="milliseconds"),
        name=record.name,
        activity=texts.activity(record.processing_activity_id, record.start_time_ms),
        failed=record.status == Status.ERROR,
        # A flag that a later version adds is shown by its own name.
        flags=[FLAG_WORDS.get(flag, flag) for flag in record.flags],
        asked=texts.party(record.external_read_api_id),
    )


def gap_row(gap: SequenceGap, zone: ZoneInfo) -> SequenceGapRow:
    """Return a writer with gaps in its sequence, in Dutch."""
    return SequenceGapRow(gap, _day(gap.first_ms, zone), _day(gap.last_ms, zone))


def _day(time_ms: int, zone: ZoneInfo) -> str:
    return date_words(local(time_ms, zone))
