"""Outcomes that came later (LDV-N18): an Actie that was acknowledged before its effect, and the record of how it went.

Both are Logregels, for neither is ever changed. People read them as one step.
"""

from __future__ import annotations

from collections.abc import Iterable

from ldv_otel._internal.record.builder import with_outcome
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.attributes import OUTCOME_OF

#: Trace, Actie and pseudonym: an Actie has a record for each person, and so has its outcome.
_Key = tuple[bytes, bytes, bytes]


def with_outcomes(records: Iterable[Logregel]) -> list[Logregel]:
    """Return records with the outcomes among them in the records that they are of, in the order of those.

    Of several outcomes of one Actie the last counts. One whose Actie is not among the records stays by itself.
    """
    records = list(records)
    last: dict[_Key, Logregel] = {}
    for record in records:
        key = (record.trace_id, _outcome_of(record), record.data_subject_id)
        if key[1] and (key not in last or last[key].end_time_ms <= record.end_time_ms):
            last[key] = record
    # The record of a further person hangs below that of the Actie.
    acties = {
        index: key
        for index, record in enumerate(records)
        for key in ((record.trace_id, span_id, record.data_subject_id) for span_id in _spans_of(record))
        if key in last and _same_step(record, last[key])
    }
    with_actie = set(acties.values())
    return [
        with_outcome(record, last[acties[index]]) if index in acties else record
        for index, record in enumerate(records)
        if (record.trace_id, _outcome_of(record), record.data_subject_id) not in with_actie
    ]


def _spans_of(record: Logregel) -> tuple[bytes, ...]:
    return () if _outcome_of(record) else (record.span_id, record.parent_span_id)


def _same_step(record: Logregel, outcome: Logregel) -> bool:
    return (record.name, record.processing_activity_id) == (outcome.name, outcome.processing_activity_id)


def _outcome_of(record: Logregel) -> bytes:
    """Return the span id of the Actie that a record is the outcome of; empty for other records."""
    text = record.attributes.get(OUTCOME_OF, "")
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
