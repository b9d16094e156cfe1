"""The bytes and leaves of records as the engine makes them, as `tamper/record_bytes.py` and `manifest.py` do."""

from __future__ import annotations

from typing import Final

from ldv_otel._internal.clickhouse.sql_text import Sql

#: What `record_bytes` returns for a row of `logregel`. A table may give the entries of a map back in any order.
RECORD_BYTES: Final = Sql("""
formatRow('RowBinary', trace_id, span_id, parent_span_id, start_time, duration_ms, status, data_subject_id,
    foreign_operation_trace_id, foreign_operation_span_id, data_subject_sealed, outbound_span_ids, mapSort(attributes),
    name, processing_activity_id, parent_processing_activity_id, data_subject_id_type, key_id,
    foreign_operation_processor, external_read_api_id, resource, writer_id, seq)
""")

#: What `number_of` returns for a row. What a Collector wrote has no number of its own.
NUMBER: Final = Sql("""
if(writer_id = 'collector',
    bitShiftRight(reinterpretAsUInt64(substring(SHA256(concat(trace_id, span_id)), 1, 8)), 1), seq)
""")

#: What `leaf_of` returns for a row, with its number as `number` and the salt of its activity as `salt`.
LEAF: Final = Sql(
    "SHA256(concat(unhex('00'), SHA256(concat(salt, reinterpretAsFixedString(number))), $bytes))", bytes=RECORD_BYTES
)
