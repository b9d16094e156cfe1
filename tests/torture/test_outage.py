"""Target 6: the Logboek is away, for a week of simulated time and for some time of ours, and gets everything once.

The week is that of the clock that delivery waits by: every retry of seven days is made, without the pauses.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from pathlib import Path
from typing import Final

import pytest

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.durable import DurableDelivery
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel._internal.record.logregel import encode_logregel
from ldv_otel.errors import LogboekUnavailable
from ldv_otel.testing import ManualClock
from tests.support import faults
from tests.support.logboek import LogboekProcess, settings_at
from tests.torture.rig import Oracle, record, size, span_ids, wait_until

_DAY_SECONDS = 24 * 3_600
_DAYS = 7
_LONGEST_PAUSE_SECONDS = 30
_TOGETHER = 500
_GROWTH_BYTES = 50_000_000


class DayClock(ManualClock):
    """A clock that runs as fast as it is waited for, up to the end of a day."""

    end_seconds = 0.0

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let the time pass; at the end of the day really wait."""
        while self.monotonic() + seconds > self.end_seconds:
            if event.wait(0.001):
                return True
        return super().wait(event, seconds)


class Away:
    """A `Sink` before the real one, which is away until a moment of the clock; it minds order and memory."""

    traits: Final = SinkTraits()

    def __init__(self, real: ClickHouseSink, clock: ManualClock) -> None:
        self._real = real
        self._clock = clock
        self.until_seconds = 0.0
        self.attempts: list[float] = []
        self.most_bytes = 0
        self._last: dict[str, int] = {}

    def open(self) -> None:
        """Open the real one, unless it is away."""
        self._answer()
        self._real.open()

    def send(self, batch: Batch) -> None:
        """Send, unless it is away; each writer's records come in order."""
        self._answer()
        assert batch.seqs[0] > self._last.get(batch.writer_id, -1)
        assert list(batch.seqs) == sorted(batch.seqs)
        self._last[batch.writer_id] = batch.seqs[-1]
        self._real.send(batch)
        self.most_bytes = max(self.most_bytes, resident_bytes())

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Ask the real one, unless it is away."""
        self._answer()
        return self._real.read_back(batch)

    def close(self) -> None:
        """Close the real one."""
        self._real.close()

    def _answer(self) -> None:
        now = self._clock.monotonic()
        if now < self.until_seconds:
            self.attempts.append(now)
            raise LogboekUnavailable("away")


def resident_bytes() -> int:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_week_without_a_logboek(process: LogboekProcess, tmp_path: Path) -> None:
    """It goes in the middle, the service is restarted daily meanwhile, and nothing expires, by age or by attempts."""
    logging.getLogger("ldv_otel").setLevel(logging.ERROR)  # 30,000 attempts, each of which is said
    settings = settings_at(process.port, "week")
    apply_schema(settings)
    clock = DayClock()
    sink = Away(ClickHouseSink(settings), clock)
    numbers = itertools.count()
    a_day = size(20_000, 1_000_000) // _DAYS

    def log(delivery: DurableDelivery, count: int) -> None:
        for start in range(0, count, _TOGETHER):
            some = min(_TOGETHER, count - start)
            delivery.submit_encoded([encode_logregel(record(next(numbers))) for _ in range(some)])

    try:
        for day in range(_DAYS):
            delivery = DurableDelivery(sink, tmp_path / "spools", clock=clock)
            if day == 0:
                log(delivery, 1_000)
                assert delivery.flush(60)
            sink.until_seconds = _DAYS * _DAY_SECONDS
            log(delivery, a_day)
            clock.end_seconds = (day + 1) * _DAY_SECONDS
            wait_until(lambda: clock.monotonic() > clock.end_seconds - _LONGEST_PAUSE_SECONDS)
            assert delivery.confirmed == (1_000 if day == 0 else 0)
            assert not delivery.flush(0)
            assert not delivery.shutdown(0)
        before = resident_bytes()
        clock.end_seconds = float("inf")
        delivery = DurableDelivery(sink, tmp_path / "spools", clock=clock)
        delivery.start_draining()
        wait_until(lambda: len(list((tmp_path / "spools").iterdir())) == 1, 600)
        assert delivery.shutdown(60)
    finally:
        logging.getLogger("ldv_otel").setLevel(logging.NOTSET)
    gaps = [after - earlier for earlier, after in itertools.pairwise(sink.attempts)]
    growth = max(sink.most_bytes - before, 0)
    print(f"{next(numbers)} records, {len(sink.attempts)} attempts, {growth / 1e6:.0f} MB more memory")
    # Of two that follow one another, the first may be the last of a day's process.
    assert max(gaps) <= 2 * _LONGEST_PAUSE_SECONDS
    assert len(sink.attempts) < _DAYS * _DAY_SECONDS / (_LONGEST_PAUSE_SECONDS / 2) + 50 * _DAYS
    assert growth < _GROWTH_BYTES
    with LogboekClient(settings) as client:
        seen = "reinterpretAsUInt64(reverse(toString(span_id)))"
        rows = client.rows(
            Sql.verbatim(
                f"SELECT count(), uniqExact(span_id), min({seen}), max({seen}), countIf(name != lower(hex(span_id))) "
                "FROM logregel"
            )
        )
    count = 1_000 + a_day * _DAYS
    assert rows == [(count, count, 1, count, 0)]


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_an_outage_in_our_time(process: LogboekProcess, tmp_path: Path) -> None:
    """While it is away the service logs on; when it is back there is one request at a time, and everything is there."""
    settings = settings_at(process.port, "outage")
    apply_schema(settings)
    oracle = Oracle()
    flying, most = 0, 0

    async def counted(exchange: faults.Exchange) -> None:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        try:
            await faults.pass_on()(exchange)
        finally:
            flying -= 1

    with faults.FaultFront(process.port) as front:
        front.add(counted)
        delivery = DurableDelivery(ClickHouseSink(settings_at(front.port, "outage")), tmp_path / "spools")
        stop = threading.Event()

        def log(thread: int) -> None:
            for number in itertools.count(thread, 4):
                if stop.wait(0.02):
                    return
                logregel = record(number)
                oracle.note(f"i {logregel.name}")
                delivery.submit(logregel)
                oracle.note(f"a {logregel.name}")

        threads = [threading.Thread(target=log, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: delivery.confirmed)
        process.stop()
        # How long the outage is, in seconds: what is tested holds for any length.
        time.sleep(size(2, 1_800))
        assert delivery.pending
        process.start()
        confirmed = delivery.confirmed
        wait_until(lambda: delivery.confirmed > confirmed)
        stop.set()
        for thread in threads:
            thread.join()
        assert delivery.shutdown(120)
    verdict = oracle.verdict(span_ids(settings, "logregel"))
    print(f"{len(oracle.acknowledged)} acknowledged: {verdict}; at most {most} request at a time")
    assert verdict.clean, verdict
    assert most == 1
