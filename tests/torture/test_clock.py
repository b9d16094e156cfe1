"""Target 11: the wall clock jumps by years, goes back, repeats seconds and stands still while a service logs.

It is the clock that OpenTelemetry, this package and Python's `time` read; times of files stay those of the kernel.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from pathlib import Path

import opentelemetry.sdk.trace
import pytest

import ldv_otel as ldv
from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.delivery.clock import SystemClock
from ldv_otel._internal.delivery.durable import DurableDelivery
from tests.support import faults
from tests.support.chance import dice
from tests.support.logboek import LogboekProcess, settings_at
from tests.torture.rig import Oracle, log_through, size, span_ids, wait_until

ACTIVITY = "https://register.example/activiteiten/marteling"
_THREADS = 8
_HOUR_NS = 3_600 * 1_000_000_000
_TEN_YEARS_NS = 10 * 8_766 * _HOUR_NS
#: From before 1970, which a record cannot say, to beyond what 64 bits of nanoseconds can.
_EARLIEST_NS, _LATEST_NS = -5 * _TEN_YEARS_NS, 35 * _TEN_YEARS_NS
_LONGEST_PAUSE_SECONDS = 30.0


class UnsteadyClock(SystemClock):
    """Goes wrong at any reading; monotonic time does not. It keeps how long delivery waited before each retry."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._now_ns = 1_750_000_000_000_000_000
        self._frozen = 0
        self._changing = threading.Lock()
        self.pauses: list[float] = []

    def time_ns(self) -> int:
        """Return ns since 1970-01-01 UTC, as this clock has it."""
        with self._changing:
            if self._frozen:
                self._frozen -= 1
                return self._now_ns
            what = self._chance.random()
            if what < 0.03:
                step = self._chance.choice((-_TEN_YEARS_NS, _TEN_YEARS_NS))
            elif what < 0.08:
                step = self._chance.choice((-_HOUR_NS, _HOUR_NS))
            elif what < 0.2:
                step = -1_000_000_000
            else:
                step = self._chance.randrange(10_000_000)
                self._frozen = 50 * (what < 0.22)
            self._now_ns = min(max(self._now_ns + step, _EARLIEST_NS), _LATEST_NS)
            return self._now_ns

    def time_ms(self) -> int:
        """Return ms since 1970-01-01 UTC, as this clock has it."""
        return self.time_ns() // 1_000_000

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait, and note for how long."""
        self.pauses.append(seconds)
        return super().wait(event, seconds)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_whatever_the_clock_says_each_record_is_there_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In each thread's order, with an end that is not before its start; retries keep their pace."""
    clock = UnsteadyClock(dice("clock"))
    monkeypatch.setattr(opentelemetry.sdk.trace, "time_ns", clock.time_ns)
    monkeypatch.setattr(time, "time_ns", clock.time_ns)
    monkeypatch.setattr(time, "time", lambda: clock.time_ns() / 1e9)
    each = size(3_000, 100_000) // _THREADS
    oracle = Oracle()
    with LogboekProcess(tmp_path / "logboek") as process, faults.FaultFront(process.port) as front:
        direct = settings_at(process.port)
        behind = settings_at(front.port)
        apply_schema(direct)
        # What takes effect and says that it did not is read back by the hours its records are in.
        front.add(faults.refuse(), when=faults.is_insert, times=2)
        front.add(faults.cut_after(), when=faults.is_insert, times=2)
        # One that is gone left the first half: it is adopted by a clock that is years away.
        for half in (0, 1):
            delivery = DurableDelivery(ClickHouseSink(behind), tmp_path / "spools", clock=clock)
            processor = log_through(delivery)

            def log(thread: int, half: int = half) -> None:
                for number in range(half * each // 2, (half + 1) * each // 2):
                    with ldv.processing(ACTIVITY, name=f"{thread}/{number:08}") as actie:
                        actie.set_attribute("dpl.told", actie.span_id)
                    oracle.note(f"a {actie.span_id}")

            threads = [threading.Thread(target=log, args=(thread,)) for thread in range(_THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert delivery.stats().lost == 0
            if half == 0:
                assert delivery.pending
                processor.flush_seconds = 0
                processor.shutdown()
        assert delivery.flush(600)
        wait_until(lambda: len(list((tmp_path / "spools").iterdir())) == 1)
        processor.shutdown()
        verdict = oracle.verdict(span_ids(direct, "logregel"))
        with LogboekClient(direct) as client:
            years, wrong, marked = client.rows(
                Sql(
                    "SELECT uniqExact(toYear(start_time)), countIf(end_time < start_time), "
                    "countIf(has(flags, 'end_before_start')) FROM logregels"
                )
            )[0]
            order = client.rows(Sql("SELECT name FROM logregel ORDER BY splitByChar('/', name)[1], writer_id, seq"))
            writers = client.rows(Sql("SELECT count(), max(seq) + 1 FROM logregel GROUP BY writer_id"))
    print(f"{len(oracle.acknowledged)} records in {years} years, {marked} ended before they began: {verdict}")
    assert verdict.clean, verdict
    assert wrong == 0
    assert marked
    assert years > 1
    assert all(count == places for count, places in writers)
    runs = [str(name) for (name,) in order]
    assert sum(after < before for before, after in itertools.pairwise(runs)) <= _THREADS
    assert clock.pauses
    assert max(clock.pauses) <= _LONGEST_PAUSE_SECONDS
