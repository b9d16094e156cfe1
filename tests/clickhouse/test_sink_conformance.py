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
from ldv_otel.testing import InMemoryLogboek, check_sink
from tests.clickhouse.conftest import empty_store
from tests.strategies import logregels
from tests.support.chance import examples


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


def test_it_does_what_delivery_relies_on(any_sink: Sink) -> None:
    """The suite that authors of other sinks run too."""
    check_sink(any_sink, count_rows=lambda writer_id: stored_count(any_sink, writer_id))


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(logregels(), min_size=1, max_size=8))
def test_any_storable_record_is_confirmed(any_sink: Sink, records: list[Logregel]) -> None:
    """Normalisation lets nothing through that a store refuses: any time, any text."""
    batch = number_batch(new_writer_id(), 0, records)
    any_sink.send(batch)
    assert any_sink.read_back(batch) == set(batch.seqs)


def stored_count(sink: Sink, writer_id: str) -> int:
    """How many rows of a writer a reader would see."""
    if isinstance(sink, InMemoryLogboek):
        return sum(len(batch.seqs) for batch in sink._batches.values() if batch.writer_id == writer_id)
    assert isinstance(sink, ClickHouseSink)
    rows = sink._connected().rows(Sql("SELECT count() FROM logregel WHERE writer_id = {w:String}"), {"w": writer_id})
    return int(rows[0][0])
