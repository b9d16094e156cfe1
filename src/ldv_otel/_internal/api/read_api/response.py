"""Records as the lezen API shows them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final

import msgspec

import ldv_otel.attributes as names
from ldv_otel._internal.clickhouse.columns import StoredLogregel
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.record.standard_json import standard_attributes

#: Shown beside the standard's own names. With the outbound spans a reader finds the Actie from which a called party was
#: called (LDV-R6).
_SHOWN: Final = frozenset({"ldv.outbound_span_ids", names.FLAGS, names.EXCEPTION_TYPE})


def processing_activity(logregel: Logregel) -> dict[str, Any]:
    """Return a record as a `ProcessingActivity` of the contract.

    Left out is what is not the standard's: sealed identifiers, key ids, messages of exceptions and originals of
    normalised values, any of which may tell more than the record.
    """
    record: dict[str, Any] = {
        "traceId": str(uuid.UUID(bytes=logregel.trace_id)),
        "spanId": logregel.span_id.hex(),
        "status": logregel.status.label,
        "name": logregel.name,
        "startTime": logregel.start_time_ms,
        "endTime": logregel.end_time_ms,
        "resource": {"attributes": msgspec.json.decode(logregel.resource)},
        "attributes": {
            name: value
            for name, value in standard_attributes(logregel).items()
            if name.startswith(names.NAMESPACE) or name in _SHOWN
        },
    }
    if logregel.parent_span_id:
        record["parentSpanId"] = logregel.parent_span_id.hex()
    return record


def within_bytes(records: Iterable[StoredLogregel], limit: int) -> list[bytes]:
    """Return the first records as JSON, up to so many bytes; at least one, so that reading pages comes to an end."""
    encoded_records: list[bytes] = []
    for record in records:
        encoded = msgspec.json.encode(processing_activity(record.logregel))
        limit -= len(encoded)
        if limit < 0 and encoded_records:
            break
        encoded_records.append(encoded)
    return encoded_records
