"""What services in other languages get through the Collector too: the Register's check and the transaction of FSC."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.queries.traces import across_traces
from ldv_otel._internal.clickhouse.sql_text import Sql
from tests.collector.conftest import Line, NewLine
from tests.collector.spans import ACTIVITY, actie, post, span

REGISTER = f"""
controller: https://gemeente.example/
activities:
  - id: {ACTIVITY}
    name: Parkeervergunningen
"""
OTHER = "https://register.example/activiteiten/handhaven"


@pytest.fixture(scope="module")
def checking(new_line: NewLine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """The confirmed line, on which an activity that the Register lacks is refused."""
    directory = tmp_path_factory.mktemp("checking")
    register = directory / "register.yaml"
    register.write_text(REGISTER, encoding="utf-8")
    found = new_line("confirmed.yaml", directory, LDV_REGISTER_CHECK="refuse", LDV_REGISTER=str(register))
    with found.collector:
        yield found


def test_an_activity_that_the_register_lacks_is_refused(checking: Line) -> None:
    """It is kept with the reason, and its neighbour is stored (LDV-N15)."""
    good = actie()
    refused = actie({"dpl.core.processing_activity_id": OTHER})
    assert post(checking.collector.url, [good, refused]).status_code == 200
    with checking.client() as client:
        assert [found.logregel.flags for found in read.by_trace(client, good.trace_id.hex())] == [()]
        assert read.by_trace(client, refused.trace_id.hex()) == []
        ((reason,),) = client.rows(Sql("SELECT reason FROM collector_refused"))
    assert "LDV_REGISTER_CHECK=refuse" in reason


def test_a_record_is_found_by_the_transaction_of_fsc(confirmed: Line) -> None:
    """The header that an instrumentation captured on the request's span is on the Actie below it (LDV-N16)."""
    transaction = _uuid_v7()
    request = span({"http.request.header.fsc-transaction-id": [transaction]}, name="POST /vergunningen", kind=2)
    sent = actie(trace_id=request.trace_id, parent_span_id=request.span_id)
    assert post(confirmed.collector.url, [request, sent]).status_code == 200
    with confirmed.client() as client:
        (found,) = read.by_trace(client, sent.trace_id.hex())
        assert found.logregel.attributes["dpl.fsc.transaction_id"] == transaction
        assert [one.logregel.span_id for one in across_traces(client, transaction)] == [sent.span_id]


def _uuid_v7() -> str:
    """An id as the transport of FSC makes it: its first 48 bits are the moment, in ms."""
    return str(uuid.UUID(int=(time.time_ns() // 1_000_000 << 80) | (0x7 << 76) | (0x2 << 62) | 7))
