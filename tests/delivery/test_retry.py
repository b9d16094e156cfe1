from __future__ import annotations

import math
from collections import Counter
from typing import Literal, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldv_otel._internal.delivery.batch import Batch, number_batch
from ldv_otel._internal.delivery.retry import RetryPolicy, SendOutcome, Stopped, deliver
from ldv_otel._internal.delivery.send_history import SendHistory
from ldv_otel._internal.delivery.sink import SinkTraits
from ldv_otel._internal.record.logregel import Logregel
from ldv_otel.errors import BatchRefused, BatchTooLarge, ConfigurationError, LogboekUnavailable
from ldv_otel.testing import InMemoryLogboek, ManualClock
from tests.support.chance import examples
from tests.support.sending import deliver_whole


def a_batch(count: int = 3) -> Batch:
    """Some records."""
    records = [
        Logregel(trace_id=bytes(15) + b"1", span_id=number.to_bytes(8, "big"), name="x", start_time_ms=1, end_time_ms=2)
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
    deliver_whole(a_batch(), sink, wait=lambda _: False)
    assert len(sink.sent) == 1


def test_a_doubtful_answer_is_read_back_and_repaired() -> None:
    """After a failed first attempt the OK of a retry proves nothing: what is missing goes again, under a new token."""
    sink = Forgetful(forgets=1)
    opened(sink)
    sink.failures.append(LogboekUnavailable("cut", in_doubt=True))
    deliver_whole(a_batch(), sink, wait=lambda _: False)
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

    deliver_whole(a_batch(), sink, wait=wait)
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
    deliver_whole(batch, sink, wait=lambda _: False, in_doubt=True)
    assert [one.seqs for one in sink.sent] == [(0, 1), (2,)]


def test_a_batch_of_which_nothing_is_stored_keeps_its_token() -> None:
    """The insert of a dead process may still be under way: under the same token the two are one."""
    sink = Forgetful(forgets=0)
    opened(sink)
    batch = a_batch()
    deliver_whole(batch, sink, wait=lambda _: False, in_doubt=True)
    assert [sent.token for sent in sink.sent] == [batch.token]


def test_the_logboek_may_ask_to_be_left_alone() -> None:
    """Its wish is granted, spread upwards, up to five minutes; a shorter one than our own pause changes nothing."""
    sink = opened(InMemoryLogboek())
    pauses: list[float] = []
    wishes = (0.0, 7.0, 86_400.0)
    sink.failures.extend(LogboekUnavailable("busy", retry_after_seconds=wish) for wish in wishes)

    def wait(seconds: float) -> bool:
        pauses.append(seconds)
        return False

    deliver_whole(a_batch(), sink, wait=wait)
    own, granted, cut = pauses
    assert own <= 0.1
    assert 7 <= granted <= 8.75
    assert 300 <= cut <= 375


def test_a_refusal_is_not_repeated() -> None:
    """Data the Logboek will never take is the caller's to quarantine."""
    sink = opened(InMemoryLogboek())
    sink.failures.append(BatchRefused("no", code=27))
    with pytest.raises(BatchRefused):
        deliver_whole(a_batch(), sink, wait=lambda _: False)


def test_the_wish_to_stop_is_obeyed_while_waiting() -> None:
    """The batch is not confirmed then, and that is said."""
    sink = opened(InMemoryLogboek())
    sink.failures.append(LogboekUnavailable("away"))
    with pytest.raises(Stopped):
        deliver_whole(a_batch(), sink, wait=lambda _: True)
    assert sink.logregels == []


def test_patience_ends_with_the_error() -> None:
    """It is counted from the first attempt; what is raised says what is wrong, and is not `Stopped`."""
    sink = opened(InMemoryLogboek())
    sink.failures.extend(LogboekUnavailable("away") for _ in range(500))
    clock = ManualClock()

    def wait(seconds: float) -> bool:
        clock.advance(seconds)
        return False

    policy = RetryPolicy(patience_seconds=100.0)
    with pytest.raises(LogboekUnavailable, match="away"):
        list(deliver(a_batch(), sink, wait=wait, policy=policy, clock=clock))
    assert 70.0 <= clock.monotonic() <= 100.0


def test_an_error_that_is_not_waited_out_is_raised_at_once() -> None:
    """Where somebody waits for the outcome, wrong rights are no reason to wait."""
    sink = opened(InMemoryLogboek())
    sink.failures.append(ConfigurationError("no rights"))
    with pytest.raises(ConfigurationError):
        list(deliver(a_batch(), sink, wait=never, policy=RetryPolicy(waits_out=(LogboekUnavailable,))))


@given(failures=st.integers(0, 100_000), retry_after=st.floats(0, 1e9))
def test_a_pause_is_within_its_bounds(failures: int, retry_after: float) -> None:
    """However long an outage lasts, and whatever the Logboek asks for."""
    policy = RetryPolicy()
    pause = policy.pause_seconds(failures, LogboekUnavailable("x", retry_after_seconds=retry_after))
    assert max(min(0.1 * 2.0 ** min(failures, 20), 30.0) / 2, min(retry_after, 300.0)) <= pause <= 375.0
    assert policy.pause_seconds(failures, ConfigurationError("x")) <= 30.0


Answer = Literal[
    "stores", "away", "stored and cut off", "half stored and cut off", "cut off", "token without rows", "retry after"
]
ANSWERS: tuple[Answer, ...] = get_args(Answer)


class ModelStore:
    """A store that answers as it is told, and is otherwise a good one: it deduplicates by token, row by row.

    Args:
        answers: To the coming sends and read-backs; after those it stores.
        refuses: From which send on it refuses which records; a batch with one of them is refused whole.
        remembers: Whether it looks for its rows by itself before it stores one again, as `GemmaSink` does.
    """

    def __init__(self, answers: list[Answer], refuses: dict[int, int], *, remembers: bool) -> None:
        self.traits = SinkTraits(cheap_read_back=not remembers)
        self.rows: Counter[int] = Counter()
        self.sends = 0
        self._answers = answers
        self._refuses = refuses
        self._seen: set[tuple[str, int]] = set()
        self._remembers = remembers

    def open(self) -> None:
        """Be ready."""

    def close(self) -> None:
        """Do nothing."""

    def send(self, batch: Batch) -> None:
        """Answer as it is told."""
        self.sends += 1
        answer = self._answers.pop(0) if self._answers else "stores"
        if answer in ("away", "retry after"):
            raise LogboekUnavailable(answer, in_doubt=False, retry_after_seconds=9.0 if answer != "away" else 0.0)
        if answer == "cut off":
            raise LogboekUnavailable(answer)
        unstored = [seq for seq in batch.seqs if not (self._remembers and self.rows[seq])]
        if any(self.sends >= self._refuses.get(seq, self.sends + 1) for seq in unstored):
            raise BatchRefused("no")
        stores = batch.seqs[: len(batch.seqs) // 2] if answer == "half stored and cut off" else batch.seqs
        for seq in stores:
            if (batch.token, seq) not in self._seen and not (self._remembers and self.rows[seq]):
                self.rows[seq] += answer != "token without rows"
            self._seen.add((batch.token, seq))
        if answer != "stores":
            raise LogboekUnavailable(answer)

    def read_back(self, batch: Batch) -> frozenset[int]:
        """Tell what is there, unless it is away."""
        if self._answers and self._answers[0] in ("away", "cut off"):
            raise LogboekUnavailable(self._answers.pop(0))
        return frozenset(seq for seq in batch.seqs if self.rows[seq])


@settings(max_examples=examples(300), deadline=None)
@given(data=st.data(), count=st.integers(1, 40), remembers=st.booleans())
def test_every_record_is_confirmed_refused_or_pending(data: st.DataObject, count: int, *, remembers: bool) -> None:
    """Whatever a store answers, and wherever the writer has to stop: nothing is lost, nothing is there twice."""
    kinds = [answer for answer in ANSWERS if not (remembers and answer == "token without rows")]
    answers = data.draw(st.lists(st.sampled_from(kinds), max_size=12))
    refuses = data.draw(st.dictionaries(st.integers(0, count - 1), st.integers(0, 8), max_size=4))
    stops = set(data.draw(st.lists(st.integers(1, 12), max_size=3)))
    store = ModelStore(answers, refuses, remembers=remembers)
    batch = a_batch(count)
    waits = 0

    def wait(_seconds: float) -> bool:
        nonlocal waits
        waits += 1
        return waits in stops

    confirmed: list[int] = []
    refused: list[int] = []
    pending: Batch | None = batch
    in_doubt = False
    while pending is not None:
        try:
            for outcome in deliver(pending, store, wait=wait, in_doubt=in_doubt):
                (confirmed if outcome.refused is None else refused).extend(outcome.batch.seqs)
                # Confirmed means that they can be read at this moment, and refused that they cannot.
                assert all(store.rows[seq] == (outcome.refused is None) for seq in outcome.batch.seqs)
        except Stopped:
            in_doubt = True
        done = set(confirmed) | set(refused)
        assert sorted(done) == list(range(len(done)))  # in order, so that the rest is pending
        pending = part(batch, len(done)) if len(done) < count else None
    assert sorted(confirmed + refused) == list(range(count))
    assert set(refused) <= set(refuses)
    assert store.rows == Counter(confirmed)


def part(batch: Batch, start: int) -> Batch:
    """The records of a batch from one on, as another process would send them."""
    return Batch(writer_id=batch.writer_id, seqs=batch.seqs[start:], logregels=batch.logregels[start:])


@given(count=st.integers(1, 600), bad=st.sets(st.integers(0, 599), max_size=5))
def test_halving_takes_few_sends(count: int, bad: set[int]) -> None:
    """O(k log n) for k records at fault among n: one refused record among 5,000 must not cost 5,000 inserts."""
    bad = {seq for seq in bad if seq < count}
    store = ModelStore([], dict.fromkeys(bad, 0), remembers=False)
    outcomes = list(deliver(a_batch(count), store, wait=never))
    assert {outcome.batch.seqs for outcome in outcomes if outcome.refused} == {(seq,) for seq in bad}
    assert store.sends <= 1 + 2 * len(bad) * math.ceil(math.log2(count) if count > 1 else 0)


def never(_seconds: float) -> bool:
    """Never wait; nothing is to be waited for."""
    raise AssertionError("a pause")


SUSPICIOUS = RetryPolicy(suspicion_seconds=30.0)


class LimitedStore(ModelStore):
    """A store behind something that lets no more than so many bytes through."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__([], {}, remembers=False)
        self.limit_bytes = limit_bytes
        self.too_large = 0
        self.sizes: list[int] = []

    def send(self, batch: Batch) -> None:
        """Store it, or answer 413."""
        size = sum(map(len, batch.payloads))
        if size > self.limit_bytes:
            self.too_large += 1
            raise BatchTooLarge("too large", code=413)
        self.sizes.append(size)
        super().send(batch)


@settings(max_examples=examples(40), deadline=None)
@given(
    counts=st.lists(st.integers(1, 300), min_size=1, max_size=6),
    limit_records=st.integers(1, 400),
    raised=st.booleans(),
)
def test_a_limit_of_size_is_learnt_once(counts: list[int], limit_records: int, *, raised: bool) -> None:
    """Nothing is refused for it, the size that goes through is remembered, and larger ones are tried now and then."""
    size = len(a_batch(1).payloads[0])
    store, history = LimitedStore(limit_records * size), SendHistory()
    for count in counts * 8:
        store.rows.clear()
        store._seen.clear()
        outcomes = list(deliver(a_batch(count), store, wait=never, policy=SUSPICIOUS, history=history))
        assert [seq for outcome in outcomes for seq in outcome.batch.seqs] == list(range(count))
        assert not any(outcome.refused for outcome in outcomes)
        assert store.rows == Counter(range(count))
    # Halving down once, and one try too many for each time that it tries a larger one.
    assert store.too_large <= 10 + 1 + len(store.sizes) / 8
    if raised:
        store.limit_bytes = 10**9
        before = history.limit_bytes
        for _ in range(40):
            list(deliver(a_batch(300), store, wait=never, policy=SUSPICIOUS, history=history))
        assert history.limit_bytes > min(before, 250 * size)


def test_one_record_that_is_too_large_is_refused_when_others_pass() -> None:
    """It would hold up everything behind it; alone, it might be the limit that is wrong."""
    small, large = a_batch(4), msgspec.structs.replace(a_batch(5).logregels[4], name="x" * 10_000)
    batch = number_batch("w", 0, [*small.logregels, large])
    outcomes = list(deliver(batch, LimitedStore(5_000), wait=never, policy=SUSPICIOUS))
    assert [(outcome.batch.seqs[-1], outcome.refused is not None) for outcome in outcomes][-1] == (4, True)


class AlteredStore(ModelStore):
    """A store of which somebody altered a table: it refuses everything until it is repaired."""

    def __init__(self, refuses: dict[int, int] | None = None) -> None:
        super().__init__([], refuses or {}, remembers=False)
        self.altered = True

    def send(self, batch: Batch) -> None:
        """Refuse, as it would a record with a wrong value."""
        self.sends += 1
        if self.altered:
            raise BatchRefused("TYPE_MISMATCH", code=53)
        super().send(batch)


@pytest.mark.parametrize("count", [1, 2, 3, 50, 5_000])
def test_an_altered_table_quarantines_nothing(count: int, caplog: pytest.LogCaptureFixture) -> None:
    """It is told from a bad record with few inserts, and waited out with a line for each pause."""
    store, clock = AlteredStore(), ManualClock()
    pauses = 0

    def wait(seconds: float) -> bool:
        nonlocal pauses
        pauses += 1
        clock.advance(seconds)
        store.altered = pauses < 5
        return False

    outcomes = list(deliver(a_batch(count), store, wait=wait, policy=SUSPICIOUS, clock=clock))
    assert not any(outcome.refused for outcome in outcomes)
    assert store.rows == Counter(range(count))
    assert pauses == 5
    assert store.sends < 5 * (4 + 3) + 2 * math.log2(count + 1) * 20
    assert caplog.text.count("Were its tables altered?") == 5


def test_a_lone_bad_record_is_waited_for_only_so_long() -> None:
    """There is no other record to compare it with; half a minute later it is quarantined, and holds up nobody."""
    store, clock = ModelStore([], {0: 0}, remembers=False), ManualClock()

    def wait(seconds: float) -> bool:
        clock.advance(seconds)
        return False

    (outcome,) = deliver(a_batch(1), store, wait=wait, policy=SUSPICIOUS, clock=clock)
    assert outcome.refused is not None
    assert 30 <= clock.monotonic() <= 60


def test_a_table_altered_in_the_middle_of_a_batch_quarantines_little() -> None:
    """Records that passed before prove nothing about those that are refused now, in a row without an end."""
    store, clock = AlteredStore({0: 0}), ManualClock()
    store.altered = False
    refused: list[int] = []

    def wait(seconds: float) -> bool:
        clock.advance(seconds)
        store.altered = False
        return False

    for outcome in deliver(a_batch(5_000), store, wait=wait, policy=SUSPICIOUS, clock=clock):
        if not store.altered and not clock.monotonic():
            store.altered = True
        if outcome.refused is not None:
            refused += outcome.batch.seqs
    assert len(refused) <= 40
    assert store.rows == Counter(seq for seq in range(5_000) if seq not in refused)


@settings(max_examples=examples(150), deadline=None)
@given(count=st.integers(1, 400), bad=st.sets(st.integers(0, 399)), in_doubt=st.booleans())
def test_any_set_of_bad_records_is_found(count: int, bad: set[int], *, in_doubt: bool) -> None:
    """One, many, or all but one: in order, each once. When all of them are bad nothing is decided, but for a few."""
    bad = {seq for seq in bad if seq < count}
    store, clock = ModelStore([], dict.fromkeys(bad, 0), remembers=False), ManualClock()
    waits = 0

    def wait(seconds: float) -> bool:
        nonlocal waits
        waits += 1
        clock.advance(seconds)
        return waits > 200

    outcomes: list[SendOutcome] = []
    try:
        for outcome in deliver(a_batch(count), store, wait=wait, policy=SUSPICIOUS, clock=clock, in_doubt=in_doubt):
            outcomes.append(outcome)  # noqa: PERF402  (kept when it stops)
    except Stopped:
        assert len(bad) > count / 2
        return
    assert [seq for outcome in outcomes for seq in outcome.batch.seqs] == list(range(count))
    assert {seq for outcome in outcomes if outcome.refused for seq in outcome.batch.seqs} == bad
    assert store.rows == Counter(set(range(count)) - bad)
