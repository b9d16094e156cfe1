"""Records as the lezen API shows them: in the form of 2025, and in that of 2026 (LDV-N3)."""

from __future__ import annotations

import uuid
from typing import Any, Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.record.callers import processor_of, restarted
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.spellings import OUTBOUND_SPAN_IDS
from ldv_otel._internal.record.standard_json import standard_attributes
from ldv_otel._internal.times.instants import rfc3339_from_ms

#: Shown beside the standard's own names. With the outbound spans a reader finds the Actie from which a called party was
#: called (LDV-R6).
_SHOWN: Final = frozenset({OUTBOUND_SPAN_IDS, names.FLAGS, names.EXCEPTION_TYPE})

#: Attributes that have a place of their own in the form of 2026.
_NESTED: Final = frozenset({names.FLAGS, names.FSC_TRANSACTION_ID})

#: How the contract of 2025 calls the read API of the called party.
_NEXT_LOGBOOK_2025: Final = "dpl.read.externalReadAPI_id"


def processing_activity(logregel: Logregel) -> dict[str, Any]:
    """Return a record as a `ProcessingActivity` of the contract.

    Left out is what is not the standard's: sealed identifiers, key ids, messages of exceptions and originals of
    normalised values, any of which may tell more than the record.
    """
    attributes = {
        name: value
        for name, value in standard_attributes(logregel).items()
        if name.startswith(names.NAMESPACE) or name in _SHOWN
    }
    if processor := processor_of(logregel):
        attributes[names.FOREIGN_OPERATION_PROCESSOR] = processor
    if next_logbook := attributes.pop(names.NEXT_LOGBOOK_ID, None):
        attributes[_NEXT_LOGBOOK_2025] = next_logbook
    return _record(logregel, logregel.start_time_ms, logregel.end_time_ms, attributes)


def data_processing_operation(logregel: Logregel) -> dict[str, Any]:
    """Return a record as an element of `dataProcessingOperations`: known attributes nested, times in RFC 3339.

    What is left out is as in `processing_activity`. What is not the standard's own is named as an extension (LDV-N11);
    the ids of a caller whose trace goes on here say nothing that trace and parent do not say (LDV-N10).
    """
    start, end = rfc3339_from_ms(logregel.start_time_ms), rfc3339_from_ms(logregel.end_time_ms)
    return _record(logregel, start, end, nested_attributes(logregel))


def _record(logregel: Logregel, start: int | str, end: int | str, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what both forms say of a record, with its times and attributes as the form has them."""
    record: dict[str, Any] = {
        "traceId": str(uuid.UUID(bytes=logregel.trace_id)),
        "spanId": logregel.span_id.hex(),
        "status": logregel.status.label,
        "name": logregel.name,
        "startTime": start,
        "endTime": end,
        "resource": {"attributes": shown_resource(logregel)},
        "attributes": attributes,
    }
    if logregel.parent_span_id:
        record["parentSpanId"] = logregel.parent_span_id.hex()
    return record


def shown_resource(logregel: Logregel) -> dict[str, str]:
    """Return the resource without what this package notes in it for its own readers."""
    resource: dict[str, str] = msgspec.json.decode(logregel.resource)
    resource.pop(names.LEFT_OUT, None)
    return resource


def nested_attributes(logregel: Logregel) -> dict[str, Any]:
    """Return the attributes of a record in the form of 2026; others than the known ones keep their name."""
    typed = json_values(logregel)
    others = {
        name: typed.get(name, value)
        for name, value in logregel.attributes.items()
        if (name.startswith(names.NAMESPACE) or name in _SHOWN) and name not in _NESTED
    }
    has_own_trace = restarted(logregel)
    return others | {
        "dpl": _with_values(
            {
                "core": _with_values(
                    {
                        "processingActivityId": logregel.processing_activity_id,
                        "dataSubjectId": logregel.data_subject_id.hex(),
                        "dataSubjectIdType": logregel.data_subject_id_type,
                        "foreignOperation": _with_values({"processor": processor_of(logregel)}),
                    }
                ),
                "fsc": _with_values({"transactionId": logregel.attributes.get(names.FSC_TRANSACTION_ID, "")}),
                "read": _with_values({"nextLogbookId": logregel.external_read_api_id}),
                "ldvotel": _with_values(
                    {
                        "parentProcessingActivityId": logregel.parent_processing_activity_id,
                        "outboundSpanIds": [span_id.hex() for span_id in logregel.outbound_span_ids],
                        "foreignOperation": _with_values(
                            {
                                "traceId": logregel.foreign_operation_trace_id.hex() if has_own_trace else "",
                                "spanId": logregel.foreign_operation_span_id.hex() if has_own_trace else "",
                            }
                        ),
                        "flags": list(logregel.flags),
                        "outcomeOf": logregel.attributes.get(names.OUTCOME_OF, ""),
                    }
                ),
            }
        )
    }


def json_values(logregel: Logregel) -> dict[str, Any]:
    """Return those attributes that were no text, as they were set; one whose text is no JSON any more is left out."""
    values: dict[str, Any] = {}
    for name in filter(None, logregel.attributes.get(names.JSON_VALUES, "").split(",")):
        try:
            value = msgspec.json.decode(logregel.attributes.get(name, ""))
        except (msgspec.DecodeError, RecursionError):
            # It was redacted, or cut.
            continue
        if not isinstance(value, str):
            values[name] = value
    return values


def _with_values(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}
