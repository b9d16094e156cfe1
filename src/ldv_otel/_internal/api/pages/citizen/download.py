"""A citizen's own records as a file, in words."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from ldv_otel._internal.api.pages.dutch import local
from ldv_otel._internal.api.pages.view import DutchTexts
from ldv_otel._internal.record.logregel import Logregel, Status

_RESULTS: Final = {Status.UNSET: "uitgevoerd", Status.OK: "gelukt", Status.ERROR: "niet gelukt"}
#: With these a spreadsheet program would begin a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def rows(records: Iterable[Logregel], words: DutchTexts, organisation: str) -> list[dict[str, Any]]:
    """Return the records, each with the Register's words."""
    found = []
    for record in records:
        activity, step = words.activity(record.processing_activity_id), words.step(record)
        found.append(
            {
                "begin": step.moment,
                "einde": local(record.end_time_ms, words.zone).isoformat(timespec="milliseconds"),
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
    return found


def as_json(found: list[dict[str, Any]], *, complete: bool) -> bytes:
    """Return the file as JSON; `volledig` says whether it has everything."""
    return msgspec.json.format(msgspec.json.encode({"volledig": complete, "regels": found}), indent=2)


def as_csv(found: Sequence[Mapping[str, Any]], *, complete: bool) -> bytes:
    """Return the file as spreadsheet programs here read it: semicolons, UTF-8 with a mark."""
    text = io.StringIO()
    if found:
        writer = csv.DictWriter(text, list(found[0]), delimiter=";")
        writer.writeheader()
        writer.writerows({name: _plain(value) for name, value in row.items()} for row in found)
    if not complete:
        text.write("Dit bestand is niet volledig.\r\n")
    return text.getvalue().encode("utf-8-sig")


def _plain(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value
