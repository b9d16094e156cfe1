"""The send protocol: the one sender of batches, for every level of delivery, the import and the API (LDV-L2).

A retry with the same token is not enough. ClickHouse notes that it has seen a token before it puts the rows in place,
so a server that is killed between the two answers the retry with success and has no rows. Therefore, when the first
attempt was no clean success, a batch is read back before it counts as confirmed, and the rows that are missing are sent
again under a new token. A batch that a dead process may have sent is read back before it is sent at all: the file that
noted its boundaries may be lost or damaged, and the token of a batch that was formed anew would not be known.

A refused batch is halved until the records at fault are alone, which takes O(k log n) sends for k of them among n.

No threads here: everything happens in the thread of the caller, which says how to wait and what to do with the outcome.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.clock import Clock, SystemClock
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel.errors import BatchRefused, ConfigurationError, LdvError, LogboekUnavailable

_logger = logging.getLogger(__name__)

#: Waits that many seconds, or returns True at once when the writer is to stop.
Wait = Callable[[float], bool]

#: Gives the parts to try when a batch was refused, in its order; none when it is to be refused as a whole.
Split = Callable[[Batch], Sequence[Batch]]

T = TypeVar("T")


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
        longest_retry_after_seconds: The longest `retry_after` that is honoured: it may be a mistake, or a date by a
            clock that is wrong.
    """

    waits_out: tuple[type[LdvError], ...] = (LogboekUnavailable, ConfigurationError)
    patience_seconds: float = math.inf
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 30.0
    longest_retry_after_seconds: float = 300.0

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
            if wait(seconds):
                raise Stopped from error
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
) -> Iterator[SendOutcome]:
    """Send a batch, and in smaller parts what is refused, until the outcome of every record is known.

    Outcomes come in the order of the records. When an error is raised, the records of the outcomes so far are done,
    and nothing is known of the others.

    Args:
        in_doubt: Whether the batch, or one like it, may have been sent before, by a process that is dead.
        split: Gives the parts of a batch that was refused; by default its halves, down to single records.

    Raises:
        Stopped: The writer is to stop.
        LdvError: One that the policy does not wait out, or not any longer.
    """
    clock = clock or SystemClock()
    give_up = clock.monotonic() + policy.patience_seconds
    waiting = [(batch, in_doubt)]
    while waiting:
        part, part_in_doubt = waiting.pop()
        sending = _Sending(part, sink, in_doubt=part_in_doubt)
        # Patience is that of the whole call: whoever waits for it waits for all parts.
        left = msgspec.structs.replace(policy, patience_seconds=give_up - clock.monotonic())
        try:
            retried(sending.attempt, wait=wait, policy=left, clock=clock, on_failure=_log_failure)
        except BatchRefused as error:
            parts = (split or _halves)(part)
            if not parts:
                yield SendOutcome(part, error)
            # Rows of the whole that are stored already would be stored twice: a part has a token of its own. And a dead
            # process may have sent the same part: its token may be noted without rows.
            parts_in_doubt = part_in_doubt or sending.some_stored
            waiting += [(smaller, parts_in_doubt) for smaller in reversed(parts)]
        else:
            yield SendOutcome(part)


def _halves(batch: Batch) -> Sequence[Batch]:
    return batch.halves() if len(batch.seqs) > 1 else ()


def _log_failure(error: LdvError, seconds: float) -> None:
    _logger.warning("The Logboek did not confirm a batch; it is tried again in %.1f s. %s", seconds, error)


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
        except BatchRefused:
            # A refusal says nothing about an earlier attempt without an answer: that one may have stored every row. A
            # sink that is costly to ask remembers by itself which records were in doubt.
            if self._unread and self._sink.traits.cheap_read_back and self._missing(batch) is None:
                return None
            raise
        if not self._doubtful:
            return None
        missing = self._missing(batch)
        if missing is not None:
            _logger.warning(
                "The Logboek said it had a batch of which %d records are missing; they are sent again.",
                len(missing.seqs),
            )
        return missing

    def _missing(self, batch: Batch) -> Batch | None:
        """Read a batch back, and return what is missing under a new token; None when nothing is."""
        stored = self._sink.read_back(batch)
        self._unread = False
        self.some_stored = self.some_stored or bool(stored)
        return batch.without(stored)
