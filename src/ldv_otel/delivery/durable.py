"""Level `durable`: a record is on the local disk when `end()` returns, and stays there until the Logboek confirmed it.

Nothing ends a record but a confirmation, or a quarantine that is counted and visible. Records of a process that is gone
are adopted by any living one that logs to the same Logboek.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

import msgspec

from ldv_otel.delivery.batch import Batch, new_writer_id
from ldv_otel.delivery.clock import Clock, SystemClock
from ldv_otel.delivery.sending import Stopped, deliver
from ldv_otel.delivery.sink import Sink
from ldv_otel.delivery.spool.progress import PROGRESS_NAME, Frozen, Progress
from ldv_otel.delivery.spool.quarantine import Quarantine
from ldv_otel.delivery.spool.reading import LiveReader, Orphan
from ldv_otel.delivery.spool.segment import SUFFIX, StoredRecord
from ldv_otel.delivery.spool.spool import LOCK_NAME, Spool, hold
from ldv_otel.errors import BatchRefused, ConfigurationError, LogboekUnavailable
from ldv_otel.logregel import Logregel, decode_logregel, encode_logregel
from ldv_otel.settings import LogboekAddress

_logger = logging.getLogger(__name__)

BATCH_RECORDS: Final = 5_000
QUARANTINE_NAME: Final = "quarantine"
_DONE: Final = object()
_GATHER_SECONDS: Final = 0.2
_ADOPT_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0


def spool_base(root: Path, address: LogboekAddress) -> Path:
    """Return the directory of all spools for one Logboek: processes that log elsewhere do not adopt from it."""
    return root / hashlib.sha256(str(address).encode()).hexdigest()[:16]


class DurableDelivery:
    """Commits records to a spool and sends them from one drainer thread.

    Args:
        sink: Where to; opened and closed by the drainer.
        base: Directory of all spools for the same Logboek, see `spool_base`.
        quiet: Entered by the drainer; the SDK side gives a context in which instrumentation is silent (LDV-A11).

    Raises:
        ConfigurationError: The spool cannot be made.
    """

    def __init__(
        self,
        sink: Sink,
        base: Path,
        *,
        clock: Clock | None = None,
        quiet: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._sink = sink
        self._base = base
        self._clock = clock or SystemClock()
        self._quiet = quiet
        self._quarantine = Quarantine(base / QUARANTINE_NAME)
        self._start()
        if hasattr(os, "register_at_fork"):
            after_fork = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (hook := after_fork()) and hook())

    def _start(self) -> None:
        self.writer_id = new_writer_id()
        self.confirmed = 0
        self.lost = 0
        self.quarantined = 0
        self.adopted = 0
        self._settled = 0
        self._stopping = threading.Event()
        self._finished = threading.Condition()
        self._urgent = False
        self._drainer: threading.Thread | None = None
        self._starting = threading.Lock()
        self._spool = Spool(self._base, self.writer_id)

    def _after_fork(self) -> None:
        """Begin a spool of its own in a forked child; the parent's is the parent's."""
        self._spool.abandon()
        try:
            self._start()
        except ConfigurationError:
            # Raised again where somebody can act on it: by the first record.
            _logger.exception("The forked process has no spool; its Logregels are refused.")

    @property
    def pending(self) -> int:
        """How many records of this process are neither confirmed nor set apart yet."""
        return self._spool.committed_records - self.confirmed - self._settled

    def submit(self, logregel: Logregel) -> None:
        """Commit a record to disk.

        Raises:
            LogboekUnavailable: The disk refused it.
        """
        try:
            self._spool.append(encode_logregel(logregel))
        except LogboekUnavailable:
            self.lost += 1
            raise
        if self._drainer is None:
            self.start_draining()

    def start_draining(self) -> None:
        """Start the drainer unless it runs; it also adopts what processes that are gone have left."""
        with self._starting:
            if self._drainer is None and not self._stopping.is_set():
                self._drainer = threading.Thread(target=self._work, name="ldv-drainer", daemon=True)
                self._drainer.start()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until nothing of this process is pending; True only if that came true and nothing was refused."""
        self._urgent = True
        self._spool.wake()
        deadline = self._clock.monotonic() + timeout_seconds
        with self._finished:
            while self.pending > 0:
                left = deadline - self._clock.monotonic()
                if left <= 0 or self._drainer is None:
                    return False
                self._finished.wait(min(left, 1.0))
        return not self.lost and not self.quarantined

    def shutdown(self, timeout_seconds: float) -> bool:
        """Flush and stop; what is not confirmed stays in the spool for the next process."""
        delivered = self.flush(timeout_seconds)
        self._stopping.set()
        self._spool.wake()
        if self._drainer is not None:
            self._drainer.join(5.0)
        left = self.pending
        self._spool.close()
        if left:
            _logger.warning("%d Logregels stay in the spool %s until another process sends them.", left, self._base)
        return delivered

    def _work(self) -> None:
        with self._quiet():
            try:
                if self._opened():
                    self._drain()
            finally:
                self._sink.close()

    def _opened(self) -> bool:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            try:
                self._sink.open()
            except (LogboekUnavailable, ConfigurationError) as error:
                _logger.warning("The Logboek cannot be used now; %d Logregels wait on disk. %s", self.pending, error)
                self._stopping.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                return True
        return False

    def _drain(self) -> None:
        reader = LiveReader(self._spool.directory)
        progress = Progress(self._spool.directory)
        adoption: Iterator[None] = iter(())
        next_adoption = 0.0
        drained = 0
        try:
            while True:
                committed = self._spool.committed_records
                if committed > drained:
                    if committed - drained < BATCH_RECORDS and not self._urgent:
                        self._stopping.wait(_GATHER_SECONDS)
                    while records := reader.read(self._spool.committed):
                        drained += len(records)
                        self._send(records, progress)
                        reader.drop(progress.confirmed)
                    self._urgent = False
                elif self._stopping.is_set():
                    self._tidy(progress)
                    return
                elif next(adoption, _DONE) is _DONE:
                    # Records of this process come first; those left by others are sent while there are none.
                    self._spool.wait_for_commit(drained, 1.0)
                    if self._clock.monotonic() >= next_adoption:
                        adoption = self._adopt()
                        next_adoption = self._clock.monotonic() + _ADOPT_SECONDS
        except Stopped:
            return
        finally:
            progress.close()

    def _tidy(self, progress: Progress) -> None:
        """Take an empty spool away; anything unexpected in it stays for somebody to look at."""
        if self.pending == 0 and not progress.frozen:
            remove_spool(self._spool.directory)

    def _send(self, records: Sequence[StoredRecord], progress: Progress) -> None:
        """Send records of this process, in batches that are frozen first."""
        for start in range(0, len(records), BATCH_RECORDS):
            self._send_batch(self.writer_id, records[start : start + BATCH_RECORDS], progress)

    def _send_batch(
        self, writer_id: str, records: Sequence[StoredRecord], progress: Progress, *, in_doubt: bool = False
    ) -> None:
        batch = self._batch(writer_id, records)
        if batch is not None:
            if not in_doubt:
                progress.freeze(Frozen(batch.seqs[0], batch.seqs[-1], batch.token))
            self._settle(batch, in_doubt=in_doubt)
        progress.confirm(records[-1].seq)

    def _batch(self, writer_id: str, records: Sequence[StoredRecord]) -> Batch | None:
        """Return records as a batch; what cannot be decoded is set apart."""
        pairs = []
        for record in records:
            try:
                pairs.append((record.seq, decode_logregel(record.payload)))
            except msgspec.DecodeError as error:
                self._set_apart(writer_id, record.seq, record.payload, f"not a Logregel: {type(error).__name__}")
        if not pairs:
            return None
        seqs, logregels = zip(*pairs, strict=True)
        return Batch(writer_id=writer_id, seqs=seqs, logregels=logregels)

    def _settle(self, batch: Batch, *, in_doubt: bool) -> None:
        """Deliver a batch; one that is refused is halved down to the single records, which are set apart."""
        waiting = [(batch, in_doubt)]
        while waiting:
            some, doubtful = waiting.pop()
            try:
                deliver(some, self._sink, wait=self._stopping.wait, in_doubt=doubtful)
            except BatchRefused as error:
                if len(some.seqs) > 1:
                    waiting += [(half, doubtful) for half in reversed(_halves(some))]
                    continue
                self._set_apart(batch.writer_id, some.seqs[0], encode_logregel(some.logregels[0]), str(error))
                continue
            with self._finished:
                if batch.writer_id == self.writer_id:
                    self.confirmed += len(some.seqs)
                else:
                    self.adopted += len(some.seqs)
                self._finished.notify_all()

    def _set_apart(self, writer_id: str, seq: int, payload: bytes, reason: str) -> None:
        self._quarantine.add(writer_id, seq, payload, reason)
        with self._finished:
            self.quarantined += 1
            self._settled += writer_id == self.writer_id
            self._finished.notify_all()
        _logger.error("Logregel %d of writer %s was refused and set apart: %s", seq, writer_id, reason)

    def _adopt(self) -> Iterator[None]:
        """Send what processes that are gone have left for the same Logboek, a batch at each step."""
        for directory in sorted(self._base.iterdir()):
            if directory.name in (self.writer_id, QUARANTINE_NAME) or not directory.is_dir():
                continue
            try:
                lock = hold(directory)
            except OSError:
                continue  # it lives
            try:
                yield from self._send_orphan(directory)
            finally:
                os.close(lock)

    def _send_orphan(self, directory: Path) -> Iterator[None]:
        orphan = Orphan(directory)
        progress = Progress(directory)
        try:
            for records, in_doubt in orphan.batches(progress, BATCH_RECORDS):
                self._send_batch(directory.name, records, progress, in_doubt=in_doubt)
                yield
        finally:
            progress.close()
        if orphan.newer:
            _logger.error("The spool %s was written by a newer ldv_otel; it is left alone. Upgrade.", directory)
            return
        for path, damaged in orphan.damaged.items():
            kept = self._quarantine.keep_segment(directory.name, path)
            _logger.error("%d bytes of the spool segment %s were damaged; it is kept as %s.", damaged, path, kept)
        remove_spool(directory)


def remove_spool(directory: Path) -> None:
    """Take a spool away of which everything is confirmed; its lock is held by the caller."""
    for path in (*directory.glob(f"*{SUFFIX}"), directory / PROGRESS_NAME, directory / LOCK_NAME):
        path.unlink(missing_ok=True)
    try:
        directory.rmdir()
    except OSError as error:
        _logger.warning("The spool directory %s holds something else and stays: %s.", directory, error.strerror)


def _halves(batch: Batch) -> list[Batch]:
    middle = len(batch.seqs) // 2
    return [
        Batch(writer_id=batch.writer_id, seqs=batch.seqs[part], logregels=batch.logregels[part])
        for part in (slice(None, middle), slice(middle, None))
    ]
