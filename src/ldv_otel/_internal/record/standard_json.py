"""A Logregel in the words of the standard: the interface of the Logboek, ready for JSON."""

from __future__ import annotations

from typing import Any

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.record.callers import processor_of, restarted
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.spellings import OUTBOUND_SPAN_IDS


def as_standard(logregel: Logregel) -> dict[str, Any]:
    """Return the record with the standard's field and attribute names; ids in hex, times in ms, absent fields left out.

    The ids of a caller are there where its trace is another one; else trace and parent say them (LDV-N10).

    What the standard does not name but a reader needs (key, sealed subject, outbound spans) goes under `ldv.` names.
    """
    attributes = standard_attributes(logregel)
    if not restarted(logregel):
        attributes.pop(names.FOREIGN_OPERATION_TRACE_ID, None)
        attributes.pop(names.FOREIGN_OPERATION_SPAN_ID, None)
    if processor := processor_of(logregel):
        attributes[names.FOREIGN_OPERATION_PROCESSOR] = processor
    record: dict[str, Any] = {
        "trace_id": logregel.trace_id.hex(),
        "span_id": logregel.span_id.hex(),
        "status": logregel.status.label,
        "name": logregel.name,
        "start_time": logregel.start_time_ms,
        "end_time": logregel.end_time_ms,
        "resource": {"attributes": msgspec.json.decode(logregel.resource)},
        "attributes": attributes,
    }
    if logregel.parent_span_id:
        record["parent_span_id"] = logregel.parent_span_id.hex()
    return record


def standard_attributes(logregel: Logregel) -> dict[str, Any]:
    """Return all attributes that have a value, those with a field of their own included."""
    fields: dict[str, Any] = {
        names.PROCESSING_ACTIVITY_ID: logregel.processing_activity_id,
        names.PARENT_PROCESSING_ACTIVITY_ID: logregel.parent_processing_activity_id,
        names.DATA_SUBJECT_ID: logregel.data_subject_id.hex(),
        names.DATA_SUBJECT_ID_TYPE: logregel.data_subject_id_type,
        names.FOREIGN_OPERATION_TRACE_ID: logregel.foreign_operation_trace_id.hex(),
        names.FOREIGN_OPERATION_SPAN_ID: logregel.foreign_operation_span_id.hex(),
        names.FOREIGN_OPERATION_PROCESSOR: logregel.foreign_operation_processor,
        names.NEXT_LOGBOOK_ID: logregel.external_read_api_id,
        "ldv.key_id": logregel.key_id,
        "ldv.data_subject_sealed": logregel.data_subject_sealed,
        OUTBOUND_SPAN_IDS: [span_id.hex() for span_id in logregel.outbound_span_ids],
    }
    return {name: value for name, value in fields.items() if value} | logregel.attributes
