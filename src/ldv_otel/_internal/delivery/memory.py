"""Level `memory`: a bounded queue and one worker. Nothing survives the process; for tests and comparison.

What it cannot deliver is counted, logged, reported in the state directory, and makes `flush` return False.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from ldv_otel._internal.config.daemon_thread import forks_later, start_thread
from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.delivery.batch import Batch, new_writer_id, number_batch
from ldv_otel._internal.delivery.clock import Clock, SystemClock
from ldv_otel._internal.delivery.level import EndedActie
from ldv_otel._internal.delivery.repeated_line import RepeatedLine
from ldv_otel._internal.delivery.retry import AWAY_SECONDS, RetryPolicy, Stopped, deliver, retried
from ldv_otel._internal.delivery.send_history import SendHistory
from ldv_otel._internal.delivery.sink import Sink, seal_state_of
from ldv_otel._internal.delivery.spool.write_ahead import ActieStart
from ldv_otel._internal.delivery.stats import DeliveryStats
from ldv_otel._internal.record.logregel import Logregel, decode_logregel
from ldv_otel.errors import LdvError, LogboekUnavailable

_logger = logging.getLogger(__name__)

#: How long a lone record waits for company, in seconds.
_GATHER_SECONDS: Final = 0.2

OPENING: Final = RetryPolicy(first_pause_seconds=0.5)
SENDING: Final = RetryPolicy()


class MemoryDelivery:
    """The delivery queues records in memory and sends them from one worker thread.

    Args:
        sink: Where to; opened and closed by the worker, because a sink belongs to one thread.
        queue_records: How many records may wait; a record that finds the queue full is lost, and counted.
        quiet: Entered by the worker; the SDK side gives a context in which instrumentation is silent (LDV-A11).
        on_loss: Called with writer id, the number of records lost so far, and the reason.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        queue_records: int,
        clock: Clock | None = None,
        quiet: Callable[[], AbstractContextManager[object]] = nullcontext,
        on_loss: Callable[[str, int, str], None] | None = None,
    ) -> None:
        self._sink = sink
        self._batch_records = sink.traits.batch_records
        self._limit = queue_records
        self._clock = clock or SystemClock()
        self._quiet = quiet
        self._history = SendHistory()
        self._on_loss = on_loss
        self._no_thread = RepeatedLine(_logger, logging.ERROR, clock=self._clock)
        #: A lock for each process: an inherited one may be held by a thread that does not exist here.
        self._locks: dict[int, threading.Lock] = {}
        self._start()
        if hasattr(os, "register_at_fork"):
            # Fork hooks cannot be taken back, so this one must not keep the delivery alive.
            after_fork = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (hook := after_fork()) and hook())

    blocks = False

    def _start(self) -> None:
        self.writer_id = new_writer_id()
        self.confirmed = 0
        self.confirmed_ms: int | None = None
        self.lost = self.retried = 0
        self._next_seq = 0
        self._in_flight = 0
        self._oldest_ms = 0
        self._queue: deque[Logregel] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        #: Whether opening or sending failed, and nothing was settled since.
        self._away = False
        self._wanted = False
        self._worker: threading.Thread | None = None
        # The last: a thread that sees it goes on with what is above.
        self._pid = os.getpid()

    def _begin_here(self) -> None:
        """Begin anew in a child that was forked without hooks, as uWSGI does in C."""
        if self._pid != os.getpid():
            with self._locks.setdefault(os.getpid(), threading.Lock()):
                if self._pid != os.getpid():
                    self._after_fork()

    def _after_fork(self) -> None:
        """Begin anew in a forked child: the parent keeps and delivers what was queued, and its thread is not here."""
        self._start()

    @property
    def pending(self) -> int:
        """How many records wait or are on their way."""
        return len(self._queue) + self._in_flight

    def stats(self) -> DeliveryStats:
        """Return how it is doing."""
        self._begin_here()
        with self._changed:
            return DeliveryStats(
                pending=self.pending,
                in_doubt=self._in_flight,
                oldest_ms=self._oldest_ms if self._in_flight else self._queue[0].end_time_ms if self._queue else None,
                confirmed=self.confirmed,
                confirmed_ms=self.confirmed_ms,
                retried=self.retried,
                lost=self.lost,
                seal=seal_state_of(self._sink),
            )

    def submit(self, logregel: Logregel, level: DeliveryLevel | None = None) -> None:
        """Queue a record. It may still be lost: with the process, or when the queue is full (then it is counted).

        Raises:
            LogboekUnavailable: The level asked for is more than this one can promise.
        """
        if level not in (None, "memory"):
            raise _too_much(level)
        self._begin_here()
        with self._changed:
            if self._stopping or len(self._queue) >= self._limit:
                reason = "the delivery was shut down" if self._stopping else f"the queue of {self._limit} was full"
                # The number is used up all the same: the gap in the sequence shows the loss to an auditor.
                self._next_seq += 1
                self._lose(1, reason)
                return
            self._queue.append(logregel)
            if self._worker is None:
                self._start_worker()
            elif len(self._queue) in (1, self._batch_records):
                self._changed.notify_all()

    def _start_worker(self) -> None:
        self._worker = start_thread(self._work, "ldv-delivery")
        if self._worker is None and not forks_later():
            self._no_thread.log(
                "No thread can be started to send Logregels. %d wait in memory; the next record tries again.",
                self.pending,
            )

    def submit_encoded(
        self, payloads: Sequence[bytes], level: DeliveryLevel | None = None, *, ended: bytes = b""
    ) -> None:
        """Queue records from their bytes; otherwise as `submit`."""
        del ended
        for logregel in map(decode_logregel, payloads):
            self.submit(logregel, level)

    def commits_together(self, level: DeliveryLevel | None) -> bool:
        """Say no: nobody waits here."""
        del level
        return False

    def commit_together(self, acties: Sequence[EndedActie]) -> None:
        """Queue the records of several Acties."""
        for actie in acties:
            self.submit_encoded(actie.payloads)

    def writes_ahead(self, level: DeliveryLevel | None) -> bool:
        """Say whether that was asked for."""
        return level == "write-ahead"

    def begin(self, start: ActieStart, *, more: bool = False) -> None:
        """Refuse: nothing is kept here over the end of the process.

        Raises:
            LogboekUnavailable: Always.
        """
        del start, more
        raise _too_much("write-ahead")

    def flush(self, timeout_seconds: float, *, patient: bool = True) -> bool:
        """Wait until nothing is pending; True only if that came true in time and nothing was ever lost."""
        self._begin_here()
        was_away = self._away
        if not patient and was_away:
            timeout_seconds = min(timeout_seconds, AWAY_SECONDS)
        deadline = self._clock.monotonic() + timeout_seconds
        with self._changed:
            self._wanted = True
            self._changed.notify_all()
            if self.pending and self._worker is None:
                self._start_worker()
                if self._worker is None:
                    return False
            while self.pending:
                left = deadline - self._clock.monotonic()
                if left <= 0 or (self._away and not patient and not was_away):
                    return False
                self._changed.wait(left)
            return not self.lost

    def shutdown(self, timeout_seconds: float, *, last_words: bool = False) -> bool:
        """Flush, stop the worker and close the sink; what is left or comes later is lost, counted and reported."""
        del last_words  # there is no place to keep them
        delivered = self.flush(timeout_seconds)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._worker is not None and self._pid == os.getpid():
            self._worker.join(timeout_seconds if delivered else 1.0)
        with self._changed:
            if self.pending:
                count = self.pending
                self._queue.clear()
                self._in_flight = 0
                self._lose(count, "the process ended before the Logboek confirmed them")
        return delivered

    def _work(self) -> None:
        with self._quiet():
            try:
                if self._opened():
                    while (batch := self._next_batch()) is not None:
                        self._send(batch)
            finally:
                self._sink.close()

    def _opened(self) -> bool:
        try:
            retried(self._sink.open, wait=self._wait, policy=OPENING, on_failure=self._log_unopened)
        except Stopped:
            return False
        self._away = False
        return True

    def _log_unopened(self, error: LdvError, _seconds: float) -> None:
        _logger.warning("The Logboek cannot be used now; %d Logregels wait. %s", self.pending, str(error))

    def _next_batch(self) -> Batch | None:
        with self._changed:
            while not self._queue:
                self._wanted = False
                if self._stopping:
                    return None
                self._changed.wait()
            if len(self._queue) < self._batch_records and not (self._stopping or self._wanted):
                self._changed.wait_for(
                    lambda: len(self._queue) >= self._batch_records or self._stopping or self._wanted, _GATHER_SECONDS
                )
            records = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_records))]
            batch = number_batch(self.writer_id, self._next_seq, records)
            self._next_seq += len(records)
            self._in_flight = len(records)
            self._oldest_ms = records[0].end_time_ms
            return batch

    def _send(self, batch: Batch) -> None:
        try:
            for part in deliver(batch, self._sink, wait=self._wait, policy=SENDING, history=self._history):
                count = len(part.batch.seqs)
                with self._changed:
                    self._away = False
                    # Zero already where `shutdown` gave them up while they were under way.
                    self._in_flight = max(0, self._in_flight - count)
                    if part.refused is not None:
                        self._lose(count, str(part.refused))
                    else:
                        self.confirmed += count
                        self.confirmed_ms = self._clock.time_ms()
                    self._changed.notify_all()
        except Stopped:
            return  # shutdown counts what is still in flight

    def _wait(self, seconds: float) -> bool:
        """Wait, and say whether to stop."""
        with self._changed:
            self._away = True
            self._changed.notify_all()
            stopping = self._changed.wait_for(lambda: self._stopping, seconds)
            self.retried += not stopping
            return stopping

    def _lose(self, count: int, reason: str) -> None:
        """Count records as lost, and say so: at the 1st, 2nd, 4th, 8th... so that a flood does not flood the log."""
        before, self.lost = self.lost, self.lost + count
        if self.lost.bit_length() > before.bit_length():
            _logger.error("%d Logregels lost so far by writer %s: %s", self.lost, self.writer_id, reason)
            if self._on_loss is not None:
                self._on_loss(self.writer_id, self.lost, reason)


def _too_much(level: DeliveryLevel) -> LogboekUnavailable:
    return LogboekUnavailable(
        f"delivery={level!r} was asked for, and LDV_DELIVERY=memory cannot give it; the record was not stored. "
        "Set LDV_DELIVERY=durable.",
        in_doubt=False,
    )
