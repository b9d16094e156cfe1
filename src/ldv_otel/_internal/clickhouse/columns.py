"""Logregels as columns of the table, and rows as Logregels again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.record.logregel import Logregel, Status

#: A column's ClickHouse type and its values.
Column = tuple[str, Sequence[Any]]

_NO_TRACE: Final = bytes(16)
_NO_SPAN: Final = bytes(8)
_WORD: Final = "LowCardinality(String)"

#: For each stored column its ClickHouse type and a record's value. Types are named here so that an insert need not ask
#: the server for them first.
_COLUMNS: Final[dict[str, tuple[str, Callable[[Logregel], Any]]]] = {
    "trace_id": ("FixedString(16)", attrgetter("trace_id")),
    "span_id": ("FixedString(8)", attrgetter("span_id")),
    "parent_span_id": ("String", attrgetter("parent_span_id")),
    "start_time": ("DateTime64(3, 'UTC')", attrgetter("start_time_ms")),
    "duration_ms": ("UInt64", lambda record: record.end_time_ms - record.start_time_ms),
    "status": ("Enum8('Unset' = 0, 'Ok' = 1, 'Error' = 2)", attrgetter("status")),
    "name": (_WORD, attrgetter("name")),
    "processing_activity_id": (_WORD, attrgetter("processing_activity_id")),
    "parent_processing_activity_id": (_WORD, attrgetter("parent_processing_activity_id")),
    "data_subject_id": ("FixedString(16)", lambda record: record.data_subject_id or _NO_TRACE),
    "data_subject_id_type": (_WORD, attrgetter("data_subject_id_type")),
    "key_id": (_WORD, attrgetter("key_id")),
    "data_subject_sealed": ("String", attrgetter("data_subject_sealed")),
    "foreign_operation_trace_id": ("FixedString(16)", lambda record: record.foreign_operation_trace_id or _NO_TRACE),
    "foreign_operation_span_id": ("FixedString(8)", lambda record: record.foreign_operation_span_id or _NO_SPAN),
    "foreign_operation_processor": (_WORD, attrgetter("foreign_operation_processor")),
    "external_read_api_id": (_WORD, attrgetter("external_read_api_id")),
    "outbound_span_ids": ("Array(FixedString(8))", attrgetter("outbound_span_ids")),
    "attributes": ("Map(LowCardinality(String), String)", attrgetter("attributes")),
    "resource": (_WORD, attrgetter("resource")),
}

#: What a query selects so that `stored` can read it, in this order.
SELECTED: Final = ", ".join(
    "toUnixTimestamp64Milli(start_time)" if name == "start_time" else name for name in (*_COLUMNS, "writer_id", "seq")
)
#: What makes a row one row, in the order of the table, by which a row that was stored twice stands beside itself.
ROW_KEY: Final = "start_time, span_id, writer_id, seq"
#: Ends a query over the table so that each row comes once and in order, and so that it still stops early at a limit.
ROW_ONCE: Final = f"ORDER BY {ROW_KEY} LIMIT 1 BY {ROW_KEY}"
#: The same, the newest row first.
ROW_ONCE_NEWEST: Final = f"ORDER BY {ROW_KEY.replace(',', ' DESC,')} DESC LIMIT 1 BY {ROW_KEY}"
#: Settings that such a query needs: without the first it would read on to fill buffers although a limit is reached; the
#: second lets each shard of a cluster look into its own projections.
READ_SETTINGS: Final = "read_in_order_use_buffering = 0, distributed_product_mode = 'local'"
BYTES_COLUMNS: Final = ("parent_span_id",)


class StoredLogregel(msgspec.Struct, frozen=True):
    """A record as it was read, with who wrote it and its place there."""

    logregel: Logregel
    writer_id: str
    seq: int


def columns_of(batch: Batch) -> dict[str, Column]:
    """Return a batch as columns of values, each with its ClickHouse type."""
    records = batch.logregels
    columns: dict[str, Column] = {name: (type_, list(map(value, records))) for name, (type_, value) in _COLUMNS.items()}
    columns["writer_id"] = (_WORD, [batch.writer_id] * len(records))
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
