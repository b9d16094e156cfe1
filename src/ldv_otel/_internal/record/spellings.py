"""Attributes of the standard in the spellings that others use, read as the names that this package writes.

The newest form of *lezen* nests them and writes camelCase, earlier ones have dots and snake_case, and implementers mix
them (LDV-N2, N4, N7, N11). This is the one place that knows which spellings mean the same.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Final

import ldv_otel.attributes as names

OUTBOUND_SPAN_IDS: Final = "ldv.outbound_span_ids"

#: Each spelling, with the members that contain it before a dot, and the name that it is read as.
CANONICAL: Final[Mapping[str, str]] = {
    names.PROCESSING_ACTIVITY_ID: names.PROCESSING_ACTIVITY_ID,
    "dpl.core.processingActivityId": names.PROCESSING_ACTIVITY_ID,
    names.DATA_SUBJECT_ID: names.DATA_SUBJECT_ID,
    "dpl.core.dataSubjectId": names.DATA_SUBJECT_ID,
    names.DATA_SUBJECT_ID_TYPE: names.DATA_SUBJECT_ID_TYPE,
    "dpl.core.dataSubjectIdType": names.DATA_SUBJECT_ID_TYPE,
    names.FOREIGN_OPERATION_PROCESSOR: names.FOREIGN_OPERATION_PROCESSOR,
    "dpl.core.foreignOperation.processor": names.FOREIGN_OPERATION_PROCESSOR,
    **dict.fromkeys((*names.NEXT_LOGBOOK_NAMES, "dpl.read.next_logbook_id"), names.NEXT_LOGBOOK_ID),
    # An extension of ours since the newest form, in the core before.
    names.PARENT_PROCESSING_ACTIVITY_ID: names.PARENT_PROCESSING_ACTIVITY_ID,
    "dpl.core.parentProcessingActivityId": names.PARENT_PROCESSING_ACTIVITY_ID,
    "dpl.ldvotel.parentProcessingActivityId": names.PARENT_PROCESSING_ACTIVITY_ID,
    "dpl.ldvotel.parent_processing_activity_id": names.PARENT_PROCESSING_ACTIVITY_ID,
    names.FOREIGN_OPERATION_TRACE_ID: names.FOREIGN_OPERATION_TRACE_ID,
    "dpl.core.foreignOperation.traceId": names.FOREIGN_OPERATION_TRACE_ID,
    "dpl.ldvotel.foreignOperation.traceId": names.FOREIGN_OPERATION_TRACE_ID,
    "dpl.ldvotel.foreign_operation.trace_id": names.FOREIGN_OPERATION_TRACE_ID,
    names.FOREIGN_OPERATION_SPAN_ID: names.FOREIGN_OPERATION_SPAN_ID,
    "dpl.core.foreignOperation.spanId": names.FOREIGN_OPERATION_SPAN_ID,
    "dpl.ldvotel.foreignOperation.spanId": names.FOREIGN_OPERATION_SPAN_ID,
    "dpl.ldvotel.foreign_operation.span_id": names.FOREIGN_OPERATION_SPAN_ID,
    names.FSC_TRANSACTION_ID: names.FSC_TRANSACTION_ID,
    "dpl.fsc.transactionId": names.FSC_TRANSACTION_ID,
    OUTBOUND_SPAN_IDS: OUTBOUND_SPAN_IDS,
    "dpl.ldvotel.outboundSpanIds": OUTBOUND_SPAN_IDS,
    "dpl.ldvotel.outbound_span_ids": OUTBOUND_SPAN_IDS,
}
#: The members that contain others; what stands in any other is a value of its own, however deep it goes.
CONTAINERS: Final = frozenset(
    spelling[:index] for spelling in CANONICAL for index, letter in enumerate(spelling) if letter == "."
) - {"ldv"}


def flat_members(
    members: Mapping[str, object], containers: Container[str] = CONTAINERS
) -> Iterator[tuple[str, tuple[str, ...], object]]:
    """Give each value of nested members: its whole name as it is spelled, where it stands, and itself.

    Goes no deeper than the names of the containers, whatever is sent.
    """
    left: list[tuple[str, tuple[str, ...], Mapping[str, object]]] = [("", (), members)]
    while left:
        above, path, inside = left.pop()
        for name, value in inside.items():
            whole = f"{above}.{name}" if above else name
            if whole in containers and isinstance(value, Mapping):
                left.append((whole, (*path, name), value))
            else:
                yield whole, (*path, name), value
