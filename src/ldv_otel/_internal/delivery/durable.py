"""The levels that keep a record on the local disk from the moment `end()` returns until the Logboek has confirmed it.

| level | when `end()` returns | survives |
| --- | --- | --- |
| `durable` | the record is committed to the spool | a killed process, power loss, an outage as long as the disk holds |
| `write-ahead` | as `durable`; and its start was committed before it began | also a kill while it runs |
| `confirmed` | the Logboek has confirmed it as well | the loss of the local disk |
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ldv_otel._internal.config.variables import DeliveryLevel
from ldv_otel._internal.delivery.batch import new_writer_id
from ldv_otel._internal.delivery.clock import Clock, SystemClock
from ldv_otel._internal.delivery.drainer import Drainer
from ldv_otel._internal.delivery.gevent_support import waiting
from ldv_otel._internal.delivery.sink import Sink
from ldv_otel._internal.delivery.spool.quarantine import QUARANTINE_NAME, Quarantine
from ldv_otel._internal.delivery.spool.segment import SEGMENT_BYTES
from ldv_otel._internal.delivery.spool.write_ahead import ActieStart, encode_start
from ldv_otel._internal.delivery.spool.writer import SpoolWriter, remove_spool
from ldv_otel._internal.delivery.stats import DeliveryStats
from ldv_otel._internal.record.logregel import Logregel, actie_id, encode_logregel
from ldv_otel.errors import BatchRefused, ConfigurationError, LogboekUnavailable

_logger = logging.getLogger(__name__)


def drain(sink: Sink, base: Path) -> tuple[int, int]:
    """Send, in this thread, what dead processes have left; return how many were confirmed and how many quarantined.

    Raises:
        LogboekUnavailable: The Logboek does not answer; what is left stays in its spool.
        ConfigurationError: It cannot be used like this.
    """
    spool = SpoolWriter(base, new_writer_id())
    drainer = Drainer(sink, spool, clock=SystemClock())
    try:
        sink.open()
        for _ in drainer.adopt():
            continue
    finally:
        sink.close()
        drainer.stop(0)
        spool.close()
        remove_spool(spool.directory)
    return drainer.adopted, drainer.quarantined


def retry_quarantine(base: Path) -> int:
    """Move every quarantined record into a spool again, for `drain`; return how many those are.

    Raises:
        LogboekUnavailable: The disk refused.
    """
    quarantine = Quarantine(base / QUARANTINE_NAME)
    refused = quarantine.records()
    if refused:
        spool = SpoolWriter(base, new_writer_id())
        for record in refused:
            # In this order: a crash in between leaves the record in both, so that the next retry may store it a second
            # time, by another writer. The other order could lose it.
            spool.append(record.payload)
            quarantine.release(record)
        spool.close()
    return len(refused)


class DurableDelivery:
    """The delivery commits records to a spool, and one drainer thread sends them.

    Args:
        sink: Where to; opened and closed by the drainer.
        base: Directory of all spools for the same Logboek, see `paths.spool_base`.
        level: What a record gets when its `submit` does not say.
        confirm_seconds: How long level `confirmed` waits for the Logboek.
        quiet: Entered by the drainer; the SDK side gives a context in which instrumentation is silent (LDV-A11).

    Attributes:
        lost: Records that were refused to the caller, and are stored nowhere.

    Raises:
        ConfigurationError: The spool cannot be made.
    """

    blocks = True

    def __init__(  # noqa: PLR0913  (parts that tests replace)
        self,
        sink: Sink,
        base: Path,
        *,
        level: DeliveryLevel = "durable",
        confirm_seconds: float = 10.0,
        clock: Clock | None = None,
        quiet: Callable[[], AbstractContextManager[object]] = nullcontext,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._sink = sink
        self._segment_bytes = segment_bytes
        self._base = base
        self._level = level
        self._confirm_seconds = confirm_seconds
        self._clock = clock or SystemClock()
        self._quiet = quiet
        self.lost = 0
        self._spool: SpoolWriter | None = None
        self._drainer: Drainer | None = None
        self._pid = 0
        #: A lock for each process: an inherited one may be held by a thread that does not exist here.
        self._locks: dict[int, threading.Lock] = {}
        self._begin()
        if hasattr(os, "register_at_fork"):
            after_fork = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (hook := after_fork()) and hook())

    def _begin(self) -> None:
        """Take a fresh spool for this process."""
        self.writer_id = new_writer_id()
        self._spool = SpoolWriter(self._base, self.writer_id, segment_bytes=self._segment_bytes)
        self._drainer = Drainer(self._sink, self._spool, clock=self._clock, quiet=self._quiet)
        self._draining = False
        self._pid = os.getpid()

    def _after_fork(self) -> None:
        """Close the parent's spool in a forked child, which makes its own when it logs its first record."""
        if self._spool is not None:
            self._spool.abandon()
        self._spool = self._drainer = None
        self._draining = False
        self.lost = 0

    def _own_spool(self) -> SpoolWriter:
        """Return the spool of this process, made anew after a fork, with or without hooks (uWSGI forks in C).

        Raises:
            LogboekUnavailable: None can be made here.
        """
        spool = self._spool
        if spool is not None and self._pid == os.getpid():
            return spool
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            if self._pid != os.getpid():
                self._after_fork()
                try:
                    self._begin()
                except ConfigurationError as error:
                    raise LogboekUnavailable(f"This process has no spool. {error}", in_doubt=False) from error
        if self._spool is None:
            raise LogboekUnavailable("This process has no spool; its record was not stored.", in_doubt=False)
        return self._spool

    @property
    def _own(self) -> tuple[SpoolWriter, Drainer] | None:
        """What this process has, if it is not only inherited."""
        if self._spool is None or self._drainer is None or self._pid != os.getpid():
            return None
        return self._spool, self._drainer

    @property
    def confirmed(self) -> int:
        """How many records of this process the Logboek has confirmed."""
        return self._own[1].confirmed if self._own else 0

    @property
    def quarantined(self) -> int:
        """How many records were quarantined because the Logboek refuses them as data."""
        return self._own[1].quarantined if self._own else 0

    @property
    def running(self) -> int:
        """How many Acties of this process have a start on disk and no end yet."""
        return self._own[0].running if self._own else 0

    @property
    def pending(self) -> int:
        """How many records of this process are neither confirmed nor quarantined yet."""
        return self._own[0].committed_records - self._own[1].settled if self._own else 0

    def stats(self) -> DeliveryStats:
        """Return how it is doing; nothing yet in a process that was forked and has not logged."""
        own = self._own
        if own is None:
            return DeliveryStats(lost=self.lost)
        spool, drainer = own
        pending = self.pending
        return DeliveryStats(
            pending=pending,
            in_doubt=drainer.in_doubt,
            oldest_ms=drainer.oldest_ms() if pending else None,
            running=spool.running,
            confirmed=drainer.confirmed,
            confirmed_ms=drainer.confirmed_ms,
            adopted=drainer.adopted,
            retried=drainer.retried,
            quarantined=drainer.quarantined,
            lost=self.lost,
        )

    def submit(self, logregel: Logregel, level: DeliveryLevel | None = None) -> None:
        """Commit a record to disk, and with level `confirmed` wait for the Logboek as well.

        Raises:
            LogboekUnavailable: The disk refused it; or it is on disk, and the Logboek did not confirm it in time, or
                will never take it. The message says which.
        """
        self.submit_encoded((encode_logregel(logregel),), level, ended=actie_id(logregel))

    def submit_encoded(
        self, payloads: Sequence[bytes], level: DeliveryLevel | None = None, *, ended: bytes = b""
    ) -> None:
        """Commit the bytes of records, at least one, with one flush; otherwise as `submit`.

        Args:
            ended: The Actie, if any, that they are the end of.
        """
        if "gevent" in sys.modules:
            waiting(self._submit, payloads, level, ended)
        else:
            # As `waiting` would, without the way there: every Actie of most services comes by here.
            self._submit(payloads, level, ended)

    def _submit(self, payloads: Sequence[bytes], level: DeliveryLevel | None, ended: bytes) -> None:
        try:
            spool = self._own_spool()
            seq = spool.append(*payloads, ended=ended)
        except LogboekUnavailable:
            self.lost += len(payloads)
            raise
        if not self._draining:
            self.start_draining()
        if (level or self._level) == "confirmed":
            self._wait_for(range(seq - len(payloads) + 1, seq + 1))

    def writes_ahead(self, level: DeliveryLevel | None) -> bool:
        """Say whether an Actie of a level needs its start committed before it begins."""
        return (level or self._level) == "write-ahead"

    def begin(self, start: ActieStart, *, more: bool = False) -> None:
        """Commit what becomes of an Actie if it is never ended; `more` adds to one that runs here.

        Raises:
            LogboekUnavailable: The disk refused.
        """
        waiting(self._begin_actie, start, more=more)

    def _begin_actie(self, start: ActieStart, *, more: bool) -> None:
        self._own_spool().append_start(start.actie, encode_start(start), more=more)
        if not self._draining:
            self.start_draining()

    def start_draining(self) -> None:
        """Start the drainer unless it runs; it also adopts spools of dead processes."""
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            if self._own is not None and not self._draining:
                self._draining = True
                self._own[1].start()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until nothing of this process is pending; True only if that came true and nothing was refused."""
        if self._own is None:
            return not self.lost
        spool, drainer = self._own
        wanted = spool.committed_records
        drainer.hurry()
        in_time = drainer.wait_settled(wanted, timeout_seconds if self._draining else 0)
        return in_time and not self.lost and not drainer.quarantined

    def shutdown(self, timeout_seconds: float) -> bool:
        """Flush and stop; what is not confirmed stays in the spool for the next process."""
        delivered = self.flush(timeout_seconds)
        if self._own is None:
            return delivered
        spool, drainer = self._own
        drainer.stop(5.0)
        # First, because a thread may still be committing: until it has, it is not known whether anything is left.
        spool.stop()
        left = self.pending
        if left:
            _logger.warning("%d Logregels stay in the spool %s until another process sends them.", left, self._base)
        if spool.running:
            _logger.warning("%d Acties never ended; another process logs them as interrupted.", spool.running)
        if not left and not spool.running:
            remove_spool(spool.directory)
        spool.close()
        return delivered and not left

    def _wait_for(self, seqs: range) -> None:
        drainer = self._own[1] if self._own else None
        if drainer is None or not drainer.wait_for(seqs[-1], self._confirm_seconds):
            raise LogboekUnavailable(
                f"The Logboek did not confirm a record within {self._confirm_seconds:g} s. It is in the spool and will "
                "be sent; the application has to decide whether its processing may stand meanwhile."
            )
        if not drainer.refused.isdisjoint(seqs):
            raise LogboekUnavailable(
                "The Logboek refuses a record as data; it was quarantined (`ldv spool quarantine list`).",
                in_doubt=False,
            ) from BatchRefused("see the quarantine")
