from __future__ import annotations

import logging
import threading
from pathlib import Path
from unittest import mock

import pytest

from ldv_otel._internal.config.address import LogboekAddress
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.losses import LossWriter, read_losses
from ldv_otel._internal.delivery.memory import MemoryDelivery
from ldv_otel._internal.delivery.paths import losses_directory
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import BatchRefused, ConfigurationError, LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek, ManualClock


def record(number: int) -> Logregel:
    """A record with a number."""
    return Logregel(
        trace_id=bytes(8) + number.to_bytes(8, "big"),
        span_id=b"12345678",
        name=str(number),
        start_time_ms=1,
        end_time_ms=1,
    )


class Gate(InMemoryLogboek):
    """A store that answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.may = threading.Event()

    def open(self) -> None:
        """Wait to be let."""
        self.asked.set()
        assert self.may.wait(20)
        super().open()


def test_what_is_queued_arrives_in_order() -> None:
    """Places in the sequence are the order of submission."""
    sink = InMemoryLogboek()
    delivery = MemoryDelivery(sink, queue_records=100_000)
    for number in range(12_000):
        delivery.submit(record(number))
    assert delivery.flush(20)
    assert [int(found.name) for found in sink.logregels] == list(range(12_000))
    assert (delivery.confirmed, delivery.pending, delivery.lost) == (12_000, 0, 0)
    assert delivery.shutdown(5)


def test_many_threads_lose_nothing() -> None:
    """Every record of every thread is there, once."""
    sink = InMemoryLogboek()
    delivery = MemoryDelivery(sink, queue_records=100_000)

    def work(start: int) -> None:
        for number in range(start, start + 1_000):
            delivery.submit(record(number))

    threads = [threading.Thread(target=work, args=(start * 1_000,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert delivery.shutdown(20)
    assert sorted(int(found.name) for found in sink.logregels) == list(range(8_000))


def test_a_full_queue_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """What does not fit is lost, and every way of asking says so."""
    sink = Gate()
    told: list[tuple[int, str]] = []
    delivery = MemoryDelivery(sink, queue_records=10, on_loss=lambda _, lost, reason: told.append((lost, reason)))
    with caplog.at_level(logging.ERROR):
        for number in range(15):
            delivery.submit(record(number))
    assert delivery.lost == 5
    assert "queue of 10 was full" in caplog.text
    assert [lost for lost, _ in told] == [1, 2, 4]
    sink.may.set()
    assert not delivery.flush(20)
    assert delivery.confirmed == 10
    assert not delivery.shutdown(5)


def test_a_store_that_is_away_is_waited_for() -> None:
    """Opening and sending are tried again; nothing is lost meanwhile."""
    sink = InMemoryLogboek()
    sink.failures.extend([LogboekUnavailable("away"), LogboekUnavailable("away")])
    delivery = MemoryDelivery(sink, queue_records=10)
    delivery.submit(record(1))
    assert delivery.flush(20)
    assert len(sink.logregels) == 1
    delivery.shutdown(5)


def test_flush_keeps_its_deadline_and_tells_the_truth() -> None:
    """False while something is pending, in the time allowed."""
    sink = Gate()
    delivery = MemoryDelivery(sink, queue_records=10)
    delivery.submit(record(1))
    assert not delivery.flush(0.05)
    sink.may.set()
    assert delivery.flush(20)
    assert delivery.shutdown(5)


def test_what_the_end_of_the_process_leaves_is_reported(tmp_path: Path) -> None:
    """A Logboek that never came back: the loss is written where `ldv status` finds it."""
    settings = Settings(logboek=LogboekAddress(scheme="chdb", path="/x"), state=tmp_path)
    sink = InMemoryLogboek()
    sink.failures.extend(LogboekUnavailable("away") for _ in range(1_000))
    delivery = MemoryDelivery(sink, queue_records=10, on_loss=LossWriter(settings, ManualClock(time_ms=5_000)))
    for number in range(3):
        delivery.submit(record(number))
    assert not delivery.shutdown(0.3)
    (report,) = read_losses(losses_directory(settings))
    assert (report.lost, report.writer_id, report.reported_ms) == (3, delivery.writer_id, 5_000)
    assert report.logboek == "chdb:///x"


def test_a_refused_batch_does_not_stop_the_next() -> None:
    """It is counted as lost, and delivery goes on."""
    sink = InMemoryLogboek()
    sink.failures.append(BatchRefused("never", code=27))
    delivery = MemoryDelivery(sink, queue_records=10)
    delivery.submit(record(1))
    assert not delivery.flush(20)
    delivery.submit(record(2))
    assert not delivery.flush(20)
    assert [found.name for found in sink.logregels] == ["2"]
    assert delivery.lost == 1
    delivery.shutdown(5)


def test_rights_that_were_taken_away_may_come_back() -> None:
    """What an administrator can put right while the service runs costs no record."""
    sink = InMemoryLogboek()
    sink.failures.append(ConfigurationError("rights were taken away"))
    delivery = MemoryDelivery(sink, queue_records=10)
    delivery.submit(record(1))
    assert delivery.flush(20)
    assert delivery.shutdown(5)


def test_after_shutdown_records_are_counted_as_lost() -> None:
    """Late spans of a stopping process are not passed over."""
    delivery = MemoryDelivery(InMemoryLogboek(), queue_records=10)
    assert delivery.shutdown(5)
    delivery.submit(record(1))
    assert delivery.lost == 1
    assert not delivery.flush(1)


def test_no_thread_can_be_had(caplog: pytest.LogCaptureFixture) -> None:
    """Records wait in memory, which is said; whoever flushes does not wait in vain; the next record tries again."""
    sink = InMemoryLogboek()
    delivery = MemoryDelivery(sink, queue_records=10)
    with mock.patch.object(threading.Thread, "start", side_effect=RuntimeError("can't start new thread")):
        delivery.submit(record(0))
        assert delivery.flush(60) is False
    assert "No thread can be started" in caplog.text
    delivery.submit(record(1))
    assert delivery.flush(60)
    assert len(sink.logregels) == 2
    delivery.shutdown(10)
