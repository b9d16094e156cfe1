"""Which records are the same: one that is sent again, or another under ids that are taken (LDV-N17)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.attributes import NAMESPACE

#: Tools that write milliseconds may cut or round them.
ROUNDING_MS: Final = 1


def is_same_record(record: Logregel, other: Logregel) -> bool:
    """Say whether two records with the same ids tell the same: what was done, when, with what outcome, about whom.

    Where the record hangs may differ: that depends on what else was known when it was made. Under different keys one
    person has two pseudonyms, so these are compared under the same key only.
    """
    return (
        (record.trace_id, record.span_id) == (other.trace_id, other.span_id)
        and abs(record.start_time_ms - other.start_time_ms) <= ROUNDING_MS
        and abs(record.end_time_ms - other.end_time_ms) <= ROUNDING_MS
        and _content(record) == _content(other)
        and (record.key_id != other.key_id or record.data_subject_id == other.data_subject_id)
    )


def content_key(record: Logregel) -> bytes:
    """Return all that a record says, to find out whether the same one came twice: not its ids, which callers choose."""
    return msgspec.json.encode(record, order="deterministic")


def ids_repeated(records: Sequence[Logregel]) -> list[bool]:
    """Say of each record whether another one among them has its ids: callers choose ids, and some choose one twice.

    Nothing that shows records may take such a one for the other; each is shown, and marked by this.
    """
    counts = Counter((record.trace_id, record.span_id) for record in records)
    return [counts[record.trace_id, record.span_id] > 1 for record in records]


def _content(record: Logregel) -> tuple[object, ...]:
    return (
        record.status,
        record.name,
        record.processing_activity_id,
        record.data_subject_id_type,
        bool(record.data_subject_id),
        record.external_read_api_id,
        {name: text for name, text in record.attributes.items() if name.startswith(NAMESPACE)},
    )
