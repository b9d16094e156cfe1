"""The send protocol: the one sender of batches, for every level of delivery, the import and the API (LDV-L2).

A retry with the same token is not enough. ClickHouse notes that it has seen a token before it puts the rows in place,
so a server that is killed between the two answers the retry with success and has no rows. Therefore, when the first
attempt was no clean success, a batch is read back before it counts as confirmed, and the rows that are missing are sent
again under a new token. A batch that a dead process may have sent is read back before it is sent at all: the file that
noted its boundaries may be lost or damaged, and the token of a batch that was formed anew would not be known.

A refused batch is halved until the records at fault are alone, which takes O(k log n) sends for k of them among n. A
batch that is too large is halved too, and the size that goes through is remembered. When a table was altered every
record is refused, which is no reason to quarantine them all: after a few halvings records from elsewhere in the batch
are tried alone, and as long as none of them passes either, nothing is decided and the batch waits.

No threads here: everything happens in the thread of the caller, which says how to wait and what to do with the outcome.
Underneath are *steps*: generators that give how long to wait, and are sent whether to stop. Who has a thread to wait
in drives them (`retried`, `deliver`); who shares threads with others comes back later (`drainer.py`).
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.clock import Clock, SystemClock
from ldv_otel._internal.delivery.send_history import SendHistory
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel.errors import BatchRefused, BatchTooLarge, ConfigurationError, LdvError, LogboekUnavailable, NotProven

_logger = logging.getLogger(__name__)

#: Waits that many seconds, or returns True at once when the writer is to stop.
Wait = Callable[[float], bool]

#: Gives the parts to try when a batch was refused, in its order; none when it is to be refused as a whole.
Split = Callable[[Batch], Sequence[Batch]]

T = TypeVar("T")

#: Gives the seconds to wait, and is sent whether to stop.
Waits = Generator[float, bool | None, T]

#: So long who is in a hurry waits for a Logboek that was away already: an answer takes no longer where it is back.
AWAY_SECONDS: Final = 1.0
#: So many refusals in a row are what one record at fault may look like; then records from elsewhere are tried.
_HALVINGS: Final = 4
_PROBES: Final = 3
#: So many in a row are more than a record at fault or two make, though others passed before.
_STREAK: Final = 32


class Stopped(Exception):  # an answer to the caller's own request, not an error
    """Waiting was cut short because the writer is to stop; the batch is not confirmed."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a sender does about errors, as a value.

    Attributes:
        waits_out: Errors after which it tries again. By default also those of rights and tables: a service goes on
            running while an administrator corrects them. Where somebody waits for the outcome, an error is better.
        patience_seconds: How long it tries again, counted from its first attempt; then the error is raised.
        first_pause_seconds: The pause after the first failure; it doubles with each further one.
        longest_pause_seconds: The longest pause that is not asked for.
        suspicion_seconds: How long a refusal of everything that was tried is taken for a fault of the Logboek's tables,
            not of the records. 0 where somebody waits for the outcome.
        longest_retry_after_seconds: The longest `retry_after` that is honoured: it may be a mistake, or a date by a
            clock that is wrong.
    """

    waits_out: tuple[type[LdvError], ...] = (LogboekUnavailable, ConfigurationError)
    patience_seconds: float = math.inf
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 30.0
    longest_retry_after_seconds: float = 300.0
    suspicion_seconds: float = 0.0

    def pause_seconds(self, failures: int, error: LdvError) -> float:
        """Return how long to wait: our own pause, or what the Logboek asks for if that is longer.

        Both are spread, ours downwards and its `retry_after` upwards, so that services that lost the Logboek at one
        moment do not come back all at once.

        Args:
            failures: How many there were before this one.
        """
        spread = random.uniform(0.5, 1.0)  # noqa: S311  (guards nothing)
        # The exponent is bounded because a float overflows after a thousand failures: the eighth hour of an outage.
        pause = min(self.first_pause_seconds * 2.0 ** min(failures, 64), self.longest_pause_seconds)
        retry_after = error.retry_after_seconds if isinstance(error, LogboekUnavailable) else 0.0
        return max(pause * spread, min(retry_after, self.longest_retry_after_seconds) * (1.5 - spread / 2))


#: For a thread that nobody waits for.
UNTIL_CONFIRMED: Final = RetryPolicy()


class SendOutcome(msgspec.Struct, frozen=True):
    """What became of a batch, or of a part of one.

    Attributes:
        refused: The Logboek will never take this part; nothing of it is stored. None when it confirmed every record.
    """

    batch: Batch
    refused: BatchRefused | None = None


def sleep(seconds: float) -> bool:
    """Wait as a `Wait` that is never to stop."""
    time.sleep(seconds)
    return False


def retried(
    call: Callable[[], T],
    *,
    wait: Wait,
    policy: RetryPolicy = UNTIL_CONFIRMED,
    clock: Clock | None = None,
    on_failure: Callable[[LdvError, float], None] | None = None,
) -> T:
    """Return what a call returns, however often it has to be made.

    Args:
        clock: Measures the policy's patience.
        on_failure: Called with each error that is waited out, and for how many seconds.

    Raises:
        Stopped: The writer is to stop.
        LdvError: One that the policy does not wait out, or not any longer.
    """
    steps = retry_steps(call, policy=policy, clock=clock, on_failure=on_failure)
    stopping: bool | None = None
    while True:
        try:
            seconds = steps.send(stopping)
        except StopIteration as end:
            value: T = end.value
            return value
        stopping = wait(seconds)


def retry_steps(
    call: Callable[[], T],
    *,
    policy: RetryPolicy = UNTIL_CONFIRMED,
    clock: Clock | None = None,
    on_failure: Callable[[LdvError, float], None] | None = None,
) -> Waits[T]:
    """Do as `retried`, in steps."""
    clock = clock or SystemClock()
    give_up = clock.monotonic() + policy.patience_seconds
    failures = 0
    while True:
        try:
            return call()
        except policy.waits_out as error:
            seconds = policy.pause_seconds(failures, error)
            if clock.monotonic() + seconds > give_up:
                raise
            if on_failure is not None:
                on_failure(error, seconds)
            stopped = Stopped()
            stopped.__cause__ = error.with_traceback(None)
        # Outside of the `except`: while somebody else runs, no exception is being handled here.
        if (yield seconds):
            raise stopped
        failures += 1


def deliver(  # noqa: PLR0913  (what its callers do differently)
    batch: Batch,
    sink: Sink,
    *,
    wait: Wait,
    policy: RetryPolicy = UNTIL_CONFIRMED,
    clock: Clock | None = None,
    in_doubt: bool = False,
    split: Split | None = None,
    history: SendHistory | None = None,
) -> Iterator[SendOutcome]:
    """Send a batch, and in smaller parts what is refused, until the outcome of every record is known.

    Outcomes come in the order of the records. When an error is raised, the records of the outcomes so far are done,
    and nothing is known of the others.

    Args:
        in_doubt: Whether the batch, or one like it, may have been sent before, by a process that is dead.
        split: Gives the parts of a batch that was refused; by default its halves, down to single records.
        history: What earlier batches of this sender taught; it learns from this one.

    Raises:
        Stopped: The writer is to stop.
        LdvError: One that the policy does not wait out, or not any longer.
    """
    delivering = _Delivering(sink, policy, clock or SystemClock(), split or _halves)
    delivering.history = history or delivering.history
    steps = delivering.steps(batch, in_doubt=in_doubt)
    stopping: bool | None = None
    while True:
        try:
            step = steps.send(stopping)
        except StopIteration:
            return
        if isinstance(step, SendOutcome):
            yield step
            stopping = None
        else:
            stopping = wait(step)


def log_failure(error: LdvError, seconds: float) -> None:
    """Log an error that is waited out."""
    _logger.warning("The Logboek did not confirm a batch; it is tried again in %.1f s. %s", seconds, str(error))


class Sender(NamedTuple):
    """Who sends one batch after another, in steps.

    Attributes:
        history: What earlier batches taught.
        on_failure: Called with each error that is waited out, and for how many seconds.
    """

    history: SendHistory
    on_failure: Callable[[LdvError, float], None] = log_failure


def deliver_steps(
    batch: Batch, sink: Sink, sender: Sender, *, policy: RetryPolicy, in_doubt: bool
) -> Generator[float | SendOutcome, bool | None, None]:
    """Do as `deliver`, in steps: each is an outcome, or seconds to wait."""
    delivering = _Delivering(sink, policy, SystemClock(), _halves)
    delivering.history, delivering.on_failure = sender.history, sender.on_failure
    return delivering.steps(batch, in_doubt=in_doubt)


class _Part(NamedTuple):
    """A part of a batch that has no outcome yet."""

    batch: Batch
    in_doubt: bool

    @property
    def first(self) -> int:
        return self.batch.seqs[0]


class _Delivering:
    """One batch on its way: its parts without an outcome, and outcomes that cannot be told yet."""

    def __init__(self, sink: Sink, policy: RetryPolicy, clock: Clock, split: Split) -> None:
        self.history = SendHistory()
        self.on_failure: Callable[[LdvError, float], None] = log_failure
        self._sink, self._policy = sink, policy
        self._clock, self._split = clock, split
        self._give_up = clock.monotonic() + policy.patience_seconds
        #: The first comes last.
        self._waiting: list[_Part] = []
        #: Outcomes that come after a part that waits; and refusals while nothing passes, perhaps the tables' fault.
        self._held: list[SendOutcome] = []
        self._refusals = 0
        self._refused_since = math.inf
        self._taken = not policy.suspicion_seconds

    def steps(self, batch: Batch, *, in_doubt: bool) -> Generator[float | SendOutcome, bool | None, None]:
        self._waiting.append(_Part(batch, in_doubt))
        failures = 0
        while self._waiting or self._held:
            if self._waiting and (self._taken or self._refusals <= _HALVINGS):
                yield from self._send(self._waiting.pop())
            elif not (yield from self._some_record_passes()):
                if not self._waiting and self._records_are_to_blame():
                    self._taken = True
                else:
                    yield from self._pause(failures)
                    failures += 1
            yield from self._decided()

    def _send(self, part: _Part) -> Waits[None]:
        """Send a part; what is refused, or too large, waits in smaller parts unless it has none."""
        batch, in_doubt = part
        if self.history.is_too_large(batch) and (parts := self._split(batch)):
            self._put_back(parts, in_doubt=in_doubt)
            return
        sending = _Sending(batch, self._sink, in_doubt=in_doubt)
        # Patience is that of the whole call: whoever waits for it waits for all parts.
        left = msgspec.structs.replace(self._policy, patience_seconds=self._give_up - self._clock.monotonic())
        try:
            yield from retry_steps(sending.attempt, policy=left, clock=self._clock, on_failure=self.on_failure)
        except BatchRefused as error:
            # Of a batch that is too large nothing is known of its records.
            too_large = isinstance(error, BatchTooLarge)
            if too_large:
                self.history.note_too_large(batch)
            if not error.certain and (not too_large or len(batch.seqs) == 1):
                self._refusals += 1
                if self._refusals > _STREAK:
                    self._taken = not self._policy.suspicion_seconds
                self._refused_since = min(self._refused_since, self._clock.monotonic())
            parts = self._split(batch)
            if not parts:
                self._held.append(SendOutcome(batch, error.with_traceback(None)))
            # Rows of the whole that are stored already would be stored twice: a part has a token of its own. And a dead
            # process may have sent the same part: its token may be noted without rows.
            self._put_back(parts, in_doubt=in_doubt or sending.some_stored)
        else:
            self.history.note_passed(batch)
            if not self._taken:
                # What was refused before anything passed was refused by tables that may be repaired by now.
                suspects = [each for each in self._held if not _is_certain(each)]
                self._held = [each for each in self._held if _is_certain(each)]
                self._put_back([each.batch for each in suspects], in_doubt=True)
            self._refusals, self._refused_since, self._taken = 0, math.inf, True
            self._held.append(SendOutcome(batch))

    def _put_back(self, parts: Sequence[Batch], *, in_doubt: bool) -> None:
        self._waiting += [_Part(batch, in_doubt) for batch in parts]
        self._waiting.sort(key=lambda part: part.first, reverse=True)

    def _some_record_passes(self) -> Waits[bool]:
        """Try a few records from anywhere in the batch alone; True as soon as one of them is taken."""
        for _ in range(_PROBES):
            if not self._waiting:
                break
            part = self._waiting.pop(random.randrange(len(self._waiting)))  # noqa: S311  (guards nothing)
            before, record, after = part.batch.around(random.randrange(len(part.batch.seqs)))  # noqa: S311  (as above)
            self._put_back([rest for rest in (before, after) if rest is not None], in_doubt=part.in_doubt)
            yield from self._send(_Part(record, part.in_doubt))
            if self._taken:
                return True
        return False

    def _records_are_to_blame(self) -> bool:
        """Whether lone records that were refused, all there are, are taken for refused as data."""
        # That others passed a moment before proves nothing: tables are altered at some moment.
        return self._clock.monotonic() - self._refused_since >= self._policy.suspicion_seconds

    def _pause(self, failures: int) -> Waits[None]:
        """Wait as for a Logboek that is away, and have what was refused tried again then."""
        refused = next(outcome.refused for outcome in self._held if outcome.refused is not None)
        error = LogboekUnavailable(
            "It refuses every record that was tried, also alone, so the fault is in its tables, not in these records. "
            f"They wait. Were its tables altered? The last refusal: {refused}"
        )
        seconds = self._policy.pause_seconds(failures, error)
        if self._clock.monotonic() + seconds > self._give_up:
            raise error
        self.on_failure(error, seconds)
        if (yield seconds):
            raise Stopped
        self._put_back([outcome.batch for outcome in self._held], in_doubt=True)
        self._held.clear()

    def _decided(self) -> Iterator[SendOutcome]:
        """Give the outcomes before which no part waits, once it is known that records pass."""
        first = self._waiting[-1].first if self._waiting else math.inf
        self._held.sort(key=lambda each: each.batch.seqs[0])
        # A refusal counts when records passed before it and after it, or when there is nothing left to pass.
        sure = self._taken and (not self._refusals or not self._waiting)
        while self._held and self._held[0].batch.seqs[0] < first and (sure or _is_certain(self._held[0])):
            yield self._held.pop(0)


def _is_certain(outcome: SendOutcome) -> bool:
    """Whether an outcome is one without a doubt: a confirmation, or a refusal that no repair would change."""
    return outcome.refused is None or outcome.refused.certain


def _halves(batch: Batch) -> Sequence[Batch]:
    return batch.halves() if len(batch.seqs) > 1 else ()


class _Sending:
    """How far the sending of one batch has come, over any number of attempts.

    Attributes:
        some_stored: Whether a read-back found rows of it: parts of the batch may then be stored already.
    """

    def __init__(self, batch: Batch, sink: Sink, *, in_doubt: bool) -> None:
        self._remaining: Batch | None = batch
        self._sink = sink
        self._read_first = in_doubt
        #: Whether an attempt, here or of a dead process, may have stored rows: then no success is believed.
        self._doubtful = in_doubt
        #: Whether one of those attempts came after the last read-back.
        self._unread = in_doubt
        self.some_stored = False
        #: Whether the Logboek took a batch with success of which records are missing, and they were sent once more.
        self._repaired = False

    def attempt(self) -> None:
        """Read back what is in doubt and send what is missing; returning means that every row is confirmed."""
        try:
            if self._read_first and self._remaining is not None:
                missing = self._missing(self._remaining)
                # While nothing is stored its own token stays: an insert that is still under way is then one with it.
                if missing is None or len(missing.seqs) < len(self._remaining.seqs):
                    self._remaining = missing
                self._read_first = False
            while self._remaining is not None:
                self._remaining = self._send(self._remaining)
        except (LogboekUnavailable, ConfigurationError) as error:
            if not isinstance(error, LogboekUnavailable) or error.in_doubt:
                self._doubtful = self._unread = True
            raise

    def _send(self, batch: Batch) -> Batch | None:
        """Send a batch, and return the repair batch of what is missing then; None when every row is confirmed."""
        try:
            self._sink.send(batch)
        except NotProven as error:
            self._doubtful = True
            _logger.debug("%s Its records are read back.", str(error))
        except BatchRefused:
            # A refusal says nothing about an earlier attempt without an answer: that one may have stored every row. A
            # sink that is costly to ask remembers by itself which records were in doubt.
            if self._unread and self._sink.traits.cheap_read_back and self._missing(batch) is None:
                return None
            raise
        if not self._doubtful:
            return None
        missing = self._missing(batch)
        if missing is None:
            return None
        if self._repaired:
            # Something takes records and does not store them, or does not show them yet: no reason to hurry.
            self._remaining, self._read_first = missing, True
            raise LogboekUnavailable(
                f"The Logboek said it had a batch of which {len(missing.seqs)} records cannot be read there."
            )
        self._repaired = True
        _logger.warning(
            "The Logboek said it had a batch of which %d records are missing; they are sent again.", len(missing.seqs)
        )
        return missing

    def _missing(self, batch: Batch) -> Batch | None:
        """Read a batch back, and return what is missing under a new token; None when nothing is."""
        stored = self._sink.read_back(batch)
        self._unread = False
        self.some_stored = self.some_stored or bool(stored)
        return batch.without(stored)
