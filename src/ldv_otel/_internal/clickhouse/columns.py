"""Logregels as columns of the table, and rows as Logregels again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from ldv_otel._internal.clickhouse.sql_text import Sql, identifier, listed
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

#: What a query selects so that `logregel_of_row` can read it, in this order. Times come as numbers, as
#: records have them.
SELECTED: Final = listed(
    Sql("toUnixTimestamp64Milli(start_time)") if name == "start_time" else identifier(name)
    for name in (*_COLUMNS, "writer_id", "seq")
)
#: The driver decodes a String as UTF-8 unless it is told that it holds bytes.
BYTES_COLUMNS: Final = ("parent_span_id",)


class StoredLogregel(msgspec.Struct, frozen=True):
    """A record as it was read, with its writer and its sequence number there."""

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


def logregel_of_row(row: tuple[Any, ...]) -> StoredLogregel:
    """Return the record behind a row of `SELECTED`."""
    fields = dict(zip((*_COLUMNS, "writer_id", "seq"), row, strict=True))
    start_time_ms = fields.pop("start_time")
    duration_ms = fields.pop("duration_ms")
    writer_id = fields.pop("writer_id")
    seq = fields.pop("seq")
    fields["status"] = Status[fields["status"].upper()]
    fields["outbound_span_ids"] = tuple(bytes(span_id) for span_id in fields["outbound_span_ids"])
    # A FixedString is never empty: zeros stand for an id that is not there.
    for name in ("data_subject_id", "foreign_operation_trace_id", "foreign_operation_span_id"):
        fields[name] = fields[name] if any(fields[name]) else b""
    return StoredLogregel(
        Logregel(start_time_ms=start_time_ms, end_time_ms=start_time_ms + duration_ms, **fields), writer_id, seq
    )
