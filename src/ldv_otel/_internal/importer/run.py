"""`ldv import`: spans in files become Logregels in the Logboek, each of them once; a report lists what did not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.retry import RetryPolicy, Stopped, Wait, deliver, sleep
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.importer.exported import exported_record, exported_rows, is_export
from ldv_otel._internal.importer.packing import CONTENT_MAX_BYTES
from ldv_otel._internal.importer.parents import Key, link, link_beside, record_key, without_repeats
from ldv_otel._internal.importer.spans import FileSpans, ImportedSpan, ImportProblem, read_spans
from ldv_otel._internal.record.actie import LogregelMaker
from ldv_otel._internal.record.builder import flagged
from ldv_otel._internal.record.identity import is_same_record
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.overlooked import OverlookedAttribute, OverlookedAttributes
from ldv_otel.attributes import Flag
from ldv_otel.errors import BatchRefused, ConfigurationError, LogboekUnavailable, UnreadableInput

#: Asks the Logboek for every record of these traces, by trace and span id.
Existing = Callable[[Collection[bytes]], Mapping[Key, Sequence[Logregel]]]

TECHNICAL: Final = "technical span, no processing activity"
OVERLOOKED: Final = "span with attributes of the standard that make no Actie"
REPEATED: Final = "span that occurs more than once in the files"

#: The ids of so many traces fit the 64 KiB that a small HTTP server allows for a request line.
_TRACES_ASKED: Final = 500
#: An import is run by somebody who waits for it, and who can run it again: what is stored by then is skipped.
_POLICY: Final = RetryPolicy(waits_out=(LogboekUnavailable,), patience_seconds=120.0, suspicion_seconds=10.0)


class ImportReport(msgspec.Struct):
    """What an import did. Nothing in it quotes the files, so it can be shown and logged.

    Attributes:
        files: How many files were named.
        empty_files: Those with nothing in them.
        stored: Records the Logboek confirmed.
        already_there: Records that the Logboek had; they were not sent.
        unconfirmed: Records that the Logboek did not confirm, in time or at all; some may be stored.
        left_out: How many spans (or documents) were passed over, by reason. Not a problem: they are no records.
        overlooked: Attributes of the standard on spans that are no Acties, often misspelled (LDV-N9).
        resource_left_out: How many Acties lack an attribute of their resource in the record, by its name (LDV-N8).
        flags: How often each flag was set on the stored records.
        problems: What could not be read or stored.
    """

    files: int = 0
    empty_files: list[str] = msgspec.field(default_factory=list)
    stored: int = 0
    already_there: int = 0
    unconfirmed: int = 0
    left_out: Counter[str] = msgspec.field(default_factory=Counter)
    overlooked: tuple[OverlookedAttribute, ...] = ()
    resource_left_out: Counter[str] = msgspec.field(default_factory=Counter)
    flags: Counter[str] = msgspec.field(default_factory=Counter)
    problems: list[ImportProblem] = msgspec.field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether everything in the files was read and is in the Logboek, each record under ids of its own."""
        return not self.problems


def import_files(  # noqa: PLR0913  (the import's whole world, so that it can be another one in a test)
    paths: Iterable[str | Path],
    *,
    maker: LogregelMaker,
    sink: Sink,
    existing: Existing,
    wait: Wait = sleep,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Store the Acties of OTLP/JSON files and their relatives; storing the same files again stores nothing.

    Give the files of one trace together: a parent in a file that is imported later is taken for a caller elsewhere.

    Args:
        maker: Makes records, with pseudonyms for identifiers.
        sink: Opened by the caller, and closed by the caller.
        existing: Asked before anything is stored.
        wait: As `deliver`'s. Whatever it does, the import ends when a batch was not confirmed for two minutes.
        progress: Called after every batch with the number of records in it.

    Raises:
        LogboekUnavailable: `existing` got no answer; nothing was stored.
        ConfigurationError: As above.
    """
    report = ImportReport()
    files = [Path(path) for path in paths]
    spans = [span for path in files if not is_export(path) for span in _spans_of(path, report, maker)]
    unique, beside = without_repeats(spans)
    report.overlooked = _overlooked(unique)
    acties = [span for span in unique if span.facts is not None]
    report.resource_left_out.update(name for span in acties if span.facts for name in span.facts.resource.left_out)
    _count(report.left_out, TECHNICAL, sum(_is_technical(span) for span in unique))
    _count(report.left_out, OVERLOOKED, sum(bool(span.overlooked) for span in unique))
    _count(report.left_out, REPEATED, len(spans) - len(unique) - len(beside))
    stored = _stored({span.trace_id for span in acties}, existing)
    # Those that come second in the files last, so that it is they that find their ids taken.
    records = [*link(unique, stored, maker), *link_beside(beside, unique, stored, maker)]
    new = _new_records(records, stored)
    report.already_there = len(records) - len(new)
    report.problems.extend(_taken(record) for record in new if Flag.IDENTITY_TAKEN in record.flags)
    # In time order, as the table is: a batch touches few of its partitions, and reading it back few of its hours.
    new.sort(key=lambda record: record.start_time_ms)
    send = partial(_send, sink=sink, wait=wait, report=report, progress=progress or _silent)
    send(new)
    for path in filter(is_export, files):
        _import_export(path, report, existing, send)
    return report


def _import_export(
    path: Path, report: ImportReport, existing: Existing, send: Callable[[Sequence[Logregel]], None]
) -> None:
    """Store the records of a file that `ldv export` wrote, some thousands at a time."""
    report.files += 1
    name = _shown(path)
    number = 0
    try:
        for rows in exported_rows(path):
            records = []
            for row in rows:
                number += 1
                try:
                    records.append(exported_record(row))
                except UnreadableInput as error:
                    report.problems.append(ImportProblem(name, f"row {number}", str(error)))
            new = _new_records(records, _stored({record.trace_id for record in records}, existing))
            report.already_there += len(records) - len(new)
            report.problems.extend(_taken(record) for record in new if Flag.IDENTITY_TAKEN in record.flags)
            send(new)
            if report.unconfirmed:
                return
    except UnreadableInput as error:
        report.problems.append(ImportProblem(name, f"after row {number}", str(error)))


def _shown(path: str | Path) -> str:
    # A name that is no UTF-8 could be shown nowhere, and not be written as JSON.
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _spans_of(path: str | Path, report: ImportReport, maker: LogregelMaker) -> list[ImportedSpan]:
    file = _shown(path)
    report.files += 1
    file_spans = _read(path, file, maker)
    report.left_out.update(file_spans.left_out)
    report.problems.extend(file_spans.problems)
    if file_spans.empty:
        report.empty_files.append(file)
    elif not file_spans.problems and not any(span.facts is not None for span in file_spans.spans):
        report.problems.append(ImportProblem(file, "", _no_records(len(file_spans.spans))))
    return file_spans.spans


def _is_technical(span: ImportedSpan) -> bool:
    """Whether a span says nothing of the standard, in attributes that were read; only then it is called so."""
    return span.facts is None and not span.overlooked and not span.undecided


def _overlooked(spans: Iterable[ImportedSpan]) -> tuple[OverlookedAttribute, ...]:
    overlooked = OverlookedAttributes()
    for span in spans:
        if span.overlooked:
            overlooked.count(span.overlooked)
    return overlooked.report()


def _no_records(spans: int) -> str:
    if not spans:
        return "no spans in it"
    return f"no records in it: none of its {spans} spans names a processing activity or a data subject"


def _read(path: str | Path, file: str, maker: LogregelMaker) -> FileSpans:
    try:
        with Path(path).open("rb") as opened:
            content = opened.read(CONTENT_MAX_BYTES + 1)
    except OSError as error:
        return FileSpans(problems=[ImportProblem(file, "", f"cannot be opened: {error.strerror}")])
    return read_spans(content, file=file, resource_of=maker.record_resource)


def _stored(trace_ids: Collection[bytes], existing: Existing) -> dict[Key, Sequence[Logregel]]:
    asked = sorted(trace_ids)
    stored: dict[Key, Sequence[Logregel]] = {}
    for start in range(0, len(asked), _TRACES_ASKED):
        stored |= existing(asked[start : start + _TRACES_ASKED])
    return stored


def _new_records(records: Iterable[Logregel], stored: Mapping[Key, Sequence[Logregel]]) -> list[Logregel]:
    """Return the records that the Logboek does not have; flagged where it has another one under their ids."""
    new: list[Logregel] = []
    taken = {key: list(others) for key, others in stored.items()}
    for record in records:
        others = taken.setdefault(record_key(record), [])
        if not any(is_same_record(record, other) for other in others):
            new.append(flagged(record, Flag.IDENTITY_TAKEN) if others else record)
            others.append(record)
    return new


def _send(
    records: Sequence[Logregel],
    sink: Sink,
    wait: Wait,
    report: ImportReport,
    progress: Callable[[int], None],
) -> None:
    """Send records in batches, until all are confirmed or the Logboek cannot be waited for any longer.

    The sequence number of a record that it refuses as data stays unused, so the gap shows an auditor that something is
    missing.
    """
    writer_id, size, done = new_writer_id(), sink.traits.batch_records, 0
    try:
        for start in range(0, len(records), size):
            batch = number_batch(writer_id, start, records[start : start + size])
            for part in deliver(batch, sink, wait=wait, policy=_POLICY):
                done += len(part.batch.seqs)
                if part.refused is not None:
                    report.problems.extend(_refused(record, part.refused) for record in part.batch.logregels)
                else:
                    report.stored += len(part.batch.seqs)
                    report.flags.update(flag for record in part.batch.logregels for flag in record.flags)
                progress(len(part.batch.seqs))
    except (Stopped, LogboekUnavailable, ConfigurationError) as error:
        report.unconfirmed = len(records) - done
        report.problems.append(_unconfirmed(report.unconfirmed, error))


def _refused(record: Logregel, error: BatchRefused) -> ImportProblem:
    # Not the error's own text: a server's message may quote the record.
    return ImportProblem("", _ids(record), f"the Logboek refuses this record as it is (error code {error.code})")


def _taken(record: Logregel) -> ImportProblem:
    return ImportProblem("", _ids(record), "another record has the same ids; this one is stored beside it and flagged")


def _ids(item: Logregel) -> str:
    return f"trace {item.trace_id.hex()}, span {item.span_id.hex()}"


def _unconfirmed(count: int, error: Stopped | LogboekUnavailable | ConfigurationError) -> ImportProblem:
    reason = str(error) if isinstance(error, ConfigurationError) else "The Logboek did not answer in time."
    advice = "Import the same files again later: what is stored by then is skipped."
    return ImportProblem("", "", f"{count} records were not confirmed. {reason} {advice}")


def _count(counter: Counter[str], reason: str, number: int) -> None:
    if number:
        counter[reason] += number


def _silent(number: int) -> None:
    del number
