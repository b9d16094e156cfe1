"""Delivery to a Logboek that misbehaves: the real driver, the real engine, a front that breaks things in between."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.http.retry_after import retry_after_seconds
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import LogboekUnavailable
from tests.support import faults
from tests.support.logboek import SECRET, LogboekProcess
from tests.support.sending import deliver_whole

_databases = itertools.count()

FAULTS = {
    "refused": faults.refuse(503),
    "cut before": faults.cut_before(),
    "cut after": faults.cut_after(),
    "200 with an exception header": faults.exception_header(209),
    "late exception": faults.late_exception(241),
}
"""Whether the insert took effect differs; what delivery has to do does not."""


@pytest.fixture
def front(logboek_process: LogboekProcess) -> Iterator[faults.FaultFront]:
    """A front before the served Logboek."""
    with faults.FaultFront(logboek_process.port) as found:
        yield found


@pytest.fixture
def behind(front: faults.FaultFront) -> Iterator[ClickHouseSink]:
    """A sink that goes through the front, and tables of its own."""
    address = LogboekAddress(
        scheme="clickhouse+http", host="127.0.0.1", port=front.port, database=f"faulty_{next(_databases)}"
    )
    settings = Settings(logboek=address, password=SECRET)
    apply_schema(settings)
    sink = ClickHouseSink(settings)
    sink.open()
    yield sink
    sink.close()


def a_batch() -> Batch:
    """Some records."""
    noon = 1_750_000_000_000
    records = [
        Logregel(trace_id=b"t" * 16, span_id=bytes([n]) * 8, name="x", start_time_ms=noon + n, end_time_ms=noon + n)
        for n in range(1, 50)
    ]
    return number_batch(new_writer_id(), 0, records)


def count(sink: ClickHouseSink) -> tuple[int, int]:
    """Rows, and different places in the sequence."""
    client: LogboekClient = sink._connected()
    rows = client.rows(Sql("SELECT count(), uniqExact(writer_id, seq) FROM logregel"))
    return int(rows[0][0]), int(rows[0][1])


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_no_fault_is_taken_for_a_confirmation(
    front: faults.FaultFront, behind: ClickHouseSink, fault: faults.Action
) -> None:
    """Success is status 200, no exception header, and no exception in the body; and the driver does not try again."""
    front.add(fault, when=faults.is_insert, times=1)
    with pytest.raises(LogboekUnavailable) as caught:
        behind.send(a_batch())
    assert caught.value.in_doubt


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_after_any_fault_everything_is_there_once(
    front: faults.FaultFront, behind: ClickHouseSink, fault: faults.Action, times: int
) -> None:
    """Nothing lost, nothing doubled."""
    front.add(fault, when=faults.is_insert, times=times)
    deliver_whole(a_batch(), behind, wait=lambda _: False)
    assert count(behind) == (49, 49)


@pytest.mark.parametrize("fault", [*FAULTS, "gone"])
def test_an_attempt_that_fails_is_one_line(
    front: faults.FaultFront, behind: ClickHouseSink, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of all loggers together, those of the driver and of its HTTP library too: a long outage must not fill a disk."""
    pauses = 0
    if fault == "gone":
        front.close_listener()
    else:
        front.add(FAULTS[fault], when=faults.is_insert, times=3)

    def wait(_seconds: float) -> bool:
        nonlocal pauses
        pauses += 1
        if fault == "gone" and pauses == 3:
            front.open_listener()
        return False

    deliver_whole(a_batch(), behind, wait=wait)
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == pauses >= 1
    assert {record.name.partition(".")[0] for record in lines} == {"ldv_otel"}
    assert count(behind) == (49, 49)


def test_a_server_that_is_gone_is_not_in_doubt(front: faults.FaultFront, behind: ClickHouseSink) -> None:
    """Where no connection came about, nothing can have been stored."""
    front.close_listener()
    behind.close()
    with pytest.raises(LogboekUnavailable) as caught:
        behind.open()
    assert not caught.value.in_doubt
    front.open_listener()
    behind.open()


def test_a_server_that_is_killed_and_restarted(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A batch that was under way when it died is stored once."""
    path = tmp_path_factory.mktemp("killed") / "logboek"
    with LogboekProcess(path) as process:
        address = LogboekAddress(scheme="clickhouse+http", host="127.0.0.1", port=process.port)
        apply_schema(Settings(logboek=address))
        sink = ClickHouseSink(Settings(logboek=address))
        sink.open()
        deliver_whole(a_batch(), sink, wait=lambda _: False)
        process.kill()

        def restart(_: float) -> bool:
            if not process.pid:
                process.start()
            return False

        deliver_whole(a_batch(), sink, wait=restart)
        assert count(sink) == (98, 98)
        sink.close()


def test_an_answer_that_failed_does_not_leak_into_the_next(client: LogboekClient) -> None:
    """The embedded engine's handle keeps the rest of a failed answer; a fresh one is taken."""
    for _ in range(3):
        with pytest.raises(Exception, match=r"cannot be reached|answered"):
            client.rows(
                Sql("SELECT number, throwIf(number = 100000) FROM numbers(200000) SETTINGS max_block_size = 1000")
            )
        assert client.rows(Sql("SELECT 1")) == [(1,)]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("date", [False, True])
def test_a_wish_to_be_left_alone_is_granted(
    front: faults.FaultFront, behind: ClickHouseSink, status: int, *, date: bool
) -> None:
    """A server or a proxy before it says for how long, in seconds or as a date; then the batch goes, once."""
    wish = formatdate(time.time() + 40, usegmt=True) if date else "40"
    front.add(faults.refuse(status, retry_after=wish), when=faults.is_insert, times=1)
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    deliver_whole(a_batch(), behind, wait=wait)
    (pause,) = pauses
    assert 30 <= pause <= 50
    assert count(behind) == (49, 49)


@pytest.mark.parametrize(
    "value", ["", "soon", "-3", "1e9", "\u0665", "Mon, 32 Foo 2026", "Sun, 06 Nov 1994 08:49:37 GMT"]
)
def test_a_wish_that_makes_no_sense_is_none(value: str) -> None:
    """Or one for a time that is past."""
    assert retry_after_seconds(value) == 0


def test_the_drainer_leaves_the_logboek_alone_so_long(
    front: faults.FaultFront, behind: ClickHouseSink, tmp_path: Path
) -> None:
    """No request comes before that time, and then the batch, which is counted as tried again."""
    front.add(faults.refuse(503, retry_after="2"), when=faults.is_insert, times=1)
    before = front.counts["INSERT"]
    delivery = DurableDelivery(ClickHouseSink(behind._settings), tmp_path)
    delivery.submit_encoded(a_batch().payloads)
    while front.counts["INSERT"] == before:
        time.sleep(0.01)
    refused = time.monotonic()
    while front.counts["INSERT"] == before + 1:
        time.sleep(0.01)
    # A little less than 2: the drainer may have seen the refusal before we saw the request.
    assert time.monotonic() - refused > 1.5
    assert delivery.flush(20)
    assert delivery.stats().retried == 1
    assert delivery.shutdown(5)
    assert count(behind) == (49, 49)
