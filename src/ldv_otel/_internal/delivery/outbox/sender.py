"""The sender of an outbox: one thread claims what applications committed, and sends it as the drainer of a spool does.

Several senders share an outbox, each a writer of its own with places of its own. What one that died had claimed is
taken over when its lease is over, and read back before it is sent. Errors of any kind make the thread pause and go on.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import msgspec

from ldv_otel._internal.config.daemon_thread import start_thread
from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.delivery.batch import Batch, new_writer_id
from ldv_otel._internal.delivery.clock import Clock, SystemClock
from ldv_otel._internal.delivery.drainer import OPENING, SENDING
from ldv_otel._internal.delivery.outbox.store import (
    Backlog,
    FrozenRecords,
    OutboxAway,
    OutboxFormat,
    OutboxStore,
    RefusedRecord,
)
from ldv_otel._internal.delivery.repeated_line import RepeatedLine
from ldv_otel._internal.delivery.retry import RetryPolicy, Stopped, deliver, retried
from ldv_otel._internal.delivery.send_history import SendHistory
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.delivery.stats import OutboxState
from ldv_otel._internal.record.logregel import Logregel, decode_logregel
from ldv_otel.errors import LdvError

_logger = logging.getLogger(__name__)

#: How long records gather after this process committed some; an insert costs ClickHouse as much as hundreds of rows.
_GATHER_SECONDS: Final = 1.0
#: How often a sender looks for what other processes committed, or left.
_LOOK_SECONDS: Final = 5.0
#: Between attempts when the database of the outbox is away, or after an error that nobody foresaw.
_PAUSE_SECONDS: Final = 1.0
#: A pause is cut in pieces of this length, after each of which the lease is renewed.
_RENEW_SECONDS: Final = 10.0
#: Acties that are claimed at a time.
_MOST_ROWS: Final = 5_000


class _LeaseLost(Exception):  # a state, as `Stopped` is
    """Another sender has the batch by now."""


class OutboxSender:
    """The sender drains one outbox in this process.

    Args:
        sink: Opened, used and closed by this thread only.
        store: Used by this thread only.
        quiet: Entered by the thread; see `Drainer`.
    """

    def __init__(
        self,
        sink: Sink,
        store: OutboxStore,
        *,
        clock: Clock | None = None,
        quiet: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.pid = os.getpid()
        self._sink, self._store, self._quiet = sink, store, quiet
        self._clock = clock or SystemClock()
        self._batch_records = sink.traits.batch_records
        #: Its leases are in the name of the first writer, also when it goes on as another.
        self._writer_id = self._owner = new_writer_id()
        self._next_seq = 0
        self._history = SendHistory()
        self._stopping, self._woken, self._hurried = threading.Event(), threading.Event(), threading.Event()
        #: Guards what callers read and wait for.
        self._changed = threading.Condition()
        self._passes = self._passes_begun = 0
        self._state = OutboxState()
        self._trouble = RepeatedLine(_logger, logging.ERROR, clock=self._clock)
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> OutboxState:
        """How it is doing."""
        return self._state

    def start(self) -> bool:
        """Start the thread, and say whether there is one."""
        self._thread = start_thread(self._work, "ldv-outbox")
        return self._thread is not None

    def note_commit(self) -> None:
        """Look soon: this process is about to commit records, or has."""
        self._woken.set()

    def flush(self, timeout_seconds: float) -> bool:
        """Send what is there; True when nothing waits any more and nothing is in a batch, of any process."""
        give_up = self._clock.monotonic() + timeout_seconds
        while (left := give_up - self._clock.monotonic()) > 0 and self._thread is not None:
            with self._changed:
                wanted = self._passes_begun + 1
                self._hurried.set()
                self._woken.set()
                if not self._changed.wait_for(functools.partial(self._has_passed, wanted), left):  # called in this turn
                    return False
            if not (self._state.waiting or self._state.in_batches):
                return not self._state.problem
            # Another sender has what is left.
            if self._clock.wait(self._stopping, min(0.2, left)):
                return False
        return False

    def _has_passed(self, wanted: int) -> bool:
        return self._passes >= wanted

    def stop(self, timeout_seconds: float) -> None:
        """Send what is there, unless the Logboek is away, and end the thread; the rest stays in the database."""
        self._stopping.set()
        self._hurried.set()
        self._woken.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def run_once(self) -> OutboxState:
        """Send in this thread what is there, and return how it went.

        Raises:
            LdvError: The Logboek or the database of the outbox does not answer, or cannot be used; what is left stays.
        """
        self._stopping.set()
        with self._quiet():
            try:
                self._sink.open()
                self._pass()
            except Stopped as stopped:
                # The pause that was cut short has its reason in the error that it was for.
                raise OutboxAway(f"The Logboek did not take everything. {stopped.__cause__ or ''}") from None
            finally:
                self._sink.close()
                self._store.close()
        return self._state

    def _work(self) -> None:
        with self._quiet():
            while True:
                try:
                    retried(self._sink.open, wait=self._wait, policy=OPENING, on_failure=self._note_failure)
                    self._note_problem("")
                    self._drain()
                    break
                except Stopped:
                    break
                except (OutboxAway, OutboxFormat) as error:
                    self._note_problem(str(error))
                    self._trouble.log("Logregels wait in the outbox. %s", str(error))
                except Exception as error:  # the sender goes on, whatever happened
                    _logger.error(
                        "Sending Logregels of the outbox failed unexpectedly; they stay there and are tried again. %s",
                        type_and_places(error),
                    )
                if self._clock.wait(self._stopping, _PAUSE_SECONDS):
                    break
            self._sink.close()
            try:
                self._store.close()
            except OutboxAway as error:
                _logger.debug("%s", str(error))

    def _drain(self) -> None:
        while True:
            self._pass()
            if self._stopping.is_set():
                return
            if self._woken.wait(_LOOK_SECONDS):
                self._woken.clear()
                # More may come, unless a caller waits for this.
                self._hurried.wait(_GATHER_SECONDS)

    def _pass(self) -> None:
        """Send everything that is there."""
        with self._changed:
            self._passes_begun += 1
            current = self._passes_begun
            self._hurried.clear()
        while (backlog := self._store.backlog()).waiting or backlog.in_batches:
            done = self._claim() if backlog.waiting else 0
            while (frozen := self._store.take(self._owner)) is not None:
                done += 1
                try:
                    self._send(frozen)
                except _LeaseLost:
                    _logger.warning("A batch of the outbox took so long that another process sends it now.")
            if not done:
                break  # what is in batches is another sender's
        # Not kept until the next look: a process that is forked meanwhile would share it.
        self._store.close()
        with self._changed:
            self._note_backlog(backlog)
            self._passes = current
            self._changed.notify_all()

    def _claim(self) -> int:
        try:
            claimed = self._store.claim(
                self._owner, self._writer_id, self._next_seq, most_rows=_MOST_ROWS, batch_records=self._batch_records
            )
        except OutboxAway:
            # Whether it was committed is not known: these places may stand in a batch that is taken over later.
            self._writer_id, self._next_seq = new_writer_id(), 0
            raise
        self._next_seq += claimed
        return claimed

    def _send(self, frozen: FrozenRecords) -> None:
        """Send a batch until the outcome of every record is known, and remove it."""
        if frozen.sent_before:
            self._state = msgspec.structs.replace(self._state, taken_over=self._state.taken_over + 1)
        seqs, logregels, payloads, refused = _decoded(frozen)
        confirmed = 0
        if logregels:
            batch = Batch(
                writer_id=frozen.writer_id, seqs=tuple(seqs), logregels=tuple(logregels), payloads=tuple(payloads)
            )
            renewing = _Renewing(self, frozen)
            for part in deliver(
                batch,
                self._sink,
                wait=renewing.wait,
                policy=SENDING,
                clock=self._clock,
                in_doubt=frozen.sent_before,
                history=self._history,
            ):
                if part.refused is None:
                    confirmed += len(part.batch.seqs)
                else:
                    refused.append(_refusal(frozen, part.batch.seqs[0], part.batch.payloads[0], str(part.refused)))
        self._store.settle(frozen, refused)
        for record in refused:
            _logger.error(
                "Logregel %d of writer %s in the outbox was refused and quarantined: %s",
                record.seq,
                record.writer_id,
                record.reason,
            )
        if confirmed:
            self._state = msgspec.structs.replace(
                self._state,
                confirmed=self._state.confirmed + confirmed,
                confirmed_ms=self._clock.time_ms(),
                problem="",
            )

    def _wait(self, seconds: float) -> bool:
        """Wait before something is tried again; True when there is no more time for that."""
        stopping = self._clock.wait(self._stopping, seconds)
        if not stopping:
            self._state = msgspec.structs.replace(self._state, retried=self._state.retried + 1)
        return stopping

    def _note_failure(self, error: LdvError, _seconds: float) -> None:
        self._note_problem(str(error))
        self._trouble.log("The Logboek cannot be used now; Logregels wait in the outbox. %s", str(error))

    def _note_problem(self, problem: str) -> None:
        self._state = msgspec.structs.replace(self._state, problem=problem)

    def _note_backlog(self, backlog: Backlog) -> None:
        self._state = msgspec.structs.replace(
            self._state,
            waiting=backlog.waiting,
            in_batches=backlog.in_batches,
            refused=backlog.refused,
            oldest_ms=_end_ms(backlog.oldest),
        )


class _Renewing:
    """Waits for a sender, and renews the lease of the batch that it sends meanwhile."""

    def __init__(self, sender: OutboxSender, frozen: FrozenRecords) -> None:
        self._sender = sender
        self._frozen = frozen

    def wait(self, seconds: float) -> bool:
        """Wait as a `Wait` does.

        Raises:
            _LeaseLost: Another sender has the batch.
        """
        sender, left = self._sender, seconds
        while left > 0:
            piece = min(left, _RENEW_SECONDS)
            if sender._wait(piece):  # the other half of this module
                return True
            left -= piece
            if not sender._store.renew(sender._owner, self._frozen):  # as above
                raise _LeaseLost
        return False


def _decoded(
    frozen: FrozenRecords,
) -> tuple[list[int], list[Logregel], list[bytes], list[RefusedRecord]]:
    """Return places, records and bytes of what can be decoded, and what cannot as refused."""
    seqs, logregels, payloads, refused = [], [], [], []
    for seq, payload in enumerate(frozen.payloads, frozen.first_seq):
        try:
            logregels.append(decode_logregel(payload))
        except msgspec.DecodeError as error:
            refused.append(_refusal(frozen, seq, payload, f"not a Logregel: {type(error).__name__}"))
            continue
        seqs.append(seq)
        payloads.append(payload)
    return seqs, logregels, payloads, refused


def _refusal(frozen: FrozenRecords, seq: int, payload: bytes, reason: str) -> RefusedRecord:
    return RefusedRecord(writer_id=frozen.writer_id, seq=seq, payload=payload, reason=reason)


def _end_ms(payload: bytes) -> int | None:
    try:
        return decode_logregel(payload).end_time_ms if payload else None
    except msgspec.DecodeError:
        return None  # it is refused when it is its turn


#: A person waits for the outcome, and can try again.
_AT_ONCE: Final = RetryPolicy(patience_seconds=0.0)


def retry_refused(sink: Sink, store: OutboxStore) -> tuple[int, int]:
    """Send every refused record once more, in its own place; return how many were confirmed and how many were not.

    Raises:
        LogboekUnavailable: The Logboek does not answer; what it had not confirmed by then stays refused.
        LdvError: It, or the database of the outbox, cannot be used like this.
    """
    confirmed = refused = 0
    sink.open()
    try:
        for record in store.refused():
            try:
                logregel = decode_logregel(record.payload)
            except msgspec.DecodeError:
                refused += 1
                continue
            batch = Batch(
                writer_id=record.writer_id, seqs=(record.seq,), logregels=(logregel,), payloads=(record.payload,)
            )
            for part in deliver(batch, sink, wait=lambda _: False, policy=_AT_ONCE, in_doubt=True):
                if part.refused is None:
                    confirmed += 1
                    store.release(record)
                else:
                    refused += 1
    finally:
        sink.close()
        store.close()
    return confirmed, refused
