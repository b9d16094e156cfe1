"""The conformance suite of the `Sink` protocol: what delivery relies on, for sinks of this and of other packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.delivery.sink import Sink, SinkTraits
from ldv_otel._internal.record.logregel import Logregel, Status
from ldv_otel._internal.times.instants import TIME_MAX_MS

_START_MS: Final = 1_750_000_000_000


def check_sink(sink: Sink, *, count_rows: Callable[[str], int] | None = None) -> None:
    """Check that a sink does what delivery relies on, against the store it is for.

    Args:
        sink: Not opened, with a store that takes records. It is closed afterwards; the records stay.
        count_rows: Returns how many records of a writer a reader sees, however often they were sent. Without it the
            check that nothing is stored twice is left out.

    Raises:
        AssertionError: It does not; the message says what is expected.
    """
    _expect(isinstance(sink, Sink), "A sink has the methods open, send, read_back and close, and the attribute traits.")
    _expect(isinstance(sink.traits, SinkTraits), "The attribute traits is a SinkTraits.")
    try:
        _check_opening(sink)
        for batch in (_records(3), _records(1), _every_field(), _records(sink.traits.batch_records)):
            _check_sending(sink, batch, count_rows)
        _check_parts(sink, count_rows)
    finally:
        sink.close()


def _check_opening(sink: Sink) -> None:
    sink.open()
    sink.open()
    sink.close()
    sink.close()
    sink.open()


def _check_sending(sink: Sink, logregels: list[Logregel], count_rows: Callable[[str], int] | None) -> None:
    batch = number_batch(new_writer_id(), 5, logregels)
    _expect(sink.read_back(batch) == frozenset(), "Nothing is read back of a batch that was never sent.")
    sink.send(batch)
    _expect_stored(sink, batch)
    _expect_count(count_rows, batch.writer_id, len(batch.seqs), "A batch that is sent once is stored once.")
    sink.send(batch)
    _expect_stored(sink, batch)
    _expect_count(count_rows, batch.writer_id, len(batch.seqs), "A batch that is sent again is still stored once.")
    other = Batch(writer_id=new_writer_id(), seqs=batch.seqs, logregels=batch.logregels)
    _expect(sink.read_back(other) == frozenset(), "Records of one writer are not those of another with equal numbers.")


def _check_parts(sink: Sink, count_rows: Callable[[str], int] | None) -> None:
    """Equal records under other numbers are other records, and a batch may come in halves or with numbers left out."""
    writer_id = new_writer_id()
    batch = number_batch(writer_id, 0, _records(1) * 7)
    first, second = batch.halves()
    sink.send(first)
    stored = sink.read_back(batch)
    _expect(stored == frozenset(first.seqs), "Of a batch of which a part was sent, that part is read back.")
    sink.send(second)
    _expect_stored(sink, second)
    later = Batch(writer_id=writer_id, seqs=(9, 12), logregels=batch.logregels[:2])
    sink.send(later)
    _expect_stored(sink, later)
    _expect_count(count_rows, writer_id, 9, "Equal records with other sequence numbers are all stored.")


def _expect_stored(sink: Sink, batch: Batch) -> None:
    _expect(sink.read_back(batch) == frozenset(batch.seqs), "When send has returned, every record is read back.")


def _expect_count(count_rows: Callable[[str], int] | None, writer_id: str, count: int, rule: str) -> None:
    if count_rows is not None:
        _expect(count_rows(writer_id) == count, rule)


def _expect(holds: object, rule: str) -> None:
    """Raise without `assert`, which python -O leaves out."""
    if not holds:
        raise AssertionError(rule)


def _records(count: int) -> list[Logregel]:
    return [
        Logregel(
            trace_id=b"conformance-----",
            span_id=number.to_bytes(8, "big"),
            name="check_sink",
            start_time_ms=_START_MS + number,
            end_time_ms=_START_MS + number + 1,
        )
        for number in range(1, count + 1)
    ]


def _every_field() -> list[Logregel]:
    """Records with a value in each field, texts in every kind of character, and times at both ends."""
    times = ((0, 1), (_START_MS, _START_MS), (TIME_MAX_MS - 1, TIME_MAX_MS))
    return [
        Logregel(
            trace_id=b"\xff" * 16,
            span_id=bytes([index + 1] * 8),
            parent_span_id=b"\x80" * 8,
            name="naam \u20ac \U0001f9fe \t \\N \"'",
            start_time_ms=start,
            end_time_ms=end,
            status=Status.ERROR,
            processing_activity_id="https://register.example/activiteiten/\u00e9\u00e9n",
            parent_processing_activity_id="https://register.example/activiteiten/boven",
            data_subject_id=bytes(range(16)),
            data_subject_id_type="BSN",
            key_id="check",
            data_subject_sealed="v1.AAEC",
            foreign_operation_trace_id=b"\x01" * 16,
            foreign_operation_span_id=b"\x02" * 8,
            foreign_operation_processor="https://elders.example",
            external_read_api_id="https://elders.example/lezen",
            outbound_span_ids=(b"\x03" * 8, b"\x04" * 8),
            attributes={"dpl.objects.algorithm_id": "x" * 5_000},
            resource='{"service.name":"check_sink"}',
        )
        for index, (start, end) in enumerate(times)
    ]
