"""The drainer sends the records of this process's spool, and adopts the spools of dead processes.

It works in turns (`turns`), each up to a point where it waits. One drainer has a thread of its own, which waits there;
those of many Logboeken share a few threads (`drainer_threads.py`), which do somebody else's turn meanwhile.

A record leaves a spool only when the Logboek has confirmed it, or when it is quarantined, which is counted and visible.
Errors of any kind make it pause and go on, never stop (LDV-L2).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ldv_otel._internal.config.daemon_thread import start_thread
from ldv_otel._internal.config.error_places import type_and_places
from ldv_otel._internal.delivery.batch import Batch
from ldv_otel._internal.delivery.clock import Clock
from ldv_otel._internal.delivery.retry import (
    AWAY_SECONDS,
    RetryPolicy,
    Sender,
    SendOutcome,
    Stopped,
    Waits,
    deliver_steps,
    log_failure,
    retry_steps,
)
from ldv_otel._internal.delivery.send_history import SendHistory
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.delivery.spool.ownership import hold, remove_spool
from ldv_otel._internal.delivery.spool.progress import ConfirmedBatch, FrozenBatch, Progress
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.delivery.spool.reader import OrphanSpool, SpoolReader
from ldv_otel._internal.delivery.spool.segment import SUFFIX, StoredRecord
from ldv_otel._internal.delivery.spool.write_ahead import end_interrupted
from ldv_otel._internal.delivery.spool.writer import SpoolWriter
from ldv_otel._internal.delivery.turns import Pause, Turns
from ldv_otel._internal.record.logregel import decode_logregel
from ldv_otel.errors import LdvError

if TYPE_CHECKING:
    from ldv_otel._internal.delivery.drainer_threads import SharedThreads

_logger = logging.getLogger(__name__)

#: How long records gather unless a caller waits for them: ClickHouse is made for about one insert a second, and an
#: insert costs it as much as hundreds of rows.
_GATHER_SECONDS: Final = 1.0
#: How long those who wait for the Logboek gather, after a batch that several waited for: what they log next comes
#: within it, and an insert takes many times as long.
_GROUP_SECONDS: Final = 0.005
#: A spool directory without its final name is being made. After this time its maker must have died.
_ABANDONED_SECONDS: Final = 60.0
#: How often it searches for spools of dead processes: each search tries to lock every other spool once.
_ADOPT_SECONDS: Final = 10.0
#: After so long without a record the drainer of one of many Logboeken gives its files and its connection back.
_REST_SECONDS: Final = 300.0
#: Between attempts after an error that nobody foresaw; each is in the log.
_UNEXPECTED_PAUSE_SECONDS: Final = 1.0

OPENING: Final = RetryPolicy(first_pause_seconds=0.5)
SENDING: Final = RetryPolicy(suspicion_seconds=30.0)

_payload: Final = attrgetter("payload")

T = TypeVar("T")


#: After each batch somebody else may have a turn.
_NEXT: Final = Pause(0.0)


class Drainer:
    """The drainer sends the records of a spool in order, one batch at a time.

    Args:
        sink: Opened, used and closed in turns only.
        spool: The spool of this process.
        quiet: Entered by the thread; the SDK side gives a context in which instrumentation is silent (LDV-A11).
        shared: Threads that it shares with others; by default it has one of its own.

    Attributes:
        confirmed: Records of this process that the Logboek confirmed.
        confirmed_ms: When it last did, in ms since 1970-01-01 UTC; None for never.
        in_doubt: How many of them are in the batch that is being sent.
        retried: How often opening the Logboek or sending a batch was tried again.
        adopted: Records of dead processes that the Logboek confirmed.
        quarantined: Records that the Logboek refused as data.
        settled: How many records of this process are confirmed or quarantined.
        refused: Sequence numbers of this process's records that were quarantined.
    """

    def __init__(
        self,
        sink: Sink,
        spool: SpoolWriter,
        *,
        clock: Clock,
        quiet: Callable[[], AbstractContextManager[object]] = nullcontext,
        shared: SharedThreads | None = None,
    ) -> None:
        self._threads = shared.threads if shared is not None else None
        self.server = shared.server if shared is not None else ""
        #: Asked when there was nothing to send for a while; True where this drainer is not needed any more. The sink is
        #: closed then, or has the next drainer already.
        self.on_rest: Callable[[], bool] | None = None
        self._rests = False
        self.confirmed = self.adopted = self.quarantined = self.settled = self.in_doubt = self.retried = 0
        self.confirmed_ms: int | None = None
        self.refused: set[int] = set()
        self._settled_seq = -1
        #: Whether opening or sending failed, and nothing of this process was settled since.
        self._away = False
        self._sink = sink
        self._spool = spool
        self._base = spool.directory.parent
        self._batch_records = sink.traits.batch_records
        self._clock = clock
        self._quiet = quiet
        self._history = SendHistory()
        self._quarantine = Quarantine(self._base / QUARANTINE_NAME)
        self._reader = SpoolReader(spool.directory)
        self._progress = Progress(spool.directory)
        self._unsent: list[StoredRecord] = []
        self._read = 0
        self._adoption: Generator[Pause | None, bool | None, None] | None = None
        self._next_adoption = 0.0
        self._stopping = threading.Event()
        self._urgent = False
        #: How many callers wait for a record of theirs, and how many did when the last batches were read.
        self._waiting = self._group = 0
        #: Guards what callers wait for: `settled`, `_settled_seq`, `refused`, `_away`.
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Start the thread, and say whether there is one; gevent may have replaced threads since we were made."""
        if self._threads is not None:
            return self._threads.add(self)
        self._thread = start_thread(self._work, "ldv-drainer")
        return self._thread is not None

    def hurry(self) -> None:
        """Send at once what is there, because a caller waits for it."""
        # Without a lock: the thread reads it after it is woken, and a late read costs at most one gathering time.
        self._urgent = True
        self._wake()

    def ask_to_stop(self) -> None:
        """Let the turn that runs be the last."""
        self._stopping.set()
        self._wake()

    def _wake(self) -> None:
        self._spool.wake()
        if self._threads is not None:
            self._threads.wake(self)

    def stop(self, timeout_seconds: float) -> None:
        """End the thread, or its turns in others; records of a batch without an outcome stay in the spool."""
        self.ask_to_stop()
        if self._threads is not None:
            self._threads.wait_ended(self, timeout_seconds)
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(timeout_seconds)
        self._progress.close()

    def expect(self, pause: Pause, wake: Callable[[], None]) -> bool:
        """Have `wake` called once what a pause waits for was committed; say whether it is already."""
        self._spool.on_enough = wake
        return self._spool.expect(pause.records)

    @property
    def read(self) -> int:
        """How many records of this process it has read."""
        return self._read

    @property
    def hurried(self) -> bool:
        """Whether a caller waits for what is there, or for the end."""
        return self._urgent or self._stopping.is_set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopping.is_set()

    def wait_settled(self, count: int, timeout_seconds: float, *, patient: bool = True) -> bool:
        """Wait until so many records of this process are confirmed or quarantined; False when the time is up.

        Who is not patient waits no longer once the Logboek proves to be away, and a moment where it was already.
        """
        with self._changed:
            if not patient:
                if self._away:
                    timeout_seconds = min(timeout_seconds, AWAY_SECONDS)
                else:
                    self._changed.wait_for(lambda: self.settled >= count or self._away, timeout_seconds)
                    timeout_seconds = 0
            return self._changed.wait_for(lambda: self.settled >= count, timeout_seconds)

    def wait_for(self, seq: int, timeout_seconds: float) -> bool:
        """Wait until one record of this process is confirmed or quarantined; False when the time is up."""
        self.hurry()
        with self._changed:
            self._waiting += 1
            try:
                return self._changed.wait_for(lambda: self._settled_seq >= seq, timeout_seconds)
            finally:
                self._waiting -= 1

    def _work(self) -> None:
        with self._quiet():
            turns = self.turns()
            stopping: bool | None = None
            while True:
                try:
                    pause = turns.send(stopping)
                except StopIteration:
                    return
                stopping = self._wait_here(pause)

    def _wait_here(self, pause: Pause) -> bool:
        """Wait in this thread, and say whether to stop."""
        if pause.failed:
            return self.resumed(stopping=self._clock.wait(self._stopping, pause.seconds))
        if pause.records:
            unless = (lambda: self.hurried) if pause.can_be_hurried else self._stopping.is_set
            self._spool.wait_for_commit(pause.records, pause.seconds, unless=unless)
        return self._stopping.is_set()

    def resumed(self, *, stopping: bool) -> bool:
        """Count that something is tried again after it failed, unless it is to stop; return which."""
        self.retried += not stopping
        return stopping

    def turns(self) -> Turns[None]:
        """Send what is there and what comes, for ever; each turn ends with what it waits for."""
        while True:
            try:
                yield from self._failing(retry_steps(self._sink.open, policy=OPENING, on_failure=self._log_unopened))
                self._away = False
                yield from self._drain()
                break
            except Stopped:
                break
            except Exception as error:  # noqa: BLE001  (the drainer goes on, whatever happened)
                _logger.error(
                    "Sending Logregels failed unexpectedly; they stay on disk and are tried again. %s",
                    type_and_places(error),
                )
            if (yield self._pause(_UNEXPECTED_PAUSE_SECONDS)):
                break
        if not self._rests:
            self._sink.close()

    def _pause(self, seconds: float) -> Pause:
        """Return a pause after something failed, and let those know who wait for the Logboek."""
        with self._changed:
            self._away = True
            self._changed.notify_all()
        return Pause(seconds, failed=True)

    def _failing(self, steps: Waits[T]) -> Turns[T]:
        """Do steps that may have to wait because something failed."""
        stopping: bool | None = None
        while True:
            try:
                seconds = steps.send(stopping)
            except StopIteration as end:
                value: T = end.value
                return value
            stopping = yield self._pause(seconds)

    def _log_unconfirmed(self, error: LdvError, _seconds: float) -> None:
        """Log for many Logboeken at one server, once a minute."""
        if self._threads is not None:
            self._threads.line_of(self.server).log(
                "A Logboek at %s does not take its records now; they wait on disk. %s", self.server, str(error)
            )

    def _log_unopened(self, error: LdvError, _seconds: float) -> None:
        if self._threads is not None:
            self._log_unconfirmed(error, _seconds)
            return
        pending = self._spool.committed_records - self.settled
        _logger.warning("The Logboek cannot be used now; %d Logregels wait on disk. %s", pending, str(error))

    def _drain(self) -> Turns[None]:
        # Anew also after an error that nobody foresaw, which ended it.
        self._adoption, self._next_adoption = None, 0.0
        idle_since = self._clock.monotonic()
        if self._unsent:
            # What an unexpected error interrupted may have been sent.
            yield from self._send_unsent(in_doubt=True)
        while True:
            committed = self._spool.committed_records
            if committed > self._read:
                if (pause := self._gathering()) is not None:
                    yield pause
                self._urgent, self._group = False, self._waiting
                idle_since = self._clock.monotonic()
                # Up to here and no further: a reader that follows each commit would make batches of one record.
                so_far = self._spool.committed
                while fresh := self._reader.read(so_far, self._spool.end_of):
                    self._unsent = fresh
                    self._read += len(fresh)
                    yield from self._send_unsent()
                    self._spool.forget_before(self._reader.drop(self._progress.confirmed))
                    self._spool.prepare()
                if not self._stopping.is_set():
                    yield from self._adopt_a_batch()
            elif self._stopping.is_set():
                return
            elif not (yield from self._adopt_a_batch()):
                rests = self._clock.monotonic() - idle_since >= _REST_SECONDS
                if self.on_rest is not None and rests and self.on_rest():
                    self._progress.close()
                    self._rests = True
                    return
                yield Pause(1.0, self._read + 1, idle=True)

    def _adopt_a_batch(self) -> Turns[bool]:
        """Send one batch of what dead processes left, when it is time to look for it; return whether there was one.

        Records of this process come first. Those of others have a turn after each round all the same: a busy process
        hardly ever has nothing of its own to send.
        """
        if self._adoption is None:
            if self._clock.monotonic() < self._next_adoption:
                return False
            self._adoption = self._adopt()
            self._next_adoption = self._clock.monotonic() + _ADOPT_SECONDS
        if (yield from _up_to_a_batch(self._adoption)):
            return True
        self._adoption = None
        return False

    def _gathering(self) -> Pause | None:
        """Return how long what was committed waits for more; None for not at all."""
        if self._stopping.is_set():
            return None
        if not self._urgent:
            return Pause(_GATHER_SECONDS, self._read + self._batch_records)
        if self._group > 1:
            # Without this the first of them would have an insert of its own, and all others wait for two.
            return Pause(_GROUP_SECONDS, self._read + self._group, firm=True)
        return None

    def oldest_ms(self) -> int | None:
        """Return when the oldest record that is not confirmed ended, in ms since 1970-01-01 UTC; None for none."""
        record = next(iter(self._unsent), None) or self._reader.peek(self._spool.committed, self._spool.end_of)
        try:
            return decode_logregel(record.payload).end_time_ms if record is not None else None
        except msgspec.DecodeError:
            return None  # it is quarantined when it is its turn

    def _send_unsent(self, *, in_doubt: bool = False) -> Turns[None]:
        while self._unsent:
            records = self._unsent[: self._batch_records]
            yield from self._send_batch(self._spool.writer_id, records, self._progress, in_doubt=in_doubt)
            self._forget_unsent(records[-1].seq)
            yield _NEXT

    def _forget_unsent(self, last: int) -> None:
        """Remove what is done from `_unsent`, so that after an unexpected error it is not sent and counted again."""
        done = next((index for index, record in enumerate(self._unsent) if record.seq > last), len(self._unsent))
        del self._unsent[:done]

    def _send_batch(
        self, writer_id: str, records: Sequence[StoredRecord], progress: Progress, *, in_doubt: bool
    ) -> Turns[None]:
        """Freeze a batch unless it is frozen, send it until its outcome is known, and note that."""
        batch = self._decoded(writer_id, records)
        if batch is not None:
            if batch.seqs[0] > progress.highest:
                # A crash after this and before the confirmation: whoever adopts the spool sends the same block again
                # under the same token, and reads it back first. Without the note it would form another batch.
                _noted(progress.freeze, FrozenBatch(batch.seqs[0], batch.seqs[-1], batch.token))
            if writer_id == self._spool.writer_id:
                self.in_doubt = len(batch.seqs)
            yield from self._settle(batch, progress, in_doubt=in_doubt)
            self.in_doubt = 0
        _noted(progress.confirm, ConfirmedBatch(records[-1].seq, self._clock.time_ms()))

    def _decoded(self, writer_id: str, records: Sequence[StoredRecord]) -> Batch | None:
        """Return records as a batch; what cannot be decoded is quarantined."""
        try:
            logregels = tuple(map(decode_logregel, map(_payload, records)))
        except msgspec.DecodeError:
            records = [record for record in records if self._is_logregel(writer_id, record)]
            if not records:
                return None
            logregels = tuple(map(decode_logregel, map(_payload, records)))
        return Batch(
            writer_id=writer_id,
            seqs=tuple(record.seq for record in records),
            logregels=logregels,
            payloads=tuple(map(_payload, records)),
        )

    def _is_logregel(self, writer_id: str, record: StoredRecord) -> bool:
        try:
            decode_logregel(record.payload)
        except msgspec.DecodeError as error:
            self._quarantine_record(writer_id, record.seq, record.payload, f"not a Logregel: {type(error).__name__}")
            return False
        return True

    def _settle(self, batch: Batch, progress: Progress, *, in_doubt: bool) -> Turns[None]:
        """Have a batch confirmed; records that the Logboek refuses as data are quarantined."""
        sender = Sender(self._history, self._log_unconfirmed if self._threads is not None else log_failure)
        steps = deliver_steps(batch, self._sink, sender, policy=SENDING, in_doubt=in_doubt)
        stopping: bool | None = None
        while True:
            try:
                step = steps.send(stopping)
            except StopIteration:
                return
            if isinstance(step, SendOutcome):
                self._note_outcome(step, batch, progress)
                stopping = None
            else:
                stopping = yield self._pause(step)

    def _note_outcome(self, part: SendOutcome, batch: Batch, progress: Progress) -> None:
        """Note that a batch, or a part of it, was confirmed or refused."""
        own = batch.writer_id == self._spool.writer_id
        seqs = part.batch.seqs
        if part.refused is not None:
            self._quarantine_record(batch.writer_id, seqs[0], part.batch.payloads[0], str(part.refused))
        else:
            with self._changed:
                if own:
                    self.confirmed += len(seqs)
                    self.confirmed_ms = self._clock.time_ms()
                    self._settled(seqs[-1], len(seqs))
                else:
                    self.adopted += len(seqs)
        if own:
            self._forget_unsent(seqs[-1])
        if len(seqs) < len(batch.seqs):
            # Noted for each part: after a crash or an error only the rest is sent and halved again.
            _noted(progress.confirm, ConfirmedBatch(seqs[-1], self._clock.time_ms()))

    def _quarantine_record(self, writer_id: str, seq: int, payload: bytes, reason: str) -> None:
        self._quarantine.add(writer_id, seq, payload, reason)
        with self._changed:
            if writer_id == self._spool.writer_id:
                if seq in self.refused:
                    return  # counted already, before an unexpected error had it read again
                self.refused.add(seq)
                self._settled(seq, 1)
            self.quarantined += 1
        _logger.error("Logregel %d of writer %s was refused and quarantined: %s", seq, writer_id, reason)

    def _settled(self, seq: int, count: int) -> None:
        self._away = False
        self.settled += count
        self._settled_seq = max(self._settled_seq, seq)
        self._changed.notify_all()

    def adopt(self) -> Iterator[None]:
        """Send, in this thread, what dead processes have left for the same Logboek, one batch at each step."""
        steps = self._adopt()
        stopping: bool | None = None
        while True:
            try:
                pause = steps.send(stopping)
            except StopIteration:
                return
            stopping = self._wait_here(pause) if pause is not None else None
            if pause is None:
                yield

    def _adopt(self) -> Generator[Pause | None, bool | None, None]:
        """Send what dead processes have left, in turns; None comes after each batch."""
        for directory in sorted(self._base.iterdir()):
            if directory.name in (self._spool.writer_id, QUARANTINE_NAME):
                continue
            try:
                if directory.name.startswith(".") and time.time() - directory.stat().st_mtime < _ABANDONED_SECONDS:
                    continue  # its owner is making it, and has not given it its name yet
                # From here to its release no other process sends from this spool. The kernel releases the lock of a
                # process that dies, however it dies.
                lock = hold(directory)
            except OSError:
                continue  # its owner lives, or another process adopted and removed it meanwhile
            try:
                yield from self._send_orphan(directory)
            finally:
                os.close(lock)

    def _send_orphan(self, directory: Path) -> Generator[Pause | None, bool | None, None]:
        orphan = OrphanSpool(directory)
        progress = Progress(directory)
        try:
            yield from self._send_batches(orphan, progress)
            if not orphan.newer:
                if not _ended(orphan, progress):
                    return
                yield from self._send_batches(orphan, progress)
        finally:
            progress.close()
        if orphan.newer:
            _logger.error("The spool %s was written by a newer ldv_otel; it is left alone. Upgrade.", directory)
            return
        for path in sorted(directory.glob(f"*{SUFFIX}")):  # in order: the end of an Actie never goes before its start
            if path not in orphan.damaged:
                path.unlink()
                continue
            kept = self._quarantine.keep_segment(directory.name, path)
            _logger.error(
                "The spool segment %s has unreadable parts (%d bytes before good records); kept as %s.",
                path,
                orphan.damaged[path],
                kept,
            )
        remove_spool(directory)

    def _send_batches(self, orphan: OrphanSpool, progress: Progress) -> Generator[Pause | None, bool | None, None]:
        for records, frozen in orphan.batches(progress, self._batch_records):
            # In doubt also when it was not frozen: on a full disk its owner could not note that.
            in_doubt = frozen or self._sink.traits.cheap_read_back
            yield from self._send_batch(orphan.directory.name, records, progress, in_doubt=in_doubt)
            yield None


def _up_to_a_batch(steps: Generator[Pause | None, bool | None, None]) -> Turns[bool]:
    """Take steps up to the end of a batch; return False where there is none any more."""
    stopping: bool | None = None
    while True:
        try:
            pause = steps.send(stopping)
        except StopIteration:
            return False
        if pause is None:
            yield _NEXT
            return True
        stopping = yield pause


def _ended(orphan: OrphanSpool, progress: Progress) -> bool:
    """Write the Logregels of interrupted Acties into the spool; False when the disk refused, to be tried again."""
    try:
        count = end_interrupted(orphan, progress)
    except OSError as error:
        _logger.warning("The Acties that %s never ended cannot be noted now: %s.", orphan.directory, error.strerror)
        return False
    if count:
        _logger.warning("%d Logregels of writer %s are of Acties that it never ended.", count, orphan.directory.name)
    return True


def _noted(write: Callable[[T], None], entry: T) -> None:
    """Note progress if the disk has room. On a full disk a spool has to drain all the same, which frees space."""
    try:
        write(entry)
    except OSError as error:
        _logger.warning("Progress cannot be noted (%s); after a restart it is read back instead.", error.strerror)
