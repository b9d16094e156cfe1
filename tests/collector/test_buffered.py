"""buffered.yaml: an answer 200 means on disk, and what is on disk gets there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ldv_otel._internal.clickhouse.queries import records as read
from ldv_otel._internal.clickhouse.sql_text import Sql
from tests.collector.conftest import Line, NewLine
from tests.collector.spans import actie, post
from tests.support import faults
from tests.support.faults import FaultFront

SUBJECT = {"dpl.core.data_subject_id": "876543219", "dpl.core.data_subject_id_type": "BSN"}


def seen(line_: Line, trace_id: bytes, wanted: int, seconds: float = 40) -> list[bytes]:
    """Wait until so many records of a trace are there, and return their span ids."""
    deadline = time.monotonic() + seconds
    with line_.client() as client:
        while True:
            found = [one.logregel.span_id for one in read.by_trace(client, trace_id.hex())]
            if len(found) >= wanted or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


def test_an_outage_of_the_logboek_is_waited_out(buffered: Line) -> None:
    """The client has its answer, and the records come when the Logboek is back."""
    sent = [actie() for _ in range(20)]
    for each in sent:
        each.trace_id = sent[0].trace_id
    buffered.front.close_listener()
    try:
        for each in sent:
            assert post(buffered.collector.url, [each]).status_code == 200
        time.sleep(1.5)
    finally:
        buffered.front.open_listener()
    assert sorted(seen(buffered, sent[0].trace_id, 20)) == sorted(each.span_id for each in sent)


@pytest.mark.parametrize("fault", [faults.refuse(500), faults.cut_after(), faults.late_exception(241)])
def test_a_doubtful_insert_is_repeated_and_seen_once(buffered: Line, fault: faults.Action) -> None:
    """Whatever the first attempt did."""
    buffered.front.add(fault, when=faults.is_insert, times=2)
    sent = actie()
    assert post(buffered.collector.url, [sent]).status_code == 200
    assert seen(buffered, sent.trace_id, 1) == [sent.span_id]


def test_killed_between_answer_and_insert(new_line: NewLine, front: FaultFront, tmp_path: Path) -> None:
    """Nothing lost, nothing seen twice, over several kills; and only pseudonyms were on the disk."""
    killed = new_line("buffered.yaml", tmp_path)
    sent = [actie(SUBJECT) for _ in range(60)]
    with killed.collector:
        for number, each in enumerate(sent):
            each.trace_id = sent[0].trace_id
            if number % 20 == 10:
                # Inserts take effect from here on, and the Collector hears nothing of it.
                front.add(faults.cut_after(), when=faults.is_insert)
            assert post(killed.collector.url, [each]).status_code == 200
            if number % 20 == 19:
                time.sleep(0.5 * (number // 20))
                killed.collector.kill()
                front.clear()
                on_disk = b"".join(path.read_bytes() for path in (tmp_path / "queue").iterdir())
                assert b"876543219" not in on_disk
                killed.collector.start()
        assert sorted(seen(killed, sent[0].trace_id, 60)) == sorted(each.span_id for each in sent)


def test_a_hundred_thousand(buffered: Line, confirmed: Line) -> None:
    """Count, content and parents, through each configuration."""
    for through in (confirmed, buffered):
        top = actie()
        trace_id = top.trace_id
        parent = top
        for start in range(0, 100_000, 5_000):
            some = []
            for number in range(start, start + 5_000):
                if number == 0:
                    some.append(top)
                    continue
                fields: dict[str, Any] = {"trace_id": trace_id, "parent_span_id": parent.span_id}
                each = actie({**SUBJECT, "dpl.number": number}, name=f"stap {number % 50}", **fields)
                parent = each if number % 1_000 == 0 else parent
                some.append(each)
            assert post(through.collector.url, some).status_code == 200
        deadline = time.monotonic() + 60
        with through.client() as client:
            where = f"FROM logregels WHERE trace_id = '{trace_id.hex()}'"
            while client.rows(Sql.verbatim(f"SELECT count() {where}"))[0][0] < 100_000 and time.monotonic() < deadline:
                time.sleep(0.2)
            sql = f"""
            SELECT count(), uniqExact(span_id), uniqExact(attributes['dpl.number']), uniqExact(parent_span_id),
                   countIf(parent_span_id NOT IN (SELECT span_id {where}) AND parent_span_id != ''),
                   countIf(name != concat('stap ', toString(toUInt32(attributes['dpl.number']) % 50))),
                   uniqExact(data_subject_id), countIf(flags != [])
            {where} AND attributes['dpl.number'] != ''"""
            assert client.rows(Sql.verbatim(sql)) == [(99_999, 99_999, 99_999, 100, 0, 0, 1, 0)]
