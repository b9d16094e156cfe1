"""Records for people: a trace as a tree, a row of CSV; and the lines of a spool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from rich.text import Text
from rich.tree import Tree

from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.delivery.spool.inspect import BacklogStatus, SpoolStatus
from ldv_otel._internal.record.bidirectional import isolated
from ldv_otel._internal.record.callers import is_unknown_caller, processor_of, restarted
from ldv_otel._internal.record.identity import ids_repeated
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.spreadsheet_cells import guarded_cell
from ldv_otel._internal.record.standard_json import as_standard
from ldv_otel._internal.times.instants import datetime_from_ms, rfc3339_from_ms

_STATUS_STYLE = {Status.UNSET: "", Status.OK: "green", Status.ERROR: "bold red"}
_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")


def trace_tree(records: Sequence[Logregel], *, title: str, label: Callable[..., Text] | None = None) -> Tree:
    """Return the records of a trace, and of traces that called parties began from it, as a tree.

    Args:
        label: Gives what stands for a record, and for `repeated`; without it all of its fields do.

    A record hangs below the Actie its parent id names, or below the Actie from which a technical span with that id
    went out (as for a call from another organisation); without a parent, below what its foreign operation refers
    to, by either of the two; otherwise it is a root.
    """
    ordered = sorted(records, key=lambda record: (record.start_time_ms, record.span_id))
    repeated = ids_repeated(ordered)
    # By ids, and by those of the spans below an Actie; of several with the same ids the earliest, for no more is known.
    places: dict[_Id, int] = {}
    for index, record in enumerate(ordered):
        places.setdefault((record.trace_id, record.span_id), index)
    for index, record in enumerate(ordered):
        for span_id in record.outbound_span_ids:
            places.setdefault((record.trace_id, span_id), index)
    callers = [places.get((record.foreign_operation_trace_id, record.foreign_operation_span_id)) for record in ordered]
    children: dict[int, list[int]] = defaultdict(list)
    roots = []
    for index, record in enumerate(ordered):
        above = places.get((record.trace_id, record.parent_span_id))
        if above is None:
            above = callers[index]
        if above is None or above == index:
            roots.append(index)
        else:
            children[above].append(index)
    tree = Tree(Text(title, style="bold"))
    seen: set[int] = set()
    # Ids of untrusted callers may form a circle, which has no root: its records follow the roots, each once.
    waiting = [(tree, child) for below in children.values() for child in below] + [(tree, root) for root in roots[::-1]]
    while waiting:
        branch, index = waiting.pop()
        if index in seen:
            continue
        seen.add(index)
        caller = callers[index]
        above_label = None if caller is None else ordered[caller]
        if label is None:
            node = branch.add(logregel_label(ordered[index], above_label, repeated=repeated[index]))
        else:
            node = branch.add(label(ordered[index], repeated=repeated[index]))
        waiting += [(node, child) for child in children[index][::-1]]
    return tree


#: Trace and span.
_Id = tuple[bytes, bytes]


def forest(records: Sequence[Logregel], *, title: str, label: Callable[..., Text] | None = None) -> Tree:
    """Return records of several traces, each trace as a tree, in the order in which the traces begin."""
    traces: dict[bytes, list[Logregel]] = defaultdict(list)
    for record in records:
        traces[record.trace_id].append(record)
    tree = Tree(Text(title, style="bold"))
    for trace_id, of_trace in traces.items():
        tree.add(trace_tree(of_trace, title=f"trace {trace_id.hex()}", label=label))
    return tree


def logregel_label(record: Logregel, caller: Logregel | None = None, *, repeated: bool = False) -> Text:
    """Return a record as a tree shows it: its name and status, and a line for each of its fields that has a value.

    Args:
        repeated: Whether another record has the same ids, which a line says.
    """
    label = Text()
    label.append(plain(record.name), style="bold")
    label.append(f"  {record.status.label}", style=_STATUS_STYLE[record.status])
    lines = {
        "applicatie": service_of(record.resource),
        "activiteit": record.processing_activity_id,
        "hoofdactiviteit": record.parent_processing_activity_id,
        "betrokkene": subject_label(record),
        "span": record.span_id.hex(),
        "parent": record.parent_span_id.hex(),
        "foreign operation": _foreign(record),
        "aangeroepen vanuit": f"{caller.name}, span {caller.span_id.hex()}" if caller is not None else "",
        "lezen-API van de aangeroepene": record.external_read_api_id,
        "fout": record.attributes.get("exception.type", ""),
        "afwijkingen": ", ".join(record.flags),
    }
    for caption, value in lines.items():
        if value:
            label.append(f"\n{caption}: ", style="dim")
            label.append(plain(value))
    if repeated:
        label.append("\neen ander record heeft dezelfde ids", style="bold red")
    return label


def as_json(records: Iterable[StoredLogregel]) -> list[dict[str, Any]]:
    """Return records for `--json`: in the standard's words, with writer and sequence number."""
    return [{**as_standard(stored.logregel), "writer_id": stored.writer_id, "seq": stored.seq} for stored in records]


#: Columns of `--csv`; those of a spreadsheet's first lines first.
CSV_COLUMNS = (
    "start_time", "end_time", "name", "status", "processing_activity_id", "parent_processing_activity_id",
    "data_subject_id", "data_subject_id_type", "service", "trace_id", "span_id", "parent_span_id",
    "foreign_operation_trace_id", "foreign_operation_span_id", "foreign_operation_processor", "external_read_api_id",
    "flags", "attributes", "writer_id", "seq",
)  # fmt: skip


def csv_row(stored: StoredLogregel, zone: ZoneInfo | None = None) -> list[str]:
    """Return a record as cells for `CSV_COLUMNS`; text that a spreadsheet would run gets an apostrophe in front.

    Args:
        zone: Gives times as a Dutch spreadsheet reads them, on the clock of this zone, instead of in UTC.
    """
    record = stored.logregel
    cells = [
        _cell_time(record.start_time_ms, zone), _cell_time(record.end_time_ms, zone), record.name, record.status.label,
        record.processing_activity_id, record.parent_processing_activity_id, record.data_subject_id.hex(),
        record.data_subject_id_type, service_of(record.resource), record.trace_id.hex(), record.span_id.hex(),
        record.parent_span_id.hex(), record.foreign_operation_trace_id.hex(), record.foreign_operation_span_id.hex(),
        processor_of(record), record.external_read_api_id, " ".join(record.flags),
        msgspec.json.encode(record.attributes).decode(), stored.writer_id, str(stored.seq),
    ]  # fmt: skip
    return [guarded_cell(cell) for cell in cells]


def _cell_time(time_ms: int, zone: ZoneInfo | None) -> str:
    if zone is None:
        return rfc3339_from_ms(time_ms)
    return f"{datetime_from_ms(time_ms).astimezone(zone):%d-%m-%Y %H:%M:%S}"


def moment(time_ms: int) -> str:
    """Return a time as people read it, in UTC, to the millisecond."""
    return rfc3339_from_ms(time_ms).replace("T", " ").removesuffix("Z")


def plain(text: str) -> str:
    """Return text that cannot steer the terminal or turn a line round: anybody may have written a record's text."""
    return isolated(text.translate(_CONTROL))


def service_of(resource: str) -> str:
    """Return the service's name in a record's resource, or nothing."""
    return str(msgspec.json.decode(resource).get("service.name", ""))


def subject_label(record: Logregel) -> str:
    """Return type and pseudonym of the data subject."""
    if not record.data_subject_id:
        return ""
    return f"{record.data_subject_id_type or '?'} {record.data_subject_id.hex()[:12]}\u2026"


def _foreign(record: Logregel) -> str:
    """Return the application that called, and its ids where trace and parent do not say them; empty for none."""
    processor = processor_of(record)
    if is_unknown_caller(processor):
        processor = "unknown caller"
    if not restarted(record):
        return processor
    trace_id = record.foreign_operation_trace_id.hex()[:8]
    return f"trace {trace_id}\u2026 span {record.foreign_operation_span_id.hex()} ({processor})"


def backlog_lines(backlog: BacklogStatus, processes: int) -> Iterator[str]:
    """Yield what waits and since when, and how much room its disk has, and for how long."""
    since = f", the oldest since {moment(backlog.oldest_ms)} (UTC)" if backlog.oldest_ms is not None else ""
    yield f"{backlog.pending} Logregels of {processes} processes are pending{since}"
    if backlog.free_bytes is None:
        yield "the disk does not say how much room it has"
        return
    size = f"{_size(backlog.free_bytes)} of {_size(backlog.total_bytes)} free"
    if backlog.full:
        yield (
            f"THE DISK IS FULL ({size}): applications are refused each record. Make room on it, or let the Logboek "
            "take what waits"
        )
    elif backlog.lasts_seconds is not None:
        yield f"disk: {size}, room for some {_span(backlog.lasts_seconds)} more at the rate of this backlog"
    else:
        yield f"disk: {size}"


def _size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004  (the unit)
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _span(seconds: float) -> str:
    """Return a time for people, in the largest unit of which there are two."""
    for unit, length in (("years", 31_557_600), ("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def spool_lines(spools: Iterable[SpoolStatus]) -> Iterator[str]:
    """Yield two lines for each spool on this machine: its process, and its records."""
    for spool in spools:
        yield f"process {spool.pid or '?'} {'runs' if spool.alive else 'is dead'}, writer {spool.writer_id}"
        facts = [f"{spool.pending} pending"]
        if spool.oldest_ms is not None:
            facts.append(f"{spool.in_doubt} in doubt, oldest {moment(spool.oldest_ms)}")
        if spool.running:
            facts.append(f"{spool.running} {'running' if spool.alive else 'interrupted'}")
        if spool.quarantined:
            facts.append(f"{spool.quarantined} quarantined")
        if spool.damaged_bytes:
            facts.append(f"{spool.damaged_bytes} bytes damaged")
        facts.append(f"last confirmed {moment(spool.confirmed_ms) if spool.confirmed_ms is not None else 'never'}")
        yield f"    {', '.join(facts)}"
