"""The answer to a person who asks on paper: a letter of A4 pages, in plain Dutch or in English.

It says what the page for citizens says, to people who do not use it. Nothing that is confidential is in it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from ldv_otel._internal.api.pages.rendering import render
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.config.house_style import HouseStyle
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.questions.model import Asked
from ldv_otel._internal.record.callers import is_unknown_caller, processor_of
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.outcomes import with_outcomes
from ldv_otel._internal.register.register import ProcessingActivity
from ldv_otel._internal.times import dutch, english
from ldv_otel._internal.times.instants import datetime_from_ms

_TEMPLATES: Final = {"nl": "brief.nl.html", "en": "brief.en.html"}
#: Inside of the letter, so that it is one file; a page that shows it allows this one style by its hash.
STYLE: Final = """
@page { size: A4; margin: 2.5cm 2cm; }
body { font: 11pt/1.5 "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; color: #000; background: #fff;
  max-width: 17cm; margin: 1cm auto; padding: 0 .5cm; overflow-wrap: anywhere; }
h1 { font-size: 16pt; line-height: 1.25; } h2 { font-size: 13pt; break-after: avoid; }
h3 { font-size: 11pt; break-after: avoid; }
.logo { max-height: 1.5cm; max-width: 5cm; display: block; margin-bottom: .3cm; }
.sender { font-weight: 700; font-size: 13pt; } .address { min-height: 3cm; }
.card, li, tr { break-inside: avoid; } dt { font-weight: 700; } dd { margin: 0 0 .3cm; }
table { border-collapse: collapse; width: 100%; }
th:first-child, td:first-child { white-space: nowrap; }
th, td { text-align: left; vertical-align: top; padding: .1cm .3cm .1cm 0;
  border-bottom: 1px solid #767676; }
@media print { body { margin: 0; max-width: none; padding: 0; } a { color: #000; } }
"""
STYLE_SOURCE: Final = f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"


class LetterStep(msgspec.Struct, frozen=True):
    """An Actie in a letter."""

    time: str
    name: str
    activity: str
    service: str
    asked: str
    asked_by: str
    failed: bool


class LetterDay(msgspec.Struct, frozen=True):
    """A day in a letter, and what was done."""

    name: str
    steps: list[LetterStep]


class LetterActivity(msgspec.Struct, frozen=True):
    """What a letter says of an activity; texts are empty where the Register has none."""

    name: str
    purpose: str
    legal_ground: str
    kept: str
    count: int


class LetterContent(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a letter.

    Attributes:
        complete: Whether all records about the person are in it.
        reference: What it is found by: the trace of the record that it was made.
    """

    records: Sequence[StoredLogregel]
    asked: Asked
    complete: bool
    reference: str
    language: str = "nl"


def letter(content: LetterContent, settings: Settings, house: HouseStyle) -> str:
    """Return a letter as one file of HTML, to be printed.

    Args:
        house: The organisation's own words and logo.
    """
    zone = ZoneInfo(settings.inzage.timezone)
    records = with_outcomes([stored.logregel for stored in content.records])
    day_words = english.day_words if content.language == "en" else dutch.day_words
    return render(
        _TEMPLATES[content.language],
        style=STYLE,
        own=house.texts,
        logo="" if house.logo is None else house.logo.data_uri,
        organisation=settings.organisation,
        contact=settings.inzage.contact,
        date=day_words(datetime.now(zone).date()),
        timezone=zone.key,
        reference=content.reference,
        complete=content.complete,
        count=len(records),
        activities=_activities(records, content),
        days=_days(records, content, zone),
    )


def _activities(records: Sequence[Logregel], content: LetterContent) -> list[LetterActivity]:
    counts: dict[tuple[str, ProcessingActivity | None], int] = {}
    entries: dict[str, ProcessingActivity | None] = {}
    for record in records:
        uri = record.processing_activity_id
        entry = content.asked.entry(uri, record.start_time_ms)
        entries.setdefault(uri, entry)
        counts[uri, entries[uri]] = counts.get((uri, entries[uri]), 0) + 1
    return [_activity(uri, entry, count, content.language) for (uri, entry), count in counts.items()]


def _activity(uri: str, entry: ProcessingActivity | None, count: int, language: str) -> LetterActivity:
    if entry is None:
        return LetterActivity(uri, "", "", "", count)
    duration_words = english.duration_words if language == "en" else dutch.duration_words
    kept = entry.retention_text if entry.term is None else duration_words(entry.term)
    return LetterActivity(entry.name, entry.purpose, entry.legal_ground, kept, count)


def _days(records: Sequence[Logregel], content: LetterContent, zone: ZoneInfo) -> list[LetterDay]:
    day_words = english.day_words if content.language == "en" else dutch.day_words
    days: dict[date, list[LetterStep]] = {}
    for record in records:
        began = datetime_from_ms(record.start_time_ms).astimezone(zone)
        days.setdefault(began.date(), []).append(_step(record, began, content))
    return [LetterDay(day_words(day), steps) for day, steps in days.items()]


def _step(record: Logregel, began: datetime, content: LetterContent) -> LetterStep:
    asked, caller = content.asked, processor_of(record)
    unknown = {"nl": "een ander systeem", "en": "another system"}[content.language]
    is_unknown = is_unknown_caller(caller, asked.settings.unknown_caller_url)
    resource: Mapping[str, object] = msgspec.json.decode(record.resource)
    return LetterStep(
        time=f"{began:%H:%M}" if content.language == "en" else dutch.time_words(began),
        name=record.name,
        activity=asked.name(record.processing_activity_id, record.start_time_ms),
        service=str(resource.get("service.name", "")),
        asked=asked.parties.of_read_api(record.external_read_api_id) if record.external_read_api_id else "",
        asked_by=(unknown if is_unknown else asked.parties.of_processor(caller)) if caller else "",
        failed=record.status is Status.ERROR,
    )
