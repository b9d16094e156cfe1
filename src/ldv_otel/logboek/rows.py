"""Logregels as columns of the table, and rows as Logregels again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from ldv_otel.delivery.batch import Batch
from ldv_otel.logregel import Logregel, Status

_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)

#: For each stored column its ClickHouse type and how a record gives its value. Types are named here so that an insert
#: need not ask the server for them first.
_COLUMNS: Final[dict[str, tuple[str, Callable[[Logregel], Any]]]] = {
    "trace_id": ("FixedString(16)", lambda r: r.trace_id),
    "span_id": ("FixedString(8)", lambda r: r.span_id),
    "parent_span_id": ("String", lambda r: r.parent_span_id),
    "start_time": ("DateTime64(3, 'UTC')", lambda r: r.start_time_ms),
    "duration_ms": ("UInt64", lambda r: r.end_time_ms - r.start_time_ms),
    "status": ("Enum8('Unset' = 0, 'Ok' = 1, 'Error' = 2)", lambda r: int(r.status)),
    "name": ("LowCardinality(String)", lambda r: r.name),
    "processing_activity_id": ("LowCardinality(String)", lambda r: r.processing_activity_id),
    "parent_processing_activity_id": ("LowCardinality(String)", lambda r: r.parent_processing_activity_id),
    "data_subject_id": ("FixedString(16)", lambda r: r.data_subject_id or _NO_TRACE),
    "data_subject_id_type": ("LowCardinality(String)", lambda r: r.data_subject_id_type),
    "key_id": ("LowCardinality(String)", lambda r: r.key_id),
    "data_subject_sealed": ("String", lambda r: r.data_subject_sealed),
    "foreign_operation_trace_id": ("FixedString(16)", lambda r: r.foreign_operation_trace_id or _NO_TRACE),
    "foreign_operation_span_id": ("FixedString(8)", lambda r: r.foreign_operation_span_id or _NO_SPAN),
    "foreign_operation_processor": ("LowCardinality(String)", lambda r: r.foreign_operation_processor),
    "external_read_api_id": ("LowCardinality(String)", lambda r: r.external_read_api_id),
    "outbound_span_ids": ("Array(FixedString(8))", lambda r: r.outbound_span_ids),
    "attributes": ("Map(LowCardinality(String), String)", lambda r: r.attributes),
    "resource": ("LowCardinality(String)", lambda r: r.resource),
}

#: What a query selects so that `stored` can read it, in this order.
SELECTED: Final = ", ".join(
    "toUnixTimestamp64Milli(start_time)" if name == "start_time" else name for name in (*_COLUMNS, "writer_id", "seq")
)
#: What makes a row one row, in the order of the table, by which a row that was stored twice stands beside itself.
ROW_KEY: Final = "start_time, span_id, writer_id, seq"
#: Ends a query over the table so that each row comes once and in order, and so that it still stops early at a limit.
ROW_ONCE: Final = f"ORDER BY {ROW_KEY} LIMIT 1 BY {ROW_KEY}"
#: Settings that such a query needs: without the first it would read on to fill buffers although a limit is reached; the
#: second lets each shard of a cluster look into its own projections.
READ_SETTINGS: Final = "read_in_order_use_buffering = 0, distributed_product_mode = 'local'"
BYTES_COLUMNS: Final = ("parent_span_id",)


class StoredLogregel(msgspec.Struct, frozen=True):
    """A record as it was read, with who wrote it and its place there."""

    logregel: Logregel
    writer_id: str
    seq: int


def columns_of(batch: Batch) -> dict[str, tuple[str, Sequence[Any]]]:
    """Return a batch as columns: type and values for each."""
    records = batch.logregels
    columns: dict[str, tuple[str, Sequence[Any]]] = {
        name: (type_, [value(record) for record in records]) for name, (type_, value) in _COLUMNS.items()
    }
    columns["writer_id"] = ("LowCardinality(String)", [batch.writer_id] * len(records))
    columns["seq"] = ("UInt64", batch.seqs)
    return columns


def stored(row: tuple[Any, ...]) -> StoredLogregel:
    """Return the record behind a row of `SELECTED`."""
    found = dict(zip((*_COLUMNS, "writer_id", "seq"), row, strict=True))
    start_time_ms = found.pop("start_time")
    duration_ms = found.pop("duration_ms")
    writer_id = found.pop("writer_id")
    seq = found.pop("seq")
    found["status"] = Status[found["status"].upper()]
    found["outbound_span_ids"] = tuple(bytes(span_id) for span_id in found["outbound_span_ids"])
    for name in ("data_subject_id", "foreign_operation_trace_id", "foreign_operation_span_id"):
        found[name] = found[name] if any(found[name]) else b""
    return StoredLogregel(
        Logregel(start_time_ms=start_time_ms, end_time_ms=start_time_ms + duration_ms, **found), writer_id, seq
    )
