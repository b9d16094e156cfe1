"""A citizen's own records as a file, with the texts of the Register."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ldv_otel._internal.api.pages.view import DutchTexts
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.record.spreadsheet_cells import guarded_cell
from ldv_otel._internal.tamper.proof import RecordProof
from ldv_otel._internal.times.dutch import local

_RESULTS: Final = {Status.UNSET: "uitgevoerd", Status.OK: "gelukt", Status.ERROR: "niet gelukt"}
#: With these a spreadsheet program would begin a formula.


def file_rows(records: Iterable[Logregel], texts: DutchTexts, organisation: str) -> list[dict[str, Any]]:
    """Return a row for each record, with the Register's texts on its activity."""
    rows = []
    for record in records:
        activity, step = texts.activity(record.processing_activity_id, record.start_time_ms), texts.step(record)
        rows.append(
            {
                "begin": step.moment,
                "einde": local(record.end_time_ms, texts.zone).isoformat(timespec="milliseconds"),
                "organisatie": organisation,
                "handeling": record.name,
                "verwerking": activity.name,
                "doel": activity.purpose,
                "grondslag": activity.legal_ground,
                "bewaartermijn": activity.kept,
                "resultaat": _RESULTS[record.status],
                "gevraagd aan": step.asked,
                "gevraagd door": step.asked_by,
                "verwerkingsactiviteit": record.processing_activity_id,
                "kenmerk": record.trace_id.hex(),
            }
        )
    return rows


def with_proofs(rows: Iterable[dict[str, Any]], proofs: Iterable[RecordProof | None]) -> list[dict[str, Any]]:
    """Return rows with the proof of each as the member `bewijs`, or null where there is none."""
    return [{**row, "bewijs": proof} for row, proof in zip(rows, proofs, strict=True)]


def as_json(rows: list[dict[str, Any]], *, complete: bool) -> bytes:
    """Return the file as JSON; `volledig` says whether it has all records."""
    return msgspec.json.format(msgspec.json.encode({"volledig": complete, "regels": rows}), indent=2)


def as_csv(rows: Sequence[Mapping[str, Any]], *, complete: bool) -> bytes:
    """Return the file as spreadsheet programs in the Netherlands read it: semicolons, UTF-8 with a byte order mark."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows({name: guarded_cell(value) for name, value in row.items()} for row in rows)
    # In the file itself, because it goes on without the page that it came from.
    if not complete:
        text.write("Dit bestand is niet volledig.\r\n")
    return text.getvalue().encode("utf-8-sig")
