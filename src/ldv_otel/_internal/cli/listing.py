"""Records as people read them at a terminal: a line each below its day, with the names of the Register.

Nothing is broken inside a word: what has no room is cut in its middle, and a terminal that shows links leads to all of
it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.style import Style
from rich.text import Text

from ldv_otel._internal.cli.rendering import plain, service_of
from ldv_otel._internal.cli.words import ENGLISH, Words, words_for
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.register_table import StoredVersions, stored_versions, version_at
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.config.variables import UNKNOWN_CALLER_URL
from ldv_otel._internal.parties.parties import parties_for
from ldv_otel._internal.parties.party_names import PartyNames
from ldv_otel._internal.record.callers import is_unknown_caller, processor_of
from ldv_otel._internal.record.identity import ids_repeated
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.register.register import ProcessingActivity
from ldv_otel._internal.times.instants import datetime_from_ms, rfc3339_from_ms

#: The texts of a line stand here, below its time of day.
_INDENT: Final = 12
#: Wider is harder to read, however wide the terminal is.
_WIDEST: Final = 120
_NARROWEST: Final = 40
_SERVICE_CELLS: Final = 28
#: A name gets this room before the marks behind it do.
_NAME_CELLS: Final = 24
#: Deeper than this, records stand below one another as at this depth.
_DEEPEST: Final = 4
#: What may stand in a link: an address whose characters cannot end the sequence that makes it one.
_LINKABLE: Final = re.compile(r"https?://[!-~]{1,2000}")
_ELLIPSIS: Final = "…"
_DUTCH_ZONE: Final = "Europe/Amsterdam"


class ListingTexts(msgspec.Struct, frozen=True):
    """What a listing knows beside its records.

    Attributes:
        register: Every version of each activity in the Logboek.
        parties: Names of other parties.
        unknown_caller: The URL of a caller that nobody knows (`LDV_UNKNOWN_CALLER_URL`).
        wide: Whether ids, flags and the type of an error are shown too.
    """

    register: StoredVersions = msgspec.field(default_factory=dict)
    parties: PartyNames = msgspec.field(default_factory=PartyNames)
    words: Words = ENGLISH
    zone: ZoneInfo = msgspec.field(default_factory=lambda: ZoneInfo(_DUTCH_ZONE))
    unknown_caller: str = UNKNOWN_CALLER_URL
    wide: bool = False


class _Line(NamedTuple):
    record: Logregel
    depth: int
    repeated: bool


def texts_for(settings: Settings, client: LogboekClient, *, wide: bool, for_people: bool = True) -> ListingTexts:
    """Return the texts of a Logboek in the language and time zone of the settings.

    Args:
        for_people: False for a program, which gets no names: neither the Register nor `LDV_PARTIES` is read.

    Raises:
        ConfigurationError: `LDV_PARTIES` cannot be used.
    """
    return ListingTexts(
        register=stored_versions(client) if for_people else {},
        parties=PartyNames(parties_for(settings).read_apis if for_people else ()),
        words=words_for(settings.language),
        zone=ZoneInfo(settings.inzage.timezone),
        unknown_caller=settings.unknown_caller_url,
        wide=wide,
    )


def listing(records: Sequence[Logregel], texts: ListingTexts, *, title: str, width: int) -> Group:
    """Return records as lines of at most `width` cells, the newest day first, and each day in order of time."""
    width = max(_NARROWEST, min(width, _WIDEST))
    return Group(*_heading(records, texts, title, width), *_days(records, texts, width))


def tree_label(record: Logregel, texts: ListingTexts, *, repeated: bool = False) -> Text:
    """Return a record as a tree shows it: its name, what it is part of, and who was asked or asked."""
    words = texts.words
    label = Text(plain(record.name), style=_linked(record.processing_activity_id, bold=True))
    for mark in _marks(record, texts):
        label.append(f"  {mark}", style="bold red")
    facts = [f"{_moment(record, texts):%H:%M:%S}", plain(service_of(record.resource)), _explained(record, texts)]
    label.append("\n" + " · ".join(fact for fact in facts if fact), style="dim")
    for party in _parties(record, texts):
        label.append(f"\n{party}", style="cyan")
    if repeated:
        label.append(f"\n{words.repeated}", style="bold red")
    return label


def person_title(records: Sequence[Logregel], words: Words) -> str:
    """Return the title of a listing about one person, by the pseudonym of the newest record."""
    pseudonym = next((record.data_subject_id.hex() for record in records if record.data_subject_id), "")
    return words.about_person.format(f"{pseudonym[:12]}{_ELLIPSIS}") if pseudonym else words.person_unknown


def activity_title(uri: str, texts: ListingTexts) -> str:
    """Return the title of a listing of one activity: its name in the Register, else its URI."""
    versions = texts.register.get(uri, ())
    return texts.words.under_activity.format(versions[-1].activity.name if versions else uri)


def cut(text: str, cells: int) -> str:
    """Return a text that takes so many cells at most, without its middle where it was longer."""
    if cell_len(text) <= cells:
        return text
    if cells <= 1:
        return _ELLIPSIS[:cells]
    tail = (cells - 1) // 3
    head = set_cell_size(text, cells - 1 - tail).rstrip()
    backwards = text[::-1]
    end = set_cell_size(backwards, tail).strip()[::-1]
    return f"{head}{_ELLIPSIS}{end}"


def short_uri(uri: str) -> str:
    """Return the last two parts of an address, or all of what is none."""
    try:
        parts = [part for part in urlsplit(uri).path.split("/") if part]
    except ValueError:
        parts = []
    return "/".join(parts[-2:]) if "://" in uri and parts else uri


def _heading(records: Sequence[Logregel], texts: ListingTexts, title: str, width: int) -> Iterator[Text]:
    words = texts.words
    moments = [datetime_from_ms(record.start_time_ms).astimezone(texts.zone) for record in records]
    clock = words.clock if texts.zone.key == _DUTCH_ZONE else texts.zone.key
    period = f"{words.period(min(moments), max(moments))}, {clock}"
    clean = plain(title)
    if cell_len(clean) + cell_len(period) + 2 <= width:
        yield _line(Text.assemble((clean, "bold"), " " * (width - cell_len(clean) - cell_len(period)), period))
    else:
        yield _line(Text(cut(clean, width), style="bold"))
        yield _line(Text(cut(period, width)))
    counts = [
        f"{words.counted(words.actions, len(records))} "
        + words.counted(words.applications, len({service_of(record.resource) for record in records}))
    ]
    for pattern, number in (
        (words.failed_count, sum(record.status is Status.ERROR for record in records)),
        (words.unregistered_count, sum(_activity(record, texts) is None for record in records)),
        (words.confidential_count, sum(_is_confidential(record, texts) for record in records)),
    ):
        if number:
            counts.append(pattern.format(number))
    yield from _wrapped(counts, " · ", width)


def _wrapped(parts: Sequence[str], between: str, width: int) -> Iterator[Text]:
    """Yield lines of whole parts."""
    line = ""
    for part in parts:
        longer = f"{line}{between}{part}" if line else part
        if line and cell_len(longer) > width:
            yield _line(Text(line))
            line = part
        else:
            line = longer
    yield _line(Text(cut(line, width)))


def _days(records: Sequence[Logregel], texts: ListingTexts, width: int) -> Iterator[Text]:
    days: dict[date, list[_Line]] = {}
    for line in _lines(records):
        days.setdefault(_moment(line.record, texts).date(), []).append(line)
    for day in sorted(days, reverse=True):
        yield Text()
        yield _line(Text(cut(texts.words.day(_moment(days[day][0].record, texts)), width), style="bold"))
        activity: str | None = None
        for line in days[day]:
            yield from _record(line, texts, width)
            if line.record.processing_activity_id != activity:
                activity = line.record.processing_activity_id
                yield _explanation(line.record, texts, width)
            if texts.wide:
                yield from _details(line, width)


def _lines(records: Sequence[Logregel]) -> Iterator[_Line]:
    """Yield records in order of time, each with how deep it is below others that are shown."""
    ordered = sorted(records, key=lambda record: (record.start_time_ms, -record.end_time_ms))
    depths: dict[tuple[bytes, bytes], int] = {}
    for record, repeated in zip(ordered, ids_repeated(ordered), strict=True):
        above = depths.get((record.trace_id, record.parent_span_id)) if record.parent_span_id else None
        depth = 0 if above is None else min(above + 1, _DEEPEST)
        depths.setdefault((record.trace_id, record.span_id), depth)
        yield _Line(record, depth, repeated)


def _record(line: _Line, texts: ListingTexts, width: int) -> Iterator[Text]:
    record, words = line.record, texts.words
    service = cut(plain(service_of(record.resource)), min(_SERVICE_CELLS, width // 3))
    branch = f"{'  ' * (line.depth - 1)}└ " if line.depth else ""
    marked = "".join(f"  {mark}" for mark in _marks(record, texts))
    room = width - _INDENT - cell_len(branch) - (cell_len(service) + 2 if service else 0)
    wanted = cell_len(plain(record.name))
    below = [(party, "cyan") for party in _parties(record, texts)]
    beside = ""
    if room - cell_len(marked) < min(wanted, _NAME_CELLS):
        below.insert(0, (marked.strip(), "bold red"))
        marked = ""
    elif len(below) == 1 and wanted + cell_len(f"  {below[0][0]}{marked}") <= room:
        beside = f"  {below.pop()[0]}"
    room -= cell_len(beside + marked)
    name = cut(plain(record.name), max(room, 8))
    text = Text(f"  {_moment(record, texts):%H:%M:%S}  {branch}")
    text.append(name, style=_linked(record.processing_activity_id, bold=True))
    text.append(beside, style="cyan")
    text.append(marked, style="bold red")
    if service:
        gap = width - cell_len(text.plain) - cell_len(service)
        text.append(" " * max(gap, 1))
        text.append(service, style="dim")
    yield _line(text)
    if line.repeated:
        below.append((words.repeated, "bold red"))
    for said, style in below:
        yield _under(said, width, depth=line.depth, style=style)


def _parties(record: Logregel, texts: ListingTexts) -> Iterator[str]:
    words = texts.words
    if record.external_read_api_id:
        yield words.asked.format(plain(texts.parties.of_read_api(record.external_read_api_id)))
    if caller := processor_of(record):
        unknown = is_unknown_caller(caller, texts.unknown_caller)
        yield words.asked_by.format(words.unknown_caller if unknown else plain(texts.parties.of_processor(caller)))


def _marks(record: Logregel, texts: ListingTexts) -> Iterator[str]:
    if _is_confidential(record, texts):
        yield texts.words.confidential
    if record.status is Status.ERROR:
        yield texts.words.failed


def _explanation(record: Logregel, texts: ListingTexts, width: int) -> Text:
    style = "red" if _activity(record, texts) is None else "dim"
    return _under(_explained(record, texts), width, style=style, uri=record.processing_activity_id)


def _explained(record: Logregel, texts: ListingTexts) -> str:
    entry = _activity(record, texts)
    if entry is None:
        return texts.words.unregistered.format(plain(short_uri(record.processing_activity_id)) or "-")
    return " · ".join(plain(text) for text in (entry.legal_ground, entry.name) if text)


def _details(line: _Line, width: int) -> Iterator[Text]:
    record = line.record
    facts = [f"trace {record.trace_id.hex()}", f"span {record.span_id.hex()}"]
    if record.parent_span_id:
        facts.append(f"parent {record.parent_span_id.hex()}")
    facts += [f"status {record.status.label}", f"{record.end_time_ms - record.start_time_ms} ms"]
    facts.append(rfc3339_from_ms(record.start_time_ms))
    if record.data_subject_id:
        facts.append(f"{plain(record.data_subject_id_type) or '?'} {record.data_subject_id.hex()}")
    if error := record.attributes.get("exception.type", ""):
        facts.append(plain(error))
    if record.flags:
        facts.append(", ".join(record.flags))
    for text in _wrapped([*facts, plain(record.processing_activity_id)], " · ", width - _INDENT):
        yield _under(text.plain, width, style="dim")


def _under(text: str, width: int, *, depth: int = 0, style: str = "", uri: str = "") -> Text:
    indent = _INDENT + 2 * depth
    line = Text(" " * indent)
    line.append(cut(text, width - indent), style=Style.combine((Style.parse(style), _linked(uri))))
    return _line(line)


def _activity(record: Logregel, texts: ListingTexts) -> ProcessingActivity | None:
    version = version_at(texts.register.get(record.processing_activity_id, ()), record.start_time_ms)
    return None if version is None else version.activity


def _is_confidential(record: Logregel, texts: ListingTexts) -> bool:
    entry = _activity(record, texts)
    return entry is not None and entry.confidential


def _moment(record: Logregel, texts: ListingTexts) -> datetime:
    return datetime_from_ms(record.start_time_ms).astimezone(texts.zone)


def _linked(uri: str, *, bold: bool = False) -> Style:
    """Return a style that leads to an address; of one that could end the sequence that makes it a link, nothing."""
    return Style(bold=bold or None, link=uri if _LINKABLE.fullmatch(uri) else None)


def _line(text: Text) -> Text:
    """Return a text that is not wrapped: it was made to fit."""
    whole = Text(no_wrap=True, overflow="ignore")
    return whole.append_text(text)
