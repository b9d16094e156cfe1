"""What people see: records as a table, a trace as a tree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ldv_otel.logboek.rows import StoredLogregel
from ldv_otel.logregel import Logregel, Status
from ldv_otel.standard import as_standard

_STATUS_STYLE = {Status.UNSET: "", Status.OK: "green", Status.ERROR: "bold red"}
_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")


def records_table(records: Iterable[Logregel], *, title: str = "") -> Table:
    """Return records as a table that fits a terminal of 80 columns, two lines each."""
    table = Table(title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("start (UTC)", no_wrap=True)
    table.add_column("naam, verwerkingsactiviteit", overflow="fold", ratio=1)
    table.add_column("status", no_wrap=True)
    table.add_column("betrokkene", no_wrap=True)
    table.add_column("span, parent", no_wrap=True)
    for record in records:
        what = Text(plain(record.name), style="bold")
        what.append(f"\n{plain(record.processing_activity_id) or '-'}", style="not bold")
        table.add_row(
            moment(record.start_time_ms).replace(" ", "\n"),
            what,
            Text(record.status.label, style=_STATUS_STYLE[record.status]),
            plain(subject_label(record)).replace(" ", "\n") or "-",
            f"{record.span_id.hex()}\n{record.parent_span_id.hex() or '-'}",
        )
    return table


def trace_tree(records: Sequence[Logregel], *, title: str) -> Tree:
    """Return the records of a trace as a tree.

    A record hangs below the Actie its parent id names, or below the Actie from which a technical span with that id
    went out (that is how another organisation's call looks); otherwise it is a root.
    """
    parents: dict[bytes, Logregel] = {}
    for record in records:
        parents.update(dict.fromkeys(record.outbound_span_ids, record))
    parents.update({record.span_id: record for record in records})
    children: dict[bytes, list[Logregel]] = defaultdict(list)
    roots = []
    for record in sorted(records, key=lambda record: (record.start_time_ms, record.span_id)):
        above = parents.get(record.parent_span_id or record.foreign_operation_span_id)
        if above is None or above is record:
            roots.append(record)
        else:
            children[above.span_id].append(record)
    tree = Tree(Text(title, style="bold"))
    for root in roots:
        _grow(tree, root, children, set())
    return tree


def _grow(branch: Tree, record: Logregel, children: dict[bytes, list[Logregel]], seen: set[bytes]) -> None:
    if record.span_id in seen:  # ids of strangers may form a circle
        return
    seen.add(record.span_id)
    node = branch.add(_label(record))
    for child in children[record.span_id]:
        _grow(node, child, children, seen)


def _label(record: Logregel) -> Text:
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
        "fout": record.attributes.get("exception.type", ""),
        "afwijkingen": ", ".join(record.flags),
    }
    for caption, value in lines.items():
        if value:
            label.append(f"\n{caption}: ", style="dim")
            label.append(plain(value))
    return label


def as_json(records: Iterable[StoredLogregel]) -> list[dict[str, Any]]:
    """Return records for `--json`: in the standard's words, with writer and place."""
    return [{**as_standard(found.logregel), "writer_id": found.writer_id, "seq": found.seq} for found in records]


def moment(time_ms: int) -> str:
    """Return a time as people read it, in UTC, to the millisecond."""
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{time_ms % 1_000:03d}"


def plain(text: str) -> str:
    """Return text that cannot steer the terminal: a record's text comes from strangers."""
    return text.translate(_CONTROL)


def service_of(resource: str) -> str:
    """Return the service's name in a record's resource, or nothing."""
    return str(msgspec.json.decode(resource).get("service.name", ""))


def subject_label(record: Logregel) -> str:
    """Return type and pseudonym of the data subject."""
    if not record.data_subject_id:
        return ""
    return f"{record.data_subject_id_type or '?'} {record.data_subject_id.hex()[:12]}\u2026"


def _foreign(record: Logregel) -> str:
    if not record.foreign_operation_span_id:
        return ""
    where = f" ({record.foreign_operation_processor})" if record.foreign_operation_processor else ""
    trace_id = record.foreign_operation_trace_id.hex()[:8]
    return f"trace {trace_id}\u2026 span {record.foreign_operation_span_id.hex()}{where}"
