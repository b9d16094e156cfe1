"""Whatever happens to batches on their way, a check of the Logboek finds them sealed and whole."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ldv_otel._internal.clickhouse.client import LogboekClient
from ldv_otel._internal.clickhouse.sink import ClickHouseSink
from ldv_otel._internal.clickhouse.sql_text import Sql
from ldv_otel._internal.clickhouse.verification.verify import verify
from ldv_otel._internal.config.settings import Settings
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.delivery.retry import RetryPolicy, deliver
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import BatchRefused, LogboekUnavailable, NotProven
from tests.clickhouse.conftest import sealed_store
from tests.strategies import logregels
from tests.support.chance import examples

POLICY: Final = RetryPolicy(first_pause_seconds=0.0, longest_pause_seconds=0.0)


class Event(Enum):
    """What happens to one attempt to send a batch."""

    STORED = auto()
    REFUSED = auto()  # its first record is one that the Logboek will never take
    LOST_BEFORE = auto()
    LOST_AFTER = auto()
    NOT_PROVEN = auto()
    IN_PART = auto()  # as on a cluster, whose shards store their rows by themselves
    KILLED_BEFORE = auto()
    KILLED_AFTER = auto()


class Killed(Exception):
    """The process died here."""


class FaultySink:
    """The real sink of one process after another, with a fault in front of each attempt."""

    traits = SinkTraits()

    def __init__(self, settings: Settings, events: list[Event]) -> None:
        self._settings = settings
        self._events = iter(events)
        self._sink = ClickHouseSink(settings)
        self.refused: set[bytes] = set()

    def open(self) -> None:
        """Open the sink of this process."""
        self._sink.open()

    def restart(self) -> None:
        """Go on as another process: with a sealer of its own, which knows nothing of what the first one sent."""
        self._sink.close()
        self._sink = ClickHouseSink(self._settings)

    def send(self, batch: Batch) -> None:
        """Send a batch, or not."""
        event = next(self._events, Event.STORED)
        if any(record.span_id in self.refused for record in batch.logregels) or event is Event.REFUSED:
            self.refused.add(batch.logregels[0].span_id)
            # The real sink makes its manifest before it hears of the refusal.
            self._sink._sealer.columns_of(batch)
            raise BatchRefused("refused by the test")
        if event in (Event.LOST_BEFORE, Event.KILLED_BEFORE):
            self._sink._sealer.columns_of(batch)
            self._sink._sealer.doubted(batch)
        elif event is Event.IN_PART:
            self._store_a_part(batch)
        else:
            self._sink.send(batch)
        if event in (Event.KILLED_BEFORE, Event.KILLED_AFTER):
            raise Killed
        if event is Event.NOT_PROVEN:
            self._sink._sealer.doubted(batch)
            raise NotProven("not proven")
        if event in (Event.LOST_BEFORE, Event.LOST_AFTER, Event.IN_PART):
            self._sink._sealer.doubted(batch)
            raise LogboekUnavailable("no answer", in_doubt=True)

    def _store_a_part(self, batch: Batch) -> None:
        columns = self._sink._sealer.columns_of(batch)
        del columns
        half = Batch(
            writer_id=batch.writer_id, seqs=batch.seqs[1::2], logregels=batch.logregels[1::2], token=f"{batch.token}-"
        ) if len(batch.seqs) > 1 else None  # fmt: skip
        if half is not None:
            unsealed = ClickHouseSink(msgspec.structs.replace(self._settings, seal=False))
            unsealed.open()
            unsealed.send(half)
            unsealed.close()

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Ask the real one."""
        return self._sink.read_back(batch)

    def close(self) -> None:
        """Close the real one."""
        self._sink.close()


@pytest.fixture(scope="module")
def sealed_settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A Logboek for all histories of this module; each has writers of its own."""
    with sealed_store("chdb", request, tmp_path_factory.mktemp("seal") / "seal.key") as settings:
        yield settings


def run_history(settings: Settings, batches: list[list[Logregel]], events: list[Event]) -> int:
    """Deliver batches of one writer with these events; return how many records the Logboek has then."""
    sink = FaultySink(settings, events)
    sink.open()
    writer, first, stored = new_writer_id(), 0, 0
    for records in batches:
        batch: Batch | None = number_batch(writer, first, records)
        first += len(records)
        in_doubt = False
        while batch is not None:
            try:
                for outcome in deliver(batch, sink, wait=lambda _: False, policy=POLICY, in_doubt=in_doubt):
                    stored += 0 if outcome.refused else len(outcome.batch.seqs)
                    last = outcome.batch.seqs[-1]
                    rest = [index for index, seq in enumerate(batch.seqs) if seq > last]
                    batch = batch._part(rest) if rest else None
                    if batch is None:
                        break
            except Killed:
                sink.restart()
                sink.open()
                in_doubt = True
    sink.close()
    return stored


histories = st.tuples(
    st.lists(st.lists(logregels(), min_size=1, max_size=6, unique_by=lambda record: record.span_id), max_size=4),
    st.lists(st.sampled_from(Event), max_size=12),
)


@hypothesis_settings(
    max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories)
def test_a_lawful_history_raises_no_alarm(
    sealed_settings: Settings, history: tuple[list[list[Logregel]], list[Event]]
) -> None:
    """Retries, answers that say nothing, kills before and after an insert, refusals, and repairs."""
    logging.disable(logging.ERROR)
    try:
        run_history(sealed_settings, *history)
    finally:
        logging.disable(logging.NOTSET)
    with LogboekClient(sealed_settings) as client:
        found = verify(client)
        assert [each.sentence for each in found.findings] == []
        distinct = client.rows(Sql("SELECT uniqExact(writer_id, seq) FROM logregel"))[0][0]
        assert found.records >= distinct
