"""Target 8: what the deduplication window forgets, and what a reader sees all the same; against a set as the model."""

from __future__ import annotations

import itertools
from typing import Final, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.schema.migrations import apply_schema
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.delivery.retry import Stopped
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel.errors import LogboekUnavailable
from tests.support.chance import SEED
from tests.support.logboek import LogboekProcess, settings_at
from tests.support.sending import deliver_whole
from tests.torture.rig import record, size

Fault = Literal["answer lost", "never arrived", "token without rows"]
WINDOW = 4
_YEAR_MS = 366 * 24 * 3_600_000
_numbers = itertools.count()


class FaultySink:
    """A `Sink` before the real one, in which the coming sends go wrong.

    A "token without rows" is what a Logboek has that was killed between noting a token and putting the rows in place:
    it says that it has the batch, and has not.
    """

    traits: Final = SinkTraits()

    def __init__(self, real: ClickHouseSink) -> None:
        self._real = real
        self.faults: list[Fault] = []
        self._swallowed: set[str] = set()

    def open(self) -> None:
        """Open the real one."""
        self._real.open()

    def send(self, batch: Batch) -> None:
        """Send, unless it is to go wrong."""
        if batch.token in self._swallowed:
            return
        fault = self.faults.pop(0) if self.faults else None
        if fault == "token without rows":
            self._swallowed.add(batch.token)
        elif fault != "never arrived":
            self._real.send(batch)
        if fault is not None:
            raise LogboekUnavailable(fault)

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Ask the real one."""
        return self._real.read_back(batch)

    def close(self) -> None:
        """Close the real one."""
        self._real.close()


class Deduplication(RuleBasedStateMachine):
    """Batches of several writers, sent, retried, adopted, while others fill the window."""

    store: Settings
    sink: ClickHouseSink
    client: LogboekClient

    sent = Bundle("sent")
    given_up = Bundle("given_up")

    def __init__(self) -> None:
        super().__init__()
        self.faulty = FaultySink(self.sink)
        self.writers = [new_writer_id() for _ in range(2)]
        self.next_seq = dict.fromkeys(self.writers, 0)
        self.acknowledged: set[tuple[str, int]] = set()
        self.issued: set[tuple[str, int]] = set()

    def batch(self, writer: int, rows: int, *, years: int) -> Batch:
        """The next batch of a writer, whose rows are in so many partitions."""
        writer_id = self.writers[writer]
        first = self.next_seq[writer_id]
        self.next_seq[writer_id] += rows
        records = [
            msgspec.structs.replace(
                found, start_time_ms=found.start_time_ms + later, end_time_ms=found.end_time_ms + later
            )
            for found, later in ((record(next(_numbers)), place % years * _YEAR_MS) for place in range(rows))
        ]
        batch = number_batch(writer_id, first, records)
        self.issued |= places(batch)
        return batch

    @rule(
        target=sent,
        writer=st.integers(0, 1),
        rows=st.integers(1, 6),
        years=st.integers(1, 3),
        faults=st.lists(st.sampled_from(["answer lost", "never arrived", "token without rows"]), max_size=3),
    )
    def send(self, writer: int, rows: int, years: int, faults: list[Fault]) -> Batch:
        """Send until it is confirmed."""
        batch = self.batch(writer, rows, years=years)
        self.faulty.faults = list(faults)
        deliver_whole(batch, self.faulty, wait=lambda _: False)
        self.acknowledged |= places(batch)
        return batch

    @rule(
        target=given_up,
        writer=st.integers(0, 1),
        rows=st.integers(1, 6),
        years=st.integers(1, 3),
        fault=st.sampled_from(["answer lost", "never arrived", "token without rows"]),
    )
    def die(self, writer: int, rows: int, years: int, fault: Fault) -> Batch:
        """Send, and die before there is an answer; the batch is in the spool, and so it is promised."""
        batch = self.batch(writer, rows, years=years)
        self.faulty.faults = [fault]
        with pytest.raises(Stopped):
            deliver_whole(batch, self.faulty, wait=lambda _: True)
        return batch

    @rule(target=sent, batch=consumes(given_up))
    def adopt(self, batch: Batch) -> Batch:
        """Another process sends it again, exactly as it was."""
        deliver_whole(batch, self.faulty, wait=lambda _: False, in_doubt=True)
        self.acknowledged |= places(batch)
        return batch

    @rule(batch=sent)
    def confirm_lost(self, batch: Batch) -> None:
        """A confirmation that was not noted: a confirmed batch is adopted once more, however late."""
        deliver_whole(batch, self.faulty, wait=lambda _: False, in_doubt=True)

    @rule(target=sent, count=st.integers(1, WINDOW + 2))
    def others_fill_the_window(self, count: int) -> object:
        """Inserts of another writer push our tokens out."""
        batches = [self.batch(1, 1, years=1) for _ in range(count)]
        for batch in batches:
            self.sink.send(batch)
            self.acknowledged |= places(batch)
        return multiple(*batches)

    @invariant()
    def every_acknowledged_row_is_seen_once(self) -> None:
        """Nothing is lost, nothing doubled, nothing made up, for who reads the view."""
        rows = self.client.rows(
            Sql("SELECT writer_id, seq FROM logregels WHERE writer_id IN {writers:Array(String)}"),
            {"writers": self.writers},
        )
        seen = [(str(writer_id), int(seq)) for writer_id, seq in rows]
        assert len(seen) == len(set(seen))
        assert self.acknowledged <= set(seen) <= self.issued


def places(batch: Batch) -> set[tuple[str, int]]:
    """Which records a batch holds."""
    return {(batch.writer_id, seq) for seq in batch.seqs}


@pytest.mark.slow
@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("window", [WINDOW, 1_000, 0])
def test_no_sequence_of_sends_loses_or_doubles(process: LogboekProcess, window: int) -> None:
    """Whatever is sent, retried, adopted late or forgotten by the window: a reader sees each record once."""
    store = settings_at(process.port, f"window_{window}")
    apply_schema(store)
    with LogboekClient(store) as client:
        sink = ClickHouseSink(store)
        sink.open()  # before the change: a window of 0 is refused at the start
        client.command(
            Sql.verbatim(f"ALTER TABLE logregel MODIFY SETTING non_replicated_deduplication_window = {window}")
        )
        machine = type("Machine", (Deduplication,), {"store": store, "sink": sink, "client": client})
        run_state_machine_as_test(
            seed(SEED)(machine),
            settings=settings(
                max_examples=size(15, 3_400),
                stateful_step_count=10,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        twice = client.rows(Sql("SELECT count() - uniqExact(writer_id, seq), count() FROM logregel"))[0]
        sink.close()
    print(f"window {window}: {twice[0]} of {twice[1]} rows are stored twice and hidden")
