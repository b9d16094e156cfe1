from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.queries.records import by_trace, stored_in_traces, totals
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.importer.run import import_files
from tests.importer.spelling import ACTIVITY, MAKER, GivenSpan, Spelling, records_of, written
from tests.support.logboek import LogboekProcess

#: More traces than are asked for at once.
TRACES = 1_100


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A Logboek with tables, served by the real engine."""
    with LogboekProcess(tmp_path / "logboek") as process:
        found = Settings(
            logboek=LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=process.port, database="ldv")
        )
        apply_schema(found)
        yield found


def test_into_the_real_engine_and_again(settings: Settings, tmp_path: Path) -> None:
    """What is read back is what the file held, and a second import finds all of it there."""
    spans = [
        GivenSpan(
            trace_id=bytes([255 - number % 256, *number.to_bytes(15, "big")]),
            span_id=number.to_bytes(8, "big"),
            parent_id=b"\x07" * 8,
            attributes={"dpl.core.processing_activity_id": ACTIVITY, "dpl.core.data_subject_id": number},
        )
        for number in range(1, TRACES + 1)
    ]
    path = tmp_path / "spans.jsonl"
    path.write_bytes(written(spans, Spelling(layout="lines")))
    sink = ClickHouseSink(settings)
    sink.open()
    try:
        with LogboekClient(settings) as client:
            run = partial(import_files, [path], maker=MAKER, sink=sink, existing=partial(stored_in_traces, client))
            assert run().stored == TRACES
            again = run()
            assert (again.stored, again.already_there, totals(client).logregels) == (0, TRACES, TRACES)
            (stored,) = by_trace(client, spans[-1].trace_id.hex())
            assert stored.logregel == records_of(written(spans[-1:]))[0]
    finally:
        sink.close()
