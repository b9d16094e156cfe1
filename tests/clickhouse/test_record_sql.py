"""The engine and the writer make the same bytes of a record, whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.record_sql import RECORD_BYTES
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.tamper.record_bytes import record_bytes, record_of_bytes
from ldv_otel._internal.times.instants import TIME_MAX_MS
from tests.strategies import logregels
from tests.support.chance import examples

BYTES = Sql("SELECT seq, hex($bytes) FROM logregel WHERE writer_id = {writer:String} ORDER BY seq", bytes=RECORD_BYTES)


def check(sink: ClickHouseSink, client: LogboekClient, records: list[Logregel]) -> None:
    """Store records, and compare what the engine makes of the rows with what a writer, and a reader, makes."""
    batch = number_batch(new_writer_id(), 7, records)
    sink.send(batch)
    of_writer = [record_bytes(record, batch.writer_id, seq) for seq, record in enumerate(records, 7)]
    of_engine = [bytes.fromhex(content) for _, content in client.rows(BYTES, {"writer": batch.writer_id})]
    assert of_engine == of_writer
    for trace_id in {record.trace_id for record in records}:
        for row in read.by_trace(client, trace_id.hex()):
            if row.writer_id == batch.writer_id:
                assert record_bytes(row.logregel, row.writer_id, row.seq) == of_writer[row.seq - 7]
                assert record_of_bytes(of_writer[row.seq - 7]) == (row.logregel, row.writer_id, row.seq)


@hypothesis_settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(records=st.lists(logregels(), min_size=1, max_size=5, unique_by=lambda record: record.span_id))
def test_a_record_has_the_same_bytes_everywhere(
    sink: ClickHouseSink, client: LogboekClient, records: list[Logregel]
) -> None:
    """At its writer, in the engine over its row, and at a reader who got the row."""
    check(sink, client, records)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 3_000_000])
def test_a_text_has_the_same_bytes_everywhere_at_each_length(
    sink: ClickHouseSink, client: LogboekClient, length: int
) -> None:
    """Its length takes one to four bytes; times are at both ends of what a table holds."""
    attributes = {"dpl.x": "x" * length, "dpl.a": "\u20ac" * 50, "": "no name"}
    outbound = tuple(number.to_bytes(8, "big") for number in range(1, 131))
    records = [
        Logregel(
            trace_id=b"t" * 16,
            span_id=bytes([number]) * 8,
            name="n" * 127,
            start_time_ms=start,
            end_time_ms=end,
            attributes=attributes,
            outbound_span_ids=outbound,
        )
        for number, (start, end) in enumerate(((0, 0), (0, TIME_MAX_MS), (TIME_MAX_MS, TIME_MAX_MS)), 1)
    ]
    check(sink, client, records)
