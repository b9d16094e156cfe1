"""`LDV_LOGBOEK=otlp+http://...`: this package's own delivery through the real Collector, end to end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import new_writer_id, number_batch
from ldv_otel._internal.delivery.otlp_sink import OtlpSink
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel._internal.times.instants import TIME_MAX_MS
from ldv_otel.errors import LogboekUnavailable
from tests.collector.conftest import Line
from tests.strategies import logregels
from tests.support import faults
from tests.support.chance import examples
from tests.support.sending import deliver_whole


@pytest.fixture(scope="module")
def sink(confirmed: Line) -> Iterator[OtlpSink]:
    """A sink on the confirmed line."""
    address = LogboekAddress(scheme="otlp+http", host="127.0.0.1", port=confirmed.collector.port)
    found = OtlpSink(Settings(logboek=address))
    found.open()
    yield found
    found.close()


@st.composite
def storable(draw: st.DrawFn) -> Logregel:
    """A record as delivery gets it: the SDK names its attributes, and a pseudonym comes with the id of its key."""
    record: Logregel = draw(logregels())
    fields = {name: getattr(record, name) for name in record.__struct_fields__}
    fields["attributes"] = {f"dpl.{key}": value for key, value in record.attributes.items()}
    fields["resource"] = '{"service.name":"gemeente","service.version":"1/2"}'
    if record.data_subject_id and not record.key_id:
        fields["key_id"] = "2026"
    if record.end_time_ms > TIME_MAX_MS - 1:
        fields["start_time_ms"] = fields["end_time_ms"] = 0
    return Logregel(**fields)


@settings(
    max_examples=examples(5),
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(records=st.lists(storable(), min_size=40, max_size=60, unique_by=lambda record: record.span_id))
def test_a_record_comes_out_as_it_went_in(confirmed: Line, sink: OtlpSink, records: list[Logregel]) -> None:
    """Every field, with writer and place, as through the direct way."""
    batch = number_batch(new_writer_id(), 7, records)
    sink.send(batch)
    with confirmed.client() as client:
        rows = client.rows(
            Sql("SELECT seq FROM logregel WHERE writer_id = {w:String} ORDER BY seq"), {"w": batch.writer_id}
        )
        assert [row[0] for row in rows] == list(batch.seqs)
        for seq, record in zip(batch.seqs, records, strict=True):
            stored = read.by_trace(client, record.trace_id.hex())
            (found,) = [one.logregel for one in stored if (one.writer_id, one.seq) == (batch.writer_id, seq)]
            for field in record.__struct_fields__:
                came, went = getattr(found, field), getattr(record, field)
                # In so many words: Hypothesis shows all records, too.
                assert came == went, f"{field}: {came!r} is not {went!r}"


FAULTS = [faults.refuse(503), faults.cut_before(), faults.cut_after(), faults.late_exception(241)]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", FAULTS, ids=["refused", "cut before", "cut after", "late exception"])
def test_after_any_fault_everything_is_seen_once(
    confirmed: Line, sink: OtlpSink, fault: faults.Action, times: int
) -> None:
    """Delivery's own retries, through the Collector."""
    records = [
        Logregel(trace_id=b"f" * 16, span_id=bytes([n]) * 8, name="x", start_time_ms=10**12, end_time_ms=10**12)
        for n in range(1, 50)
    ]
    batch = number_batch(new_writer_id(), 0, records)
    confirmed.front.add(fault, when=faults.is_insert, times=times)
    with pytest.raises(LogboekUnavailable):
        sink.send(batch)
    deliver_whole(batch, sink, wait=lambda _: False, in_doubt=True)
    with confirmed.client() as client:
        sql = "SELECT count(), uniqExact(seq) FROM logregels WHERE writer_id = {w:String}"
        assert client.rows(Sql.verbatim(sql), {"w": batch.writer_id}) == [(49, 49)]


def test_a_collector_that_restarts(confirmed: Line, sink: OtlpSink) -> None:
    """A connection that went stale is no reason to lose or double anything."""
    confirmed.collector.stop()
    batch = number_batch(
        new_writer_id(),
        0,
        [Logregel(trace_id=b"r" * 16, span_id=b"r" * 8, name="x", start_time_ms=10**12, end_time_ms=10**12)],
    )

    def start(_: float) -> bool:
        if not confirmed.collector.pid:
            confirmed.collector.start()
        return False

    deliver_whole(batch, sink, wait=start)
    with confirmed.client() as client:
        assert len(read.by_trace(client, (b"r" * 16).hex())) == 1
