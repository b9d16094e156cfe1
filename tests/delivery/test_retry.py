from __future__ import annotations

import pytest

from ldv_otel._internal.delivery.batch import Batch, number_batch
from ldv_otel._internal.delivery.retry import Stopped, deliver
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import BatchRefused, LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek


def a_batch(count: int = 3) -> Batch:
    """Some records."""
    records = [
        Logregel(trace_id=bytes(15) + b"1", span_id=bytes([number]) * 8, name="x", start_time_ms=1, end_time_ms=2)
        for number in range(1, count + 1)
    ]
    return number_batch("w", 0, records)


class Forgetful(InMemoryLogboek):
    """A store that says it has a batch it does not have: what a server killed at the wrong moment does."""

    def __init__(self, *, forgets: int) -> None:
        super().__init__()
        self.forgets = forgets
        self.sent: list[Batch] = []

    def send(self, batch: Batch) -> None:
        """Answer, then forget, then store."""
        self.sent.append(batch)
        if self.failures:
            raise self.failures.pop(0)
        if self.forgets:
            self.forgets -= 1
            return
        super().send(batch)


def opened(sink: InMemoryLogboek) -> InMemoryLogboek:
    """Opened, as delivery does."""
    sink.open()
    return sink


def test_a_clean_success_is_believed() -> None:
    """One send, no read-back."""
    sink = Forgetful(forgets=1)
    opened(sink)
    deliver(a_batch(), sink, wait=lambda _: False)
    assert len(sink.sent) == 1


def test_a_doubtful_answer_is_read_back_and_repaired() -> None:
    """After a failed first attempt the OK of a retry proves nothing: what is missing goes again, under a new token."""
    sink = Forgetful(forgets=1)
    opened(sink)
    sink.failures.append(LogboekUnavailable("cut", in_doubt=True))
    deliver(a_batch(), sink, wait=lambda _: False)
    assert len(sink.logregels) == 3
    first, retry, repair = sink.sent
    assert first.token == retry.token != repair.token


def test_it_never_gives_up_by_count() -> None:
    """And the pauses grow, up to a limit."""
    sink = opened(InMemoryLogboek())
    sink.failures.extend(LogboekUnavailable("away", in_doubt=False) for _ in range(500))
    pauses: list[float] = []

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    deliver(a_batch(), sink, wait=wait)
    assert len(sink.logregels) == 3
    assert len(pauses) == 500
    assert pauses[0] <= 0.1
    assert max(pauses) <= 30.0


def test_what_may_have_been_sent_is_read_back_before_it_is_sent() -> None:
    """Only what is missing goes, and is read back again."""
    sink = Forgetful(forgets=0)
    opened(sink)
    batch = a_batch()
    sink.send(Batch(writer_id="w", seqs=batch.seqs[:2], logregels=batch.logregels[:2]))
    deliver(batch, sink, wait=lambda _: False, in_doubt=True)
    assert [one.seqs for one in sink.sent] == [(0, 1), (2,)]


def test_the_logboek_may_ask_to_be_left_alone() -> None:
    """Its wish is granted, spread upwards, up to five minutes; a shorter one than our own pause changes nothing."""
    sink = opened(InMemoryLogboek())
    pauses: list[float] = []
    wishes = (0.0, 7.0, 86_400.0)
    sink.failures.extend(LogboekUnavailable("busy", retry_after_seconds=wish) for wish in wishes)

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    deliver(a_batch(), sink, wait=wait)
    own, granted, cut = pauses
    assert own <= 0.1
    assert 7 <= granted <= 8.75
    assert 300 <= cut <= 375


def test_a_refusal_is_not_repeated() -> None:
    """Data the Logboek will never take is the caller's to set apart."""
    sink = opened(InMemoryLogboek())
    sink.failures.append(BatchRefused("no", code=27))
    with pytest.raises(BatchRefused):
        deliver(a_batch(), sink, wait=lambda _: False)


def test_the_wish_to_stop_is_obeyed_while_waiting() -> None:
    """The batch is not confirmed then, and that is said."""
    sink = opened(InMemoryLogboek())
    sink.failures.append(LogboekUnavailable("away"))
    with pytest.raises(Stopped):
        deliver(a_batch(), sink, wait=lambda _: True)
    assert sink.logregels == []
