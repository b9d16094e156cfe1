"""One suite for every Sink: the in-memory one that users test with behaves as the real ones do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.testing import InMemoryLogboek
from tests.clickhouse.conftest import empty_store
from tests.strategies import logregels

RECORD = Logregel(
    trace_id=b"t" * 16, span_id=b"s" * 8, name="x", start_time_ms=1_750_000_000_000, end_time_ms=1_750_000_000_001
)


@pytest.fixture(params=["memory", "chdb", "http"])
def any_sink(request: pytest.FixtureRequest) -> Iterator[Sink]:
    """Each kind of sink, opened."""
    if request.param == "memory":
        memory = InMemoryLogboek()
        memory.open()
        yield memory
        return
    with empty_store(request.param, request) as found:
        apply_schema(found)
        sink = ClickHouseSink(found)
        sink.open()
        yield sink
        sink.close()


def test_it_is_a_sink(any_sink: Sink) -> None:
    """The protocol, by shape."""
    assert isinstance(any_sink, Sink)


def test_what_was_sent_can_be_read_back(any_sink: Sink) -> None:
    """And nothing else of that writer."""
    batch = number_batch(new_writer_id(), 5, [RECORD] * 3)
    assert any_sink.read_back(batch) == frozenset()
    any_sink.send(batch)
    assert any_sink.read_back(batch) == {5, 6, 7}
    beyond = number_batch(batch.writer_id, 6, [RECORD] * 9)
    assert any_sink.read_back(beyond) == {6, 7}


def test_sending_twice_stores_once(any_sink: Sink) -> None:
    """The token tells a repeated batch from a new one."""
    batch = number_batch(new_writer_id(), 0, [RECORD] * 2)
    for _ in range(3):
        any_sink.send(batch)
    assert stored_count(any_sink, batch.writer_id) == 2


def test_equal_records_of_two_batches_are_two(any_sink: Sink) -> None:
    """Deduplication is about batches, not about records that look alike."""
    writer = new_writer_id()
    any_sink.send(number_batch(writer, 0, [RECORD]))
    any_sink.send(number_batch(writer, 1, [RECORD]))
    assert stored_count(any_sink, writer) == 2


def test_opening_and_closing_twice_is_harmless(any_sink: Sink) -> None:
    """Delivery may not know."""
    any_sink.open()
    any_sink.close()
    any_sink.close()
    any_sink.open()
    any_sink.send(number_batch(new_writer_id(), 0, [RECORD]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(logregels(), min_size=1, max_size=8))
def test_any_storable_record_is_confirmed(any_sink: Sink, records: list[Logregel]) -> None:
    """Normalisation lets nothing through that a store refuses: any time, any text."""
    batch = number_batch(new_writer_id(), 0, records)
    any_sink.send(batch)
    assert any_sink.read_back(batch) == set(batch.seqs)


def stored_count(sink: Sink, writer_id: str) -> int:
    """How many rows of a writer a reader would see."""
    if isinstance(sink, InMemoryLogboek):
        return len(sink.logregels)
    assert isinstance(sink, ClickHouseSink)
    rows = sink._connected().rows(Sql("SELECT count() FROM logregel WHERE writer_id = {w:String}"), {"w": writer_id})
    return int(rows[0][0])
